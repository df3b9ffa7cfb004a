"""What the regions dock costs at 100,000 patches and 50 regions: the table, one edit, undo, import.

    xvfb-run -a python tests/benchmarks/bench_regions.py

Prints one row per act: how long it takes and, in brackets, where it runs. Freehand outlines of 400 corners.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from napari.layers import Layer, Shapes
from shapely.geometry import Polygon

from napari_gimp.plugin.regions.annotations import shapes_layer
from napari_gimp.plugin.regions.regionhistory import restore, state_of
from napari_gimp.plugin.regions.regionrows import RegionMemory
from napari_gimp.plugin.regions.regionshapes import outlines
from napari_gimp.regions import Region, read_regions, write_geojson, write_imagescope
from napari_gimp.types import PatchGrid, Prediction, SlideFacts

SIDE, ACROSS, REGIONS, CORNERS = 512, 317, 50, 400
SHAPE = (ACROSS * SIDE, ACROSS * SIDE)
FACTS = SlideFacts("bench", "bench", SHAPE, (SHAPE,), (0.25, 0.25))


def prediction() -> Prediction:
    """Random numbers on 100,000 patches."""
    random = np.random.default_rng(0)
    corners = np.array([(r * SIDE, c * SIDE) for r in range(ACROSS) for c in range(ACROSS)], np.int64)[:100_000]
    grid = PatchGrid(corners, (SIDE, SIDE), (SIDE, SIDE), SHAPE, (0.25, 0.25))
    n = len(grid)
    attention = random.random((2, 8, n)).astype(np.float32)
    attention /= attention.sum(axis=-1, keepdims=True)
    support, error = random.normal(size=(2, n)).astype(np.float32), random.random(n).astype(np.float32)
    return Prediction(FACTS, ("A", "B"), grid, {"image": np.array([0.5, 0.5])}, attention, error, support)


def drawn(size: float) -> list[Region]:
    """Freehand areas whose radius is a share of the slide's side."""
    random = np.random.default_rng(1)
    turn = np.linspace(0, 2 * np.pi, CORNERS, endpoint=False)
    radius = size * SHAPE[0] * (1 + 0.1 * np.sin(11 * turn))
    around = np.stack([radius * np.cos(turn), radius * np.sin(turn)], axis=1)
    return [Region(Polygon(around + random.uniform(0.3, 0.7, 2) * SHAPE[0]), f"r{k}") for k in range(REGIONS)]


def timed(act: Callable[[], object], repeats: int = 1) -> float:
    """Median time in ms."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        act()
        times.append(1e3 * (time.perf_counter() - start))
    return float(np.median(times))


def main() -> None:
    """Print the table."""
    result = prediction()
    for size in (0.05, 0.2):
        print(f"{REGIONS} regions of {CORNERS} corners, radius {size:.0%} of the side, {len(result.grid)} patches")
        acts(drawn(size), result)
    files(drawn(0.05))


def acts(regions: list[Region], result: Prediction) -> None:
    """What is done with regions in the window."""
    start = time.perf_counter()
    layer = Layer.create(*shapes_layer(regions, FACTS, "bench"))
    row("napari's layer of all regions", 1e3 * (time.perf_counter() - start), "worker")
    assert isinstance(layer, Shapes)
    memory, found = RegionMemory(), outlines(layer)
    row("whole table", timed(lambda: memory.rows(found, FACTS, result)), "worker")
    row("table, one region moved", timed(lambda: moved(memory, layer, result), 9), "window")
    row("table, nothing moved", timed(lambda: memory.rows(outlines(layer), FACTS, result), 9), "window")
    row("state kept for undo", timed(lambda: state_of(layer), 9), "window")
    before = state_of(layer)
    layer.remove([3])
    row("undo of one deletion", timed(lambda: restore(layer, before)), "window")


def row(act: str, took_ms: float, where: str) -> None:
    print(f"  {act:32} {took_ms:8.1f} ms ({where})")


def moved(memory: RegionMemory, layer: Shapes, result: Prediction) -> None:
    """The table after another region was moved."""
    found = outlines(layer)
    found[3] = found[3]._replace(corners=found[3].corners + np.float32(np.random.default_rng().uniform(-500, 500)))
    memory.rows(found, FACTS, result)


def files(regions: list[Region]) -> None:
    """Files of all regions."""
    with tempfile.TemporaryDirectory() as folder:
        for name, write in (("a.geojson", write_geojson), ("a.xml", write_imagescope)):
            path = Path(folder) / name
            row(f"write {path.suffix[1:]}", timed(partial(write, path, regions)), "worker")
            row(f"read {path.suffix[1:]}", timed(partial(read_regions, path)), "worker")


if __name__ == "__main__":
    main()
