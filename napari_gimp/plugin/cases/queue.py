"""Slides that wait to be run, one after the other: plain data, no window."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass
class Queue:
    """Numbers of slides in the order in which they are run; ``present`` is the one at work, None while none is."""

    waiting: list[int] = field(default_factory=list)
    present: int | None = None
    done: int = 0
    failed: int = 0

    def add(self, numbers: Iterable[int]) -> None:
        """Put slides at the end; those that wait or run already are not run twice. An idle queue counts anew."""
        if self.idle:
            self.done = self.failed = 0
        known = {*self.waiting, self.present}
        self.waiting += [number for number in dict.fromkeys(numbers) if number not in known]

    @property
    def idle(self) -> bool:
        """Nothing runs and nothing waits."""
        return self.present is None and not self.waiting

    @property
    def total(self) -> int:
        """How many slides this round has."""
        return self.done + self.failed + len(self.waiting) + (self.present is not None)

    @property
    def place(self) -> int:
        """Which slide of the round is at work, counted from 1."""
        return self.done + self.failed + 1

    def take(self) -> int | None:
        """The next slide to run, None when nothing waits or one is at work."""
        if self.present is None and self.waiting:
            self.present = self.waiting.pop(0)
            return self.present
        return None

    def end(self, well: bool) -> None:
        """The present slide is done, or failed."""
        self.present = None
        self.done += well
        self.failed += not well

    def stop(self) -> None:
        """Nothing waits any more, and what is at work no longer counts."""
        self.waiting.clear()
        self.present = None

    @property
    def said(self) -> str:
        """How the round went."""
        slides = f"{self.done} slide{'s' * (self.done != 1)} predicted"
        return f"{slides}, {self.failed} failed" if self.failed else slides
