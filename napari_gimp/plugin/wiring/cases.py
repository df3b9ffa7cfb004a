"""The case list joined with the desk: what the disk knows of each slide, the queue, opening without computing."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import napari.viewer
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QVBoxLayout

from napari_gimp import words
from napari_gimp.files import is_same_file
from napari_gimp.plugin.cases import casework, keeping
from napari_gimp.plugin.cases.caselist import CaseList, CaseSlide, Standing, arranged, census
from napari_gimp.plugin.cases.caserows import CaseRow, row_of
from napari_gimp.plugin.cases.casework import Failures, Known
from napari_gimp.plugin.cases.queue import Queue
from napari_gimp.plugin.desk import Dock
from napari_gimp.plugin.docks.cases import CasesFace
from napari_gimp.plugin.host import slide_layers
from napari_gimp.plugin.newest import ends_with
from napari_gimp.plugin.preferences import PLUGIN
from napari_gimp.plugin.session import Choices
from napari_gimp.plugin.sessions.autosave import autosave_of
from napari_gimp.plugin.sessions.choices_shown import panel_of, plainly
from napari_gimp.plugin.sessions.restoring import show_kept
from napari_gimp.plugin.sessions.sessionlock import latest_session
from napari_gimp.plugin.wiring.sessions import clear, restore
from napari_gimp.settings import InputError
from napari_gimp.types import Prediction, Progress

LOG = logging.getLogger("napari_gimp")
PATIENCE_MS = 400
"""How long the panel must rest before its new choices are held against the disk."""
STEPS = 1000
"""Steps of the queue's progress bar."""


class Cases(Dock):
    """Slides of a folder or a cohort with what is known of each; runs them one after the other beside the window."""

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__(viewer)
        self.face, self.queue = CasesFace(), Queue()
        self._list: CaseList | None = None
        self._standings: list[Standing] = []
        self._order: list[int] = []
        self._failures: Failures | None = None
        self._round: Choices | None = None
        self._looked: tuple[Any, ...] = ()
        self._gone: list[bool] = []
        self._stop_look: Callable[[], None] = _nothing
        self._stop_run: Callable[[], None] = _nothing
        self._number = 0
        self._rest = QTimer(self, singleShot=True, interval=PATIENCE_MS)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.face)
        self._connect()
        ends_with(self, self._close)

    def _connect(self) -> None:
        face, session = self.face, self.desk.session
        face.folder_chosen.connect(lambda folder: self.load(Path(folder)))
        face.table_chosen.connect(lambda table: self.load(Path(table)))
        face.slides_chosen.connect(self._choose_slides)
        face.opened.connect(self.open)
        face.run.connect(self.run)
        face.stop.connect(self.stop)
        face.arrangement.connect(self._arrange)
        self._rest.timeout.connect(self._look_again)
        self.hear(session.changed, self._session_changed)
        self.hear(session.result_changed, self._result_changed)

    def _close(self) -> None:
        self._gone.append(True)
        self._stop_look()
        self._stop_run()

    def _unless_gone(self, act: Callable[..., object]) -> Callable[[Any], None]:
        """What a worker says is not heard any more when the dock is closed."""
        gone = self._gone

        def hear(value: Any) -> None:
            if not gone:
                act(value)

        return hear

    def load(self, source: Path, slides: Path | None = None) -> None:
        """List the slides of a folder or of a cohort table."""
        self.desk.jobs.start(
            casework.listing,
            source,
            slides,
            returned=self._unless_gone(self._take_list),
            errored=self._unless_gone(self.desk.fail),
        )

    def _choose_slides(self, folder: str) -> None:
        if self._list is not None:
            self.load(self._list.source, Path(folder))

    def _take_list(self, made: CaseList) -> None:
        self.stop()
        self._list, self._standings = made, [Standing() for _ in made.slides]
        self._failures = Failures(made.source, self.desk.session.choices)
        self.face.set_source(made.source.name, made.notes, has_table=made.source.is_file())
        self._arrange()
        self._look_up(pictures=True)

    def _look_up(self, pictures: bool = False) -> None:
        """Find on the disk what is known of each slide, under the panel's present choices."""
        self._stop_look()
        if self._list is None or self._failures is None:
            return
        chosen = self.desk.session.choices
        self._looked = casework.what_counts(chosen)
        self._stop_look = self.desk.jobs.start(
            casework.look_up,
            self._list.slides,
            chosen,
            self._failures.reasons,
            pictures,
            yielded=self._unless_gone(partial(self._take_known, self._list)),
            returned=lambda _: None,
            errored=self._unless_gone(self.desk.fail),
        )

    def _take_known(self, asked: CaseList, known: Known | Progress) -> None:
        if not isinstance(known, Known) or asked is not self._list:
            return
        if known.thumbnail is not None:
            self.face.set_picture(known.number, known.thumbnail)
        elif known.number != self.queue.present:
            self._stand(known.number, known.standing)

    def _stand(self, number: int, standing: Standing) -> None:
        self._standings[number] = standing
        self._show_row(number)

    def _show_row(self, number: int) -> None:
        row = self._row(self._order.index(number)) if number in self._order else None
        self.face.set_row(row, census(self._standings))

    def _row(self, place: int) -> CaseRow:
        assert self._list is not None
        return row_of(place, self._order, self._list.slides, self._standings, self.queue)

    def _arrange(self) -> None:
        """Which slides are shown, and in which order."""
        column, falling = self.face.sorted_by
        wanted: Any = self.face.wanted_state or None
        text, slides = self.face.text.text(), () if self._list is None else self._list.slides
        self._order = arranged(slides, self._standings, text=text, state=wanted, column=column, falling=falling)
        self.face.set_rows([self._row(place) for place in range(len(self._order))], census(self._standings))

    def _session_changed(self) -> None:
        """Other parameters have other results; a queue that waited for the panel's run goes on."""
        if self._list is not None and casework.what_counts(self.desk.session.choices) != self._looked:
            self._rest.start()
        if self.queue.waiting and self.queue.present is None:
            self._next()

    def _look_again(self) -> None:
        if self.desk.session.choices.reading is None and self.queue.present is None:
            self._look_up()

    def _result_changed(self) -> None:
        """A run of the panel counts for the list as well."""
        prediction, origin = self.desk.session.prediction, self.desk.session.origin
        if prediction is None or origin is None or prediction.partial < 1 or self._list is None:
            return
        for number, slide in enumerate(self._list.slides):
            if slide.path is not None and slide.path.absolute() == origin.path.absolute():
                self._note(number, "")
                self._stand(number, casework.standing_of(prediction))

    def run(self, numbers: list[int]) -> None:
        """Run these slides one after the other, with what the panel says now."""
        chosen = self.desk.session.choices
        if chosen.facts is None or chosen.reading is not None:
            what = "a checkpoint" if chosen.facts is None else "the gene profile to be read"
            self.desk.fail(InputError(f"The queue cannot begin: expected {what}, found none yet; see the panel."))
            return
        self._round = chosen
        self.queue.add(numbers)
        self._arrange()
        self._next()

    def stop(self) -> None:
        """End the queue; the slide at work keeps what was embedded of it."""
        if self.queue.idle:
            return
        self._stop_run()
        self._number += 1
        said = self.queue.said
        self.queue.stop()
        self.face.set_queue(False, f"Stopped: {said}; what was embedded is kept for the next run.")
        self._arrange()
        self._look_up()

    def _next(self) -> None:
        if self.desk.session.running:
            self.face.set_queue(True, "The queue waits for the run in the panel.", 0, 0)
            return
        number = self.queue.take()
        if number is None or self._list is None or self._round is None:
            if self.queue.idle and self.queue.total:
                self.face.set_queue(False, f"Done: {self.queue.said}.")
            return
        self._number += 1
        self._show_row(number)
        self._progress(number, Progress("waiting for a free thread", 0, 0))
        hear = partial(self._if_present, self._number, number)
        self._stop_run = self.desk.jobs.start(
            casework.run_slide,
            self._list.slides[number],
            self._round,
            yielded=self._unless_gone(partial(hear, self._progress)),
            returned=self._unless_gone(partial(hear, self._done)),
            errored=self._unless_gone(partial(hear, self._failed)),
        )

    def _if_present(self, run: int, number: int, act: Callable[[int, Any], None], value: Any) -> None:
        """Only the present run counts."""
        if run == self._number and number == self.queue.present:
            act(number, value)

    def _progress(self, number: int, progress: Progress) -> None:
        assert self._list is not None
        share = progress.done / progress.total if progress.total and progress.unit == "patches" else 0.0
        of = (self.queue.place - 1 + min(share, 1.0)) / self.queue.total
        name = self._list.slides[number].slide_id
        said = f"{self.queue.place} of {self.queue.total}, {name}: {words.progress_words(progress)}"
        self.face.set_queue(True, said, round(STEPS * of), STEPS)

    def _done(self, number: int, prediction: Prediction) -> None:
        self.queue.end(True)
        self._note(number, "")
        self._stand(number, casework.standing_of(prediction))
        self._next()

    def _failed(self, number: int, error: Exception) -> None:
        """The reason stands in its row; the queue goes on."""
        LOG.error("%s", error, exc_info=error)
        reason = words.error_words(error)
        self.queue.end(False)
        self._note(number, reason)
        self._stand(number, Standing("failed", reason))
        self._next()

    def _note(self, number: int, reason: str) -> None:
        try:
            if self._failures is not None and self._list is not None:
                self._failures.note(self._list.slides[number].slide_id, reason)
        except InputError as error:
            self.desk.fail(error)

    def open(self, number: int) -> None:
        """Open a slide of the list in the place of the present one, with everything that is known of it."""
        assert self._list is not None
        slide = self._list.slides[number]
        if slide.path is None or not slide.path.exists():
            self.desk.fail(
                InputError(f"{slide.slide_id}: expected its file, found none; choose the folder of the slides.")
            )
            return
        widget, chosen = panel_of(self.desk.viewer), self.desk.session.choices
        known = self._standings[number].state == "predicted"
        if self._show(slide, slide.path, widget, keep_choices=known):
            self.desk.jobs.start(
                casework.kept_of,
                slide,
                chosen,
                returned=self._unless_gone(lambda found: None if found is None else show_kept(widget, *found)),
                errored=self._unless_gone(self.desk.fail),
            )

    def _show(self, slide: CaseSlide, path: Path, widget: Any, keep_choices: bool) -> bool:
        """Put a slide into the window; whether its result is still to be looked for."""
        viewer = plainly(self.desk.viewer)
        present = [each for each in slide_layers(viewer) if is_same_file(Path(each.metadata["slide"].path), path)]
        if present:
            widget.panel.slide.slides.setCurrentText(present[-1].name)
            return self.desk.result is None
        session = latest_session(path.absolute(), keeping.base_folder(self.desk.session.choices) / "sessions")
        if session is not None:
            restore(viewer, session, keep_choices=keep_choices)
            return keep_choices
        autosave_of(self.desk).hand_over(partial(clear, viewer))
        viewer.open(str(path), plugin=PLUGIN)
        return True


def _nothing() -> None:
    """Nothing to stop."""
