"""Levels whose shapes divide exactly, so that napari places every one of them to a fraction of a level-0 pixel.

napari takes a level's downsampling from the ratio of the shapes. 17883 px over 1118 px is 15.995, not 16, and the
slide's far edge would stand 5 level-0 pixels off its maps whenever that level is drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import zarr
from jaxtyping import UInt8

GLASS = 255


class PaddedLevel:
    """A level (Y, X, 3) that ends in a little glass at the bottom and the right; reads no more than asked for."""

    def __init__(self, level: zarr.Array, shape_yx: tuple[int, int]) -> None:
        self.level, self.shape, self.dtype = level, (*shape_yx, 3), np.dtype(np.uint8)
        self.chunks, self.ndim = level.chunks, 3

    @property
    def size(self) -> int:
        """Number of values."""
        return int(np.prod(self.shape))

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> UInt8[np.ndarray, ...]:
        keys = key if isinstance(key, tuple) else (key,)
        if Ellipsis in keys or not all(isinstance(item, slice) and item.step in (None, 1) for item in keys[:2]):
            return np.asarray(np.asarray(self)[key])
        rows, columns = (slice(*item.indices(n)[:2]) for item, n in zip(_two(keys), self.shape[:2], strict=True))
        return self._window(rows, columns)[(slice(None), slice(None), *keys[2:])]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self._window(slice(0, self.shape[0]), slice(0, self.shape[1])).astype(dtype or self.dtype, copy=False)

    def _window(self, rows: slice, columns: slice) -> UInt8[np.ndarray, "h w 3"]:
        there = np.asarray(self.level[rows, columns])
        height, width = max(0, rows.stop - rows.start), max(0, columns.stop - columns.start)
        if there.shape[:2] == (height, width):
            return there
        padded = np.full((height, width, 3), GLASS, np.uint8)
        padded[: there.shape[0], : there.shape[1]] = there
        return padded


def _two(keys: tuple[Any, ...]) -> tuple[slice, slice]:
    return keys[0], keys[1] if len(keys) > 1 else slice(None)


def exact_levels(levels: Sequence[zarr.Array]) -> list[zarr.Array | PaddedLevel | np.ndarray]:
    """Levels at /2 steps, finest first -> the same with shapes that are exact multiples of the lowest one's."""
    steps = [2**k for k in range(len(levels))]
    height, width = (
        max(-(-level.shape[axis] * step // steps[-1]) for level, step in zip(levels, steps, strict=True)) * steps[-1]
        for axis in range(2)
    )
    shapes = [(height // step, width // step) for step in steps]
    return [
        level if level.shape[:2] == shape else PaddedLevel(level, shape)
        for level, shape in zip(levels, shapes, strict=True)
    ]
