"""What goes on beside a run and after it, in a real window: profiles, exports, other slides, another pixel size."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from pathlib import Path

import pytest
from plugin_cases import fake_analysis, write_expression
from plugin_room import Room, open_room, open_window  # noqa: F401 fixtures

from napari_gimp.genes import read_expression
from napari_gimp.plugin import job, layers
from napari_gimp.types import Progress

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
    room.until(lambda: room.layer(layers.ATTENTION) is not None)


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

    def fake_export(*given: object) -> Generator[Progress, None, list[Path]]:
        exported.append(given)
        yield Progress("exporting", 0, 0, "files")
        return [room.folder / "out" / "figure.png"]

    monkeypatch.setattr(job, "export", fake_export)
    room.open()
    room.open("silent.tif")
    room.widget.run()
    room.settle()
    room.widget.panel.slide.slides.setCurrentText("silent")
    room.widget.export(room.folder)
    room.settle()
    ((prediction, path, *_),) = exported
    assert prediction.slide.name == "slide"
    assert path == room.folder / "slide.tif"
    assert "Written to" in room.widget.panel.runs.stage.text()
