"""Synthetic slides: reproducible, readable by others' code, true to their plan, and not to be told apart by stain."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
import tiffslide
from scipy.spatial import cKDTree

from napari_gimp.regions import Region, regions_to_mask
from napari_gimp.synthetic.case import TYPES, draw_case
from napari_gimp.synthetic.layout import DOWN, lay_out
from napari_gimp.synthetic.noise import cells, enlarge, fibre_tile, grain_tile, smooth_noise
from napari_gimp.synthetic.nuclei import HALF_PX, kinds_of, scatter, stamps_of
from napari_gimp.synthetic.slide import make_slide, paint_slide, stain_table

SHAPE = (1400, 1621)


@pytest.fixture(scope="module")
def painted():
    """One case of each type, painted: (case, picture, plan)."""
    return [(case, *paint_slide(case, SHAPE)) for case in (draw_case(5, 0), draw_case(5, 1))]


def test_a_case_is_drawn_from_its_seed_alone():
    assert draw_case(1, 2) == draw_case(1, 2)
    assert draw_case(1, 2) != draw_case(2, 2)
    assert [draw_case(1, k).tumour for k in range(4)] == [*TYPES, *TYPES]
    assert draw_case(1, 0, "solid").tumour == "solid"


def test_types_differ_in_growth_but_overlap_and_share_their_stains():
    glandular, solid = ([draw_case(9, k) for k in range(start, 600, 2)] for start in (0, 1))
    share = [np.array([case.gland_share for case in group]) for group in (glandular, solid)]
    assert np.median(share[0]) > 0.6 > 0.3 > np.median(share[1])
    assert share[0].min() < share[1].max(), "no ambiguous case"
    stains = [np.array([case.stain.haematoxylin + case.stain.eosin for case in group]) for group in (glandular, solid)]
    apart = (stains[0].mean(0) - stains[1].mean(0)) / stains[0].std(0)
    assert np.abs(apart).max() < 0.3


def test_slide_is_reproducible_and_says_what_it_is(tmp_path: Path):
    case = draw_case(3, 1)
    area = make_slide(tmp_path / "a.tif", case, (700, 900))
    assert make_slide(tmp_path / "b.tif", case, (700, 900)).equals(area)
    assert (tmp_path / "a.tif").read_bytes() == (tmp_path / "b.tif").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tif", "b.tif"]
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        assert "synthetic slide, not from a patient" in file.pages[0].description
        assert file.pages[0].is_tiled
        assert not file.is_svs


def test_tiffslide_and_openslide_read_levels_and_pixel_size(tmp_path: Path):
    openslide = pytest.importorskip("openslide")
    make_slide(tmp_path / "slide.tif", draw_case(3, 0), (1200, 1500))
    for opened in (tiffslide.TiffSlide(tmp_path / "slide.tif"), openslide.OpenSlide(tmp_path / "slide.tif")):
        with opened as slide:
            assert slide.level_dimensions == ((1500, 1200), (750, 600), (375, 300))
            assert float(slide.properties[f"{type(slide).__module__.split('.')[0]}.mpp-x"]) == pytest.approx(0.5)


def test_tumour_lies_in_the_tissue_and_is_full_of_cells(painted):
    for case, picture, plan in painted:
        inside = regions_to_mask([Region(plan.tumour_area)], SHAPE, SHAPE)
        tissue = enlarge(plan.tissue, SHAPE) > 20
        assert tissue[inside].mean() > 0.97
        assert 0.5 * case.tumour_share < inside.sum() / tissue.sum() < 1.5 * case.tumour_share
        pale = (picture.astype(float).mean(axis=2) > np.mean(case.stain.glass) - 12) & tissue
        assert pale[inside].mean() < 0.2 < 0.4 < pale[tissue & ~inside].mean()


def test_glass_is_clean_and_ink_keeps_off_the_tumour(painted):
    for case, picture, plan in painted:
        np.testing.assert_allclose(picture[:40, :40].mean(axis=(0, 1)), case.stain.glass, atol=2)
        ink = enlarge(plan.pen, SHAPE) > 0.9
        assert ink.any()
        assert picture[ink].mean() < 110
        assert not (ink & regions_to_mask([Region(plan.tumour_area)], SHAPE, SHAPE)).any()
    assert not lay_out(draw_case(5, 0), SHAPE, artefacts=False).pen.any()


def test_a_fold_is_darker_than_the_same_tissue_without():
    case = draw_case(5, 0)
    (folded, plan), (flat, _) = paint_slide(case, SHAPE), paint_slide(case, SHAPE, artefacts=False)
    fold = (enlarge(plan.fold, SHAPE) > 0.9) & (enlarge(plan.pen, SHAPE) == 0)
    stained = fold & (flat.mean(axis=2) < 200)
    assert folded[stained].mean() < flat[stained].mean() - 15
    away = (enlarge(plan.fold, SHAPE) == 0) & (enlarge(plan.pen, SHAPE) == 0)
    np.testing.assert_allclose(folded[away].astype(int), flat[away], atol=1)


def test_the_glandular_share_of_the_tumour_is_the_cases():
    for index in range(2):
        case = draw_case(8, index)
        plan = lay_out(case, (2000, 2000))
        assert (plan.glandular[plan.tumour > 0] > 0).mean() == pytest.approx(case.gland_share, abs=0.01)


def test_stain_table_follows_beer_lambert():
    stain = draw_case(4).stain
    table = stain_table(stain).reshape(256, 256, 3).astype(int)
    np.testing.assert_array_equal(table[0, 0], np.round(stain.glass))
    density = 0.62 * (np.asarray(stain.haematoxylin) + 0.5 * np.asarray(stain.eosin))
    np.testing.assert_allclose(table[100, 100], stain.glass * 10**-density, atol=0.51)
    assert (np.diff(table[:, 0], axis=0) <= 0).all()
    assert (np.diff(table[0], axis=0) <= 0).all()


def test_cells_measure_the_distance_between_the_two_nearest_centres():
    y, x = np.mgrid[300:360, 800:871].astype(np.float32)
    border, value = cells(np.random.default_rng(1), y, x, 23.0)
    offset = np.random.default_rng(1).uniform(0.08, 0.92, (2, 64, 64)).astype(np.float32)
    centres = [
        ((r + offset[0, r % 64, c % 64]) * 23, (c + offset[1, r % 64, c % 64]) * 23)
        for r in range(9, 20)
        for c in range(30, 43)
    ]
    near, _ = cKDTree(centres).query(np.stack([y.ravel(), x.ravel()], axis=1), k=2)
    close = (near[:, 1] - near[:, 0]) / 2
    agree = np.isclose(border.ravel(), close, atol=1e-2)
    assert agree.mean() > 0.99, "a second-nearest centre two cells away is possible, but rare"
    assert 0 <= value.min() <= value.max() <= 1


def test_enlarging_in_boxes_has_no_seam():
    field = smooth_noise(np.random.default_rng(0), (61, 83), 9.0)
    whole = enlarge(field, (61 * DOWN, 83 * DOWN))
    part = enlarge(field, (100, 120), (20.0, 30.0, 45.0, 60.0))
    np.testing.assert_allclose(part, whole[80:180, 120:240], atol=1e-5)


@pytest.mark.parametrize("tile", [grain_tile(5.0, 2), fibre_tile(3)])
def test_noise_tiles_join_without_a_seam(tile):
    assert tile.std() == pytest.approx(1, abs=1e-3)
    for axis in (0, 1):
        steps = np.abs(np.diff(np.concatenate([tile, tile], axis=axis), axis=axis)).mean(axis=1 - axis)
        assert steps[1023] < 2 * np.median(steps)


def test_nuclei_fit_their_stamp_and_tumour_types_differ_in_size():
    small, large = (
        stamps_of(kinds_of(draw_case(5, k))[kind], np.random.default_rng(0)) for k, kind in ((0, "gland"), (1, "nest"))
    )
    for stamps in (small, large):
        edge = np.concatenate([stamps[..., 0, :], stamps[..., -1, :], stamps[..., :, 0], stamps[..., :, -1]])
        assert edge.max() == 0
        assert stamps.shape[-1] == 2 * HALF_PX + 1
    assert (large > 20).sum() > 1.1 * (small > 20).sum()


def test_scattered_points_are_even_and_inside():
    points = scatter(np.random.default_rng(0), (401, 523), 17.0)
    assert (points >= 0).all()
    assert (points < (401, 523)).all()
    assert len(points) == pytest.approx(401 * 523 / (0.87 * 17**2), rel=0.06)
    near, _ = cKDTree(points).query(points, k=2)
    assert np.median(near[:, 1]) > 6
