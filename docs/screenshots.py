"""The README's pictures: the real window on the generated sample, driven through a pathologist's ten minutes.

    xvfb-run -a -s "-screen 0 1600x1000x24 +extension GLX" python docs/screenshots.py [FOLDER]

Writes overview, live, inspector, genes, what_if, regions, cases and report .png into docs/images (or FOLDER). Slides,
profile and model are synthetic.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import napari
from napari.layers import Layer
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QPushButton, QWidget
from shapely.geometry import Point, box

from napari_gimp.bundled import DEMO_CHECKPOINT, resource, sample_folder
from napari_gimp.export.report import report_case
from napari_gimp.export.report.sheet import draw_sheet
from napari_gimp.plugin.launch import prepare
from napari_gimp.plugin.layers import MAP, TAG
from napari_gimp.plugin.preferences import PLUGIN
from napari_gimp.plugin.regions.annotations import shapes_layer
from napari_gimp.plugin.widget import GimpWidget
from napari_gimp.regions import Region
from napari_gimp.slides import open_slide
from napari_gimp.synthetic import make_sample
from napari_gimp.types import MapSettings

IMAGES = Path(__file__).parent / "images"
SIZE_PX = (1440, 900)


def wait_for(true: Callable[[], bool], seconds: float = 300) -> None:
    """Let the window live until something holds."""
    for _ in range(int(seconds * 20)):
        QTest.qWait(50)
        if true():
            return
    raise TimeoutError("the window did not get there")


class Tour:
    """One window, its panel, and where its pictures go."""

    def __init__(self, images: Path, work: Path) -> None:
        self.images, self.work = images, work
        self.sample = make_sample(sample_folder())
        self.viewer = napari.Viewer(title="napari-gimp", show=True)
        self.viewer.window.resize(*SIZE_PX)
        self.widget: GimpWidget = prepare(
            self.viewer, self.sample.slide, profile=self.sample.profile, checkpoint=resource(DEMO_CHECKPOINT)
        )
        self.widget.session.change(cache=work / "bags", maps=MapSettings(preview_s=0.2))
        self.rest()

    def rest(self, ms: int = 700) -> None:
        """Until no worker and no step is left, and everything is drawn."""
        wait_for(lambda: not self.widget.jobs.busy and not self.widget.canvas.waiting)
        QTest.qWait(ms)

    def picture(self, name: str) -> None:
        self.viewer.window.screenshot(str(self.images / f"{name}.png"), canvas_only=False, flash=False)

    def dock(self, title: str, picture: str, act: Callable[[QWidget], object] = lambda dock: None) -> None:
        """Open a dock, do something in it, take its picture, close it."""
        docked, widget = self.viewer.window.add_plugin_dock_widget(PLUGIN, title, tabify=True)
        docked.raise_()
        self.rest()
        act(widget)
        self.rest()
        self.picture(picture)
        self.viewer.window.remove_dock_widget(docked)
        QTest.qWait(200)

    def has_map(self) -> bool:
        """Whether a map of some of the patches is on the slide."""
        return any(
            layer.metadata.get(TAG, {}).get("role") == MAP and "partial" in layer.name for layer in self.viewer.layers
        )

    def run(self) -> None:
        """A run, with a picture while the map fills in."""
        self.widget.run()
        wait_for(lambda: self.has_map() or not self.widget.session.running)
        self.picture("live")
        wait_for(lambda: not self.widget.session.running)
        if self.widget.session.prediction is None:
            sys.exit(self.widget.panel.error.sentence.text())
        self.rest()
        self.viewer.reset_view()
        self.rest()
        self.picture("overview")

    def draw(self) -> None:
        """Two regions, as a pathologist might."""
        slide = self.widget.session.choices.slide
        height, width = slide.shape_yx
        drawn = [
            Region(Point(0.42 * width, 0.52 * height).buffer(0.14 * width), "nest", "tumour"),
            Region(box(0.62 * width, 0.3 * height, 0.8 * width, 0.45 * height), "edge", "stroma"),
        ]
        self.viewer.add_layer(Layer.create(*shapes_layer(drawn, slide, "regions")))
        self.rest()

    def report(self) -> None:
        """The page of the case that Report… writes as report.pdf."""
        with open_slide(self.sample.slide) as slide:
            case = report_case(slide, self.widget.session.prediction, allow_names=True)
        draw_sheet(case).savefig(self.images / "report.png", dpi=90)


def silence_the_strongest(dock: QWidget) -> None:
    """Ask what if the gene that adds most were silent."""
    result = dock.desk.result
    dock.desk.gene_chosen.emit(result.genes[int(result.gene_attribution[0].argmax())])
    apply = next(button for button in dock.findChildren(QPushButton) if button.text() == "Apply")
    QTest.mouseClick(apply, Qt.MouseButton.LeftButton)
    QTest.qWait(500)


def main(images: Path) -> None:
    """Every picture, one after the other."""
    images.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as work:
        tour = Tour(images, Path(work))
        tour.run()
        best = int(tour.widget.session.prediction.mean_attention.argmax())
        tour.dock("GiMP: inspect patches", "inspector", lambda dock: dock.desk.patch_chosen.emit(best))
        tour.dock("GiMP: compare patches", "gallery")
        tour.dock("GiMP: look at the genes", "genes")
        tour.dock("GiMP: ask what if", "what_if", silence_the_strongest)
        tour.report()
        tour.draw()
        tour.dock("GiMP: draw and measure regions", "regions")
        tour.dock("GiMP: list cases", "cases", lambda dock: dock.load(tour.sample.slide.parent))
        tour.viewer.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else IMAGES)
