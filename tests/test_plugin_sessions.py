"""Sessions in a real window: saved while it is worked in, killed, reopened, moved, opened twice."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from napari.layers import Shapes
from plugin_cases import CLASSES, FACTS, checker, write_expression, write_slide
from plugin_room import SHAPE, Room, open_room, open_window  # noqa: F401 fixtures
from qtpy.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from qtpy.QtGui import QDragEnterEvent, QDropEvent
from qtpy.QtWidgets import QApplication, QFileDialog, QMenu

from napari_gimp.cli.slides import view as view_command
from napari_gimp.plugin import inputs, layers
from napari_gimp.plugin.cases import keeping
from napari_gimp.plugin.host import slide_of
from napari_gimp.plugin.sessions import restoring
from napari_gimp.plugin.sessions.autosave import autosave_of
from napari_gimp.plugin.sessions.sessionfile import read_session
from napari_gimp.plugin.sessions.sessionlock import Lock, lock_path
from napari_gimp.plugin.wiring.sessions import get_session_reader, restore
from napari_gimp.settings import InputError
from napari_gimp.types import MapSettings
from napari_gimp.types.whatif import GeneEdit, WhatIf

pytestmark = pytest.mark.window
SQUARE = np.array([[10, 20], [10, 90], [60, 90], [60, 20]], float)


@pytest.fixture
def folder(room: Room, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A slide of its own for each test, and results that are found by the slide alone: no checkpoint is real here."""
    monkeypatch.setattr(keeping, "key_of", lambda request: f"{request.slide.identity}{request.choices.sample}" * 3)
    monkeypatch.setattr(keeping.job, "the_pipeline", lambda: iter(()))
    monkeypatch.setattr(keeping, "tissue_of", lambda request: None)
    write_slide(tmp_path / "case.tif", checker(SHAPE, 100))
    room.widget.session.change(cache=tmp_path / "cache" / "bags")
    yield tmp_path
    room.widget.desk.marks.clear()
    close_slides(room)
    room.settle()


def opened(room: Room, folder: Path) -> Path:
    """The window with a slide in it that is being saved; the file that its session goes to."""
    saving = autosave_of(room.widget.desk)
    room.viewer.open(str(folder / "case.tif"), plugin="napari-gimp")
    room.viewer.add_shapes([SQUARE], name="tumour", shape_type="polygon", units=("um", "um"))
    room.until(lambda: saving.path is not None and saving.path.exists())
    return saving.path


def saved(room: Room, path: Path, true: object) -> dict[str, object]:
    """The file's content once it is as it should be."""
    found: dict[str, object] = {}

    def holds() -> bool:
        with suppress(ValueError):
            found.update(json.loads(path.read_text()))
        return bool(found and true(found))

    room.until(holds)
    return found


def close_slides(room: Room) -> None:
    room.viewer.layers.clear()
    room.until(lambda: autosave_of(room.widget.desk).path is None)


def test_looking_at_a_slide_makes_no_file_and_drawing_does(room: Room, folder: Path) -> None:
    autosave_of(room.widget.desk)
    room.viewer.open(str(folder / "case.tif"), plugin="napari-gimp")
    end = time.monotonic() + 1.5
    room.until(lambda: time.monotonic() > end)
    assert not list(folder.glob("*.gimp.json"))
    room.viewer.add_shapes([SQUARE], shape_type="polygon")
    room.until(lambda: (folder / "case.gimp.json").exists())


def test_everything_comes_back(room: Room, folder: Path) -> None:
    room.viewer.open(str(folder / "case.tif"), plugin="napari-gimp")
    saving, widget, desk = autosave_of(room.widget.desk), room.widget, room.widget.desk
    panel, identity = widget.panel, widget.session.choices.slide.identity
    widget.inputs.load_profile(write_expression(folder / "genes.csv", ("S1", "S2")))
    panel.model.device.setCurrentText("cpu")
    panel.model.maps.set_value(MapSettings(repeats=7))
    room.settle()
    widget.inputs.match_sample("S2")
    widget.run()
    room.settle()
    panel.result.choose_map("error")
    room.settle()
    drawing = room.viewer.add_shapes(
        [SQUARE, SQUARE + 50],
        shape_type=["polygon", "ellipse"],
        name="regions",
        features={"name": ["a", "b"], "classification": ["Tumor", "Stroma"]},
        units=("um", "um"),
    )
    desk.marks[identity] = [{"yx": [0, 0], "size_yx": [10.0, 10.0], "label": "tumour"}]
    desk.what_if = WhatIf((GeneEdit("GENE1", "silence"),))
    room.viewer.scene.camera.orientation2d = ("up", "left")
    room.layer(layers.MAP).gamma = 1.7
    room.layer(layers.TISSUE).visible = False
    room.viewer.scene.camera.center, room.viewer.scene.camera.zoom = (50.0, 60.0), 3.5
    drawn = [np.array(each) for each in drawing.data]
    path = folder / "case.gimp.json"
    room.until(path.exists)
    saved(room, path, lambda found: found["marks"] and found["view"]["zoom"] == 3.5)
    close_slides(room)
    widget.inputs.load_profile(None)
    panel.model.maps.set_value(MapSettings())
    panel.model.device.setCurrentText("auto")
    desk.marks.clear()
    widget.session.drop_result()
    desk.what_if = WhatIf()
    room.viewer.scene.camera.orientation2d = ("down", "right")

    restore(room.viewer, path)
    room.settle()
    room.until(lambda: room.viewer.scene.camera.zoom == 3.5)
    assert saving.path == path
    assert slide_of(room.viewer.layers[0]).path == folder / "case.tif"
    assert panel.profile.file.path == folder / "genes.csv"
    assert panel.profile.samples.currentText() == "S2"
    assert widget.session.choices.sample == "S2"
    assert panel.model.device.currentText() == "cpu"
    assert widget.session.choices.maps.repeats == 7
    assert panel.model.maps.value().repeats == 7
    assert CLASSES[1] in panel.result.headline.text()
    assert panel.result.chosen_map == "error"
    assert room.layer(layers.MAP).metadata["key"] == "error"
    assert room.layer(layers.MAP).gamma == pytest.approx(1.7)
    back = next(layer for layer in room.viewer.layers if layer.name == "regions")
    assert room.viewer.layers.index(back) > room.viewer.layers.index(room.layer(layers.MAP))
    assert back.shape_type == ["polygon", "ellipse"]
    for old, new in zip(drawn, back.data, strict=True):
        np.testing.assert_allclose(np.asarray(new) * back.scale, old, atol=1e-6)
    assert list(back.features["classification"]) == ["Tumor", "Stroma"]
    assert desk.marks[identity][0]["label"] == "tumour"
    assert desk.what_if == WhatIf((GeneEdit("GENE1", "silence"),))
    assert [str(getattr(side, "value", side)) for side in room.viewer.scene.camera.orientation2d] == ["up", "left"]
    room.viewer.scene.camera.orientation2d = ("down", "right")
    desk.what_if = WhatIf()
    assert tuple(room.viewer.scene.camera.center)[-2:] == (50.0, 60.0)
    assert not list(folder.glob("* (2)*"))
    content = saved(room, path, lambda found: len(found["regions"]) == 1)
    assert content["map"]["key"] == "error"


def test_a_session_is_dropped_on_the_window(room: Room, folder: Path) -> None:
    path = opened(room, folder)
    close_slides(room)
    data, viewer = QMimeData(), room.viewer.window._qt_viewer
    data.setUrls([QUrl.fromLocalFile(str(path))])
    buttons, keys = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    QApplication.sendEvent(viewer, QDragEnterEvent(QPoint(5, 5), Qt.DropAction.CopyAction, data, buttons, keys))
    QApplication.sendEvent(viewer, QDropEvent(QPointF(5, 5), Qt.DropAction.CopyAction, data, buttons, keys))
    room.until(lambda: any(layer.name == "tumour" for layer in room.viewer.layers))


def test_the_menu_opens_a_session_and_goes_on_with_that_of_the_slide(
    room: Room, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = opened(room, folder)
    close_slides(room)
    actions = {a.text(): a for menu in room.viewer.window._qt_window.findChildren(QMenu) for a in menu.actions()}
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *args, **kwargs: (str(path), ""))
    next(action for text, action in actions.items() if "open session" in text).trigger()
    room.until(lambda: any(layer.name == "tumour" for layer in room.viewer.layers))
    close_slides(room)
    autosave_of(room.widget.desk)._told.clear()
    room.viewer.open(str(folder / "case.tif"), plugin="napari-gimp")
    room.until(lambda: "earlier session" in room.widget.panel.runs.stage.text())
    assert len(room.viewer.layers) == 1
    next(action for text, action in actions.items() if "continue the session" in text).trigger()
    room.until(lambda: any(layer.name == "tumour" for layer in room.viewer.layers))
    assert autosave_of(room.widget.desk).path == path


def test_an_earlier_session_is_left_alone_by_a_fresh_look(room: Room, folder: Path) -> None:
    path = opened(room, folder)
    close_slides(room)
    before = path.read_bytes()
    second = opened(room, folder)
    assert second.name == "case (2).gimp.json"
    assert path.read_bytes() == before


def test_another_slide_in_its_place_begins_another_session(room: Room, folder: Path) -> None:
    path = opened(room, folder)
    room.viewer.layers.clear()
    room.open()
    room.until(lambda: autosave_of(room.widget.desk).path is None)
    state = read_session(path).state
    assert [slide.path.name for slide in state.slides] == ["case.tif"]
    assert len(state.regions) == 1
    assert not list(folder.glob("* (2)*"))


def test_a_session_opened_over_another_one_leaves_both_whole(room: Room, folder: Path) -> None:
    path = opened(room, folder)
    close_slides(room)
    write_slide(folder / "other.tif", checker((800, 900), 100))
    saving = autosave_of(room.widget.desk)
    room.viewer.open(str(folder / "other.tif"), plugin="napari-gimp")
    room.viewer.add_shapes([SQUARE], name="stroma", shape_type="polygon")
    room.until(lambda: saving.path is not None and saving.path.exists())
    other = saving.path
    restore(room.viewer, path)
    room.settle()
    room.viewer.add_shapes([SQUARE], name="more", shape_type="polygon")
    saved(room, path, lambda found: len(found["regions"]) == 2)
    names = {place.name: [each.name for each in read_session(place).state.regions] for place in (path, other)}
    assert names == {"case.gimp.json": ["tumour", "more"], "other.gimp.json": ["stroma"]}
    assert len(list(folder.glob("*.gimp.json"))) == 2
    assert not lock_path(other).exists()


def test_a_session_opened_while_another_one_comes_back_keeps_its_drawings(
    room: Room, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = opened(room, folder)
    close_slides(room)
    write_slide(folder / "other.tif", checker((800, 900), 100))
    room.viewer.open(str(folder / "other.tif"), plugin="napari-gimp")
    room.viewer.add_shapes([SQUARE], name="stroma", shape_type="polygon")
    saving = autosave_of(room.widget.desk)
    room.until(lambda: saving.path is not None and saving.path.exists())
    second = saving.path
    close_slides(room)
    gate, rebuilt = threading.Event(), restoring._rebuilt

    def slow(*args: object) -> object:
        gate.wait(20)
        return (yield from rebuilt(*args))

    monkeypatch.setattr(restoring, "_rebuilt", slow)
    restore(room.viewer, first)
    restore(room.viewer, second)
    gate.set()
    room.settle()
    assert [layer.name for layer in room.viewer.layers if isinstance(layer, Shapes)] == ["stroma"]
    close_slides(room)
    assert [each.name for each in read_session(first).state.regions] == ["tumour"]
    assert [each.name for each in read_session(second).state.regions] == ["stroma"]


def test_a_slide_that_does_not_open_leaves_the_session_free(
    room: Room, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = opened(room, folder)
    close_slides(room)
    before = path.read_bytes()

    def refuse(*args: object, **kwargs: object) -> None:
        raise InputError("case.tif: expected a slide, found damage.")

    with monkeypatch.context() as patched:
        patched.setattr(type(room.viewer), "open", refuse)
        restore(room.viewer, path)
    assert "found damage" in room.widget.panel.error.sentence.text()
    assert not lock_path(path).exists()
    assert path.read_bytes() == before


def test_a_session_that_another_window_has_is_saved_beside_it(room: Room, folder: Path) -> None:
    path = opened(room, folder)
    close_slides(room)
    other = Lock(path)
    before = path.read_bytes()
    restore(room.viewer, path)
    room.settle()
    assert autosave_of(room.widget.desk).path.name == "case (2).gimp.json"
    assert "open in another window" in room.widget.panel.runs.stage.text()
    room.viewer.add_shapes([SQUARE], name="more", shape_type="polygon")
    saved_path = folder / "case (2).gimp.json"
    room.until(saved_path.exists)
    saved(room, saved_path, lambda found: len(found["regions"]) == 2)
    assert path.read_bytes() == before
    other.release()


def test_a_moved_slide_is_asked_for_and_another_one_refused(
    room: Room, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = opened(room, folder)
    close_slides(room)
    (folder / "archive").mkdir()
    moved = (folder / "case.tif").rename(folder / "archive" / "moved.tif")
    write_slide(folder / "other.tif", checker((700, 900), 100))
    answers = [str(folder / "other.tif"), str(moved)]
    heard: list[str] = []

    def answer(*args: object, **kwargs: object) -> tuple[str, str]:
        heard.append(room.widget.panel.error.sentence.text())
        return answers.pop(0), ""

    monkeypatch.setattr(QFileDialog, "getOpenFileName", answer)
    restore(room.viewer, path)
    room.settle()
    assert "no file" in heard[0]
    assert "another one" in heard[1]
    assert slide_of(room.viewer.layers[0]).path == moved
    assert any(layer.name == "tumour" for layer in room.viewer.layers)
    saved(room, path, lambda found: found["slides"][0]["path"] == str(moved))


def test_a_slide_that_is_nowhere_costs_nothing_but_a_sentence(
    room: Room, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = opened(room, folder)
    close_slides(room)
    (folder / "case.tif").unlink()
    before = read_session(path).state.regions
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *args, **kwargs: ("", ""))
    restore(room.viewer, path)
    room.settle()
    assert "was not found" in room.widget.panel.error.sentence.text()
    assert not lock_path(path).exists()
    assert read_session(path).state.regions == before
    room.open()
    assert room.widget.panel.runs.start.isEnabled()


def test_a_checkpoint_that_is_gone_is_said_and_stays_in_the_file(
    room: Room, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = opened(room, folder)
    content = saved(room, path, lambda found: found["checkpoint"])
    close_slides(room)
    content["checkpoint"] = {"path": str(folder / "gone"), "demo": False}
    path.write_text(json.dumps(content))

    def refuse(place: Path) -> object:
        if place.name == "gone":
            raise InputError(f"{place}: expected a checkpoint, found nothing there.")
        return FACTS

    monkeypatch.setattr(inputs, "read_facts", refuse)
    restore(room.viewer, path)
    room.settle()
    assert "gone: expected a checkpoint" in room.widget.panel.error.sentence.text()
    assert room.widget.panel.model.folder.path == folder / "gone"
    room.viewer.add_shapes([SQUARE], name="more", shape_type="polygon")
    after = saved(room, path, lambda found: len(found["regions"]) == 2)
    assert after["checkpoint"]["path"] == str(folder / "gone")
    room.widget.panel.model.kind.setCurrentText("synthetic demo model")
    assert room.widget.session.why_not == ""


def test_a_damaged_session_is_opened_and_the_old_file_kept(room: Room, folder: Path) -> None:
    path = opened(room, folder)
    close_slides(room)
    text = path.read_text()
    path.write_text(text.replace('"map": {', '"map": {{'))
    restore(room.viewer, path)
    room.settle()
    said = room.widget.panel.runs.stage.text()
    assert "damaged" in said
    (aside,) = folder.glob("*.damaged-*")
    assert aside.name in said
    assert any(layer.name == "tumour" for layer in room.viewer.layers)
    room.viewer.add_shapes([SQUARE], name="more", shape_type="polygon")
    saved(room, path, lambda found: len(found["regions"]) == 2)


def test_no_session_is_a_sentence_and_the_window_stays(room: Room, folder: Path) -> None:
    opened(room, folder)
    (folder / "bad.gimp.json").write_text("no")
    restore(room.viewer, folder / "bad.gimp.json")
    assert "expected a session" in room.widget.panel.error.sentence.text()
    assert any(layer.name == "tumour" for layer in room.viewer.layers)


def test_the_reader_declines_cheaply(tmp_path: Path) -> None:
    assert get_session_reader(str(tmp_path / "none.gimp.json")) is None
    assert get_session_reader(["a.gimp.json", "b.gimp.json"]) is None
    (tmp_path / "a.json").write_text("{}")
    assert get_session_reader(str(tmp_path / "a.json")) is None


def test_the_command_line_takes_no_options_beside_a_session(tmp_path: Path) -> None:
    path = tmp_path / "a.gimp.json"
    path.write_text("{}")
    with pytest.raises(InputError, match="brings its own"):
        view_command(path, mpp=0.5)


@pytest.fixture(scope="module", autouse=True)
def other_window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """A second window, in a process of its own, that works on a slide while the other tests run."""
    folder = tmp_path_factory.mktemp("killed")
    write_slide(folder / "case.tif", checker(SHAPE, 100))
    script = Path(__file__).with_name("session_window.py")
    call = [sys.executable, "-W", "ignore", str(script), str(folder / "case.tif"), str(folder / "cache")]
    window = subprocess.Popen(call, stdout=subprocess.PIPE, text=True)
    yield window, folder
    if window.poll() is None:
        window.kill()
        window.communicate()


def test_after_a_kill_nothing_older_than_five_seconds_is_lost(
    room: Room, folder: Path, other_window: tuple[subprocess.Popen[str], Path]
) -> None:
    window, place = other_window
    path = place / "case.gimp.json"
    room.until(lambda: path.exists() and len(json.loads(path.read_text())["regions"][0]["features"]) > 5, 60)
    killed = time.time()
    window.send_signal(signal.SIGKILL)
    said, _ = window.communicate()
    drawn = [float(line) for line in said.split()]
    assert lock_path(path).exists()
    restore(room.viewer, path)
    room.settle()
    assert autosave_of(room.widget.desk).path == path
    (layer,) = [layer for layer in room.viewer.layers if layer.name == "drawn"]
    back = [float(name) for name in layer.features["name"]]
    assert len(back) >= sum(at < killed - 5 for at in drawn)
    assert killed - max(back) < 5
