"""Layer tuples: where map cells lie on the slide, what they are called, contrast and ranks."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from plugin_cases import MPP, checker, grid_of, prediction_of, write_slide

from napari_gimp.plugin import layers, palette
from napari_gimp.plugin.maps import ERROR_UNITS, PatchMap, patch_map
from napari_gimp.plugin.session import ViewSettings
from napari_gimp.plugin.slide.levels import PaddedLevel, exact_levels
from napari_gimp.slides import open_slide
from napari_gimp.types import PatchGrid, Prediction, SlideFacts, Tissue

SHAPE = (16091, 17883)
FACTS = SlideFacts("HE3", "id", SHAPE, (SHAPE,), (MPP, MPP))
VIEW = ViewSettings()


def map_of(prediction: Prediction, key: str = "attention", view: ViewSettings = VIEW) -> list[layers.LayerTuple]:
    return layers.map_layers(prediction, patch_map(prediction, key), view)


def borders(layer: layers.LayerTuple, axis: int) -> np.ndarray:
    """World coordinates of the cell borders of an image layer along an axis."""
    data, attributes, _ = layer
    edges = np.arange(data.shape[axis] + 1) - 0.5
    return edges * attributes["scale"][axis] + attributes["translate"][axis]


@pytest.mark.parametrize("mpp", [MPP, 0.499, 0.25, 1.7])
def test_cell_borders_are_patch_borders_to_half_a_pixel(mpp: float) -> None:
    facts = replace(FACTS, mpp_yx=(mpp, mpp))
    grid = grid_of(SHAPE, mpp)
    (attention,) = map_of(prediction_of(facts, grid))
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
    for layer, lattice in zip(map_of(prediction_of(facts, grid, partial=0.5)), grid.lattices, strict=True):
        edges = borders(layer, 0)[lattice.cells[:, 0]]
        assert np.abs(edges / mpp - (corners[lattice.patches, 0] - 0.5)).max() <= 1.0


def test_map_is_one_small_float_image_with_nan_outside_the_tissue() -> None:
    grid = grid_of(SHAPE).take(np.arange(0, 700, 2))
    prediction = prediction_of(FACTS, grid)
    for data, attributes, kind in (*map_of(prediction), *map_of(prediction, "error")):
        assert kind == "image"
        assert data.dtype == np.float32
        assert np.isfinite(data).sum() == len(grid)
        assert attributes["units"] == ("um", "um")
        assert attributes["interpolation2d"] == "nearest"
        assert attributes["opacity"] == VIEW.opacity


def test_legends_name_map_unit_and_scale() -> None:
    prediction = prediction_of(FACTS, grid_of(SHAPE))
    (head,), (error,) = map_of(prediction, "attention/2/1"), map_of(prediction, "error")
    assert head[1]["name"] == "attention, head 1 (× slide mean, clipped) · HE3"
    assert error[1]["name"] == "reconstruction error (mean |difference|, clipped) · HE3"
    assert error[1]["metadata"]["measure"] == ERROR_UNITS["l1"]
    (ranked,) = map_of(prediction, "attention/2/2", ViewSettings(contrast="rank", hide_below=80))
    assert ranked[1]["name"] == "attention, head 2 (rank, %, top 20 %) · HE3"
    (raw,) = map_of(prediction, "attention", ViewSettings(contrast="raw"))
    assert raw[1]["name"] == "attention (× slide mean, full range) · HE3"


def test_the_threshold_hides_what_is_below_its_percentile() -> None:
    prediction = prediction_of(FACTS, grid_of(SHAPE))
    (some,) = map_of(prediction, view=ViewSettings(hide_below=75, contrast="raw"))
    kept, values = some[0][np.isfinite(some[0])], patch_map(prediction, "attention").values
    np.testing.assert_array_equal(np.sort(kept), np.sort(values[values >= np.percentile(values, 75)]))


def test_signed_maps_keep_0_in_the_middle_and_hide_by_size() -> None:
    values = np.array([-4, -1, 0, 2, 1], np.float32)
    for scale in ("raw", "percentile", "rank"):
        low, high = palette.contrast(values, ViewSettings(contrast=scale), signed=True)[1]
        assert low == -high
    shown, _ = palette.contrast(values, ViewSettings(contrast="rank"), signed=True)
    np.testing.assert_allclose(shown, [-100, -37.5, 0, 75, 37.5])
    signed = PatchMap("support/A", "support for A", "logit", values, "orange-blue", True)
    assert palette.hidden(signed, 60).tolist() == [False, True, True, False, True]


def test_partial_results_say_so() -> None:
    (partial,) = map_of(prediction_of(FACTS, grid_of(SHAPE), partial=0.3))
    assert partial[1]["name"].endswith("(partial, 30%)")


def test_contrast_clips_spans_or_ranks() -> None:
    values = np.array([0, 1, 2, 3, 1000], np.float32)
    assert palette.contrast(values, ViewSettings(contrast="raw"))[1] == (0, 1000)
    low, high = palette.contrast(values, ViewSettings(low_percentile=0, high_percentile=75))[1]
    assert (low, high) == (0, 3)
    shown, limits = palette.contrast(values, ViewSettings(contrast="rank"))
    np.testing.assert_allclose(shown, [0, 25, 50, 75, 100])
    assert limits == (0, 100)


@given(st.floats(1e-3, 1e3), st.floats(0, 0.1))
def test_a_flat_map_looks_flat(middle: float, span: float) -> None:
    """Differences of a thousandth do not get the colours of differences of one."""
    values = np.linspace(middle * (1 - span / 2), middle * (1 + span / 2), 7).astype(np.float32)
    low, high = palette.contrast(values, ViewSettings(contrast="raw"))[1]
    assert high - low >= 0.99 * palette.LEAST_SPAN * middle
    assert low <= values.min() <= values.max() <= high
    if span > 2 * palette.LEAST_SPAN:
        assert (low, high) == (values.min(), values.max())


def test_nothing_but_zeros_still_has_two_ends() -> None:
    low, high = palette.contrast(np.zeros(4, np.float32), VIEW)[1]
    assert low < 0 < high


@given(st.lists(st.integers(-5, 5), min_size=2, max_size=30))
def test_ranks_keep_order_and_ties(values: list[int]) -> None:
    ranks = palette.ranks(np.array(values, np.float32))
    order = np.argsort(values, kind="stable")
    assert (np.diff(ranks[order]) >= 0).all()
    assert ranks.mean() == pytest.approx(50, abs=1e-3)
    for k, value in enumerate(values):
        below, same = sum(v < value for v in values), sum(v == value for v in values)
        assert ranks[k] == pytest.approx(100 * (below + (same - 1) / 2) / (len(values) - 1), abs=1e-3)


def test_top_patches_are_numbered_rectangles_on_their_pixels() -> None:
    grid = grid_of(SHAPE)
    data, attributes, kind = layers.top_layer(
        prediction_of(FACTS, grid), patch_map(prediction_of(FACTS, grid), "attention"), ViewSettings(top_patches=20)
    )
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
