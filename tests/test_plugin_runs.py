"""What goes on beside a run and after it, in a real window: profiles, exports, other slides, another pixel size."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from pathlib import Path

import numpy as np
import pytest
from plugin_cases import MPP, fake_analysis, prediction_of, write_expression
from plugin_room import Room, open_room, open_window  # noqa: F401 fixtures
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from napari_gimp.genes import read_expression
from napari_gimp.plugin import job, layers
from napari_gimp.plugin.host import slide_of
from napari_gimp.types import PatchGrid, Progress

pytestmark = pytest.mark.window


def read_at(gates: dict[str, threading.Event]) -> Callable[[Path], Generator[Progress, None, object]]:
    """Reading of expression files that each wait for their gate."""

    def read(path: Path) -> Generator[Progress, None, object]:
        while not gates[path.name].wait(0.005):
            yield Progress(f"reading {path.name}", 0, 0, "file")
        return read_expression(path)

    return read


@pytest.fixture
def gates(monkeypatch: pytest.MonkeyPatch) -> dict[str, threading.Event]:
    made = {name: threading.Event() for name in ("slow.csv", "fast.csv", "nothing.csv")}
    monkeypatch.setattr(job, "read_profiles", read_at(made))
    return made


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch, room: Room) -> threading.Event:
    """Lets a run that has shown its tissue and first maps go on to its end."""
    event = threading.Event()
    monkeypatch.setattr(job, "analyse", fake_analysis(event))
    return event


def started(room: Room) -> None:
    room.widget.run()
    room.until(lambda: room.layer(layers.MAP) is not None)


def test_an_older_read_never_replaces_a_newer_profile(room: Room, gates: dict[str, threading.Event]) -> None:
    room.open()
    room.widget.inputs.load_profile(write_expression(room.folder / "slow.csv", ("old",)))
    room.widget.inputs.load_profile(write_expression(room.folder / "fast.csv", ("new",)))
    gates["fast.csv"].set()
    room.until(lambda: room.widget.session.choices.expression is not None)
    gates["slow.csv"].set()
    room.settle()
    assert room.widget.session.choices.expression.samples == ("new",)


def test_a_profile_removed_while_it_is_read_stays_away(room: Room, gates: dict[str, threading.Event]) -> None:
    room.open()
    runs = room.widget.panel.runs
    room.widget.inputs.load_profile(write_expression(room.folder / "slow.csv", ("slide",)))
    room.widget.run_when_ready()
    assert not runs.start.isEnabled()
    assert "slow.csv is being read" in runs.reason.text()
    room.until(lambda: "reading" in runs.stage.text())
    room.widget.inputs.load_profile(None)
    assert runs.start.isEnabled()
    assert runs.stage.text() == ""
    gates["slow.csv"].set()
    room.settle()
    assert room.widget.session.choices.expression is None
    assert room.widget.session.prediction is None


def test_a_run_that_waits_for_its_profile_begins_once_it_is_there(
    room: Room,
    gates: dict[str, threading.Event],
) -> None:
    room.open()
    room.widget.inputs.load_profile(write_expression(room.folder / "slow.csv", ("slide",)))
    room.widget.run_when_ready()
    assert not room.widget.session.running
    gates["slow.csv"].set()
    room.settle()
    assert room.widget.session.prediction.sample == "slide"


def test_a_run_wished_for_without_a_profile_begins_at_once(room: Room) -> None:
    room.open()
    room.widget.jobs.start(lambda: iter(()), returned=lambda _: None, errored=lambda _: None)
    room.widget.run_when_ready()
    assert room.widget.session.running


def test_an_error_beside_a_run_does_not_end_it(
    room: Room,
    gate: threading.Event,
    gates: dict[str, threading.Event],
) -> None:
    room.open()
    started(room)
    stage = room.widget.panel.runs.stage.text()
    gates["nothing.csv"].set()
    room.widget.inputs.load_profile(room.folder / "nothing.csv")
    room.until(lambda: room.widget.panel.error.isVisibleTo(room.widget))
    assert room.widget.session.running
    assert room.widget.panel.runs.stage.text() == stage
    gate.set()
    room.settle()
    assert room.widget.session.prediction.partial == 1


def test_cancel_ends_the_run_alone(room: Room, gate: threading.Event, gates: dict[str, threading.Event]) -> None:
    room.open()
    started(room)
    room.widget.inputs.load_profile(write_expression(room.folder / "slow.csv", ("slide",)))
    room.widget.cancel()
    gates["slow.csv"].set()
    room.settle()
    assert room.widget.session.choices.sample == "slide"


def test_an_export_takes_the_slide_of_its_result(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    exported: list[tuple] = []

    def fake_export(*given: object, allow_names: bool) -> Generator[Progress, None, list[Path]]:
        exported.append(given)
        yield Progress("exporting", 0, 0, "files")
        return [room.folder / "out" / "figure.png"]

    monkeypatch.setattr(job, "export", fake_export)
    room.open()
    room.open("silent.tif")
    room.widget.panel.slide.slides.setCurrentText("slide")
    room.widget.run()
    room.settle()
    room.widget.panel.slide.slides.setCurrentText("silent")
    room.widget.exports.export(room.folder)
    room.settle()
    ((prediction, path, *_),) = exported
    assert prediction.slide.name == "slide"
    assert path == room.folder / "slide.tif"
    assert "Written to" in room.widget.panel.runs.stage.text()


def test_another_slide_chosen_during_a_run_gets_nothing_of_it(room: Room, gate: threading.Event) -> None:
    room.open()
    room.open("oblong.tif")
    room.widget.panel.slide.slides.setCurrentText("slide")
    room.widget.run()
    room.widget.panel.slide.slides.setCurrentText("oblong")
    room.until(lambda: room.layer(layers.MAP) is not None)
    tissue = room.layer(layers.TISSUE)
    assert tissue.name == "tissue · slide"
    assert tuple(tissue.extent.world[1]) == pytest.approx(((1600 - 0.5) * MPP, (2100 - 0.5) * MPP), rel=0.02)
    assert room.widget.panel.runs.stage.text().startswith("slide: ")
    gate.set()
    room.settle()
    ours = [layer.metadata[layers.TAG]["slide"] for layer in room.viewer.layers if layers.TAG in layer.metadata]
    assert ours.count(room.widget.session.choices.slide.identity) == 1


def test_closing_another_slide_than_the_runs_lets_it_go_on(room: Room, gate: threading.Event) -> None:
    first = room.open()
    second = room.open("oblong.tif")
    room.widget.panel.slide.slides.setCurrentText("slide")
    started(room)
    room.widget.panel.slide.slides.setCurrentText("oblong")
    room.viewer.layers.remove(second)
    assert room.widget.session.running
    room.viewer.layers.remove(first)
    assert not room.widget.session.running


SQUARE = np.array([[0, 0], [0, 100], [100, 100], [100, 0]], float)


def test_drawn_tissue_stays_with_its_slide(room: Room) -> None:
    room.open()
    room.open("oblong.tif")
    room.widget.panel.slide.slides.setCurrentText("slide")
    panel = room.widget.panel
    drawing = room.viewer.add_shapes(name="mine", units=("um", "um"))
    panel.slide.slides.setCurrentText("oblong")
    drawing.add_polygons([SQUARE])
    panel.slide.tissue.setCurrentText("mine")
    assert panel.slide.tissue.currentText() == "mine"
    panel.slide.slides.setCurrentText("slide")
    assert panel.slide.tissue.currentText() == "detect"
    assert "was drawn on oblong" in panel.error.sentence.text()
    panel.slide.tissue.setCurrentText("mine")
    assert panel.slide.tissue.currentText() == "detect"
    request = room.widget.session.begin(room.widget.tissue.drawn())
    assert request.drawn is None


def test_results_of_another_pixel_size_go_and_drawings_stay_on_their_pixels(room: Room) -> None:
    room.open("silent.tif")
    room.widget.give_mpp(0.25)
    drawing = room.viewer.add_shapes([SQUARE], shape_type="polygon", name="mine", units=("um", "um"))
    room.widget.run()
    room.settle()
    assert room.layer(layers.MAP) is not None
    room.widget.give_mpp(0.5)
    room.settle()
    assert room.layer(layers.MAP) is room.layer(layers.TISSUE) is room.layer(layers.TOP) is None
    assert room.widget.session.prediction is None
    assert not room.widget.panel.result.isVisibleTo(room.widget)
    assert "results were removed" in room.widget.panel.runs.stage.text()
    assert tuple(drawing.extent.world[1]) == pytest.approx((200, 200), abs=2)


def test_a_run_with_another_pixel_size_is_given_up(room: Room, gate: threading.Event) -> None:
    room.open("silent.tif")
    room.widget.give_mpp(0.25)
    started(room)
    room.widget.give_mpp(0.5)
    assert not room.widget.session.running
    assert "pixel size was changed" in room.widget.panel.runs.stage.text()
    gate.set()
    room.settle()
    assert room.layer(layers.MAP) is None
    assert room.widget.session.prediction is None


def test_lattices_of_an_earlier_run_go(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    def on_two_lattices(request: object) -> Generator[Progress, None, object]:
        yield Progress("GiMP forward pass", 1, 1, "step")
        corners = np.array([(400 * k, 400 * k + 100 * (k % 2)) for k in range(4)], np.int64)
        facts = request.slide
        return prediction_of(facts, PatchGrid(corners, (400.0, 400.0), (400.0, 400.0), facts.shape_yx, facts.mpp_yx))

    def lattices() -> set[int]:
        tags = [layer.metadata.get(layers.TAG, {}) for layer in room.viewer.layers]
        return {tag["lattice"] for tag in tags if tag.get("role") == layers.MAP}

    room.open()
    monkeypatch.setattr(job, "analyse", on_two_lattices)
    room.widget.run()
    room.settle()
    assert lattices() == {0, 1}
    monkeypatch.setattr(job, "analyse", fake_analysis())
    room.widget.run()
    room.settle()
    assert lattices() == {0}


def type_mpp(room: Room, text: str) -> None:
    field = room.widget.panel.slide.mpp
    field.selectAll()
    QTest.keyClicks(field, text)
    QTest.keyClick(field, Qt.Key.Key_Return)


def test_the_pixel_size_of_the_file_can_be_overridden_and_that_is_said(room: Room) -> None:
    layer, panel = room.open(), room.widget.panel
    assert panel.slide.mpp.isVisibleTo(panel)
    assert panel.slide.mpp.value() == pytest.approx(MPP, abs=1e-4)
    QTest.keyClick(panel.slide.mpp, Qt.Key.Key_Return)
    assert slide_of(layer).facts.mpp_yx == pytest.approx((MPP, MPP), rel=1e-5)
    type_mpp(room, "0.3")
    assert tuple(layer.scale) == (0.3, 0.3)
    assert "0.3 um per pixel as given by the user (before: 0.263" in panel.slide.facts.text()
    room.widget.run()
    room.settle()
    assert room.widget.session.prediction.slide.mpp_yx == (0.3, 0.3)


@pytest.mark.parametrize("typed", ["50", "0.01", "0"])
def test_a_pixel_size_that_no_slide_has_is_refused_and_not_made_to_fit(room: Room, typed: str) -> None:
    layer, panel = room.open(), room.widget.panel
    type_mpp(room, typed)
    assert (
        panel.error.sentence.text() == f"Expected 0.05 to 20.0 um per pixel, found {typed} x {typed}; check the unit."
    )
    assert panel.slide.mpp.value() == pytest.approx(MPP, abs=1e-4)
    assert tuple(layer.scale) == pytest.approx((MPP, MPP), rel=1e-5)


def test_what_is_typed_as_pixel_size_stays_while_something_else_changes(room: Room) -> None:
    room.open()
    field = room.widget.panel.slide.mpp
    field.selectAll()
    QTest.keyClicks(field, "0.4")
    room.widget.session.change(device="cpu")
    assert field.text().startswith("0.4")
    room.viewer.layers.clear()
    assert not field.isVisibleTo(room.widget)


def test_a_sample_that_is_typed_must_be_in_the_file(room: Room) -> None:
    room.open()
    room.widget.inputs.load_profile(write_expression(room.folder / "two.csv", ("slide", "other")))
    room.settle()
    samples, session = room.widget.panel.profile.samples, room.widget.session
    samples.lineEdit().selectAll()
    QTest.keyClicks(samples.lineEdit(), "TCGA-99")
    QTest.keyClick(samples.lineEdit(), Qt.Key.Key_Return)
    assert session.choices.sample is None
    assert "found 'TCGA-99'" in room.widget.panel.profile.facts.text()
    assert not room.widget.panel.runs.start.isEnabled()
    samples.lineEdit().selectAll()
    QTest.keyClicks(samples.lineEdit(), "slide")
    QTest.keyClick(samples.lineEdit(), Qt.Key.Key_Return)
    assert session.choices.sample == "slide"


def test_a_profile_that_cannot_be_read_is_not_passed_over_in_silence(room: Room) -> None:
    room.open()
    room.widget.inputs.load_profile(room.folder / "none.csv")
    room.settle()
    assert "none.csv could not be read" in room.widget.panel.runs.reason.text()
    assert not room.widget.panel.runs.start.isEnabled()
    room.widget.panel.profile.file.line.clear()
    assert room.widget.panel.runs.start.isEnabled()
