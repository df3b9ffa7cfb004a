"""Pixels of patches for docks: a handle on the slide of their own, read in workers. No window."""

from __future__ import annotations

import threading
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from napari_gimp.settings import InputError
from napari_gimp.slides import Slide, open_slide, read_patch, read_patches
from napari_gimp.types import PatchGrid, Progress

AROUND = 3
"""Side of a patch with its neighbours, in patches."""
MOST_PX = 1536
THUMBNAIL_PX = 256
THREADS = 2


@dataclass(frozen=True, eq=False)
class NativePatch:
    """A patch as the slide has it, alone or in the middle of its neighbours.

    ``px_um`` is the size of a pixel (None where unknown); ``patches`` the picture's side in patches.
    """

    pixels: UInt8[np.ndarray, "s s 3"]
    px_um: float | None
    patches: int

    @property
    def width_um(self) -> float | None:
        """How wide the picture is, in um."""
        return None if self.px_um is None else self.px_um * self.pixels.shape[1]

    @property
    def words(self) -> str:
        """Size in pixels and um."""
        side = self.pixels.shape[0]
        if self.px_um is None:
            return f"{side} × {side} px, pixel size unknown"
        return f"{side * self.px_um:.0f} × {side * self.px_um:.0f} µm, {self.px_um:.3g} µm per pixel"


class SlideHandle:
    """One open slide, opened when it is first read and kept; closed from any thread, at any time."""

    def __init__(self) -> None:
        self._opening, self._lock = threading.Lock(), threading.Lock()
        self._slide: Slide | None = None
        self._ended = False

    @property
    def identity(self) -> str | None:
        """Of the slide that is open, None where none is."""
        slide = self._slide
        return None if slide is None else slide.facts.identity

    def get(self, path: Path, identity: str) -> Slide:
        """The slide, open.

        Raises
        ------
        InputError
            The file is another one by now.
        SlideError
            It cannot be opened.
        """
        with self._opening:
            slide = self._slide
            if slide is None or slide.facts.identity != identity:
                slide = open_same(path, identity)
                self._keep(slide)
            return slide

    def _keep(self, slide: Slide) -> None:
        with self._lock:
            old, self._slide = self._slide, slide
            ended = self._ended
        if old is not None:
            old.close()
        if ended:
            self.release()

    def release(self) -> None:
        """Close the file until it is asked for again; reads under way end in peace."""
        with self._lock:
            slide, self._slide = self._slide, None
        if slide is not None:
            slide.close()

    def end(self) -> None:
        """Close the file for good."""
        self._ended = True
        self.release()


def open_same(path: Path, identity: str) -> Slide:
    """The slide that has this identity: as it is, or with its colours corrected.

    Raises
    ------
    InputError
        Neither is it.
    """
    for use_icc in (False, True):
        slide = open_slide(path, use_icc=use_icc)
        if slide.facts.identity == identity:
            return slide
        slide.close()
    raise InputError(f"{path.name}: expected the file that the result was made of, found a changed one; run again.")


def read_native(
    handle: SlideHandle, path: Path, identity: str, grid: PatchGrid, patch: int, around: bool
) -> Generator[Progress, None, NativePatch]:
    """One patch at the slide's own resolution, or it and its eight neighbours' places (white beyond the slide)."""
    yield Progress("reading the patch", 0, 1, "patches")
    slide = handle.get(path, identity)
    times = AROUND if around else 1
    size = np.asarray(grid.size_yx_px)
    corner = grid.coords_yx[patch] - np.round(size * (times - 1) / 2).astype(np.int64)
    side = min(round(float(size.max()) * times), MOST_PX)
    pixels = read_patch(slide, (int(corner[0]), int(corner[1])), (float(size[0] * times), float(size[1] * times)), side)
    px_um = None if grid.mpp_yx is None else float(size[1]) * times * grid.mpp_yx[1] / side
    return NativePatch(pixels, px_um, times)


def read_thumbnails(
    handle: SlideHandle, path: Path, identity: str, grid: PatchGrid, patches: Sequence[int]
) -> Generator[Progress, None, dict[int, UInt8[np.ndarray, "s s 3"]]]:
    """Patches in one pass, about as fine as the model sees them; those that cannot be read are left out."""
    yield Progress("reading patches", 0, len(patches))
    slide, wanted = handle.get(path, identity), np.sort(np.asarray(patches, np.int64))
    found: dict[int, np.ndarray] = {}
    for batch in read_patches(slide, grid.take(wanted), THUMBNAIL_PX, batch_size=8, threads=THREADS, of=len(grid)):
        found |= {int(wanted[k]): pixels for k, pixels in zip(batch.index.tolist(), batch.pixels, strict=True)}
        yield Progress("reading patches", len(found), len(patches))
    return found
