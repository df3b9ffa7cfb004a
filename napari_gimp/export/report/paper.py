"""An A4 page in inches: words and axes put where they belong, lines broken and cut to a width."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

WIDTH, HEIGHT, MARGIN = 8.27, 11.69, 0.5
INNER = WIDTH - 2 * MARGIN
Number = int | float
PER_INCH = 130.0
"""Characters of DejaVu Sans in an inch, times their size in points: what lines are broken by."""


class Sheet:
    """An A4 page that is filled from the top; all lengths in inches."""

    def __init__(self) -> None:
        self.figure = Figure(figsize=(WIDTH, HEIGHT))
        FigureCanvasPdf(self.figure)
        self.top = MARGIN

    def box(self, left: Number, below: Number, width: Number, height: Number) -> Axes:
        """Axes at ``left`` of the inner page and ``below`` the filled part."""
        bottom = HEIGHT - self.top - below - height
        place = Bbox.from_bounds((MARGIN + left) / WIDTH, bottom / HEIGHT, width / WIDTH, height / HEIGHT)
        axis: Axes = self.figure.add_axes(place.bounds)
        return axis

    def text(self, left: Number, below: Number, words: str, size: Number, **look: Any) -> None:
        """Words with their top there, never read as a formula."""
        x, y = (MARGIN + left) / WIDTH, 1 - (self.top + below) / HEIGHT
        self.figure.text(x, y, words, fontsize=size, va="top", parse_math=False, **look)

    def lines(self, left: Number, below: Number, lines: Sequence[str], size: Number, width: Number) -> float:
        """Sentences broken to a width, one under the other; returns the height they take."""
        broken = [part for line in lines for part in wrapped(line, size, width)]
        for number, part in enumerate(broken):
            self.text(left, below + number * leading(size), part, size)
        return len(broken) * leading(size)

    def title(self, left: Number, below: Number, words: str, width: Number = INNER, size: Number = 8.5) -> None:
        """The head of a part, in bold, cut to a width."""
        self.text(left, below, cut(words, 1.2 * size, width), size, weight="bold")


def leading(size: Number) -> float:
    """From line to line, in inches."""
    return size * 1.32 / 72


def cut(words: str, size: Number, width: Number) -> str:
    """A line cut to a width in inches."""
    most = int(width * PER_INCH / size)
    return words if len(words) <= most else f"{words[: most - 1]}…"


def wrapped(line: str, size: Number, width: Number) -> list[str]:
    """A line broken to a width in inches."""
    return textwrap.wrap(line, max(12, int(width * PER_INCH / size))) or [""]
