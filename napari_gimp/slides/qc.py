"""A small picture of what was taken for tissue and which patches were kept."""

from __future__ import annotations

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw
from scipy import ndimage

from napari_gimp.types import PatchGrid, Tissue

MAX_SIDE_PX = 1200
OUTLINE_RGB, PATCH_RGB = (0, 150, 0), (30, 80, 220)
FILL_ALPHA, BORDER_ALPHA = 22, 200
LEAST_BORDERED_PX = 5
"""Below this side on the picture, borders would hide the tissue: patches are tinted only."""


def qc_picture(slide_low_level: UInt8[np.ndarray, "h w 3"], tissue: Tissue, grid: PatchGrid) -> Image.Image:
    """Draw the outline of the tissue (green) and the patches (blue) over a thumbnail of at most 1200 px a side.

    Parameters
    ----------
    slide_low_level
        The whole slide at any low level.
    tissue, grid
        What was found on that slide.
    """
    height, width = slide_low_level.shape[:2]
    shrink = MAX_SIDE_PX / max(height, width)
    size = max(1, round(width * shrink)), max(1, round(height * shrink))
    resample = Image.Resampling.BOX if shrink < 1 else Image.Resampling.NEAREST
    picture = Image.fromarray(slide_low_level).resize(size, resample).convert("RGBA")
    picture.alpha_composite(_patches(grid, size))
    picture.alpha_composite(_outline(tissue, size))
    return picture.convert("RGB")


def _patches(grid: PatchGrid, size: tuple[int, int]) -> Image.Image:
    layer = Image.new("RGBA", size)
    pen = ImageDraw.Draw(layer)
    scale_yx = np.array(size[::-1]) / grid.slide_shape_yx
    corners = np.concatenate([grid.coords_yx, grid.coords_yx + np.asarray(grid.size_yx_px)], axis=1)
    boxes = np.round(corners * np.tile(scale_yx, 2)).astype(int)
    border = (*PATCH_RGB, BORDER_ALPHA) if min(scale_yx * grid.size_yx_px) >= LEAST_BORDERED_PX else None
    for top, left, bottom, right in boxes.tolist():
        pen.rectangle((left, top, max(left, right), max(top, bottom)), fill=(*PATCH_RGB, FILL_ALPHA), outline=border)
    return layer


def _outline(tissue: Tissue, size: tuple[int, int]) -> Image.Image:
    mask = np.asarray(Image.fromarray(tissue.mask).resize(size, Image.Resampling.NEAREST))
    layer = np.zeros((*mask.shape, 4), np.uint8)
    layer[mask & ~ndimage.binary_erosion(mask, iterations=2)] = (*OUTLINE_RGB, 255)
    return Image.fromarray(layer)
