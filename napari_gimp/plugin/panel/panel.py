"""The panel: its sections one below the other in a scroll area. Signals up, setters down."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QFrame, QScrollArea, QVBoxLayout, QWidget

from napari_gimp.plugin.panel.parts import ErrorBox
from napari_gimp.plugin.panel.results import ResultSection, RunSection
from napari_gimp.plugin.panel.sections import ModelSection, ProfileSection, SlideSection

NARROWEST_PX = 340


class Panel(QWidget):
    """Everything the user sees of the session.

    The sections carry the signals: ``slide``, ``profile``, ``model``, ``runs``, ``result``; ``error`` is the box. Run
    and what speaks of it stand below the scroll area and are always in sight.
    """

    def __init__(self, encoders: Sequence[str], device: str = "auto", encoder: str = "") -> None:
        super().__init__()
        self.setMinimumWidth(NARROWEST_PX)
        self.slide, self.profile = SlideSection(), ProfileSection()
        self.model, self.runs = ModelSection(encoders, device, encoder), RunSection()
        self.error, self.result = ErrorBox(), ResultSection()
        self.scroll = _column((self.slide, self.profile, self.model, self.result))
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.scroll, 1)
        layout.addWidget(self.runs)
        layout.addWidget(self.error)

    def show_section(self, part: QWidget) -> None:
        """Scroll so that a section's top is in sight."""
        QTimer.singleShot(0, self, lambda: self.scroll.verticalScrollBar().setValue(part.y()))

    def model_values(self) -> dict[str, Any]:
        """What the model section shows, as fields of ``Choices``."""
        model = self.model
        return {
            "encoder": model.encoder_name,
            "weights": model.weights.path,
            "bag": model.bag.path,
            "device": model.device.currentText(),
            "grain": model.grain.value(),
            "tissue_settings": model.tissue.value(),
            "maps": model.maps.value(),
        }


def _column(parts: Sequence[QWidget]) -> QScrollArea:
    area = QScrollArea(widgetResizable=True)
    area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    area.setFrameShape(QFrame.Shape.NoFrame)
    inner = QWidget()
    layout = QVBoxLayout(inner)
    for part in parts:
        layout.addWidget(part)
    layout.addStretch()
    area.setWidget(inner)
    return area
