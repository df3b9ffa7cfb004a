"""Bars to either side of 0: what speaks for a class and what against it. A row can be clicked, or chosen by keys."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import QRectF, QSize, Qt, Signal
from qtpy.QtGui import QColor, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPalette, QPen
from qtpy.QtWidgets import QSizePolicy, QWidget

from napari_gimp.plugin.genes.genetable import Bar

AGAINST, FOR = "#e66100", "#2b7bba"
"""Orange and blue, as on the slide: told apart by colour-blind readers."""
ROW_PX, BAR_PX = 18, 11
MOST_SHARE, NUMBER_PX = 0.45, 54
"""Names take at most so much of the width."""


class SignedBars(QWidget):
    """Names to the left, bars round a common 0, numbers to the right; ``clicked`` says the name of a row."""

    clicked = Signal(str)

    def __init__(self, name: str, unit: str, clickable: bool = False) -> None:
        super().__init__(objectName=name)
        self._bars: tuple[Bar, ...] = ()
        self._unit, self._clickable, self._chosen = unit, clickable, -1
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        if clickable:
            self.setCursor(Qt.CursorShape.PointingHandCursor)
            self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)

    @property
    def bars(self) -> tuple[Bar, ...]:
        """What is drawn, from the top."""
        return self._bars

    def set_bars(self, bars: Sequence[Bar]) -> None:
        """Show these bars."""
        self._bars, self._chosen = tuple(bars), -1
        self.setToolTip("\n".join(f"{bar.name}: {bar.value:+.4f} {self._unit} ({bar.more})" for bar in self._bars))
        self.setFixedHeight(max(1, len(self._bars)) * ROW_PX)
        self.update()

    def mark(self, name: str) -> None:
        """Show a row as the chosen one."""
        self._chosen = next((k for k, bar in enumerate(self._bars) if bar.name == name), -1)
        self.update()

    def sizeHint(self) -> QSize:
        """As high as its rows."""
        return QSize(220, max(1, len(self._bars)) * ROW_PX)

    def row_centre(self, row: int) -> tuple[int, int]:
        """Where a row is in the widget, (x, y)."""
        return self.width() // 2, row * ROW_PX + ROW_PX // 2

    def mousePressEvent(self, event: QMouseEvent) -> None:
        self._click(int(event.position().y()) // ROW_PX)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Up and down move, Enter chooses."""
        step = {Qt.Key.Key_Up: -1, Qt.Key.Key_Down: 1}.get(Qt.Key(event.key()))
        if step is not None and self._bars:
            self._chosen = min(max(self._chosen + step, 0), len(self._bars) - 1)
            self.update()
        elif event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self._click(self._chosen)
        else:
            super().keyPressEvent(event)

    def _click(self, row: int) -> None:
        if self._clickable and 0 <= row < len(self._bars):
            self._chosen = row
            self.update()
            self.clicked.emit(self._bars[row].name)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        most = max((abs(bar.value) for bar in self._bars), default=0.0) or 1.0
        metrics = painter.fontMetrics()
        widest = max((metrics.horizontalAdvance(bar.name) for bar in self._bars), default=0) + 8
        left = min(widest, MOST_SHARE * self.width())
        zero, half = (left + self.width() - NUMBER_PX) / 2, (self.width() - NUMBER_PX - left) / 2 - 4
        for row, bar in enumerate(self._bars):
            self._paint(painter, row, bar, left, zero, half * bar.value / most)
        painter.setPen(QPen(self._ink, 1))
        painter.drawLine(int(zero), 0, int(zero), len(self._bars) * ROW_PX)
        painter.end()

    @property
    def _ink(self) -> QColor:
        return self.palette().color(QPalette.ColorRole.WindowText)

    def _paint(self, painter: QPainter, row: int, bar: Bar, left: float, zero: float, long: float) -> None:
        top = row * ROW_PX
        if row == self._chosen:
            painter.fillRect(QRectF(0, top, self.width(), ROW_PX), QColor(128, 128, 128, 70))
        painter.setPen(self._ink)
        middle = Qt.AlignmentFlag.AlignVCenter
        name = painter.fontMetrics().elidedText(bar.name, Qt.TextElideMode.ElideMiddle, int(left - 6))
        painter.drawText(QRectF(0, top, left - 6, ROW_PX), Qt.AlignmentFlag.AlignRight | middle, name)
        painter.drawText(QRectF(self.width() - NUMBER_PX, top, NUMBER_PX - 2, ROW_PX),
                         Qt.AlignmentFlag.AlignRight | middle, f"{bar.value:+.3f}")  # fmt: skip
        box = QRectF(min(zero, zero + long), top + (ROW_PX - BAR_PX) / 2, max(1.0, abs(long)), BAR_PX)
        painter.fillRect(box, QColor(FOR if bar.value >= 0 else AGAINST))
