"""The mouse on the canvas -> the patch under it: the lookup against a slow reference, then a real mouse in a window."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from plugin_cases import grid_of, prediction_of
from plugin_room import Room, open_room, open_window  # noqa: F401 fixtures
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QApplication

from napari_gimp.plugin.palette import ranks
from napari_gimp.plugin.patches.patchfacts import PatchFacts, centre, largest, percentile_words
from napari_gimp.plugin.patches.patchindex import PatchIndex
from napari_gimp.plugin.patches.pointer import CLICK_PX, Pointer, point_at_patches
from napari_gimp.types import PatchGrid, SlideFacts


def grid_from(corners: list[tuple[int, int]], size: tuple[float, float], stride: tuple[float, float]) -> PatchGrid:
    return PatchGrid(np.array(corners, np.int64).reshape(-1, 2), size, stride, (4000, 4000), (0.5, 0.25))


def slow_patch_at(grid: PatchGrid, y: float, x: float) -> tuple[float, set[int]]:
    """Distance in cells and all patches that are as near, of those that reach to the point or whose cell it is."""
    best, found = np.inf, set()
    for lattice in grid.lattices:
        for patch, cell in zip(lattice.patches.tolist(), lattice.cells, strict=True):
            middle = np.asarray(lattice.origin_yx_px) + (cell + 0.5) * np.asarray(lattice.cell_yx_px)
            away = np.abs(middle - (y, x))
            if (away > np.maximum(grid.size_yx_px, grid.stride_yx_px) / 2).any():
                continue
            distance = float((away / np.asarray(grid.stride_yx_px)).max())
            if np.isclose(distance, best):
                found.add(patch)
            elif distance < best:
                best, found = distance, {patch}
    return best, found


@given(
    st.sampled_from([(97.0, 97.0), (101.5, 211.25), (64.0, 32.0)]),
    st.sampled_from([0.25, 0.5, 1.0, 1.5]),
    st.integers(0, 2**16),
    st.sampled_from([0, 1, 3]),
)
def test_a_point_finds_the_nearest_patch_that_reaches_there(
    size: tuple[float, float], share: float, seed: int, contours: int
) -> None:
    random = np.random.default_rng(seed)
    stride = (size[0] * share, size[1] * share)
    rows = random.permutation(35)[:20]
    corners = [(round((r // 7) * stride[0]), round((r % 7) * stride[1])) for r in rows.tolist()]
    for k in range(contours):
        away = (17 * (k + 1), 400 + 29 * k)
        steps = [(round(r * stride[0]), round(c * stride[1])) for r in range(2) for c in range(2)]
        corners += [(away[0] + down, away[1] + right) for down, right in steps]
    grid = grid_from(sorted(set(corners)), size, stride)
    index = PatchIndex(grid)
    for y, x in random.uniform(-50, 900, (40, 2)):
        _, expected = slow_patch_at(grid, y, x)
        found = index.at(y, x)
        assert (found in expected) if expected else found is None


def test_every_patch_is_found_at_its_centre_and_by_its_corner() -> None:
    grid = grid_of((1600, 2100))
    index = PatchIndex(grid)
    for patch in range(len(grid)):
        y, x = grid.coords_yx[patch] + np.asarray(grid.size_yx_px) / 2
        assert index.at(y, x) == patch
        assert index.of_corner(tuple(grid.coords_yx[patch].tolist())) == patch
    assert index.at(-3, 50) is None
    assert index.of_corner((1, 1)) is None


def test_no_patches_no_answer() -> None:
    assert PatchIndex(grid_from([], (8.0, 8.0), (8.0, 8.0))).at(3, 3) is None


def test_a_patch_says_its_numbers_with_unit_and_percentile() -> None:
    grid = grid_of((1600, 2100))
    facts = SlideFacts("a", "id", (1600, 2100), ((1600, 2100),), grid.mpp_yx)
    prediction = prediction_of(facts, grid)
    of = PatchFacts(prediction).of(len(grid) - 1)
    assert [fact.name for fact in of[2:]] == ["attention", "reconstruction error"]
    assert of[0].value == f"{len(grid)} of {len(grid)}"
    y, x = centre(grid, len(grid) - 1)
    assert (of[1].value, of[1].unit) == (f"{x:,.0f} · {y:,.0f}", "µm")
    assert y == pytest.approx((grid.coords_yx[-1, 0] + grid.size_yx_px[0] / 2) * grid.mpp_yx[0])
    assert of[2].unit == "× slide mean"
    below = (prediction.mean_attention < prediction.mean_attention[-1]).sum() / (len(grid) - 1)
    assert of[2].percentile == percentile_words(100 * below)
    assert of[3].unit == "mean |difference|"


@given(st.lists(st.integers(0, 5), min_size=1, max_size=30), st.integers(0, 12))
def test_the_largest_come_first_ties_in_scan_order(values: list[int], count: int) -> None:
    array = np.array(values, np.float32)
    assert largest(array, count) == np.argsort(-array, kind="stable")[:count].tolist()


def test_percentiles_agree_with_the_ranks_of_the_map() -> None:
    grid = grid_of((1600, 2100))
    facts = SlideFacts("a", "id", (1600, 2100), ((1600, 2100),), grid.mpp_yx)
    prediction = prediction_of(facts, grid)
    prediction.reconstruction_error[3:6] = 0.5
    ranked = PatchFacts(prediction).ranked("error")
    expected = ranks(prediction.reconstruction_error)
    np.testing.assert_allclose([ranked.percentile(k) for k in range(len(grid))], expected, rtol=1e-5)


# ---- a real mouse


@pytest.fixture(name="ready")
def run_done(room: Room) -> Room:
    """A slide with a result, as large as the canvas; what the desk says of patches is kept in ``room.heard``."""
    room.open()
    room.widget.run()
    room.settle()
    room.viewer.reset_view()
    room.heard = []
    point_at_patches(room.widget.desk)
    listeners = [lambda patch: room.heard.append(("over", patch)), lambda patch: room.heard.append(("chose", patch))]
    signals = [room.widget.desk.patch_hovered, room.widget.desk.patch_chosen]
    for signal, act in zip(signals, listeners, strict=True):
        signal.connect(act)
    room.canvas = room.viewer.window._qt_viewer.canvas.native
    yield room
    for signal, act in zip(signals, listeners, strict=True):
        signal.disconnect(act)


def screen_place(room: Room, patch: int) -> QPoint:
    """Where the centre of a patch is on the canvas, by the camera."""
    grid = room.widget.desk.result.grid
    world = (grid.coords_yx[patch] + np.asarray(grid.size_yx_px) / 2 - 0.5) * np.asarray(grid.mpp_yx)
    camera = room.viewer.scene.camera
    y, x = (world - np.asarray(camera.center)[-2:]) * camera.zoom
    return QPoint(round(room.canvas.width() / 2 + x), round(room.canvas.height() / 2 + y))


def move_over(room: Room, qtbot: object, patch: int) -> None:
    """Move about on a patch until the desk says so: the first move after a wait may be the window system's own."""
    for step in range(100):
        qtbot.mouseMove(room.canvas, screen_place(room, patch) + QPoint(step % 3, 0))
        qtbot.wait(40)
        if ("over", patch) in room.heard:
            return
    raise AssertionError(f"patch {patch} was not said: {room.heard}")


def heard_soon(room: Room, news: tuple[str, int | None]) -> None:
    room.until(lambda: news in room.heard, 5)


@pytest.mark.window
def test_the_patch_under_the_mouse_is_said_and_a_click_chooses_it(ready: Room, qtbot: object) -> None:
    for patch in (7, 2):
        move_over(ready, qtbot, patch)
    centre_before, zoom = tuple(ready.viewer.scene.camera.center), ready.viewer.scene.camera.zoom
    qtbot.mouseClick(ready.canvas, Qt.MouseButton.LeftButton, pos=screen_place(ready, 5))
    assert ready.heard[-1] == ("chose", 5) or ("chose", 5) in ready.heard
    assert (tuple(ready.viewer.scene.camera.center), ready.viewer.scene.camera.zoom) == (centre_before, zoom)


@pytest.mark.window
def test_a_drag_pans_and_chooses_nothing(ready: Room, qtbot: object) -> None:
    start = screen_place(ready, 5)
    before = np.asarray(ready.viewer.scene.camera.center)
    qtbot.mousePress(ready.canvas, Qt.MouseButton.LeftButton, pos=start)
    for step in range(1, 6):
        qtbot.mouseMove(ready.canvas, start + QPoint(int(3 * CLICK_PX) * step, 0))
        qtbot.wait(12)
    qtbot.mouseRelease(ready.canvas, Qt.MouseButton.LeftButton, pos=start + QPoint(int(15 * CLICK_PX), 0))
    assert not [news for news in ready.heard if news[0] == "chose"]
    assert not np.allclose(ready.viewer.scene.camera.center, before)


@pytest.mark.window
def test_a_tool_in_hand_is_left_alone(ready: Room, qtbot: object) -> None:
    slide = ready.viewer.layers[0]
    shapes = ready.viewer.add_shapes(name="mine", scale=slide.scale, units=slide.units)
    ready.viewer.layers.selection.active = shapes
    shapes.mode = "add_rectangle"
    qtbot.mouseMove(ready.canvas, screen_place(ready, 7))
    qtbot.mouseClick(ready.canvas, Qt.MouseButton.LeftButton, pos=screen_place(ready, 5))
    qtbot.wait(60)
    assert ("over", 7) not in ready.heard
    assert not [news for news in ready.heard if news[0] == "chose"]


@pytest.mark.window
def test_leaving_the_canvas_leaves_the_patches(ready: Room, qtbot: object) -> None:
    move_over(ready, qtbot, 8)
    ready.viewer.window._qt_viewer._leave_canvas()
    assert ready.heard[-1] == ("over", None)


@pytest.mark.window
def test_a_turned_slide_keeps_its_patches(ready: Room) -> None:
    layer = ready.viewer.layers[0]
    pointer = point_at_patches(ready.widget.desk)
    grid = ready.widget.desk.result.grid
    layer.affine = [[0, -1, 500], [1, 0, 20], [0, 0, 1]]
    y, x = layer.data_to_world(grid.coords_yx[5] + np.asarray(grid.size_yx_px) / 2 - 0.5)
    assert pointer.patch_at(y, x) == 5


@pytest.mark.window
def test_one_pointer_a_desk_looks_at_most_thirty_times_a_second(ready: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    pointer = point_at_patches(ready.widget.desk)
    assert point_at_patches(ready.widget.desk) is pointer
    looks, under = [], Pointer._under

    def counted(self: Pointer) -> int | None:
        looks.append(time.monotonic())
        return under(self)

    monkeypatch.setattr(Pointer, "_under", counted)
    event = type("Event", (), {"position": (1.0, 1.0)})
    end = time.monotonic() + 0.4
    while time.monotonic() < end:
        pointer(ready.viewer, event)
        QApplication.processEvents()
    assert len(looks) >= 2
    assert np.diff(looks).min() > 0.030


@pytest.mark.window
def test_another_canvas_of_the_same_slide_is_heard_as_well(ready: Room) -> None:
    from napari.components import ViewerModel

    second, pointer = ViewerModel(), point_at_patches(ready.widget.desk)
    pointer.follow(second)
    grid = ready.widget.desk.result.grid
    y, x = (grid.coords_yx[4] + 3) * np.asarray(grid.mpp_yx)
    for act in second.mouse_move_callbacks:
        act(second, type("Event", (), {"position": (y, x)}))
    heard_soon(ready, ("over", 4))
    second.mouse_over_canvas = True
    second.mouse_over_canvas = False
    assert ready.heard[-1] == ("over", None)
