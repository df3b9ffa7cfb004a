"""Joins the genes' face with the desk: table and bars at once, the map of a gene group from a worker."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import replace
from functools import partial
from typing import Any

import napari.viewer
from qtpy.QtWidgets import QVBoxLayout

from napari_gimp import words
from napari_gimp.genes import symbols_of
from napari_gimp.plugin import job
from napari_gimp.plugin.desk import Dock
from napari_gimp.plugin.docks.genes import GenesFace
from napari_gimp.plugin.genes.asking import asking_of
from napari_gimp.plugin.genes.genetable import GeneTable
from napari_gimp.plugin.genes.whatif import GENES_MOVE, GENES_ONLY_ADD
from napari_gimp.plugin.maps import GROUP
from napari_gimp.plugin.newest import Newest, ends_with
from napari_gimp.types import Prediction, Progress

NO_RESULT = "Run GiMP on a slide with a gene profile first: then its genes stand here."
IMAGE_ONLY = "No gene profile: the result is image-only, and so is everything shown of it."
NO_BRANCH = "This checkpoint was trained on images alone: it knows no genes."
PARTIAL = "The genes stand here once the whole slide is computed."
TOP = 10


class Genes(Dock):
    """What each gene is and what it adds; click on a gene group for its map."""

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__(viewer)
        self.face = GenesFace()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.face)
        self.asking = asking_of(self.desk)
        self._table: GeneTable | None = None
        self._asked = Newest()
        self._stop_job: Callable[[], None] = _nothing
        self._connect()
        self._result_changed()

    def _connect(self) -> None:
        self.hear(self.desk.session.result_changed, self._result_changed)
        self.hear(self.asking.changed, self._asking_changed)
        self.face.class_chosen.connect(self._show_class)
        self.face.group_chosen.connect(self.ask_for_group)
        self.face.gene_chosen.connect(self.desk.gene_chosen.emit)
        self.face.stop_wanted.connect(self._stop)
        ends_with(self, self._asked.end)

    def _result_changed(self) -> None:
        """Another result, or the same with one map more."""
        result, before = self.desk.result, self._table
        if result is not None and before is not None and result.gene_attribution is before.prediction.gene_attribution:
            return
        self._stop()
        self._table = self._table_of(result)
        self.face.set_notice(self._why_none(result))
        if self._table is None:
            self.face.set_table(None, "")
            return
        self.face.set_classes(self._table.prediction.classes, self._table.headline)
        self._show_class(self._table.headline)

    def _table_of(self, result: Prediction | None) -> GeneTable | None:
        origin = self.desk.session.origin
        facts = None if origin is None else origin.choices.facts
        if result is None or origin is None or facts is None:
            return None
        return GeneTable.of(result, facts.expression_scale, symbols_of(origin.profile, facts.genes))

    def _why_none(self, result: Prediction | None) -> str:
        if self._table is not None:
            return ""
        if result is None:
            return NO_RESULT
        if result.sample is not None:
            return PARTIAL
        origin = self.desk.session.origin
        facts = None if origin is None else origin.choices.facts
        return NO_BRANCH if facts is not None and not facts.genes else IMAGE_ONLY

    def _show_class(self, of: str) -> None:
        table = self._table
        if table is not None:
            self.face.set_table(table, of, (table.coverage, table.completeness(of)))
            self.face.set_bars(table.top_genes(of, TOP), table.group_bars(of))

    def ask_for_group(self, name: str) -> None:
        """Show the map of a gene group: the one that is known, else one from a worker."""
        result, of = self.desk.result, self.face.classes.currentText()
        if result is None or self._table is None:
            return
        self.face.groups.mark(name)
        if name in result.group_support:
            self._show_map(name, of)
        elif self.asking.why_not:
            self.face.set_status(self.asking.why_not)
        else:
            self._asked.ask(partial(self._prepare, name))

    def _prepare(self, name: str, number: int) -> Any:
        self.face.set_status("Loading the model …", busy=True)
        act = self._asked.then(number, lambda questions: self._compute(name, number, questions))
        self.asking.when_ready(act, self._asked.then(number, self._progress))
        return lambda: self._stop_job()

    def _compute(self, name: str, number: int, questions: Any) -> None:
        if not questions.genes_move_support:
            self.face.set_status(GENES_ONLY_ADD)
            return
        self._stop_job = self.desk.jobs.start(
            group_map,
            questions,
            name,
            returned=self._asked.then(number, partial(self._take, name)),
            errored=self._asked.then(number, lambda error: self.face.set_status(words.error_words(error))),
            yielded=self._asked.then(number, self._progress),
        )

    def _progress(self, progress: Progress) -> None:
        self.face.set_status(f"{words.progress_words(progress)} …", busy=True)

    def _take(self, name: str, found: Any) -> None:
        """The map joins the result, which every other map of it stays a part of."""
        result, origin = self.desk.result, self.desk.session.origin
        if result is None or origin is None:
            return
        self.desk.session.accept(replace(result, group_support={**result.group_support, name: found}), origin)
        self._show_map(name, self.face.classes.currentText())

    def _show_map(self, name: str, of: str) -> None:
        self.face.set_status(
            f"On the slide: how support for {of} changes with {name} at the training mean. {GENES_MOVE}"
        )
        self.desk.map_wanted.emit(f"{GROUP}/{name}/{of}")

    def _asking_changed(self) -> None:
        if self.asking.error is not None:
            self.face.set_status(words.error_words(self.asking.error))

    def _stop(self) -> None:
        self._asked.drop()
        self.face.set_status("")


def group_map(questions: Any, name: str) -> Generator[Progress, None, Any]:
    """How the support of each patch hangs on a gene group, (C, N)."""
    job.step_back()
    return (yield from questions.group_map(name, questions.genes))


def _nothing() -> None:
    """No worker to stop."""
