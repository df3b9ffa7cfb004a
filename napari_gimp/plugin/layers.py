"""Slide and Prediction -> napari layer tuples ``(data, attributes, type)``: pure functions, everything in um.

Pixel (0, 0) of a layer has its centre at the layer's ``translate``; a slide's stands at the origin. A coarser grid is
therefore shifted by half of its own cell less half a slide pixel, and its cells then cover their slide pixels exactly.
Every layer of ours says in ``metadata["napari-gimp"]`` what it is: ``role``, ``slide`` (identity) and ``lattice``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from napari_gimp.plugin.levels import exact_levels
from napari_gimp.plugin.session import MEAN_HEAD, Head, ViewSettings
from napari_gimp.slides import Slide
from napari_gimp.types import Lattice, PatchGrid, Prediction, SlideFacts, Tissue

LayerTuple = tuple[Any, dict[str, Any], str]
TAG, DRAWN_ON = "napari-gimp", "napari-gimp drawn on"
UM = ("um", "um")
ATTENTION, ERROR, TISSUE, TOP = "attention", "reconstruction error", "tissue", "top patches"
COLORMAPS = {ATTENTION: "viridis", ERROR: "cividis"}
"""Perceptually uniform and safe for colour-blind readers."""
OUTLINE_COLOUR = "#00b8d4"
OUTLINE_COLOURS = np.array([[0, 0, 0, 0], [0, 0.72, 0.83, 1]], np.float32)
OUTLINE_PX = 2
PLACEHOLDER = 235
"""Grey of a lowest level that a worker has yet to read."""
LEAST_SPAN = 0.02
FRAME_SHARE = 1 / 14
"""Width of the frame of a patch, as a share of the patch, at most."""
ERROR_UNITS = {"l1": "mean |difference|", "cosine": "1 − cosine"}


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
    return bool(gone and tag["role"] in COLORMAPS and tag["slide"] == prediction.slide.identity)


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


def map_layers(prediction: Prediction, view: ViewSettings, head: Head = MEAN_HEAD) -> list[LayerTuple]:
    """Attention and, once it is known, masked reconstruction error: one float32 picture per lattice each."""
    maps = {ATTENTION: attention_values(prediction, head)}
    if prediction.reconstruction_error is not None:
        maps[ERROR] = prediction.reconstruction_error
    return [
        _map_layer(prediction, lattice, number, role, values, view, head)
        for role, values in maps.items()
        for number, lattice in enumerate(prediction.grid.lattices)
    ]


def attention_values(prediction: Prediction, head: Head = MEAN_HEAD) -> Float[np.ndarray, " N"]:
    """Attention of the last layer, mean or one head, as multiples of the average patch's (1 = average)."""
    heads = prediction.attention[-1]
    row = heads.mean(axis=0) if head.row is None else heads[head.row]
    return np.asarray(row * len(prediction.grid), np.float32)


def _map_layer(
    prediction: Prediction, lattice: Lattice, number: int, role: str, values: np.ndarray, view: ViewSettings, head: Head
) -> LayerTuple:
    shown, limits = contrast(values, view)
    unit = "rank, %" if view.contrast == "rank" else unit_of(prediction, role)
    name = _name(_legend(role, unit, head), prediction.slide, number)
    attributes = {
        "name": name if prediction.partial >= 1 else f"{name} (partial)",
        "rgb": False,
        "colormap": COLORMAPS[role],
        "contrast_limits": limits,
        "opacity": view.opacity,
        "interpolation2d": "nearest",
        "blending": "translucent",
        "visible": role == ATTENTION,
        "metadata": {
            TAG: tag(role, prediction.slide, number),
            "unit": unit,
            "measure": unit_of(prediction, role),
            "prediction": prediction,
        },
        **placement(lattice.origin_yx_px, lattice.cell_yx_px, prediction.slide.mpp_yx),
    }
    return lattice.image(shown), attributes, "image"


def _legend(role: str, unit: str, head: Head) -> str:
    """Short enough for a narrow canvas: the head where one is chosen; the error's distance is in the metadata."""
    if role == ATTENTION:
        return f"{role} ({unit})" if head.row is None else f"{role}, {head.name} ({unit})"
    return f"{role} ({unit})" if unit.startswith("rank") else role


def unit_of(prediction: Prediction, role: str) -> str:
    """What a map's numbers are: multiples of the slide's average patch, or the distance that was chosen."""
    if role == ATTENTION:
        return "× slide mean"
    return ERROR_UNITS[prediction.provenance.get("maps", {}).get("error", "l1")]


def contrast(values: Float[np.ndarray, " N"], view: ViewSettings) -> tuple[np.ndarray, tuple[float, float]]:
    """The numbers to show and the two that get the darkest and the brightest colour.

    A flat map looks flat: the two are no nearer to each other than ``LEAST_SPAN`` of their size.
    """
    if view.contrast == "rank":
        return ranks(values), (0.0, 100.0)
    bounds = (view.low_percentile, view.high_percentile) if view.contrast == "percentile" else (0, 100)
    low, high = (float(bound) for bound in np.percentile(values, bounds))
    short = LEAST_SPAN * max(abs(low), abs(high), 1e-4) - (high - low)
    return values, (low - short / 2, high + short / 2) if short > 0 else (low, high)


def ranks(values: Float[np.ndarray, " N"]) -> Float[np.ndarray, " N"]:
    """Percentage of the other patches that are below (ties share the mean rank); 50 for a single patch."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    middle = np.cumsum(counts) - (counts + 1) / 2
    if len(values) < 2:
        return np.full(len(values), 50, np.float32)
    return np.asarray(100 * middle[place] / (len(values) - 1), np.float32)


def top_patches(prediction: Prediction, count: int, head: Head = MEAN_HEAD) -> Int[np.ndarray, " n"]:
    """Indices of the most attended patches, best first."""
    return np.argsort(-attention_values(prediction, head), kind="stable")[:count]


def top_layer(prediction: Prediction, view: ViewSettings, head: Head = MEAN_HEAD) -> LayerTuple:
    """The most attended patches as numbered rectangles, at most 20."""
    best, values = top_patches(prediction, view.top_patches, head), attention_values(prediction, head)
    features: dict[str, Any] = {"rank": np.arange(1, len(best) + 1), "attention": values[best]}
    if prediction.reconstruction_error is not None:
        features["error"] = prediction.reconstruction_error[best]
    name = _name(TOP, prediction.slide)
    attributes = {
        "name": name if prediction.partial >= 1 else f"{name} (partial)",
        "shape_type": "rectangle",
        "face_color": "transparent",
        "edge_color": "black",
        "edge_width": float(prediction.grid.size_yx_px[0]) * FRAME_SHARE,
        "opacity": 1.0,
        "features": features,
        "text": {"string": "{rank}", "size": 9, "color": "black", "anchor": "center"},
        "metadata": {TAG: tag(TOP, prediction.slide)},
        **placement((0, 0), (1, 1), prediction.slide.mpp_yx),
    }
    return rectangles(prediction.grid.take(best)), attributes, "shapes"


def rectangles(grid: PatchGrid) -> Float[np.ndarray, "N 4 2"]:
    """Outlines of patches in slide pixels; a pixel reaches half a step to either side of its number."""
    near = grid.coords_yx - 0.5
    far = near + np.asarray(grid.size_yx_px)
    corners = [near, np.stack([near[:, 0], far[:, 1]], 1), far, np.stack([far[:, 0], near[:, 1]], 1)]
    return np.stack(corners, axis=1)


def patch_rows(prediction: Prediction, count: int, head: Head = MEAN_HEAD) -> tuple[list[str], list[list[str]]]:
    """Columns and rows of the panel's table of the most attended patches."""
    values, error = attention_values(prediction, head), prediction.reconstruction_error
    columns = ["attention", *(["error"] if error is not None else []), "x (px)", "y (px)"]
    rows = []
    for patch in top_patches(prediction, count, head):
        y, x = prediction.grid.coords_yx[patch]
        rows.append([f"{values[patch]:.2f} ×", *([f"{error[patch]:.3f}"] if error is not None else []), str(x), str(y)])
    return columns, rows


def patch_place(prediction: Prediction, patch: int) -> tuple[tuple[float, float], float]:
    """Centre and width of a patch in the viewer's units."""
    grid, mpp = prediction.grid, prediction.slide.mpp_yx or (1.0, 1.0)
    centre = (grid.coords_yx[patch] + np.asarray(grid.size_yx_px) / 2 - 0.5) * np.asarray(mpp)
    return (float(centre[0]), float(centre[1])), grid.size_yx_px[1] * mpp[1]


def _name(role: str, facts: SlideFacts, lattice: int = 0) -> str:
    return f"{role} · {facts.name}" + (f" · grid {lattice + 1}" if lattice else "")
