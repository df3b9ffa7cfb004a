"""The camera of a viewer as a place on a slide: where it looks, how the slide stands; in every orientation."""

from __future__ import annotations

from typing import Any

import napari.viewer

from napari_gimp.plugin.slide.navigation import Orientation, Pair, Place, seen_on_screen
from napari_gimp.types import SlideFacts


class Eye:
    """Reads and moves a viewer's camera.

    Turning and mirroring change the order and the direction of the viewer's axes and no layer: maps, regions and frames
    stay on their pixels whatever is done, and nothing that is computed or exported changes.
    """

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        self.viewer = viewer

    @property
    def events(self) -> tuple[Any, ...]:
        """Signals that say that another part of the world is seen, or that it stands otherwise."""
        viewer = self.viewer
        camera, canvas = viewer.scene.camera.events, viewer.canvas.events
        return camera.center, camera.zoom, canvas.size, camera.orientation, viewer.dims.events.order

    @property
    def window_px(self) -> Pair:
        """Height and width of the canvas (of one of them where napari's grid shows several), in screen pixels."""
        height, width = self.viewer.canvas.viewbox_size(self.viewer.layers)
        return float(height), float(width)

    @property
    def place(self) -> Place:
        """What is looked at now."""
        camera = self.viewer.scene.camera
        down, right = (float(value) for value in camera.center[-2:])
        return Place((right, down) if self.stands.swapped else (down, right), 1 / float(camera.zoom))

    def go(self, place: Place) -> None:
        """Look at a place."""
        camera, (y, x) = self.viewer.scene.camera, place.centre_yx
        camera.center = (x, y) if self.stands.swapped else (y, x)
        camera.zoom = 1 / place.per_px

    @property
    def stands(self) -> Orientation:
        """How the slide stands on the screen."""
        vertical, horizontal = self.viewer.scene.camera.orientation2d
        order = self.viewer.dims.order
        return Orientation(order[-1] < order[-2], vertical == "up", horizontal == "left")

    def turn(self, stands: Orientation) -> None:
        """Let the slide stand like this; the middle of the view stays where it is."""
        place, dims = self.place, self.viewer.dims
        *others, y, x = sorted(dims.order)
        order = (*others, x, y) if stands.swapped else (*others, y, x)
        if order != tuple(dims.order):
            dims.order = order
        self.viewer.scene.camera.orientation2d = ("up" if stands.up else "down", "left" if stands.left else "right")
        self.go(place)

    def fit(self, layer: Any) -> None:
        """See the whole of a layer."""
        self.viewer.fit_to_view(layers=[layer])

    def sees_all(self, facts: SlideFacts) -> bool:
        """Whether the whole slide is in the window."""
        (top, left), (bottom, right) = seen_on_screen(self.place, self.window_px, facts, self.stands)
        return max(top, left) <= 0 and min(bottom, right) >= 1
