"""The analysis widget: the one object that joins the panel with viewer, session and workers."""

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
from qtpy.QtWidgets import QSizePolicy, QVBoxLayout

from napari_gimp import words
from napari_gimp.encoders.load import encoder_names
from napari_gimp.plugin import job
from napari_gimp.plugin.desk import Dock
from napari_gimp.plugin.drops import Drops
from napari_gimp.plugin.errands import Errands
from napari_gimp.plugin.exports import Exports
from napari_gimp.plugin.host import shows, slide_layers, slide_of
from napari_gimp.plugin.inputs import Inputs
from napari_gimp.plugin.mapkeys import bind_map_keys
from napari_gimp.plugin.newest import ends_with
from napari_gimp.plugin.panel.faces import show_session
from napari_gimp.plugin.panel.panel import Panel
from napari_gimp.plugin.preferences import PLUGIN, preferences
from napari_gimp.plugin.regions.drawn import claim_when_drawn, place_again
from napari_gimp.plugin.session import Request
from napari_gimp.plugin.sessions.autosave import autosave_of
from napari_gimp.plugin.shown import Shown
from napari_gimp.plugin.sight import sight_of
from napari_gimp.plugin.slide.fitting import fit_of
from napari_gimp.plugin.tissue_choice import TissueChoice
from napari_gimp.plugin.wiring.keys import bind_help
from napari_gimp.settings import InputError
from napari_gimp.types import Prediction, Progress, SlideFacts, check_mpp

LOG = logging.getLogger("napari_gimp")


class GimpWidget(Dock):
    """Choose a slide, a gene profile and a checkpoint; run GiMP beside the window; see the maps on the tissue."""

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__(viewer)
        wished, desk = preferences(), self.desk
        self.viewer, self.canvas, self.jobs, self.session = viewer, desk.canvas, desk.jobs, desk.session
        self.panel = Panel(encoder_names(), wished.device, wished.encoder)
        self.panel.result.view.set_value(wished.view)
        self.errands = Errands(desk)
        self.inputs = Inputs(self.panel, self.session, self.errands, self._report_beside, self._fail)
        self.shown = Shown(self.panel, desk)
        self.exports = Exports(desk, self.panel.result, self.shown.chosen_map, self._report_beside, self.errands)
        self._layer: Layer | None = None
        self.tissue = TissueChoice(viewer, self.canvas, self.panel, self.session)
        self._said_beside: list[str] = []
        self._stop_run: Callable[[], None] = lambda: None
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.panel)
        self._sight = sight_of(desk)
        fit_of(desk).look_again()
        ends_with(self, self.errands.end, self.session.end)
        bind_map_keys(desk, self.panel.result)
        bind_help(self)
        self._drops = Drops(
            self,
            {
                "profile": self.inputs.load_profile,
                "checkpoint": self.inputs.load_checkpoint,
                "embeddings": self.panel.model.bag.take,
                "slide": lambda path: self.viewer.open(str(path), plugin=PLUGIN),
            },
        )
        self._connect()
        autosave_of(desk)
        self.inputs.load_checkpoint(self.session.choices.checkpoint)
        self._model_changed()
        self._layers_changed()
        self._show_again()
        self.errands.start(
            job.warm_up, returned=lambda _: None, errored=lambda error: LOG.info("no warm-up: %s", error)
        )

    def _connect(self) -> None:
        panel, desk = self.panel, self.desk
        self.hear(desk.session.changed, self._show)
        self.hear(desk.said, self._say)
        self.hear(desk.map_wanted, self.shown.want_map)
        self.hear(desk.failed, self._fail)
        panel.slide.slide_chosen.connect(self._choose_slide)
        panel.slide.mpp_given.connect(self.give_mpp)
        panel.slide.edit_tissue.connect(lambda: self._sane(self.tissue.edit))
        panel.slide.background.setChecked(get_settings().experimental.async_)
        panel.slide.background_wanted.connect(_load_in_background)
        panel.model.changed.connect(self._model_changed)
        panel.runs.run.connect(self.run)
        panel.runs.cancel.connect(self.cancel)
        panel.result.view_changed.connect(self.shown.show_maps)
        panel.result.patch_chosen.connect(self.shown.go_to_patch)
        self.hear(self.viewer.layers.events.inserted, self._layer_inserted)
        self.hear(self.viewer.layers.events.removed, self._layer_removed)

    def _show_again(self) -> None:
        """The result that an earlier panel of this window had shown."""
        prediction, origin = self.session.prediction, self.session.origin
        if prediction is not None and origin is not None:
            self.shown.take(prediction, origin)

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
        profile = layer.metadata.get("profile")
        chosen = self.session.choices
        if profile is not None and chosen.expression is None and chosen.reading is None:
            self.inputs.load_profile(Path(profile))
        elif chosen.expression is not None:
            self.inputs.match_sample(None)
        self.tissue.let_go_of_another()
        self._sight.look_at(slide.facts.identity)
        self.shown.restore(slide.facts.identity)

    def _layers_changed(self) -> None:
        """Slides and drawn layers come and go; a run on a slide that is gone is given up."""
        slides = slide_layers(self.viewer)
        gone, run = self._layer is not None and self._layer not in slides, self.session.request
        if run is not None and not shows(self.viewer, run.slide):
            self.cancel("The slide was closed: the run was given up.")
        if gone or self._layer is None:
            self._take_slide(slides[-1] if slides else None)
        self.panel.slide.set_slides([layer.name for layer in slides], "" if self._layer is None else self._layer.name)
        self.tissue.show()

    def _layer_inserted(self, event: Any) -> None:
        claim_when_drawn(event.value, lambda: self.session.choices.slide)
        if slide_of(event.value) is not None and not self.session.running:
            self._take_slide(event.value)
        self._layers_changed()

    def _layer_removed(self, event: Any) -> None:
        """The results of a slide go with its last layer."""
        self._layers_changed()
        slide = slide_of(event.value)
        if slide is not None and not shows(self.viewer, slide.facts):
            self.shown.forget(slide.facts.identity)

    def give_mpp(self, mpp: float) -> None:
        """Set um per pixel of the chosen slide: layer and drawings move to um, results of the old size go."""
        slide = slide_of(self._layer)
        if self._layer is None or slide is None or not self._sane(lambda: check_mpp((mpp, mpp))):
            self.panel.slide.take_back_mpp()
            return
        old = slide.facts
        if old.mpp_yx == (mpp, mpp):
            return
        slide.with_mpp(mpp)
        place_again(self.viewer, self._layer, old, slide.facts)
        self.session.change(slide=slide.facts)
        self._forget_results(old)
        self.viewer.reset_view()

    def _forget_results(self, old: SlideFacts) -> None:
        """What was made, or is being made, with another pixel size of a slide is no longer true."""
        run = self.session.request
        given_up = run is not None and run.slide.identity == old.identity
        if given_up:
            self.cancel("The pixel size was changed: the run was given up; run again.")
        if self.shown.forget(old.identity) and not given_up:
            self._say(f"The pixel size of {old.name} was changed: its results were removed; run again.")

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
            request = self.session.begin(self.tissue.drawn())
        except InputError as error:
            self._fail(error)
            return
        self._stop_run = self.errands.start(
            job.analyse,
            request,
            yielded=lambda progress: self._while_current(request, self._take_progress, progress),
            returned=lambda prediction: self._while_current(request, self._take_result, prediction),
            errored=lambda error: self._while_current(request, self._run_failed, error),
        )

    def cancel(self, reason: str = "") -> None:
        """End the run and nothing else: the window is free now, its worker ends after its step, unheard."""
        self._stop_run()
        self._end_run(reason or "Cancelled; what was embedded is kept for the next run.", 0)

    def _end_run(self, said: str, done: int) -> None:
        """The run is over; what was said beside it follows."""
        run = self.session.request
        self.session.end()
        if run is not None:
            self.shown.restore(run.slide.identity)
        self.panel.runs.set_progress(" ".join((said, *self._said_beside)).strip(), done, 1)
        self._said_beside.clear()

    def _while_current(self, request: Request, act: Callable[[Request, Any], None], value: Any) -> None:
        if self.session.is_current(request.number):
            act(request, value)

    def _run_failed(self, request: Request, error: Exception) -> None:
        self._end_run("", 0)
        self._fail(error)

    def _take_progress(self, request: Request, progress: Progress) -> None:
        """What a run says belongs to the slide it was begun on, whichever is chosen now."""
        chosen = self.session.choices.slide
        elsewhere = chosen is None or chosen.identity != request.slide.identity
        self._report(progress, f"{request.slide.name}: " if elsewhere else "")
        if progress.tissue is not None and request.drawn is None:
            self.shown.take_tissue(progress.tissue, request.slide)
        if progress.partial is not None:
            self.shown.take(progress.partial, request)

    def _report(self, progress: Progress, of: str = "") -> None:
        self.panel.runs.set_progress(of + words.progress_words(progress), progress.done, progress.total)

    def _report_beside(self, progress: Progress | None) -> None:
        """What goes on beside a run; a run in progress has the line for itself."""
        if not self.session.running and progress is None:
            self.panel.runs.set_progress("", 0, 1)
        elif not self.session.running and progress is not None:
            self._report(progress)

    def _take_result(self, request: Request, prediction: Prediction) -> None:
        self.shown.take(prediction, request)
        self._end_run("Done.", 1)
        self.panel.show_section(self.panel.result)

    def _say(self, said: str) -> None:
        """A sentence now, or at the end of the run in progress."""
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
        """The canvas is known once the panel is docked."""
        super().showEvent(event)
        self._drops.watch(self.window())


def _load_in_background(wanted: bool) -> None:
    """The user's napari setting, changed because the user said so."""
    get_settings().experimental.async_ = wanted
