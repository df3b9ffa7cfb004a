"""The panel: its sections one below the other in a scroll area. Signals up, setters down."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFrame, QScrollArea, QVBoxLayout, QWidget

from napari_gimp.plugin.forms import ErrorBox
from napari_gimp.plugin.sections import (
    CHECKPOINTS_OWN,
    ModelSection,
    ProfileSection,
    ResultSection,
    RunSection,
    SlideSection,
)

NARROWEST_PX = 340


class Panel(QScrollArea):
    """Everything the user sees of the session.

    The sections carry the signals: ``slide``, ``profile``, ``model``, ``runs``, ``result``; ``error`` is the box.
    """

    def __init__(self, encoders: Sequence[str], device: str = "auto", encoder: str = "") -> None:
        super().__init__(widgetResizable=True)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setMinimumWidth(NARROWEST_PX)
        self.slide, self.profile = SlideSection(), ProfileSection()
        self.model, self.runs = ModelSection(encoders, device, encoder), RunSection()
        self.error, self.result = ErrorBox(), ResultSection()
        inner = QWidget()
        layout = QVBoxLayout(inner)
        for part in (self.slide, self.profile, self.model, self.runs, self.error, self.result):
            layout.addWidget(part)
        layout.addStretch()
        self.setWidget(inner)

    def model_values(self) -> dict[str, Any]:
        """What the model section shows, as fields of ``Choices``."""
        model = self.model
        named = model.encoder.currentText()
        file: Path | None = model.encoder_file.path
        return {
            "encoder": str(file) if file else None if named == CHECKPOINTS_OWN else named,
            "weights": model.weights.path,
            "bag": model.bag.path,
            "device": model.device.currentText(),
            "grain": model.grain.value(),
            "tissue_settings": model.tissue.value(),
            "maps": model.maps.value(),
        }
