"""Path -> :class:`Slide`: levels that are decoded when looked at, shape, um per pixel, associated images.

Every slide looks the same from here: levels at exact /2 steps down to one of at most 2048 pixels a side. Those that the
file has are used; the others are made from the next finer one, tile by tile, when they are asked for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import zarr
from jaxtyping import UInt8

from napari_gimp.settings import InputError
from napari_gimp.slides.colour import IccToSrgb, in_srgb, srgb_levels
from napari_gimp.slides.formats import (
    PIP_LINE,
    is_tiff,
    name_format,
    needs_openslide,
    picture_name,
    read_header,
)
from napari_gimp.slides.openslide_source import has_openslide, open_with_openslide
from napari_gimp.slides.picture_source import open_picture
from napari_gimp.slides.sources import PARSER_ERRORS, Source
from napari_gimp.slides.spool import WholePicture
from napari_gimp.slides.store import SlideStore
from napari_gimp.slides.tiff_source import open_tiff
from napari_gimp.slides.tiles import Halved, Level, RawLevel, Rechunked, SlideError, SlideTiles, TileCache, shared_cache
from napari_gimp.types import MAX_MPP, MIN_MPP, Progress, SlideFacts, check_mpp, fingerprint

LOWEST_LEVEL_PX = 2048
TILE_PX = (128, 1024)
CHEAP_OVERVIEW_PX = 2**26


def open_slide(
    path: str | Path, mpp: float | None = None, *, use_icc: bool = False, cache: TileCache | None = None
) -> Slide:
    """Open a slide: its metadata is read, no pixel is decoded.

    Parameters
    ----------
    path
        TIFFs (Aperio, Hamamatsu, Philips, generic and others) and flat pictures (TIFF, PNG, JPEG, JPEG 2000, BMP); with
        the ``openslide`` extra also MRXS, DICOM, CZI, Leica, Ventana and what else OpenSlide reads.
    mpp
        um per level-0 pixel, where the file does not say it or says it wrong.
    use_icc
        Convert every tile to sRGB with the slide's ICC profile. This changes the pixels, and so the identity.
    cache
        Where decoded tiles are kept; the process's shared cache by default.

    Raises
    ------
    SlideError
        In one sentence: what was found and what can be done.
    """
    source = _open_source(path := Path(path), read_header(path))
    try:
        return Slide(path, source, mpp, use_icc, cache or shared_cache())
    except InputError:
        source.close()
        raise


def _open_source(path: Path, header: bytes) -> Source:
    if picture_name(header) is not None:
        return open_picture(path, str(picture_name(header)))
    if not is_tiff(header):
        return _with_openslide(path, header)
    if path.suffix.lower() == ".bif" and has_openslide():  # its overlapping tiles are only put together there
        return _with_openslide(path, header)
    try:
        return open_tiff(path)
    except SlideError:
        if has_openslide():
            with suppress(SlideError):
                return _with_openslide(path, header)
        raise


def _with_openslide(path: Path, header: bytes) -> Source:
    found = name_format(path, header)
    if has_openslide():
        return open_with_openslide(path, found)
    if needs_openslide(path, header):
        raise SlideError(f"{path.name} is {found}, which needs OpenSlide: {PIP_LINE}, then open it again.")
    raise SlideError(f"Expected a slide or picture, found {found} in {path.name}; convert it to a pyramidal TIFF.")


class Slide:
    """An open slide.

    Attributes
    ----------
    path : Path
    facts : SlideFacts
        Shape, um per pixel and what else is known; replaced by :meth:`with_mpp`.
    levels : tuple of zarr.Array
        (Y, X, 3) uint8 at /2 steps, finest first, over a read-only store: reading decodes; after :meth:`close` it
        raises :class:`SlideError`. Tiles that will not decode show a light pattern there.
    tile_levels : tuple of Level
        The same levels as the patch reader takes them: a tile that will not decode raises.
    icc_profile : bytes or None
    has_cheap_overview : bool
        False where filling the lowest level means decoding a big flat picture or most of a slide without levels: show
        a placeholder and let a worker call :meth:`read_overview`.
    """

    def __init__(self, path: Path, source: Source, mpp: float | None, use_icc: bool, cache: TileCache) -> None:
        self.path, self.icc_profile = path, source.icc_profile
        self._source, self._tiles = source, SlideTiles(cache)
        self._overview: np.ndarray | None = None
        transform = IccToSrgb(source.icc_profile) if use_icc and source.icc_profile else None
        raw = [in_srgb(level, transform) for level in source.levels]
        self.tile_levels = build_pyramid(raw, self._tiles)
        self.has_cheap_overview = _overview_cost_px(self.tile_levels, source.costly) <= CHEAP_OVERVIEW_PX
        self.facts = self._file_facts = _facts(path, source, self.tile_levels, use_icc)
        if mpp is not None:
            self.with_mpp(mpp)

    @cached_property
    def levels(self) -> tuple[zarr.Array[Any], ...]:
        """See the class."""
        return SlideStore(self.tile_levels).arrays()

    @cached_property
    def srgb_levels(self) -> tuple[zarr.Array[Any], ...]:
        """:attr:`levels` in sRGB, tile by tile when read; raises :class:`SlideError` without a usable ICC profile."""
        return SlideStore(srgb_levels(self.tile_levels, self.icc_profile, self._tiles)).arrays()

    def with_mpp(self, mpp: float) -> SlideFacts:
        """Take the user's um per level-0 pixel instead of the file's; :attr:`facts` is replaced and returned.

        Raises
        ------
        InputError
            Outside 0.05 to 20 um.
        """
        check_mpp((mpp, mpp))
        old = self._file_facts.mpp_yx
        said = "none" if old is None else f"{old[1]:g}"
        note = f"{mpp:g} um per pixel as given by the user (before: {said})."
        self.facts = replace(self.facts, mpp_yx=(float(mpp), float(mpp)), notes=(*self._file_facts.notes, note))
        return self.facts

    def associated_image(self, name: str) -> UInt8[np.ndarray, "h w c"]:
        """Label, macro or thumbnail, read now. A label may show a patient's name: show it only when asked to.

        Raises
        ------
        SlideError
            No such image, or it will not decode.
        """
        if name not in self._source.associated:
            has = ", ".join(self._source.associated) or "none"
            raise SlideError(f"Expected an associated image of {self.path.name} ({has}), found the name {name!r}.")
        try:
            image = np.asarray(self._source.associated[name]())
        except PARSER_ERRORS as error:
            raise SlideError(f"The image {name!r} of {self.path.name} will not decode: {error}.") from error
        return np.atleast_3d(image).astype(np.uint8, copy=False)

    def read_overview(self) -> Generator[Progress, None, UInt8[np.ndarray, "h w 3"]]:
        """The lowest level, whole, row of tiles by row; yields progress, returns the pixels, which are kept."""
        lowest = self.tile_levels[-1]
        rows = lowest.grid_yx[0]
        if self._overview is None:
            bands = []
            for row in range(rows):
                yield Progress("overview", row, rows, "rows of tiles")
                top, _, height, _ = lowest.raw.box(row, 0)
                bands.append(lowest.region(top, 0, height, lowest.shape_yx[1], show=True))
            self._overview = np.concatenate(bands)
        return self._overview

    def overview(self) -> UInt8[np.ndarray, "h w 3"]:
        """The lowest level, whole: what :meth:`read_overview` returns."""
        steps = self.read_overview()
        while True:
            try:
                next(steps)
            except StopIteration as end:
                picture: np.ndarray = end.value
                return picture

    def close(self) -> None:
        """Free the file and the decoded tiles. Reads under way end in peace, later ones are refused."""
        self._tiles.close()
        self._source.close()
        for level in self._source.levels:
            if isinstance(level, WholePicture):
                level.release()

    def __enter__(self) -> Slide:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Slide({self.path.name!r}, {self.facts.shape_yx[0]} x {self.facts.shape_yx[1]} px)"


def build_pyramid(file_levels: Sequence[RawLevel], tiles: SlideTiles) -> tuple[Level, ...]:
    """Levels at exact /2 steps, down to one of at most 2048 pixels a side, from those of the file.

    Parameters
    ----------
    file_levels
        The file's levels, finest first. Those at another step than a power of two are left out.
    tiles
        The slide's share of a cache.
    """
    height, width = file_levels[0].shape_yx
    levels = [_chunked(file_levels[0], tiles)]
    while max(levels[-1].shape_yx) > LOWEST_LEVEL_PX:
        step = 2 ** len(levels)
        there = [raw for raw in file_levels[1:] if _is_level(raw.shape_yx, (height / step, width / step))]
        levels.append(_chunked(there[0], tiles) if there else Level(Halved(levels[-1]), tiles))
    return tuple(levels)


def _is_level(shape_yx: tuple[int, int], exact_yx: tuple[float, float]) -> bool:
    return all(abs(found - exact) <= 1 for found, exact in zip(shape_yx, exact_yx, strict=True))


def _chunked(raw: RawLevel, tiles: SlideTiles) -> Level:
    if isinstance(raw, WholePicture):
        return Level(raw, tiles, keep=False)
    small, large = TILE_PX
    if all(small <= tile <= large for tile in raw.tile_yx) or max(raw.shape_yx) <= small:
        return Level(raw, tiles)
    return Level(Rechunked(Level(raw, tiles)), tiles, keep=False)


def _overview_cost_px(levels: Sequence[Level], costly: bool) -> int:
    """Pixels of the file to decode for the lowest level; slow codecs count tenfold."""
    source = next(level for level in reversed(levels) if not isinstance(level.raw, Halved))
    return source.shape_yx[0] * source.shape_yx[1] * (10 if costly else 1)


def _facts(path: Path, source: Source, levels: Sequence[Level], use_icc: bool) -> SlideFacts:
    mpp_yx, notes = _credible_mpp(source)
    return SlideFacts(
        name=path.stem,
        identity=_identity(path, source, use_icc),
        shape_yx=levels[0].shape_yx,
        level_shapes_yx=tuple(level.shape_yx for level in levels),
        mpp_yx=mpp_yx,
        magnification=source.magnification,
        vendor=source.vendor,
        associated=tuple(source.associated),
        notes=(*source.notes, *notes, *_colour_note(source, use_icc)),
    )


def _colour_note(source: Source, use_icc: bool) -> tuple[str, ...]:
    if not use_icc:
        return ()
    if source.icc_profile is None:
        return ("The file has no ICC profile: its colours are taken as they are.",)
    return ("Colours are corrected with the file's ICC profile, as asked.",)


def _credible_mpp(source: Source) -> tuple[tuple[float, float] | None, tuple[str, ...]]:
    if source.mpp_yx is None:
        if source.magnification is None:
            return None, ()
        return None, (
            f"The file says {source.magnification:g}x but not how large a pixel is: none is derived from it.",
        )
    y, x = source.mpp_yx
    try:
        check_mpp((y, x))
    except InputError:
        note = (
            f"{source.mpp_origin} of the file: {x:g} x {y:g} um per pixel, outside {MIN_MPP:g} to {MAX_MPP:g}:"
            " not credible, taken as unknown."
        )
        return None, (note[0].upper() + note[1:],)
    return (y, x), ()


def _identity(path: Path, source: Source, use_icc: bool) -> str:
    stat = path.stat()
    header = hashlib.sha256(read_header(path)).hexdigest()
    return fingerprint(stat.st_size, stat.st_mtime_ns, header, source.offsets, *(["sRGB"] if use_icc else []))
