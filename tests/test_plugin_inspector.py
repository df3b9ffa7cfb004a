"""The inspector in a real window: numbers under the mouse, pixels of a click, what the model expected, jumps."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator

import numpy as np
import pytest
from plugin_cases import MPP, checker, prediction_of, write_slide
from plugin_room import Room, open_room, open_window  # noqa: F401 fixtures
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QWidget

from napari_gimp.plugin import job, layers
from napari_gimp.plugin.docks.inspector import CHOSEN, CURSOR, EXPECTED_TIP, NOTHING
from napari_gimp.plugin.genes import asking
from napari_gimp.plugin.patches import expected
from napari_gimp.plugin.patches.patchpixels import SlideHandle, read_native, read_thumbnails
from napari_gimp.plugin.patches.places import CHOSEN as CHOSEN_ROLE
from napari_gimp.plugin.session import Request
from napari_gimp.plugin.slide.eye import Eye
from napari_gimp.plugin.slide.navigation import AS_SCANNED
from napari_gimp.plugin.wiring.inspector import Inspector
from napari_gimp.settings import InputError
from napari_gimp.slides import open_slide, read_patch
from napari_gimp.types import Progress

pytestmark = pytest.mark.window


@pytest.fixture(name="dock")
def open_dock(window: Room) -> Iterator[Inspector]:
    """The dock as the menu opens it; closed after the test."""
    qt_dock, inspector = window.viewer.window.add_plugin_dock_widget("napari-gimp", "GiMP: inspect patches")
    yield inspector
    window.viewer.window.remove_dock_widget(qt_dock)


def run(room: Room) -> None:
    room.open()
    room.widget.run()
    room.settle()
    room.viewer.reset_view()


def cells(dock: Inspector, column: int) -> list[str]:
    table = dock.face.numbers
    return [table.item(row, column).text() for row in range(1, table.rowCount(), 2)]


def canvas_of(room: Room) -> QWidget:
    return room.viewer.window._qt_viewer.canvas.native


def screen_place(room: Room, patch: int) -> QPoint:
    grid, camera = room.widget.desk.result.grid, room.viewer.scene.camera
    world = (grid.coords_yx[patch] + np.asarray(grid.size_yx_px) / 2 - 0.5) * np.asarray(grid.mpp_yx)
    y, x = (world - np.asarray(camera.center)[-2:]) * camera.zoom
    return QPoint(round(canvas_of(room).width() / 2 + x), round(canvas_of(room).height() / 2 + y))


def click_patch(room: Room, qtbot: object, patch: int) -> None:
    qtbot.mouseClick(canvas_of(room), Qt.MouseButton.LeftButton, pos=screen_place(room, patch))


def test_without_a_result_it_says_what_to_do(room: Room, dock: Inspector) -> None:
    room.open()
    assert "Run GiMP" in dock.face.notice.text()
    assert "Click a patch" in dock.face.picture.words
    assert dock.face.numbers.rowCount() == 0


def test_hovering_shows_numbers_with_units_and_percentiles(room: Room, dock: Inspector, qtbot: object) -> None:
    run(room)
    result = room.widget.desk.result
    for step in range(100):
        qtbot.mouseMove(canvas_of(room), screen_place(room, 7) + QPoint(step % 3, 0))
        qtbot.wait(40)
        if cells(dock, CURSOR)[0] == f"8 of {len(result.grid)}":
            break
    headings = [dock.face.numbers.item(row, 0).text() for row in range(0, dock.face.numbers.rowCount(), 2)]
    assert headings[1:] == [
        "centre from the top-left corner, x · y (µm)",
        "attention (× slide mean)",
        "reconstruction error (mean |difference|)",
    ]
    attention = result.mean_attention * len(result.grid)
    below = 100 * (attention < attention[7]).sum() / (len(attention) - 1)
    assert cells(dock, CURSOR)[2] == f"{attention[7]:.2f} ({below:.0f} %)"
    assert cells(dock, CHOSEN) == [NOTHING] * 4


def test_a_click_reads_the_patch_at_the_slides_own_resolution(room: Room, dock: Inspector, qtbot: object) -> None:
    run(room)
    click_patch(room, qtbot, 6)
    room.until(lambda: dock.face.picture.image is not None)
    grid = room.widget.desk.result.grid
    assert dock.face.picture.image.width() == round(grid.size_yx_px[0])
    assert dock.face.caption.text() == f"128 × 128 µm, {128 / round(grid.size_yx_px[0]):.3g} µm per pixel"
    assert cells(dock, CHOSEN)[0] == f"7 of {len(grid)}"
    room.settle()
    frame = room.layer(CHOSEN_ROLE)
    np.testing.assert_allclose(frame.data[0], grid.coords_yx[6] + np.asarray(grid.size_yx_px) / 2 - 0.5)
    assert tuple(frame.scale) == pytest.approx((MPP, MPP), rel=1e-5)
    qtbot.mouseClick(dock.face.neighbours, Qt.MouseButton.LeftButton, pos=QPoint(8, 8))
    room.until(lambda: "384 × 384 µm" in dock.face.caption.text())
    assert dock.face.picture.image.width() == round(3 * grid.size_yx_px[0])


def test_only_the_last_click_counts(
    room: Room, dock: Inspector, qtbot: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, seen = threading.Event(), []

    def slow(handle: SlideHandle, path: object, identity: str, grid: object, patch: int, around: bool) -> Generator:
        while patch == 2 and not gate.wait(0.01):
            yield Progress("reading", 0, 1)
        read = yield from read_native(handle, path, identity, grid, patch, around)
        seen.append(patch)
        return read

    monkeypatch.setattr("napari_gimp.plugin.wiring.inspector.read_native", slow)
    run(room)
    click_patch(room, qtbot, 2)
    qtbot.wait(30)
    click_patch(room, qtbot, 9)
    room.until(lambda: dock.face.picture.image is not None)
    before = dock.face.picture.image
    gate.set()
    room.settle()
    assert dock.face.picture.image is before
    assert cells(dock, CHOSEN)[0].startswith("10 of")


class FakeQuestions:
    """Expects the patch that lies three further on in the scan."""

    def nearest_expected(self, patch: int) -> int:
        return patch + 3


def fake_questions_of(origin: Request) -> Generator[Progress, None, FakeQuestions]:
    yield Progress("looking at the image", 0, 1, "members")
    return FakeQuestions()


def fold_button(dock: Inspector) -> QWidget:
    return dock.face.expected_fold.toggleButton()


def test_what_the_model_expected_is_asked_when_it_is_looked_at(
    room: Room, dock: Inspector, qtbot: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "questions_of", fake_questions_of)
    run(room)
    click_patch(room, qtbot, 4)
    room.settle()
    assert dock.face.expected.nearest.image is None
    qtbot.mouseClick(fold_button(dock), Qt.MouseButton.LeftButton)
    room.until(lambda: dock.face.expected.nearest.image is not None)
    result = room.widget.desk.result
    said = dock.face.expected.error.text()
    assert f"Error here: {result.reconstruction_error[4]:.3f} mean |difference|" in said
    assert "384 µm away" in said
    assert "embeddings, not pixels" in EXPECTED_TIP
    assert dock.face.expected.words.text() == EXPECTED_TIP
    grid = result.grid
    with open_slide(room.folder / "slide.tif") as slide:
        corner = tuple(grid.coords_yx[7].tolist())
        there = slide.levels[0][corner[0] + 5, corner[1] + 5]
    shown = dock.face.expected.nearest.image.pixelColor(5, 5)
    assert abs(shown.red() - int(there[0])) < 20
    qtbot.mouseClick(fold_button(dock), Qt.MouseButton.LeftButton)


def test_a_model_that_is_gone_is_said_in_the_dock(
    room: Room, dock: Inspector, qtbot: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "questions_of", refuse)
    run(room)
    click_patch(room, qtbot, 5)
    qtbot.mouseClick(fold_button(dock), Qt.MouseButton.LeftButton)
    room.until(lambda: "does not open" in dock.face.expected.nearest.words)


def refuse(origin: Request) -> Generator[Progress, None, FakeQuestions]:
    yield Progress("loading", 0, 1)
    raise InputError("The file does not open.")


def test_a_row_of_the_most_surprising_patches_goes_there(room: Room, dock: Inspector, qtbot: object) -> None:
    run(room)
    table, result = dock.face.surprising, room.widget.desk.result
    assert table.item(0, 0).text() == f"{result.reconstruction_error.max():.3f}"
    assert table.item(0, 1).text() == "highest"
    assert table.horizontalHeaderItem(0).text() == "error (mean |difference|)"
    qtbot.mouseClick(dock.face.surprising_fold.toggleButton(), Qt.MouseButton.LeftButton)
    place = table.visualItemRect(table.item(1, 0)).center()
    qtbot.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, pos=place)
    worst = int(np.argsort(-result.reconstruction_error)[1])
    assert cells(dock, CHOSEN)[0].startswith(f"{worst + 1} of")
    centre = layers.patch_place(result, worst)[0]
    np.testing.assert_allclose(np.asarray(room.viewer.scene.camera.center)[-2:], centre)


def test_a_turned_slide_shows_the_patch_as_it_stands(room: Room, dock: Inspector, qtbot: object) -> None:
    run(room)
    click_patch(room, qtbot, 6)
    room.until(lambda: dock.face.picture.image is not None)
    upright, eye = dock.face.picture.image, Eye(room.viewer)
    eye.turn(eye.stands.turned())
    side = upright.width()
    assert dock.face.picture.image.pixelColor(side - 1, 0) == upright.pixelColor(0, 0)
    assert dock.face.picture.image.pixelColor(side - 1, side - 1) == upright.pixelColor(side - 1, 0)
    dock.face.surprising_chosen.emit(0)
    worst = int(room.widget.desk.result.reconstruction_error.argmax())
    np.testing.assert_allclose(eye.place.centre_yx, layers.patch_place(room.widget.desk.result, worst)[0])
    eye.turn(AS_SCANNED)
    room.settle()


def test_the_chosen_patch_stays_the_same_place_in_a_later_result(room: Room, dock: Inspector, qtbot: object) -> None:
    run(room)
    click_patch(room, qtbot, 6)
    room.settle()
    grid = room.widget.desk.result.grid
    fewer = prediction_of(room.widget.desk.result.slide, grid.take(np.arange(4, len(grid))))
    room.widget.session.accept(fewer, room.widget.session.origin)
    assert cells(dock, CHOSEN)[0] == f"3 of {len(fewer.grid)}"
    room.settle()


def test_closing_the_slide_closes_the_docks_own_handle(room: Room, dock: Inspector, qtbot: object) -> None:
    run(room)
    click_patch(room, qtbot, 6)
    room.until(lambda: dock.face.picture.image is not None)
    assert dock.handle.identity is not None
    room.viewer.layers.remove(room.viewer.layers[0])
    room.settle()
    assert dock.handle.identity is None
    assert dock.face.numbers.rowCount() == 0
    assert dock.face.picture.image is None


def test_a_closed_dock_hears_nothing_more(room: Room, qtbot: object) -> None:
    run(room)
    qt_dock, dock = room.viewer.window.add_plugin_dock_widget("napari-gimp", "GiMP: inspect patches")
    heard = len(room.widget.desk.patch_hovered)
    click_patch(room, qtbot, 3)
    room.until(lambda: dock.handle.identity is not None)
    handle = dock.handle
    room.viewer.window.remove_dock_widget(qt_dock)
    qtbot.waitUntil(lambda: len(room.widget.desk.patch_hovered) == heard - 1, timeout=3000)
    assert handle.identity is None
    click_patch(room, qtbot, 5)
    room.settle()


# ---- without a window


def test_pixels_of_patches_are_those_of_the_slide(tmp_path: object) -> None:
    pixels = checker((900, 1100), 50)
    path = write_slide(tmp_path / "a.tif", pixels, mpp=0.5)
    handle = SlideHandle()
    with open_slide(path) as slide:
        facts = slide.facts
    from plugin_cases import grid_of

    grid = grid_of(facts.shape_yx, 0.5)
    native = drain(read_native(handle, path, facts.identity, grid, 1, False))
    np.testing.assert_array_equal(native.pixels, pixels[:256, 256:512])
    assert (native.px_um, native.patches, native.width_um) == (0.5, 1, 128)
    wide = drain(read_native(handle, path, facts.identity, grid, 0, True))
    np.testing.assert_array_equal(wide.pixels[256:512, 256:512], pixels[:256, :256])
    assert (wide.pixels[:256] == 255).all()  # beyond the slide
    found = drain(read_thumbnails(handle, path, facts.identity, grid, (3, 0)))
    assert list(found) == [0, 3]
    np.testing.assert_array_equal(found[0], pixels[:256, :256])
    with pytest.raises(InputError, match="changed"):
        handle.get(path, "another")
    handle.end()
    assert handle.identity is None


def drain(steps: Generator) -> object:
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def test_the_questions_of_a_run_are_those_of_the_pipeline(tiny: object, tmp_path: object) -> None:
    """A real, untrained checkpoint: the answer is a patch of the slide, and its pixels come with it."""
    from dataclasses import replace

    from napari_gimp.gimp.checkpoint import read_facts
    from napari_gimp.plugin.session import Choices, Session

    with open_slide(tiny.slide) as slide:
        facts = slide.facts
    chosen = Choices(path=tiny.slide, slide=facts, checkpoint=tiny.checkpoint, device="cpu", cache=tmp_path)
    session = Session(replace(chosen, facts=read_facts(tiny.checkpoint), encoder="colour-texture"))
    request = session.begin()
    result = drain(job.analyse(request))
    handle = SlideHandle()
    questions = drain(expected.questions_of(request))
    found = drain(expected.expect(questions, request, handle, result.grid, 2))
    assert found.nearest == questions.nearest_expected(2)
    corner = tuple(result.grid.coords_yx[found.nearest].tolist())
    with open_slide(tiny.slide) as slide:
        np.testing.assert_array_equal(found.there.pixels, read_patch(slide, corner, result.grid.size_yx_px, 256))
    handle.end()
