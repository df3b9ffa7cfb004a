"""Memory, files and threads while slides are opened, looked at, analysed and closed again, one after the other.

    xvfb-run -a -s "-screen 0 1600x1000x24 +extension GLX" \
        python tests/benchmarks/bench_closing.py SLIDE [--times 20] [--run]

The first round is what napari, torch and the readers keep for good; the end is held against the end of it. With
``--run`` the bundled demo model runs on every slide: embedded in the first round, taken from the kept embeddings after.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

os.environ["NAPARI_CONFIG"] = ""  # before napari reads it

import napari
from qtpy.QtCore import QCoreApplication, QEvent
from qtpy.QtWidgets import QApplication

from napari_gimp.plugin.launch import prepare
from napari_gimp.plugin.widget import GimpWidget

MOST_MB = 50
DOCKS = ("GiMP: move on the slide", "GiMP: inspect patches", "GiMP: compare patches", "GiMP: draw and measure regions")


def live(until: Callable[[], bool] = lambda: True, seconds: float = 1800.0, least_s: float = 0.0) -> None:
    """Let the window live until something holds, and at least so long."""
    start = time.monotonic()
    while time.monotonic() - start < least_s or not until():
        if time.monotonic() - start > seconds:
            sys.exit("waited in vain")
        QApplication.processEvents()
        QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
        time.sleep(0.005)


def resident_mb() -> float:
    """Memory in use, after what was freed has gone back to the system."""
    gc.collect()
    libc = ctypes.CDLL(None)
    if hasattr(libc, "malloc_trim"):
        libc.malloc_trim(0)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def files_of(slide: Path) -> int:
    """How many handles on the slide are open."""
    links = [os.readlink(fd) for fd in Path("/proc/self/fd").iterdir() if fd.is_symlink() and fd.exists()]
    return links.count(str(slide.resolve()))


def one_round(viewer: napari.Viewer, widget: GimpWidget, slide: Path, run: bool) -> float:
    """Open, look around, run, close; memory while it was open."""
    viewer.open(str(slide), plugin="napari-gimp")
    live(lambda: not widget.canvas.waiting, least_s=1.0)
    for zoom in (4.0, 4.0, 0.25):
        viewer.scene.camera.zoom *= zoom
        live(least_s=0.5)
    if run:
        widget.run()
        live(lambda: not widget.jobs.busy and not widget.canvas.waiting)
    there = resident_mb()
    viewer.layers.clear()
    live(lambda: not widget.jobs.busy and not widget.canvas.waiting, least_s=0.5)
    return there


def main(slide: Path, times: int, run: bool) -> None:
    """Print a line a round and the verdict."""
    viewer = napari.Viewer(show=True)
    viewer.window.resize(1280, 800)
    widget = prepare(viewer)
    for name in DOCKS:
        viewer.window.add_plugin_dock_widget("napari-gimp", name, tabify=True)
    live(lambda: not widget.jobs.busy)
    print(f"{slide.name}, {'with' if run else 'without'} a run\nround  open MB  closed MB  handles  threads")
    closed = []
    with tempfile.TemporaryDirectory() as cache:
        widget.session.change(cache=Path(cache))
        for number in range(times):
            there = one_round(viewer, widget, slide, run)
            closed.append(resident_mb())
            handles, threads = files_of(slide), threading.active_count()
            print(f"{number + 1:5d} {there:8.0f} {closed[-1]:10.0f} {handles:8d} {threads:8d}", flush=True)
    grown = closed[-1] - closed[0]
    print(
        f"from the end of round 1 to the end: {grown:+.0f} MB ({'within' if grown <= MOST_MB else 'over'} {MOST_MB} MB)"
    )
    viewer.close()


if __name__ == "__main__":
    asks = argparse.ArgumentParser(description=__doc__)
    asks.add_argument("slide", type=Path)
    asks.add_argument("--times", type=int, default=20)
    asks.add_argument("--run", action="store_true")
    given = asks.parse_args()
    main(given.slide, given.times, given.run)
