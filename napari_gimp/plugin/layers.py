"""Slide and Prediction -> napari layer tuples ``(data, attributes, type)``: pure functions, everything in um.

Pixel (0, 0) of a layer has its centre at the layer's ``translate``; a slide's stands at the origin. A coarser grid is
therefore shifted by half of its own cell less half a slide pixel, and its cells then cover their slide pixels exactly.
Every layer of ours says in ``metadata["napari-gimp"]`` what it is: ``role``, ``slide`` (identity) and ``lattice``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from napari_gimp.plugin.maps import PatchMap
from napari_gimp.plugin.palette import SCALE_WORDS, colours, contrast, hidden, legend
from napari_gimp.plugin.session import ViewSettings
from napari_gimp.plugin.slide.levels import exact_levels
from napari_gimp.slides import Slide
from napari_gimp.types import Lattice, PatchGrid, Prediction, SlideFacts, Tissue

LayerTuple = tuple[Any, dict[str, Any], str]
TAG, DRAWN_ON = "napari-gimp", "napari-gimp drawn on"
UM = ("um", "um")
MAP, TISSUE, TOP = "map", "tissue", "top patches"
OUTLINE_COLOUR = "#00b8d4"
OUTLINE_COLOURS = np.array([[0, 0, 0, 0], [0, 0.72, 0.83, 1]], np.float32)
OUTLINE_PX = 2
PLACEHOLDER = 235
"""Grey of a lowest level that a worker has yet to read."""
FRAME_SHARE = 1 / 14
"""Width of the frame of a patch, as a share of the patch, at most."""


def placement(origin_yx_px: Any, cell_yx_px: Any, mpp_yx: tuple[float, float] | None) -> dict[str, Any]:
    """Scale, translate and units of a picture whose cell (0, 0) has its corner at ``origin_yx_px``.

    Parameters
    ----------
    origin_yx_px, cell_yx_px
        Top-left corner and size of a cell in level-0 pixels (fractions allowed).
    mpp_yx
        um per level-0 pixel; None places it in pixels.
    """
    mpp = np.ones(2) if mpp_yx is None else np.asarray(mpp_yx, float)
    cell = np.asarray(cell_yx_px, float)
    translate = (np.asarray(origin_yx_px, float) + cell / 2 - 0.5) * mpp
    units = ("pixel", "pixel") if mpp_yx is None else UM
    return {"scale": tuple(cell * mpp), "translate": tuple(translate), "units": units, "axis_labels": ("y", "x")}


def slide_layer(slide: Slide) -> LayerTuple:
    """The slide itself: lazy, multiscale, RGB. Its lowest level is a placeholder while it would be costly to read."""
    levels = exact_levels(slide.levels)
    if not slide.has_cheap_overview:
        levels[-1] = np.full(levels[-1].shape, PLACEHOLDER, np.uint8)
    attributes = {
        "name": slide.facts.name,
        "rgb": True,
        "multiscale": len(levels) > 1,
        "metadata": {TAG: tag("slide", slide.facts), "slide": slide},
        **placement((0, 0), (1, 1), slide.facts.mpp_yx),
    }
    return levels if len(levels) > 1 else levels[0], attributes, "image"


def tag(role: str, facts: SlideFacts, lattice: int = 0) -> dict[str, Any]:
    """What a layer is: its role, its slide's identity, which of the slide's lattices."""
    return {"role": role, "slide": facts.identity, "lattice": lattice}


def drawn_on(facts: SlideFacts) -> dict[str, Any]:
    """Metadata of a drawing: the slide it belongs to."""
    return {DRAWN_ON: {"slide": facts.identity, "name": facts.name}}


def is_result(tag: dict[str, Any], identity: str) -> bool:
    """Whether a layer with this name plate was found or computed on a slide."""
    return bool(tag["slide"] == identity and tag["role"] != "slide")


def is_left_over(tag: dict[str, Any], prediction: Prediction) -> bool:
    """Whether a layer is a map of an earlier result, on a lattice that this one does not have."""
    gone = tag["lattice"] >= len(prediction.grid.lattices)
    return bool(gone and tag["role"] == MAP and tag["slide"] == prediction.slide.identity)


def tissue_layer(tissue: Tissue, facts: SlideFacts) -> LayerTuple:
    """The outline of the tissue: a picture, because a Labels layer takes napari five times as long to make."""
    attributes = {
        "name": _name(TISSUE, facts),
        "rgb": False,
        "colormap": OUTLINE_COLOURS,
        "contrast_limits": (0, 1),
        "interpolation2d": "nearest",
        "blending": "translucent",
        "metadata": {TAG: tag(TISSUE, facts), "source": tissue.source, "tissue": tissue},
        **placement((0, 0), tissue.scale_yx_px, facts.mpp_yx),
    }
    return outline(tissue.mask), attributes, "image"


def tissue_labels(tissue: Tissue, facts: SlideFacts) -> LayerTuple:
    """The tissue as labels to paint on: the panel takes it back as the user's own."""
    attributes = {
        "name": f"my tissue · {facts.name}",
        "opacity": 0.4,
        "colormap": {0: "transparent", 1: OUTLINE_COLOUR, None: OUTLINE_COLOUR},
        "metadata": drawn_on(facts),
        **placement((0, 0), tissue.scale_yx_px, facts.mpp_yx),
    }
    return tissue.mask.astype(np.uint8), attributes, "labels"


def outline(mask: Bool[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w"]:
    """1 in the outermost pixels of the mask, 0 elsewhere."""
    wide = np.pad(mask, OUTLINE_PX)
    inner = mask.copy()
    for axis in range(2):
        for shift in (-OUTLINE_PX, OUTLINE_PX):
            inner &= np.roll(wide, shift, axis)[OUTLINE_PX:-OUTLINE_PX, OUTLINE_PX:-OUTLINE_PX]
    return np.asarray(mask & ~inner).astype(np.uint8)


def map_layers(
    prediction: Prediction, shown: PatchMap, view: ViewSettings, limits: tuple[float, float] | None = None
) -> list[LayerTuple]:
    """One map of a result: a float32 picture per lattice, to be swapped for the next map's.

    Parameters
    ----------
    limits
        The two numbers that get the end colours; what ``view`` says where not given.
    """
    values, wanted = contrast(shown.values, view, shown.signed)
    if view.hide_below:
        values = np.where(hidden(shown, view.hide_below), np.float32(np.nan), values)
    return [
        _map_layer(prediction, lattice, number, shown, view, values, limits or wanted)
        for number, lattice in enumerate(prediction.grid.lattices)
    ]


def _map_layer(
    prediction: Prediction,
    lattice: Lattice,
    number: int,
    shown: PatchMap,
    view: ViewSettings,
    values: Float[np.ndarray, " N"],
    limits: tuple[float, float],
) -> LayerTuple:
    name = _name(legend(shown, view), prediction.slide, number)
    attributes = {
        "name": name if prediction.partial >= 1 else f"{name} (partial, {prediction.partial:.0%})",
        "rgb": False,
        "colormap": colours(shown),
        "contrast_limits": limits,
        "opacity": view.opacity,
        "interpolation2d": "nearest",
        "blending": "translucent",
        "metadata": {
            TAG: tag(MAP, prediction.slide, number),
            "key": shown.key,
            "scale": view.contrast,
            "unit": SCALE_WORDS["rank"] if view.contrast == "rank" else shown.unit,
            "measure": shown.unit,
            "limits": limits,
            "prediction": prediction,
        },
        **placement(lattice.origin_yx_px, lattice.cell_yx_px, prediction.slide.mpp_yx),
    }
    return lattice.image(values), attributes, "image"


def top_patches(shown: PatchMap, count: int) -> Int[np.ndarray, " n"]:
    """Indices of the patches with the largest numbers of a map, best first."""
    values, count = -shown.values, min(count, len(shown.values))
    if not count:
        return np.empty(0, np.int64)
    last = np.partition(values, count - 1)[count - 1]
    candidates = np.flatnonzero(values <= last)
    return candidates[np.argsort(values[candidates], kind="stable")][:count]


def top_layer(prediction: Prediction, shown: PatchMap, view: ViewSettings) -> LayerTuple:
    """The patches with the largest numbers of a map as numbered rectangles, at most 20."""
    best = top_patches(shown, view.top_patches)
    name = _name(TOP, prediction.slide)
    attributes = {
        "name": name if prediction.partial >= 1 else f"{name} (partial)",
        "shape_type": "rectangle",
        "face_color": "transparent",
        "edge_color": "black",
        "edge_width": float(prediction.grid.size_yx_px[0]) * FRAME_SHARE,
        "opacity": 1.0,
        "features": {"rank": np.arange(1, len(best) + 1), "value": shown.values[best]},
        "text": {"string": "{rank}", "size": 9, "color": "black", "anchor": "center"},
        "metadata": {TAG: tag(TOP, prediction.slide), "map": shown.title, "unit": shown.unit},
        **placement((0, 0), (1, 1), prediction.slide.mpp_yx),
    }
    return rectangles(prediction.grid.take(best)), attributes, "shapes"


def rectangles(grid: PatchGrid) -> Float[np.ndarray, "N 4 2"]:
    """Outlines of patches in slide pixels; a pixel reaches half a step to either side of its number."""
    near = grid.coords_yx - 0.5
    far = near + np.asarray(grid.size_yx_px)
    corners = [near, np.stack([near[:, 0], far[:, 1]], 1), far, np.stack([far[:, 0], near[:, 1]], 1)]
    return np.stack(corners, axis=1)


def patch_rows(prediction: Prediction, shown: PatchMap, count: int) -> tuple[list[str], list[list[str]]]:
    """Columns and rows of the panel's table of the top patches of a map; centres in um from the slide's corner."""
    scale, unit = (np.asarray(prediction.slide.mpp_yx), "µm") if prediction.slide.mpp_yx else (np.ones(2), "px")
    columns = [shown.title, f"x ({unit})", f"y ({unit})"]
    rows = []
    for patch in top_patches(shown, count):
        y, x = (prediction.grid.coords_yx[patch] + np.asarray(prediction.grid.size_yx_px) / 2) * scale
        rows.append([value_words(shown, float(shown.values[patch])), f"{x:.0f}", f"{y:.0f}"])
    return columns, rows


def value_words(shown: PatchMap, value: float) -> str:
    """A number of a map with its unit: ``2.41 ×``, ``+0.012``, ``0.834``."""
    if shown.signed:
        return f"{value:+.3g}"
    return f"{value:.2f} ×" if shown.unit.startswith("×") else f"{value:.3f}"


def patch_place(prediction: Prediction, patch: int) -> tuple[tuple[float, float], float]:
    """Centre and width of a patch in the viewer's units."""
    grid, mpp = prediction.grid, prediction.slide.mpp_yx or (1.0, 1.0)
    centre = (grid.coords_yx[patch] + np.asarray(grid.size_yx_px) / 2 - 0.5) * np.asarray(mpp)
    return (float(centre[0]), float(centre[1])), grid.size_yx_px[1] * mpp[1]


def _name(role: str, facts: SlideFacts, lattice: int = 0) -> str:
    return f"{role} · {facts.name}" + (f" · grid {lattice + 1}" if lattice else "")
