"""Lines on a slide that say how long they are: a Shapes layer of the user's own, true to the pixel size in force."""

from __future__ import annotations

from typing import Any
from weakref import WeakSet

import napari.viewer
import numpy as np
from jaxtyping import Float
from napari.layers import Layer, Shapes

from napari_gimp.plugin.layers import LayerTuple, drawn_on, placement
from napari_gimp.plugin.regions.drawn import RULER, belongs, is_ruler
from napari_gimp.plugin.slide.navigation import Pair
from napari_gimp.types import SlideFacts

LINE_SCREEN_PX, TEXT_SCREEN_PX = 2.5, 16.0
COLOUR = "#0d47a1"


def ruler_layer(facts: SlideFacts) -> LayerTuple:
    """An empty layer to draw lines in."""
    attributes = {
        "name": f"ruler · {facts.name}",
        "shape_type": "line",
        "edge_color": COLOUR,
        "face_color": "transparent",
        "features": {"length": np.empty(0, object)},
        "feature_defaults": {"length": ""},
        "text": {"string": "{length}", "size": 13, "color": "black", "anchor": "center"},
        "opacity": 1.0,
        "metadata": {**drawn_on(facts), RULER: True},
        **placement((0, 0), (1, 1), facts.mpp_yx),
    }
    return [], attributes, "shapes"


def keep_true(layer: Shapes) -> None:
    """Write the lengths again whenever a line is drawn or changed, or the size of a pixel is."""

    def measure(event: Any = None) -> None:
        _measure(layer)

    for signal in (layer.events.data, layer.events.scale, layer.events.units):
        signal.connect(measure)
    measure()


def _measure(layer: Shapes) -> None:
    unit = str(layer.units[-1])
    scale = (float(layer.scale[-2]), float(layer.scale[-1]))
    words = [length_words(length, unit) for length in lengths(layer.data, scale)]
    if words != list(layer.features["length"]):
        layer.features = {"length": np.asarray(words, object)}
        layer.refresh_text()


def thin(layer: Shapes, per_px: float, above: Pair) -> None:
    """Draw the lines thin, with their lengths beside them, whatever the zoom.

    Parameters
    ----------
    per_px
        World units of a screen pixel.
    above
        A step upwards on the screen, along y and x of the slide.
    """
    px = per_px / float(layer.scale[-1])
    width, beside = LINE_SCREEN_PX * px, np.asarray(above) * TEXT_SCREEN_PX * px
    layer.current_edge_width = width
    if len(layer.data) and not 0.7 < layer.edge_width[0] / width < 1.4:
        layer.edge_width = width
    if not np.allclose(layer.text.translation, beside, rtol=0.3):
        layer.text.translation = beside


class Rulers:
    """The rulers of one viewer."""

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        self.viewer = viewer
        self._true: WeakSet[Layer] = WeakSet()
        self.attend()

    def attend(self) -> None:
        """Keep every ruler true, also those that were opened from elsewhere."""
        for layer in self.viewer.layers:
            if is_ruler(layer) and layer not in self._true:
                self._true.add(layer)
                keep_true(layer)

    def toggle(self, facts: SlideFacts) -> bool:
        """Draw on the slide's ruler, made when it is first asked for, or stop drawing; whether one draws now."""
        present = [layer for layer in self.viewer.layers if is_ruler(layer) and belongs(layer, facts)]
        layer = present[0] if present else Layer.create(*ruler_layer(facts))
        if not present:
            self.viewer.add_layer(layer)
        self.attend()
        if layer.mode == "add_line" and self.viewer.layers.selection.active == layer:
            layer.mode = "pan_zoom"
            return False
        layer.visible = True
        self.viewer.layers.selection.active = layer
        layer.mode = "add_line"
        return True

    def thin(self, per_px: float, above: Pair) -> None:
        """Fit the lines of all rulers to the zoom."""
        for layer in filter(is_ruler, self.viewer.layers):
            thin(layer, per_px, above)


def length_words(length: float, unit: str) -> str:
    """A length for a reader: um, from 1 mm on in mm; slide pixels where their size is unknown."""
    if unit == "pixel":
        return f"{length:.0f} px"
    return f"{length / 1000:.2f} mm" if length >= 1000 else f"{length:.1f} µm" if length < 100 else f"{length:.0f} µm"


def lengths(lines: list[Float[np.ndarray, "n 2"]], scale_yx: Pair) -> list[float]:
    """Length of each line in the world, from its corners in slide pixels."""
    return [float(np.hypot(*(np.diff(line, axis=0) * np.asarray(scale_yx)).T).sum()) for line in lines]
