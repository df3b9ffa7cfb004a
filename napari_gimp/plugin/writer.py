"""napari's writers: annotations -> GeoJSON for QuPath, maps -> OME-Zarr."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from napari_gimp.export import omezarr as export
from napari_gimp.plugin.annotations import regions_of
from napari_gimp.plugin.host import the_slide
from napari_gimp.plugin.layers import LayerTuple
from napari_gimp.regions import write_geojson
from napari_gimp.settings import InputError


def write_annotations(path: str, layers: Sequence[LayerTuple]) -> list[str]:
    """Shapes and Labels layers -> one GeoJSON file in level-0 pixels of the slide in the viewer.

    Raises
    ------
    InputError
        No slide, or several, in the viewer; lines, which enclose nothing.
    """
    facts = the_slide()
    write_geojson(Path(path), [r for layer in layers for r in regions_of(layer[0], layer[1], layer[2], facts)])
    return [path]


def write_maps(path: str, layers: Sequence[LayerTuple]) -> list[str]:
    """The maps of a result -> OME-Zarr, all of the result that the layers belong to.

    Raises
    ------
    InputError
        Layers that are no maps of ours, or of several results.
    """
    results = {id(result): result for layer in layers if (result := layer[1].get("metadata", {}).get("prediction"))}
    if len(results) != 1 or len(layers) != sum("prediction" in layer[1]["metadata"] for layer in layers):
        raise InputError(
            f"Expected maps of one GiMP result, found layers of {len(results)}; select its map layers only."
        )
    export.write_maps(Path(path), *results.values())
    return [path]
