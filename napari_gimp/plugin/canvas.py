"""Layer tuples -> the viewer: made once, then kept up to date under the same name plate."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

import napari
import numpy as np
from napari.layers import Image, Layer
from qtpy.QtCore import QTimer

from napari_gimp.plugin.layers import TAG, TISSUE, TOP, LayerTuple

LEGEND_PT = 9
UPDATED = ("name", "scale", "translate", "metadata")


class Canvas:
    """Puts our layers into one viewer; what the user changed on them (opacity, visibility, colours) stays.

    Steps that take napari long, such as making a layer, are done one per turn of the event loop (:meth:`soon`), so that
    the window answers in between.
    """

    def __init__(self, viewer: napari.Viewer) -> None:
        self.viewer = viewer
        self._steps: deque[Callable[[], object]] = deque()
        self._timer = QTimer()
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._step)

    def soon(self, *steps: Callable[[], object]) -> None:
        """Do these after what is already waiting."""
        self._steps.extend(steps)
        if not self._timer.isActive():
            self._timer.start(0)

    @property
    def waiting(self) -> bool:
        """Whether steps are left."""
        return bool(self._steps)

    def stop(self) -> None:
        """Forget what is waiting."""
        self._steps.clear()
        self._timer.stop()

    def _step(self) -> None:
        """One step; what waits behind it is done also when it fails."""
        try:
            if self._steps:
                self._steps.popleft()()
        finally:
            if self._steps:
                self._timer.start(0)

    def put(self, layer: LayerTuple, **always: Any) -> None:
        """Show a layer, soon: a new one, or the one with the same role, slide and lattice with new data.

        Parameters
        ----------
        always
            Attributes that an existing layer takes over as well, say ``opacity``.
        """
        self.soon(partial(self._put, layer, always))

    def _put(self, layer: LayerTuple, always: dict[str, Any]) -> None:
        data, attributes, kind = layer
        present = self.find(attributes["metadata"][TAG])
        if present is None:
            made = Layer.create(data, attributes, kind)
            self._next(partial(self._add, made))
            return
        if isinstance(present, Image):
            always = {"contrast_limits": attributes["contrast_limits"], **always}
        if kind == "shapes" or present.data.shape != data.shape or not np.array_equal(present.data, data):
            present.data = data
        if kind == "shapes":
            present.features = attributes["features"]
        for name, value in {**{key: attributes[key] for key in UPDATED}, **always}.items():
            _set(present, name, value)

    def find(self, tag: dict[str, Any]) -> Layer | None:
        """The layer with this name plate."""
        return next((layer for layer in self.viewer.layers if layer.metadata.get(TAG) == tag), None)

    def has(self, meant: Callable[[dict[str, Any]], bool]) -> bool:
        """Whether a layer of ours has such a name plate."""
        return any(TAG in layer.metadata and meant(layer.metadata[TAG]) for layer in self.viewer.layers)

    def drop(self, unwanted: Callable[[dict[str, Any]], bool]) -> None:
        """Remove, after what is already waiting, the layers of ours with such a name plate."""
        self.soon(partial(self._drop, unwanted))

    def _drop(self, unwanted: Callable[[dict[str, Any]], bool]) -> None:
        for layer in list(self.viewer.layers):
            if TAG in layer.metadata and unwanted(layer.metadata[TAG]):
                self.viewer.layers.remove(layer)

    def _add(self, layer: Layer) -> None:
        """Add without taking the selection away from what the user works on; legends follow, a turn each.

        The selection keeps silent meanwhile: telling it twice costs napari a third of the time again.
        """
        layers = self.viewer.layers
        selected = set(layers.selection)
        with layers.selection.events.blocker_all():
            layers.insert(self._place(layer), layer)
            layers.selection = selected
        if isinstance(layer, Image) and layer.metadata[TAG]["role"] != TISSUE:
            self._next(partial(_show_colorbar, layer), partial(_show_legend, layer))

    def _place(self, layer: Layer) -> int:
        """On top of everything, but below the frames of its slide's patches."""
        frames = {**layer.metadata[TAG], "role": TOP, "lattice": 0}
        present = self.find(frames)
        layers = self.viewer.layers
        return len(layers) if present is None else layers.index(present)

    def _next(self, *steps: Callable[[], object]) -> None:
        """Do these before what is already waiting."""
        self._steps.extendleft(reversed(steps))

    def go_to(self, centre: tuple[float, float], width: float) -> None:
        """Look at a place (y, x), in the viewer's units, so that ``width`` fills a third of the window."""
        order = self.viewer.dims.order  # the slide may stand on its side
        self.viewer.scene.camera.center = centre[::-1] if order[-1] < order[-2] else centre
        self.viewer.scene.camera.zoom = min(self.viewer.canvas.size) / (3 * width)


def _set(layer: Layer, name: str, value: Any) -> None:
    """Set what differs: napari draws a layer again after every setting, also after one that changes nothing."""
    present = getattr(layer, name)
    if name == "colormap":
        same = present.name == (value["name"] if isinstance(value, dict) else value)
    elif name == "metadata":
        same = False
    else:
        same = bool(np.all(present == value)) if isinstance(value, tuple | np.ndarray) else present == value
    if not same:
        setattr(layer, name, value)


def _show_colorbar(layer: Image) -> None:
    layer.colorbar.visible = True


def _show_legend(layer: Image) -> None:
    layer.name_overlay.position = "top_right"
    layer.name_overlay.font_size = LEGEND_PT
    layer.name_overlay.visible = True
