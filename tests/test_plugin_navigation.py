"""Magnification, places, the way back, orientations, pieces of tissue, lengths: without a window."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_gimp.plugin.slide import navigation, pieces
from napari_gimp.plugin.slide.navigation import AS_SCANNED, History, Orientation, Place
from napari_gimp.plugin.slide.ruler import length_words, lengths
from napari_gimp.types import SlideFacts, Tissue

FACTS = SlideFacts("s", "id", (2003, 3001), ((2003, 3001),), (0.5, 0.25))
UNMEASURED = SlideFacts("s", "id", (2003, 3001), ((2003, 3001),), None)
WINDOW = (600.0, 800.0)
ALL = [Orientation(*bits) for bits in product((False, True), repeat=3)]
SHARES = st.tuples(st.floats(0, 1), st.floats(0, 1))


def test_magnification_is_that_of_an_objective() -> None:
    assert navigation.magnification_of(0.25) == 40
    assert navigation.um_per_px_at(1.25) == 8
    assert [act.key for act in navigation.ACTS if act.name == "magnify 2.5"] == ["Control-2"]


def test_keys_are_told_apart_and_have_a_sentence() -> None:
    assert len(navigation.KEYS) == len(navigation.ACTS)
    assert all(sentence.endswith(".") for sentence in navigation.KEYS.values())


def test_the_scale_is_said_with_its_units() -> None:
    assert navigation.scale_words(0.5, FACTS) == "20.0× · 0.500 µm per screen px"
    assert navigation.scale_words(8.0, FACTS) == "1.25× · 8.00 µm per screen px"
    assert navigation.scale_words(123.0, FACTS) == "0.0813× · 123 µm per screen px"
    assert navigation.scale_words(2.0, UNMEASURED) == "2.00 slide px per screen px"


def test_positions_count_from_the_slides_corner() -> None:
    assert navigation.position_words((-0.25, -0.125), FACTS) == "cursor x 0 µm · y 0 µm"
    assert navigation.position_words((999.75, 99.875), FACTS) == "cursor x 100 µm · y 1\u202f000 µm"
    assert navigation.position_words((99.5, 9.5), UNMEASURED) == "cursor x 10 px · y 100 px"
    assert navigation.position_words((-1.0, 5.0), FACTS) == "cursor beside the slide"


@given(SHARES)
def test_world_and_shares_are_inverse(share: tuple[float, float]) -> None:
    for facts in (FACTS, UNMEASURED):
        np.testing.assert_allclose(navigation.share_of(navigation.world_of(share, facts), facts), share, atol=1e-9)


def test_the_corners_of_the_slide_are_the_shares_0_and_1() -> None:
    np.testing.assert_allclose(navigation.share_of((-0.25, -0.125), FACTS), (0, 0), atol=1e-12)
    np.testing.assert_allclose(navigation.share_of((2002.5 * 0.5, 3000.5 * 0.25), FACTS), (1, 1))


@given(SHARES, st.sampled_from(ALL))
def test_screen_and_slide_are_inverse(share: tuple[float, float], stands: Orientation) -> None:
    np.testing.assert_allclose(stands.to_slide(stands.to_screen(share)), share, atol=1e-12)


@pytest.mark.parametrize("stands", ALL)
def test_pictures_stand_as_points_do(stands: Orientation) -> None:
    picture = np.arange(3 * 5).reshape(3, 5, 1).astype(np.uint8)
    shown = stands.picture(picture)
    for y, x in product(range(3), range(5)):
        down, right = stands.to_screen(((y + 0.5) / 3, (x + 0.5) / 5))
        assert shown[int(down * shown.shape[0]), int(right * shown.shape[1]), 0] == picture[y, x, 0]


@pytest.mark.parametrize("stands", ALL)
def test_turns_and_mirrors_are_those_of_the_picture_on_the_screen(stands: Orientation) -> None:
    picture = np.arange(3 * 5).reshape(3, 5, 1).astype(np.uint8)
    seen = stands.picture(picture)
    np.testing.assert_array_equal(stands.turned().picture(picture), np.rot90(seen, -1))
    np.testing.assert_array_equal(stands.mirrored().picture(picture), seen[:, ::-1])
    np.testing.assert_array_equal(stands.upended().picture(picture), seen[::-1])


def test_orientations_are_told_apart_in_words() -> None:
    words = {stands.words() for stands in ALL}
    assert len(words) == 8
    assert AS_SCANNED.words() == ""
    assert AS_SCANNED.turned().words() == "turned by 90°"
    assert AS_SCANNED.mirrored().words() == "mirrored"
    assert AS_SCANNED.turned().turned().turned().turned() == AS_SCANNED


@pytest.mark.parametrize("stands", ALL)
def test_a_step_upwards_goes_up_on_the_screen(stands: Orientation) -> None:
    down, right = stands.to_screen((0.5 + 0.1 * stands.above[0], 0.5 + 0.1 * stands.above[1]))
    assert (round(down, 9), round(right, 9)) == (0.4, 0.5)


def test_what_is_seen_on_the_minimap() -> None:
    middle = navigation.world_of((0.5, 0.25), FACTS)
    (top, left), (bottom, right) = navigation.seen_on_screen(Place(middle, 0.5), WINDOW, FACTS, AS_SCANNED)
    assert bottom - top == pytest.approx(600 * 0.5 / (2003 * 0.5))
    assert right - left == pytest.approx(800 * 0.5 / (3001 * 0.25))
    assert (top + bottom) / 2 == pytest.approx(0.5)
    assert (left + right) / 2 == pytest.approx(0.25)
    (top, left), (bottom, right) = navigation.seen_on_screen(Place(middle, 0.5), WINDOW, FACTS, AS_SCANNED.turned())
    assert bottom - top == pytest.approx(600 * 0.5 / (3001 * 0.25))
    assert ((top + bottom) / 2, (left + right) / 2) == pytest.approx((0.25, 0.5))


def test_small_moves_are_one_place() -> None:
    way = History()
    for step in range(5):
        way.visit(Place((10.0 * step, 0.0), 1.0), WINDOW)
    assert not way.can_go_back
    way.visit(Place((4000.0, 0.0), 1.0), WINDOW)
    assert way.can_go_back
    assert way.step(-1) == Place((40.0, 0.0), 1.0)  # as it was left
    assert way.step(-1) is None
    assert way.step(1) == Place((4000.0, 0.0), 1.0)


def test_a_slow_walk_is_cut_into_places() -> None:
    way = History()
    for step in range(100):
        way.visit(Place((50.0 * step, 0.0), 1.0), WINDOW)
    count = 1
    while way.step(-1) is not None:
        count += 1
    assert 10 < count < 20


def test_another_zoom_is_another_place() -> None:
    way = History()
    for per_px in (8.0, 7.0, 1.0):
        way.visit(Place((0.0, 0.0), per_px), WINDOW)
    assert way.step(-1) == Place((0.0, 0.0), 7.0)
    assert not way.can_go_back


def test_going_elsewhere_forgets_the_way_forward_and_the_oldest_go_first() -> None:
    way = History(most=3)
    for step in range(5):
        way.visit(Place((4000.0 * step, 0.0), 1.0), WINDOW)
    assert way.step(-1) == Place((12000.0, 0.0), 1.0)
    assert way.can_go_forward
    way.visit(Place((0.0, 9000.0), 1.0), WINDOW)
    assert not way.can_go_forward
    assert way.step(-1) == Place((12000.0, 0.0), 1.0)
    assert way.step(-1) == Place((8000.0, 0.0), 1.0)
    assert way.step(-1) is None


def mask_of(*boxes: tuple[int, int, int, int], shape: tuple[int, int] = (100, 150)) -> Tissue:
    mask = np.zeros(shape, bool)
    for top, left, bottom, right in boxes:
        mask[top:bottom, left:right] = True
    return Tissue(mask, (shape[0] * 20, shape[1] * 10))


def test_pieces_stand_in_reading_order_and_the_largest_comes_first() -> None:
    tissue = mask_of((60, 5, 90, 55), (10, 80, 30, 100), (12, 10, 28, 30), (65, 100, 85, 140), (50, 70, 51, 71))
    found = pieces.tissue_pieces(tissue)
    assert [(piece.top / 20, piece.left / 10) for piece in found] == [(12, 10), (10, 80), (60, 5), (65, 100)]
    assert found[2].area == 1500
    assert (found[2].bottom, found[2].right) == (1800, 550)
    first = pieces.next_piece(found, None, 1)
    assert first == 2
    assert [pieces.next_piece(found, first, by) for by in (1, -1)] == [3, 1]
    assert pieces.next_piece(found, 3, 1) == 0


def test_tissue_close_by_is_one_piece() -> None:
    tissue = mask_of((10, 10, 40, 40), (10, 45, 40, 80))
    assert len(pieces.tissue_pieces(tissue, gap_px=30)) == 2
    (whole,) = pieces.tissue_pieces(tissue, gap_px=70)  # the gap is 5 cells of 10 px
    assert (whole.left, whole.right, whole.area) == (100, 800, 30 * 65)


def test_no_tissue_has_no_pieces() -> None:
    assert pieces.tissue_pieces(mask_of()) == ()
    assert pieces.tissue_pieces(mask_of(), gap_px=100) == ()


@pytest.mark.parametrize("stands", [AS_SCANNED, AS_SCANNED.turned()])
def test_a_piece_fills_the_window(stands: Orientation) -> None:
    piece = pieces.Piece(0, 0, 1000, 3001, 1)
    place = pieces.place_of(piece, FACTS, WINDOW, stands)
    seen = navigation.seen_on_screen(place, WINDOW, FACTS, stands)
    sides = [seen[1][k] - seen[0][k] for k in range(2)]
    needed = stands.to_screen((1000 / 2003, 1.0)) if not stands.swapped else (1.0, 1000 / 2003)
    assert min(side / need for side, need in zip(sides, needed, strict=True)) == pytest.approx(1 / pieces.FILLED)


def test_lengths_follow_the_pixel_size() -> None:
    line = np.array([[0, 0], [30, 40]], float)
    assert lengths([line], (1.0, 1.0)) == [50]
    assert lengths([line], (0.5, 0.5)) == [25]
    assert lengths([line], (2.0, 0.25)) == pytest.approx([np.hypot(60, 10)])
    assert lengths([np.array([[0, 0], [0, 3], [4, 3]], float)], (1.0, 1.0)) == [7]


@pytest.mark.parametrize(
    ("length", "unit", "words"),
    [(12.34, "micrometer", "12.3 µm"), (293.4, "um", "293 µm"), (1234.0, "um", "1.23 mm"), (50.2, "pixel", "50 px")],
)
def test_lengths_are_said_with_their_unit(length: float, unit: str, words: str) -> None:
    assert length_words(length, unit) == words
