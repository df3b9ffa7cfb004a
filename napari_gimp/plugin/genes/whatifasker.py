"""Asks the model what stands in the list of edits: steps in, answers out; knows no widget."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from psygnal import Signal

from napari_gimp import words
from napari_gimp.plugin.desk import Desk
from napari_gimp.plugin.genes import whatif, whatifwork
from napari_gimp.plugin.genes.asking import Latest, asking_of
from napari_gimp.plugin.genes.whatifwork import Answered
from napari_gimp.plugin.newest import Newest
from napari_gimp.types import GeneEdit, Prediction, Progress, RegionEdit, WhatIf

LOADING = "Loading the model …"


class WhatIfAsker:
    """The what-if of a desk, its history and its answer.

    Attributes
    ----------
    asked
        Said with the `WhatIf` whenever another one is asked.
    answer_came
        Said with the `Answered`, where it is still asked for.
    said, failed
        What is being done and whether it can be stopped; an error.
    """

    asked = Signal(object)
    answer_came = Signal(object)
    said = Signal(str, bool)
    failed = Signal(object)

    def __init__(self, desk: Desk) -> None:
        self._desk, self._asking = desk, asking_of(desk)
        self.history = whatif.History(desk.what_if)
        self.answered: Answered | None = None
        self._slide = None if desk.result is None else desk.result.slide.identity
        self._reruns: dict[RegionEdit, Any] = {}
        self._of: Any = self._asking.questions
        self._answers, self._looks = Latest(self._start_answer), Newest()
        desk.what_if_changed.connect(self._asked_elsewhere)
        desk.session.result_changed.connect(self._result_changed)

    def end(self) -> None:
        """Nothing is asked any more."""
        self._desk.what_if_changed.disconnect(self._asked_elsewhere, missing_ok=True)
        self._desk.session.result_changed.disconnect(self._result_changed, missing_ok=True)
        self._answers.end()
        self._looks.end()

    def add(self, edit: GeneEdit | RegionEdit, same_step: bool = False) -> None:
        """One edit more; twice the same is once."""
        edits = self.history.now.edits
        if not edits or edits[-1] != edit:
            self._step(partial(self.history.add, edit, same_step))

    def remove(self, row: int) -> None:
        """Without one edit."""
        self._step(partial(self.history.remove, row))

    def undo(self) -> None:
        """Take the last step back."""
        self._step(self.history.undo)

    def reset(self) -> None:
        """No edits."""
        self._step(self.history.reset)

    def stop(self) -> None:
        """Give up looking at other patches: without an answer, the region goes from the list."""
        self._looks.drop()
        region = self.history.now.region
        if region is not None and region not in self._reruns:
            rest = tuple(edit for edit in self.history.now.edits if edit is not region)
            self._step(partial(self.history.ask, WhatIf(rest)))

    def _step(self, act: Callable[[], None]) -> None:
        act()
        self.ask()

    def _asked_elsewhere(self) -> None:
        if self._desk.what_if != self.history.now:
            self._step(partial(self.history.ask, self._desk.what_if))

    def _result_changed(self) -> None:
        """A result of another slide begins without edits; one of another run is asked the same."""
        result = self._desk.result
        if result is None:
            return
        before, self._slide = self._slide, result.slide.identity
        if before not in (None, self._slide):
            self.history = whatif.History()
            self.ask()

    def ask(self) -> None:
        """Ask what stands in the list."""
        asked, questions = self.history.now, self._asking.questions
        if questions is not self._of:
            self._of = questions
            self._reruns.clear()
        self.answered = None
        self._looks.drop()
        if self._desk.what_if != asked:
            self._desk.what_if = asked
            self._desk.what_if_changed.emit()
        self.asked.emit(asked)
        if questions is not None and asked:
            self._ask(asked, questions)
        elif questions is None and not self._asking.why_not and self._asking.error is None:
            self.said.emit(LOADING, False)
            self._asking.when_ready(_heard_elsewhere, self._progress)
        else:
            self.said.emit("", False)

    def _ask(self, asked: WhatIf, questions: Any) -> None:
        region, result = asked.region, self._desk.result
        if region is None or region in self._reruns:
            rerun = None if region is None else self._reruns[region]
            self._answers.ask((asked, questions if rerun is None else rerun.questions, rerun))
        elif result is not None:
            self._looks.ask(partial(self._start_look, region, result))

    def _start_answer(self, question: tuple[WhatIf, Any, Any], over: Callable[[], None]) -> None:
        def then(act: Callable[[Any], None], value: Any) -> None:
            over()
            act(value)

        self._desk.jobs.start(
            whatifwork.answer,
            *question,
            returned=partial(then, self._take_answer),
            errored=partial(then, self.failed.emit),
        )

    def _take_answer(self, found: Answered | None) -> None:
        """An answer counts while it is asked for; None comes from a worker that was told to end."""
        if found is not None and found.asked == self.history.now:
            self.answered = found
            self.answer_came.emit(found)

    def _start_look(self, region: RegionEdit, result: Prediction, number: int) -> Callable[[], None]:
        self.said.emit(f"The model looks at {region.kept} of {region.total} patches …", True)
        then = self._looks.then
        return self._desk.jobs.start(
            whatifwork.rerun,
            self._asking.questions,
            whatif.kept_by(region, result.grid),
            returned=then(number, partial(self._take_look, region)),
            errored=then(number, self.failed.emit),
            yielded=then(number, self._progress),
        )

    def _take_look(self, region: RegionEdit, rerun: Any) -> None:
        if rerun is not None:
            self._reruns[region] = rerun
            self.ask()

    def _progress(self, progress: Progress) -> None:
        self.said.emit(f"{words.progress_words(progress)} …", True)


def _heard_elsewhere(_: object) -> None:
    """The dock hears that the questions are ready."""
