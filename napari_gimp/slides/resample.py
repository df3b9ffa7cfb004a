"""Pixels to the encoder's size: the exact mean over each target pixel's area; bilinear where that is less than one."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from jaxtyping import UInt8
from PIL import Image
from scipy.sparse import csr_array

from napari_gimp.slides.tiles import Pixels

Square = UInt8[np.ndarray, "s s 3"]


def resample(pixels: Pixels, origin_yx: tuple[float, float], size_yx: tuple[float, float], side_px: int) -> Square:
    """A box of pixels as a square picture.

    Parameters
    ----------
    pixels
        (h, w, 3) that cover the box.
    origin_yx, size_yx
        Place and size of the box in pixels, fractional.
    side_px
        Side of the result. Downwards every target pixel is the mean over its area, borders weighted by the share
        they cover (Pillow's box filter takes a border pixel whole or not at all); upwards it is bilinear.
    """
    if min(size_yx) < side_px:
        (top, left), (height, width) = origin_yx, size_yx
        box = (left, top, min(left + width, pixels.shape[1]), min(top + height, pixels.shape[0]))
        image = Image.fromarray(np.ascontiguousarray(pixels))
        return np.asarray(image.resize((side_px, side_px), Image.Resampling.BILINEAR, box=box))
    over_rows = area_matrix(origin_yx[0], size_yx[0], side_px, pixels.shape[0])
    over_columns = area_matrix(origin_yx[1], size_yx[1], side_px, pixels.shape[1])
    rows = (over_rows @ pixels.reshape(pixels.shape[0], -1).astype(np.float32)).reshape(side_px, -1, 3)
    # Colour by colour: one transposed copy of interleaved colours takes three times as long.
    turned = np.empty((pixels.shape[1], 3, side_px), np.float32)
    for colour in range(3):
        turned[:, colour] = rows[..., colour].T
    mean = over_columns @ turned.reshape(pixels.shape[1], -1)
    mean += 0.5
    planes = mean.astype(np.uint8).reshape(side_px, 3, side_px)
    picture = np.empty((side_px, side_px, 3), np.uint8)
    for colour in range(3):
        picture[..., colour] = planes[:, colour].T
    return picture


# A sparse product is as fast as Pillow's resize and lets other threads run.
@lru_cache(maxsize=256)
def area_matrix(origin: float, size: float, side_px: int, source_px: int) -> csr_array:
    """Weights (side_px, source_px) by which source pixels make up each target pixel: shares of its area, rows of sum 1.

    Parameters
    ----------
    origin, size
        The box along one axis, in source pixels.
    """
    step = size / side_px
    start = origin + step * np.arange(side_px)
    end = start + step
    first = np.floor(start + 1e-9).astype(np.int64)
    taps = int((np.ceil(end - 1e-9).astype(np.int64) - first).max())
    source = first[:, None] + np.arange(taps)
    covered = np.minimum(source + 1, end[:, None]) - np.maximum(source, start[:, None])
    weights = np.maximum(covered, 0)
    weights /= weights.sum(axis=1, keepdims=True)
    places = (np.repeat(np.arange(side_px), taps), np.minimum(source, source_px - 1).reshape(-1))
    return csr_array((weights.astype(np.float32).reshape(-1), places), shape=(side_px, source_px))
