"""Which layers are in sight where slides lie on top of each other: slides below every result."""

from __future__ import annotations

import napari.viewer
from napari.layers import Layer

from napari_gimp.plugin.canvas import Canvas
from napari_gimp.plugin.host import slide_of
from napari_gimp.plugin.layers import TAG


class Sight:
    """Keeps the slides of one viewer below what was found on them."""

    def __init__(self, viewer: napari.viewer.Viewer, canvas: Canvas) -> None:
        self.viewer, self.canvas = viewer, canvas
        viewer.layers.events.inserted.connect(lambda event: self._inserted(event.value))

    def _inserted(self, layer: Layer) -> None:
        if slide_of(layer) is not None:
            self.canvas.soon(lambda: self._lower(layer))

    def _lower(self, layer: Layer) -> None:
        """Put a slide above the other slides and below the lowest result."""
        layers = self.viewer.layers
        results = [k for k, other in enumerate(layers) if TAG in other.metadata and slide_of(other) is None]
        if layer in layers and results and layers.index(layer) > results[0]:
            layers.move(layers.index(layer), results[0])
