"""The first look at a slide: whole, however late the window finds its size."""

from __future__ import annotations

import napari.viewer
from qtpy.QtCore import QTimer

from napari_gimp.plugin.desk import Desk
from napari_gimp.plugin.host import slide_layers, slide_of

TICK_MS, TICKS = 50, 30


class Fit:
    """Fits the view to a first slide again while docks take their room; stops as soon as the user looks elsewhere.

    A panel that is docked after the slide was opened fits it as well, unless the user had zoomed before.
    """

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        self.viewer = viewer
        self._left = 0
        self._size: tuple[int, ...] = ()
        self._look: tuple[object, ...] = ()
        self._timer = QTimer()
        self._timer.timeout.connect(self._tick)
        viewer.layers.events.inserted.connect(self._inserted)
        self.look_again()

    def look_again(self) -> None:
        """A dock has come: fit the slide again if it is seen whole."""
        if slide_layers(self.viewer) and self._is_whole():
            self.start()

    def start(self) -> None:
        """Fit after this turn of the event loop, and again while the canvas changes its size in the next second."""
        self._left, self._size, self._look = TICKS, (), ()
        self._timer.start(0)

    def stop(self) -> None:
        """Leave the view alone."""
        self._timer.stop()

    def _inserted(self, event: object) -> None:
        if len(self.viewer.layers) == 1 and slide_of(self.viewer.layers[0]) is not None:
            self.start()

    def _tick(self) -> None:
        self._timer.setInterval(TICK_MS)
        self._left -= 1
        moved = self._look not in ((), self._camera())
        if moved or self._left < 0 or not slide_layers(self.viewer):
            self.stop()
            return
        size = tuple(self.viewer.canvas.size)
        if size != self._size:
            self.viewer.reset_view(reset_camera_angle=False)
            self._size, self._look = size, self._camera()

    def _camera(self) -> tuple[object, ...]:
        camera = self.viewer.scene.camera
        return (*camera.center, camera.zoom)

    def _is_whole(self) -> bool:
        """Whether the view is as napari fits it; it is left as it was."""
        before, camera = self._camera(), self.viewer.scene.camera
        centre, zoom = camera.center, camera.zoom
        self.viewer.reset_view(reset_camera_angle=False)
        same = self._camera() == before
        camera.center, camera.zoom = centre, zoom
        return same


def fit_of(desk: Desk) -> Fit:
    """The one of a window, whichever panel comes and goes."""
    return desk.part(_make)


def _make(desk: Desk) -> Fit:
    made = Fit(desk.viewer)
    desk.before_closing.append(made.stop)
    return made
