"""Looking at a slide: open time, view changes, drag rate, memory and longest freeze, beside what else napari has.

    xvfb-run -a -s "-screen 0 1600x1000x24 +extension GLX" python tests/benchmarks/bench_viewing.py [SLIDE...] \
        [--peers PYTHON] [--rounds 3]

Without SLIDE: ../shared/slides/lung_scc_HE3.tif and a generated JPEG pyramid of 40960 x 40960 px. Each viewer runs in a
process of its own on the same places in the same order ("with the navigator": its dock is open from ``again`` on).
Peers are looked for in this Python, or in PYTHON, an environment of their own with
``napari PySide6-Essentials napari-wsi[openslide,rasterio] napari-tiff dask``. They are napari-wsi, napari-tiff, and
napari's own way: a dask array per level of tifffile's zarr store.

open        from the call to the last drawn picture of the whole slide, s; the first one imports the viewer's modules
again       the same once more, s
view        a jump to another place and zoom until it is drawn sharp, ms (median and longest of 24)
cpu         processor time of such a jump over all threads, ms: what is left when other programs disturb
drag        frames a second while the slide is dragged by 24 px a step at full resolution (120 steps)
freeze      longest gap of a 5 ms Qt timer over views and drag, ms
memory      peak resident memory above that of the empty window, MB
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

SHARED = Path(__file__).resolve().parents[3] / "shared"
OURS = ("ours", "ours, with the navigator", "ours, background loading")
VIEWERS = (*OURS, "napari-wsi", "napari-tiff", "napari with dask")
PACKAGES = {"napari-wsi": "napari_wsi", "napari-tiff": "napari_tiff"}
NOT_INSTALLED, GIVE_UP_S = "not installed", 300
VIEWS, STEPS, STEP_PX, QUIET_S = 24, 120, 24, 0.05
ZOOMS = (1 / 32, 1 / 8, 1 / 4, 1 / 2, 1.0)
"""Screen pixels per slide pixel."""


class Watch:
    """Knows when the canvas was drawn last, and how late a 5 ms timer comes."""

    def __init__(self, viewer: Any) -> None:
        from qtpy.QtCore import QTimer

        self.viewer, self.drawn, self.frames, self.gaps_ms = viewer, 0.0, 0, [0.0]
        viewer.window._qt_viewer.canvas._scene_canvas.events.draw.connect(self._draw, position="last")
        self._last, self._timer = time.perf_counter(), QTimer(interval=5)
        self._timer.timeout.connect(self._beat)
        self._timer.start()

    def _draw(self, event: object) -> None:
        self.drawn, self.frames = time.perf_counter(), self.frames + 1

    def _beat(self) -> None:
        now = time.perf_counter()
        self.gaps_ms.append((now - self._last) * 1e3)
        self._last = now

    def settle(self) -> float:
        """Seconds until everything is loaded and nothing has been drawn for a while: the time of the last drawing."""
        from qtpy.QtWidgets import QApplication

        begun = self.drawn = time.perf_counter()
        while time.perf_counter() - self.drawn < QUIET_S or not all(layer.loaded for layer in self.viewer.layers):
            QApplication.processEvents()
            time.sleep(0.001)
        return self.drawn - begun


def places() -> Iterator[tuple[tuple[float, float], float]]:
    """Share of the slide and zoom, the same for everyone."""
    rng = np.random.default_rng(7)
    for k in range(VIEWS):
        y, x = rng.uniform(0.2, 0.8, 2)
        yield (float(y), float(x)), ZOOMS[k % len(ZOOMS)]


def look(viewer: Any, share: tuple[float, float], zoom: float) -> None:
    """Go to a share of the slide; ``zoom`` in screen pixels per slide pixel."""
    layer = viewer.layers[0]
    low, high = layer.extent.world[:, -2:]
    viewer.scene.camera.center = tuple(low + np.asarray(share) * (high - low))
    viewer.scene.camera.zoom = zoom / float(layer.scale[-2])


def drag(viewer: Any) -> float:
    """Frames a second."""
    from qtpy.QtWidgets import QApplication

    look(viewer, (0.4, 0.3), 1.0)
    watch = Watch(viewer)
    watch.settle()
    watch.frames, begun = 0, time.perf_counter()
    step = STEP_PX * float(viewer.layers[0].scale[-2])
    for _ in range(STEPS):
        y, x = viewer.scene.camera.center[-2:]
        viewer.scene.camera.center = (y + step / 2, x + step)
        QApplication.processEvents()
    watch.settle()
    return min(watch.frames, STEPS) / (watch.drawn - begun)


def opener(name: str) -> Callable[[Any, Path], object]:
    """How this viewer opens a slide; ImportError where it is not installed. Nothing of it is imported yet."""
    needs = {"napari with dask": ("dask", "tifffile", "zarr")}.get(name, (PACKAGES.get(name, "napari_gimp"),))
    missing = [package for package in needs if find_spec(package) is None]
    if missing:
        raise ImportError(missing[0])
    if name == "napari with dask":
        return open_with_dask
    plugin = name if name in PACKAGES else "napari-gimp"
    return lambda viewer, slide: viewer.open(str(slide), plugin=plugin)


def open_with_dask(viewer: Any, slide: Path) -> None:
    """napari's own way with a pyramid: one dask array a level."""
    import dask.array
    import tifffile
    import zarr

    with tifffile.TiffFile(slide) as file:
        count = len(file.series[0].levels)
    stores = [tifffile.imread(slide, aszarr=True, series=0, level=k) for k in range(count)]
    levels = [dask.array.from_zarr(zarr.open(store, mode="r")) for store in stores]
    viewer.add_image(levels, rgb=True, multiscale=True)


def resident_mb(peak: bool) -> float:
    """Resident memory of this process, now or at most (Linux)."""
    wanted = "VmHWM" if peak else "VmRSS"
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(wanted)) / 1024


def child(name: str, slide: Path) -> dict[str, float]:
    """All the numbers of one viewer on one slide."""
    os.environ.setdefault("NAPARI_CONFIG", "")
    open_slide = opener(name)
    import napari
    from napari.settings import get_settings

    get_settings().experimental.async_ = "background" in name
    viewer = napari.Viewer(show=True)
    viewer.window.resize(1400, 900)
    watch = Watch(viewer)
    watch.settle()
    before, begun = resident_mb(peak=False), time.perf_counter()
    open_slide(viewer, slide)
    watch.settle()
    opened = watch.drawn - begun
    viewer.layers.clear()
    watch.settle()
    begun = time.perf_counter()
    open_slide(viewer, slide)
    if "navigator" in name:
        viewer.window.add_plugin_dock_widget("napari-gimp", "GiMP: move on the slide")
    watch.settle()
    again = watch.drawn - begun
    watch.gaps_ms.clear()
    views = []
    spent = time.process_time()
    for share, zoom in places():
        look(viewer, share, zoom)
        views.append(watch.settle() * 1e3)
    spent = (time.process_time() - spent) / VIEWS
    rate = drag(viewer)
    found = {
        "open": opened,
        "again": again,
        "view": float(np.median(views)),
        "longest view": max(views),
        "cpu": spent * 1e3,
        "drag": rate,
        "freeze": max(watch.gaps_ms),
        "memory": resident_mb(peak=True) - before,
    }
    viewer.close()
    return found


def ask(python: str, name: str, slide: Path) -> dict[str, float] | str:
    """The numbers of one viewer from a process of its own, or why there are none."""
    call = [python, "-W", "ignore", __file__, "--child", name, str(slide)]
    try:
        done = subprocess.run(call, capture_output=True, text=True, check=False, timeout=GIVE_UP_S)
    except subprocess.TimeoutExpired:
        return f"gave up after {GIVE_UP_S} s"
    if done.returncode == 3:
        return NOT_INSTALLED
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    return json.loads(lines[-1]) if lines else f"failed: {(done.stderr.strip().splitlines() or ['no word'])[-1][:90]}"


COLUMNS = {
    "open": ("open s", 7, 2),
    "again": ("again s", 8, 2),
    "view": ("view ms", 8, 0),
    "longest view": ("longest", 8, 0),
    "cpu": ("cpu ms", 8, 0),
    "drag": ("drag /s", 8, 1),
    "freeze": ("freeze ms", 10, 0),
    "memory": ("memory MB", 10, 0),
}


def report(slide: Path, peers: str, rounds: int) -> None:
    """One table: of each viewer the least disturbed number of all rounds, which take turns."""
    answers: dict[str, list[dict[str, float] | str]] = {name: [] for name in VIEWERS}
    for turn in range(rounds):
        for name in VIEWERS[:: -1 if turn % 2 else 1]:
            answers[name].append(ask(sys.executable if name in OURS else peers, name, slide))
            print(f"{slide.name}: {name}: {answers[name][-1]}", file=sys.stderr, flush=True)
    print(f"\n{slide.name}, best of {rounds} rounds")
    print(" " * 26 + "".join(f"{title:>{width}}" for title, width, _ in COLUMNS.values()))
    for name, found in answers.items():
        numbers = [answer for answer in found if isinstance(answer, dict)]
        if not numbers:
            print(f"{name:26} {found[0]}")
            continue
        best = {key: (max if key == "drag" else min)(answer[key] for answer in numbers) for key in COLUMNS}
        line = "".join(f"{best[key]:{width}.{digits}f}" for key, (_, width, digits) in COLUMNS.items())
        print(f"{name:26}{line}", flush=True)


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("slides", nargs="*", type=Path)
    parser.add_argument("--peers", default=sys.executable)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--child", default="")
    given = parser.parse_args()
    if given.child:
        try:
            print(json.dumps(child(given.child, given.slides[0])))
        except ImportError:
            sys.exit(3)
        return
    with tempfile.TemporaryDirectory() as folder:
        slides = given.slides
        if not slides:
            from bench_reading import generate

            slides = [SHARED / "slides" / "lung_scc_HE3.tif", Path(folder) / "generated.tif"]
            generate(slides[1], slides[0])
        for slide in slides:
            report(slide, given.peers, given.rounds)


if __name__ == "__main__":
    main()
