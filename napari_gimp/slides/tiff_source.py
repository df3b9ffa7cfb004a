"""TIFF slides: tiffslide reads the metadata, tifffile finds the segments, imagecodecs decodes them one by one."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from tiffslide import TiffSlide
from tiffslide.tiffslide import PROPERTY_NAME_MPP_X, PROPERTY_NAME_MPP_Y, PROPERTY_NAME_OBJECTIVE_POWER

from napari_gimp.slides.sources import PARSER_ERRORS, FileBytes, Source
from napari_gimp.slides.tiff_levels import TiffLevel, WholeSegment, tiff_level
from napari_gimp.slides.tiles import RawLevel, SlideError

MAX_LOST = 0.2
VENDORS = {"svs": "aperio", "ndpi": "hamamatsu", "philips": "philips", "scn": "leica", "bif": "ventana"}
# tifffile says on stderr what it could not parse; the user gets a sentence from us instead.
logging.getLogger("tifffile").addHandler(logging.NullHandler())


def open_tiff(path: Path) -> Source:
    """Open a TIFF slide or flat TIFF picture: metadata only.

    Raises
    ------
    SlideError
        Not a TIFF that can be read, or pixels that are not 8-bit colour or grey (16-bit colour is reduced).
    """
    try:
        slide = TiffSlide(path)
    except PARSER_ERRORS as error:
        raise SlideError(
            f"Expected a TIFF slide, found a damaged or truncated one in {path.name} ({_short(error)});"
            " copy or download it again."
        ) from error
    data = FileBytes(path)
    try:
        return _source(path, slide, data)
    except PARSER_ERRORS as error:
        data.close()
        slide.close()
        if isinstance(error, SlideError):
            raise
        raise SlideError(
            f"Expected a TIFF slide, found one with a structure that cannot be read in {path.name} ({_short(error)});"
            " convert it to a pyramidal RGB TIFF."
        ) from error


def _source(path: Path, slide: TiffSlide, data: FileBytes) -> Source:
    file: tifffile.TiffFile = slide.ts_tifffile
    if not len(file.pages):
        raise SlideError(f"Expected a slide, found the TIFF {path.name} without an image; copy or download it again.")
    properties, notes = _properties(slide)
    if "tiffslide.series-composition" in properties:
        raise SlideError(f"{path.name} is put together from several scans: expected one; {_COMPOSED}")
    series = file.series[properties.get("tiffslide.series-index", 0)]
    levels, level_notes = _levels(path, series, data)

    def close() -> None:
        data.close()
        slide.close()

    offsets = levels[0].offsets if isinstance(levels[0], TiffLevel) else np.empty(0, np.int64)
    return Source(
        format_name=_format_name(file),
        levels=levels,
        mpp_yx=_mpp(properties),
        mpp_origin="the resolution tags" if "tiff.XResolution" in properties else "its metadata",
        magnification=_number(properties.get(PROPERTY_NAME_OBJECTIVE_POWER)),
        vendor=_vendor(file),
        associated=_associated(file, series),
        icc_profile=_icc(file),
        notes=(*notes, *level_notes),
        offsets=tuple(offsets[:: max(1, len(offsets) // 8)].tolist()),
        costly=int(series.levels[0][0].compression) in {33003, 33004, 33005, 34712, 50002, 52546},
        close=close,
    )


_COMPOSED = 'reading it needs OpenSlide: pip install "napari-gimp[openslide]".'


def _properties(slide: TiffSlide) -> tuple[dict[str, Any], tuple[str, ...]]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            found = dict(slide.properties)
        except PARSER_ERRORS as error:
            return {}, (f"The slide's metadata could not be understood ({_short(error)}): only its pixels are used.",)
    return found, tuple(str(item.message) for item in caught)


def _levels(path: Path, series: Any, data: FileBytes) -> tuple[tuple[RawLevel, ...], tuple[str, ...]]:
    axes = series.axes
    if axes not in {"YXS", "SYX", "YX", "CYX"} or (axes == "CYX" and series.shape[0] != 3):
        raise SlideError(
            f"Expected one RGB picture, found {path.name} with axes {axes} of {'x'.join(map(str, series.shape))}"
            f" {series.dtype} values (a stack or fluorescence channels); export it as a brightfield RGB TIFF."
        )
    finest, notes = tiff_level(path.name, series.levels[0], data)
    levels = [finest]
    for pages in series.levels[1:]:
        with suppress(SlideError):  # a level that cannot be read is made from the finer ones
            levels.append(tiff_level(path.name, pages, data)[0])
    return tuple(levels), (*notes, *_truncation(path, finest, data))


def _truncation(path: Path, level: RawLevel, data: FileBytes) -> tuple[str, ...]:
    segments = level if isinstance(level, TiffLevel) else level.segment if isinstance(level, WholeSegment) else None
    if segments is None:
        return ()
    ends = segments.offsets + segments.counts
    lost = int((ends > data.size).sum())
    if lost > MAX_LOST * len(ends):
        raise SlideError(
            f"Expected a whole slide, found {path.name} cut off: {lost} of its {len(ends)} tiles lie beyond the end"
            " of the file; copy or download it again."
        )
    return (f"{lost} of {len(ends)} tiles lie beyond the end of the file: it is damaged.",) if lost else ()


def _mpp(properties: dict[str, Any]) -> tuple[float, float] | None:
    y, x = _number(properties.get(PROPERTY_NAME_MPP_Y)), _number(properties.get(PROPERTY_NAME_MPP_X))
    return None if y is None or x is None else (y, x)


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if np.isfinite(number) else None


def _vendor(file: tifffile.TiffFile) -> str:
    return next((vendor for flag, vendor in VENDORS.items() if getattr(file, f"is_{flag}")), "generic")


def _format_name(file: tifffile.TiffFile) -> str:
    names = {"aperio": "Aperio SVS", "hamamatsu": "Hamamatsu NDPI", "philips": "Philips TIFF", "leica": "Leica SCN"}
    return names.get(_vendor(file), "OME-TIFF" if file.is_ome else "TIFF")


def _icc(file: tifffile.TiffFile) -> bytes | None:
    profile = file.pages.first.tags.valueof("InterColorProfile")
    return profile if isinstance(profile, bytes) else None


def _associated(file: tifffile.TiffFile, main: Any) -> dict[str, Callable[[], np.ndarray]]:
    if _vendor(file) not in VENDORS.values():
        return {}
    images: dict[str, Callable[[], np.ndarray]] = {}
    for series in file.series:
        if series is not main and series.name:
            images[series.name.lower()] = series.asarray
    return images


def _short(error: BaseException) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__
