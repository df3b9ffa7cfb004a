"""What the inspector and the gallery cost in the window's thread and in their workers, at 100,000 patches.

    python tests/benchmarks/bench_patches.py

Processor time of this thread in ms; no window, no slide: pixels are read in workers.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from napari_gimp.plugin.patches.patchfacts import PatchFacts
from napari_gimp.plugin.patches.patchindex import PatchIndex
from napari_gimp.plugin.patches.picks import PickSettings, Ranking, pick
from napari_gimp.types import PatchGrid, Prediction, SlideFacts

ROWS, COLUMNS, SIDE_PX, MPP = 250, 400, 486.7, 0.263


def prediction() -> Prediction:
    """Random maps on a slide full of tissue."""
    corners = [(round(r * SIDE_PX), round(c * SIDE_PX)) for r in range(ROWS) for c in range(COLUMNS)]
    shape, mpp = (int(ROWS * SIDE_PX) + 1, int(COLUMNS * SIDE_PX) + 1), (MPP, MPP)
    grid = PatchGrid(np.array(corners, np.int64), (SIDE_PX, SIDE_PX), (SIDE_PX, SIDE_PX), shape, mpp)
    random = np.random.default_rng(0)
    attention = random.random((2, 8, len(grid)), np.float32)
    attention /= attention.sum(axis=-1, keepdims=True)
    support = random.normal(size=(2, len(grid))).astype(np.float32)
    facts, odds = SlideFacts("slide", "identity", shape, (shape,), mpp), {"image": np.array([0.2, 0.8])}
    error = random.random(len(grid), np.float32)
    return Prediction(facts, ("A", "B"), grid, odds, attention, error, class_support=support)


def cost_ms(act: Callable[[], object], times: int = 1) -> float:
    """Processor time of one call."""
    began = time.thread_time()
    for _ in range(times):
        act()
    return 1000 * (time.thread_time() - began) / times


def main() -> None:
    """Print the table."""
    made = prediction()
    grid = made.grid
    assert grid.lattices  # known to the map that is drawn before
    index, facts = PatchIndex(grid), PatchFacts(made)
    points = np.random.default_rng(1).random((1000, 2)) * grid.slide_shape_yx
    most_attended = Ranking("attention", "high", "most attended")
    rows = {
        "window: index of a new result": cost_ms(lambda: PatchIndex(grid)),
        "window: patch under the cursor": cost_ms(lambda: [index.at(*point) for point in points]) / len(points),
        "window: first numbers of a result": cost_ms(lambda: facts.of(5)),
        "window: numbers of the next patch": cost_ms(lambda: facts.of(77), 200),
        "window: most surprising patches": cost_ms(lambda: facts.most_surprising(12)),
        "window: a patch found again by its corner": cost_ms(lambda: index.of_corner((0, 0)), 50),
        "worker: 24 picks, 2 sides apart": cost_ms(lambda: pick(made, most_attended, PickSettings(24, 2.0))),
        "worker: 96 picks, 10 sides apart": cost_ms(lambda: pick(made, most_attended, PickSettings(96, 10.0))),
    }
    print(f"{len(grid):,} patches")
    for name, ms in rows.items():
        print(f"{name:<44}{ms:10.3f} ms")


if __name__ == "__main__":
    main()
