"""The gallery in a real window: picks by any map, jumps, marks by key, the picture sheet; picks and marks alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from plugin_cases import grid_of, prediction_of
from plugin_room import Room, open_room, open_window  # noqa: F401 fixtures
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QFileDialog

from napari_gimp.plugin import layers
from napari_gimp.plugin.patches.gallerywork import Hung, sheet_notes, write_picks
from napari_gimp.plugin.patches.marks import (
    DEFAULT_LABELS,
    LABEL_COLOURS,
    OTHER_COLOUR,
    centres,
    colour_of,
    label_at,
    marked,
    relabelled,
    sound_marks,
    with_labels_of,
)
from napari_gimp.plugin.patches.picks import PickSettings, Ranking, first_patches, pick, rankings
from napari_gimp.plugin.patches.places import MARKS
from napari_gimp.plugin.wiring.gallery import Gallery
from napari_gimp.types import Prediction, SlideFacts


def a_prediction(partial: float = 1.0) -> Prediction:
    grid = grid_of((1600, 2100))
    facts = SlideFacts("case-17", "id", (1600, 2100), ((1600, 2100),), grid.mpp_yx)
    made = prediction_of(facts, grid, partial=partial)
    support = np.random.default_rng(4).normal(size=(2, len(grid))).astype(np.float32)
    return replace(made, class_support=support)


# ---- picks and marks, without a window


def test_every_question_picks_its_end_of_its_map() -> None:
    prediction = a_prediction()
    offered = {ranking.title: ranking for ranking in rankings(prediction)}
    all_of_them = PickSettings(count=96, apart=0)
    support, error = prediction.class_support, prediction.reconstruction_error
    expected = {
        "most attended": -prediction.mean_attention,
        "most for LUAD": support[1] - support[0],
        "most against LUSC": support[1] - support[0],
        "most surprising (largest reconstruction error)": -error,
        "least attended": prediction.mean_attention,
        "highest: attention, head 2": -prediction.attention[-1, 1],
    }
    for title, order in expected.items():
        picks = pick(prediction, offered[title], all_of_them)
        assert list(picks.patches) == np.argsort(order, kind="stable").tolist(), title
    random = [pick(prediction, offered["random, for comparison"], PickSettings(count=6, apart=0)) for _ in range(2)]
    assert random[0].patches == random[1].patches
    assert len(set(random[0].patches)) == 6
    assert pick(prediction, offered["most attended"], PickSettings(count=2)).values[0].endswith("× slide mean")


@given(st.integers(0, 2**16), st.sampled_from([1.5, 2.0, 3.0]), st.integers(1, 12))
def test_patches_that_are_spread_out_are_apart_and_greedy(seed: int, apart: float, count: int) -> None:
    grid = grid_of((2600, 3100))
    values = np.random.default_rng(seed).random(len(grid), np.float32)
    settings = PickSettings(count=count, apart=apart)
    found = first_patches(grid, values, "high", settings)
    slow: list[int] = []
    for patch in np.argsort(-values, kind="stable").tolist():
        far = np.linalg.norm(grid.coords_yx[slow] - grid.coords_yx[patch], axis=1) / grid.size_yx_px[0]
        if len(slow) < count and (far >= apart * (1 - 1e-3)).all():
            slow.append(patch)
    assert found == slow


def test_the_words_of_a_pick_say_what_hangs_there() -> None:
    picks = pick(a_prediction(0.4), Ranking("attention", "high", "most attended"), PickSettings(count=3))
    title = f"Most attended: 3 of {len(picks.prediction.grid)} patches, at least 2 patch sides apart, 128 µm a side"
    assert picks.title == f"{title}; partial result, 40% of the slide's patches"
    assert "the model was trained on synthetic cases: no evidence about patients" in sheet_notes(picks)
    asked = replace(picks.prediction, provenance={"what_if_label": "what-if: TP53 silenced"})
    assert sheet_notes(replace(picks, prediction=asked))[0] == "what-if: TP53 silenced"


def test_marks_are_plain_data_one_label_a_patch() -> None:
    grid = grid_of((1600, 2100))
    marks = marked([], grid, [1, 4], "tumour")
    marks = marked(marks, grid, [4], "stroma")
    assert json.loads(json.dumps(marks)) == marks
    assert [label_at(marks, grid.coords_yx[patch]) for patch in (1, 4, 5)] == ["tumour", "stroma", ""]
    np.testing.assert_allclose(centres(marks)[0], grid.coords_yx[1] + np.asarray(grid.size_yx_px) / 2)
    assert label_at(relabelled(marks, "tumour", "carcinoma"), grid.coords_yx[1]) == "carcinoma"
    assert [mark["label"] for mark in marked(marks, grid, [1], "")] == ["stroma"]
    assert colour_of("stroma", DEFAULT_LABELS) == LABEL_COLOURS[1]
    assert colour_of("gone", DEFAULT_LABELS) == OTHER_COLOUR


def test_marks_of_a_damaged_file_are_taken_as_far_as_they_are_sound() -> None:
    good = {"yx": [1, 2], "size_yx": [8.0, 8.0], "label": "cartilage"}
    bad = [None, {}, {**good, "yx": 3}, {**good, "size_yx": [0, 8]}, {**good, "label": ""}, {**good, "yx": ["a", 2]}]
    marks = sound_marks([*bad, good])
    assert marks == [good]
    assert with_labels_of(DEFAULT_LABELS, marks) == [*DEFAULT_LABELS[:4], "cartilage"]
    assert with_labels_of(["cartilage"], marks) == ["cartilage"]


@pytest.mark.parametrize("named", [False, True])
def test_the_sheet_is_a_picture_that_names_no_slide_unless_wished(
    tmp_path: Path, named: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    from matplotlib.figure import Figure

    said: list[str] = []
    text = Figure.text
    monkeypatch.setattr(Figure, "text", lambda self, x, y, s, **k: (said.append(s), text(self, x, y, s, **k))[1])
    prediction = a_prediction()
    picks = pick(prediction, Ranking("attention", "high", "most attended"), PickSettings(count=4, apart=0))
    pixels = {patch: np.full((64, 64, 3), 40 * k, np.uint8) for k, patch in enumerate(picks.patches[:3])}
    marks = marked([], prediction.grid, picks.patches[:1], "tumour")
    marks = marked(marks, prediction.grid, picks.patches[1:2], "like case-17")
    for _ in write_picks(tmp_path / "a.png", Hung(picks, pixels), marks, DEFAULT_LABELS, named):
        pass
    with Image.open(tmp_path / "a.png") as picture:
        colours = {tuple(pixel) for pixel in np.asarray(picture.convert("RGB")).reshape(-1, 3)[::7]}
        assert picture.text["Description"] == "model output, research use only"
    assert (0, 114, 178) in colours  # the label's
    assert ("case-17" in " ".join(said)) is named
    assert "attention (× slide mean)" in " ".join(said)
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


# ---- the window


@pytest.fixture(name="dock")
def open_dock(window: Room) -> Iterator[Gallery]:
    qt_dock, gallery = window.viewer.window.add_plugin_dock_widget("napari-gimp", "GiMP: compare patches")
    yield gallery
    window.widget.desk.marks.clear()
    window.widget.desk.labels[:] = DEFAULT_LABELS
    window.viewer.window.remove_dock_widget(qt_dock)


def run(room: Room) -> None:
    room.open()
    room.widget.run()
    room.settle()


def words(dock: Gallery) -> list[str]:
    return [dock.face.list.item(row).text() for row in range(dock.face.list.count())]


def click_item(dock: Gallery, qtbot: object, row: int, key: object = Qt.KeyboardModifier.NoModifier) -> None:
    listed = dock.face.list
    listed.scrollToItem(listed.item(row))
    place = listed.visualItemRect(listed.item(row)).center()
    qtbot.mouseClick(listed.viewport(), Qt.MouseButton.LeftButton, key, place)


def labels_shown(dock: Gallery) -> list[str]:
    rows = range(dock.face.list.count())
    return [dock.face.list.item(row).data(Qt.ItemDataRole.UserRole) for row in rows]


@pytest.mark.window
def test_the_first_patches_hang_once_the_result_is_whole(room: Room, dock: Gallery, qtbot: object) -> None:
    assert "Run GiMP" in dock.face.title.text()
    run(room)
    result = room.widget.desk.result
    best = int(result.mean_attention.argmax())
    assert words(dock)[0] == f"1 · {result.mean_attention[best] * len(result.grid):.2f}\n× slide mean"
    assert dock.face.title.text().startswith("Most attended: ")
    icon = dock.face.list.item(0).icon().pixmap(40, 40).toImage()
    assert {icon.pixelColor(20, 20).lightness() < 60 or icon.pixelColor(20, 20).lightness() > 200} == {True}
    dock.face.ranking.setFocus()
    qtbot.keyClick(dock.face.ranking, Qt.Key.Key_Down)
    room.settle()
    surprising = float(result.reconstruction_error.max())
    assert words(dock)[0] == f"1 · {surprising:.3f}\nmean |difference|"


@pytest.mark.window
def test_a_click_goes_there_and_chooses(room: Room, dock: Gallery, qtbot: object) -> None:
    run(room)
    chosen: list[int] = []
    room.widget.desk.patch_chosen.connect(chosen.append)
    click_item(dock, qtbot, 1)
    room.widget.desk.patch_chosen.disconnect(chosen.append)
    patch = dock._hung.picks.patches[1]
    assert chosen == [patch]
    centre = layers.patch_place(room.widget.desk.result, patch)[0]
    np.testing.assert_allclose(np.asarray(room.viewer.scene.camera.center)[-2:], centre)
    room.widget.desk.patch_chosen.emit(dock._hung.picks.patches[0])
    assert dock.face.list.item(0).isSelected()
    room.settle()


@pytest.mark.window
def test_keys_mark_and_the_marks_lie_on_the_slide(room: Room, dock: Gallery, qtbot: object) -> None:
    run(room)
    identity = room.widget.desk.result.slide.identity
    click_item(dock, qtbot, 0)
    click_item(dock, qtbot, 2, Qt.KeyboardModifier.ControlModifier)
    for key in (Qt.Key.Key_3, Qt.Key.Key_2):  # faster than the layer is made
        qtbot.keyClick(dock.face.list, key)
    room.settle()
    assert labels_shown(dock)[:3] == ["stroma", "", "stroma"]
    layer = room.layer(MARKS)
    assert layer.name == "marks · slide"
    assert list(layer.features["label"]) == ["stroma", "stroma"]
    assert list(layer.text.values) == ["\u2003stroma"] * 2
    room.viewer.reset_view()
    assert (layer.size * layer.scale[0] * room.viewer.scene.camera.zoom > 11).all()
    grid, patches = room.widget.desk.result.grid, dock._hung.picks.patches
    middle = grid.coords_yx[patches[0]] + np.asarray(grid.size_yx_px) / 2 - 0.5
    np.testing.assert_allclose(layer.data[0], middle)
    click_item(dock, qtbot, 0)
    qtbot.mouseClick(dock.face.labels.buttons[0], Qt.MouseButton.LeftButton)
    room.settle()
    assert sorted(layer.features["label"]) == ["stroma", "tumour"]
    assert len({tuple(colour) for colour in layer.face_color}) == 2
    assert len(layer.data) == 2
    qtbot.mouseClick(dock.face.labels.rename, Qt.MouseButton.LeftButton)
    line = dock.face.labels.lines[0]
    line.selectAll()
    qtbot.keyClicks(line, "carcinoma")
    qtbot.keyClick(line, Qt.Key.Key_Return)
    room.settle()
    assert "carcinoma" in labels_shown(dock)
    assert dock.face.labels.buttons[0].text() == "1  carcinoma"
    for row in (0, 2):
        click_item(dock, qtbot, row)
        qtbot.keyClick(dock.face.list, Qt.Key.Key_0)
    room.settle()
    assert room.widget.desk.marks[identity] == []
    assert room.layer(MARKS) is None


@pytest.mark.window
def test_marks_come_back_with_their_slide(room: Room, dock: Gallery, qtbot: object) -> None:
    run(room)
    click_item(dock, qtbot, 0)
    qtbot.keyClick(dock.face.list, Qt.Key.Key_1)
    room.settle()
    room.viewer.layers.remove(room.viewer.layers[0])
    room.settle()
    assert room.layer(MARKS) is None
    assert words(dock) == []
    room.open()
    room.settle()
    assert list(room.layer(MARKS).features["label"]) == ["tumour"]
    desk = room.widget.desk
    identity = desk.session.choices.slide.identity
    desk.marks[identity] = [*desk.marks[identity], {"label": "half a mark"}]
    desk.marks_changed.emit(identity)
    room.settle()
    assert len(room.layer(MARKS).data) == len(desk.marks[identity]) == 1


@pytest.mark.window
def test_the_sheet_is_written_where_it_was_asked_for(
    room: Room, dock: Gallery, qtbot: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not dock.face.export.isEnabled()
    run(room)
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *a: (str(tmp_path / "sheet"), ""))
    assert not dock.face.named.isChecked()
    qtbot.mouseClick(dock.face.export, Qt.MouseButton.LeftButton, pos=QPoint(5, 5))
    room.settle()
    with Image.open(tmp_path / "sheet.png") as picture:
        assert min(picture.size) > 500
