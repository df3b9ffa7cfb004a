"""Two maps side by side: a second canvas with the same slide, the same view and a map of its own."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import napari.viewer
from napari.components import ViewerModel
from napari.layers import Image, Layer
from napari.qt import QtViewer
from qtpy.QtWidgets import QVBoxLayout

from napari_gimp.plugin import layers
from napari_gimp.plugin.canvas import LEGEND_PT
from napari_gimp.plugin.desk import Dock
from napari_gimp.plugin.docks.beside import BesideFace
from napari_gimp.plugin.host import slide_layers, slide_of
from napari_gimp.plugin.maps import map_titles, patch_map
from napari_gimp.plugin.palette import colours
from napari_gimp.plugin.patches.pointer import point_at_patches
from napari_gimp.plugin.session import ViewSettings

LINKED = ("center", "zoom", "angles", "orientation")


class Beside(Dock):
    """Shows another map of the desk's result; both cameras move together, whichever is moved."""

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__(viewer)
        self.second = ViewerModel(title="second map")
        self.canvas = QtViewer(self.second)
        self.face = BesideFace(self.canvas)
        self._slide: tuple[Any, ...] = ()
        self._drawn: tuple[Any, ...] = ()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.face)
        self.face.map_chosen.connect(lambda _: self._show_map())
        for name in ("session.changed", "session.result_changed"):
            self.hear(getattr(self.desk.session, name.split(".")[1]), self._follow)
        self.hear(self.desk.map_shown, self._follow)
        self._link(viewer, self.second)
        self._link(self.second, viewer)
        self.destroyed.connect(lambda _=None, second=self.second: second.layers.clear())
        point_at_patches(self.desk).follow(self.second)
        self._follow()

    def _link(self, leads: Any, follows: Any) -> None:
        """Let one camera take over every change of the other; equal values are not said again, so it ends there."""
        for name in LINKED:
            emitter = getattr(leads.scene.camera.events, name, None)
            if emitter is not None:
                self.hear(emitter, _taking_over(leads, follows, name))
        self.hear(leads.dims.events.order, partial(_stand_alike, leads, follows))

    def _follow(self, _: object = None) -> None:
        """The chosen slide, its maps and the map chosen here."""
        result, origin = self.desk.result, self.desk.session.origin
        titles = {} if result is None or origin is None else map_titles(result, origin.choices.members)
        others = [key for key in titles if key.split("/")[0] != "attention"]
        self.face.set_maps(titles, others[0] if others else "")
        self._show_slide()
        self._show_map()

    def _show_slide(self) -> None:
        chosen = self.desk.session.choices.slide
        identity = "" if chosen is None else chosen.identity
        seen = identity, None if chosen is None else chosen.mpp_yx
        if seen == self._slide:
            return
        self._slide, self._drawn = seen, ()
        self.second.layers.clear()
        for layer in slide_layers(self.desk.viewer):
            slide = slide_of(layer)
            if slide is not None and slide.facts.identity == identity:
                self.second.layers.append(_same_slide(layer))
                _look_alike(self.desk.viewer, self.second)

    def _show_map(self) -> None:
        result, origin, key = self.desk.result, self.desk.session.origin, self.face.chosen
        if result is None or origin is None or not key:
            self._drawn = ()
            self._remove_maps()
            return
        if self._drawn == (result, key):
            return
        self._drawn = result, key
        self._remove_maps(lambda tag: layers.is_left_over(tag, result))
        shown, view = patch_map(result, key, origin.choices.members), ViewSettings()
        for data, attributes, _ in layers.map_layers(result, shown, view):
            self._put(data, attributes, colours(shown))

    def _put(self, data: Any, attributes: dict[str, Any], colormap: Any) -> None:
        tag = attributes["metadata"][layers.TAG]
        present = next((layer for layer in self.second.layers if layer.metadata.get(layers.TAG) == tag), None)
        if present is not None and present.data.shape == data.shape:
            present.data = data
            for name in ("name", "scale", "translate", "contrast_limits", "metadata"):
                setattr(present, name, attributes[name])
            present.colormap = colormap
            return
        if present is not None:
            self.second.layers.remove(present)
        made = Image(data, **attributes)
        self.second.layers.append(made)
        made.colorbar.visible = made.name_overlay.visible = True
        made.name_overlay.position, made.name_overlay.font_size = "top_right", LEGEND_PT

    def _remove_maps(self, unwanted: Callable[[dict[str, Any]], bool] = lambda tag: True) -> None:
        for layer in list(self.second.layers):
            tag = layer.metadata.get(layers.TAG, {})
            if tag.get("role") == layers.MAP and unwanted(tag):
                self.second.layers.remove(layer)


def _taking_over(leads: Any, follows: Any, name: str) -> Any:
    def take_over(_: object = None) -> None:
        wanted = getattr(leads.scene.camera, name)
        if getattr(follows.scene.camera, name) != wanted:
            setattr(follows.scene.camera, name, wanted)

    return take_over


def _stand_alike(leads: Any, follows: Any, _: object = None) -> None:
    """A slide that is turned has its axes swapped in both."""
    if len(leads.dims.order) == len(follows.dims.order) and leads.dims.order != follows.dims.order:
        follows.dims.order = leads.dims.order


def _look_alike(first: Any, second: Any) -> None:
    _stand_alike(first, second)
    for name in LINKED:
        if hasattr(first.scene.camera, name):
            setattr(second.scene.camera, name, getattr(first.scene.camera, name))


def _same_slide(layer: Layer) -> Layer:
    """Another layer over the same levels: no pixel is kept twice."""
    data, attributes, kind = layer.as_layer_data_tuple()
    kept = ("name", "rgb", "multiscale", "scale", "translate", "units", "axis_labels", "blending")
    return Layer.create(data, {name: attributes[name] for name in kept if name in attributes}, kind)
