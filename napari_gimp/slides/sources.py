"""What every kind of file gives: levels that decode, and what its metadata says. The file's bytes, closed safely."""

from __future__ import annotations

import os
import struct
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree.ElementTree import ParseError

import numpy as np
import tifffile

from napari_gimp.slides.tiles import RawLevel, SlideError, TileError

# What tiffslide, tifffile and the codecs raise on a malformed file: they let their own mistakes through.
PARSER_ERRORS = (
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    AssertionError,
    RuntimeError,
    MemoryError,
    EOFError,
    OSError,
    struct.error,
    ParseError,
    tifffile.TiffFileError,
)


@dataclass(frozen=True, eq=False)
class Source:
    """An opened file.

    Parameters
    ----------
    format_name
        For people, say "Aperio SVS".
    levels
        The file's own levels, finest first, whatever their steps and tiles.
    mpp_yx
        um per level-0 pixel exactly as the file says it, however implausible; None where it does not.
    mpp_origin
        Where that stands in the file, for the user.
    associated
        Label, macro and thumbnail by name: called only on request, because labels may show names.
    offsets
        A few numbers that change when the file's content is rearranged, for the identity.
    costly
        Decoding a tile is some ten times slower than JPEG (JPEG 2000, or a picture that decodes only as a whole).
    close
        Frees the file.
    """

    format_name: str
    levels: tuple[RawLevel, ...]
    mpp_yx: tuple[float, float] | None
    close: Callable[[], None]
    mpp_origin: str = "its metadata"
    magnification: float | None = None
    vendor: str = "unknown"
    associated: Mapping[str, Callable[[], np.ndarray]] = field(default_factory=dict)
    icc_profile: bytes | None = None
    notes: tuple[str, ...] = ()
    offsets: tuple[int, ...] = ()
    costly: bool = False


class FileBytes:
    """A file read at any place from any thread; closing waits for nobody and breaks no read under way."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self._lock = threading.Lock()
        self._readers = 0
        self._closed = False
        self.size = os.fstat(self._file.fileno()).st_size

    def read(self, offset: int, count: int) -> bytes:
        """Exactly ``count`` bytes.

        Raises
        ------
        TileError
            The file ends before, or the drive fails.
        SlideError
            The file has been closed.
        """
        self._enter()
        try:
            data = self._pread(offset, count)
        except OSError as error:
            raise TileError(f"Expected {count} bytes at {offset} of {self._file.name}, found: {error}.") from error
        finally:
            self._leave()
        if len(data) != count:
            raise TileError(f"Expected {count} bytes at {offset} of {self._file.name}, found {len(data)}.")
        return data

    def close(self) -> None:
        """Close now, or when the last read under way is done."""
        with self._lock:
            self._closed = True
            idle = self._readers == 0
        if idle:
            self._file.close()

    def _pread(self, offset: int, count: int) -> bytes:
        if hasattr(os, "pread"):
            return os.pread(self._file.fileno(), count, offset)
        with self._lock:
            self._file.seek(offset)
            return self._file.read(count)

    def _enter(self) -> None:
        with self._lock:
            if self._closed:
                raise SlideError("Expected an open slide, found one that has been closed; open it again.")
            self._readers += 1

    def _leave(self) -> None:
        with self._lock:
            self._readers -= 1
            last = self._closed and self._readers == 0
        if last:
            self._file.close()
