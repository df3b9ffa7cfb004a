"""Switching between patch maps: how long is the window busy until the next map is drawn?

    xvfb-run -a -s "-screen 0 1600x1000x24 +extension GLX" python tests/benchmarks/bench_maps.py [PATCHES ...]

A generated result (2 layers of 8 heads, 2 classes, no slide underneath) at 10,000, 50,000 and 100,000 patches; each map
is chosen in the panel's box. "swap" is what our steps take of the window's thread (numbers, colours, legend, top
patches), "longest" the longest single step, during which the window does not answer; "drawn" runs from the choice until
the canvas is drawn again, software OpenGL included. Medians over all switches, and the most of all, in ms. The last
column builds a new layer per map instead, as a plugin without a swap layer does.
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


def switches(widget: GimpWidget, keys: list[str]) -> tuple[list[float], list[float], list[float]]:
    """ms of our steps, of the longest step, and until it is drawn, of every switch."""
    steps: list[float] = []
    swapped, longest, drawn = [], [], []
    listen(widget, steps)
    for key in (keys[1:] + keys[:1]) * ROUNDS:
        steps.clear()
        began = time.perf_counter()
        widget.panel.result.choose_map(key)
        settle(widget)
        QApplication.processEvents()
        drawn.append(1e3 * (time.perf_counter() - began))
        swapped.append(sum(steps))
        longest.append(max(steps))
    return swapped, longest, drawn


def listen(widget: GimpWidget, steps: list[float]) -> None:
    """Time every step of the canvas."""
    canvas = widget.canvas
    step = canvas._step

    def timed() -> None:
        began = time.perf_counter()
        step()
        steps.append(1e3 * (time.perf_counter() - began))

    canvas._timer.timeout.disconnect()
    canvas._timer.timeout.connect(timed)


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
    print(f"{'patches':>8}{'maps':>6}{'swap':>8}{'(most)':>8}{'longest':>9}{'(most)':>8}{'drawn':>8}{'new layer':>11}")
    for patches in counts:
        viewer = napari.Viewer(show=True)
        widget, prediction = prepare(viewer), made(patches)
        choices = Choices(path=Path("generated"), slide=prediction.slide, checkpoint=Path("generated"))
        widget.session.change(path=choices.path, slide=choices.slide)
        origin = Request(1, Path("generated"), prediction.slide, Path("generated"), choices, None)
        widget.shown.take(prediction, origin)
        settle(widget)
        keys = list(map_titles(prediction))
        swapped, longest, drawn = switches(widget, keys)
        new = fresh(viewer, prediction, keys)
        print(
            f"{len(prediction.grid):>8}{len(keys):>6}{np.median(swapped):>8.1f}{max(swapped):>8.1f}"
            f"{np.median(longest):>9.1f}{max(longest):>8.1f}{np.median(drawn):>8.1f}{np.median(new):>11.1f}",
            flush=True,
        )
        viewer.close()


if __name__ == "__main__":
    main([int(count) for count in sys.argv[1:]] or [10_000, 50_000, 100_000])
