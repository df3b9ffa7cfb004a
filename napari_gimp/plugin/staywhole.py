"""A slide that is seen whole stays whole when a dock takes its room."""

from __future__ import annotations

from napari.layers import Layer
from qtpy.QtCore import QObject, QTimer

from napari_gimp.plugin.host import slide_of
from napari_gimp.plugin.slide.eye import Eye
from napari_gimp.plugin.slide.navigation import Place

DOCKED_MS = 150


class StayWhole(QTimer):
    """Made before the dock is shown; started when it is. Lives as long as its parent."""

    def __init__(self, parent: QObject, eye: Eye) -> None:
        super().__init__(parent)
        self.setSingleShot(True)
        self.setInterval(DOCKED_MS)
        self._eye = eye
        self._seen: tuple[Layer, Place] | None = None
        self.timeout.connect(self._fit)

    def look(self, layer: Layer | None) -> None:
        """Remember the view if this slide is seen whole now."""
        slide = slide_of(layer)
        if layer is not None and slide is not None and self._eye.sees_all(slide.facts):
            self._seen = layer, self._eye.place

    def _fit(self) -> None:
        """Once, unless the user has moved since."""
        seen, self._seen = self._seen, None
        if seen is not None and seen[1] == self._eye.place and seen[0] in self._eye.viewer.layers:
            self._eye.fit(seen[0])
