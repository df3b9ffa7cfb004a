"""Patches per second of ours, tiffslide, OpenSlide and tifffile on the same patches: one table, one run.

    python tests/benchmarks/bench_reading.py [--slide SLIDE] [--patches 2000] [--threads N]

Everybody reads with the same number of threads, a handle for each thread, from a file that is in the system's cache.
Opening is compared with tiffslide's own; memory is the peak of a fresh process that reads a whole slide at 0.5 um.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import openslide
import tifffile
import tiffslide
from PIL import Image

from napari_gimp.slides import open_slide, read_patches
from napari_gimp.slides.tiles import TileCache
from napari_gimp.types import PatchGrid

SHARED = Path(__file__).resolve().parents[3] / "shared" / "slides"
TILE, PATCH, SIDE = 256, 256, 40_960
SLIDE_MPP = 0.25
ROUNDS = 4
Region = Callable[[int, int, int], np.ndarray]


def generate(path: Path, source: Path, side: int = SIDE) -> None:
    """A side x side JPEG slide, levels /1 /4 /16, of a few hundred encoded tissue tiles in random places."""
    rng = np.random.default_rng(0)
    with tifffile.TiffFile(source) as file:
        picture = file.pages[0].asarray()
    cells = [(y, x) for y in range(0, picture.shape[0] - TILE, TILE) for x in range(0, picture.shape[1] - TILE, TILE)]
    tiles = [picture[y : y + TILE, x : x + TILE] for y, x in cells]
    tissue = sorted(tiles, key=lambda tile: -float(tile.std()))[:300]
    coded = [imagecodecs.jpeg8_encode(np.ascontiguousarray(tile), level=80, subsampling="420") for tile in tissue]
    with tifffile.TiffWriter(path, bigtiff=True) as writer:
        for step in (1, 4, 16):
            shape = (side // step, side // step, 3)
            order = rng.integers(0, len(coded), (-(-shape[0] // TILE)) ** 2)
            writer.write(
                (coded[k] for k in order),
                shape=shape,
                dtype=np.uint8,
                tile=(TILE, TILE),
                photometric="ycbcr",
                subsampling=(2, 2),
                compression="jpeg",
                subfiletype=0 if step == 1 else 1,
                resolution=(10_000 / SLIDE_MPP / step, 10_000 / SLIDE_MPP / step),
                resolutionunit="centimeter",
            )


def tiffslide_reader(path: Path) -> Region:
    """(y, x, side) -> pixels."""
    slide = tiffslide.TiffSlide(path)
    return lambda y, x, side: slide.read_region((x, y), 0, (side, side), as_array=True)


def openslide_reader(path: Path) -> Region:
    """(y, x, side) -> pixels."""
    slide = openslide.OpenSlide(path)
    return lambda y, x, side: np.asarray(slide.read_region((x, y), 0, (side, side)).convert("RGB"))


def tifffile_reader(path: Path) -> Region:
    """(y, x, side) -> pixels: every tile under the patch decoded by the page."""
    page: Any = tifffile.TiffFile(path).pages[0]
    columns, (high, wide, _) = -(-page.imagewidth // page.tilewidth), page.chunks
    handle = path.open("rb")

    def read(y: int, x: int, side: int) -> np.ndarray:
        pixels = np.full((side, side, 3), 255, np.uint8)
        for row in range(y // high, (y + side - 1) // high + 1):
            for column in range(x // wide, (x + side - 1) // wide + 1):
                index = row * columns + column
                data = os.pread(handle.fileno(), page.databytecounts[index], page.dataoffsets[index])
                tile = page.decode(data, index, jpegtables=page.jpegtables)[0][0]
                top, left = row * high - y, column * wide - x
                y0, x0, y1, x1 = max(top, 0), max(left, 0), min(top + high, side), min(left + wide, side)
                pixels[y0:y1, x0:x1] = tile[y0 - top : y1 - top, x0 - left : x1 - left]
        return pixels

    return read


OTHERS = {"tiffslide": tiffslide_reader, "OpenSlide": openslide_reader, "tifffile": tifffile_reader}


def read_with(make: Callable[[Path], Region], path: Path, grid: PatchGrid, threads: int) -> Iterator[np.ndarray]:
    """The grid's patches by another reader, resampled by Pillow's box filter where they are not 256 pixels."""
    local, side = threading.local(), round(grid.size_yx_px[0])

    def read(corner: np.ndarray) -> np.ndarray:
        if not hasattr(local, "read"):
            local.read = make(path)
        pixels = local.read(int(corner[0]), int(corner[1]), side)
        if side == PATCH:
            return pixels
        return np.asarray(Image.fromarray(pixels).resize((PATCH, PATCH), Image.Resampling.BOX))

    with ThreadPoolExecutor(threads) as pool:
        yield from pool.map(read, grid.coords_yx)


def read_ours(path: Path, grid: PatchGrid, threads: int) -> Iterator[np.ndarray]:
    """The grid's patches by this package, from an empty cache."""
    with open_slide(path, cache=TileCache()) as slide:
        for batch in read_patches(slide, grid, PATCH, threads=threads):
            yield from batch.pixels


def grids(path: Path, count: int) -> dict[str, PatchGrid]:
    """Random and scan-order patches of native size (unaligned with the tiles), and scan order at 0.5 um."""
    rng = np.random.default_rng(1)
    with open_slide(path) as slide:
        shape, mpp = slide.facts.shape_yx, slide.facts.known_mpp_yx()
    wide = PATCH * 0.5 / mpp[0]
    spread = rng.integers(0, np.array(shape) - PATCH, (count, 2)).astype(np.int64)
    return {
        "256 px, random places": PatchGrid(spread, (PATCH, PATCH), (PATCH, PATCH), shape, mpp),
        "256 px, scan order": _scan(shape, float(PATCH), count, mpp),
        "0.5 um, scan order": _scan(shape, wide, count, mpp),
    }


def _scan(shape: tuple[int, int], size: float, count: int, mpp: tuple[float, float]) -> PatchGrid:
    side = int(np.sqrt(count))
    rows = min(side, int((shape[0] - 37) // size))
    columns = min(count // rows, int((shape[1] - 37) // size))
    top = ((shape[0] - rows * size) / 2, (shape[1] - columns * size) / 2)
    places = [(top[0] + r * size, top[1] + c * size) for r in range(rows) for c in range(columns)]
    return PatchGrid(np.round(places).astype(np.int64), (size, size), (size, size), shape, mpp)


def race(readers: dict[str, Callable[[], Iterator[np.ndarray]]], count: int) -> dict[str, tuple[float, float]]:
    """Name -> patches per second and processor ms per patch, each reader's best of some rounds.

    The readers take turns, so that other work on the machine meets them alike.
    """
    best = dict.fromkeys(readers, (0.0, np.inf))
    for _ in range(ROUNDS):
        for name, read in readers.items():
            start, busy = time.perf_counter(), time.process_time()
            assert sum(1 for _ in read()) == count
            rate = count / (time.perf_counter() - start)
            cost = 1000 * (time.process_time() - busy) / count
            best[name] = max(best[name][0], rate), min(best[name][1], cost)
    return best


def same_pixels(path: Path, grid: PatchGrid, threads: int) -> bool:
    """Whether ours are tiffslide's pixels, patch by patch."""
    few = grid.take(np.arange(min(300, len(grid))))
    pairs = zip(read_ours(path, few, threads), read_with(tiffslide_reader, path, few, threads), strict=True)
    return all(np.array_equal(ours, theirs) for ours, theirs in pairs)


def opening_ms(path: Path) -> tuple[float, float]:
    """Median time to open and learn the levels: ours, tiffslide's."""

    def ours() -> None:
        with open_slide(path) as slide:
            assert len(slide.levels)

    def theirs() -> None:
        with tiffslide.TiffSlide(path) as slide:
            assert slide.level_dimensions

    return _median_ms(ours), _median_ms(theirs)


def _median_ms(run: Callable[[], None]) -> float:
    times = []
    for _ in range(15):
        start = time.perf_counter()
        run()
        times.append(1000 * (time.perf_counter() - start))
    return statistics.median(times)


def peak_mb(path: Path) -> float:
    """Peak memory of a fresh process that reads the whole slide."""
    done = subprocess.run([sys.executable, __file__, "--whole", str(path)], capture_output=True, text=True, check=True)
    return float(done.stdout)


def read_whole(path: Path) -> None:
    """Read every patch of a slide at 0.5 um and print the process's peak memory in MB."""
    with open_slide(path) as slide:
        shape, mpp = slide.facts.shape_yx, slide.facts.known_mpp_yx()
        size = PATCH * 0.5 / mpp[0]
        grid = _scan(shape, size, int((shape[0] // size) * (shape[1] // size)), mpp)
        for _ in read_patches(slide, grid, PATCH):
            pass
    status = Path("/proc/self/status").read_text()  # getrusage would count the parent that started this process
    print(int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) / 1024)


def report(name: str, path: Path, count: int, threads: int) -> None:
    """Print a slide's part of the table."""
    heads = "".join(f"{reader:>15}" for reader in ("ours", *OTHERS))
    print(f"\n{name}: {threads} threads, patches/s (processor ms per patch)")
    print(f"{'patches':22}{heads}  x tiffslide  x OpenSlide  pixels as tiffslide's")
    for label, grid in grids(path, count).items():
        others = {other: partial(read_with, make, path, grid, threads) for other, make in OTHERS.items()}
        result = race({"ours": partial(read_ours, path, grid, threads), **others}, len(grid))
        numbers = "".join(f"{f'{rate:.0f} ({cost:.2f})':>15}" for rate, cost in result.values())
        ratios = "".join(f"{result['ours'][0] / result[other][0]:13.1f}" for other in ("tiffslide", "OpenSlide"))
        equal = same_pixels(path, grid, threads) if grid.size_yx_px[0] == PATCH else "(resampled)"
        print(f"{label:22}{numbers}{ratios}  {equal}")
    ours_ms, theirs_ms = opening_ms(path)
    print(f"opening: {ours_ms:.1f} ms, tiffslide {theirs_ms:.1f} ms, over it {ours_ms - theirs_ms:.1f} ms")
    print(f"peak memory of reading the whole slide at 0.5 um: {peak_mb(path):.0f} MB")


def main() -> None:
    """Both slides, one table each."""
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--slide", type=Path, default=SHARED / "lung_scc_HE3.tif")
    arguments.add_argument("--patches", type=int, default=2000)
    arguments.add_argument("--threads", type=int, default=os.cpu_count())
    arguments.add_argument("--whole", type=Path)
    chosen = arguments.parse_args()
    if chosen.whole:
        read_whole(chosen.whole)
        return
    report(chosen.slide.name, chosen.slide, chosen.patches, chosen.threads)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "generated.tif"
        generate(path, chosen.slide)
        report(f"generated {SIDE} x {SIDE}, {path.stat().st_size / 2**30:.1f} GB", path, chosen.patches, chosen.threads)


if __name__ == "__main__":
    main()
