"""Layers that the user drew and the slide they belong to: slides of one window lie on top of each other."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from napari.layers import Labels, Layer, Shapes
from napari.viewer import Viewer

from napari_gimp.plugin.layers import DRAWN_ON, TAG, UM, drawn_on, placement
from napari_gimp.plugin.regions.annotations import drawn_tissue
from napari_gimp.settings import InputError
from napari_gimp.types import SlideFacts, Tissue

RULER = "napari-gimp ruler"
"""Where a layer's metadata say that its lines are measures."""


def is_drawn(layer: Layer) -> bool:
    """Whether this is a Labels or Shapes layer of the user's own."""
    return isinstance(layer, Labels | Shapes) and TAG not in layer.metadata


def is_ruler(layer: Layer) -> bool:
    """Whether the lines of a layer are measures and no regions."""
    return RULER in layer.metadata


def belongs(layer: Layer, facts: SlideFacts) -> bool:
    """Whether a layer was drawn on this slide, as far as is known."""
    owner = layer.metadata.get(DRAWN_ON)
    return owner is None or bool(owner["slide"] == facts.identity)


def claim_when_drawn(layer: Layer, slide: Callable[[], SlideFacts | None]) -> None:
    """Let a new layer belong to the slide that is chosen when something is first drawn in it."""
    if not is_drawn(layer) or DRAWN_ON in layer.metadata:
        return

    def claim(_: object = None) -> None:
        facts = slide()
        if facts is not None and DRAWN_ON not in layer.metadata and (isinstance(layer, Labels) or len(layer.data)):
            layer.metadata.update(drawn_on(facts))

    layer.events.data.connect(claim)
    claim()


def tissue_from(layer: Layer, facts: SlideFacts) -> Tissue:
    """The tissue that was drawn in a layer.

    Raises
    ------
    InputError
        It was drawn on another slide; nothing is drawn in it.
    """
    if not belongs(layer, facts):
        raise InputError(not_of(layer, facts))
    layer.metadata.setdefault(DRAWN_ON, drawn_on(facts)[DRAWN_ON])
    data, attributes, kind = layer.as_layer_data_tuple()
    return drawn_tissue(data, attributes, kind, facts)


def not_of(layer: Layer, facts: SlideFacts) -> str:
    """Why a layer is not used for a slide."""
    return (
        f"{layer.name!r} was drawn on {layer.metadata[DRAWN_ON]['name']} and is not used for {facts.name}: tissue is"
        " detected there, unless you draw it in a layer of its own and choose that."
    )


def rescale(layer: Layer, old: SlideFacts, new: SlideFacts) -> None:
    """Keep a drawing on the pixels it was drawn on when um per pixel change."""
    ratio = np.asarray(new.known_mpp_yx()) / np.asarray(old.mpp_yx or (1.0, 1.0))
    scale, translate = np.asarray(layer.scale)[-2:] * ratio, np.asarray(layer.translate)[-2:] * ratio
    layer.units, layer.scale, layer.translate = UM, scale, translate


def place_again(viewer: Viewer, layer: Layer, old: SlideFacts, new: SlideFacts) -> None:
    """Move a slide's layer, and what was drawn on it, to another um per pixel."""
    place = placement((0, 0), (1, 1), new.mpp_yx)
    layer.units, layer.scale = place["units"], place["scale"]
    for other in viewer.layers:
        if is_drawn(other) and belongs(other, old):
            rescale(other, old, new)
