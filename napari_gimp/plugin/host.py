"""What every viewer with a slide in it needs, panel or not: scale bar on, files closed when their layer goes."""

from __future__ import annotations

from typing import Any
from weakref import WeakSet

from napari import Viewer
from napari.layers import Layer

from napari_gimp.slides import Slide

_ATTENDED: WeakSet[Viewer] = WeakSet()


def slide_of(layer: Layer | None) -> Slide | None:
    """The slide that a layer shows, None for other layers."""
    slide = None if layer is None else layer.metadata.get("slide")
    return slide if isinstance(slide, Slide) else None


def attend(viewer: Viewer) -> None:
    """Look after the slides of a viewer from now on; asking twice does nothing."""
    if viewer in _ATTENDED:
        return
    _ATTENDED.add(viewer)
    viewer.layers.events.inserted.connect(lambda event: _on_inserted(viewer, event.value))
    viewer.layers.events.removed.connect(lambda event: _on_removed(viewer, event.value))


def _on_inserted(viewer: Viewer, layer: Layer) -> None:
    if slide_of(layer) is not None:
        viewer.canvas.overlays.scale_bar.visible = True


def _on_removed(viewer: Viewer, layer: Any) -> None:
    slide = slide_of(layer)
    if slide is not None and not any(slide_of(other) is slide for other in viewer.layers):
        slide.close()
