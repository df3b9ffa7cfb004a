"""Files dropped on the canvas find their way: profile, checkpoint and embeddings to the panel, a slide to napari."""

from pathlib import Path

import pytest
from napari.qt import QtViewer
from plugin_cases import write_expression
from plugin_room import Room, open_room, open_window  # noqa: F401 fixtures
from qtpy.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from qtpy.QtGui import QDragEnterEvent, QDropEvent
from qtpy.QtWidgets import QApplication

from napari_gimp.plugin.drops import meant_for


def drop(room: Room, *paths: Path) -> None:
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(path)) for path in paths])
    canvas = room.widget.window().findChild(QtViewer)
    rest = Qt.DropAction.CopyAction, data, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    QApplication.sendEvent(canvas, QDragEnterEvent(QPoint(10, 10), *rest))
    QApplication.sendEvent(canvas, QDropEvent(QPointF(10, 10), *rest))


def test_a_name_says_whom_a_path_is_meant_for(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "checkpoint.json").write_text("{}")
    said = {
        name: meant_for(Path(name)) for name in ("a.csv", "B.TSV.GZ", "c.h5ad", "d.h5", "e.svs", "f.gimp.json", "g.zip")
    }
    assert list(said.values()) == ["profile", "profile", "profile", "embeddings", "slide", "", ""]
    assert meant_for(tmp_path / "model") == "checkpoint"
    assert meant_for(tmp_path) == ""


def test_a_profile_is_read_where_it_is_dropped(room: Room, tmp_path: Path) -> None:
    room.open()
    drop(room, write_expression(tmp_path / "genes.csv"))
    room.settle()
    assert room.widget.session.choices.expression is not None
    assert room.widget.panel.profile.file.path == tmp_path / "genes.csv"


def test_embeddings_and_a_checkpoint_are_taken_together(
    room: Room, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tmp_path / "model"
    model.mkdir()
    (model / "checkpoint.json").write_text("{}")
    drop(room, tmp_path / "bag.h5", model)
    assert room.widget.session.choices.bag == tmp_path / "bag.h5"
    assert room.widget.session.choices.checkpoint == model
    room.widget.panel.model.bag.take(Path())
    room.widget.session.change(bag=None)


def test_a_slide_is_opened_without_asking_for_a_reader(room: Room) -> None:
    before = len(room.viewer.layers)
    drop(room, room.folder / "oblong.tif")
    room.settle()
    assert len(room.viewer.layers) == before + 1
    assert room.widget.session.choices.slide.name == "oblong"


def test_what_is_not_ours_is_left_to_napari(room: Room, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    given: list[list[str]] = []
    monkeypatch.setattr(QtViewer, "_qt_open", lambda self, names, **how: given.append(names))
    drop(room, tmp_path / "other.zip", room.folder / "oblong.tif")
    assert given == [[str(tmp_path / "other.zip"), str(room.folder / "oblong.tif")]]
    assert not len(room.viewer.layers)
