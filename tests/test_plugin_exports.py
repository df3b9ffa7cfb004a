"""The report and the export, asked for by button: what is in sight stands in them, and nobody's name."""

from pathlib import Path

import pytest
from napari.layers import Layer
from plugin_room import Room, open_room, open_window  # noqa: F401 fixtures
from qtpy.QtCore import Qt
from shapely.geometry import box

from napari_gimp.plugin.panel import results
from napari_gimp.plugin.regions.annotations import shapes_layer
from napari_gimp.regions import Region

LEFT = Qt.MouseButton.LeftButton


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(results, "ask_folder", lambda *args, **how: str(tmp_path))
    return tmp_path


def run(room: Room) -> None:
    room.open()
    room.widget.run()
    room.settle()


def test_the_report_holds_regions_marks_and_the_map_in_sight(room: Room, folder: Path, qtbot: object) -> None:
    run(room)
    prediction, result = room.widget.session.prediction, room.widget.panel.result
    drawn = shapes_layer([Region(box(0, 0, 900, 900), "nest 7")], prediction.slide, "mine")
    room.viewer.add_layer(Layer.create(*drawn))
    corner = [int(value) for value in prediction.grid.coords_yx[0]]
    room.widget.desk.marks[prediction.slide.identity] = [
        {"yx": corner, "size_yx": list(prediction.grid.size_yx_px), "label": "necrosis here"}
    ]
    result.choose_map("error")
    room.settle()
    assert all(part.isVisibleTo(room.widget) for part in (result.report, result.export, result.names))
    qtbot.mouseClick(result.report, LEFT)
    room.settle()
    assert not room.widget.panel.error.isVisibleTo(room.widget), room.widget.panel.error.sentence.text()
    text = (folder / "report.html").read_text(encoding="utf-8")
    for words in ("nest 7", "necrosis here", "reconstruction error"):
        assert words in text
    assert (folder / "report.pdf").read_bytes().startswith(b"%PDF")
    assert f"Written to {folder}" in room.widget.panel.runs.stage.text()
    room.widget.desk.marks.clear()


def test_names_leave_the_window_only_when_the_box_is_ticked(room: Room, folder: Path, qtbot: object) -> None:
    run(room)
    result = room.widget.panel.result
    qtbot.mouseClick(result.export, LEFT)
    room.settle()
    (veiled,) = list(folder.iterdir())
    assert veiled.name.startswith("case-")
    assert "slide.tif" not in (veiled / "prediction.json").read_text()
    result.names.setChecked(True)
    qtbot.mouseClick(result.export, LEFT)
    room.settle()
    assert (folder / "slide" / "prediction.json").is_file()
    result.names.setChecked(False)


def test_a_partial_result_is_not_written(room: Room) -> None:
    run(room)
    result = room.widget.panel.result
    result.set_whole(False)
    assert not result.report.isEnabled()
    assert not result.export.isEnabled()
    result.set_whole(True)
