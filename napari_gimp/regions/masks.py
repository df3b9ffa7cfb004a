"""Polygons <-> masks of a slide."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import shapely
from jaxtyping import Bool, Float
from shapely.geometry import Polygon

from napari_gimp.regions.region import Region


def regions_to_mask(
    regions: Sequence[Region], slide_shape_yx: tuple[int, int], mask_shape: tuple[int, int]
) -> Bool[np.ndarray, "h w"]:
    """Draw regions into a mask that covers the slide: a mask pixel is in when its centre is.

    Parameters
    ----------
    slide_shape_yx, mask_shape
        Height and width of the slide in level-0 pixels and of the mask.

    Notes
    -----
    Scan conversion by parity: every outline that crosses a row of pixel centres flips what lies right of it.
    """
    height, width = mask_shape
    scale_xy = np.array([width / slide_shape_yx[1], height / slide_shape_yx[0]])
    rings = _rings(shapely.union_all([region.polygon for region in regions])) if regions else []
    flips = np.zeros((height, width + 1), np.int64)
    for ring in rings:
        _add_crossings(flips, ring * scale_xy - 0.5)
    return np.asarray(np.cumsum(flips, axis=1)[:, :width] % 2 == 1)


def mask_to_regions(
    mask: Bool[np.ndarray, "h w"], slide_shape_yx: tuple[int, int], name: str, classification: str | None = None
) -> list[Region]:
    """Outline the connected parts of a mask exactly along its pixel edges, holes included.

    ``regions_to_mask`` gives the mask back unchanged. Pixels that touch only at a corner are separate regions.
    """
    rows, starts, stops = _runs(mask)
    area = shapely.union_all(shapely.box(starts, rows, stops, rows + 1)).simplify(0)
    scale_xy = np.array([slide_shape_yx[1] / mask.shape[1], slide_shape_yx[0] / mask.shape[0]])
    placed = shapely.transform(area, lambda xy: xy * scale_xy)
    return [Region(part, name, classification) for part in shapely.get_parts(placed) if part.area > 0]


def _rings(area: Any) -> list[Float[np.ndarray, "n 2"]]:
    polygons = [part for part in shapely.get_parts(area) if isinstance(part, Polygon)]
    return [shapely.get_coordinates(ring) for part in polygons for ring in (part.exterior, *part.interiors)]


def _add_crossings(flips: np.ndarray, ring_xy: Float[np.ndarray, "n 2"]) -> None:
    """Count, per row of pixel centres (integers here), the first pixel right of each crossing with the ring."""
    height, width = flips.shape
    a, b = ring_xy[:-1], ring_xy[1:]
    up = (a[:, 1] > b[:, 1])[:, None]
    top, bottom = np.where(up, b, a), np.where(up, a, b)
    first = np.ceil(np.clip(top[:, 1], 0, height)).astype(np.int64)
    count = np.ceil(np.clip(bottom[:, 1], 0, height)).astype(np.int64) - first
    edge = np.repeat(np.arange(len(a)), count)
    row = np.arange(len(edge)) - np.repeat(np.cumsum(count) - count, count) + first[edge]
    slope = (bottom[edge] - top[edge])[:, 0] / (bottom[edge] - top[edge])[:, 1]
    x = top[edge, 0] + slope * (row - top[edge, 1])
    np.add.at(flips, (row, np.ceil(np.clip(x, 0, width - 1)).astype(np.int64)), 1)


def _runs(mask: Bool[np.ndarray, "h w"]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Row, first column and column after the last of every horizontal run of True."""
    steps = np.diff(np.pad(mask, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    rows, starts = np.nonzero(steps == 1)
    return rows, starts, np.nonzero(steps == -1)[1]
