"""One session put back into a window, step by step: what is there at once, drawings from a worker, the result."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import suppress
from typing import Any

from napari.layers import Layer
from qtpy.QtCore import QTimer

from napari_gimp.plugin.cases import keeping
from napari_gimp.plugin.cases.keeping import Kept
from napari_gimp.plugin.desk import Desk
from napari_gimp.plugin.host import slide_layers, slide_of
from napari_gimp.plugin.layers import LayerTuple
from napari_gimp.plugin.session import Request, why_not
from napari_gimp.plugin.sessions.autosave import Autosave
from napari_gimp.plugin.sessions.choices_shown import show_choices
from napari_gimp.plugin.sessions.drawings import layer_of
from napari_gimp.plugin.sessions.sessionstate import Drawing, SessionState
from napari_gimp.plugin.sessions.snapshot import is_users
from napari_gimp.settings import InputError
from napari_gimp.types import Progress, SlideFacts
from napari_gimp.types.whatif import WhatIf

LOOK_AFTER_MS = 150
"""The view comes back after napari has fitted its own to the first slide."""


def tell(desk: Desk, notes: Sequence[str], errors: Sequence[InputError]) -> None:
    """Notes in one line, then each error."""
    if notes:
        desk.say(" ".join(notes))
    for error in errors:
        desk.fail(error)


class Restoring:
    """Puts one session back, step by step: what is there at once, drawings from a worker, the result when found.

    The callbacks are lambdas: Qt holds no method's object, and nobody else holds this one. Those that come when the
    window saves another session already do nothing.
    """

    def __init__(self, desk: Desk, saving: Autosave, state: SessionState, keep_choices: bool = False) -> None:
        self.desk, self.saving, self.state, self.keep_choices = desk, saving, state, keep_choices
        self.viewer = desk.viewer
        self._session = saving.number

    @property
    def _is_over(self) -> bool:
        """Whether another session took this one's place."""
        return self.saving.number != self._session

    def begin(self, widget: Any) -> None:
        """Slides, choices and marks; the rest follows."""
        self.widget = widget
        self._give_sizes()
        if not self.keep_choices:
            show_choices(widget, self.state)
        self._choose(self.state.chosen)
        self._put_marks()
        QTimer.singleShot(LOOK_AFTER_MS, lambda: self._put_view())
        there = {slide.facts.identity for slide in self._slides()}
        self.saving.came_back(
            slides=tuple(slide for slide in self.state.slides if slide.identity not in there),
            chosen=None,
            map_view=None,
        )
        facts = {slide.facts.identity: slide.facts for slide in self._slides()}
        self.desk.jobs.start(
            _rebuilt,
            self.state.regions,
            facts,
            returned=lambda made: self._put_drawings(made),
            errored=self.desk.fail,
        )

    def _slides(self) -> list[Any]:
        return [slide for layer in slide_layers(self.viewer) if (slide := slide_of(layer)) is not None]

    def _give_sizes(self) -> None:
        """um per pixel that the user had given."""
        for entry in self.state.slides:
            facts = next((slide.facts for slide in self._slides() if slide.facts.identity == entry.identity), None)
            if facts is not None and entry.mpp_yx is not None and facts.mpp_yx != entry.mpp_yx:
                self._choose(entry.identity)
                self.widget.give_mpp(entry.mpp_yx[0])

    def _choose(self, identity: str | None) -> None:
        for layer in slide_layers(self.viewer):
            slide = slide_of(layer)
            if slide is not None and slide.facts.identity == identity:
                self.widget.panel.slide.slides.setCurrentText(layer.name)

    def _put_marks(self) -> None:
        if isinstance(self.state.marks, dict):
            for identity, marks in self.state.marks.items():
                self.desk.marks[identity] = list(marks)
                self.desk.marks_changed.emit(identity)
            there = {slide.facts.identity for slide in self._slides()}
            left = {identity: marks for identity, marks in self.state.marks.items() if identity not in there}
            self.saving.came_back(marks=left or None)
        if self.state.labels:
            self.desk.labels[:] = self.state.labels

    def _put_view(self) -> None:
        if self._is_over:
            return
        view = self.state.view
        if view is not None and slide_layers(self.viewer):
            camera = self.viewer.scene.camera
            if len(view.order) == self.viewer.dims.ndim:
                self.viewer.dims.order = view.order
            if view.orientation:
                camera.orientation = view.orientation
            camera.angles, camera.center, camera.zoom = view.angles, view.centre, view.zoom
        self.saving.came_back(view=None)

    def _put_drawings(self, made: tuple[list[LayerTuple], list[Drawing], list[str]]) -> None:
        if self._is_over:
            return
        tuples, left, notes = made
        for layer in tuples:
            try:
                self.viewer.add_layer(Layer.create(*layer))
            except RuntimeError:  # napari finds no triangles in an outline that crosses itself
                name = layer[1]["name"]
                left += [drawing for drawing in self.state.regions if drawing.name == name]
                notes.append(f"The drawing {name} has an outline that cannot be shown; it stays in the session file.")
        self.saving.came_back(regions=tuple(left))
        tell(self.desk, notes, ())
        if self.state.tissue is not None:
            self.widget.tissue.choose(self.state.tissue)
            self.saving.came_back(tissue=None)
        if not self.keep_choices:
            self.widget.inputs.when_read(lambda: self._find_result())

    def _find_result(self) -> None:
        """Everything that the result hangs on is there: look for it on the disk."""
        if self._is_over:
            return
        if self.state.sample is not None:
            self.widget.inputs.match_sample(self.state.sample)
        request = kept_request(self.desk, self.widget)
        if request is not None:
            self.desk.jobs.start(
                keeping.find,
                request,
                returned=lambda kept: self._put_result(request, kept),
                errored=self.desk.fail,
            )

    def _put_result(self, request: Request, kept: Kept | None) -> None:
        if self._is_over:
            return
        shown = kept is not None and show_kept(self.widget, request, kept)
        self._put_question()
        canvas = self.desk.canvas
        canvas.soon(lambda: canvas.soon(self._raise_drawings))  # behind the steps that the maps ask for in their turn
        if shown and self.state.map_key is not None:
            self.widget.panel.result.choose_map(self.state.map_key)
            self.saving.came_back(map_key=None)

    def _raise_drawings(self) -> None:
        """What the user drew lies above the maps, in its old order."""
        if self._is_over:
            return
        layers, names = self.viewer.layers, [drawing.name for drawing in self.state.regions]
        for layer in [each for each in layers if is_users(each) and each.name in names]:
            layers.move(layers.index(layer), len(layers))

    def _put_question(self) -> None:
        """The what-if follows the result: a result of another slide begins without one."""
        if self.state.what_if is None:
            return
        try:
            self.desk.what_if = WhatIf.from_json(self.state.what_if)
        except InputError as error:
            self.desk.fail(error)
            return
        self.saving.came_back(what_if=None)
        self.desk.what_if_changed.emit()


def _rebuilt(
    drawings: Sequence[Drawing], slides: dict[str, SlideFacts]
) -> Generator[Progress, None, tuple[list[LayerTuple], list[Drawing], list[str]]]:
    """Drawings as layers, those that cannot be made, and why."""
    made, left, notes = [], [], []
    for number, drawing in enumerate(drawings):
        yield Progress("drawings", number, len(drawings), "layers")
        facts = slides.get(drawing.slide or "") or (
            next(iter(slides.values()), None) if drawing.slide is None else None
        )
        if facts is None:
            left.append(drawing)
            continue
        try:
            made.append(layer_of(drawing, facts))
        except InputError as error:
            left.append(drawing)
            notes.append(str(error))
    return made, left, notes


def kept_request(desk: Desk, widget: Any) -> Request | None:
    """What a run would be asked now; None while something is missing."""
    chosen = desk.session.choices
    if why_not(chosen) or chosen.path is None or chosen.slide is None or chosen.checkpoint is None:
        return None
    drawn = None
    with suppress(InputError):  # nothing is drawn in it yet
        drawn = widget.tissue.drawn()
    return Request(0, chosen.path, chosen.slide, chosen.checkpoint, chosen, drawn)


def show_kept(widget: Any, request: Request, kept: Kept) -> bool:
    """Show a kept result, unless another slide was chosen or a run was begun since; whether it is shown."""
    session = widget.session
    chosen = session.choices.slide
    if session.running or chosen is None or chosen.identity != request.slide.identity:
        return False
    if kept.tissue is not None:
        widget.shown.take_tissue(kept.tissue, request.slide)
    widget.shown.take(kept.prediction, request)
    return True
