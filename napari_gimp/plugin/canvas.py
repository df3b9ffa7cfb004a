"""Layer tuples -> the viewer: made once, then kept up to date under the same name plate."""

from __future__ import annotations

from typing import Any

import napari
import numpy as np
from napari.layers import Image, Labels, Layer

from napari_gimp.plugin.layers import TAG, LayerTuple

OUTLINE_PX = 2
UPDATED = ("name", "scale", "translate", "metadata")


class Canvas:
    """Puts our layers into one viewer; what the user changed on them (opacity, visibility, colours) stays."""

    def __init__(self, viewer: napari.Viewer) -> None:
        self.viewer = viewer

    def put(self, layer: LayerTuple, **always: Any) -> Layer:
        """Show a layer: a new one, or the one with the same role, slide and lattice with new data.

        Parameters
        ----------
        always
            Attributes that an existing layer takes over as well, say ``opacity``.
        """
        data, attributes, kind = layer
        present = self.find(attributes["metadata"][TAG])
        if present is None or kind == "shapes":
            return self._add(Layer.create(data, attributes, kind), present)
        if isinstance(present, Image):
            always["contrast_limits"] = attributes["contrast_limits"]
        if present.data.shape != data.shape or not np.array_equal(present.data, data, equal_nan=kind == "image"):
            present.data = data
        for name, value in {**{key: attributes[key] for key in UPDATED}, **always}.items():
            setattr(present, name, value)
        return present

    def find(self, tag: dict[str, Any]) -> Layer | None:
        """The layer with this name plate."""
        return next((layer for layer in self.viewer.layers if layer.metadata.get(TAG) == tag), None)

    def _add(self, layer: Layer, instead_of: Layer | None) -> Layer:
        """Add without taking the selection away from what the user works on."""
        selected = set(self.viewer.layers.selection)
        place = len(self.viewer.layers)
        if instead_of is not None:
            layer.visible, place = instead_of.visible, self.viewer.layers.index(instead_of)
            self.viewer.layers.remove(instead_of)
            selected.discard(instead_of)
        self.viewer.layers.insert(place, layer)
        self.viewer.layers.selection = selected & set(self.viewer.layers) or {layer}
        if isinstance(layer, Image):
            layer.colorbar.visible = True
        if isinstance(layer, Labels):
            layer.contour = OUTLINE_PX
        return layer

    def go_to(self, centre: tuple[float, float], width: float) -> None:
        """Look at a place, in the viewer's units, so that ``width`` fills a third of the window."""
        self.viewer.scene.camera.center = centre
        self.viewer.scene.camera.zoom = min(self.viewer.canvas.size) / (3 * width)
