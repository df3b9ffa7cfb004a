"""Patches of a slide in bulk: each file tile decoded once, in threads, in bounded memory, batches ready in advance."""

from __future__ import annotations

import math
import os
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int, UInt8

from napari_gimp.slides.pyramid import Slide
from napari_gimp.slides.resample import resample
from napari_gimp.slides.tiles import Level, SlideError, TileError
from napari_gimp.types import PatchGrid

MAX_MISSING = 0.2
MAX_THREADS = 8
# A level may be coarser than the target by this much: 0.499 um for 0.5 is the same level.
TOLERANCE = 1e-6


@dataclass(frozen=True, eq=False)
class PatchBatch:
    """Some patches of a grid.

    Parameters
    ----------
    index
        (n,) which patches of the grid, in scan order.
    pixels
        (n, patch_px, patch_px, 3) uint8, white beyond the slide's edge.
    missing
        (m,) patches between these that could not be read; they have no pixels.
    """

    index: Int[np.ndarray, " n"]
    pixels: UInt8[np.ndarray, "n s s 3"]
    missing: Int[np.ndarray, " m"]


def read_patches(
    slide: Slide,
    grid: PatchGrid,
    patch_px: int,
    *,
    batch_size: int = 32,
    threads: int | None = None,
    prefetch: int = 4,
    of: int | None = None,
) -> Iterator[PatchBatch]:
    """All patches of a grid in its order, resampled to ``patch_px`` with an area filter.

    They are read from the coarsest level that is not coarser than the target; where the sizes agree the pixels are
    those of the level. File tiles pass through the slide's cache, so that neighbours do not decode them again.

    Parameters
    ----------
    slide, grid
        An open slide and where its patches are.
    patch_px
        Side of the pictures.
    batch_size
        Patches a batch (the last is smaller).
    threads
        Threads that read; by default one for each processor, at most 8.
    prefetch
        Batches read ahead of the caller. Closing the iterator ends the reading.
    of
        Patches of the whole slide, where ``grid`` is only what an earlier reading left of them.

    Raises
    ------
    SlideError
        More than 20 % of the patches cannot be read, or the slide has been closed.
    """
    threads, of = threads or min(os.cpu_count() or 1, MAX_THREADS), of or len(grid)
    stop = threading.Event()
    starts = iter(range(0, len(grid), batch_size))
    with ThreadPoolExecutor(threads, thread_name_prefix="patches") as pool:
        waiting: deque[Future[PatchBatch]] = deque()

        def refill() -> None:
            while len(waiting) < max(prefetch, 1) and (start := next(starts, None)) is not None:
                index = np.arange(start, min(start + batch_size, len(grid)))
                waiting.append(pool.submit(_read_batch, slide, grid, index, patch_px, stop))

        try:
            missing = 0
            refill()
            while waiting:
                batch = waiting.popleft().result()
                refill()
                missing += len(batch.missing)
                _check_missing(slide, missing, of)
                yield batch
        finally:
            stop.set()
            for future in waiting:
                future.cancel()


def read_patch(
    slide: Slide, corner_yx: tuple[int, int], size_yx_px: tuple[float, float], patch_px: int
) -> UInt8[np.ndarray, "s s 3"]:
    """One patch, as :func:`read_patches` gives it.

    Parameters
    ----------
    corner_yx, size_yx_px
        Top-left corner and size in level-0 pixels.

    Raises
    ------
    TileError
        A tile under it will not decode.
    """
    level, step = best_level(slide.tile_levels, size_yx_px, patch_px)
    top, left = corner_yx[0] / step, corner_yx[1] / step
    height, width = size_yx_px[0] / step, size_yx_px[1] / step
    y0, x0 = math.floor(top + TOLERANCE), math.floor(left + TOLERANCE)
    y1, x1 = math.ceil(top + height - TOLERANCE), math.ceil(left + width - TOLERANCE)
    pixels = level.region(y0, x0, y1 - y0, x1 - x0)
    if pixels.shape == (patch_px, patch_px, 3):
        return pixels
    return resample(pixels, (top - y0, left - x0), (height, width), patch_px)


def best_level(levels: tuple[Level, ...], size_yx_px: tuple[float, float], patch_px: int) -> tuple[Level, int]:
    """The coarsest level at which a patch has at least ``patch_px`` pixels a side, and its downsample."""
    scale = min(size_yx_px) / patch_px
    number = 0
    while number + 1 < len(levels) and 2 ** (number + 1) <= scale * (1 + TOLERANCE):
        number += 1
    return levels[number], 2**number


def _read_batch(
    slide: Slide, grid: PatchGrid, index: Int[np.ndarray, " n"], patch_px: int, stop: threading.Event
) -> PatchBatch:
    pixels = np.empty((len(index), patch_px, patch_px, 3), np.uint8)
    read: list[int] = []
    for patch in index.tolist():
        if stop.is_set():
            break
        corner = int(grid.coords_yx[patch, 0]), int(grid.coords_yx[patch, 1])
        try:
            pixels[len(read)] = read_patch(slide, corner, grid.size_yx_px, patch_px)
        except TileError:
            continue
        read.append(patch)
    there = np.asarray(read, np.int64)
    return PatchBatch(there, pixels[: len(read)], np.setdiff1d(index, there))


def _check_missing(slide: Slide, missing: int, total: int) -> None:
    if missing > MAX_MISSING * total:
        raise SlideError(
            f"Expected at least {1 - MAX_MISSING:.0%} of the patches of {slide.path.name} to be readable, found"
            f" {missing} of {total} that will not decode; the file is damaged: copy or download it again."
        )
