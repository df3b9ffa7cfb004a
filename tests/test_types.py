"""The nouns refuse nonsense, and a grid's lattices put every patch where its pixels are."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_gimp.settings import InputError, check_settings, describe, setting
from napari_gimp.types import Bag, PatchGrid, PatchSpec, Profile, Sample, SlideFacts, array_hash, fingerprint


def grid_of(coords: list[list[int]], size: float = 256.0, stride: float | None = None) -> PatchGrid:
    stride = stride or size
    return PatchGrid(np.array(coords, np.int64), (size, size), (stride, stride), (100_000, 100_000), (0.5, 0.5))


def test_our_grid_is_one_lattice_exact_to_half_a_pixel_at_an_awkward_mpp() -> None:
    stride = 128 / 0.263018
    cells = np.array([(row, column) for row in range(3, 40) for column in range(5, 29)])
    grid = grid_of(np.round(cells * stride).astype(np.int64).tolist(), stride)
    (lattice,) = grid.lattices
    corners = np.array(lattice.origin_yx_px) + lattice.cells * np.array(lattice.cell_yx_px)
    assert np.abs(corners - grid.coords_yx).max() <= 0.5
    assert lattice.shape == (37, 24)
    assert (grid.cells == cells - [3, 5]).all()


def test_contours_that_start_their_own_grid_are_lattices_of_their_own() -> None:
    grid = grid_of([[10, 10], [266, 10], [17, 300], [17, 556]])
    first, second = grid.lattices
    assert (first.origin_yx_px, first.shape) == ((10.0, 10.0), (2, 1))
    assert (second.origin_yx_px, second.shape) == ((17.0, 300.0), (1, 2))
    picture = second.image(np.array([1.0, 2.0, 3.0, 4.0]))
    np.testing.assert_array_equal(picture, [[3.0, 4.0]])


@given(st.tuples(st.integers(0, 5000), st.integers(0, 5000)), st.floats(8, 900), st.integers(1, 9))
def test_no_lattice_moves_a_patch_by_more_than_half_a_pixel(start: tuple[int, int], stride: float, first: int) -> None:
    coords = [[start[0] + round(row * stride), start[1]] for row in range(first, first + 20)]
    grid = grid_of(coords, stride)
    for lattice in grid.lattices:
        corners = np.array(lattice.origin_yx_px) + lattice.cells * np.array(lattice.cell_yx_px)
        assert np.abs(corners - grid.coords_yx[lattice.patches]).max() <= 0.5 + 1e-6


def test_a_cell_of_overlapping_patches_is_one_stride_large_and_shares_the_patch_centre() -> None:
    (lattice,) = grid_of([[0, 0], [0, 128], [128, 128]], 256.0, 128.0).lattices
    assert lattice.cell_yx_px == (128.0, 128.0)
    assert lattice.origin_yx_px == (64.0, 64.0)
    assert np.isnan(lattice.image(np.zeros(3))[1, 0])


@given(
    st.lists(st.tuples(st.integers(0, 90), st.integers(0, 90)), min_size=1, max_size=30, unique=True),
    st.floats(20, 700),
)
def test_every_patch_is_on_exactly_one_lattice_cell(cells: list[tuple[int, int]], stride: float) -> None:
    grid = grid_of(np.round(np.array(cells) * stride).astype(np.int64).tolist(), stride)
    seen = np.concatenate([lattice.patches for lattice in grid.lattices])
    assert sorted(seen) == list(range(len(cells)))
    for lattice in grid.lattices:
        picture = lattice.image(np.arange(len(cells), dtype=float))
        assert sorted(picture[np.isfinite(picture)]) == sorted(lattice.patches)


def test_an_empty_grid_has_no_lattice() -> None:
    empty = PatchGrid(np.empty((0, 2), np.int64), (1.0, 1.0), (1.0, 1.0), (5, 5), None)
    assert empty.lattices == ()
    assert empty.cells.shape == (0, 2)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: PatchSpec(patch_px=7), "patch_px: expected 32 to 2048 px, found 7"),
        (lambda: SlideFacts("s", "i", (0, 4), ((0, 4),), None), "at least one pixel"),
        (lambda: SlideFacts("s", "i", (4, 4), ((4, 4),), (352.8, 352.8)), "0.05 to 20.0 um per pixel, found 352.8"),
        (lambda: SlideFacts("s", "i", (4, 4), ((4, 4),), None).known_mpp_yx(), "--mpp"),
        (lambda: Bag("s", np.array([[np.nan], [1]], np.float32), None, None), "NaN or infinity in 1 of 2 patches"),
        (lambda: Bag("s", np.zeros((2, 3), np.float32), grid_of([[0, 0]]), None), "2 features but 1 coordinates"),
        (lambda: Profile("p", ("A", "B"), np.zeros(3), "log"), "2 gene names but 3 values"),
        (lambda: Sample("c", None, None, None), "found neither"),
        (lambda: grid_of([[0, 0]], -1.0), "positive patch size"),
    ],
)
def test_nonsense_is_refused_in_words(make, words: str) -> None:
    with pytest.raises(InputError, match=words.replace("(", r"\(")):
        make()


def test_one_description_of_a_setting_serves_all_faces() -> None:
    @dataclass(frozen=True)
    class Knobs:
        speed: float = setting(2.0, "How fast.", min=1, unit="um/s")
        kind: str = setting("a", "Which.", choices=("a", "b"))

    assert describe(Knobs)["speed"] == {
        "default": 2.0, "help": "How fast.", "min": 1, "max": None, "unit": "um/s", "choices": (), "slider": False
    }  # fmt: skip
    with pytest.raises(InputError, match=r"Knobs.speed: expected at least 1 um/s, found 0.5"):
        check_settings(Knobs(speed=0.5))
    with pytest.raises(InputError, match="one of a, b"):
        check_settings(Knobs(kind="c"))


def test_hashes_follow_their_parts() -> None:
    spec = PatchSpec()
    assert fingerprint("a", spec) == fingerprint("a", PatchSpec())
    assert fingerprint("a", spec) != fingerprint("a", PatchSpec(stride=0.5))
    assert fingerprint("ab", "c") != fingerprint("a", "bc")
    zeros = np.zeros((2, 3), np.float32)
    assert len({array_hash(zeros), array_hash(zeros.reshape(3, 2)), array_hash(zeros.astype(np.int32))}) == 3
