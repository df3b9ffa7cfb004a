"""napari's writers: annotations -> GeoJSON for QuPath or XML for ImageScope, maps -> OME-Zarr."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from napari_gimp.export import omezarr as export
from napari_gimp.export.anonymous import anonymised, user_salt, veil_of
from napari_gimp.plugin.host import the_slide
from napari_gimp.plugin.layers import LayerTuple
from napari_gimp.plugin.regions.annotations import regions_of
from napari_gimp.plugin.regions.regionfiles import nameless
from napari_gimp.regions import Region, write_geojson, write_imagescope
from napari_gimp.settings import InputError
from napari_gimp.types import SlideFacts


def write_annotations(path: str, layers: Sequence[LayerTuple]) -> list[str]:
    """Shapes and Labels layers -> one GeoJSON file in level-0 pixels of the slide in the viewer, without its name.

    Raises
    ------
    InputError
        No slide, or several, in the viewer; lines, which enclose nothing.
    """
    write_geojson(Path(path), _regions(layers, the_slide()))
    return [path]


def write_imagescope_annotations(path: str, layers: Sequence[LayerTuple]) -> list[str]:
    """The same as XML for ImageScope.

    Raises
    ------
    InputError
        As :func:`write_annotations`.
    """
    facts = the_slide()
    mpp = None if facts.mpp_yx is None else sum(facts.mpp_yx) / 2
    write_imagescope(Path(path), _regions(layers, facts), mpp)
    return [path]


def _regions(layers: Sequence[LayerTuple], facts: SlideFacts) -> list[Region]:
    drawn = [region for layer in layers for region in regions_of(layer[0], layer[1], layer[2], facts)]
    return nameless(drawn, facts)


def write_maps(path: str, layers: Sequence[LayerTuple]) -> list[str]:
    """The maps of a result -> OME-Zarr, all of the result that the layers belong to; it does not name the slide.

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
    (result,) = results.values()
    export.write_maps(Path(path), anonymised(result, veil_of(result, salt=user_salt())))
    return [path]
