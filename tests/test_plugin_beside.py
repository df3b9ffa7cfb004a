"""Two maps side by side: one slide, one view, two maps."""

from collections.abc import Iterator

import numpy as np
import pytest
from plugin_room import Room, open_room, open_window  # noqa: F401 fixtures
from qtpy.QtWidgets import QApplication

from napari_gimp.plugin import layers
from napari_gimp.plugin.maps import patch_map
from napari_gimp.plugin.slide.eye import Eye
from napari_gimp.plugin.slide.navigation import AS_SCANNED
from napari_gimp.plugin.wiring.beside import Beside


@pytest.fixture
def beside(room: Room) -> Iterator[Beside]:
    room.open()
    room.widget.run()
    room.settle()
    dock = Beside(room.viewer)
    docked = room.viewer.window.add_dock_widget(dock, name="second map")
    QApplication.processEvents()
    yield dock
    room.viewer.window.remove_dock_widget(docked)
    dock.deleteLater()
    QApplication.processEvents()


def the_map(dock: Beside) -> object:
    return next(a for a in dock.second.layers if a.metadata.get(layers.TAG, {}).get("role") == layers.MAP)


def test_the_second_canvas_shows_another_map_of_the_same_slide(room: Room, beside: Beside) -> None:
    assert beside.face.chosen == "error"
    beside.face.map.setCurrentIndex(beside.face.map.findData("attention/2/2"))
    shown, prediction = the_map(beside), room.widget.session.prediction
    cells = prediction.grid.lattices[0].cells
    wanted = patch_map(prediction, "attention/2/2").values
    np.testing.assert_allclose(shown.data[cells[:, 0], cells[:, 1]], wanted)
    first = room.layer(layers.MAP)
    np.testing.assert_allclose(shown.translate, first.translate)
    np.testing.assert_allclose(shown.scale, first.scale)
    assert first.metadata["key"] == "attention"
    assert beside.second.layers[0].name == "slide"


def test_either_camera_moves_the_other(room: Room, beside: Beside) -> None:
    one, other = room.viewer.scene.camera, beside.second.scene.camera
    one.zoom, one.center = 3.0, (0.0, 40.0, 50.0)
    assert (other.zoom, tuple(other.center)) == (3.0, (0.0, 40.0, 50.0))
    other.zoom = 0.7
    assert one.zoom == 0.7


def test_it_follows_the_slide_and_says_when_there_is_no_result(room: Room, beside: Beside) -> None:
    room.open("oblong.tif")
    room.settle()
    assert [layer.name for layer in beside.second.layers] == ["oblong"]
    assert "No result yet" in beside.face.said.text()
    room.viewer.layers.remove(room.viewer.layers["oblong"])
    room.settle()
    assert beside.face.chosen
    assert the_map(beside).data.shape == room.layer(layers.MAP).data.shape


def test_a_turned_slide_is_turned_in_both(room: Room, beside: Beside) -> None:
    eye = Eye(room.viewer)
    eye.turn(AS_SCANNED.turned())
    assert Eye(beside.second).stands == AS_SCANNED.turned()
    assert Eye(beside.second).place.centre_yx == pytest.approx(eye.place.centre_yx)
    eye.turn(AS_SCANNED)
    assert Eye(beside.second).stands == AS_SCANNED
