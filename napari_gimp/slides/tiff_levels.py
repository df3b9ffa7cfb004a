"""One level of a TIFF as decodable tiles: which bytes, which codec, which colours."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from imagecodecs import DelayedImportError
from jaxtyping import Int64
from PIL import Image

from napari_gimp.slides.sources import FileBytes
from napari_gimp.slides.spool import WholePicture
from napari_gimp.slides.tiles import WHITE, Pixels, RawLevel, SlideError, TileError

Decode = Callable[[bytes, int], np.ndarray]
LARGE_SEGMENT_PX = 2**24
STRIP_BYTES = 2**20
YCBCR_UNCONVERTED = {1, 5, 8, 32946, 33003}
PHOTOMETRIC = {0: "grey", 1: "grey", 2: "RGB", 3: "palette", 5: "CMYK", 6: "YCbCr"}


@dataclass(frozen=True)
class Colours:
    """How stored samples become RGB. Called with (h, w, samples), returns (h, w, 3) uint8."""

    photometric: int
    samples: int
    wide: bool
    colormap: np.ndarray | None
    convert_ycbcr: bool
    alpha: bool

    def __call__(self, pixels: np.ndarray) -> Pixels:
        if self.wide:
            pixels = (pixels >> 8).astype(np.uint8)
        if self.photometric == 2 or (self.photometric == 6 and not self.convert_ycbcr):
            return _over_white(pixels) if self.alpha else np.ascontiguousarray(pixels[..., :3])
        if self.photometric == 3 and self.colormap is not None:
            return np.ascontiguousarray(self.colormap[:, pixels[..., 0]].transpose(1, 2, 0))
        if self.photometric == 5:
            return np.asarray(Image.fromarray(255 - pixels[..., :4], "CMYK").convert("RGB"))
        if self.photometric == 6:
            return np.asarray(Image.frombytes("YCbCr", pixels.shape[1::-1], pixels.tobytes()).convert("RGB"))
        grey = WHITE - pixels[..., :1] if self.photometric == 0 else pixels[..., :1]
        return np.repeat(grey, 3, axis=2)


def _over_white(pixels: np.ndarray) -> Pixels:
    alpha = pixels[..., 3:4].astype(np.uint16)
    mixed = (pixels[..., :3] * alpha + WHITE * (WHITE - alpha) + WHITE // 2) // WHITE
    return np.asarray(mixed.astype(np.uint8))


class TiffLevel(RawLevel):
    """Tiles or strips of a TIFF image.

    Parameters
    ----------
    offsets, counts
        Place and length of every segment's bytes; a length of 0 is a tile that the scanner left out: white.
    decode_segment
        Bytes and index -> samples (h, w, s).
    planes
        3 where red, green and blue lie in segments of their own, one set after the other; else 1.
    """

    def __init__(
        self,
        shape_yx: tuple[int, int],
        tile_yx: tuple[int, int],
        data: FileBytes,
        segments: tuple[Int64[np.ndarray, " n"], Int64[np.ndarray, " n"]],
        decode_segment: Decode,
        colours: Colours,
        planes: int = 1,
    ) -> None:
        super().__init__(shape_yx, tile_yx)
        self.offsets, self.counts = segments
        self._data, self._decode, self._colours, self._planes = data, decode_segment, colours, planes

    def decode(self, row: int, column: int) -> Pixels:
        """See :class:`RawLevel`."""
        _, _, height, width = self.box(row, column)
        index = row * self.grid_yx[1] + column
        step = self.grid_yx[0] * self.grid_yx[1]
        planes = [plane for k in range(self._planes) if (plane := self._segment(index + k * step)) is not None]
        if len(planes) < self._planes:
            return np.full((height, width, 3), WHITE, np.uint8)
        samples = planes[0] if len(planes) == 1 else np.concatenate(planes, axis=2)
        if samples.shape[0] < height or samples.shape[1] < width:
            raise TileError(f"Expected a tile of {height} x {width} pixels, found {samples.shape[:2]}.")
        return self._colours(samples[:height, :width])

    def _segment(self, index: int) -> np.ndarray | None:
        if not self.counts[index]:
            return None
        data = self._data.read(int(self.offsets[index]), int(self.counts[index]))
        try:
            return self._decode(data, index)
        except DelayedImportError as error:
            raise TileError(f"The codec of this slide is missing: {error}.") from error
        except (RuntimeError, ValueError, TypeError, LookupError, MemoryError, OSError) as error:
            raise TileError(f"Tile {index} will not decode: {error}.") from error


class WholeSegment(WholePicture):
    """A large level stored as one compressed segment: decoded once, as a whole, on the first read."""

    def __init__(self, segment: TiffLevel) -> None:
        super().__init__(segment.shape_yx, lambda: segment.decode(0, 0))
        self.segment = segment


def tiff_level(name: str, pages: Any, data: FileBytes) -> tuple[RawLevel, tuple[str, ...]]:
    """The level that these pages (a series' level) hold, and notes on its pixels.

    Raises
    ------
    SlideError
        Pixels of a kind that is not brightfield colour.
    """
    page = pages[0].aspage()
    colours, notes = _colours(name, page, len(pages))
    shape = int(page.imagelength), int(page.imagewidth)
    if min(shape) < 1:
        raise SlideError(f"Expected at least one pixel a side, found {shape} in {name}; copy or download it again.")
    if not page.is_tiled and page.is_contiguous and page.compression == 1 and page.planarconfig == 1 and page.dtype:
        return _plain_strips(page, shape, data, colours), notes
    planes = max(len(pages), page.samplesperpixel if page.planarconfig == 2 else 1)
    offsets = np.concatenate([np.asarray(pages[k].dataoffsets, np.int64) for k in range(len(pages))])
    counts = np.concatenate([np.asarray(pages[k].databytecounts, np.int64) for k in range(len(pages))])
    tile = (page.tilelength, page.tilewidth) if page.is_tiled else (min(page.rowsperstrip, shape[0]), shape[1])
    level = TiffLevel(shape, (int(tile[0]), int(tile[1])), data, (offsets, counts), _decoder(page), colours, planes)
    expected = level.grid_yx[0] * level.grid_yx[1] * planes
    if min(len(offsets), len(counts)) < expected:
        raise SlideError(
            f"Expected {expected} tiles in {name}, found {min(len(offsets), len(counts))} in its index: the file is"
            " damaged; copy or download it again."
        )
    return (WholeSegment(level) if tile[0] * tile[1] > LARGE_SEGMENT_PX else level), notes


def _decoder(page: Any) -> Decode:
    decode, tables, header = page.decode, page.jpegtables, page.jpegheader
    extra = {"jpegtables": tables, "jpegheader": header} if tables is not None or header is not None else {}
    per_plane = int(np.prod([len(page.dataoffsets)]))

    def decode_segment(data: bytes, index: int) -> np.ndarray:
        samples = decode(data, index % per_plane, **extra)[0]
        return np.asarray(samples[0])

    return decode_segment


def _plain_strips(page: Any, shape: tuple[int, int], data: FileBytes, colours: Colours) -> TiffLevel:
    """Uncompressed pixels in one run: cut into strips of about 1 MB, whatever the file calls a strip."""
    samples = int(page.samplesperpixel)
    kind = np.dtype(page.parent.byteorder + page.dtype.char)
    row_bytes = shape[1] * samples * kind.itemsize
    rows = max(1, min(shape[0], STRIP_BYTES // row_bytes))
    tops = np.arange(0, shape[0], rows)
    counts = np.minimum(rows, shape[0] - tops) * row_bytes

    def decode_segment(data: bytes, index: int) -> np.ndarray:
        return np.frombuffer(data, kind).reshape(-1, shape[1], samples)

    places = int(page.dataoffsets[0]) + tops * row_bytes
    return TiffLevel(shape, (rows, shape[1]), data, (places, counts), decode_segment, colours)


def _colours(name: str, page: Any, pages: int) -> tuple[Colours, tuple[str, ...]]:
    photometric, samples = int(page.photometric), int(page.samplesperpixel) * pages
    kind = str(page.dtype)
    if pages == 3:
        photometric = 2
    grey = photometric in {0, 1} and samples in {1, 2}
    wide = kind == "uint16" and not grey and photometric != 3
    if photometric not in PHOTOMETRIC or not (kind == "uint8" or wide) or (photometric in {2, 6} and samples < 3):
        raise SlideError(
            f"Expected 8-bit RGB pixels of a brightfield slide, found {PHOTOMETRIC.get(photometric, photometric)}"
            f" {kind} pixels with {samples} channel{'s' if samples > 1 else ''} in {name}; convert it to 8-bit RGB."
        )
    notes = []
    if wide:
        notes.append("16-bit colour: only the high 8 bits of each value are used.")
    if grey:
        notes.append("Grey picture: it has no stain colours, so results of models for H&E mean little.")
    colormap = (np.asarray(page.colormap) >> 8).astype(np.uint8) if photometric == 3 else None
    convert = int(page.compression) in YCBCR_UNCONVERTED
    alpha = photometric == 2 and samples == 4 and tuple(map(int, page.extrasamples)) in {(1,), (2,)}
    return Colours(photometric, samples, wide, colormap, convert, alpha), tuple(notes)
