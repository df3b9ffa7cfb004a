"""The panel in a real window: choose, run, watch, cancel, err, close; by mouse and keys where that is what users do."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from plugin_cases import MPP, fake_analysis, write_expression
from plugin_room import Room, open_room, open_window  # noqa: F401 fixtures
from qtpy.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from qtpy.QtGui import QDragEnterEvent, QDropEvent
from qtpy.QtWidgets import QApplication

from napari_gimp.plugin import job, layers
from napari_gimp.plugin.host import slide_of
from napari_gimp.plugin.launch import prepare
from napari_gimp.settings import InputError

pytestmark = pytest.mark.window


def click(qtbot: object, button: object) -> None:
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def test_a_slide_appears_lazily_in_um_with_scale_bar(room: Room) -> None:
    layer = room.open()
    assert layer.multiscale
    assert layer.rgb
    assert tuple(layer.scale) == pytest.approx((MPP, MPP), rel=1e-5)
    assert [str(unit) for unit in room.viewer.layers.extent.units] == ["micrometer", "micrometer"]
    assert room.viewer.canvas.overlays.scale_bar.visible
    assert "2100 × 1600 px" in room.widget.panel.slide.facts.text()
    assert room.widget.session.why_not == ""
    assert room.widget.panel.runs.start.isEnabled()


def test_without_a_slide_the_panel_says_what_to_do(room: Room) -> None:
    assert not room.widget.panel.runs.start.isEnabled()
    assert "Open a slide" in room.widget.panel.runs.reason.text()


def test_a_folder_is_not_the_demo_until_it_is_chosen(room: Room) -> None:
    room.open()
    model = room.widget.panel.model
    model.kind.setCurrentText("folder of a checkpoint")
    assert "Choose a checkpoint" in room.widget.session.why_not
    model.kind.setCurrentText("synthetic demo model")
    assert room.widget.session.why_not == ""


def test_unknown_pixel_size_is_asked_for(room: Room, qtbot: object) -> None:
    layer, panel = room.open("silent.tif"), room.widget.panel
    assert panel.slide.mpp.isVisibleTo(panel)
    assert "um per pixel" in panel.runs.reason.text()
    panel.slide.mpp.selectAll()
    qtbot.keyClicks(panel.slide.mpp, "0.5")
    qtbot.keyClick(panel.slide.mpp, Qt.Key.Key_Return)
    assert panel.runs.start.isEnabled()
    assert tuple(layer.scale) == (0.5, 0.5)
    assert [str(unit) for unit in room.viewer.layers.extent.units] == ["micrometer", "micrometer"]


def test_a_run_makes_the_layers_and_says_the_result(room: Room, qtbot: object) -> None:
    room.open()
    panel = room.widget.panel
    click(qtbot, panel.runs.start)
    assert not panel.runs.start.isEnabled()
    room.settle()
    attention = room.layer(layers.MAP)
    assert attention.colorbar.visible
    assert attention.data.dtype == np.float32
    assert "(partial" not in attention.name
    assert room.layer(layers.TISSUE) is not None
    assert len(room.layer(layers.TOP).data) <= 20
    assert panel.result.headline.text() == "LUSC: probability 0.75, from image only"
    assert "research use only" in panel.result.caution.text()
    assert panel.result.table.item(1, 0).text() == "0.75"
    assert [str(unit) for unit in room.viewer.layers.extent.units] == ["micrometer", "micrometer"]


def test_a_second_run_updates_the_same_layers(room: Room) -> None:
    room.open()
    room.widget.run()
    room.settle()
    first = list(room.viewer.layers)
    room.layer(layers.MAP).visible = False
    room.widget.run()
    room.settle()
    assert list(room.viewer.layers) == first
    assert not room.layer(layers.MAP).visible


def test_tissue_and_partial_attention_are_there_while_it_runs(
    room: Room, qtbot: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = threading.Event()
    monkeypatch.setattr(job, "analyse", fake_analysis(gate))
    room.open()
    panel = room.widget.panel
    room.widget.run()
    room.until(lambda: room.layer(layers.MAP) is not None)
    assert room.layer(layers.MAP).name.endswith("%)")
    assert room.layer(layers.TISSUE) is not None
    assert "partial" in panel.result.headline.text()
    assert not panel.result.export.isEnabled()
    assert "left" in panel.runs.stage.text()
    some = np.isfinite(room.layer(layers.MAP).data).sum()
    gate.set()
    room.settle()
    assert np.isfinite(room.layer(layers.MAP).data).sum() > some
    assert not room.layer(layers.MAP).name.endswith("%)")
    assert panel.result.export.isEnabled()


def test_cancel_frees_the_window_at_once_and_drops_what_comes_later(
    room: Room, qtbot: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = threading.Event()
    monkeypatch.setattr(job, "analyse", fake_analysis(gate))
    room.open()
    panel = room.widget.panel
    room.widget.run()
    room.until(lambda: "embedding" in panel.runs.stage.text())
    click(qtbot, panel.runs.stop)
    assert panel.runs.start.isEnabled()
    assert not panel.runs.stop.isEnabled()
    gate.set()
    room.settle()
    assert room.widget.panel.result.map.findData("error") < 0
    assert room.widget.session.prediction.partial < 1


def test_an_answer_of_an_older_run_is_dropped(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = threading.Event(), threading.Event()
    room.open()
    monkeypatch.setattr(job, "analyse", fake_analysis(old, InputError("the old one")))
    room.widget.run()
    room.until(lambda: "embedding" in room.widget.panel.runs.stage.text())
    room.widget.session.end()
    monkeypatch.setattr(job, "analyse", fake_analysis(new))
    room.widget.run()
    old.set()
    room.until(lambda: "embedding" in room.widget.panel.runs.stage.text())
    new.set()
    room.settle()
    assert not room.widget.panel.error.isVisibleTo(room.widget)
    assert room.widget.panel.result.map.findData("error") >= 0


def test_closing_the_slide_gives_the_run_up_and_closes_the_file(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job, "analyse", fake_analysis(threading.Event()))
    layer = room.open()
    slide = slide_of(layer)
    room.widget.run()
    room.until(lambda: "embedding" in room.widget.panel.runs.stage.text())
    room.viewer.layers.remove(layer)
    assert not room.widget.session.running
    assert "closed" in room.widget.panel.runs.stage.text()
    with pytest.raises(InputError):
        np.asarray(slide.levels[0][:10, :10])


def test_an_error_is_one_sentence_with_details_behind_a_button(
    room: Room, qtbot: object, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(job, "analyse", fake_analysis(failure=InputError("Expected tissue, found none; draw it.")))
    room.open()
    box = room.widget.panel.error
    room.widget.run()
    room.settle()
    assert box.sentence.text() == "Expected tissue, found none; draw it."
    assert not box.details.isVisibleTo(box)
    click(qtbot, box.button)
    assert "Traceback" in box.details.toPlainText()
    assert box.details.isVisibleTo(box)
    assert "Expected tissue" in caplog.text
    assert room.widget.panel.runs.start.isEnabled()


def test_head_contrast_and_opacity_change_the_map(room: Room) -> None:
    room.open()
    room.widget.run()
    room.settle()
    result, attention = room.widget.panel.result, room.layer(layers.MAP)
    mean, limits = attention.data.copy(), tuple(attention.contrast_limits)
    result.map.setCurrentText("attention, head 2")
    room.settle()
    assert not np.array_equal(attention.data, mean, equal_nan=True)
    result.view.set_value(result.view.value().__class__(contrast="rank", opacity=0.3))
    room.settle()
    assert tuple(attention.contrast_limits) == (0, 100) != limits
    assert attention.opacity == 0.3
    assert "rank" in attention.name
    result.view.set_value(result.view.value().__class__())


def test_a_row_of_the_patch_table_leads_to_the_patch(room: Room) -> None:
    room.open()
    room.widget.run()
    room.settle()
    top = room.layer(layers.TOP)
    room.widget.panel.result.patches.cellClicked.emit(0, 0)
    centre = np.asarray(room.viewer.scene.camera.center)[-2:]
    np.testing.assert_allclose(centre, top.data[0].mean(axis=0) * MPP, atol=0.1)


def test_a_profile_is_read_matched_and_its_coverage_said(room: Room, qtbot: object) -> None:
    room.open()
    panel = room.widget.panel
    path = write_expression(room.folder / "many.csv", ("slide", "other"))
    panel.profile.file.line.setFocus()
    qtbot.keyClicks(panel.profile.file.line, str(path))
    qtbot.keyClick(panel.profile.file.line, Qt.Key.Key_Return)
    room.settle()
    assert room.widget.session.choices.sample == "slide"
    assert panel.profile.samples.currentText() == "slide"
    assert "12 of 12 genes" in panel.profile.facts.text()
    assert "linear" in panel.profile.facts.text()
    room.widget.run()
    room.settle()
    assert room.widget.session.prediction.sample == "slide"


def test_a_dropped_profile_without_a_match_asks(room: Room) -> None:
    room.open()
    field = room.widget.panel.profile.file
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(write_expression(room.folder / "two.csv", ("A", "B"))))])
    buttons, keys = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    enter = QDragEnterEvent(QPoint(5, 5), Qt.DropAction.CopyAction, data, buttons, keys)
    QApplication.sendEvent(field, enter)
    assert enter.isAccepted()
    QApplication.sendEvent(field, QDropEvent(QPointF(5, 5), Qt.DropAction.CopyAction, data, buttons, keys))
    room.settle()
    assert room.widget.session.choices.sample is None
    assert "sample" in room.widget.panel.runs.reason.text()
    assert not room.widget.panel.runs.start.isEnabled()


def test_bad_files_leave_the_panel_usable(room: Room) -> None:
    room.open()
    panel = room.widget.panel
    room.widget.inputs.load_profile(room.folder / "nothing.csv")
    room.settle()
    assert "nothing.csv" in panel.error.sentence.text()
    room.widget.inputs.load_profile(None)
    assert panel.runs.start.isEnabled()


def test_drawn_shapes_replace_detection(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    requests = []

    def watched(request: object) -> object:
        requests.append(request)
        return (yield from fake_analysis()(request))

    monkeypatch.setattr(job, "analyse", watched)
    room.open()
    box = np.array([[0, 0], [0, 200], [200, 200], [200, 0]], float)
    room.viewer.add_shapes([box], shape_type="polygon", units=("um", "um"), name="mine")
    room.widget.panel.slide.tissue.setCurrentText("mine")
    room.widget.run()
    room.settle()
    drawn = requests[0].drawn
    assert drawn.source == "drawn"
    assert drawn.mask.sum() * np.prod(drawn.scale_yx_px) == pytest.approx((200 / MPP) ** 2, rel=0.05)


def test_found_tissue_can_be_edited_and_is_taken(room: Room, qtbot: object) -> None:
    room.open()
    room.widget.run()
    room.settle()
    click(qtbot, room.widget.panel.slide.edit)
    labels = room.viewer.layers[-1]
    assert labels.name == room.widget.panel.slide.tissue.currentText()
    labels.data = np.zeros_like(labels.data)
    room.widget.run()
    assert "found nothing" in room.widget.panel.error.sentence.text()
    labels.data = np.ones_like(labels.data)
    room.widget.run()
    room.settle()
    assert not room.widget.panel.error.isVisibleTo(room.widget)


def test_two_slides_in_one_window(room: Room) -> None:
    room.open()
    room.open("silent.tif")
    names = room.widget.panel.slide.slides
    assert [names.itemText(k) for k in range(names.count())] == ["slide", "silent"]
    assert names.currentText() == "silent"
    assert "um per pixel" in room.widget.session.why_not
    names.setCurrentText("slide")
    assert room.widget.session.why_not == ""


def test_closing_the_window_ends_the_run(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    import napari

    monkeypatch.setattr(job, "analyse", fake_analysis(threading.Event()))
    viewer = napari.Viewer(show=True)
    other = Room(viewer, prepare(viewer, room.folder / "slide.tif"), room.folder)
    other.settle()
    other.widget.run()
    other.until(lambda: other.layer(layers.MAP) is not None)
    jobs, canvas = other.widget.jobs, other.widget.canvas
    start = time.monotonic()
    slides = [slide_of(layer) for layer in viewer.layers if slide_of(layer)]
    viewer.close()
    assert time.monotonic() - start < 5
    assert not jobs.running
    assert not canvas.waiting
    for slide in slides:
        slide.close()
