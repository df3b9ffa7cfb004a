"""What every viewer with a slide in it needs, panel or not: scale bar on, files closed when their layer goes."""

from __future__ import annotations

import logging
from collections.abc import Generator
from typing import Any
from weakref import WeakSet

import numpy as np
from napari import Viewer, current_viewer
from napari.layers import Image, Layer

from napari_gimp.plugin.jobs import Jobs
from napari_gimp.plugin.regions.drawn import is_drawn, is_ruler
from napari_gimp.plugin.slide.levels import GLASS, exact_levels
from napari_gimp.settings import InputError
from napari_gimp.slides import Slide
from napari_gimp.types import Progress, SlideFacts

LOG = logging.getLogger("napari_gimp")

FILLING = "napari-gimp filling"
"""Where a layer keeps the worker that fills its lowest level."""
_ATTENDED: WeakSet[Viewer] = WeakSet()


def slide_of(layer: Layer | None) -> Slide | None:
    """The slide that a layer shows, None for other layers."""
    slide = None if layer is None else layer.metadata.get("slide")
    return slide if isinstance(slide, Slide) else None


def the_slide() -> SlideFacts:
    """The slide that annotations belong to: the selected one, or the only one of the current viewer."""
    viewer = current_viewer()
    present = [layer for layer in viewer.layers if slide_of(layer) is not None] if viewer is not None else []
    chosen = [layer for layer in present if layer in viewer.layers.selection] if len(present) > 1 else present
    slide = slide_of(chosen[0]) if len(chosen) == 1 else None
    if slide is None:
        raise InputError(
            f"Expected one slide that the annotations lie on, found {len(present)} in the viewer;"
            " open the slide, or select its layer together with the annotations."
        )
    return slide.facts


def slide_layers(viewer: Viewer) -> list[Layer]:
    """The layers that show slides, lowest first."""
    return [layer for layer in viewer.layers if slide_of(layer) is not None]


def shows(viewer: Viewer, facts: SlideFacts) -> bool:
    """Whether a slide is among the viewer's layers."""
    return any(slide.facts.identity == facts.identity for slide in map(slide_of, viewer.layers) if slide is not None)


def drawn_names(viewer: Viewer) -> list[str]:
    """Names of the user's own Labels and Shapes layers; rulers enclose nothing."""
    return [layer.name for layer in viewer.layers if is_drawn(layer) and not is_ruler(layer)]


def attend(viewer: Viewer) -> None:
    """Look after the slides of a viewer from now on; asking twice does nothing."""
    if viewer in _ATTENDED:
        return
    _ATTENDED.add(viewer)
    viewer.layers.events.inserted.connect(lambda event: _on_inserted(viewer, event.value))
    viewer.layers.events.removed.connect(lambda event: _on_removed(viewer, event.value))


def _on_inserted(viewer: Viewer, layer: Layer) -> None:
    slide = slide_of(layer)
    if slide is None:
        return
    viewer.canvas.overlays.scale_bar.visible = True
    if not slide.has_cheap_overview:
        _fill_overview(layer, slide)


def _fill_overview(layer: Image, slide: Slide) -> None:
    """Read a costly lowest level in a worker and put it in the placeholder's place."""

    def show(overview: np.ndarray) -> None:
        levels = exact_levels(slide.levels)
        lowest = np.full(levels[-1].shape, GLASS, np.uint8)
        lowest[: overview.shape[0], : overview.shape[1]] = overview
        layer.data = [*levels[:-1], lowest] if len(levels) > 1 else lowest

    def fail(error: Exception) -> None:
        if FILLING in layer.metadata:  # else the slide was closed under the read
            LOG.error("%s: %s", layer.name, error)

    jobs = layer.metadata[FILLING] = Jobs()
    jobs.start(slide.read_overview, returned=show, errored=fail)


def _on_removed(viewer: Viewer, layer: Any) -> None:
    slide = slide_of(layer)
    if slide is not None and not any(slide_of(other) is slide for other in viewer.layers):
        _close(slide, layer.metadata.pop(FILLING, None))


def _close(slide: Slide, filling: Jobs | None) -> None:
    """Close a slide's file; beside the window while a read is under way, which closing waits for."""

    def close() -> Generator[Progress, None, None]:
        slide.close()
        yield Progress("closing", 1, 1, "slide")

    if filling is None or not filling.busy:
        slide.close()
        return
    filling.quit()
    filling.start(close, returned=lambda _: None, errored=lambda error: LOG.error("%s: %s", slide.path, error))
