"""Building blocks of texture: smooth noise, toroidal noise tiles and cellular (Worley) noise."""

from __future__ import annotations

from functools import cache

import numpy as np
from jaxtyping import Float
from PIL import Image
from scipy.ndimage import gaussian_filter, map_coordinates

TILE_PX = 1024


def smooth_noise(random: np.random.Generator, shape_yx: tuple[int, int], grain: float) -> Float[np.ndarray, "h w"]:
    """Noise of unit spread whose bumps are about ``grain`` pixels wide, float32."""
    coarse = [int(np.ceil(n / grain)) + 4 for n in shape_yx]
    lattice = random.standard_normal(coarse).astype(np.float32)
    lattice = gaussian_filter(lattice, 0.7)
    lattice /= max(float(lattice.std()), 1e-6)
    box = (2.0, 2.0, 2 + shape_yx[0] / grain, 2 + shape_yx[1] / grain)
    return enlarge(lattice, shape_yx, box, Image.Resampling.BICUBIC)


def enlarge(
    field: Float[np.ndarray, "a b"],
    shape_yx: tuple[int, int],
    box: tuple[float, float, float, float] | None = None,
    how: Image.Resampling = Image.Resampling.BILINEAR,
) -> Float[np.ndarray, "h w"]:
    """Resample the part ``box`` (top, left, bottom, right) of a float32 field to a shape; seamless between boxes."""
    top, left, bottom, right = box or (0.0, 0.0, *field.shape)
    above, before = max(int(top) - 4, 0), max(int(left) - 4, 0)
    part = field[above : int(bottom) + 5, before : int(right) + 5]
    picture = Image.fromarray(np.ascontiguousarray(part, np.float32))
    place = (left - before, top - above, right - before, bottom - above)
    return np.asarray(picture.resize((shape_yx[1], shape_yx[0]), how, place))


def step(field: Float[np.ndarray, "*any"], softness: float) -> Float[np.ndarray, "*any"]:
    """0 below, 1 above zero, with a straight ramp ``softness`` wide."""
    return np.asarray(np.clip(field * np.float32(1 / softness) + np.float32(0.5), 0, 1))


@cache
def grain_tile(sigma: float, seed: int) -> Float[np.ndarray, "1024 1024"]:
    """Toroidal noise of unit spread, float32: tiles without a seam."""
    white = np.random.default_rng(seed).standard_normal((TILE_PX, TILE_PX)).astype(np.float32)
    return _unit(gaussian_filter(white, sigma, mode="wrap"))


@cache
def fibre_tile(seed: int) -> Float[np.ndarray, "1024 1024"]:
    """Toroidal wavy fibres along x, of unit spread, float32."""
    random = np.random.default_rng(seed)
    white = random.standard_normal((TILE_PX, TILE_PX)).astype(np.float32)
    thin = _unit(gaussian_filter(white, (1.2, 30), mode="wrap"))
    thick = _unit(gaussian_filter(white, (4, 60), mode="wrap"))
    y, x = np.mgrid[:TILE_PX, :TILE_PX].astype(np.float32)
    wave = 9 * np.sin(x * (2 * np.pi * 9 / TILE_PX) + 2 * np.sin(y * (2 * np.pi * 3 / TILE_PX)))
    return _unit(map_coordinates(thin + thick, [y + wave, x], order=1, mode="grid-wrap"))


def _unit(field: Float[np.ndarray, "h w"]) -> Float[np.ndarray, "h w"]:
    return np.asarray((field - field.mean()) / field.std(), np.float32)


def cells(
    random: np.random.Generator,
    y: Float[np.ndarray, "h w"],
    x: Float[np.ndarray, "h w"],
    spacing: float,
    jitter: float = 0.42,
) -> tuple[Float[np.ndarray, "h w"], Float[np.ndarray, "h w"]]:
    """Irregular cells with jittered centres: distance to the nearest border, and a number in 0..1 of each cell.

    ``y, x`` and ``spacing`` are in the same unit, the distance too. Cells repeat after 64 of them.
    """
    period = 64
    offset = random.uniform(0.5 - jitter, 0.5 + jitter, (2, period, period)).astype(np.float32)
    value = random.uniform(0, 1, (period, period)).astype(np.float32)
    v, u = y / np.float32(spacing), x / np.float32(spacing)
    row, column = np.floor(v).astype(np.int32), np.floor(u).astype(np.int32)
    first, second = np.full(v.shape, 9e9, np.float32), np.full(v.shape, 9e9, np.float32)
    owner = np.zeros(v.shape, np.float32)
    for dr in (-1, 0, 1):
        for dc in (-1, 0, 1):
            r, c = (row + dr) % period, (column + dc) % period
            squared = (row + dr + offset[0, r, c] - v) ** 2 + (column + dc + offset[1, r, c] - u) ** 2
            closer = squared < first
            second = np.where(closer, first, np.minimum(second, squared))
            owner = np.where(closer, value[r, c], owner)
            first = np.where(closer, squared, first)
    return (np.sqrt(second) - np.sqrt(first)) * np.float32(spacing / 2), owner
