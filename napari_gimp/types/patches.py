"""The units of the model: patches of a slide in scan order, and the regular grids on which maps are drawn."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int

from napari_gimp.settings import InputError, check_settings, setting


@dataclass(frozen=True)
class PatchSpec:
    """Which patches a slide is cut into; physical, so that 20x and 40x slides give the same patches."""

    patch_px: int = setting(256, "Side of a patch as the encoder sees it.", min=32, max=2048, unit="px")
    patch_mpp: float = setting(0.5, "Resolution at which the encoder sees a patch.", min=0.1, max=10, unit="um/px")
    stride: float = setting(1.0, "Step between patches in patch sides: 1 no overlap, 0.5 half.", min=0.1, max=4)
    min_tissue: float = setting(0.25, "Share of a patch that tissue must cover to keep it.", min=0.0, max=1.0)

    def __post_init__(self) -> None:
        check_settings(self)

    @property
    def patch_um(self) -> float:
        """Side of a patch in um (128 by default)."""
        return self.patch_px * self.patch_mpp


@dataclass(frozen=True, eq=False)
class Lattice:
    """One regular grid of map cells: a heat map is one float32 image over it, placed by scale and translate.

    ``origin_yx_px``: top-left corner of cell (0, 0); ``cell_yx_px``: its size; both exact, in level-0 pixels.
    ``patches`` are the indices (n,) of its patches in the bag, ``cells`` (n, 2) their rows and columns.
    """

    origin_yx_px: tuple[float, float]
    cell_yx_px: tuple[float, float]
    shape: tuple[int, int]
    patches: Int[np.ndarray, " n"]
    cells: Int[np.ndarray, "n 2"]

    def image(self, values: Float[np.ndarray, " N"]) -> Float[np.ndarray, "rows cols"]:
        """Values of all N patches of the bag -> map (rows, cols), NaN where the lattice has no patch."""
        picture = np.full(self.shape, np.nan, np.float32)
        picture[self.cells[:, 0], self.cells[:, 1]] = np.asarray(values)[self.patches]
        return picture


@dataclass(frozen=True, eq=False)
class PatchGrid:
    """The patches of a slide in scan order (row by row): the model's units.

    Parameters
    ----------
    coords_yx
        Top-left corners (N, 2), int64, level-0 pixels.
    size_yx_px, stride_yx_px
        Exact (fractional) side of a patch and step of the grid in level-0 pixels.
    slide_shape_yx
        Level-0 shape.
    mpp_yx
        um per level-0 pixel, None where unknown (a foreign file).
    """

    coords_yx: Int[np.ndarray, "N 2"]
    size_yx_px: tuple[float, float]
    stride_yx_px: tuple[float, float]
    slide_shape_yx: tuple[int, int]
    mpp_yx: tuple[float, float] | None

    def __post_init__(self) -> None:
        if self.coords_yx.dtype != np.int64 or self.coords_yx.ndim != 2 or self.coords_yx.shape[1] != 2:
            raise InputError(f"Expected int64 coordinates (N, 2), found {self.coords_yx.dtype} {self.coords_yx.shape}.")
        if min(*self.size_yx_px, *self.stride_yx_px) <= 0:
            raise InputError(
                f"Expected a positive patch size and stride, found {self.size_yx_px}, {self.stride_yx_px}."
            )

    def __len__(self) -> int:
        return len(self.coords_yx)

    def take(self, patches: Int[np.ndarray, " n"]) -> PatchGrid:
        """The same grid with only these patches, in this order."""
        return replace(self, coords_yx=self.coords_yx[patches])

    @property
    def cells(self) -> Int[np.ndarray, "N 2"]:
        """Grid row and column of each patch, counted from the first tissue patch: what position encoding sees."""
        cells: np.ndarray = np.round(self.coords_yx / np.asarray(self.stride_yx_px)).astype(np.int64)
        return cells - cells.min(axis=0) if len(cells) else cells

    @cached_property
    def lattices(self) -> tuple[Lattice, ...]:
        """The regular grids on which the patches lie: one for ours, several for files that start one per contour.

        Patches share a lattice when their offsets agree to half a level-0 pixel: none is moved further than that.
        A cell is one stride large and has its patch's centre.
        """
        if not len(self):
            return ()
        stride = np.asarray(self.stride_yx_px)
        offset = self.coords_yx - np.round(self.coords_yx / stride) * stride
        if np.abs(offset).max() <= 0.5:
            return (self._lattice(np.arange(len(self)), np.zeros(2)),)
        middle, member = np.unique(np.round(offset), axis=0, return_inverse=True)
        return tuple(self._lattice(np.flatnonzero(member == k), middle[k]) for k in range(len(middle)))

    def _lattice(self, patches: Int[np.ndarray, " n"], offset: Float[np.ndarray, " 2"]) -> Lattice:
        stride, size = np.asarray(self.stride_yx_px), np.asarray(self.size_yx_px)
        cells = np.round((self.coords_yx[patches] - offset) / stride).astype(np.int64)
        corner = cells.min(axis=0)
        origin = corner * stride + offset + (size - stride) / 2
        rows, columns = cells.max(axis=0) - corner + 1
        return Lattice(
            (float(origin[0]), float(origin[1])), self.stride_yx_px, (int(rows), int(columns)), patches, cells - corner
        )
