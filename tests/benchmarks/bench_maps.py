"""Switching between patch maps: how long is the window busy until the next map is drawn?

    xvfb-run -a -s "-screen 0 1600x1000x24 +extension GLX" python tests/benchmarks/bench_maps.py [PATCHES ...]

A generated result (2 layers of 8 heads, 2 classes, no slide underneath) at 10,000, 50,000 and 100,000 patches; each map
is chosen in the panel's box, and time runs from the choice until the map is swapped (numbers, colours, legend, top
patches) and, in the second column, until the canvas is drawn again. Medians and the longest of all switches, in ms; the
last column builds a new layer per map instead, as a plugin without a swap layer does.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import napari
import numpy as np
from napari.layers import Image
from qtpy.QtWidgets import QApplication

from napari_gimp.plugin import layers
from napari_gimp.plugin.launch import prepare
from napari_gimp.plugin.maps import map_titles, patch_map
from napari_gimp.plugin.session import Choices, Request, ViewSettings
from napari_gimp.plugin.widget import GimpWidget
from napari_gimp.types import PatchGrid, Prediction, SlideFacts

SIDE, HEADS, ROUNDS = 256.0, 8, 2


def made(patches: int) -> Prediction:
    """A result of that many patches, on a square."""
    side = round(patches**0.5)
    shape = (int(side * SIDE), int(side * SIDE))
    facts = SlideFacts("generated", "generated", shape, (shape,), (0.5, 0.5))
    rows, columns = np.divmod(np.arange(side * side), side)
    corners = (np.stack([rows, columns], 1) * int(SIDE)).astype(np.int64)
    grid = PatchGrid(corners, (SIDE, SIDE), (SIDE, SIDE), shape, (0.5, 0.5))
    rng = np.random.default_rng(0)
    attention = rng.random((2, HEADS, len(grid)), np.float32)
    attention /= attention.sum(-1, keepdims=True)
    support = rng.normal(size=(2, len(grid))).astype(np.float32)
    odds = {"image": np.array([0.3, 0.7])}
    return Prediction(facts, ("A", "B"), grid, odds, attention, rng.random(len(grid), np.float32), support)


def settle(widget: GimpWidget) -> None:
    """Until nothing waits."""
    while widget.canvas.waiting:
        QApplication.processEvents()


def switches(widget: GimpWidget, keys: list[str]) -> tuple[list[float], list[float]]:
    """ms until each map is swapped, and until it is drawn."""
    swapped, drawn = [], []
    for key in keys * ROUNDS:
        began = time.perf_counter()
        widget.panel.result.choose_map(key)
        settle(widget)
        swapped.append(1e3 * (time.perf_counter() - began))
        QApplication.processEvents()
        drawn.append(1e3 * (time.perf_counter() - began))
    return swapped, drawn


def fresh(viewer: napari.Viewer, prediction: Prediction, keys: list[str]) -> list[float]:
    """ms to add a layer per map and hide the one before."""
    taken = []
    for key in keys:
        began = time.perf_counter()
        (layer,) = layers.map_layers(prediction, patch_map(prediction, key), ViewSettings())
        attributes = {name: value for name, value in layer[1].items() if name != "metadata"}
        viewer.layers[-1].visible = False
        viewer.add_layer(Image(layer[0], **attributes))
        taken.append(1e3 * (time.perf_counter() - began))
    return taken


def main(counts: list[int]) -> None:
    print(f"{'patches':>8}{'maps':>6}   swap ms: median  longest   drawn ms: median  longest   new layer ms: median")
    for patches in counts:
        viewer = napari.Viewer(show=True)
        widget, prediction = prepare(viewer), made(patches)
        choices = Choices(path=Path("generated"), slide=prediction.slide, checkpoint=Path("generated"))
        widget.session.change(path=choices.path, slide=choices.slide)
        origin = Request(1, Path("generated"), prediction.slide, Path("generated"), choices, None)
        widget.shown.take(prediction, origin)
        settle(widget)
        keys = list(map_titles(prediction))
        swapped, drawn = switches(widget, keys)
        new = fresh(viewer, prediction, keys)
        print(
            f"{len(prediction.grid):>8}{len(keys):>6}{np.median(swapped):>18.1f}{max(swapped):>9.1f}"
            f"{np.median(drawn):>19.1f}{max(drawn):>9.1f}{np.median(new):>23.1f}",
            flush=True,
        )
        viewer.close()


if __name__ == "__main__":
    main([int(count) for count in sys.argv[1:]] or [10_000, 50_000, 100_000])
