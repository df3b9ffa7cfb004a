"""A real window with a whole result of the tiny synthetic case in it: image and genes, an untrained checkpoint."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from plugin_room import Room, a_viewer
from qtpy.QtWidgets import QApplication

from napari_gimp.plugin.launch import prepare


@pytest.fixture(scope="module", name="asked")
def a_result(tiny: Any, tmp_path_factory: pytest.TempPathFactory, qapp: QApplication) -> Iterator[Room]:
    with a_viewer() as viewer:
        room = Room(viewer, prepare(viewer), tmp_path_factory.mktemp("cache"))
        room.widget.inputs.load_checkpoint(tiny.checkpoint)
        viewer.open(str(tiny.slide), plugin="napari-gimp")
        room.widget.session.change(cache=room.folder)
        run(room, tiny.profile)
        yield room


def run(room: Room, profile: Any = None) -> None:
    """A whole run with this profile, or without one."""
    room.widget.inputs.load_profile(profile)
    room.settle()
    room.widget.run()
    room.until(lambda: not room.widget.session.running)
    room.settle()
    assert room.widget.desk.result is not None, room.widget.panel.error.sentence.text()


def dock(room: Room, title: str) -> Any:
    """A dock of ours, with everything that it starts done."""
    _, widget = room.viewer.window.add_plugin_dock_widget("napari-gimp", title, tabify=True)
    widget.parent().raise_()
    room.settle()
    return widget
