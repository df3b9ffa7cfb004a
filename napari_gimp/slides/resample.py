"""Pixels to the encoder's size: the exact mean over each target pixel's area (bilinear where there is less than one)."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from jaxtyping import Float32, Int
from PIL import Image

from napari_gimp.slides.tiles import Pixels


def resample(pixels: Pixels, origin_yx: tuple[float, float], size_yx: tuple[float, float], side_px: int) -> Pixels:
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
    rows = _area_mean(pixels.astype(np.float32), origin_yx[0], size_yx[0], side_px)
    columns = _area_mean(rows.transpose(1, 0, 2), origin_yx[1], size_yx[1], side_px)
    return np.rint(columns, out=columns).astype(np.uint8).transpose(1, 0, 2)


def _area_mean(
    values: Float32[np.ndarray, "a b 3"], origin: float, size: float, side_px: int
) -> Float32[np.ndarray, "s b 3"]:
    first, weights = area_weights(origin, size, side_px)
    last = len(values) - 1
    total = values[np.minimum(first, last)] * weights[0][:, None, None]
    for tap in range(1, len(weights)):
        total += values[np.minimum(first + tap, last)] * weights[tap][:, None, None]
    return np.asarray(total)


@lru_cache(maxsize=256)
def area_weights(
    origin: float, size: float, side_px: int
) -> tuple[Int[np.ndarray, " s"], Float32[np.ndarray, "taps s"]]:
    """Which source pixels a target pixel covers and by how much: first index (s,), weights (taps, s) of sum 1."""
    step = size / side_px
    start = origin + step * np.arange(side_px)
    end = start + step
    first = np.floor(start).astype(np.int64)
    taps = int(np.ceil(end - 1e-9).astype(np.int64).__sub__(first).max())
    edges = first[None] + np.arange(taps + 1)[:, None]
    covered = np.minimum(edges[1:], end) - np.maximum(edges[:-1], start)
    weights = np.maximum(covered, 0)
    return first, (weights / weights.sum(axis=0)).astype(np.float32)
