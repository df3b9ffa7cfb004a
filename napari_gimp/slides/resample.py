"""Pixels to the encoder's size: the exact mean over each target pixel's area; bilinear where that is less than one."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from jaxtyping import Float32, Int, UInt8
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
    rows = _mean_of_rows(pixels, *area_weights(origin_yx[0], size_yx[0], side_px))
    return _mean_of_columns(rows, *area_weights(origin_yx[1], size_yx[1], side_px))


# A fourth colour of zeros makes a pixel 16 bytes: numpy gathers those as one number, several times faster than three.
def _mean_of_rows(
    pixels: Pixels, first: Int[np.ndarray, " s"], weights: Float32[np.ndarray, "taps s"]
) -> Float32[np.ndarray, "s w 4"]:
    height, width, _ = pixels.shape
    padded = np.zeros((height, width, 4), np.float32)
    padded[..., :3] = pixels
    lines = padded.reshape(height, -1)
    total = np.zeros((len(first), width * 4), np.float32)
    for tap, weight in enumerate(weights):
        part = lines.take(first + tap, axis=0, mode="clip")
        part *= weight[:, None]
        total += part
    return total.reshape(len(first), width, 4)


def _mean_of_columns(
    rows: Float32[np.ndarray, "s w 4"], first: Int[np.ndarray, " s"], weights: Float32[np.ndarray, "taps s"]
) -> UInt8[np.ndarray, "s s 3"]:
    points = rows.view(np.complex128)[..., 0]
    total = np.zeros((len(rows), len(first), 4), np.float32)
    for tap, weight in enumerate(weights):
        part = points.take(first + tap, axis=1, mode="clip").view(np.float32).reshape(total.shape)
        part *= weight[:, None]
        total += part
    return np.rint(total, out=total)[..., :3].astype(np.uint8)


@lru_cache(maxsize=256)
def area_weights(
    origin: float, size: float, side_px: int
) -> tuple[Int[np.ndarray, " s"], Float32[np.ndarray, "taps s"]]:
    """Which source pixels a target pixel covers and by how much: first index (s,), weights (taps, s) of sum 1."""
    step = size / side_px
    start = origin + step * np.arange(side_px)
    end = start + step
    first = np.floor(start + 1e-9).astype(np.int64)
    taps = int((np.ceil(end - 1e-9).astype(np.int64) - first).max())
    edges = first[None] + np.arange(taps + 1)[:, None]
    covered = np.maximum(np.minimum(edges[1:], end) - np.maximum(edges[:-1], start), 0)
    return first, (covered / covered.sum(axis=0)).astype(np.float32)
