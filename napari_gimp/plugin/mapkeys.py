"""Keys of the map in sight: step through the maps, opacity, hide."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from napari_gimp.plugin.desk import Desk
from napari_gimp.plugin.layers import MAP, TAG
from napari_gimp.plugin.results import ResultSection

OPACITY_STEP = 0.1


def bind_map_keys(desk: Desk, result: ResultSection) -> None:
    """Bind them to the desk's viewer; none of them is napari's own."""
    desk.bind(".", "next map", partial(result.step_map, 1))
    desk.bind(",", "previous map", partial(result.step_map, -1))
    desk.bind("Shift-Up", "map more opaque", partial(_change_opacity, result, OPACITY_STEP))
    desk.bind("Shift-Down", "map more transparent", partial(_change_opacity, result, -OPACITY_STEP))
    desk.bind("H", "hide or show the map", partial(_toggle, desk))


def _change_opacity(result: ResultSection, by: float) -> None:
    view = result.view.value()
    result.view.set_value(replace(view, opacity=round(min(1.0, max(0.0, view.opacity + by)), 2)))


def _toggle(desk: Desk) -> None:
    chosen = desk.session.choices.slide
    for layer in desk.viewer.layers:
        tag = layer.metadata.get(TAG, {})
        if chosen is not None and tag.get("role") == MAP and tag["slide"] == chosen.identity:
            layer.visible = not layer.visible
