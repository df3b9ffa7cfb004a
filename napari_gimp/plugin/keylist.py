"""Every key of the window in one list: ours, by where they hold, and those of napari's that one needs beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from napari_gimp.plugin.docks.gallery import KEYS as GALLERY
from napari_gimp.plugin.mapkeys import KEYS as MAPS
from napari_gimp.plugin.regions.regionkeeper import REDO, UNDO
from napari_gimp.plugin.slide.navigation import KEYS as NAVIGATION

HELP, HELP_MEANING = "F1", "Show this list of keys."
WINDOW, MOVING, REGIONS, DOCKS, NAPARI = (
    "Maps, while the panel is open",
    "Moving on the slide, while its dock is open",
    "Regions, while a layer of them is selected",
    "In the docks, while they have the keyboard",
    "napari's own",
)
NAPARIS = {
    "napari:hold_for_pan_zoom": "Hold to move the view while a drawing tool is in hand.",
    "napari:reset_view": "Fit everything into the window.",
    "napari:toggle_selected_visibility": "Hide the selected layers, or show them again.",
    "napari:toggle_grid": "Lay the layers side by side, or on top of each other.",
    "napari:select_layer_above": "Select the layer above.",
    "napari:select_layer_below": "Select the layer below.",
    "napari:activate_add_polygon_mode": "Regions: draw a polygon.",
    "napari:activate_add_polygon_lasso_mode": "Regions: draw a polygon freehand.",
    "napari:activate_select_mode": "Regions: select and move.",
    "napari:finish_drawing_shape": "Regions: end the polygon.",
    "napari:delete_selected_shapes": "Regions: delete the selected ones.",
    "napari:activate_labels_paint_mode": "Tissue: paint.",
    "napari:activate_labels_erase_mode": "Tissue: erase.",
    "napari:decrease_brush_size": "Tissue: smaller brush.",
    "napari:increase_brush_size": "Tissue: larger brush.",
    "napari:show_shortcuts": "All of napari's keys; they can be changed there.",
}
"""napari's name of an action -> what it does, in our words."""
OURS: dict[str, dict[str, str]] = {
    WINDOW: {**MAPS, HELP: HELP_MEANING},
    MOVING: dict(NAVIGATION),
    REGIONS: {UNDO: "Take back the last edit of a region.", REDO: "Do it again."},
    DOCKS: {
        **GALLERY,
        "Arrows": "In the minimap: move the view by a part of what it shows.",
        "Ctrl+Z": "In ask what if: take the last step back.",
    },
}
"""Where a key holds -> key (napari's notation, or in words) -> what it does."""


class KeyLine(NamedTuple):
    """One line of the list: the key as it stands on the keyboard, and what it does."""

    key: str
    meaning: str


def key_lines(naparis: Mapping[str, Sequence[str]]) -> dict[str, list[KeyLine]]:
    """The whole list by where the keys hold.

    Parameters
    ----------
    naparis
        napari's name of an action -> its keys, as they are set now.
    """
    ours = {place: [KeyLine(on_keyboard(key), does) for key, does in keys.items()] for place, keys in OURS.items()}
    theirs = [
        KeyLine(" or ".join(map(on_keyboard, naparis[action])), does)
        for action, does in NAPARIS.items()
        if naparis.get(action)
    ]
    return {**ours, NAPARI: theirs}


def on_keyboard(key: str) -> str:
    """napari's notation as it stands on the keyboard: ``Control-1`` -> ``Ctrl+1``."""
    if len(key) == 1 or " " in key:
        return key
    parts = [part for part in key.replace("Control", "Ctrl").replace("-", "+").split("+") if part]
    return "+".join(parts) if parts else key
