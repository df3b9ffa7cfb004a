"""What is in sight: the first look at a slide, results of the chosen slide, legends."""

from __future__ import annotations

import threading
from collections.abc import Generator
from dataclasses import replace

import numpy as np
import pytest
from plugin_cases import fake_analysis, grid_of, prediction_of
from plugin_room import Room, open_room, open_window  # noqa: F401 fixtures

from napari_gimp.plugin import job, layers, sight
from napari_gimp.plugin.session import Request
from napari_gimp.plugin.slide.fitting import fit_of
from napari_gimp.types import Prediction, Progress

pytestmark = pytest.mark.window


def whole(room: Room) -> bool:
    """Whether all of the slide fits into the canvas as it is now."""
    camera, (low, high) = room.viewer.scene.camera, room.viewer.layers[0].extent.world
    seen = np.asarray(room.viewer.canvas.size) / camera.zoom
    centre = np.asarray(camera.center)[-2:]
    return bool((centre - seen / 2 <= low).all() and (centre + seen / 2 >= high).all())


def test_a_first_slide_is_whole_although_the_window_shrinks_after_it(room: Room) -> None:
    window = room.viewer.window._qt_window
    before = window.size()
    room.open()
    window.resize(before.width() - 300, before.height() - 150)
    room.until(lambda: not fit_of(room.widget.desk)._timer.isActive())
    assert whole(room)
    window.resize(before)


def test_a_place_that_the_user_went_to_stays(room: Room) -> None:
    room.open()
    room.until(lambda: fit_of(room.widget.desk)._look != ())
    room.widget.canvas.go_to((100.0, 100.0), 20.0)
    room.until(lambda: not fit_of(room.widget.desk)._timer.isActive())
    np.testing.assert_allclose(np.asarray(room.viewer.scene.camera.center)[-2:], (100, 100))


def order(room: Room) -> list[str]:
    """Roles of our layers, lowest first."""
    return [layer.metadata[layers.TAG]["role"] for layer in room.viewer.layers if layers.TAG in layer.metadata]


def test_results_go_with_their_slide(room: Room) -> None:
    slide = room.open()
    room.widget.run()
    room.settle()
    room.viewer.layers.remove(slide)
    room.settle()
    assert not room.viewer.layers
    assert room.widget.session.prediction is None
    room.open()
    room.widget.run()
    room.settle()
    assert order(room)[0] == "slide"
    assert layers.MAP in order(room)


def test_another_slide_lies_below_the_results(room: Room) -> None:
    room.open()
    room.widget.run()
    room.settle()
    room.open("oblong.tif")
    room.settle()
    assert order(room)[:2] == ["slide", "slide"]
    assert room.viewer.layers[1].name == "oblong"


def test_a_slide_opened_during_a_run_is_not_chosen(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job, "analyse", fake_analysis(threading.Event()))
    room.open()
    room.widget.run()
    room.open("oblong.tif")
    assert room.widget.panel.slide.slides.currentText() == "slide"


def test_a_later_run_that_is_cancelled_leaves_the_earlier_result(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    room.open()
    room.widget.run()
    room.settle()
    whole, shown = room.widget.session.prediction, room.layer(layers.MAP).data.copy()
    tissue = room.layer(layers.TISSUE).metadata["tissue"]
    monkeypatch.setattr(job, "analyse", fake_analysis(threading.Event()))
    room.widget.run()
    room.until(lambda: room.layer(layers.MAP).name.endswith("%)"))
    room.widget.cancel()
    room.settle()
    assert room.widget.session.prediction is whole
    assert room.widget.panel.result.export.isEnabled()
    assert "partial" not in room.widget.panel.result.headline.text()
    assert not room.layer(layers.MAP).name.endswith("%)")
    np.testing.assert_array_equal(room.layer(layers.MAP).data, shown)
    assert room.layer(layers.TISSUE).metadata["tissue"] is tissue


def test_a_slide_chosen_again_brings_its_result_back(room: Room) -> None:
    for name in ("slide.tif", "oblong.tif"):
        room.open(name)
        room.widget.run()
        room.settle()
    assert room.widget.panel.result.title() == "Result · oblong"
    room.widget.panel.slide.slides.setCurrentText("slide")
    assert room.widget.panel.result.title() == "Result · slide"
    assert room.widget.session.origin.path == room.folder / "slide.tif"


def test_a_run_on_another_slide_than_the_chosen_one_stays_out_of_sight(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = threading.Event()
    monkeypatch.setattr(job, "analyse", fake_analysis(gate))
    room.open("oblong.tif")
    room.open()
    room.widget.run()
    room.widget.panel.slide.slides.setCurrentText("oblong")
    gate.set()
    room.settle()
    assert not room.layer(layers.MAP).visible
    room.widget.panel.slide.slides.setCurrentText("slide")
    assert room.layer(layers.MAP).visible


def test_a_map_that_comes_late_lies_below_the_frames(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """All patches are there before the reconstruction error is."""

    def in_two_steps(request: Request) -> Generator[Progress, None, Prediction]:
        grid = grid_of(request.slide.shape_yx)
        whole = prediction_of(request.slide, grid)
        yield Progress("embedding", 1, 1, partial=replace(whole, reconstruction_error=None))
        return whole

    monkeypatch.setattr(job, "analyse", in_two_steps)
    room.open()
    room.widget.run()
    room.settle()
    assert order(room) == ["slide", layers.MAP, layers.TOP]


def test_frames_of_patches_get_no_wider_than_a_line_on_the_screen(room: Room) -> None:
    room.open()
    room.widget.run()
    room.settle()
    top, camera = room.layer(layers.TOP), room.viewer.scene.camera
    side = np.ptp(top.data[0][:, 0])
    for zoom in (1e-3, 40.0, 1e-3):
        camera.zoom = zoom / top.scale[0]
        room.settle()
        widest = side * layers.FRAME_SHARE
        np.testing.assert_allclose(top.edge_width, min(widest, sight.FRAME_SCREEN_PX / zoom), rtol=0.25)
    room.widget.panel.result.view["top_patches"].value = 3
    camera.zoom = 40.0 / top.scale[0]
    room.settle()
    assert len(top.data) == len(top.edge_width) == 3
    np.testing.assert_allclose(top.edge_width, sight.FRAME_SCREEN_PX / 40, rtol=0.25)
