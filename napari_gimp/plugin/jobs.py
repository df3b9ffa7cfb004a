"""Generator workers of one window: started, told to quit, waited for. Errors go to their caller, not to napari."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import closing
from typing import Any, Literal, get_args

import psygnal
from qtpy.QtCore import QObject, QThreadPool, Signal
from superqt.utils import WorkerBase

QUIET_S = 0.1
"""Shortest time between two progress reports without news: at most ten a second reach the window."""

Kind = Literal["progress", "returned", "errored", "finished"]
KINDS: tuple[Kind, ...] = get_args(Kind)
LEAST_THREADS = 8
"""A run, a queue of cases and what docks read stand in nobody's way, however few cores there are."""


def paced(work: Generator[Any, None, Any]) -> Generator[Any, None, Any]:
    """The same generator with reports that carry neither tissue, grid nor map held back when they come too fast."""
    last = float("-inf")
    with closing(work):
        while True:
            try:
                progress = next(work)
            except StopIteration as end:
                return end.value
            now = time.monotonic()
            news = progress.tissue is not None or progress.grid is not None or progress.partial is not None
            if news or now - last >= QUIET_S:
                last = now
                yield progress


class Said(QObject):
    """What a worker says while it works."""

    progress = Signal(object)


class Ears(QObject):
    """Who listens to a worker. Lives in the window's thread and is all that Qt knows of them.

    Listeners are never disconnected from Qt: what is on its way to a callable that was, is a crash of PySide.
    """

    def __init__(self) -> None:
        super().__init__()
        self.acts: dict[Kind, list[Callable[..., object]]] = {kind: [] for kind in KINDS}

    def progress(self, value: object) -> None:
        """Something was said."""
        self._tell("progress", value)

    def returned(self, value: object) -> None:
        """The result."""
        self._tell("returned", value)

    def errored(self, error: object) -> None:
        """What went wrong."""
        self._tell("errored", error)

    def finished(self) -> None:
        """It is over."""
        self._tell("finished")

    def _tell(self, kind: Kind, *values: object) -> None:
        for act in tuple(self.acts[kind]):
            act(*values)


class Worker(WorkerBase):
    """Drains a generator in a thread and closes it there: a run that is given up frees its files at once."""

    def __init__(self, make: Callable[..., Generator[Any, None, Any]], args: tuple[Any, ...]) -> None:
        super().__init__()
        self.said, self._ears = Said(), Ears()
        self._make, self._args = make, args
        self.said.progress.connect(self._ears.progress)
        for kind in KINDS[1:]:
            getattr(self, kind).connect(getattr(self._ears, kind))

    def tell(self, kind: Kind, act: Callable[..., object]) -> None:
        """Call ``act`` in the window's thread at such news of this worker, until :meth:`fall_silent`."""
        self._ears.acts[kind].append(act)

    def fall_silent(self) -> None:
        """Let go of everybody who listens: Qt would keep them, and all that they hold, as long as they hold this."""
        for acts in self._ears.acts.values():
            acts.clear()

    def work(self) -> Any:
        """Step by step, until the end or until told to quit."""
        work, self._args = self._make(*self._args), ()  # superqt may keep the last worker: what it worked on can go
        with closing(paced(work)) as steps:
            while not self.abort_requested:
                try:
                    self.said.progress.emit(next(steps))
                except StopIteration as end:
                    return end.value
        return None


class Jobs:
    """The live workers of a window. A plain object, so that it outlives the widget that stops them.

    ``started`` and ``ended`` say the worker.
    """

    started = psygnal.Signal(object)
    ended = psygnal.Signal(object)

    def __init__(self) -> None:
        self._live: list[Worker] = []
        pool = QThreadPool.globalInstance()
        pool.setMaxThreadCount(max(pool.maxThreadCount(), LEAST_THREADS))

    def start(
        self,
        make: Callable[..., Generator[Any, None, Any]],
        *args: Any,
        returned: Callable[[Any], None],
        errored: Callable[[Exception], None],
        yielded: Callable[[Any], None] = lambda progress: None,
    ) -> Callable[[], None]:
        """Drain ``make(*args)`` in a thread; the callbacks run in the window's thread.

        Returns
        -------
        What to call to end this one worker after its step; its result is then dropped.
        """
        worker = Worker(make, args)
        worker.tell("progress", yielded)
        worker.tell("returned", returned)
        worker.tell("errored", errored)
        worker.tell("finished", lambda: self._forget(worker))
        self._live.append(worker)
        self.started.emit(worker)
        worker.start()
        return lambda: worker.quit() if worker in self._live else None

    @property
    def busy(self) -> bool:
        """Whether a worker is still there."""
        return bool(self._live)

    @property
    def running(self) -> bool:
        """Whether a thread is still at work."""
        return any(worker.is_running for worker in self._live)

    def _forget(self, worker: Worker) -> None:
        if worker in self._live:
            self._live.remove(worker)
            worker.fall_silent()
            self.ended.emit(worker)

    def quit(self) -> None:
        """Ask every worker to end after its step; returns at once."""
        for worker in self._live:
            worker.quit()

    def stop(self, wait_s: float = 10.0) -> bool:
        """Ask every worker to end, unheard, and wait for the threads; whether all have ended."""
        self.quit()
        end = time.monotonic() + wait_s
        while self.running and time.monotonic() < end:
            time.sleep(0.01)
        ended = not self.running
        for worker in list(self._live):
            self._forget(worker)
        return ended
