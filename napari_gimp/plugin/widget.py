"""The analysis widget: the one object that holds viewer, session and workers and joins them."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import napari.viewer
from napari.layers import Layer
from napari.settings import get_settings
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import QSizePolicy, QVBoxLayout, QWidget

from napari_gimp import words
from napari_gimp.encoders.load import encoder_names
from napari_gimp.plugin import job, layers
from napari_gimp.plugin.annotations import drawn_tissue
from napari_gimp.plugin.canvas import Canvas
from napari_gimp.plugin.faces import ClosingWatch, show_session
from napari_gimp.plugin.host import attend, drawn_names, slide_layers, slide_of
from napari_gimp.plugin.inputs import Inputs
from napari_gimp.plugin.jobs import Jobs
from napari_gimp.plugin.panel import Panel
from napari_gimp.plugin.preferences import preferences
from napari_gimp.plugin.session import Choices, Request, Session
from napari_gimp.settings import InputError
from napari_gimp.types import Prediction, Progress, check_mpp

LOG = logging.getLogger("napari_gimp")


class GimpWidget(QWidget):
    """Choose a slide, a gene profile and a checkpoint; run GiMP beside the window; see the maps on the tissue."""

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        wished = preferences()
        self.viewer, self.canvas, self.jobs = viewer, Canvas(viewer), Jobs()
        self.panel = Panel(encoder_names(), wished.device, wished.encoder)
        self.session = Session(
            Choices(device=wished.device, cache=wished.cache / "bags", cache_gb=wished.cache_gb), self._show
        )
        self.inputs = Inputs(self.panel, self.session, self.jobs, self._report_beside, self._fail)
        self._layer: Layer | None = None
        self._tissue = ""
        self._said_beside: list[str] = []
        self._stop_run: Callable[[], None] = lambda: None
        self._closing = ClosingWatch(self, self._close)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.panel)
        attend(viewer)
        self._connect()
        self.inputs.load_checkpoint(None)
        self._model_changed()
        self._layers_changed()
        self.jobs.start(job.warm_up, returned=lambda _: None, errored=lambda error: LOG.info("no warm-up: %s", error))

    def _connect(self) -> None:
        panel = self.panel
        panel.slide.slide_chosen.connect(self._choose_slide)
        panel.slide.mpp_given.connect(self.give_mpp)
        panel.slide.tissue_chosen.connect(self._choose_tissue)
        panel.slide.edit_tissue.connect(self._edit_tissue)
        panel.slide.background.setChecked(get_settings().experimental.async_)
        panel.slide.background_wanted.connect(_load_in_background)
        panel.model.changed.connect(self._model_changed)
        panel.runs.run.connect(self.run)
        panel.runs.cancel.connect(self.cancel)
        panel.result.view_changed.connect(self._show_maps)
        panel.result.export_to.connect(lambda folder: self.export(Path(folder)))
        panel.result.patch_chosen.connect(self._go_to_patch)
        self.viewer.layers.events.inserted.connect(self._layers_changed)
        self.viewer.layers.events.removed.connect(self._layers_changed)
        self.destroyed.connect(self.jobs.quit)

    def _choose_slide(self, name: str) -> None:
        self._take_slide(next((layer for layer in self.viewer.layers if layer.name == name), None))

    def _take_slide(self, layer: Layer | None) -> None:
        """Make this layer's slide the one to analyse."""
        slide = slide_of(layer)
        self._layer = layer
        if layer is None or slide is None:
            self.session.change(path=None, slide=None)
            return
        self.session.change(path=Path(slide.path), slide=slide.facts)
        self.panel.slide.ask_mpp(slide.facts.mpp_yx is None)
        profile = layer.metadata.get("profile")
        chosen = self.session.choices
        if profile is not None and chosen.expression is None and chosen.reading is None:
            self.inputs.load_profile(Path(profile))
        elif chosen.expression is not None:
            self.inputs.match_sample(None)

    def _layers_changed(self, event: Any = None) -> None:
        """Slides and drawn layers come and go; a run on a slide that is gone is given up."""
        slides, drawn = slide_layers(self.viewer), drawn_names(self.viewer)
        gone = self._layer is not None and self._layer not in slides
        if gone and self.session.running:
            self.cancel("The slide was closed: the run was given up.")
        if gone or self._layer is None:
            self._take_slide(slides[-1] if slides else None)
        self._tissue = self._tissue if self._tissue in drawn else ""
        self.panel.slide.set_slides([layer.name for layer in slides], "" if self._layer is None else self._layer.name)
        self.panel.slide.set_tissue_layers(drawn, self._tissue)

    def _choose_tissue(self, name: str) -> None:
        self._tissue = name

    def _edit_tissue(self) -> None:
        """Turn the tissue found last into labels to paint on, and take those from now on."""
        facts = self.session.choices.slide
        found = None if facts is None else self.canvas.find(layers.tag(layers.TISSUE, facts))
        if found is None or facts is None:
            self._fail(InputError("No tissue was found yet: run once, or draw a Shapes or Labels layer and choose it."))
            return
        layer = Layer.create(*layers.tissue_labels(found.metadata["tissue"], facts))
        self.viewer.layers.append(layer)
        self._tissue = layer.name
        self._layers_changed()

    def give_mpp(self, mpp: float) -> None:
        """Set um per pixel of the chosen slide: layer and maps move to um."""
        slide = slide_of(self._layer)
        if self._layer is None or slide is None or not self._sane(lambda: check_mpp((mpp, mpp))):
            return
        slide.with_mpp(mpp)
        place = layers.placement((0, 0), (1, 1), slide.facts.mpp_yx)
        self._layer.units, self._layer.scale = place["units"], place["scale"]
        self.session.change(slide=slide.facts)
        self.viewer.reset_view()

    def _model_changed(self) -> None:
        try:
            values = self.panel.model_values()
        except InputError as error:
            self._fail(error)
            return
        self.panel.error.clear()
        self.session.change(**values)

    def run_when_ready(self) -> None:
        """Run now, or as soon as the gene profile that is being read has arrived."""
        self.inputs.when_read(self.run)

    def run(self) -> None:
        """Start the analysis of what is chosen."""
        self.panel.error.clear()
        try:
            request = self.session.begin(self._drawn_tissue())
        except InputError as error:
            self._fail(error)
            return
        self._stop_run = self.jobs.start(
            job.analyse,
            request,
            yielded=lambda progress: self._while_current(request, self._take_progress, progress),
            returned=lambda prediction: self._while_current(request, self._take_result, prediction),
            errored=lambda error: self._while_current(request, self._run_failed, error),
        )

    def _drawn_tissue(self) -> Any:
        facts = self.session.choices.slide
        if not self._tissue or facts is None:
            return None
        data, attributes, kind = self.viewer.layers[self._tissue].as_layer_data_tuple()
        return drawn_tissue(data, attributes, kind, facts)

    def cancel(self, reason: str = "") -> None:
        """End the run and nothing else: the window is free now, its worker ends after its step, unheard."""
        self._stop_run()
        self._end_run(reason or "Cancelled; what was embedded is kept for the next run.", 0)

    def _end_run(self, said: str, done: int) -> None:
        """The run is over; what was said beside it follows."""
        self.session.end()
        self.panel.runs.set_progress(" ".join((said, *self._said_beside)).strip(), done, 1)
        self._said_beside.clear()

    def _while_current(self, request: Request, act: Callable[[Request, Any], None], value: Any) -> None:
        if self.session.is_current(request.number):
            act(request, value)

    def _run_failed(self, request: Request, error: Exception) -> None:
        self._end_run("", 0)
        self._fail(error)

    def _take_progress(self, request: Request, progress: Progress) -> None:
        self._report(progress)
        facts = self.session.choices.slide
        if progress.tissue is not None and facts is not None and not self._tissue:
            self.canvas.put(layers.tissue_layer(progress.tissue, facts))
        if progress.partial is not None:
            self._take_prediction(request, progress.partial)

    def _report(self, progress: Progress) -> None:
        self.panel.runs.set_progress(words.progress_words(progress), progress.done, progress.total)

    def _report_beside(self, progress: Progress | None) -> None:
        """What goes on beside a run; a run in progress has the line for itself."""
        if not self.session.running and progress is None:
            self.panel.runs.set_progress("", 0, 1)
        elif not self.session.running and progress is not None:
            self._report(progress)

    def _take_result(self, request: Request, prediction: Prediction) -> None:
        self._take_prediction(request, prediction)
        self._end_run("Done.", 1)
        self.panel.show_section(self.panel.result)

    def _take_prediction(self, request: Request, prediction: Prediction) -> None:
        self.session.accept(prediction, request)
        self.panel.result.show_result(prediction.slide.name, *words.result_words(prediction))
        self.panel.result.export.setEnabled(prediction.partial >= 1)
        self._show_maps()

    def _show_maps(self) -> None:
        """The last prediction as the view settings want it; the most attended patches once it is whole."""
        prediction, result = self.session.prediction, self.panel.result
        if prediction is None:
            return
        view, head = result.view.value(), result.head.currentText()
        for layer in layers.map_layers(prediction, view, head):
            self.canvas.put(layer, opacity=view.opacity)
        if prediction.partial >= 1:
            self.canvas.put(layers.top_layer(prediction, view, head))
            result.set_patches(*layers.patch_rows(prediction, view.top_patches, head))

    def _go_to_patch(self, row: int) -> None:
        prediction, result = self.session.prediction, self.panel.result
        if prediction is not None:
            patch = layers.top_patches(prediction, row + 1, result.head.currentText())[row]
            self.canvas.go_to(*layers.patch_place(prediction, int(patch)))

    def ask_for_export(self) -> None:
        """Let the user choose a folder, once there is a whole result."""
        if self.session.prediction is None or self.session.prediction.partial < 1:
            self._fail(InputError("There is no result to export yet: expected a finished run; run GiMP first."))
        else:
            self.panel.result.ask_folder()

    def export(self, folder: Path) -> None:
        """Write the last whole result to a folder, with a picture of the slide that it was made of."""
        prediction, origin = self.session.prediction, self.session.origin
        if prediction is None or origin is None:
            return
        self.panel.error.clear()
        self.jobs.start(
            job.export,
            prediction,
            origin.path,
            folder,
            {"device": origin.choices.device, "from": "napari"},
            returned=lambda files: self._say_written(files[0].parent),
            errored=self._fail,
            yielded=self._report_beside,
        )

    def _say_written(self, folder: Path) -> None:
        """Now, or at the end of the run in progress."""
        said = f"Written to {folder}."
        if self.session.running:
            self._said_beside.append(said)
        else:
            self.panel.runs.set_progress(said, 1, 1)

    def _sane(self, check: Callable[[], None]) -> bool:
        try:
            check()
        except InputError as error:
            self._fail(error)
            return False
        self.panel.error.clear()
        return True

    def _fail(self, error: Exception) -> None:
        """One sentence in the panel; everything else behind its button and in the log. A run goes on."""
        details = "".join(traceback.format_exception(error))
        LOG.error("%s", error, exc_info=error)
        self._report_beside(None)
        self.panel.error.show_error(words.error_words(error), details)

    def _show(self) -> None:
        show_session(self.panel, self.session)

    def showEvent(self, event: QShowEvent) -> None:
        """The main window is known once the widget is docked: its closing ends the run."""
        super().showEvent(event)
        self._closing.watch(self.window())

    def _close(self) -> None:
        self.session.end()
        self.canvas.stop()
        self.jobs.stop()


def _load_in_background(wanted: bool) -> None:
    """The user's napari setting, changed because the user said so."""
    get_settings().experimental.async_ = wanted
