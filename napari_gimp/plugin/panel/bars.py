"""Class probabilities as bars: one row per kind of input, one colour per class, the spread over seeds as a line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from qtpy.QtCore import QRectF, QSize, Qt
from qtpy.QtGui import QColor, QPainter, QPaintEvent, QPalette, QPen
from qtpy.QtWidgets import QSizePolicy, QWidget

COLOURS = ("#0072b2", "#e69f00", "#56b4e9", "#cc79a7", "#f0e442", "#999999")
"""Okabe and Ito's, told apart by colour-blind readers; no red against green."""
ROW_PX, GAP_PX = 18, 4


@dataclass(frozen=True)
class BarRow:
    """One kind of input: its name, a probability per class, and the spread of the first class over the seeds."""

    name: str
    probabilities: tuple[float, ...]
    spread: float | None = None


class ProbabilityBars(QWidget):
    """Stacked bars from 0 to 1; the numbers stand in the table beside them and in the tooltip."""

    def __init__(self) -> None:
        super().__init__(objectName="probability_bars")
        self._classes: tuple[str, ...] = ()
        self._rows: tuple[BarRow, ...] = ()
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    @property
    def rows(self) -> tuple[BarRow, ...]:
        """What is drawn."""
        return self._rows

    def set_rows(self, classes: Sequence[str], rows: Sequence[BarRow]) -> None:
        """Show these bars; class k has the k-th colour in all of them."""
        self._classes, self._rows = tuple(classes), tuple(rows)
        self.setToolTip("\n".join(map(self._words, self._rows)))
        self.updateGeometry()
        self.update()

    def _words(self, row: BarRow) -> str:
        each = ", ".join(f"{name} {p:.2f}" for name, p in zip(self._classes, row.probabilities, strict=True))
        return f"{row.name}: {each}" + (f" (± {row.spread:.2f} over seeds)" if row.spread is not None else "")

    def sizeHint(self) -> QSize:
        """As high as its rows."""
        return QSize(200, len(self._rows) * (ROW_PX + GAP_PX))

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        left = max((painter.fontMetrics().horizontalAdvance(row.name) for row in self._rows), default=0) + 6
        for k, row in enumerate(self._rows):
            self._paint(painter, row, left, k * (ROW_PX + GAP_PX))
        painter.end()

    def _paint(self, painter: QPainter, row: BarRow, left: float, top: float) -> None:
        ink = self.palette().color(QPalette.ColorRole.WindowText)
        painter.setPen(ink)
        vertical = Qt.AlignmentFlag.AlignVCenter
        painter.drawText(QRectF(0, top, left - 6, ROW_PX), Qt.AlignmentFlag.AlignRight | vertical, row.name)
        whole, x = self.width() - left, left
        for k, (name, share) in enumerate(zip(self._classes, row.probabilities, strict=True)):
            box = QRectF(x, top, whole * share, ROW_PX)
            colour = QColor(COLOURS[k % len(COLOURS)])
            painter.fillRect(box, colour)
            _write(painter, box, "white" if colour.lightnessF() < 0.4 else "black", f"{name} {share:.2f}", name)
            x += whole * share
        if row.spread is not None:
            _whisker(painter, left + whole * row.probabilities[0], whole * row.spread, top, ink)


def _write(painter: QPainter, box: QRectF, ink: str, long: str, short: str) -> None:
    """The longest of the two texts that fits into a bar."""
    metrics = painter.fontMetrics()
    text = next((text for text in (long, short) if metrics.horizontalAdvance(text) + 8 <= box.width()), "")
    painter.save()
    painter.setPen(QColor(ink))
    painter.drawText(box, Qt.AlignmentFlag.AlignCenter, text)
    painter.restore()


def _whisker(painter: QPainter, x: float, half: float, top: float, ink: QColor) -> None:
    """A line of one spread to either side of where the first class ends."""
    painter.setPen(QPen(ink, 2))
    middle = top + ROW_PX - 3
    painter.drawLine(int(x - half), int(middle), int(x + half), int(middle))
