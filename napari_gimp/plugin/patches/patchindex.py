"""A point on the slide -> the patch that lies there, at a cost that does not grow with the number of patches."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int

from napari_gimp.types import Lattice, PatchGrid


class PatchIndex:
    """Looks patches up through one dense picture of indices per lattice.

    The answer agrees with the map that is drawn: where patches overlap, or lie on several lattices, it is the patch
    whose centre is nearest; where they stand apart, the patch whose map cell it is.
    """

    def __init__(self, grid: PatchGrid) -> None:
        self.grid = grid
        self._pictures = [_picture(lattice) for lattice in grid.lattices]
        self._origins = np.array([lattice.origin_yx_px for lattice in grid.lattices], float).reshape(-1, 2)
        self._shapes = np.array([lattice.shape for lattice in grid.lattices], np.int64).reshape(-1, 2)
        self._cell, size = np.asarray(grid.stride_yx_px, float), np.asarray(grid.size_yx_px, float)
        self._half = np.maximum(size, self._cell) / 2
        self._reach = np.ceil(np.maximum(size - self._cell, 0) / (2 * self._cell)).astype(np.int64)

    def at(self, y_px: float, x_px: float) -> int | None:
        """The patch at a point in continuous level-0 pixels (0 = the slide's top-left corner); None beside them."""
        point = np.array([y_px, x_px])
        cells = np.floor((point - self._origins) / self._cell).astype(np.int64)
        near = ((cells >= -self._reach) & (cells < self._shapes + self._reach)).all(axis=1)
        found = [hit for k in np.flatnonzero(near).tolist() if (hit := self._nearest(k, cells[k], point)) is not None]
        return min(found)[1] if found else None

    def _nearest(self, lattice: int, cell: Int[np.ndarray, " 2"], point: np.ndarray) -> tuple[float, int] | None:
        """Distance in cells and index of the lattice's nearest patch that reaches to the point."""
        low = np.maximum(cell - self._reach, 0)
        high = cell + self._reach + 1
        part = self._pictures[lattice][low[0] : high[0], low[1] : high[1]]
        there = np.argwhere(part >= 0)
        away = np.abs(self._origins[lattice] + (low + there + 0.5) * self._cell - point)
        over = (away <= self._half).all(axis=1)
        if not over.any():
            return None
        there, distance = there[over], (away[over] / self._cell).max(axis=1)
        best = int(distance.argmin())
        return float(distance[best]), int(part[tuple(there[best])])

    def of_corner(self, corner_yx: tuple[int, int]) -> int | None:
        """The patch with this top-left corner, None where there is none: finds a patch of another result again."""
        same = np.flatnonzero((self.grid.coords_yx == np.asarray(corner_yx)).all(axis=1))
        return int(same[0]) if len(same) else None


def _picture(lattice: Lattice) -> Int[np.ndarray, "rows cols"]:
    """Index of each cell's patch, -1 where there is none."""
    picture = np.full(lattice.shape, -1, np.int32)
    picture[lattice.cells[:, 0], lattice.cells[:, 1]] = lattice.patches
    return picture
