"""Layer tuples: where map cells lie on the slide, what they are called, contrast and ranks."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from plugin_cases import MPP, checker, grid_of, prediction_of, write_slide

from napari_gimp.plugin import layers
from napari_gimp.plugin.levels import PaddedLevel, exact_levels
from napari_gimp.plugin.session import Head, ViewSettings, heads_of
from napari_gimp.slides import open_slide
from napari_gimp.types import PatchGrid, SlideFacts, Tissue

SHAPE = (16091, 17883)
FACTS = SlideFacts("HE3", "id", SHAPE, (SHAPE,), (MPP, MPP))
VIEW = ViewSettings()


def borders(layer: layers.LayerTuple, axis: int) -> np.ndarray:
    """World coordinates of the cell borders of an image layer along an axis."""
    data, attributes, _ = layer
    edges = np.arange(data.shape[axis] + 1) - 0.5
    return edges * attributes["scale"][axis] + attributes["translate"][axis]


@pytest.mark.parametrize("mpp", [MPP, 0.499, 0.25, 1.7])
def test_cell_borders_are_patch_borders_to_half_a_pixel(mpp: float) -> None:
    facts = replace(FACTS, mpp_yx=(mpp, mpp))
    grid = grid_of(SHAPE, mpp)
    (attention, _) = layers.map_layers(prediction_of(facts, grid), VIEW)
    for axis in range(2):
        corners = np.unique(grid.coords_yx[:, axis])
        slide_edges = (corners - 0.5) * mpp
        off_px = np.abs(borders(attention, axis)[:-1] - slide_edges) / mpp
        assert len(corners) == attention[0].shape[axis]
        assert off_px.max() <= 0.5 + 1e-6


@given(
    mpp=st.floats(0.1, 2),
    origin=st.tuples(st.integers(0, 5000), st.integers(0, 5000)),
    side=st.floats(8, 900),
    rows=st.integers(1, 40),
)
def test_a_patch_lies_in_its_cell_wherever_the_grid_starts(
    mpp: float, origin: tuple[int, int], side: float, rows: int
) -> None:
    corners = np.array([(origin[0] + round(r * side), origin[1]) for r in range(rows)], np.int64)
    grid = PatchGrid(corners, (side, side), (side, side), SHAPE, (mpp, mpp))
    facts = replace(FACTS, mpp_yx=(mpp, mpp))
    for layer, lattice in zip(
        layers.map_layers(prediction_of(facts, grid, partial=0.5), VIEW), grid.lattices, strict=True
    ):
        edges = borders(layer, 0)[lattice.cells[:, 0]]
        assert np.abs(edges / mpp - (corners[lattice.patches, 0] - 0.5)).max() <= 1.0


def test_map_is_one_small_float_image_with_nan_outside_the_tissue() -> None:
    grid = grid_of(SHAPE).take(np.arange(0, 700, 2))
    attention, error = layers.map_layers(prediction_of(FACTS, grid), VIEW)
    for data, attributes, kind in (attention, error):
        assert kind == "image"
        assert data.dtype == np.float32
        assert np.isfinite(data).sum() == len(grid)
        assert attributes["units"] == ("um", "um")
        assert attributes["interpolation2d"] == "nearest"
        assert attributes["opacity"] == VIEW.opacity
    assert attention[1]["visible"]
    assert not error[1]["visible"]


def test_attention_is_shown_in_multiples_of_the_average() -> None:
    prediction = prediction_of(FACTS, grid_of(SHAPE))
    assert layers.attention_values(prediction).mean() == pytest.approx(1, abs=1e-5)
    first, second = (layers.attention_values(prediction, head) for head in heads_of(4)[1:3])
    np.testing.assert_allclose(first, second[::-1], rtol=1e-5)
    assert layers.map_layers(prediction, VIEW)[0][1]["name"].startswith("attention (× slide mean) · ")


def test_legends_name_the_head_and_fit_a_narrow_canvas() -> None:
    attention, error = layers.map_layers(prediction_of(FACTS, grid_of(SHAPE)), VIEW, Head("head 1", 0))
    assert attention[1]["name"] == "attention, head 1 (× slide mean) · HE3"
    assert error[1]["name"] == "reconstruction error · HE3"
    assert error[1]["metadata"]["measure"] == layers.ERROR_UNITS["l1"]
    ranked = layers.map_layers(prediction_of(FACTS, grid_of(SHAPE)), ViewSettings(contrast="rank"), Head("head 2", 1))
    assert [layer[1]["name"] for layer in ranked] == [
        "attention, head 2 (rank, %) · HE3",
        "reconstruction error (rank, %) · HE3",
    ]


def test_partial_results_say_so() -> None:
    partial = layers.map_layers(prediction_of(FACTS, grid_of(SHAPE), partial=0.3), VIEW)
    assert len(partial) == 1
    assert partial[0][1]["name"].endswith("(partial)")


def test_contrast_clips_spans_or_ranks() -> None:
    values = np.array([0, 1, 2, 3, 1000], np.float32)
    assert layers.contrast(values, ViewSettings(contrast="raw"))[1] == (0, 1000)
    low, high = layers.contrast(values, ViewSettings(low_percentile=0, high_percentile=75))[1]
    assert (low, high) == (0, 3)
    shown, limits = layers.contrast(values, ViewSettings(contrast="rank"))
    np.testing.assert_allclose(shown, [0, 25, 50, 75, 100])
    assert limits == (0, 100)


@given(st.floats(1e-3, 1e3), st.floats(0, 0.1))
def test_a_flat_map_looks_flat(middle: float, span: float) -> None:
    """Differences of a thousandth do not get the colours of differences of one."""
    values = np.linspace(middle * (1 - span / 2), middle * (1 + span / 2), 7).astype(np.float32)
    low, high = layers.contrast(values, ViewSettings(contrast="raw"))[1]
    assert high - low >= 0.99 * layers.LEAST_SPAN * middle
    assert low <= values.min() <= values.max() <= high
    if span > 2 * layers.LEAST_SPAN:
        assert (low, high) == (values.min(), values.max())


def test_nothing_but_zeros_still_has_two_ends() -> None:
    low, high = layers.contrast(np.zeros(4, np.float32), VIEW)[1]
    assert low < 0 < high


def test_heads_of_several_members_are_named_by_member() -> None:
    assert [head.name for head in heads_of(2)] == ["mean", "head 1", "head 2"]
    assert [head.name for head in heads_of(4, 2)[1:]] == [f"member {m}, head {h}" for m in (1, 2) for h in (1, 2)]
    prediction = prediction_of(FACTS, grid_of(SHAPE))
    np.testing.assert_allclose(
        layers.attention_values(prediction, heads_of(4, 2)[3]), prediction.attention[-1, 2] * len(prediction.grid)
    )


@given(st.lists(st.integers(-5, 5), min_size=2, max_size=30))
def test_ranks_keep_order_and_ties(values: list[int]) -> None:
    ranks = layers.ranks(np.array(values, np.float32))
    order = np.argsort(values, kind="stable")
    assert (np.diff(ranks[order]) >= 0).all()
    assert ranks.mean() == pytest.approx(50, abs=1e-3)
    for k, value in enumerate(values):
        below, same = sum(v < value for v in values), sum(v == value for v in values)
        assert ranks[k] == pytest.approx(100 * (below + (same - 1) / 2) / (len(values) - 1), abs=1e-3)


def test_top_patches_are_numbered_rectangles_on_their_pixels() -> None:
    grid = grid_of(SHAPE)
    data, attributes, kind = layers.top_layer(prediction_of(FACTS, grid), ViewSettings(top_patches=20))
    assert kind == "shapes"
    assert len(data) == 20
    last = grid.coords_yx[-1]
    np.testing.assert_allclose(data[0][0], last - 0.5)
    np.testing.assert_allclose(data[0][2], last - 0.5 + grid.size_yx_px)
    assert list(attributes["features"]["rank"]) == list(range(1, 21))


def test_tissue_covers_the_slide_exactly() -> None:
    mask = np.ones((529, 588), bool)
    layer = layers.tissue_layer(Tissue(mask, SHAPE), FACTS)
    for axis in range(2):
        edges = borders(layer, axis)
        assert edges[0] == pytest.approx(-0.5 * MPP)
        assert edges[-1] == pytest.approx((SHAPE[axis] - 0.5) * MPP)


def test_unknown_pixel_size_stays_in_pixels() -> None:
    place = layers.placement((0, 0), (32, 32), None)
    assert place["units"] == ("pixel", "pixel")
    assert place["translate"] == (15.5, 15.5)


def test_level_shapes_divide_exactly_and_show_the_same_pixels(tmp_path: Path) -> None:
    pixels = checker((1031, 1553), 64)
    with open_slide(write_slide(tmp_path / "odd.tif", pixels)) as slide:
        levels = exact_levels(slide.levels)
        height, width = levels[0].shape[:2]
        assert [level.shape for level in levels] == [(height >> k, width >> k, 3) for k in range(len(levels))]
        assert height - 1031 < 2 ** len(levels)
        np.testing.assert_array_equal(np.asarray(levels[0])[:1031, :1553], pixels)
        np.testing.assert_array_equal(levels[0][1000:height, 1500:width, 0][:31, :53], pixels[1000:, 1500:, 0])
        assert (np.asarray(levels[0])[1031:] == 255).all()


def test_padding_reads_only_what_is_asked_for() -> None:
    class Watched:
        shape, chunks = (10, 10, 3), (4, 4, 3)
        asked: tuple = ()

        def __getitem__(self, key: tuple) -> np.ndarray:
            self.asked = key
            return np.zeros((10, 10, 3), np.uint8)[key]

    inner = Watched()
    level = PaddedLevel(inner, (12, 12))
    assert level[8:12, 1:3].shape == (4, 2, 3)
    assert inner.asked == (slice(8, 12), slice(1, 3))
    assert level[3].shape == (12, 3)
    assert level[10:12, 10:12].min() == 255
