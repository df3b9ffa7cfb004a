"""The regions dock in a real window: drawn with the mouse, named in the table, taken back by key, read and written."""

from __future__ import annotations

import csv
import gc
import json
import weakref
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import shapely
from napari import Viewer
from napari.layers import Labels, Shapes
from napari.utils.key_bindings import coerce_keybinding
from plugin_cases import MPP, grid_of, prediction_of
from plugin_room import Room, open_room, open_window  # noqa: F401  (fixtures)
from qtpy.QtCore import QEvent, QPoint, Qt
from qtpy.QtWidgets import QApplication, QFileDialog, QLineEdit, QMenu, QPushButton
from shapely.geometry import box
from superqt import QCollapsible

from napari_gimp.plugin.regions.regionclasses import PALETTE
from napari_gimp.plugin.regions.regionkeeper import REDO, UNDO
from napari_gimp.plugin.regions.regionrows import RegionMemory
from napari_gimp.plugin.wiring.regions import Regions
from napari_gimp.regions import Region, read_geojson, read_imagescope, write_geojson, write_imagescope

pytestmark = pytest.mark.window
NAME, CLASS, AREA, PATCHES = range(4)
RING = box(200, 200, 1000, 900).difference(box(400, 470, 600, 600))


class Bench:
    """The dock beside the slide, with hands."""

    def __init__(self, room: Room, dock: Regions, bot: object) -> None:
        self.room, self.dock, self.bot = room, dock, bot
        self.viewer, self.table = room.viewer, dock.face.table
        self.canvas = room.viewer.window._qt_viewer.canvas.native

    def settle(self) -> None:
        """Until the table shows what is drawn."""
        QApplication.processEvents()
        self.room.settle()
        self.room.until(lambda: not self.dock.files.busy)
        self.dock._timer.stop()
        self.dock.refresh()
        self.room.until(lambda: not self.dock.errands.busy)

    def screen(self, x_px: float, y_px: float) -> QPoint:
        """Where a place of the slide, in its pixels, is on the canvas."""
        camera = self.viewer.scene.camera
        y, x = (np.array([y_px, x_px]) * MPP - np.asarray(camera.center)[-2:]) * camera.zoom
        return QPoint(round(self.canvas.width() / 2 + x), round(self.canvas.height() / 2 + y))

    def drag(self, *corners: tuple[float, float]) -> None:
        """Press at the first place, pass the others, release at the last."""
        points = [self.screen(*corner) for corner in corners]
        self.bot.mousePress(self.canvas, Qt.MouseButton.LeftButton, pos=points[0])
        for start, end in pairwise(points):
            for k in range(1, 7):
                self.bot.mouseMove(self.canvas, start + (end - start) * k / 6)
                self.bot.wait(4)
        self.bot.mouseRelease(self.canvas, Qt.MouseButton.LeftButton, pos=points[-1])
        self.settle()

    def press(self, name: str) -> None:
        button = self.dock.findChild(QPushButton, f"regions.{name}")
        assert button.isEnabled()
        self.bot.mouseClick(button, Qt.MouseButton.LeftButton)

    def tool(self, menu: QMenu, word: str) -> None:
        """Choose an entry of a menu, as a click on it does."""
        next(action for action in menu.actions() if word in action.text()).trigger()

    def cell(self, row: int, column: int) -> str:
        return self.table.item(row, column).text()

    def column(self, column: int) -> list[str]:
        return [self.cell(row, column) for row in range(self.table.rowCount())]

    def click(self, row: int, column: int, twice: bool = False) -> None:
        place = self.table.visualItemRect(self.table.item(row, column)).center()
        self.bot.mouseClick(self.table.viewport(), Qt.MouseButton.LeftButton, pos=place)
        if twice:
            self.bot.mouseDClick(self.table.viewport(), Qt.MouseButton.LeftButton, pos=place)

    def key(self, key: Qt.Key, shift: bool = False) -> None:
        held = Qt.KeyboardModifier.ControlModifier
        self.bot.keyClick(self.canvas, key, held | Qt.KeyboardModifier.ShiftModifier if shift else held)
        self.settle()

    def layers(self) -> list[object]:
        return self.dock.keeper.layers(self.dock.keeper.slide)


@pytest.fixture(scope="module", name="docked")
def open_dock(window: Room) -> Regions:
    _, dock = window.viewer.window.add_plugin_dock_widget("napari-gimp", "GiMP: draw and measure regions")
    return dock


@pytest.fixture(name="bench")
def open_bench(room: Room, docked: Regions, qtbot: object) -> Iterator[Bench]:
    room.open()
    docked.parent().show()
    docked.parent().raise_()
    room.settle()
    room.viewer.reset_view()
    docked.face.notes.setText("")
    bench = Bench(room, docked, qtbot)
    bench.settle()
    yield bench
    docked.keeper.draw_as(None, "")


def with_result(room: Room) -> None:
    facts = room.widget.session.choices.slide
    found = prediction_of(facts, grid_of(facts.shape_yx))
    support = np.stack([np.ones(len(found.grid)), -np.arange(len(found.grid))]).astype(np.float32)
    room.widget.session.accept(replace(found, class_support=support), None)


def test_without_a_region_the_dock_says_what_to_do(bench: Bench) -> None:
    assert bench.table.rowCount() == 0
    assert "draw one, or import" in bench.dock.face.words.text()
    assert not bench.dock.face.save.isEnabled()
    bench.room.viewer.layers.clear()
    bench.settle()
    assert bench.dock.face.words.text().startswith("Open a slide")
    assert not bench.dock.face.freehand.isEnabled()


def test_a_region_is_drawn_with_the_mouse_and_measured(bench: Bench) -> None:
    bench.press("draw")
    bench.drag((300, 300), (1300, 300), (1300, 1100), (300, 1100), (300, 320))
    assert bench.column(NAME) == ["region 1"]
    assert float(bench.cell(0, AREA)) == pytest.approx(1000 * 800 * MPP**2 / 1e6, rel=0.03)
    (layer,) = bench.layers()
    assert layer is bench.viewer.layers.selection.active
    with_result(bench.room)
    bench.settle()
    assert bench.table.columnCount() == 2 + 8
    row = bench.dock.rows[0]
    centres = shapely.points(np.asarray(bench.dock._result.grid.coords_yx)[:, ::-1] + 64 / MPP)
    assert bench.cell(0, PATCHES) == str(shapely.contains(row.region.polygon, centres).sum())
    assert bench.cell(0, 2 + 5) == "+1"


def test_the_table_follows_while_a_region_is_moved(bench: Bench) -> None:
    bench.tool(bench.dock.face.tool.menu(), "Rectangle")
    bench.drag((300, 300), (800, 700))
    area = bench.cell(0, AREA)
    bench.tool(bench.dock.face.tool.menu(), "Move")
    shown = []
    start, end = bench.screen(550, 500), bench.screen(1050, 500)
    bench.bot.mousePress(bench.canvas, Qt.MouseButton.LeftButton, pos=start)
    for k in range(1, 13):
        bench.bot.mouseMove(bench.canvas, start + (end - start) * k / 12)
        bench.bot.wait(20)
        shown.append(bench.dock.rows[0].region.polygon.bounds[0])
    bench.bot.mouseRelease(bench.canvas, Qt.MouseButton.LeftButton, pos=end)
    bench.settle()
    assert len(set(shown)) > 1, "the table waited for the mouse to be released"
    assert bench.dock.rows[0].region.polygon.bounds[0] == pytest.approx(800, abs=8)
    assert bench.cell(0, AREA) == area


def test_undo_and_redo_by_key_and_button(bench: Bench) -> None:
    bench.tool(bench.dock.face.tool.menu(), "Rectangle")
    bench.drag((300, 300), (800, 700))
    bench.drag((1000, 300), (1500, 700))
    bench.tool(bench.dock.face.tool.menu(), "Move")
    bench.drag((1250, 500), (1250, 900))
    moved = bench.dock.rows[1].region.polygon
    assert moved.bounds[1] == pytest.approx(700, abs=8)
    bench.key(Qt.Key.Key_Z)
    assert bench.dock.rows[1].region.polygon.bounds[1] == pytest.approx(300, abs=8)
    assert bench.column(NAME) == ["region 1", "region 2"]
    bench.key(Qt.Key.Key_Z)
    assert bench.column(NAME) == ["region 1"]
    bench.key(Qt.Key.Key_Z, shift=True)
    bench.press("redo")
    bench.settle()
    assert bench.dock.rows[1].region.polygon.equals(moved)
    assert not bench.dock.face.redo.isEnabled()
    for _ in range(3):
        bench.press("undo")
        bench.settle()
    assert bench.table.rowCount() == 0
    assert not bench.dock.face.undo.isEnabled()


def test_name_and_class_are_typed_in_the_table(bench: Bench) -> None:
    bench.tool(bench.dock.face.tool.menu(), "Ellipse")
    bench.drag((300, 300), (900, 700))
    (layer,) = bench.layers()
    type_in(bench, 0, NAME, "nest")
    assert list(layer.features["name"]) == ["nest"]
    type_in(bench, 0, CLASS, "Tumor")
    assert list(layer.features["classification"]) == ["Tumor"]
    assert colour_of(layer, 0) == PALETTE["blue"]
    type_in(bench, 0, CLASS, "Granuloma")
    assert "Granuloma" in bench.dock.keeper.classes.names
    assert colour_of(layer, 0) not in (PALETTE["blue"], (255, 193, 7))
    bench.key(Qt.Key.Key_Z)
    assert bench.cell(0, CLASS) == "Tumor"
    assert colour_of(layer, 0) == PALETTE["blue"]
    bench.key(Qt.Key.Key_Z)
    bench.key(Qt.Key.Key_Z)
    assert (bench.cell(0, CLASS), bench.cell(0, NAME)) == ("", "region 1")


def type_in(bench: Bench, row: int, column: int, text: str) -> None:
    bench.click(row, column, twice=True)
    line = next(line for line in bench.table.viewport().findChildren(QLineEdit) if line.isVisible())
    line.selectAll()
    bench.bot.keyClicks(line, text)
    bench.bot.keyClick(line, Qt.Key.Key_Return)
    bench.settle()
    assert bench.cell(row, column) == text


def colour_of(layer: object, shape: int) -> tuple[int, ...]:
    return tuple(round(255 * float(value)) for value in layer.edge_color[shape][:3])


def test_what_is_drawn_next_is_of_the_chosen_class(bench: Bench) -> None:
    choice = bench.dock.face.as_class
    choice.setCurrentText("Stroma")
    choice.textActivated.emit("Stroma")
    bench.tool(bench.dock.face.tool.menu(), "Rectangle")
    bench.drag((300, 300), (800, 700))
    assert bench.column(CLASS) == ["Stroma"]
    assert colour_of(bench.layers()[0], 0) == PALETTE["yellow"]


def test_a_click_on_a_row_goes_there_and_delete_removes_it(bench: Bench, tmp_path: Path) -> None:
    write_geojson(tmp_path / "three.geojson", [Region(box(x, 100, x + 60, 160), f"r{x}") for x in (100, 900, 1700)])
    bench.dock.load(tmp_path / "three.geojson")
    bench.settle()
    bench.click(1, AREA)
    y, x = np.asarray(bench.viewer.scene.camera.center)[-2:] / MPP
    assert (y, x) == pytest.approx((130, 930), abs=2)
    assert bench.layers()[0].selected_data == {1}
    bench.press("delete")
    bench.settle()
    assert bench.column(NAME) == ["r100", "r1700"]
    bench.press("undo")
    bench.settle()
    assert sorted(bench.column(NAME)) == ["r100", "r1700", "r900"]
    bench.click(0, AREA)
    bench.bot.keyClick(bench.table, Qt.Key.Key_Delete)
    bench.settle()
    assert sorted(bench.column(NAME)) == ["r1700", "r900"]
    bench.bot.keyClick(bench.table, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    bench.settle()
    assert sorted(bench.column(NAME)) == ["r100", "r1700", "r900"]


def test_what_is_selected_on_the_slide_is_marked_in_the_table(bench: Bench) -> None:
    bench.tool(bench.dock.face.tool.menu(), "Rectangle")
    bench.drag((300, 300), (800, 700))
    bench.drag((1000, 300), (1500, 700))
    bench.tool(bench.dock.face.tool.menu(), "Move")
    bench.bot.mouseClick(bench.canvas, Qt.MouseButton.LeftButton, pos=bench.screen(550, 500))
    bench.settle()
    assert bench.table.chosen_rows() == [0]


def test_exports_hold_the_slides_name_only_when_asked(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_geojson(tmp_path / "in.geojson", [Region(RING, "ring in SLIDE.tif", "Tumor", (1, 2, 3))])
    bench.dock.load(tmp_path / "in.geojson")
    bench.settle()
    entries = {
        "geojson": ("QuPath", '"slide": "slide"'),
        "xml": ("ImageScope", 'Name="slide"'),
        "csv": ("CSV", "slide,region"),
    }
    for with_name in (False, True):
        folder = tmp_path / str(with_name)
        monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_, at=folder: (str(at / "out"), ""))
        bench.dock.face.named.setChecked(with_name)
        for kind, (entry, told) in entries.items():
            bench.tool(bench.dock.face.save.menu(), entry)
            bench.settle()
            text = (folder / f"out.{kind}").read_text(encoding="utf-8")
            assert (told in text, "SLIDE.tif" in text) == (with_name, with_name)
            assert str(tmp_path) not in text
    bench.dock.face.named.setChecked(False)
    (row,) = csv.DictReader((folder / "out.csv").read_text(encoding="utf-8").splitlines())
    assert float(row["area_mm2"]) == pytest.approx(RING.area * MPP**2 / 1e6, rel=1e-4)
    for back in (*read_geojson(folder / "out.geojson"), *read_imagescope(folder / "out.xml").regions):
        assert back.polygon.symmetric_difference(RING).area < 1
        assert len(back.polygon.interiors) == 1
        assert (back.classification, back.colour) == ("Tumor", (1, 2, 3))


def test_import_says_what_does_not_fit_and_keeps_it(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "far.xml"
    write_imagescope(path, [Region(box(9e4, 9e4, 9.1e4, 9.1e4), "far"), Region(RING, "here")], 0.5)
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(path), ""))
    bench.press("import")
    bench.settle()
    assert sorted(bench.column(NAME)) == ["far", "here"]
    notes = bench.dock.face.notes.text()
    assert "1 of 2 regions lie outside the slide" in notes
    assert "0.5 µm a pixel, the slide 0.263" in notes


BAD_FILES = [
    ("a.xml", "<html/>", "found <html>"),
    ("a.geojson", '{"type": "Point", "coordinates": [1, 2]}', "expected a Polygon"),
    ("b.geojson", "{", "not JSON"),
    ("c.txt", "Tumor: 3", "found neither"),
]


def test_bad_files_and_closed_folders_are_one_sentence_in_the_dock(bench: Bench, tmp_path: Path) -> None:
    for name, text, sentence in BAD_FILES:
        (tmp_path / name).write_text(text, encoding="utf-8")
        bench.dock.load(tmp_path / name)
        bench.settle()
        assert sentence in bench.dock.face.notes.text()
        assert not bench.layers()
    write_geojson(tmp_path / "in.geojson", [Region(RING, "ring")])
    bench.dock.load(tmp_path / "in.geojson")
    bench.settle()
    bench.dock.save("csv", tmp_path / "in.geojson" / "no.csv")
    bench.settle()
    assert "expected to write there" in bench.dock.face.notes.text()
    assert bench.column(NAME) == ["ring"]


def test_files_open_through_napari_and_are_saved_by_it(bench: Bench, tmp_path: Path) -> None:
    write_imagescope(tmp_path / "a.xml", [Region(RING, "of slide.tif", "Tumor", (0, 0, 200))])
    (layer,) = bench.viewer.open(str(tmp_path / "a.xml"), plugin="napari-gimp")
    bench.settle()
    assert bench.column(NAME) == ["of slide.tif"]
    for name, read in (("b.xml", lambda path: read_imagescope(path).regions), ("b.geojson", read_geojson)):
        layer.save(str(tmp_path / name), plugin="napari-gimp")
        (back,) = read(tmp_path / name)
        assert back.polygon.symmetric_difference(RING).area < 1
        assert (back.classification, back.colour) == ("Tumor", (0, 0, 200))
    features = json.loads((tmp_path / "b.geojson").read_text(encoding="utf-8"))["features"]
    assert features[0]["properties"]["metadata"] == {}


def test_classes_are_added_renamed_coloured_and_removed(bench: Bench, tmp_path: Path) -> None:
    write_geojson(tmp_path / "in.geojson", [Region(RING, "a", "Tumor"), Region(box(0, 0, 90, 90), "b", "Tumor")])
    bench.dock.load(tmp_path / "in.geojson")
    bench.settle()
    face, (layer,) = bench.dock.face.classes, bench.layers()
    bench.dock.face.findChild(QCollapsible).expand(animate=False)
    QApplication.processEvents()
    bench.press("class.add")
    QApplication.processEvents()
    bench.room.until(lambda: face.list.viewport().findChild(QLineEdit) is not None)
    line = face.list.viewport().findChild(QLineEdit)
    bench.bot.keyClicks(line, "Lepidic")
    bench.bot.keyClick(line, Qt.Key.Key_Return)
    bench.settle()
    assert "Lepidic" in bench.dock.keeper.classes.names
    face.list.setCurrentRow(bench.dock.keeper.classes.names.index("Tumor"))
    face.list.currentItem().setText("Carcinoma")
    bench.settle()
    assert bench.column(CLASS) == ["Carcinoma", "Carcinoma"]
    bench.tool(face.colour.menu(), "vermillion")
    bench.settle()
    assert [colour_of(layer, k) for k in range(2)] == [PALETTE["vermillion"]] * 2
    face.list.currentItem().setText("Stroma")
    bench.settle()
    assert "not in the list yet" in bench.dock.face.notes.text()
    assert face.current == "Carcinoma"
    face.remove.click()
    bench.settle()
    assert bench.column(CLASS) == ["", ""]
    bench.dock.keeper.classes.add("Tumor")


def test_costly_measuring_goes_to_a_worker(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RegionMemory, "cost_ms", lambda *_: 99.0)
    write_geojson(tmp_path / "in.geojson", [Region(RING, "ring")])
    bench.dock.load(tmp_path / "in.geojson")
    bench.settle()
    bench.room.until(lambda: bench.table.rowCount() == 1)


def test_holes_are_drawn_and_seams_are_not(bench: Bench) -> None:
    from napari_gimp.plugin.regions.annotations import shapes_layer

    facts = bench.dock.keeper.slide
    data, attributes, _ = shapes_layer([Region(RING, "ring", None, (255, 0, 0))], facts, "ring")
    layer = bench.viewer.add_shapes(data, **attributes)
    layer.selected_data = set()
    bench.settle()
    bench.viewer.layers[0].visible = False
    picture = bench.viewer.screenshot(canvas_only=True, flash=False)
    red = (picture[..., 0] > 100) & (picture[..., 1] < 80)

    def near(x: float, y: float) -> bool:
        at = bench.screen(x, y)
        return bool(red[at.y() - 4 : at.y() + 5, at.x() - 4 : at.x() + 5].any())

    seam = (layer.data[0][4] + layer.data[0][6]) / 2 + 0.5
    assert near(200, 500)
    assert near(400, 530)
    assert not near(seam[1], seam[0])


def test_a_polygon_that_shrinks_to_nothing_takes_its_name_along(bench: Bench) -> None:
    bench.tool(bench.dock.face.tool.menu(), "Rectangle")
    bench.drag((300, 300), (800, 700))
    bench.drag((1000, 300), (1500, 700))
    (layer,) = bench.layers()
    layer.add_polygons([np.array([[1000, 300], [1400, 300], [1400, 900]])])
    bench.settle()
    assert bench.column(NAME) == ["region 1", "region 2", "region 3"]
    layer.selected_data = {2}
    layer.mode = "vertex_remove"
    bench.bot.mouseMove(bench.canvas, bench.screen(300, 1400))
    bench.bot.wait(30)
    bench.bot.mouseClick(bench.canvas, Qt.MouseButton.LeftButton, pos=bench.screen(300, 1400))
    bench.settle()
    assert bench.column(NAME) == ["region 1", "region 2"]
    assert len(layer.data) == len(layer.features) == len(layer.edge_color) == 2
    bench.press("undo")
    bench.settle()
    assert bench.column(NAME) == ["region 1", "region 2", "region 3"]


def test_napari_has_the_keys_of_undo_free_on_shapes() -> None:
    ours = {str(coerce_keybinding(key)) for key in (UNDO, REDO)}
    assert ours <= {str(key) for key in Labels.class_keymap}
    assert ours.isdisjoint(str(key) for keymap in (Shapes.class_keymap, Viewer.class_keymap) for key in keymap)


def test_a_closed_dock_is_gone_and_undo_stays(bench: Bench) -> None:
    other = Regions(bench.viewer)
    gone = weakref.ref(other)
    bench.tool(bench.dock.face.tool.menu(), "Rectangle")
    bench.drag((300, 300), (800, 700))
    other.deleteLater()
    del other
    QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    gc.collect()
    assert gone() is None
    bench.key(Qt.Key.Key_Z)
    assert bench.table.rowCount() == 0
