"""Only the answer to the newest question counts: numbers for what a dock asks of workers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from napari_gimp.plugin.desk import Dock


class Newest:
    """Numbers questions; answers of older ones, or after the end, are dropped."""

    def __init__(self) -> None:
        self._number = 0
        self._ended = False
        self._stop: Callable[[], None] = lambda: None

    def ask(self, start: Callable[[int], Callable[[], None]]) -> None:
        """Give up what was asked before and start the next; ``start`` takes its number and returns how to stop it."""
        self.drop()
        self._stop = start(self._number)

    def drop(self) -> None:
        """Nothing that was asked so far counts any more."""
        self._number += 1
        self._stop()
        self._stop = lambda: None

    def end(self) -> None:
        """Nothing counts from now on."""
        self._ended = True
        self.drop()

    @property
    def ended(self) -> bool:
        """Whether nothing counts any more."""
        return self._ended

    def then(self, number: int, act: Callable[[Any], None]) -> Callable[[Any], None]:
        """``act``, where this question is still the newest when the answer comes."""
        return lambda answer: act(answer) if number == self._number and not self._ended else None


def ends_with(dock: Dock, *acts: Callable[[], None]) -> None:
    """Call these when a dock goes, or before its window closes."""
    closing = dock.desk.before_closing
    closing += acts

    def end(_: object = None) -> None:
        for act in acts:
            act()
            closing.remove(act)

    dock.destroyed.connect(end)
