"""A read-only zarr 3 store whose chunks are decoded from the slide when they are asked for."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any

import numpy as np
import zarr
from zarr.abc.store import ByteRequest, OffsetByteRequest, RangeByteRequest, Store, SuffixByteRequest
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.core.buffer.core import default_buffer_prototype

from napari_gimp.slides.tiles import WHITE, Level


class SlideStore(Store):
    """Levels as zarr arrays ``"0"``, ``"1"`` ... of shape (Y, X, 3), uint8, one chunk per tile, uncompressed.

    Chunks at the edge are padded with white to the full tile, as zarr stores them; the arrays have the true shape.
    Tiles that will not decode show a light pattern.
    """

    def __init__(self, levels: Sequence[Level]) -> None:
        super().__init__(read_only=True)
        self._levels = tuple(levels)
        self._documents = {f"{k}/zarr.json": _array_document(level) for k, level in enumerate(self._levels)}
        self._is_open = True

    def arrays(self) -> tuple[zarr.Array[Any], ...]:
        """The levels, finest first."""
        paths = [str(k) for k in range(len(self._levels))]
        return tuple(zarr.open_array(self, path=path, mode="r", zarr_format=3) for path in paths)

    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return id(self)

    def __str__(self) -> str:
        return f"slide://{id(self)}"

    async def get(
        self, key: str, prototype: BufferPrototype | None = None, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """A chunk's pixels or an array's metadata; None where there is no such key."""
        document = self._documents.get(key)
        if document is not None:
            values = np.frombuffer(document, np.uint8)
        else:
            place = self._place(key)
            if place is None:
                return None
            level, row, column = place
            tile = level.held(row, column)
            if tile is None:
                tile = await asyncio.to_thread(level.shown, row, column)
            values = _padded(tile, level.tile_yx).reshape(-1)
        buffer = (prototype or default_buffer_prototype()).buffer
        return buffer.from_array_like(values[_slice_of(byte_range)])

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        """See :meth:`get`."""
        return list(await asyncio.gather(*(self.get(key, prototype, part) for key, part in key_ranges)))

    async def exists(self, key: str) -> bool:
        """Whether :meth:`get` has something for this key."""
        return key in self._documents or self._place(key) is not None

    def _place(self, key: str) -> tuple[Level, int, int] | None:
        parts = key.split("/")
        if len(parts) != 5 or parts[1] != "c" or not all(p.isdecimal() for p in (parts[0], *parts[2:])):
            return None
        number, row, column, colour = int(parts[0]), int(parts[2]), int(parts[3]), int(parts[4])
        if number >= len(self._levels) or colour:
            return None
        level = self._levels[number]
        return (level, row, column) if row < level.grid_yx[0] and column < level.grid_yx[1] else None

    @property
    def supports_writes(self) -> bool:
        """False."""
        return False

    @property
    def supports_deletes(self) -> bool:
        """False."""
        return False

    @property
    def supports_listing(self) -> bool:
        """True: metadata only, chunks are made on demand."""
        return True

    async def set(self, key: str, value: Buffer) -> None:
        """Refused."""
        self._check_writable()

    async def delete(self, key: str) -> None:
        """Refused."""
        self._check_writable()

    async def list(self) -> AsyncIterator[str]:
        """The metadata keys."""
        for key in self._documents:
            yield key

    async def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        """The metadata keys that begin so."""
        for key in self._documents:
            if key.startswith(prefix):
                yield key

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        """The entries of a folder."""
        head = f"{prefix.rstrip('/')}/" if prefix else ""
        for name in sorted({key[len(head) :].split("/")[0] for key in self._documents if key.startswith(head)}):
            yield name


def _array_document(level: Level) -> bytes:
    document = {
        "zarr_format": 3,
        "node_type": "array",
        "shape": [*level.shape_yx, 3],
        "data_type": "uint8",
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [*level.tile_yx, 3]}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": WHITE,
        "codecs": [{"name": "bytes"}],
        "attributes": {},
        "dimension_names": ["y", "x", "rgb"],
    }
    return json.dumps(document).encode()


def _padded(tile: np.ndarray, tile_yx: tuple[int, int]) -> np.ndarray:
    if tile.shape[:2] == tile_yx:
        return np.ascontiguousarray(tile)
    full = np.full((*tile_yx, 3), WHITE, np.uint8)
    full[: tile.shape[0], : tile.shape[1]] = tile
    return full


def _slice_of(part: ByteRequest | None) -> slice:
    if isinstance(part, RangeByteRequest):
        return slice(part.start, part.end)
    if isinstance(part, OffsetByteRequest):
        return slice(part.offset, None)
    if isinstance(part, SuffixByteRequest):
        return slice(-part.suffix, None)
    return slice(None)
