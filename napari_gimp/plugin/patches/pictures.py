"""Arrays -> Qt pictures, and a widget that shows a patch with a scale bar."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import UInt8
from qtpy.QtCore import QPointF, QRectF, QSize, Qt
from qtpy.QtGui import QColor, QImage, QPainter, QPaintEvent, QPen, QTextOption
from qtpy.QtWidgets import QSizePolicy, QWidget

BAR_SHARE = 0.4
MARGIN_PX, BAR_PX = 8, 4


def qimage(pixels: UInt8[np.ndarray, "h w 3"]) -> QImage:
    """The pixels as a picture that owns its memory."""
    pixels = np.ascontiguousarray(pixels)
    height, width = pixels.shape[:2]
    return QImage(pixels.data, width, height, 3 * width, QImage.Format.Format_RGB888).copy()


def round_length(most: float) -> float:
    """The largest 1, 2 or 5 times a power of ten up to ``most``."""
    power = 10.0 ** math.floor(math.log10(most))
    return max(step * power for step in (1, 2, 5) if step * power <= most * (1 + 1e-9))


def paint_bar(painter: QPainter, area: QRectF, width_um: float) -> None:
    """A scale bar in the lower left corner of an area that shows ``width_um``: black with a white rim."""
    length = round_length(BAR_SHARE * width_um)
    wide = area.width() * length / width_um
    bar = QRectF(area.left() + MARGIN_PX, area.bottom() - MARGIN_PX - BAR_PX, wide, BAR_PX)
    text = f"{length:g} µm"
    size = painter.fontMetrics().boundingRect(text)
    plate = QRectF(
        bar.left() - 3, bar.top() - size.height() - 4, max(wide, size.width()) + 8, size.height() + BAR_PX + 8
    )
    painter.fillRect(plate, QColor(255, 255, 255, 200))
    painter.fillRect(bar, QColor("black"))
    painter.setPen(QColor("black"))
    painter.drawText(QPointF(bar.left(), bar.top() - 4), text)


class PatchPicture(QWidget):
    """A square picture of a patch, as large as there is room, with a scale bar; words where there is no picture."""

    def __init__(self, name: str, least_px: int = 120) -> None:
        super().__init__(objectName=name)
        self.image: QImage | None = None
        self.words = ""
        self._width_um: float | None = None
        self._patches = 1
        self._least = least_px
        policy = QSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
        policy.setHeightForWidth(True)
        self.setSizePolicy(policy)
        self.setMinimumSize(least_px, least_px)

    def set_picture(self, image: QImage, width_um: float | None, patches: int = 1, tip: str = "") -> None:
        """Show a picture ``width_um`` wide; of several patches a side, the middle one gets a frame."""
        self.image, self._width_um, self._patches, self.words = image, width_um, patches, ""
        self.setToolTip(tip)
        self.update()

    def set_words(self, words: str) -> None:
        """Say why there is no picture."""
        self.image, self.words = None, words
        self.setToolTip("")
        self.update()

    def sizeHint(self) -> QSize:
        return QSize(2 * self._least, 2 * self._least)

    def hasHeightForWidth(self) -> bool:
        return True

    def heightForWidth(self, width: int) -> int:
        return width

    def paintEvent(self, event: QPaintEvent) -> None:
        side = min(self.width(), self.height())
        area = QRectF((self.width() - side) / 2, 0, side, side)
        painter = QPainter(self)
        if self.image is None:
            self._paint_words(painter, area)
        else:
            painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
            painter.drawImage(area, self.image)
            self._paint_frame(painter, area)
            if self._width_um is not None:
                paint_bar(painter, area, self._width_um)
        painter.end()

    def _paint_words(self, painter: QPainter, area: QRectF) -> None:
        painter.setPen(self.palette().placeholderText().color())
        painter.drawRect(area.adjusted(0, 0, -1, -1))
        option = QTextOption(Qt.AlignmentFlag.AlignCenter)
        option.setWrapMode(QTextOption.WrapMode.WordWrap)
        painter.drawText(area.adjusted(8, 8, -8, -8), self.words, option)

    def _paint_frame(self, painter: QPainter, area: QRectF) -> None:
        if self._patches > 1:
            side = area.width() / self._patches
            painter.setPen(QPen(QColor("black"), 2))
            painter.drawRect(QRectF(area.center().x() - side / 2, area.center().y() - side / 2, side, side))
