"""Levels as grids of decoded tiles, and the one byte-bounded cache of them that viewer and patch reader share.

A :class:`RawLevel` decodes one tile of a file (or makes it from a finer level); a :class:`Level` puts the cache in
front of it. A tile that will not decode raises :class:`TileError` where pixels are computed with, and shows a pattern
that no slide has where they are looked at.
"""

from __future__ import annotations

import itertools
import threading
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from functools import cache
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from napari_gimp.settings import InputError

Pixels = UInt8[np.ndarray, "h w 3"]
WHITE = 255
DEFAULT_CACHE_BYTES = 512 * 2**20


class SlideError(InputError):
    """A slide cannot be opened or read; one sentence names what was found and what can be done."""


class TileError(SlideError):
    """One tile of a slide will not decode."""


class TileCache:
    """Decoded tiles, the least recently used dropped first; a tile wanted by two threads is decoded once.

    Parameters
    ----------
    limit_bytes
        Most bytes of pixels held at a time. A tile larger than this is handed out but not kept.
    """

    def __init__(self, limit_bytes: int = DEFAULT_CACHE_BYTES) -> None:
        self.limit_bytes = limit_bytes
        self.held_bytes = 0
        self._lock = threading.Lock()
        self._tiles: OrderedDict[tuple[Hashable, ...], np.ndarray] = OrderedDict()
        self._pending: dict[tuple[Hashable, ...], Future[np.ndarray]] = {}

    def get(self, key: tuple[Hashable, ...], decode: Callable[[], np.ndarray]) -> np.ndarray:
        """The tile of this key, read-only; ``decode`` is called only where it is not held. Its errors pass through."""
        with self._lock:
            tile = self._tiles.get(key)
            if tile is not None:
                self._tiles.move_to_end(key)
                return tile
            pending = self._pending.get(key)
            if pending is None:
                mine = self._pending[key] = Future()
        return pending.result() if pending is not None else self._fill(key, mine, decode)

    def held(self, key: tuple[Hashable, ...]) -> np.ndarray | None:
        """The tile if it is there, without decoding."""
        with self._lock:
            return self._tiles.get(key)

    def drop(self, owner: Hashable) -> None:
        """Forget every tile whose key begins with ``owner``."""
        with self._lock:
            for key in [key for key in self._tiles if key[0] is owner]:
                self.held_bytes -= self._tiles.pop(key).nbytes

    def _fill(
        self, key: tuple[Hashable, ...], mine: Future[np.ndarray], decode: Callable[[], np.ndarray]
    ) -> np.ndarray:
        try:
            tile = decode()
        except BaseException as error:
            with self._lock:
                del self._pending[key]
            mine.set_exception(error)
            raise
        tile.flags.writeable = False
        with self._lock:
            del self._pending[key]
            self._keep(key, tile)
        mine.set_result(tile)
        return tile

    def _keep(self, key: tuple[Hashable, ...], tile: np.ndarray) -> None:
        if tile.nbytes > self.limit_bytes:
            return
        self._tiles[key] = tile
        self.held_bytes += tile.nbytes
        while self.held_bytes > self.limit_bytes:
            self.held_bytes -= self._tiles.popitem(last=False)[1].nbytes


@cache
def shared_cache() -> TileCache:
    """The process's tile cache: what :func:`open_slide` uses when it is given no other."""
    return TileCache()


class SlideTiles:
    """One slide's share of a tile cache: its tiles go when the slide is closed."""

    def __init__(self, cache: TileCache) -> None:
        self._cache = cache
        self._closed = threading.Event()
        self._numbers = itertools.count()

    def next_number(self) -> int:
        """A number for a level, unique within the slide."""
        return next(self._numbers)

    def get(self, key: tuple[int, int, int], decode: Callable[[], np.ndarray]) -> np.ndarray:
        """See :meth:`TileCache.get`.

        Raises
        ------
        SlideError
            The slide has been closed.
        """
        if self._closed.is_set():
            raise SlideError("Expected an open slide, found one that has been closed; open it again.")
        tile = self._cache.get((self, *key), decode)
        if self._closed.is_set():  # closed while this tile was decoded: it must not stay behind
            self._cache.drop(self)
        return tile

    def held(self, key: tuple[int, int, int]) -> np.ndarray | None:
        """See :meth:`TileCache.held`."""
        return self._cache.held((self, *key))

    def close(self) -> None:
        """Free the slide's tiles; later reads are refused."""
        self._closed.set()
        self._cache.drop(self)


class RawLevel(ABC):
    """A level that can decode any one of its tiles, from any thread.

    Parameters
    ----------
    shape_yx
        Pixels of the level.
    tile_yx
        Pixels of a tile; tiles at the lower and right edge are clipped to the level.
    """

    def __init__(self, shape_yx: tuple[int, int], tile_yx: tuple[int, int]) -> None:
        self.shape_yx, self.tile_yx = shape_yx, tile_yx

    @property
    def grid_yx(self) -> tuple[int, int]:
        """Rows and columns of tiles."""
        return -(-self.shape_yx[0] // self.tile_yx[0]), -(-self.shape_yx[1] // self.tile_yx[1])

    def box(self, row: int, column: int) -> tuple[int, int, int, int]:
        """Top, left, height and width of a tile in pixels of the level, clipped to the level."""
        top, left = row * self.tile_yx[0], column * self.tile_yx[1]
        return top, left, min(self.tile_yx[0], self.shape_yx[0] - top), min(self.tile_yx[1], self.shape_yx[1] - left)

    @abstractmethod
    def decode(self, row: int, column: int) -> Pixels:
        """The tile's pixels; raises :class:`TileError`."""

    def show(self, row: int, column: int) -> Pixels:
        """What to look at where :meth:`decode` fails: a light pattern, unlike glass and unlike tissue."""
        _, _, height, width = self.box(row, column)
        squares = (np.arange(height)[:, None] // 16 + np.arange(width)[None] // 16) % 2
        return np.repeat(np.where(squares, 240, 222).astype(np.uint8)[..., None], 3, axis=2)


class Level:
    """A raw level behind the slide's tile cache.

    Parameters
    ----------
    raw
        What decodes.
    tiles
        The slide's share of the cache.
    keep
        False for levels whose tiles are cut from something that is held already.
    """

    def __init__(self, raw: RawLevel, tiles: SlideTiles, *, keep: bool = True) -> None:
        self.raw, self.shape_yx, self.tile_yx, self.grid_yx = raw, raw.shape_yx, raw.tile_yx, raw.grid_yx
        self._tiles, self._keep, self._number = tiles, keep, tiles.next_number()

    def tile(self, row: int, column: int) -> Pixels:
        """One tile, clipped to the level, read-only; raises :class:`TileError`."""
        if not self._keep:
            return self.raw.decode(row, column)
        return self._tiles.get((self._number, row, column), lambda: self.raw.decode(row, column))

    def shown(self, row: int, column: int) -> Pixels:
        """One tile for the eye: a pattern where it will not decode."""
        try:
            return self.tile(row, column)
        except TileError:
            return self.raw.show(row, column)

    def held(self, row: int, column: int) -> np.ndarray | None:
        """The tile if it needs no work."""
        return self._tiles.held((self._number, row, column)) if self._keep else None

    def region(self, top: int, left: int, height: int, width: int, *, show: bool = False) -> Pixels:
        """A box of pixels, white beyond the level's edge.

        Parameters
        ----------
        top, left, height, width
            In pixels of this level; may reach outside.
        show
            A pattern instead of :class:`TileError` where a tile will not decode.
        """
        pixels = np.empty((height, width, 3), np.uint8)
        y0, x0 = max(top, 0), max(left, 0)
        y1, x1 = min(top + height, self.shape_yx[0]), min(left + width, self.shape_yx[1])
        if (y0, x0, y1, x1) != (top, left, top + height, left + width):
            pixels.fill(WHITE)
        if y0 >= y1 or x0 >= x1:
            return pixels
        read = self.shown if show else self.tile
        for row in range(y0 // self.tile_yx[0], -(-y1 // self.tile_yx[0])):
            for column in range(x0 // self.tile_yx[1], -(-x1 // self.tile_yx[1])):
                _copy(read(row, column), row * self.tile_yx[0], column * self.tile_yx[1], pixels, top, left)
        return pixels


def _copy(tile: Any, tile_top: int, tile_left: int, pixels: Any, top: int, left: int) -> None:
    y0, x0 = max(tile_top, top), max(tile_left, left)
    y1 = min(tile_top + tile.shape[0], top + pixels.shape[0])
    x1 = min(tile_left + tile.shape[1], left + pixels.shape[1])
    part = tile[y0 - tile_top : y1 - tile_top, x0 - tile_left : x1 - tile_left]
    pixels[y0 - top : y1 - top, x0 - left : x1 - left] = part


class Halved(RawLevel):
    """The level at half the size of another, made tile by tile: means of 2 x 2 pixels, of what is there at the edge."""

    def __init__(self, finer: Level) -> None:
        height, width = finer.shape_yx
        super().__init__(((height + 1) // 2, (width + 1) // 2), finer.tile_yx)
        self.finer = finer

    def decode(self, row: int, column: int) -> Pixels:
        """The tile, from the four tiles of the finer level under it."""
        return self._halve(row, column, show=False)

    def show(self, row: int, column: int) -> Pixels:
        """The tile with the pattern only where the finer level has it."""
        return self._halve(row, column, show=True)

    def _halve(self, row: int, column: int, *, show: bool) -> Pixels:
        top, left, height, width = self.box(row, column)
        high = min(2 * height, self.finer.shape_yx[0] - 2 * top)
        wide = min(2 * width, self.finer.shape_yx[1] - 2 * left)
        return halve(self.finer.region(2 * top, 2 * left, high, wide, show=show))


def halve(pixels: UInt8[np.ndarray, "a b 3"]) -> Pixels:
    """Means of 2 x 2 pixels, of what there is at an odd edge: (a, b, 3) -> (a / 2, b / 2, 3) rounded up."""
    return np.asarray(Image.fromarray(pixels).reduce(2))


class Rechunked(RawLevel):
    """Another level (strips, or one big segment) cut into squarer tiles."""

    def __init__(self, strips: Level, tile_yx: tuple[int, int] = (512, 512)) -> None:
        super().__init__(strips.shape_yx, tile_yx)
        self.strips = strips

    def decode(self, row: int, column: int) -> Pixels:
        """The tile, cut from the strips it crosses."""
        return self.strips.region(*self.box(row, column))

    def show(self, row: int, column: int) -> Pixels:
        """The tile with the pattern only where a strip will not decode."""
        return self.strips.region(*self.box(row, column), show=True)
