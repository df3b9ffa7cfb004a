"""Pixels of labels: the box around each label, an empty layer of a size that is allowed, an area filled. No window."""

from __future__ import annotations

from typing import Any

import numpy as np
import shapely
from scipy.ndimage import find_objects

from napari_gimp.regions import Region, regions_to_mask
from napari_gimp.settings import InputError

LARGEST_LABELS = 64 * 10**6
"""Bytes of a layer of labels up to which a session keeps it: a copy of it is made after each change."""


def boxes(labels: np.ndarray) -> dict[Any, tuple[slice, slice]]:
    """The box around each label: a few cells of a large layer are looked at, not all of it once per label."""
    values = np.unique(labels[labels != 0])
    numbered = np.where(labels != 0, np.searchsorted(values, labels).astype(np.int32) + 1, 0)
    return dict(zip(values, find_objects(numbered), strict=True))


def blank(shape_yx: tuple[int, int], dtype: np.dtype[Any], name: str) -> np.ndarray:
    """Labels without any, of a size that a session keeps: what a file says is not asked of the memory unseen."""
    if dtype.kind not in "iub" or min(shape_yx) < 1:
        raise ValueError(f"labels of {dtype}, {shape_yx[0]} x {shape_yx[1]}")
    if shape_yx[0] * shape_yx[1] * dtype.itemsize > LARGEST_LABELS:
        raise InputError(
            f"{name}: expected labels of at most {LARGEST_LABELS // 10**6} MB, found {shape_yx[0]:,} x {shape_yx[1]:,}"
            " pixels; they stay in the session file."
        )
    return np.zeros(shape_yx, dtype)


def fill(labels: np.ndarray, area: Any, value: int) -> None:
    """Give the pixels of an area, in pixels of the labels, this label."""
    x, y, right, bottom = area.bounds
    left, top = max(int(np.floor(x)), 0), max(int(np.floor(y)), 0)
    part = labels[top : max(int(np.ceil(bottom)), top), left : max(int(np.ceil(right)), left)]
    if part.size:
        moved = shapely.transform(area, lambda xy: xy - (left, top))
        part[regions_to_mask([Region(moved)], part.shape, part.shape)] = value
