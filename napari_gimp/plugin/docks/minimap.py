"""The whole slide, small, with the part that the window shows. Click to jump, drag to move, arrow keys to step."""

from __future__ import annotations

import numpy as np
from jaxtyping import UInt8
from qtpy.QtCore import QPointF, QRectF, QSize, Qt, Signal
from qtpy.QtGui import QColor, QImage, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen, QPixmap
from qtpy.QtWidgets import QSizePolicy, QWidget

Pair = tuple[float, float]
LEAST_PX = 10
"""A view that would be smaller on the map is drawn as large as this."""
FRAME, HALO, GLASS = QColor("#0d47a1"), QColor("#ffffff"), QColor("#ebebeb")
STEP = 0.5
"""Share of the view that an arrow key moves it by."""
ARROWS = {
    Qt.Key.Key_Up: (-1, 0),
    Qt.Key.Key_Down: (1, 0),
    Qt.Key.Key_Left: (0, -1),
    Qt.Key.Key_Right: (0, 1),
}


class Minimap(QWidget):
    """Shares of the picture, down and to the right, on every signal and setter.

    Says ``wanted`` with the middle of the view that the user asks for.
    """

    wanted = Signal(float, float)

    def __init__(self) -> None:
        super().__init__(objectName="navigator.minimap")
        self._picture = QPixmap()
        self._aspect = 1.0
        self._seen: tuple[Pair, Pair] | None = None
        self._held: Pair | None = None
        self.setMinimumSize(QSize(180, 120))
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setCursor(Qt.CursorShape.CrossCursor)

    def sizeHint(self) -> QSize:
        """As high as the slide is at a usual dock's width."""
        return QSize(280, max(140, min(320, round(280 / self._aspect))))

    def show_picture(self, pixels: UInt8[np.ndarray, "h w 3"] | None, aspect: float) -> None:
        """The slide as it stands on the screen; None while it is not known.

        Parameters
        ----------
        aspect
            Width by height of the slide as it stands.
        """
        self._aspect = aspect
        if pixels is None:
            self._picture = QPixmap()
        else:
            solid = np.ascontiguousarray(pixels[..., :3])
            height, width = solid.shape[:2]
            image = QImage(solid.data, width, height, 3 * width, QImage.Format.Format_RGB888)
            self._picture = QPixmap.fromImage(image.copy())
        self.updateGeometry()
        self.update()

    def show_seen(self, seen: tuple[Pair, Pair] | None) -> None:
        """Two corners of what the window shows, top left and bottom right; None while there is no slide."""
        if seen != self._seen:
            self._seen = seen
            self.update()

    @property
    def seen(self) -> tuple[Pair, Pair] | None:
        """What :meth:`show_seen` was told."""
        return self._seen

    @property
    def has_picture(self) -> bool:
        """Whether there is a picture of the slide."""
        return not self._picture.isNull()

    @property
    def frame(self) -> QRectF:
        """Where the slide is drawn, in pixels of the widget."""
        width = min(float(self.width()), self.height() * self._aspect)
        height = width / self._aspect
        return QRectF((self.width() - width) / 2, (self.height() - height) / 2, width, height)

    def point(self, share: Pair) -> QPointF:
        """Where a share of the picture is drawn."""
        frame = self.frame
        return QPointF(frame.left() + share[1] * frame.width(), frame.top() + share[0] * frame.height())

    def _share(self, point: QPointF) -> Pair:
        frame = self.frame
        return (point.y() - frame.top()) / frame.height(), (point.x() - frame.left()) / frame.width()

    def _rectangle(self, seen: tuple[Pair, Pair]) -> QRectF:
        shown = QRectF(self.point(seen[0]), self.point(seen[1])).intersected(QRectF(self.rect()).adjusted(2, 2, -2, -2))
        short = max(0.0, LEAST_PX - shown.width()) / 2, max(0.0, LEAST_PX - shown.height()) / 2
        return shown.adjusted(-short[0], -short[1], short[0], short[1])

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        if self._seen is not None:
            self._paint(painter, self._rectangle(self._seen))
        painter.end()

    def _paint(self, painter: QPainter, seen: QRectF) -> None:
        frame = self.frame.toRect()
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        painter.fillRect(frame, GLASS)
        if self.has_picture:
            painter.drawPixmap(frame, self._picture)
        for colour, width in ((HALO, 4.0), (FRAME, 2.0)):
            painter.setPen(QPen(colour, width))
            painter.drawRect(seen)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Inside of the view: take hold of it; elsewhere: jump there."""
        if event.button() != Qt.MouseButton.LeftButton or self._seen is None:
            return
        share, middle = self._share(event.position()), _middle(self._seen)
        inside = self._rectangle(self._seen).contains(event.position())
        self._held = (middle[0] - share[0], middle[1] - share[1]) if inside else (0.0, 0.0)
        if not inside:
            self._ask(share)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        if self._held is not None:
            share = self._share(event.position())
            self._ask((share[0] + self._held[0], share[1] + self._held[1]))

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        self._held = None

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Arrow keys move the view by half of it."""
        arrow = ARROWS.get(Qt.Key(event.key()))
        if arrow is None or self._seen is None:
            super().keyPressEvent(event)
            return
        (top, left), (bottom, right) = self._seen
        down, across = _middle(self._seen)
        self._ask((down + arrow[0] * STEP * (bottom - top), across + arrow[1] * STEP * (right - left)))

    def _ask(self, share: Pair) -> None:
        """Ask for a place on the slide, not beside it."""
        down, right = (min(1.0, max(0.0, part)) for part in share)
        self.wanted.emit(down, right)


def _middle(seen: tuple[Pair, Pair]) -> Pair:
    (top, left), (bottom, right) = seen
    return (top + bottom) / 2, (left + right) / 2
