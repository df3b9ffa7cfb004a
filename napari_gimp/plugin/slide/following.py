"""Which slide the navigator follows, and what it knows of each one that is open."""

from __future__ import annotations

from dataclasses import dataclass, field

import napari.viewer
import numpy as np
from jaxtyping import UInt8
from napari.layers import Layer

from napari_gimp.plugin.desk import Desk
from napari_gimp.plugin.host import slide_layers, slide_of
from napari_gimp.plugin.layers import TAG, TISSUE
from napari_gimp.plugin.slide.navigation import History, Orientation
from napari_gimp.plugin.slide.pieces import Piece
from napari_gimp.types import SlideFacts, Tissue

STANDS = "napari-gimp stands"
"""Where a slide's layer keeps how it stands: axes swapped, upwards, leftwards."""


@dataclass(eq=False)
class Known:
    """What is known of one slide: how it stands, the way so far, its picture, its pieces of tissue."""

    stands: Orientation
    mpp_yx: tuple[float, float] | None
    history: History = field(default_factory=History)
    picture: UInt8[np.ndarray, "h w 3"] | None = None
    tissue: Tissue | None = None
    pieces: tuple[Piece, ...] = ()
    piece: int | None = None
    seeking: bool = False


def followed(viewer: napari.viewer.Viewer, desk: Desk) -> Layer | None:
    """The layer of the slide that the panel chose; without one, the selected slide or the topmost.

    napari lends docks a stand-in for the viewer: what comes from it equals a layer and is not always the same object.
    """
    present, chosen = slide_layers(viewer), desk.session.choices.slide
    of_panel = [layer for layer in present if chosen is not None and _identity(layer) == chosen.identity]
    selected = [layer for layer in present if layer == viewer.layers.selection.active]
    return next(iter([*of_panel[::-1], *selected, *present[::-1]]), None)


def _identity(layer: Layer) -> str:
    slide = slide_of(layer)
    return "" if slide is None else slide.facts.identity


def is_open(viewer: napari.viewer.Viewer, identity: str) -> bool:
    """Whether a slide is among the layers."""
    return any(_identity(layer) == identity for layer in slide_layers(viewer))


def stood(layer: Layer, otherwise: Orientation) -> Orientation:
    """How a slide stood when it was last followed."""
    return Orientation(*layer.metadata[STANDS]) if STANDS in layer.metadata else otherwise


def tissue_shown(viewer: napari.viewer.Viewer, facts: SlideFacts) -> Tissue | None:
    """The tissue of the last run, where its outline is among the layers."""
    for layer in viewer.layers:
        plate, tissue = layer.metadata.get(TAG, {}), layer.metadata.get("tissue")
        if plate.get("role") == TISSUE and plate["slide"] == facts.identity and isinstance(tissue, Tissue):
            return tissue
    return None
