"""Numbers per region: exact areas, patches by their centres, means and shares by a slow reference."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely.geometry import MultiPolygon, box
from test_regions import HOLED

from napari_gimp.regions import Region
from napari_gimp.regions.table import area_mm2, csv_table, patches_inside, region_facts
from napari_gimp.types import PatchGrid, Prediction, SlideFacts

SIDE, ROWS, COLUMNS = 7.5, 11, 13
SHAPE = (90, 100)
FACTS = SlideFacts("s", "id", SHAPE, (SHAPE,), (0.5, 0.25))


def grid() -> PatchGrid:
    corners = [(round(r * SIDE), round(c * SIDE)) for r in range(ROWS) for c in range(COLUMNS)]
    return PatchGrid(np.array(corners, np.int64), (SIDE, SIDE), (SIDE, SIDE), SHAPE, (0.5, 0.25))


def prediction() -> Prediction:
    random, n = np.random.default_rng(1), ROWS * COLUMNS
    attention = random.random((2, 3, n)).astype(np.float32)
    attention /= attention.sum(axis=-1, keepdims=True)
    support = random.normal(size=(2, n)).astype(np.float32)
    odds = {"image": np.array([0.5, 0.5])}
    return Prediction(FACTS, ("A", "B"), grid(), odds, attention, random.random(n).astype(np.float32), support)


RESULT = prediction()


def test_area_takes_holes_out_and_both_pixel_sizes() -> None:
    assert area_mm2(Region(HOLED), FACTS) == pytest.approx((40 * 30 - 25 - 140) * 0.5 * 0.25 / 1e6)
    assert area_mm2(Region(HOLED), replace(FACTS, mpp_yx=None)) is None


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1))
def test_numbers_agree_with_a_slow_reference(seed: int) -> None:
    random = np.random.default_rng(seed)
    low, size = random.uniform(-20, 80, (3, 2)), random.uniform(1, 70, (3, 2))
    boxes = [box(*a, *(a + b)) for a, b in zip(low, size, strict=True)]
    area = shapely.union_all(boxes[:2]).difference(boxes[2])
    if area.area == 0:
        return
    (row,) = region_facts([Region(area, "r", "c")], FACTS, RESULT)
    centres = [(x + SIDE / 2, y + SIDE / 2) for y, x in RESULT.grid.coords_yx]
    inside = [k for k, centre in enumerate(centres) if area.contains(shapely.Point(centre))]
    weights, n = RESULT.mean_attention, len(centres)
    assert (row.name, row.classification, row.patches) == ("r", "c", len(inside))
    assert row.patch_share == pytest.approx(len(inside) / n)
    assert row.attention_share == pytest.approx(weights[inside].sum(), rel=1e-5)
    if inside:
        assert row.attention == pytest.approx(weights[inside].mean() / weights.mean(), rel=1e-5)
        assert row.error == pytest.approx(RESULT.reconstruction_error[inside].mean(), rel=1e-5)
        means = [RESULT.class_support[k][inside].mean() for k in range(2)]
        assert list(row.support) == ["A", "B"]
        assert list(row.support.values()) == pytest.approx(means, abs=1e-5)


def test_parts_of_a_slide_add_up_to_all_of_it() -> None:
    left, right = (region_facts([Region(b)], FACTS, RESULT)[0] for b in (box(0, 0, 50, 90), box(50, 0, 100, 90)))
    assert left.patches + right.patches == len(RESULT.grid)
    assert left.attention_share + right.attention_share == pytest.approx(1, rel=1e-5)
    assert left.patch_share + right.patch_share == pytest.approx(1)


def test_a_region_without_patches_has_shares_and_no_means() -> None:
    far = MultiPolygon([box(500, 500, 600, 600), box(96, 0, 104, 50)])
    (row,) = region_facts([Region(far)], FACTS, RESULT)
    assert (row.patches, row.patch_share, row.attention_share) == (0, 0, 0)
    assert (row.attention, row.error, dict(row.support)) == (None, None, {})
    assert row.outside == pytest.approx(1 - 200 / (10000 + 400))


def test_without_a_result_only_the_area_is_known() -> None:
    (row,) = region_facts([Region(HOLED)], FACTS)
    assert row.area_mm2 > 0
    assert (row.patches, row.attention, row.patch_share) == (None, None, None)


def test_patches_are_found_once_where_they_are_remembered() -> None:
    asked = []

    def remember(region: Region, grid: PatchGrid) -> np.ndarray:
        asked.append(region.name)
        return patches_inside(region, grid)

    region_facts([Region(HOLED, "a"), Region(HOLED, "b")], FACTS, RESULT, remember)
    assert asked == ["a", "b"]


def test_the_table_as_csv() -> None:
    rows = region_facts([Region(box(0, 0, 50, 90), '=1+1,"x"', "T"), Region(box(500, 0, 501, 9))], FACTS, RESULT)
    first, second = csv.DictReader(io.StringIO(csv_table(rows)))
    assert first["region"] == '\'=1+1,"x"'
    assert first["class"] == "T"
    assert float(first["area_mm2"]) == pytest.approx(50 * 90 * 0.125e-6, rel=1e-5)
    assert float(first["mean_support_B_logit"]) == pytest.approx(rows[0].support["B"], rel=1e-4)
    assert second["mean_support_B_logit"] == second["mean_reconstruction_error"] == ""
    assert second["share_of_area_outside_slide"] == "1"
    assert "slide" not in first
    assert next(csv.DictReader(io.StringIO(csv_table(rows, {"slide": "s"}))))["slide"] == "s"
