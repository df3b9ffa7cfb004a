"""The navigator in a real window without the panel: mouse, keys, buttons; what stands where on the screen."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms
from plugin_cases import write_slide
from plugin_room import a_viewer
from qtpy.QtCore import QPointF, Qt
from qtpy.QtGui import QAction, QKeySequence
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QDialog, QPushButton

from napari_gimp.plugin import layers
from napari_gimp.plugin.host import slide_of
from napari_gimp.plugin.regions.drawn import rescale
from napari_gimp.plugin.slide.navigation import ACTS, AS_SCANNED, KEYS, History, Orientation
from napari_gimp.plugin.wiring.navigator import Navigator
from napari_gimp.slides.colour import IccToSrgb

pytestmark = pytest.mark.window
MPP = 0.5
SHAPE = (1600, 2600)
RED, BLUE, GREEN = (255, 0, 0), (0, 0, 255), (0, 255, 0)
MARK, CELL = (400, 600), 200
"""Corner of a red square, and its side, in slide pixels."""


def tissue_picture() -> np.ndarray:
    """Glass with a red square, and two pieces like stained tissue, the larger one at the bottom right."""
    pixels = np.full((*SHAPE, 3), 245, np.uint8)
    pixels[MARK[0] : MARK[0] + CELL, MARK[1] : MARK[1] + CELL] = RED
    pixels[900:1400, 1500:2300] = (170, 90, 160)
    return pixels


def sequence_of(key: str) -> QKeySequence:
    """napari's notation -> Qt's."""
    return QKeySequence(key.replace("Control", "Ctrl").replace("-", "+"))


@dataclass
class Window:
    viewer: object
    dock: Navigator
    folder: Path

    def until(self, true: Callable[[], bool], seconds: float = 15.0) -> None:
        end = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < end, "waited in vain"
            QApplication.processEvents()
            time.sleep(0.002)

    def rest(self) -> None:
        """Until the view was taken as a place to come back to and no answer is awaited."""
        QTest.qWait(20)
        self.until(lambda: not any(t.isActive() for t in (self.dock._soon, self.dock._rest, self.dock._moving)))
        self.until(lambda: not self.dock.errands.busy)

    def open(self, name: str) -> object:
        self.viewer.open(str(self.folder / name), plugin="napari-gimp")
        self.rest()
        return self.viewer.layers[-1]

    def press(self, name: str) -> None:
        """Click the button of an act."""
        QTest.mouseClick(self.button(name), Qt.MouseButton.LeftButton)
        self.rest()

    def button(self, name: str) -> QPushButton:
        return self.dock.findChild(QPushButton, f"navigator.{name.replace(' ', '-')}")

    def key(self, name: str) -> None:
        """Press the key of an act on the canvas."""
        pressed = sequence_of(next(act.key for act in ACTS if act.name == name))
        QTest.keyClick(self.viewer.window._qt_viewer.canvas.native, pressed[0].key(), pressed[0].keyboardModifiers())
        self.rest()

    @property
    def um_per_px(self) -> float:
        return 1 / self.viewer.scene.camera.zoom

    def text(self, name: str) -> str:
        return getattr(self.dock.face, name).text()


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory, qapp: QApplication) -> Iterator[Window]:
    folder = tmp_path_factory.mktemp("slides")
    write_slide(folder / "marked.tif", tissue_picture(), mpp=MPP)
    write_slide(folder / "small.tif", tissue_picture()[:800, :1200], mpp=0.25)
    write_slide(folder / "silent.tif", tissue_picture()[:800, :1200], mpp=None)
    with a_viewer() as viewer:
        viewer.window.resize(1280, 800)
        _, dock = viewer.window.add_plugin_dock_widget("napari-gimp", "GiMP: move on the slide")
        dock._rest.setInterval(100)
        yield Window(viewer, dock, folder)


@pytest.fixture
def empty(window: Window) -> Window:
    window.viewer.layers.clear()
    window.dock.eye.turn(AS_SCANNED)
    window.rest()
    return window


@pytest.fixture
def room(window: Window) -> Window:
    """The marked slide as it is first seen, alone; opened again only when it is not there."""
    for layer in [layer for layer in window.viewer.layers if layer.name != "marked"]:
        window.viewer.layers.remove(layer)
    if not len(window.viewer.layers):
        window.viewer.open(str(window.folder / "marked.tif"), plugin="napari-gimp")
    window.dock.eye.turn(AS_SCANNED)
    window.dock._now.history = History()
    window.viewer.reset_view()
    window.rest()
    return window


def test_keys_are_none_of_naparis_own(window: Window) -> None:
    from napari.utils.key_bindings import coerce_keybinding
    from napari.utils.shortcuts import default_shortcuts

    theirs = {str(coerce_keybinding(key)) for keys in default_shortcuts.values() for key in keys}
    ours = {str(coerce_keybinding(key)) for key in KEYS}
    assert len(ours) == len(KEYS)
    assert not ours & theirs
    actions = window.viewer.window._qt_window.findChildren(QAction)
    menus = {shortcut.toString() for action in actions for shortcut in action.shortcuts()}
    assert not {sequence_of(key).toString() for key in KEYS} & menus
    assert KEYS.items() <= window.dock.desk.keys.items()


def test_without_a_slide_nothing_can_be_asked_for(empty: Window) -> None:
    assert not any(button.isEnabled() for button in empty.dock.face.buttons.values())
    assert "Open a slide" in empty.text("slide")
    empty.key("fit")


def test_buttons_have_tooltips_with_units_and_keys(window: Window) -> None:
    for act in ACTS:
        tip = window.button(act.name).toolTip()
        assert "Key: " in tip
    assert "8 µm per screen pixel" in window.button("magnify 1.25").toolTip()


@pytest.mark.parametrize(("power", "um"), [("1.25", 8), ("10", 1), ("40", 0.25)])
def test_a_button_sets_the_magnification(room: Window, power: str, um: float) -> None:
    middle = room.dock.eye.place.centre_yx
    room.press(f"magnify {power}")
    assert room.um_per_px == pytest.approx(um)
    assert room.dock.eye.place.centre_yx == pytest.approx(middle)
    assert f"{um:.3g}" in room.text("scale").replace("8.00", "8").replace("1.00", "1")


def test_keys_on_the_canvas_magnify_and_fit(room: Window) -> None:
    room.key("magnify 20")
    assert room.um_per_px == pytest.approx(0.5)
    assert room.text("scale") == "20.0× · 0.500 µm per screen px"
    room.key("fit")
    assert room.um_per_px > 1
    height, width = room.dock.eye.window_px
    assert width * room.um_per_px >= SHAPE[1] * MPP
    assert height * room.um_per_px >= SHAPE[0] * MPP


def test_a_click_on_the_minimap_jumps_and_a_drag_moves(room: Window) -> None:
    room.press("magnify 20")
    face = room.dock.face.map
    assert face.has_picture
    target = face.point((0.25, 0.75)).toPoint()
    QTest.mouseClick(face, Qt.MouseButton.LeftButton, pos=target)
    room.rest()
    found = room.dock.eye.place.centre_yx
    reach = SHAPE[1] * MPP / face.frame.width()
    np.testing.assert_allclose(found, (0.25 * SHAPE[0] * MPP, 0.75 * SHAPE[1] * MPP), atol=reach)
    QTest.mousePress(face, Qt.MouseButton.LeftButton, pos=target)
    moved = room.dock.eye.place.centre_yx
    assert moved == pytest.approx(found, abs=1e-6)
    for step in range(1, 6):
        QTest.mouseMove(face, face.point((0.25 + 0.1 * step, 0.75)).toPoint())
        QTest.qWait(10)
    QTest.mouseRelease(face, Qt.MouseButton.LeftButton, pos=face.point((0.75, 0.75)).toPoint())
    room.rest()
    np.testing.assert_allclose(room.dock.eye.place.centre_yx, (0.75 * SHAPE[0] * MPP, found[1]), atol=2 * reach)
    assert room.um_per_px == pytest.approx(0.5)


def test_arrow_keys_on_the_minimap_step_by_half_a_view(room: Window) -> None:
    room.press("magnify 40")
    y, x = room.dock.eye.place.centre_yx
    QTest.keyClick(room.dock.face.map, Qt.Key.Key_Left)
    room.rest()
    np.testing.assert_allclose(room.dock.eye.place.centre_yx, (y, x - room.dock.eye.window_px[1] * 0.25 / 2), atol=0.01)


def test_the_minimaps_frame_is_what_the_window_shows(room: Window) -> None:
    room.press("magnify 20")
    (top, left), (bottom, right) = room.dock.face.map.seen
    height, width = room.viewer.canvas.size
    assert bottom - top == pytest.approx(height * 0.5 / (SHAPE[0] * MPP))
    assert right - left == pytest.approx(width * 0.5 / (SHAPE[1] * MPP))
    room.viewer.scene.camera.center = (100.0, 200.0)
    room.rest()
    (top, left), _ = room.dock.face.map.seen
    assert top == pytest.approx((100 + MPP / 2 - height * 0.25) / (SHAPE[0] * MPP))


def test_the_cursor_is_said_in_um(room: Window) -> None:
    room.viewer.cursor.position = (123.4, 456.2)
    room.rest()
    assert room.text("cursor") == "cursor x 456 µm · y 124 µm"


def test_back_and_forward_by_key(room: Window) -> None:
    room.press("magnify 40")
    assert room.button("back").isEnabled()
    assert not room.button("forward").isEnabled()
    room.viewer.scene.camera.center = (100.0, 100.0)
    room.rest()
    room.key("back")
    assert room.dock.eye.place.centre_yx != pytest.approx((100, 100), abs=1)
    room.key("forward")
    assert room.dock.eye.place.centre_yx == pytest.approx((100, 100))
    for _ in range(2):
        room.key("back")
    assert room.um_per_px > 1
    assert not room.button("back").isEnabled()


def test_pieces_of_tissue_are_found_on_demand_the_largest_first(room: Window) -> None:
    room.key("next piece")
    middle = (1150 * MPP, 1900 * MPP)
    np.testing.assert_allclose(room.dock.eye.place.centre_yx, middle, atol=20)
    assert room.text("status") == "Piece 2 of 2."
    assert room.um_per_px < SHAPE[1] * MPP / room.dock.eye.window_px[1]
    room.press("next piece")
    np.testing.assert_allclose(room.dock.eye.place.centre_yx, (500 * MPP, 700 * MPP), atol=20)
    assert room.text("status") == "Piece 1 of 2."


def place_on_screen(picture: np.ndarray, colour: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Middle and size of what has a colour on a picture of the canvas."""
    rows, columns = np.nonzero(np.abs(picture[..., :3].astype(int) - colour).max(axis=2) < 60)
    assert len(rows), "nothing of this colour is seen"
    return (
        np.array([np.ptp(rows) / 2 + rows.min(), np.ptp(columns) / 2 + columns.min()]),
        np.array([np.ptp(rows) + 1, np.ptp(columns) + 1]),
    )


def where_it_should_be(room: Window, point_yx_px: tuple[float, float], picture: np.ndarray, done: str) -> np.ndarray:
    """A slide pixel on the screen, worked out from camera and names of the turns alone."""
    y, x = ((p - 0.5) * MPP for p in point_yx_px)
    camera = room.viewer.scene.camera
    centre, order = np.asarray(camera.center)[-2:], room.viewer.dims.order
    cy, cx = centre if order == (0, 1) else centre[::-1]
    down, right = (y - cy, x - cx)
    step = {
        "turn": lambda v, h: (h, -v),
        "mirror": lambda v, h: (v, -h),
        "upend": lambda v, h: (-v, h),
    }
    for name in done.split():
        down, right = step[name](down, right)
    return np.array([down, right]) * camera.zoom + np.array(picture.shape[:2]) / 2


@pytest.mark.parametrize("done", ["turn", "turn turn", "mirror", "upend", "turn mirror"])
def test_a_turned_slide_has_its_map_on_the_same_pixels(room: Window, done: str) -> None:
    """A red square of the slide and the map cell that covers it are found at the same place of the screen."""
    cells = np.full((SHAPE[0] // CELL, SHAPE[1] // CELL), np.nan, np.float32)
    cells[MARK[0] // CELL, MARK[1] // CELL] = 1
    over = room.viewer.add_image(
        cells, colormap="green", contrast_limits=(0, 1), interpolation2d="nearest",
        **layers.placement((0, 0), (CELL, CELL), (MPP, MPP)),
    )  # fmt: skip
    for name in done.split():
        room.press(name)
    room.press("fit")
    found = []
    for visible, colour in ((False, RED), (True, GREEN)):
        over.visible = visible
        QTest.qWait(150)
        picture = room.viewer.screenshot(canvas_only=True, flash=False)
        found.append(place_on_screen(picture, colour))
    (slide_at, slide_size), (map_at, map_size) = found
    assert np.abs(slide_at - map_at).max() <= 1
    assert np.abs(slide_size - map_size).max() <= 1
    wanted = where_it_should_be(room, (MARK[0] + CELL / 2, MARK[1] + CELL / 2), picture, done)
    assert np.abs(map_at - wanted).max() <= 2
    assert room.dock.eye.stands.words() == {
        "turn": "turned by 90°", "turn turn": "turned by 180°", "mirror": "mirrored",
        "upend": "mirrored, turned by 180°", "turn mirror": "mirrored, turned by 270°",
    }[done]  # fmt: skip
    np.testing.assert_array_equal(room.viewer.layers[0].affine.affine_matrix, np.eye(3))
    room.press("upright")
    assert room.dock.eye.stands == AS_SCANNED


def test_the_minimap_turns_with_the_slide_and_still_leads_there(room: Window) -> None:
    room.press("turn")
    room.press("magnify 40")
    face = room.dock.face.map
    assert face.frame.height() > face.frame.width()
    QTest.mouseClick(face, Qt.MouseButton.LeftButton, pos=face.point((0.25, 0.75)).toPoint())
    room.rest()
    reach = SHAPE[1] * MPP / face.frame.height()
    np.testing.assert_allclose(
        room.dock.eye.place.centre_yx, (0.25 * SHAPE[0] * MPP, 0.25 * SHAPE[1] * MPP), atol=2 * reach
    )
    assert room.text("stands") == "The slide is turned by 90°."


def test_a_patch_is_found_on_a_turned_slide(room: Window) -> None:
    room.press("turn")
    room.dock.desk.canvas.go_to((100.0, 300.0), 30.0)
    assert room.dock.eye.place.centre_yx == pytest.approx((100, 300))


def test_turning_keeps_the_middle_of_the_view(room: Window) -> None:
    room.press("magnify 20")
    room.viewer.scene.camera.center = (120.0, 310.0)
    room.rest()
    for name in ("turn", "mirror", "upend", "turn"):
        room.key(name)
        assert room.dock.eye.place.centre_yx == pytest.approx((120, 310))


def test_several_slides_are_followed_each_as_it_was_left(room: Window) -> None:
    first = room.viewer.layers[0]
    room.press("turn")
    second = room.open("small.tif")
    room.viewer.layers.selection.active = second
    room.rest()
    assert room.text("slide") == "small"
    assert room.dock.eye.stands == AS_SCANNED
    assert not room.button("back").isEnabled()
    room.press("magnify 40")
    room.viewer.layers.selection.active = first
    room.rest()
    assert room.text("slide") == "marked"
    assert room.dock.eye.stands == Orientation().turned()
    room.viewer.layers.remove(first)
    room.rest()
    assert room.text("slide") == "small"
    assert list(room.dock._known) == [slide_of(second).facts.identity]


def test_a_slide_of_unknown_pixel_size_has_no_magnification(empty: Window) -> None:
    empty.open("silent.tif")
    assert not empty.button("magnify 10").isEnabled()
    assert "no magnification" in empty.text("slide")
    assert empty.text("scale").endswith("slide px per screen px")
    before = empty.um_per_px
    empty.key("magnify 10")
    assert empty.um_per_px == before
    empty.press("fit")
    empty.press("ruler")
    assert empty.viewer.layers[-1].name == "ruler · silent"


def drag(window: Window, start: tuple[int, int], end: tuple[int, int]) -> None:
    """A line from one pixel of the canvas (x, y) to another."""
    canvas = window.viewer.window._qt_viewer.canvas.native
    points = [QPointF(*(a + (b - a) * k / 4 for a, b in zip(start, end, strict=True))).toPoint() for k in range(5)]
    QTest.mousePress(canvas, Qt.MouseButton.LeftButton, pos=points[0])
    for point in points:
        QTest.mouseMove(canvas, point)
        QTest.qWait(20)
    QTest.mouseRelease(canvas, Qt.MouseButton.LeftButton, pos=points[-1])
    window.rest()


def test_a_drawn_line_says_its_length_also_after_the_pixel_size_changes(room: Window) -> None:
    room.press("magnify 10")
    room.key("ruler")
    assert "Ruler" in room.text("status")
    drag(room, (200, 200), (350, 400))
    ruler = room.viewer.layers[-1]
    assert ruler.name == "ruler · marked"
    assert list(ruler.features["length"]) == ["250 µm"]
    assert room.text("scale").startswith("10.0×")  # the line was drawn, the slide not moved
    old = slide_of(room.viewer.layers[0]).facts
    rescale(ruler, old, replace(old, mpp_yx=(1.0, 1.0)))
    assert list(ruler.features["length"]) == ["500 µm"]
    rescale(ruler, replace(old, mpp_yx=(1.0, 1.0)), replace(old, mpp_yx=(4.0, 4.0)))
    assert list(ruler.features["length"]) == ["2.00 mm"]
    rescale(ruler, replace(old, mpp_yx=(4.0, 4.0)), old)
    assert ruler.text.values[0] == "250 µm"
    room.key("ruler")
    assert ruler.mode == "pan_zoom"
    room.press("ruler")
    assert ruler.mode == "add_line"
    assert sum(layer.name.startswith("ruler") for layer in room.viewer.layers) == 1


def test_a_ruler_is_no_tissue_and_stays_thin_on_the_screen(room: Window) -> None:
    from napari_gimp.plugin.host import drawn_names

    room.press("ruler")
    drag(room, (200, 200), (350, 400))
    assert drawn_names(room.viewer) == []
    for power in ("2.5", "40"):
        room.press(f"magnify {power}")
        ruler = room.viewer.layers[-1]
        assert 1.5 < ruler.edge_width[0] * ruler.scale[0] / room.um_per_px < 4


@pytest.fixture
def coloured(empty: Window) -> Window:
    """A slide whose profile is not sRGB: reddish primaries, so that every colour changes."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    swapped = bytearray(profile)
    red, green = swapped.index(b"rXYZ"), swapped.index(b"gXYZ")
    swapped[red : red + 4], swapped[green : green + 4] = b"gXYZ", b"rXYZ"
    pixels = np.random.default_rng(0).integers(0, 255, (2300, 2500, 3), np.uint8)
    path = empty.folder / "profiled.tif"
    with tifffile.TiffWriter(path) as tif:
        options = {"tile": (256, 256), "photometric": "rgb", "compression": "zlib", "iccprofile": bytes(swapped)}
        size = {"resolution": (2e4, 2e4), "resolutionunit": "CENTIMETER"}
        tif.write(pixels, description="", subifds=1, **options, **size)
        tif.write(pixels[::2, ::2], subfiletype=1, **options, **size)
    empty.open("profiled.tif")
    return empty


def test_colours_are_corrected_when_asked_and_stay_lazy(coloured: Window) -> None:
    layer, box = coloured.viewer.layers[0], coloured.dock.face.colours
    slide = slide_of(layer)
    raw, lowest = np.asarray(layer.data[0][:64, :64]), np.asarray(layer.data[-1])
    assert box.isEnabled()
    assert not box.isChecked()
    QTest.mouseClick(box, Qt.MouseButton.LeftButton)
    coloured.rest()
    coloured.rest()
    convert = IccToSrgb(slide.icc_profile)
    assert np.abs(convert(raw).astype(int) - raw).max() > 50
    np.testing.assert_array_equal(np.asarray(layer.data[0][:64, :64]), convert(raw))
    assert not isinstance(layer.data[0], np.ndarray)
    shown = np.asarray(layer.data[-1])
    height, width = slide.facts.level_shapes_yx[-1]
    np.testing.assert_array_equal(shown[:height, :width], convert(lowest[:height, :width]))
    assert slide.facts.identity == slide_of(layer).facts.identity
    np.testing.assert_array_equal(np.asarray(slide.levels[0][:64, :64]), raw)  # what is computed with
    QTest.mouseClick(box, Qt.MouseButton.LeftButton)
    coloured.rest()
    np.testing.assert_array_equal(np.asarray(layer.data[0][:64, :64]), raw)
    assert not box.isChecked()


def test_corrected_tiles_go_with_their_slide(coloured: Window) -> None:
    from napari_gimp.slides.tiles import SlideError

    slide = slide_of(coloured.viewer.layers[0])
    QTest.mouseClick(coloured.dock.face.colours, Qt.MouseButton.LeftButton)
    coloured.rest()
    levels = slide.srgb_levels
    coloured.viewer.layers.clear()
    coloured.rest()
    with pytest.raises(SlideError, match="closed"):
        np.asarray(levels[0][:4, :4])


def test_a_slide_without_a_profile_says_so(room: Window) -> None:
    assert not room.dock.face.colours.isEnabled()
    assert "no ICC profile" in room.dock.face.colours.toolTip()
    assert not room.dock.face.images.isEnabled()


def test_the_label_is_read_and_shown_only_when_asked_for(room: Window) -> None:
    slide, read = slide_of(room.viewer.layers[0]), []
    label = np.full((40, 90, 3), (0, 0, 200), np.uint8)
    slide._source.associated["label"] = lambda: read.append("label") or label
    slide.facts = replace(slide.facts, associated=("label",))
    room.viewer.layers.selection.clear()
    room.rest()
    QTest.mouseClick(room.dock.face.images, Qt.MouseButton.LeftButton)
    window = room.dock.findChild(QDialog, "slide-images")
    assert "may show the patient's name" in window.warning.text()
    assert "label" not in read
    assert window.picture.pixmap().isNull()
    QTest.mouseClick(window.findChild(QPushButton, "slide-images.label"), Qt.MouseButton.LeftButton)
    room.until(lambda: not window.picture.pixmap().isNull())
    shown = window.picture.pixmap().toImage()
    assert (shown.width(), shown.height()) == (90, 40)
    assert abs(shown.pixelColor(5, 5).blue() - 200) < 8
    window.close()
    room.until(lambda: room.dock.findChild(QDialog, "slide-images") is None)


def test_a_dock_that_is_closed_takes_its_keys_and_listeners_along(room: Window) -> None:
    """Another viewer keeps nothing of a navigator that was closed in it, and stays usable."""
    with a_viewer() as viewer:
        viewer.window.resize(1280, 800)
        viewer.open(str(room.folder / "marked.tif"), plugin="napari-gimp")
        viewer.reset_view()
        _, dock = viewer.window.add_plugin_dock_widget("napari-gimp", "GiMP: move on the slide")
        QTest.qWait(300)
        desk = dock.desk
        assert dock.eye.sees_all(dock._facts)  # although the dock took of the canvas
        assert KEYS.items() <= desk.keys.items()
        heard = len(desk.session.changed)
        viewer.window.remove_dock_widget(dock.parent())
        dock.parent().deleteLater() if dock.parent() is not None else dock.deleteLater()
        del dock
        for _ in range(5):
            QApplication.sendPostedEvents(None, 52)  # deferred deletions
            QApplication.processEvents()
            gc.collect()
        assert not KEYS.keys() & desk.keys.keys()
        assert not viewer.keymap
        assert len(desk.session.changed) == heard - 1
        viewer.scene.camera.zoom = 0.3
        viewer.layers.clear()
        QTest.qWait(100)


def test_a_small_real_slide_has_label_and_macro(empty: Window, shared: Path) -> None:
    empty.viewer.open(str(shared / "slides" / "CMU-1-Small-Region.svs"), plugin="napari-gimp")
    empty.rest()
    assert empty.dock.face.images.isEnabled()
    empty.key("next piece")
    assert empty.text("status").startswith("Piece ")
    assert Image.MAX_IMAGE_PIXELS is None or empty.dock.face.map.has_picture
