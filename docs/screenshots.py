"""The README's picture: the real window on the generated sample after a whole run with the demo model.

    xvfb-run -a -s "-screen 0 1600x1000x24 +extension GLX" python docs/screenshots.py [FOLDER]

Writes ``overview.png`` into docs/images (or FOLDER). Slide, profile and model are synthetic.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import napari
from qtpy.QtTest import QTest

from napari_gimp.bundled import sample_folder
from napari_gimp.plugin.launch import prepare
from napari_gimp.synthetic import make_sample

IMAGES = Path(__file__).parent / "images"
SIZE_PX = (1440, 900)


def wait_for(true: Callable[[], bool], seconds: float = 180) -> None:
    """Let the window live until something holds."""
    for _ in range(int(seconds * 20)):
        QTest.qWait(50)
        if true():
            return
    raise TimeoutError("the window did not get there")


def main(images: Path) -> None:
    """Open the sample, run, go through the result, take the picture."""
    sample = make_sample(sample_folder())
    viewer = napari.Viewer(title="napari-gimp", show=True)
    viewer.window.resize(*SIZE_PX)
    widget = prepare(viewer, sample.slide, profile=sample.profile)
    with tempfile.TemporaryDirectory() as bags:
        widget.session.change(cache=Path(bags))
        wait_for(lambda: not widget.jobs.busy)
        widget.run()
        wait_for(lambda: not widget.session.running)
    if widget.session.prediction is None:
        sys.exit(widget.panel.error.sentence.text())
    wait_for(lambda: not widget.canvas.waiting)
    viewer.reset_view()
    QTest.qWait(1000)
    images.mkdir(parents=True, exist_ok=True)
    viewer.window.screenshot(str(images / "overview.png"), canvas_only=False, flash=False)
    viewer.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else IMAGES)
