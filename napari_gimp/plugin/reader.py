"""napari's reader: a slide by its suffix, lazily. Declines cheaply; opening happens in the function it returns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import napari
from napari.utils.notifications import show_error, show_info

from napari_gimp.plugin.host import attend, the_slide
from napari_gimp.plugin.layers import LayerTuple, slide_layer
from napari_gimp.plugin.regions.annotations import shapes_layer
from napari_gimp.regions import fitting_notes, looks_like_imagescope, read_regions
from napari_gimp.settings import InputError
from napari_gimp.slides import open_slide

SUFFIXES = (
    ".svs", ".tif", ".tiff", ".ndpi", ".scn", ".bif", ".vms", ".vmu", ".mrxs", ".svslide", ".czi", ".dcm", ".qptiff",
    ".png", ".jpg", ".jpeg",
)  # fmt: skip
NOTHING = [(None,)]
"""napari's word for a reader that read something and has no layer to show."""
PathOrPaths = str | Sequence[str]


def get_reader(path: PathOrPaths) -> Callable[[PathOrPaths], list[LayerTuple]] | None:
    """The reading function when every path has a slide's suffix and is a file, else None."""
    paths = [path] if isinstance(path, str) else list(path)
    fits = bool(paths) and all(str(p).lower().endswith(SUFFIXES) and Path(p).is_file() for p in paths)
    return read_slides if fits else None


def read_slides(path: PathOrPaths) -> list[LayerTuple]:
    """One lazy multiscale layer per slide.

    Raises
    ------
    InputError
        A file that cannot be opened, and no window to say so in: one sentence.
    """
    viewer = napari.current_viewer()
    if viewer is not None:
        attend(viewer)
    return _those_that_open([path] if isinstance(path, str) else path, lambda p: slide_layer(open_slide(p)))


def _those_that_open(paths: Sequence[str], read: Callable[[str], LayerTuple]) -> list[Any]:
    """Layers of what can be read; the others' sentences are shown: an error would be buried in napari's own words."""
    made: list[Any] = []
    for path in paths:
        try:
            made.append(read(path))
        except InputError as error:
            if napari.current_viewer() is None:
                raise
            show_error(str(error))
    return made or NOTHING


def get_annotation_reader(path: PathOrPaths) -> Callable[[PathOrPaths], list[LayerTuple]] | None:
    """The reading function for one GeoJSON file, or one XML file that begins like ImageScope's, else None."""
    if not isinstance(path, str) or not Path(path).is_file():
        return None
    name = path.lower()
    fits = name.endswith(".geojson") or (name.endswith(".xml") and looks_like_imagescope(Path(path)))
    return read_annotations if fits else None


def read_annotations(path: PathOrPaths) -> list[LayerTuple]:
    """Regions of a file (QuPath's GeoJSON, ImageScope's XML) as shapes on the slide in the viewer.

    Raises
    ------
    InputError
        No slide that they could lie on; neither of the two; and no window to say so in.
    """
    return _those_that_open([path] if isinstance(path, str) else path, _regions_layer)


def _regions_layer(path: str) -> LayerTuple:
    facts, found = the_slide(), read_regions(path)
    for note in (*found.notes, *fitting_notes(found, facts.shape_yx, facts.mpp_yx)):
        show_info(note)
    return shapes_layer(found.regions, facts, Path(path).stem)
