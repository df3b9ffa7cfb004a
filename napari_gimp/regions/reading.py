"""Any file of regions -> regions, and how they fit a slide, in sentences for the user."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import shapely
from jaxtyping import Float

from napari_gimp.regions.geojson import geojson_file
from napari_gimp.regions.imagescope import FIRST_BYTES, read_imagescope
from napari_gimp.regions.region import Region, RegionFile
from napari_gimp.settings import InputError

BEFORE_TEXT = b"\xef\xbb\xbf\xff\xfe\0 \t\r\n"
"""Byte order marks and blanks."""

SAME_MPP = 0.05
"""Share by which two pixel sizes of the same scan may differ."""

NAMED_GEOJSON = (".geojson", ".json")
"""What is named so is told as GeoJSON what is wrong with it."""


def read_regions(path: str | Path) -> RegionFile:
    """Read GeoJSON (QuPath) or XML of ImageScope, told apart by what the file begins with.

    Raises
    ------
    InputError
        Neither of the two, or one without a region.
    """
    path = Path(path)
    start = _first_sign(path)
    if start not in (b"{", b"[", b"<", b"") and path.suffix.lower() not in NAMED_GEOJSON:
        raise InputError(f"{path.name}: expected GeoJSON or XML of ImageScope, found neither; choose another file.")
    return read_imagescope(path) if start == b"<" else geojson_file(path)


def _first_sign(path: Path) -> bytes:
    """The first byte that says something: a slide chosen by mistake is not read to its end."""
    try:
        with path.open("rb") as file:
            return file.read(FIRST_BYTES).lstrip(BEFORE_TEXT)[:1]
    except OSError as error:
        raise InputError(f"{path}: expected a readable file, found {error.strerror or error}.") from error


def outside_shares(regions: Sequence[Region], slide_shape_yx: tuple[int, int]) -> Float[np.ndarray, " R"]:
    """Share of each region's area, 0 to 1, that lies outside the slide."""
    areas = np.array([region.polygon for region in regions], object)
    slide = shapely.box(0, 0, slide_shape_yx[1], slide_shape_yx[0])
    within = np.array(shapely.covers(slide, areas), bool).reshape(len(areas))
    shares = np.zeros(len(areas))
    for k in np.flatnonzero(~within):
        inside = shapely.area(shapely.intersection(areas[k], slide))
        shares[k] = np.clip(1 - inside / shapely.area(areas[k]), 0, 1)
    return shares


def fitting_notes(
    found: RegionFile, slide_shape_yx: tuple[int, int], mpp_yx: tuple[float, float] | None
) -> tuple[str, ...]:
    """What does not fit the slide: regions are kept as they are, wherever they lie."""
    shares = outside_shares(found.regions, slide_shape_yx)
    notes, count = [], len(shares)
    whole, partly = int((shares >= 1).sum()), int(((shares > 0) & (shares < 1)).sum())
    if whole == count:
        notes.append(
            f"None of the {count} regions touches this slide: they were probably drawn on another image."
            if count > 1
            else "The region does not touch this slide: it was probably drawn on another image."
        )
    elif whole or partly:
        notes.append(
            f"{whole + partly} of {count} regions lie outside the slide, whole ({whole}) or in part ({partly}, at most"
            f" {100 * shares[shares < 1].max():.0f} % of the area): they are kept as they were drawn."
        )
    if found.mpp is not None and mpp_yx is not None and abs(found.mpp / np.mean(mpp_yx) - 1) > SAME_MPP:
        notes.append(
            f"The file says {found.mpp:g} µm a pixel, the slide {np.mean(mpp_yx):.4g}: the slide's is used; check that"
            " the regions belong to this slide."
        )
    return tuple(notes)
