"""Joins the what-if face with the desk: edits in, answers from workers, support maps side by side."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import napari.viewer
import numpy as np
from napari.layers import Shapes
from qtpy.QtWidgets import QVBoxLayout

from napari_gimp import words
from napari_gimp.genes import symbols_of
from napari_gimp.plugin import job
from napari_gimp.plugin.desk import Desk, Dock
from napari_gimp.plugin.docks.whatif import KINDS, PERCENTILE_UNIT, WhatIfFace
from napari_gimp.plugin.genes import whatif
from napari_gimp.plugin.genes.asking import asking_of
from napari_gimp.plugin.genes.genetable import slider_range
from napari_gimp.plugin.genes.whatifasker import WhatIfAsker
from napari_gimp.plugin.genes.whatifwork import Answered
from napari_gimp.plugin.newest import ends_with
from napari_gimp.plugin.panel.bars import BarRow
from napari_gimp.plugin.regions.annotations import regions_of
from napari_gimp.plugin.regions.drawn import belongs, is_drawn
from napari_gimp.plugin.wiring.whatifmaps import SupportComparison
from napari_gimp.settings import InputError
from napari_gimp.types import GeneEdit, Prediction
from napari_gimp.types import WhatIf as Question

IMAGE_ONLY = "No gene profile: the result is image-only, so only regions can be changed."
LOADING = "Loading the model …"


class WhatIf(Dock):
    """Change genes or leave regions out, and see at once what the model would say."""

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__(viewer)
        self.face, self.asking = WhatIfFace(), asking_of(self.desk)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.face)
        self._targets: whatif.Targets | None = None
        self.asker = WhatIfAsker(self.desk)
        self.maps = SupportComparison(self.desk, self.face.answer)
        self._connect()
        self._layers_changed()
        self._result_changed()

    def _connect(self) -> None:
        desk, face = self.desk, self.face
        for signal, act in (
            (desk.session.result_changed, self._result_changed),
            (desk.session.changed, self._layers_changed),
            (desk.gene_chosen, self.choose_target),
            (self.asking.changed, self._asking_changed),
            (desk.viewer.layers.events.inserted, self._layers_changed),
            (desk.viewer.layers.events.removed, self._layers_changed),
        ):
            self.hear(signal, act)
        self.desk.asked = self.what_if_prediction
        face.target_typed.connect(lambda _: self._target_changed())
        face.kind_chosen.connect(lambda _: self._target_changed())
        face.apply_wanted.connect(self._apply)
        face.amount_moved.connect(self._slide_amount)
        face.region_wanted.connect(self._ask_region)
        face.remove_wanted.connect(self.asker.remove)
        face.undo_wanted.connect(self.asker.undo)
        face.reset_wanted.connect(self.asker.reset)
        face.stop_wanted.connect(self._stop)
        face.map_wanted.connect(lambda _: self._compare())
        face.class_chosen.connect(lambda _: self.maps.show())
        face.export_to.connect(lambda folder: self._export(Path(folder)))
        self.asker.asked.connect(self._asked)
        self.asker.answer_came.connect(self._answered)
        for said in (self.asker.said, self.maps.said):
            said.connect(face.set_status)
        for failed in (self.asker.failed, self.maps.failed):
            failed.connect(self._failed)
        ends_with(self, self.asker.end, self.maps.end, partial(_take_back, desk, desk.asked))

    # --- what there is to ask of ------------------------------------------------------------------------------------

    def _result_changed(self) -> None:
        """Another result, or the same with one map more."""
        result = self.desk.result
        if result is not None and result.classes != self._classes():
            self.face.answer.set_classes(result.classes, _best(result))
        self._ready_to_ask()

    def _classes(self) -> tuple[str, ...]:
        box = self.face.answer.classes
        return tuple(box.itemText(k) for k in range(box.count()))

    def _asking_changed(self) -> None:
        """The model is there, cannot be loaded, or is gone with its result."""
        self._ready_to_ask()

    def _ready_to_ask(self) -> None:
        why_not, face, questions = self.asking.why_not, self.face, self.asking.questions
        if why_not:
            face.set_notice(why_not, usable=False)
            return
        if self.asking.error is not None:
            face.set_notice(words.error_words(self.asking.error), usable=False)
            return
        origin = self.desk.session.origin
        known = questions is not None and questions.genes is not None and origin is not None
        self._targets = None
        if known and origin is not None:
            reference = questions.reference
            self._targets = whatif.Targets(reference, symbols_of(origin.profile, reference.genes))
            face.genes.set_names(self._targets.names)
        result = self.desk.result
        image_only = result is not None and result.sample is None
        notice = IMAGE_ONLY if image_only else f"{whatif.GENES_MOVE} {_coverage(result)}".strip()
        face.set_notice(notice, usable=True)
        face.genes.setVisible(not image_only)
        self._target_changed()
        self.asker.ask()

    def _layers_changed(self, _event: object = None) -> None:
        facts = self.desk.session.choices.slide
        found = [layer for layer in self.desk.viewer.layers if is_drawn(layer) and isinstance(layer, Shapes)]
        self.face.regions.set_layers([layer.name for layer in found if facts is not None and belongs(layer, facts)])

    # --- what is changed --------------------------------------------------------------------------------------------

    def choose_target(self, name: str) -> None:
        """A gene from elsewhere."""
        self.face.genes.target.setText(name)

    def _target(self) -> tuple[str, bool] | None:
        """Gene or group as it is typed, and whether it is a group; None while it is neither."""
        typed = self.face.genes.target.text().strip()
        return None if self._targets is None or not typed else self._targets.find(typed)

    def _target_changed(self) -> None:
        """Say how the gene is now, and fit the slider to it."""
        face, kind = self.face.genes, KINDS[self.face.genes.kind.currentText()]
        target = self._target()
        face.set_amount(kind in ("percentile", "value") and target is not None)
        self.face.error.setText("")
        if target is None or self._targets is None:
            face.now.setText("")
            return
        questions = self.asking.questions
        face.now.setText(self._targets.now(questions.genes, *target))
        if kind == "percentile":
            face.set_range(1, 99, 50, PERCENTILE_UNIT, decimals=0)
        elif kind == "value":
            low, high = slider_range(questions.reference, *target)
            index = questions.reference.index(GeneEdit(target[0], "mean", is_group=target[1]))
            values = np.where(np.isnan(questions.genes.values), questions.reference.mean, questions.genes.values)
            face.set_range(low, high, float(values[index].mean()), questions.reference.unit)

    def _edit(self) -> GeneEdit:
        """What the face says.

        Raises
        ------
        InputError
            No such gene or group.
        """
        face, typed = self.face.genes, self.face.genes.target.text().strip()
        if not typed:
            raise InputError("Expected a gene or a gene group to change, found none; type its name.")
        name, is_group = self._target() or (typed, False)
        kind = KINDS[face.kind.currentText()]
        amount = face.number.value() if kind in ("percentile", "value") else None
        called = "" if self._targets is None else self._targets.symbols.get(name, "")
        return GeneEdit(name, kind, amount, is_group, called)

    def _apply(self, same_step: bool = False) -> None:
        questions = self.asking.questions
        if questions is None:
            self.face.error.setText(LOADING)
            return
        try:
            edit = self._edit()
            questions.changed(questions.genes, [edit])
        except InputError as error:
            self.face.error.setText(str(error))
            return
        self.asker.add(edit, same_step)

    def _slide_amount(self, _value: float) -> None:
        if self._target() is not None:
            self._apply(same_step=True)

    def _ask_region(self, keep: bool) -> None:
        result, facts = self.desk.result, self.desk.session.choices.slide
        name = self.face.regions.layer.currentText()
        layer = next((layer for layer in self.desk.viewer.layers if layer.name == name), None)
        if result is None or facts is None or layer is None:
            return
        try:
            data, attributes, kind = layer.as_layer_data_tuple()
            regions = regions_of(data, attributes, kind, facts)
            self.asker.add(whatif.region_edit(regions, name, keep, result.grid))
        except InputError as error:
            self.face.error.setText(str(error))

    # --- answers ----------------------------------------------------------------------------------------------------

    def _asked(self, asked: Question) -> None:
        """Another list of edits: its answer is on its way."""
        self.face.error.setText("")
        self.face.set_edits([edit.words for edit in asked.edits], self.asker.history.can_undo)
        self.maps.outdate()
        if not asked:
            self.maps.forget()
            self._show_original()

    def _show_original(self) -> None:
        result, view = self.desk.result, self.face.answer
        if result is not None:
            row = _row("original", result.probabilities[result.modality], result.spread)
            view.set_rows(result.classes, [row])
        view.set_answer("", "", "")

    def _answered(self, found: Answered) -> None:
        """Bars and words of an answer, then its map where that is wanted."""
        result = self.desk.result
        if result is None:
            return
        before, after = result.probabilities[result.modality], found.answer.probabilities[result.modality]
        rows = [_row("original", before, result.spread), _row("what-if", after, found.answer.spread)]
        said = whatif.answer_words(result.classes, before, after, _best(result))
        asked, known = found.asked, found.questions
        remarks = () if found.genes is None else known.reference.remarks(known.genes, asked.genes)
        self.face.answer.set_rows(result.classes, rows)
        self.face.answer.set_answer(asked.label, said, "\n".join(remarks))
        self.face.set_status(found.words)
        self._compare()

    def _compare(self) -> None:
        """The support map of the answered what-if, where it is wanted."""
        wanted = self.face.answer.compare.isChecked()
        self.maps.want(self.asker.answered if wanted else None)

    def _failed(self, error: Exception) -> None:
        self.face.set_status("")
        self.face.error.setText(words.error_words(error))

    def _stop(self) -> None:
        """Give up what is computed."""
        self.face.answer.compare.setChecked(False)
        self.asker.stop()
        self.face.set_status("Stopped.")

    def what_if_prediction(self) -> Prediction | None:
        """The answered what-if as a result that says what it is; None while there is none."""
        found, result = self.asker.answered, self.desk.result
        if found is None or result is None:
            return None
        return whatif.as_prediction(result, found.asked, found.answer, found.genes, found.rerun, self.maps.support)

    def _export(self, folder: Path) -> None:
        made, origin = self.what_if_prediction(), self.desk.session.origin
        if made is None or origin is None:
            return
        self.desk.jobs.start(
            job.export,
            made,
            origin.path,
            folder / "what-if",
            {"device": origin.choices.device, "from": "napari", "what_if": made.provenance["what_if_label"]},
            returned=lambda files: self.desk.say(f"Written to {files[0].parent}."),
            errored=self.desk.fail,
        )


def _best(result: Prediction) -> str:
    return result.classes[int(np.argmax(result.probabilities[result.modality]))]


def _row(name: str, values: Any, spread: Any) -> BarRow:
    return BarRow(name, tuple(float(p) for p in values), None if spread is None else float(spread[0]))


def _coverage(result: Prediction | None) -> str:
    if result is None or result.coverage is None or result.coverage >= 1:
        return ""
    return f"Profile {result.sample} has {result.coverage:.0%} of the model's genes; the mean stands in for the others."


def _nothing_asked() -> None:
    """No what-if is answered."""


def _take_back(desk: Desk, asked: object) -> None:
    """What was answered goes with the dock that answered it."""
    if desk.asked is asked:
        desk.asked = _nothing_asked
