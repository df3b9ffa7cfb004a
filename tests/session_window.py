"""A window in a process of its own that works on a slide until it is killed: ``python session_window.py SLIDE CACHE``.

Five times a second it draws another region, named by the time, and says so on stdout.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import plugin_cases  # noqa: F401  leaves the user's settings alone
from qtpy.QtCore import QTimer


def main(slide: Path, cache: Path) -> None:
    """Open, draw, say."""
    import napari

    from napari_gimp.plugin import job
    from napari_gimp.plugin.launch import prepare
    from napari_gimp.plugin.sessions.autosave import autosave_of

    job.warm_up = lambda: iter(())
    viewer = napari.Viewer()
    widget = prepare(viewer, slide)
    widget.session.change(cache=cache / "bags")
    autosave_of(widget.desk)
    shapes = viewer.add_shapes(name="drawn", features={"name": np.array([], object)}, units=("um", "um"))

    def draw() -> None:
        at = len(shapes.data) % 20
        shapes.feature_defaults = {"name": [f"{time.time():.3f}"]}
        shapes.add_polygons(np.array([[at, at], [at, at + 30], [at + 30, at + 30]], float))
        sys.stdout.write(f"{time.time():.3f}\n")
        sys.stdout.flush()

    timer = QTimer()
    timer.timeout.connect(draw)
    timer.start(200)
    napari.run()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
