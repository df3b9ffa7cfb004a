"""Where a level cannot be read: only under the file's tiles that will not decode, not under all that they go into."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool

from napari_gimp.slides.tiles import Halved, Level, Rechunked, TileError


def unreadable(level: Level) -> Bool[np.ndarray, "h w"]:
    """Pixels of a level that no tile of the file gives. Tiles that are held already cost nothing."""
    return _lost(level, 0, 0, *level.shape_yx)


def _lost(level: Level, top: int, left: int, height: int, width: int) -> Bool[np.ndarray, "h w"]:
    lost = np.zeros((height, width), bool)
    for row in range(top // level.tile_yx[0], -(-(top + height) // level.tile_yx[0])):
        for column in range(left // level.tile_yx[1], -(-(left + width) // level.tile_yx[1])):
            y, x, high, wide = level.raw.box(row, column)
            y0, x0, y1, x1 = max(y, top), max(x, left), min(y + high, top + height), min(x + wide, left + width)
            part = _lost_tile(level, row, column)
            if part is not None:
                lost[y0 - top : y1 - top, x0 - left : x1 - left] = part[y0 - y : y1 - y, x0 - x : x1 - x]
    return lost


def _lost_tile(level: Level, row: int, column: int) -> Bool[np.ndarray, "h w"] | None:
    try:
        level.tile(row, column)
    except TileError:
        return _lost_within(level, row, column)
    return None


def _lost_within(level: Level, row: int, column: int) -> Bool[np.ndarray, "h w"]:
    top, left, height, width = level.raw.box(row, column)
    if isinstance(level.raw, Rechunked):
        return _lost(level.raw.strips, top, left, height, width)
    if not isinstance(level.raw, Halved):
        return np.ones((height, width), bool)
    finer = level.raw.finer
    high, wide = min(2 * height, finer.shape_yx[0] - 2 * top), min(2 * width, finer.shape_yx[1] - 2 * left)
    lost = np.zeros((2 * height, 2 * width), bool)
    lost[:high, :wide] = _lost(finer, 2 * top, 2 * left, high, wide)
    return np.asarray(lost.reshape(height, 2, width, 2).any(axis=(1, 3)))
