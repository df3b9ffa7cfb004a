"""A real window with the panel in it, one per module of tests."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from plugin_cases import FACTS, checker, fake_analysis, write_slide
from qtpy.QtWidgets import QApplication

from napari_gimp.plugin import inputs, job, layers, widget
from napari_gimp.plugin.launch import prepare
from napari_gimp.plugin.widget import GimpWidget

SHAPE = (1600, 2100)


@dataclass
class Room:
    """A window with the panel in it."""

    viewer: object
    widget: GimpWidget
    folder: Path

    def until(self, true: Callable[[], bool], seconds: float = 90.0) -> None:
        """Let the window live until something holds."""
        end = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < end, "waited in vain"
            QApplication.processEvents()
            time.sleep(0.002)

    def settle(self) -> None:
        """Until no worker and no step is left."""
        self.until(lambda: not self.widget.jobs.busy and not self.widget.canvas.waiting)

    def open(self, name: str = "slide.tif") -> object:
        self.viewer.open(str(self.folder / name), plugin="napari-gimp")
        return self.viewer.layers[-1]

    def layer(self, role: str) -> object | None:
        return next((a for a in self.viewer.layers if a.metadata.get(layers.TAG, {}).get("role") == role), None)


@contextmanager
def a_viewer() -> Iterator[object]:
    """napari's window. It collects garbage with every layer that goes: what was there before is not looked at again."""
    import napari

    viewer = napari.Viewer(show=True)
    gc.freeze()
    yield viewer
    viewer.layers.clear()
    viewer.close()
    gc.unfreeze()


@pytest.fixture(scope="module", name="window")
def open_window(tmp_path_factory: pytest.TempPathFactory, qapp: QApplication) -> Iterator[Room]:
    folder = tmp_path_factory.mktemp("slides")
    write_slide(folder / "slide.tif", checker(SHAPE, 100))
    write_slide(folder / "silent.tif", checker((600, 700), 100), mpp=None)
    write_slide(folder / "oblong.tif", checker((900, 1500), 100), mpp=0.5)
    patch = pytest.MonkeyPatch()
    patch.setattr(inputs, "resource", lambda name: folder)
    patch.setattr(inputs, "read_facts", lambda path: FACTS)
    patch.setattr(inputs, "members_of", lambda path: 1)
    patch.setattr(job, "warm_up", fake_warm_up)
    patch.setattr(widget, "autosave_of", lambda desk: None)
    with a_viewer() as viewer:
        yield Room(viewer, prepare(viewer), folder)
    patch.undo()


def fake_warm_up() -> Iterator[object]:
    yield from ()


@pytest.fixture(name="room")
def open_room(window: Room, monkeypatch: pytest.MonkeyPatch) -> Iterator[Room]:
    monkeypatch.setattr(job, "analyse", fake_analysis())
    yield window
    if window.widget.session.running:
        window.widget.cancel()
    window.settle()
    window.viewer.layers.clear()
    window.widget.inputs.load_profile(None)
    window.widget.panel.error.clear()
    window.widget.session.prediction = window.widget.session.origin = None
