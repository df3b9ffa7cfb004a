"""Questions to the model behind the result in sight: loaded once, beside the window, shared by the docks that ask."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from functools import partial
from typing import Any

from psygnal import Signal

from napari_gimp.plugin import job
from napari_gimp.plugin.desk import Desk
from napari_gimp.plugin.newest import Newest
from napari_gimp.plugin.patches.expected import questions_of
from napari_gimp.plugin.session import Request
from napari_gimp.types import Progress

NO_RESULT = "Run GiMP on a slide first."
PARTIAL = "Known once the whole slide is computed."
NO_RUN = "Run GiMP again: the model of this result is not loaded."


class Asking:
    """Keeps the questions to one run's model; lets go of them when another result is in sight.

    ``changed`` is said when they are ready, failed, or gone.
    """

    changed = Signal()

    def __init__(self, desk: Desk) -> None:
        self._desk, self._loads = desk, Newest()
        self._origin: Request | None = None
        self._waiting: deque[Callable[[Any], object]] = deque()
        self.questions: Any = None
        self.error: Exception | None = None
        desk.session.result_changed.connect(self._result_changed)
        desk.before_closing.append(self._loads.end)
        self._result_changed()

    @property
    def why_not(self) -> str:
        """Why nothing can be asked now, in words; empty where it can."""
        result = self._desk.result
        if result is None:
            return NO_RESULT
        if result.partial < 1:
            return PARTIAL
        return NO_RUN if self._desk.session.origin is None else ""

    def _result_changed(self) -> None:
        """The result with another map in it is still that run's."""
        found = None if self.why_not else self._desk.session.origin
        if found is self._origin:
            return
        self._loads.drop()
        self._waiting.clear()
        self._origin, self.questions, self.error = found, None, None
        self.changed.emit()

    def when_ready(self, act: Callable[[Any], object], said: Callable[[Progress], None] = lambda _: None) -> None:
        """Call ``act`` with the questions, now or once they are loaded; ``said`` hears how far that is."""
        if self.questions is not None:
            act(self.questions)
            return
        self._waiting.append(act)
        if self._origin is not None and len(self._waiting) == 1:
            self.error = None
            self._loads.ask(partial(self._load, self._origin, said))

    def _load(self, origin: Request, said: Callable[[Progress], None], number: int) -> Callable[[], None]:
        return self._desk.jobs.start(
            load,
            origin,
            returned=self._loads.then(number, self._ready),
            errored=self._loads.then(number, self._failed),
            yielded=self._loads.then(number, said),
        )

    def _ready(self, questions: Any) -> None:
        self.questions = questions
        waiting = list(self._waiting)
        self._waiting.clear()
        for act in waiting:
            act(questions)
        self.changed.emit()

    def _failed(self, error: Exception) -> None:
        self._waiting.clear()
        self.error = error
        self.changed.emit()


def asking_of(desk: Desk) -> Asking:
    """The one of a desk."""
    return desk.part(Asking)


def load(origin: Request) -> Generator[Progress, None, Any]:
    """The questions of a run, with the processor when it is free."""
    job.step_back()
    return (yield from questions_of(origin))


class Latest:
    """One worker at a time; while it works only the newest question is remembered.

    Parameters
    ----------
    start
        Starts a question, and calls the second argument when it is over.
    """

    def __init__(self, start: Callable[[Any, Callable[[], None]], object]) -> None:
        self._start = start
        self._busy = self._ended = False
        self._next: deque[Any] = deque(maxlen=1)

    def ask(self, question: Any) -> None:
        """Ask now, or as soon as the one under way is answered."""
        self._next.append(question)
        if not self._busy:
            self._go_on()

    def _go_on(self) -> None:
        self._busy = bool(self._next) and not self._ended
        if self._busy:
            self._start(self._next.popleft(), self._go_on)

    def end(self) -> None:
        """Nothing is asked any more."""
        self._ended = True
        self._next.clear()
