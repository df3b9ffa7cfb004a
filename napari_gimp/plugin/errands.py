"""The workers of one dock: their answers go nowhere once the dock is gone."""

from __future__ import annotations

from collections.abc import Callable, Generator
from itertools import count
from typing import Any

from napari_gimp.plugin.desk import Desk


class Errands:
    """Starts work beside the window for a dock and forgets it, with all that it holds, when it is done."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._numbers = count()
        self._ends: dict[int, Callable[[], None]] = {}

    def start(
        self,
        make: Callable[..., Generator[Any, None, Any]],
        *args: Any,
        returned: Callable[[Any], None],
        errored: Callable[[Exception], None],
        yielded: Callable[[Any], None] = lambda progress: None,
    ) -> Callable[[], None]:
        """Drain ``make(*args)`` in a thread; the callbacks run in the window's thread, unless :meth:`end`.

        Returns
        -------
        What to call to end this one work after its step; its result is then dropped.
        """
        number = next(self._numbers)

        def told(act: Callable[[Any], None], value: Any) -> None:
            if self._ends.pop(number, None) is not None:
                act(value)

        self._ends[number] = self._desk.jobs.start(
            make,
            *args,
            returned=lambda value: told(returned, value),
            errored=lambda error: told(errored, error),
            yielded=lambda progress: yielded(progress) if number in self._ends else None,
        )
        return lambda: self._end(number)

    def _end(self, number: int) -> None:
        end = self._ends.pop(number, None)
        if end is not None:
            end()

    @property
    def busy(self) -> bool:
        """Whether an answer is awaited."""
        return bool(self._ends)

    def end(self) -> None:
        """Nobody waits for the answers any more."""
        for end in self._ends.values():
            end()
        self._ends.clear()
