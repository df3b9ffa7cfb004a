"""Long work of a window in napari's activity dock, as far along as it says; nothing of it stays when it is over."""

from __future__ import annotations

import time
from typing import Any

from napari.utils import progress

from napari_gimp.plugin.jobs import Jobs, Worker
from napari_gimp.types import Progress

LONG_S = 0.7
"""Work that is over sooner is not worth a bar."""


class Activity:
    """Gives each worker of a window, once it has gone on for a while, a bar in napari's activity dock."""

    def __init__(self, jobs: Jobs) -> None:
        self._bars: dict[Worker, Bar] = {}
        jobs.started.connect(self._started)
        jobs.ended.connect(self._ended)

    def _started(self, worker: Worker) -> None:
        bar = self._bars[worker] = Bar()
        worker.tell("progress", bar.take)

    def _ended(self, worker: Worker) -> None:
        bar = self._bars.pop(worker, None)
        if bar is not None:
            bar.close()


class Bar:
    """One bar: made at the first news after ``LONG_S``.

    napari lets the window live while it makes a bar or names it: more news, or the end, may come meanwhile.
    """

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._bar: Any = None
        self._stage = ""
        self._busy = self._over = False

    def take(self, news: Any) -> None:
        """Show how far it is."""
        if not isinstance(news, Progress) or self._busy or self._over or time.monotonic() - self._began < LONG_S:
            return
        self._busy = True
        if self._bar is None:
            self._stage, self._bar = news.stage, progress(total=news.total, desc=f"GiMP: {news.stage}")
        if not self._over:
            self._show(news)
        self._busy = False
        self._close_if_over()

    def _show(self, news: Progress) -> None:
        self._bar.total = news.total
        self._bar.update(min(news.done, news.total) - self._bar.n)
        if news.stage != self._stage:
            self._stage = news.stage
            self._bar.set_description(f"GiMP: {news.stage}")

    def close(self) -> None:
        """It is over."""
        self._over = True
        self._close_if_over()

    def _close_if_over(self) -> None:
        if self._over and self._bar is not None and not self._busy:
            self._bar.close()
