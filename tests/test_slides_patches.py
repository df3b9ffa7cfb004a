"""The patch grid: exact to a level-0 pixel, kept by tissue, in scan order."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from napari_gimp.settings import InputError
from napari_gimp.slides.patches import cut_patches
from napari_gimp.types import PatchGrid, PatchSpec, SlideFacts, Tissue


def facts_of(shape_yx: tuple[int, int], mpp_yx: tuple[float, float] | None) -> SlideFacts:
    return SlideFacts("slide", "id", shape_yx, (shape_yx,), mpp_yx)


def everywhere(shape_yx: tuple[int, int]) -> Tissue:
    return Tissue(np.ones((7, 11), bool), shape_yx)


def cut_all(shape_yx: tuple[int, int], mpp: float, spec: PatchSpec | None = None) -> PatchGrid:
    return cut_patches(everywhere(shape_yx), facts_of(shape_yx, (mpp, mpp)), spec or PatchSpec())


def test_three_mm_of_patches_are_exact_to_a_pixel() -> None:
    mpp = 0.263018
    width = round(3000 / mpp)
    grid = cut_all((500, width), mpp)
    size = 128 / mpp
    row = grid.coords_yx[grid.coords_yx[:, 0] == 0, 1]
    assert grid.size_yx_px == grid.stride_yx_px == (size, size)
    assert len(row) == 23  # 3000 / 128 = 23.4: the 24th would have its centre outside
    assert np.abs(row - np.arange(23) * size).max() <= 0.5
    assert row[22] == 10706  # a stride rounded to 487 px would have drifted to 10714
    assert np.abs(row * mpp - np.arange(23) * 128).max() <= mpp / 2
    assert len(grid.lattices) == 1


def test_each_axis_has_its_own_pixel_size() -> None:
    shape = (1000, 1000)
    grid = cut_patches(everywhere(shape), facts_of(shape, (0.25, 0.5)), PatchSpec())
    assert grid.size_yx_px == (512.0, 256.0)
    assert grid.coords_yx.tolist() == [
        [0, 0],
        [0, 256],
        [0, 512],
        [0, 768],
        [512, 0],
        [512, 256],
        [512, 512],
        [512, 768],
    ]


def test_half_stride_overlaps_by_half() -> None:
    grid = cut_all((256, 1024), 0.5, PatchSpec(stride=0.5))
    row = grid.coords_yx[grid.coords_yx[:, 0] == 0, 1]
    assert grid.stride_yx_px == (128.0, 128.0)
    assert grid.size_yx_px == (256.0, 256.0)
    assert row.tolist() == [0, 128, 256, 384, 512, 640, 768, 896]
    assert grid.cells[:8, 1].tolist() == list(range(8))


def test_scan_order_is_row_by_row() -> None:
    grid = cut_all((700, 900), 0.31)
    order = np.lexsort((grid.coords_yx[:, 1], grid.coords_yx[:, 0]))
    assert order.tolist() == list(range(len(grid)))


@pytest.mark.parametrize(("width", "count"), [(256, 1), (383, 1), (384, 2), (512, 2), (100, 1), (1, 1)])
def test_a_patch_stays_while_its_centre_is_inside(width: int, count: int) -> None:
    assert len(cut_all((256, width), 0.5)) == count


def test_a_slide_smaller_than_a_patch_gives_one() -> None:
    grid = cut_all((90, 70), 0.5)
    assert grid.coords_yx.tolist() == [[0, 0]]
    assert grid.size_yx_px == (256.0, 256.0)


def test_a_tiny_biopsy_keeps_the_patch_with_most_tissue() -> None:
    mask = np.zeros((64, 64), bool)
    mask[33:36, 17:20] = True  # 3 of 16 x 16 mask pixels: 3.5 % of patch (2, 1)
    mask[5, 5] = True
    grid = cut_patches(Tissue(mask, (1024, 1024)), facts_of((1024, 1024), (0.5, 0.5)), PatchSpec())
    assert grid.coords_yx.tolist() == [[512, 256]]


@pytest.mark.parametrize(("columns", "kept"), [(3, 0), (4, 1)])
def test_a_quarter_of_tissue_is_enough(columns: int, kept: int) -> None:
    mask = np.zeros((32, 32), bool)
    mask[:16, :16] = True
    mask[16:, 16 : 16 + columns] = True
    grid = cut_patches(Tissue(mask, (512, 512)), facts_of((512, 512), (0.5, 0.5)), PatchSpec())
    assert grid.coords_yx.tolist() == [[0, 0], [256, 256]][: 1 + kept]


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    shape=st.tuples(st.integers(3, 60), st.integers(3, 60)),
    mask_shape=st.tuples(st.integers(1, 17), st.integers(1, 17)),
    mpp=st.tuples(st.floats(0.9, 4.1), st.floats(0.9, 4.1)),
    stride=st.floats(0.4, 1.7),
    least=st.floats(0.05, 1.0),
)
def test_keeps_what_a_slow_reference_keeps(
    seed: int,
    shape: tuple[int, int],
    mask_shape: tuple[int, int],
    mpp: tuple[float, float],
    stride: float,
    least: float,
) -> None:
    mask = np.random.default_rng(seed).random(mask_shape) < 0.5
    mask[0, 0] = True
    spec = PatchSpec(patch_px=32, patch_mpp=0.5, stride=stride, min_tissue=least)
    grid = cut_patches(Tissue(mask, shape), facts_of(shape, mpp), spec)
    for side, size, step in zip(shape, grid.size_yx_px, grid.stride_yx_px, strict=True):
        centres = np.arange(side // step + 2) * step + size / 2
        assume(np.abs(centres - side).min() > 1e-6)  # a centre on the slide's edge may fall to either side
    shares = {corner: _share(mask, shape, corner, grid.size_yx_px) for corner in _corners(shape, grid)}
    threshold = min(least, max(shares.values()))
    sure = {corner for corner, share in shares.items() if share > threshold + 1e-6}
    possible = {corner for corner, share in shares.items() if share > threshold - 1e-6}
    found = set(map(tuple, grid.coords_yx.tolist()))
    assert sure <= found <= possible
    assert found


def test_a_large_slide_keeps_its_count() -> None:
    shape = (100_000, 100_000)
    mask = np.ones((3125, 3125), bool)
    grid = cut_patches(Tissue(mask, shape), facts_of(shape, (0.5, 0.5)), PatchSpec())
    assert len(grid) == 391 * 391
    assert grid.coords_yx[-1].tolist() == [99840, 99840]


def test_no_tissue_is_refused() -> None:
    with pytest.raises(InputError, match="expected tissue"):
        cut_patches(Tissue(np.zeros((9, 9), bool), (900, 900)), facts_of((900, 900), (0.5, 0.5)), PatchSpec())


def test_unknown_mpp_asks() -> None:
    with pytest.raises(InputError, match="--mpp"):
        cut_patches(everywhere((900, 900)), facts_of((900, 900), None), PatchSpec())


def test_tissue_of_another_slide_is_refused() -> None:
    with pytest.raises(InputError, match="tissue of a slide of"):
        cut_patches(everywhere((900, 901)), facts_of((900, 900), (0.5, 0.5)), PatchSpec())


def test_patches_below_a_pixel_are_refused() -> None:
    with pytest.raises(InputError, match="choose larger patches"):
        cut_patches(everywhere((90, 90)), facts_of((90, 90), (20.0, 20.0)), PatchSpec(patch_px=32, patch_mpp=0.5))


def _corners(shape: tuple[int, int], grid: PatchGrid) -> list[tuple[int, int]]:
    axes = []
    for length, size, stride in zip(shape, grid.size_yx_px, grid.stride_yx_px, strict=True):
        inside = [round(i * stride) for i in range(200) if i * stride + size / 2 <= length]
        axes.append(inside or [0])
    return [(y, x) for y in axes[0] for x in axes[1]]


def _share(mask: np.ndarray, shape: tuple[int, int], corner: tuple[int, int], size: tuple[float, float]) -> float:
    """Tissue share of the part of one patch that lies in the slide, mask pixel by mask pixel."""
    weights = []
    for length, pixels, first, side in zip(shape, mask.shape, corner, size, strict=True):
        scale, end = length / pixels, min(first + side, length)
        weights.append([max(0.0, min((k + 1) * scale, end) - max(k * scale, first)) for k in range(pixels)])
    return float(np.asarray(weights[0]) @ mask @ np.asarray(weights[1]) / (sum(weights[0]) * sum(weights[1])))
