"""Pictures that decode only as a whole: once, on the first read; kept in memory or, if large, in a temporary file."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Callable

import numpy as np

from napari_gimp.slides.tiles import Pixels, RawLevel, SlideError, TileError

IN_MEMORY_BYTES = 64 * 2**20


def room_for(shape_yx: tuple[int, int]) -> Pixels:
    """An empty picture: in memory up to 64 MB, else mapped from a temporary file that goes with the array.

    Raises
    ------
    SlideError
        The temporary folder is full.
    """
    shape = (*shape_yx, 3)
    size = shape[0] * shape[1] * 3
    if size <= IN_MEMORY_BYTES:
        return np.empty(shape, np.uint8)
    try:
        with tempfile.TemporaryFile() as file:  # the map keeps it alive
            if hasattr(os, "posix_fallocate"):  # a full disk must be an error now, not a crash at a mapped page later
                os.posix_fallocate(file.fileno(), 0, size)
            else:
                file.truncate(size)
            return np.memmap(file, np.uint8, "r+", shape=shape)
    except OSError as error:
        raise SlideError(
            f"Expected {size / 2**20:.0f} MB of room in {tempfile.gettempdir()} for a flat picture, found:"
            f" {error.strerror}; free some space or convert the picture to a tiled TIFF."
        ) from error


class WholePicture(RawLevel):
    """A level that can only be decoded whole; tiles are cut from it.

    Parameters
    ----------
    shape_yx
        Pixels.
    load
        Decodes the picture, (h, w, 3) uint8; called once, in the thread of the first read.
    """

    def __init__(self, shape_yx: tuple[int, int], load: Callable[[], Pixels], tile_px: int = 512) -> None:
        super().__init__(shape_yx, (tile_px, tile_px))
        self._load, self._lock = load, threading.Lock()
        self._picture: np.ndarray | None = None
        self._failure: TileError | None = None

    def decode(self, row: int, column: int) -> Pixels:
        """See :class:`RawLevel`."""
        top, left, height, width = self.box(row, column)
        return self._whole()[top : top + height, left : left + width]

    def release(self) -> None:
        """Free the pixels; the next read decodes again."""
        with self._lock:
            self._picture = None

    def _whole(self) -> np.ndarray:
        with self._lock:
            if self._failure is not None:
                raise self._failure
            if self._picture is None:
                try:
                    picture = self._load()
                except TileError as error:
                    self._failure = error
                    raise
                self._picture = _spooled(picture)
            return self._picture


def _spooled(picture: np.ndarray) -> np.ndarray:
    if picture.nbytes <= IN_MEMORY_BYTES or isinstance(picture, np.memmap):
        return picture
    room = room_for((picture.shape[0], picture.shape[1]))
    room[:] = picture
    return room
