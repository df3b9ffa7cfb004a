"""Regions of a slide <-> files: anonymous unless the user says otherwise. Generators for workers, no window."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from napari.layers import Layer, Shapes

from napari_gimp.files import write_text_whole
from napari_gimp.plugin.regions.annotations import shapes_layer
from napari_gimp.plugin.regions.regionrows import Row
from napari_gimp.regions import Colour, Region, fitting_notes, read_regions, write_geojson, write_imagescope
from napari_gimp.regions.table import csv_table
from napari_gimp.settings import InputError
from napari_gimp.types import Progress, SlideFacts


class Imported(NamedTuple):
    """A layer that was made of a file, and what is to be said of it."""

    layer: Shapes
    notes: tuple[str, ...]


def nameless(regions: Sequence[Region], facts: SlideFacts) -> list[Region]:
    """The same regions without names of the slide or its case in theirs, say where they were called after the layer."""
    from napari_gimp.export.anonymous import veil_of_slide

    return list(veil_of_slide(facts).regions(regions))


def export_regions(
    kind: str, path: Path, rows: Sequence[Row], facts: SlideFacts, with_name: bool
) -> Generator[Progress, None, Path]:
    """Write regions, or their table, to a file.

    Parameters
    ----------
    kind
        ``geojson``, ``xml`` (ImageScope) or ``csv``.
    with_name
        Whether the slide's name stands in it.

    Raises
    ------
    InputError
        It cannot be written there; an older file is left as it was.
    """
    yield Progress("exporting regions", 0, len(rows), "regions")
    regions = [row.region for row in rows]
    regions = regions if with_name else nameless(regions, facts)
    if kind == "geojson":
        write_geojson(path, regions, {"slide": facts.name} if with_name else None)
    elif kind == "xml":
        mpp = None if facts.mpp_yx is None else float(np.mean(facts.mpp_yx))
        write_imagescope(path, regions, mpp, [("slide", facts.name)] if with_name else ())
    else:
        pairs = zip(rows, regions, strict=True)
        table = [replace(row.facts, name=r.name, classification=r.classification) for row, r in pairs]
        write_text_whole(path, csv_table(table, {"slide": facts.name} if with_name else None))
    return path


def import_regions(path: Path, facts: SlideFacts, classes: Mapping[str, Colour]) -> Generator[Progress, None, Imported]:
    """Read a file of regions as a layer on a slide; the layer is made here, since that takes napari long.

    Parameters
    ----------
    classes
        Colours of regions to which the file gives a class and no colour.

    Raises
    ------
    InputError
        Neither GeoJSON nor XML of ImageScope; nothing that is an area.
    """
    yield Progress("reading regions", 0, 1, "file")
    found = read_regions(path)
    yield Progress("drawing regions", 0, len(found.regions), "regions")
    coloured = [
        replace(region, colour=region.colour or classes.get(region.classification or "")) for region in found.regions
    ]
    layer = Layer.create(*shapes_layer(coloured, facts, path.stem))
    if not isinstance(layer, Shapes):
        raise InputError(f"{path.name}: expected regions.")
    return Imported(layer, (*found.notes, *fitting_notes(found, facts.shape_yx, facts.mpp_yx)))
