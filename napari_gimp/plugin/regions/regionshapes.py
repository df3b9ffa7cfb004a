"""Names, classes and colours of the shapes of one layer: read, written, mended where napari forgets some."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from napari.layers import Shapes

from napari_gimp.plugin.regions.annotations import NEW_REGION, colour_name
from napari_gimp.plugin.regions.regionrows import Outline
from napari_gimp.regions import Colour

FREEHAND = ("add_polygon", "add_polygon_lasso")
LINE_PX = 2.5


def words(layer: Shapes, column: str) -> list[str]:
    """A column of a layer's features as texts, one for each shape."""
    given = list(layer.features[column]) if column in layer.features else []
    texts = [value if isinstance(value, str) else "" for value in given[: len(layer.data)]]
    return texts + [""] * (len(layer.data) - len(texts))


def write(layer: Shapes, column: str, texts: Sequence[str]) -> None:
    """Set a column of a layer's features; the others stay."""
    layer.features = {**{name: layer.features[name] for name in layer.features}, column: np.array(texts, object)}


def paint(layer: Shapes, shapes: Sequence[int], colour: Any) -> None:
    """Colour the outlines of some shapes; what is selected, and the colour of the next shape, stay so."""
    if not len(shapes):
        return
    before, next_one = set(layer.selected_data), layer.current_edge_color
    layer.selected_data = set(shapes)
    layer.current_edge_color = colour
    layer.selected_data = before
    if not before:
        layer.current_edge_color = next_one


def arm(layer: Shapes, classification: str, colour: Colour) -> None:
    """What is drawn next in a layer: no name yet, this class, its colour."""
    others = {name: layer.feature_defaults[name].iloc[0] for name in layer.feature_defaults}
    layer.feature_defaults = {**others, **NEW_REGION, "classification": classification}
    if not layer.selected_data:
        layer.current_edge_color = colour_name(colour)


def mend(layer: Shapes, dropped: int | None) -> None:
    """As many features and colours as shapes: napari forgets them when a shape shrinks to nothing.

    Parameters
    ----------
    dropped
        The shape that went; None for the last one, whose drawing was given up.
    """
    count = len(layer.data)
    row = count if dropped is None else dropped
    if len(layer.features) == count + 1:
        layer.features = layer.features.drop(index=row).reset_index(drop=True)
    view = layer._data_view  # nothing public shortens the colours; napari's own `remove` does it like this
    if len(view._edge_color) == count + 1:
        view._edge_color = np.delete(view._edge_color, row, axis=0)
        view._face_color = np.delete(view._face_color, row, axis=0)


def name_all(layer: Shapes) -> None:
    """Give regions without a name the next free ``region 1``, ``region 2``, …"""
    names = words(layer, "name")
    if "" not in names:
        return
    free = (f"region {k}" for k in range(1, 2 * len(names) + 1) if f"region {k}" not in set(names))
    write(layer, "name", [name or next(free) for name in names])


def outlines(layer: Shapes) -> list[Outline]:
    """The shapes of a layer now, the one that is being drawn by hand among them."""
    kinds, names, classes = list(layer.shape_type), words(layer, "name"), words(layer, "classification")
    if kinds and layer.mode in FREEHAND and kinds[-1] == "path":
        kinds[-1] = "polygon"
    place = (tuple(layer.scale), tuple(layer.translate))
    colours = np.round(255 * np.asarray(layer.edge_color)[:, :3]).astype(int).tolist()
    return [
        Outline(names[k], classes[k], (colours[k][0], colours[k][1], colours[k][2]), kinds[k], corners, place)
        for k, corners in enumerate(layer.data)
    ]


def draw_lines(layer: Shapes, per_px: float) -> None:
    """Outlines as wide on the screen at every magnification.

    Parameters
    ----------
    per_px
        What a screen pixel covers, in the viewer's units.
    """
    width = LINE_PX * per_px / float(layer.scale[0])
    if len(layer.data) and not np.allclose(layer.edge_width, width):
        layer.edge_width = width
    if not np.isclose(layer.current_edge_width, width):
        layer.current_edge_width = width
