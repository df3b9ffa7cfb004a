"""napari's writers: annotations -> GeoJSON for QuPath, maps -> OME-Zarr."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import napari

from napari_gimp.plugin.annotations import regions_of
from napari_gimp.plugin.host import slide_of
from napari_gimp.plugin.layers import LayerTuple
from napari_gimp.regions import write_geojson
from napari_gimp.settings import InputError
from napari_gimp.types import SlideFacts


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


def the_slide() -> SlideFacts:
    """The slide that annotations belong to: the selected one, or the only one of the current viewer."""
    viewer = napari.current_viewer()
    present = [layer for layer in viewer.layers if slide_of(layer) is not None] if viewer is not None else []
    chosen = [layer for layer in present if layer in viewer.layers.selection] if len(present) > 1 else present
    slide = slide_of(chosen[0]) if len(chosen) == 1 else None
    if slide is None:
        raise InputError(
            f"Expected one slide that the annotations lie on, found {len(present)} in the viewer;"
            " open the slide, or select its layer together with the annotations."
        )
    return slide.facts


def map_images(layers: Sequence[tuple[Any, Mapping[str, Any], str]]) -> list[tuple[Any, Mapping[str, Any], str]]:
    """The two-dimensional grey images among the layers: what a map is."""
    return [layer for layer in layers if not layer[1].get("rgb") and getattr(layer[0], "ndim", 0) == 2]
