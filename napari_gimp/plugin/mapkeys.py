"""Keys of the map in sight: step through the maps, opacity, hide."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from napari_gimp.plugin.desk import Desk
from napari_gimp.plugin.layers import MAP, TAG
from napari_gimp.plugin.panel.results import ResultSection

OPACITY_STEP = 0.1
NEXT, PREVIOUS, MORE, LESS, HIDE = ".", ",", "Shift-Up", "Shift-Down", "H"
KEYS = {
    NEXT: "Show the next map.",
    PREVIOUS: "Show the previous map.",
    MORE: "Make the map more opaque, by 10 %.",
    LESS: "Make the map more transparent, by 10 %.",
    HIDE: "Hide the map, or show it again.",
}
"""Key -> what it does; none of them is napari's own."""


def bind_map_keys(desk: Desk, result: ResultSection) -> None:
    """Bind them to the desk's viewer for as long as the panel is there."""
    acts: dict[str, Callable[[], object]] = {
        NEXT: partial(result.step_map, 1),
        PREVIOUS: partial(result.step_map, -1),
        MORE: partial(_change_opacity, result, OPACITY_STEP),
        LESS: partial(_change_opacity, result, -OPACITY_STEP),
        HIDE: partial(_toggle, desk),
    }
    for key, act in acts.items():
        result.destroyed.connect(desk.bind(key, KEYS[key], act))


def _change_opacity(result: ResultSection, by: float) -> None:
    view = result.view.value()
    result.view.set_value(replace(view, opacity=round(min(1.0, max(0.0, view.opacity + by)), 2)))


def _toggle(desk: Desk) -> None:
    chosen = desk.session.choices.slide
    for layer in desk.viewer.layers:
        tag = layer.metadata.get(TAG, {})
        if chosen is not None and tag.get("role") == MAP and tag["slide"] == chosen.identity:
            layer.visible = not layer.visible
