"""Which layers are in sight where slides lie on top of each other: slides below every result, one slide's results."""

from __future__ import annotations

from weakref import WeakKeyDictionary

import napari.viewer
import numpy as np
from napari.layers import Layer

from napari_gimp.plugin.canvas import Canvas
from napari_gimp.plugin.desk import Desk
from napari_gimp.plugin.host import slide_of
from napari_gimp.plugin.layers import FRAME_SHARE, TAG, TOP

FRAME_SCREEN_PX = 3.0
"""How wide the frame of a patch gets on the screen."""


class Sight:
    """Slides of one viewer lie below what was found on them; only the chosen slide's results are in sight."""

    def __init__(self, viewer: napari.viewer.Viewer, canvas: Canvas) -> None:
        self.viewer, self.canvas = viewer, canvas
        self._frames = Frames(viewer, canvas)
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


def sight_of(desk: Desk) -> Sight:
    """The one sight of a window, whichever panel comes and goes."""
    return desk.part(_make)


def _make(desk: Desk) -> Sight:
    return Sight(desk.viewer, desk.canvas)


class Frames:
    """The frames of the most attended patches: thin on a patch that fills the window, seen where it is a dot."""

    def __init__(self, viewer: napari.viewer.Viewer, canvas: Canvas) -> None:
        self.viewer, self.canvas = viewer, canvas
        self._asked = False
        viewer.scene.camera.events.zoom.connect(self._soon)
        viewer.layers.events.inserted.connect(lambda event: self._inserted(event.value))

    def _soon(self) -> None:
        if not self._asked:
            self._asked = True
            self.canvas.soon(self._fit)

    def _inserted(self, layer: Layer) -> None:
        if _is_top(layer):
            layer.events.data.connect(self._soon)
            self._soon()

    def _fit(self) -> None:
        """Set the widths again where they are no longer near to what the zoom asks for."""
        self._asked = False
        for layer in filter(_is_top, self.viewer.layers):
            side = float(np.ptp(layer.data[0][:, 0])) if layer.data else 0.0
            width = frame_width(side, float(self.viewer.scene.camera.zoom * layer.scale[0]))
            if any(not 0.8 < present / width < 1.25 for present in layer.edge_width):
                layer.edge_width = width
                layer.refresh(extent=False, thumbnail=False)


def _is_top(layer: Layer) -> bool:
    return bool(layer.metadata.get(TAG, {}).get("role") == TOP)


def frame_width(side_px: float, px_on_screen: float) -> float:
    """Width of a patch's frame in slide pixels, each ``px_on_screen`` wide: a share of its side or a thin line."""
    return min(side_px * FRAME_SHARE, FRAME_SCREEN_PX / px_on_screen)
