"""Patches in bulk: which pixels, in which order, each tile once, and what becomes of tiles that will not decode."""

import threading
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_gimp.slides import SlideError, open_slide, read_patch, read_patches
from napari_gimp.slides.resample import area_matrix, resample
from napari_gimp.slides.tiles import TileCache, TileError
from napari_gimp.types import PatchGrid

SHAPE = (1500, 2100)


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (*SHAPE, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def path(picture: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("slides") / "slide.tif"
    tifffile.imwrite(path, picture, tile=(256, 256), photometric="rgb", compression="zlib")
    return path


@pytest.fixture(scope="module")
def broken_path(path: Path) -> Path:
    """The same slide with the compressed bytes of tile (2, 3) overwritten."""
    content = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as file:
        page = file.pages.first
        index = 2 * 9 + 3
        start = page.dataoffsets[index]
        content[start : start + page.databytecounts[index]] = bytes(page.databytecounts[index])
    broken = path.with_name("broken.tif")
    broken.write_bytes(content)
    return broken


def grid_of(size: float, stride: float, shape: tuple[int, int] = SHAPE, origin: tuple[int, int] = (0, 0)) -> PatchGrid:
    """Every place of a regular grid, also those that reach over the lower and right edge."""
    rows, columns = (int(np.ceil((side - start) / stride)) for side, start in zip(shape, origin, strict=True))
    places = [(origin[0] + r * stride, origin[1] + c * stride) for r in range(rows) for c in range(columns)]
    return PatchGrid(np.round(places).astype(np.int64), (size, size), (stride, stride), shape, (0.25, 0.25))


def slow_area(pixels: np.ndarray, top: float, left: float, size: float, side: int) -> np.ndarray:
    """The mean over each target pixel's area by cumulative sums with fractional ends."""

    def along(values: np.ndarray, start: float) -> np.ndarray:
        total = np.concatenate([np.zeros((1, *values.shape[1:])), np.cumsum(values, axis=0)])
        ends = start + size / side * np.arange(side + 1)
        whole = np.minimum(np.floor(ends).astype(int), len(values) - 1)
        at = total[whole] + (ends - whole)[:, None, None] * values[whole]
        return np.diff(at, axis=0) / (size / side)

    rows = along(pixels.astype(float), top)
    return along(rows.transpose(1, 0, 2), left).transpose(1, 0, 2)


@pytest.mark.parametrize(("threads", "batch_size", "prefetch"), [(1, 7, 1), (3, 16, 4), (4, 1000, 2)])
def test_native_patches_are_the_slides_pixels_in_scan_order_white_beyond_the_edge(
    path: Path, picture: np.ndarray, threads: int, batch_size: int, prefetch: int
) -> None:
    grid = grid_of(200.0, 200.0, origin=(-60, 37))
    padded = np.pad(picture, ((60, 300), (0, 300), (0, 0)), constant_values=255)
    with open_slide(path) as slide:
        batches = list(read_patches(slide, grid, 200, batch_size=batch_size, threads=threads, prefetch=prefetch))
    assert np.array_equal(np.concatenate([batch.index for batch in batches]), np.arange(len(grid)))
    assert all(len(batch.index) == batch_size for batch in batches[:-1])
    assert not any(len(batch.missing) for batch in batches)
    pixels = np.concatenate([batch.pixels for batch in batches])
    for (y, x), patch in zip(grid.coords_yx, pixels, strict=True):
        assert np.array_equal(patch, padded[y + 60 : y + 260, x : x + 200])


def test_each_tile_is_decoded_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    grid = grid_of(173.3, 173.3)
    with open_slide(path, cache=TileCache()) as slide:
        decoded, raw = [], slide.tile_levels[0].raw
        decode = raw.decode
        monkeypatch.setattr(raw, "decode", lambda row, column: decoded.append((row, column)) or decode(row, column))
        assert sum(len(batch.index) for batch in read_patches(slide, grid, 128, threads=4)) == len(grid)
    assert sorted(decoded) == [(row, column) for row in range(6) for column in range(9)]


@given(st.floats(0, 1), st.floats(0, 1), st.floats(33.0, 200.0))
@settings(max_examples=40, deadline=None)
def test_the_area_filter_weighs_border_pixels_by_their_share(top: float, left: float, size: float) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (204, 203, 3), dtype=np.uint8)
    ours = resample(pixels, (top, left), (size, size), 33)
    assert np.abs(ours - slow_area(pixels, top, left, size, 33)).max() <= 0.501


@given(st.floats(0, 3), st.floats(5, 90), st.integers(1, 64))
@settings(max_examples=60, deadline=None)
def test_area_weights_sum_to_one_and_keep_the_centre_of_mass(origin: float, size: float, side: int) -> None:
    matrix = area_matrix(origin, size, side, 200).toarray()
    assert np.allclose(matrix.sum(axis=1), 1, atol=1e-5)
    centres = matrix @ (np.arange(200) + 0.5)
    assert np.allclose(centres, origin + size / side * (np.arange(side) + 0.5), atol=max(0.5, 0.01))
    if size % side == 0 and origin == 0:
        assert np.count_nonzero(matrix) == size


def test_upwards_is_smooth_and_stays_in_range() -> None:
    pixels = np.zeros((40, 40, 3), np.uint8)
    pixels[:, 20:] = 200
    large = resample(pixels, (0.0, 0.0), (40.0, 40.0), 100)
    assert large.shape == (100, 100, 3)
    assert (np.diff(large[:, :, 0].astype(int), axis=1) >= 0).all()
    assert (large.min(), large.max()) == (0, 200)
    assert len(np.unique(large)) > 2


def test_resampled_patches_are_area_means_at_fractional_sizes(path: Path, picture: np.ndarray) -> None:
    size = 0.5 / 0.263018 * 128
    grid = grid_of(size, size)
    with open_slide(path) as slide:
        batch = next(iter(read_patches(slide, grid, 128, batch_size=9)))
    for index, patch in zip(batch.index[:4], batch.pixels, strict=False):
        y, x = grid.coords_yx[index]
        exact = slow_area(picture[y : y + 300, x : x + 300], 0.0, 0.0, size, 128)
        assert np.abs(patch - exact).max() <= 0.501


def test_the_coarsest_level_that_is_fine_enough_is_read(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "slide.tif") as writer:
        for number, side in enumerate((4096, 2048)):
            level = np.full((side, side, 3), 10 + 100 * number, np.uint8)
            writer.write(level, tile=(256, 256), photometric="rgb", subfiletype=min(number, 1), compression="zlib")
    with open_slide(tmp_path / "slide.tif") as slide:
        assert (read_patch(slide, (0, 0), (255.9, 255.9), 128) == 10).all()
        assert (read_patch(slide, (0, 0), (256.0, 256.0), 128) == 110).all()
        assert (read_patch(slide, (512, 256), (900.0, 900.0), 128) == 110).all()
        edge = read_patch(slide, (3968, 3968), (256.0, 256.0), 128)
        assert (edge[:64, :64] == 110).all()
        assert (edge[64:] == 255).all()
        assert (edge[:, 64:] == 255).all()


def test_patches_over_a_broken_tile_are_missing_and_never_black(broken_path: Path, picture: np.ndarray) -> None:
    grid = grid_of(100.0, 100.0)
    with open_slide(broken_path) as slide:
        batches = list(read_patches(slide, grid, 100, threads=3))
        index = np.concatenate([batch.index for batch in batches])
        missing = np.concatenate([batch.missing for batch in batches])
        pixels = np.concatenate([batch.pixels for batch in batches])
        y, x = grid.coords_yx.T
        over = (y + 100 > 512) & (y < 768) & (x + 100 > 768) & (x < 1024)
        assert np.array_equal(missing, np.flatnonzero(over))
        assert np.array_equal(index, np.flatnonzero(~over))
        k = np.flatnonzero((grid.coords_yx[index] == (1000, 1000)).all(axis=1))[0]
        assert np.array_equal(pixels[k], picture[1000:1100, 1000:1100])
        with pytest.raises(TileError, match="decode"):
            read_patch(slide, (600, 800), (100.0, 100.0), 100)
        assert slide.levels[0][600:601, 800:801].min() >= 222


def test_more_than_a_fifth_missing_is_an_error_as_soon_as_it_is_certain(broken_path: Path) -> None:
    grid = grid_of(100.0, 100.0)
    y, x = grid.coords_yx.T
    near = grid.take(np.flatnonzero((y > 300) & (y < 900) & (x > 500) & (x < 1200)))
    with open_slide(broken_path) as slide, pytest.raises(SlideError, match=r"at least 80%.*found \d+ of 30 .*damaged"):
        list(read_patches(slide, near, 100, batch_size=4))


def test_a_grid_of_no_patches_gives_nothing(path: Path) -> None:
    empty = grid_of(100.0, 100.0).take(np.empty(0, np.int64))
    with open_slide(path) as slide:
        assert list(read_patches(slide, empty, 100)) == []


def test_closing_early_ends_the_threads(path: Path) -> None:
    with open_slide(path) as slide:
        batches = read_patches(slide, grid_of(64.0, 64.0), 64, batch_size=2, threads=3)
        next(batches)
        assert any(thread.name.startswith("patches") for thread in threading.enumerate())
        batches.close()
        assert not any(thread.name.startswith("patches") for thread in threading.enumerate())


def test_a_slide_closed_while_it_is_read_ends_in_one_sentence(path: Path) -> None:
    slide = open_slide(path)
    batches = read_patches(slide, grid_of(64.0, 64.0), 64, batch_size=2, threads=2, prefetch=1)
    next(batches)
    slide.close()
    with pytest.raises(SlideError, match="closed"):
        list(batches)


def test_memory_in_flight_is_bounded_by_the_prefetch(path: Path) -> None:
    with open_slide(path) as slide:
        started, raw = [], slide.tile_levels[0]
        region = raw.region
        raw.region = lambda *box, **more: started.append(1) or region(*box, **more)
        batches = read_patches(slide, grid_of(50.0, 50.0), 50, batch_size=4, threads=2, prefetch=3)
        for taken, _ in enumerate(batches, start=1):
            assert len(started) <= 4 * (taken + 3)
            if taken == 20:
                break
        batches.close()


def test_the_real_slide_in_bulk_equals_one_by_one(shared: Path) -> None:
    with open_slide(shared / "slides" / "lung_scc_HE3.tif") as slide:
        size = 256 * 0.5 / slide.facts.known_mpp_yx()[0]
        corners = np.round(np.array([[7000 + r * size, 8000 + c * size] for r in range(3) for c in range(4)]))
        grid = PatchGrid(corners.astype(np.int64), (size, size), (size, size), slide.facts.shape_yx, slide.facts.mpp_yx)
        for batch in read_patches(slide, grid, 256, batch_size=5):
            for index, patch in zip(batch.index, batch.pixels, strict=True):
                y, x = grid.coords_yx[index]
                assert np.array_equal(patch, read_patch(slide, (int(y), int(x)), (size, size), 256))
                pixels = slide.levels[0][y : y + 488, x : x + 488]
                assert np.abs(patch - slow_area(np.asarray(pixels), 0.0, 0.0, size, 256)).max() <= 0.501
