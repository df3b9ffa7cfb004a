"""Which layers are in sight where slides lie on top of each other: slides below every result, one slide's results."""

from __future__ import annotations

from weakref import WeakKeyDictionary

import napari.viewer
from napari.layers import Layer

from napari_gimp.plugin.canvas import Canvas
from napari_gimp.plugin.host import slide_of
from napari_gimp.plugin.layers import TAG


class Sight:
    """Slides of one viewer lie below what was found on them; only the chosen slide's results are in sight."""

    def __init__(self, viewer: napari.viewer.Viewer, canvas: Canvas) -> None:
        self.viewer, self.canvas = viewer, canvas
        self._chosen = ""
        self._hidden: WeakKeyDictionary[Layer, bool] = WeakKeyDictionary()
        viewer.layers.events.inserted.connect(lambda event: self._inserted(event.value))

    def look_at(self, identity: str) -> None:
        """Show the results of this slide as they were seen last and hide those of the others, whose legends collide."""
        if identity != self._chosen:
            self._chosen = identity
            for layer in self.viewer.layers:
                self._show_or_hide(layer)
            self.canvas.soon(self._raise_chosen)

    def _inserted(self, layer: Layer) -> None:
        self._show_or_hide(layer)
        if slide_of(layer) is not None:
            self.canvas.soon(lambda: self._lower(layer))

    def _show_or_hide(self, layer: Layer) -> None:
        if TAG not in layer.metadata or slide_of(layer) is not None:
            return
        chosen = layer.metadata[TAG]["slide"] == self._chosen
        if chosen and layer in self._hidden:
            layer.visible = self._hidden.pop(layer)
        elif not chosen and layer not in self._hidden:
            self._hidden[layer] = layer.visible
            layer.visible = False

    def _lower(self, layer: Layer) -> None:
        """Put a slide above the other slides and below the lowest result."""
        layers = self.viewer.layers
        results = [k for k, other in enumerate(layers) if TAG in other.metadata and slide_of(other) is None]
        if layer in layers and results and layers.index(layer) > results[0]:
            layers.move(layers.index(layer), results[0])

    def _raise_chosen(self) -> None:
        """Put the chosen slide above the other slides."""
        layers = self.viewer.layers
        slides = [k for k, layer in enumerate(layers) if slide_of(layer) is not None]
        chosen = [k for k in slides if layers[k].metadata[TAG]["slide"] == self._chosen]
        if chosen and chosen[-1] < slides[-1]:
            layers.move(chosen[-1], slides[-1] + 1)
