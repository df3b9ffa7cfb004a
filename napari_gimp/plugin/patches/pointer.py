"""The mouse on the canvas -> the patch under it: at most 30 times a second, and only while no tool is in hand."""

from __future__ import annotations

import math
import time
from collections.abc import Generator
from typing import Any

import numpy as np
from qtpy.QtCore import QTimer

from napari_gimp.plugin.desk import Desk
from napari_gimp.plugin.host import slide_layers, slide_of
from napari_gimp.plugin.patches.patchindex import PatchIndex
from napari_gimp.plugin.regions.annotations import world_to_slide
from napari_gimp.types import Prediction

EVERY_MS = 34
CLICK_PX = 4.0
"""A press that moves further on the screen than this is a drag."""
LEFT_BUTTON = 1


class Pointer:
    """Says ``patch_hovered`` and ``patch_chosen`` of a desk; made by :func:`point_at_patches`, one per desk."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self._place: tuple[float, float] | None = None
        self._said: int | None = None
        self._looked = float("-inf")
        self._index: PatchIndex | None = None
        self._timer = QTimer()
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._look)
        self.follow(desk.viewer)
        desk.session.result_changed.connect(self._result_changed)
        desk.before_closing.append(self._timer.stop)

    def follow(self, viewer: Any) -> None:
        """Hear the mouse on a viewer: the desk's, or another that shows the same slide (a ``ViewerModel`` will do)."""
        viewer.mouse_move_callbacks.append(self)
        viewer.mouse_drag_callbacks.append(self.press)
        viewer.events.mouse_over_canvas.connect(self._left)

    def __call__(self, viewer: Any, event: Any) -> None:
        """The mouse moved: look now, or when the last look is old enough."""
        self._place = tuple(event.position[-2:]) if hand_is_free(viewer) else None
        if not self._timer.isActive():
            since_ms = 1000 * (time.monotonic() - self._looked)
            self._timer.start(math.ceil(EVERY_MS - min(since_ms, EVERY_MS)))

    def press(self, viewer: Any, event: Any) -> Generator[None, None, None]:
        """A left click without a key and without a drag chooses the patch under it."""
        if event.button != LEFT_BUTTON or event.modifiers or not hand_is_free(viewer):
            return
        start, far = event.pos, 0.0
        yield
        while event.type == "mouse_move":
            far = max(far, math.dist(start, event.pos))
            yield
        patch = self.patch_at(*event.position[-2:])
        if patch is not None and max(far, math.dist(start, event.pos)) <= CLICK_PX:
            self.desk.patch_chosen.emit(patch)

    def patch_at(self, y: float, x: float) -> int | None:
        """The patch of the desk's result at a place of the viewer; None beside the patches, or without a result."""
        result = self.desk.result
        if result is None:
            return None
        if self._index is None or self._index.grid is not result.grid:
            self._index = PatchIndex(result.grid)
        return self._index.at(*self._on_slide(result, y, x))

    def _on_slide(self, result: Prediction, y: float, x: float) -> tuple[float, float]:
        """World -> continuous level-0 pixels, as the slide's layer lies: it may be turned or flipped."""
        for layer in slide_layers(self.desk.viewer):
            slide = slide_of(layer)
            if slide is not None and slide.facts.identity == result.slide.identity:
                place = layer.world_to_data((y, x))
                return place[-2] + 0.5, place[-1] + 0.5
        point = world_to_slide(np.array([[y, x]]), result.slide.mpp_yx)[0]
        return float(point[0]), float(point[1])

    def _look(self) -> None:
        self._looked = time.monotonic()
        patch = self._under()
        if patch != self._said:
            self._said = patch
            self.desk.patch_hovered.emit(patch)

    def _under(self) -> int | None:
        return None if self._place is None else self.patch_at(*self._place)

    def _left(self, event: Any) -> None:
        """The mouse is beside the canvas: it is over no patch."""
        if not event.value:
            self._place = None
            self._look()

    def _result_changed(self) -> None:
        """The same place may be another patch of another result: said again, once all have heard of the result."""
        self._said = None
        self._timer.start(0)


def hand_is_free(viewer: Any) -> bool:
    """Whether a click is nobody else's: no layer is active, or one that pans and zooms (napari's own rule)."""
    active = viewer.layers.selection.active
    return active is None or str(active.mode) == "pan_zoom"


def point_at_patches(desk: Desk) -> Pointer:
    """The pointer of a desk, made by whoever asks first."""
    return desk.part(Pointer)
