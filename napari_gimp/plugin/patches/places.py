"""The chosen patch and the user's marks on the slide, as layers: there whichever dock asked for them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Float

from napari_gimp.plugin.desk import Desk
from napari_gimp.plugin.host import slide_layers, slide_of
from napari_gimp.plugin.layers import TAG, LayerTuple, placement, tag
from napari_gimp.plugin.patches.marks import Mark, centres, colour_of, sound_marks, with_labels_of
from napari_gimp.types import Prediction, SlideFacts

CHOSEN, MARKS = "chosen patch", "marks"
CHOSEN_COLOUR = "#00e5ff"
FRAME_SCREEN_PX = 3.0
CHOSEN_LEAST_PX, MARK_LEAST_PX = 22, 13
"""Smallest size on the screen: seen where a patch is a dot."""
MARK_SHARE = 0.3


class Places:
    """Keeps a desk's chosen patch and marks on the slide; one per desk, made by :func:`show_places`."""

    def __init__(self, desk: Desk) -> None:
        desk.patch_chosen.connect(partial(_show_chosen, desk))
        desk.marks_changed.connect(partial(_show_marks, desk))
        desk.session.changed.connect(partial(_show_again, desk))
        desk.viewer.scene.camera.events.zoom.connect(partial(_fit, desk))
        _show_again(desk)


def show_places(desk: Desk) -> None:
    """Show a desk's chosen patch and marks from now on; asking twice does nothing."""
    desk.part(Places)


def _show_chosen(desk: Desk, patch: int | None) -> None:
    result = desk.result
    if result is not None and patch is not None:
        desk.canvas.put(chosen_layer(result, patch))
        desk.canvas.soon(partial(_fit, desk))


def _fit(desk: Desk, _: object = None) -> None:
    """Keep the frame a thin line round its patch, and both it and the marks in sight, at any zoom."""
    slide, zoom = desk.session.choices.slide, float(desk.viewer.scene.camera.zoom)
    frame, marks = (None if slide is None else desk.canvas.find(tag(role, slide)) for role in (CHOSEN, MARKS))
    if frame is not None and desk.result is not None:
        px = float(frame.scale[-1]) * zoom
        size = max(desk.result.grid.size_yx_px[1] + 2 * FRAME_SCREEN_PX / px, CHOSEN_LEAST_PX / px)
        if not np.allclose(frame.size, size, rtol=0.1):
            frame.size, frame.border_width = size, FRAME_SCREEN_PX / (size * px)
    if slide is not None and marks is not None:
        natural = mark_sizes(desk.marks.get(slide.identity, []))
        sizes = np.maximum(natural, MARK_LEAST_PX / (float(marks.scale[-1]) * zoom))
        if len(sizes) == len(marks.size) and not np.allclose(marks.size, sizes, rtol=0.1):
            marks.size = sizes


def _show_again(desk: Desk) -> None:
    """The marks of the chosen slide after its layers were made anew; what is waiting to be removed goes first."""
    slide = desk.session.choices.slide
    if slide is None or not desk.marks.get(slide.identity):
        return
    there = desk.canvas.find(tag(MARKS, slide))
    scale = placement((0, 0), (1, 1), slide.mpp_yx)["scale"]
    if there is None or not np.allclose(there.scale, scale, rtol=1e-6):
        desk.canvas.soon(partial(_show_marks, desk, slide.identity))


def _show_marks(desk: Desk, identity: str) -> None:
    facts = _facts(desk, identity)
    marks = sound_marks(desk.marks.get(identity, []))  # they may come from a file
    desk.marks[identity] = marks
    if facts is None or not marks:
        desk.canvas.drop(lambda plate: plate["slide"] == identity and plate["role"] == MARKS)
        return
    desk.labels[:] = with_labels_of(desk.labels, [mark for each in desk.marks.values() for mark in each])
    layer = marks_layer(marks, desk.labels, facts)
    desk.canvas.put(layer)
    desk.canvas.soon(partial(_paint_marks, desk, layer[1]))


def _paint_marks(desk: Desk, attributes: dict[str, Any]) -> None:
    """Labels and colours of the marks that are there now."""
    layer = desk.canvas.find(attributes["metadata"][TAG])
    if layer is not None:
        layer.features, layer.face_color = attributes["features"], attributes["face_color"]
        _fit(desk)


def _facts(desk: Desk, identity: str) -> SlideFacts | None:
    slides = (slide_of(layer) for layer in slide_layers(desk.viewer))
    return next((slide.facts for slide in slides if slide is not None and slide.facts.identity == identity), None)


def chosen_layer(prediction: Prediction, patch: int) -> LayerTuple:
    """A frame round a patch, as wide as it and never smaller than a few pixels of the screen."""
    grid = prediction.grid
    centre = grid.coords_yx[patch] + np.asarray(grid.size_yx_px) / 2 - 0.5
    attributes = {
        **_points(CHOSEN, prediction.slide),
        "size": float(grid.size_yx_px[1]),
        "symbol": "square",
        "face_color": "transparent",
        "border_color": CHOSEN_COLOUR,
        "border_width": 0.08,
    }
    return centre[None], attributes, "points"


def marks_layer(marks: Sequence[Mark], labels: Sequence[str], facts: SlideFacts) -> LayerTuple:
    """Marked patches as dots in the colours of their labels, with the labels beside them."""
    attributes = {
        **_points(MARKS, facts),
        "size": mark_sizes(marks),
        "symbol": "disc",
        "features": {"label": [mark["label"] for mark in marks]},
        "face_color": [colour_of(mark["label"], labels) for mark in marks],
        "border_color": "black",
        "border_width": 0.1,
        "text": {"string": "\u2003{label}", "size": 9, "color": "black", "anchor": "upper_left"},
    }
    return centres(marks) - 0.5, attributes, "points"


def mark_sizes(marks: Sequence[Mark]) -> Float[np.ndarray, " n"]:
    """Diameter of each mark in slide pixels, where that is not too small to see."""
    return np.array([MARK_SHARE * mark["size_yx"][1] for mark in marks], float)


def _points(role: str, facts: SlideFacts) -> dict[str, Any]:
    return {
        "name": f"{role} · {facts.name}",
        "metadata": {TAG: tag(role, facts)},
        "opacity": 1.0,
        "blending": "translucent_no_depth",
        **placement((0, 0), (1, 1), facts.mpp_yx),
    }
