"""Tissue and numbers -> the patches of a slide. Opens nothing."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

from napari_gimp.settings import InputError
from napari_gimp.types import PatchGrid, PatchSpec, SlideFacts, Tissue

ROUNDING = 1e-9


def cut_patches(tissue: Tissue, facts: SlideFacts, spec: PatchSpec) -> PatchGrid:
    """Lay a regular grid over the slide and keep the patches with enough tissue, row by row.

    Cell (i, j) starts at ``round(i * stride)``, counted from the slide's top-left corner: no rounding adds up, and the
    same slide gives the same grid whatever its tissue. A patch may reach beyond the slide's lower and right edge as
    long as its centre lies inside (a slide smaller than a patch has one); its share of tissue is of the part inside.
    Where tissue reaches ``spec.min_tissue`` in no patch, the one with most tissue is kept: a tiny biopsy is one patch.

    Parameters
    ----------
    tissue
        Mask that covers the whole slide.
    facts
        Shape and um per pixel of the same slide.
    spec
        Size, stride and least share of tissue.

    Returns
    -------
    PatchGrid
        At least one patch.

    Raises
    ------
    InputError
        No tissue, unknown um per pixel, a mask of another slide, or patches smaller than a pixel.
    """
    if tissue.slide_shape_yx != facts.shape_yx:
        raise InputError(
            f"{facts.name}: expected tissue of a slide of {facts.shape_yx} px, found {tissue.slide_shape_yx}."
        )
    size, stride = _in_pixels(facts, spec)
    down, across = (_edges(*axis) for axis in zip(facts.shape_yx, size, stride, strict=True))
    share = _tissue_share(tissue, down, across)
    kept = _kept(share, spec.min_tissue, facts.name)
    rows, columns = np.nonzero(kept)
    coords = np.stack([down[rows, 0], across[columns, 0]], axis=1).astype(np.int64)
    return PatchGrid(coords, size, stride, facts.shape_yx, facts.mpp_yx)


def _in_pixels(facts: SlideFacts, spec: PatchSpec) -> tuple[tuple[float, float], tuple[float, float]]:
    mpp_y, mpp_x = facts.known_mpp_yx()
    size = spec.patch_um / mpp_y, spec.patch_um / mpp_x
    stride = size[0] * spec.stride, size[1] * spec.stride
    if min(*size, *stride) < 1:
        raise InputError(
            f"{facts.name}: expected patches and steps of at least one slide pixel, found {min(*size, *stride):.2f} px"
            f" at {mpp_y:g} um per pixel; choose larger patches."
        )
    return size, stride


def _edges(length: int, size: float, stride: float) -> Float[np.ndarray, "n 2"]:
    """First (whole) pixel and end of every patch along one axis; the end is cut at the slide's."""
    count = max(0, int(np.floor((length - size / 2) / stride + ROUNDING))) + 1
    first = np.round(np.arange(count) * stride)
    return np.stack([first, np.minimum(first + size, length)], axis=1)


def _tissue_share(
    tissue: Tissue, down: Float[np.ndarray, "rows 2"], across: Float[np.ndarray, "columns 2"]
) -> Float[np.ndarray, "rows columns"]:
    """Share of each grid patch, as far as it lies in the slide, that tissue covers: exact for fractional edges."""
    scale_y, scale_x = tissue.scale_yx_px
    area = _integrals(_integrals(tissue.mask.astype(np.float64), down / scale_y, 0), across / scale_x, 1)
    return np.asarray(area / (np.diff(down / scale_y) * np.diff(across / scale_x).T))


def _integrals(values: Float[np.ndarray, "h w"], spans: Float[np.ndarray, "n 2"], axis: int) -> np.ndarray:
    """Integrals of a piecewise constant function along an axis: differences of its running sum, linear between."""
    running = np.insert(np.cumsum(values, axis=axis), 0, 0, axis=axis)
    whole = np.minimum(spans.astype(np.int64), values.shape[axis] - 1)
    part = (spans - whole)[..., None] if axis == 0 else (spans - whole)[None]
    low, high = running.take(whole, axis=axis), running.take(whole + 1, axis=axis)
    at_ends = low + part * (high - low)
    return np.asarray(np.diff(at_ends, axis=axis + 1).squeeze(axis + 1))


def _kept(share: Float[np.ndarray, "rows columns"], least: float, name: str) -> Bool[np.ndarray, "rows columns"]:
    if not share.max() > 0:
        raise InputError(f"{name}: expected tissue, found an empty mask; draw the tissue or change its settings.")
    return np.asarray(share >= min(least, share.max()) - ROUNDING)
