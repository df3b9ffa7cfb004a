"""The scanner's pictures of label and glass: shown one by one, each only when its button is pressed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8
from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QImage, QPixmap
from qtpy.QtWidgets import QDialog, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_gimp.plugin.panel.parts import Words

WARNING = (
    "These pictures may show the patient's name or number. They are shown here only, on your request, and are never"
    " written to a file, an export or a log."
)
MOST_PX = 560


class SlideImages(QDialog):
    """Says ``wanted`` with a picture's name; forgets the pictures when it is closed."""

    wanted = Signal(str)

    def __init__(self, slide: str, names: Sequence[str], parent: QWidget | None = None) -> None:
        super().__init__(parent, objectName="slide-images", windowTitle=f"Label and macro of {slide}")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.warning = Words("slide-images.warning")
        self.warning.setStyleSheet("font-weight: bold;")
        self.picture = QLabel("", objectName="slide-images.picture", alignment=Qt.AlignmentFlag.AlignCenter)
        self.picture.setMinimumSize(320, 160)
        self.buttons = {name: self._button(name) for name in names}
        layout = QVBoxLayout(self)
        layout.addWidget(self.warning)
        row = QHBoxLayout()
        for button in self.buttons.values():
            row.addWidget(button)
        layout.addLayout(row)
        layout.addWidget(self.picture, 1)
        self.warning.setText(WARNING)

    def _button(self, name: str) -> QPushButton:
        button = QPushButton(f"Show the {name}", objectName=f"slide-images.{name}", autoDefault=False)
        button.setToolTip(f"Show the picture {name!r} of the file. It may show names.")
        button.clicked.connect(lambda: self.wanted.emit(name))
        return button

    def show_picture(self, pixels: UInt8[np.ndarray, "h w c"]) -> None:
        """Show a picture that was asked for, whole."""
        solid = np.ascontiguousarray(np.broadcast_to(pixels[..., :3], (*pixels.shape[:2], 3)))
        height, width = solid.shape[:2]
        shown = QPixmap.fromImage(QImage(solid.data, width, height, 3 * width, QImage.Format.Format_RGB888).copy())
        if max(width, height) > MOST_PX:
            keep, smooth = Qt.AspectRatioMode.KeepAspectRatio, Qt.TransformationMode.SmoothTransformation
            shown = shown.scaled(MOST_PX, MOST_PX, keep, smooth)
        self.picture.setPixmap(shown)
        self.adjustSize()

    def show_reason(self, sentence: str) -> None:
        """Why there is no picture."""
        self.picture.setText(sentence)
