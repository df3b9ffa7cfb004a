"""Sessions of a window: opened by drop, menu or command line, and put back through the panel, then saved on."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import napari
import napari.viewer
from napari.layers import Layer
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QFileDialog

from napari_gimp.plugin import keeping
from napari_gimp.plugin.autosave import Autosave, autosave_of
from napari_gimp.plugin.choices_shown import panel_of, show_choices
from napari_gimp.plugin.desk import Desk, desk_of
from napari_gimp.plugin.drawings import layer_of
from napari_gimp.plugin.host import slide_layers, slide_of
from napari_gimp.plugin.layers import TAG, LayerTuple
from napari_gimp.plugin.preferences import PLUGIN
from napari_gimp.plugin.session import Request, why_not
from napari_gimp.plugin.sessionfile import SUFFIX, Opened, keep_aside, read_session
from napari_gimp.plugin.sessionlock import claim_again, latest_session
from napari_gimp.plugin.sessionstate import Drawing, SessionState, SlideEntry, is_same_slide, renamed
from napari_gimp.plugin.snapshot import is_users
from napari_gimp.settings import InputError
from napari_gimp.slides import open_slide
from napari_gimp.types import Prediction, Progress, SlideFacts

NOTHING: list[Any] = [(None,)]
"""napari's word for a reader that read something and has no layer to show."""
LOOK_AFTER_MS = 150
"""The view comes back after napari has fitted its own to the first slide."""


def get_session_reader(path: str | Sequence[str]) -> Callable[[str | Sequence[str]], list[Any]] | None:
    """The reading function for one session file, else None."""
    fits = isinstance(path, str) and path.lower().endswith(SUFFIX) and Path(path).is_file()
    return _read if fits else None


def _read(path: str | Sequence[str]) -> list[Any]:
    """Put a session back into the current viewer, after napari is done with reading."""
    viewer = napari.current_viewer()
    if viewer is not None and isinstance(path, str):
        QTimer.singleShot(0, partial(restore, viewer, Path(path)))
    return NOTHING


def open_session() -> None:
    """Menu File > IO Utilities: ask for a session and put it back."""
    viewer = napari.current_viewer()
    if viewer is None:
        return
    slides = slide_layers(viewer)
    folder = str(Path(slides[-1].metadata["slide"].path).parent) if slides else ""
    window = viewer.window._qt_window
    chosen, _ = QFileDialog.getOpenFileName(window, "Open a session", folder, f"Sessions (*{SUFFIX})")
    if chosen:
        restore(viewer, Path(chosen))


def continue_session() -> None:
    """Menu File > IO Utilities: put the newest session of the slide in the window back."""
    viewer = napari.current_viewer()
    if viewer is None:
        return
    desk = desk_of(viewer)
    cache = keeping.base_folder(desk.session.choices) / "sessions"
    slides = slide_layers(viewer)
    found = latest_session(Path(slides[0].metadata["slide"].path).absolute(), cache) if slides else None
    if found is None:
        name = slides[0].name if slides else "a slide"
        desk.fail(InputError(f"Expected an earlier session of {name} that no other window has open, found none."))
    else:
        restore(viewer, found)


def restore(viewer: napari.viewer.Viewer, session: Path) -> None:
    """Put a session back; whatever cannot be is said in a sentence each and stays in the file."""
    desk, widget = desk_of(viewer), panel_of(viewer)
    saving = autosave_of(desk)
    try:
        if saving.path == session:
            saving.hand_over()
        opened = read_session(session)
    except InputError as error:
        desk.fail(error)
        return
    cache = keeping.base_folder(desk.session.choices) / "sessions"
    notes = [*opened.notes, *_aside(opened, cache)]
    state, places = _located(desk, opened.state)
    saving.hand_over()
    _clear(viewer)
    claim = claim_again(session, cache, own=not opened.newer)
    for place in places:
        viewer.open(str(place), plugin=PLUGIN)
    saving.adopt(claim, state)
    for note in (*notes, *claim.notes):
        desk.say(note)
    Restoring(desk, saving, state).begin(widget)


def _aside(opened: Opened, cache: Path) -> tuple[str, ...]:
    if not opened.damaged:
        return ()
    kept = keep_aside(opened.path, cache, datetime.now())
    return (f"The damaged file is kept as {kept.name}.",)


def _clear(viewer: napari.viewer.Viewer) -> None:
    """Another session takes this one's place: its slides, results and drawings go."""
    for layer in list(viewer.layers):
        if slide_of(layer) is not None or TAG in layer.metadata or is_users(layer):
            viewer.layers.remove(layer)


def _located(desk: Desk, state: SessionState) -> tuple[SessionState, list[Path]]:
    """Where the session's slides are now, under the identities they have now; each missing one is asked for."""
    places = []
    for entry in state.slides:
        found = _locate(desk, entry)
        if found is not None:
            place, facts = found
            places.append(place)
            state = renamed(state, entry.identity, facts.identity)
            state = replace(state, slides=tuple(_moved(s, facts, place) for s in state.slides))
    return state, places


def _moved(entry: SlideEntry, facts: SlideFacts, place: Path) -> SlideEntry:
    return replace(entry, path=place) if entry.identity == facts.identity else entry


def _locate(desk: Desk, entry: SlideEntry) -> tuple[Path, SlideFacts] | None:
    place: Path | None = entry.path
    while place is not None:
        try:
            with open_slide(place) as slide:
                facts = slide.facts
            for note in is_same_slide(entry, facts):
                desk.say(note)
            return place, facts
        except InputError as error:
            desk.fail(error)
        place = _ask_where(desk, entry)
    return None


def _ask_where(desk: Desk, entry: SlideEntry) -> Path | None:
    window = desk.viewer.window._qt_window
    folder = entry.path.parent if entry.path.parent.is_dir() else Path.home()
    answer, _ = QFileDialog.getOpenFileName(window, f"Where is the slide {entry.path.name} now?", str(folder))
    return Path(answer) if answer else None


class Restoring:
    """Puts one session back, step by step: what is there at once, drawings from a worker, the result when found."""

    def __init__(self, desk: Desk, saving: Autosave, state: SessionState) -> None:
        self.desk, self.saving, self.state = desk, saving, state
        self.viewer = desk.viewer

    def begin(self, widget: Any) -> None:
        """Slides, choices and marks; the rest follows."""
        self.widget = widget
        self._give_sizes()
        show_choices(widget, self.state)
        self._choose(self.state.chosen)
        self._put_marks()
        QTimer.singleShot(LOOK_AFTER_MS, self._put_view)
        there = {slide.facts.identity for slide in self._slides()}
        self.saving.came_back(
            slides=tuple(slide for slide in self.state.slides if slide.identity not in there),
            chosen=None,
            map_view=None,
        )
        facts = {slide.facts.identity: slide.facts for slide in self._slides()}
        self.desk.jobs.start(_rebuilt, self.state.regions, facts, returned=self._put_drawings, errored=self.desk.fail)

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
            self.saving.came_back(marks=None)

    def _put_view(self) -> None:
        view = self.state.view
        if view is not None and slide_layers(self.viewer):
            camera = self.viewer.scene.camera
            camera.angles, camera.center, camera.zoom = view.angles, view.centre, view.zoom
        self.saving.came_back(view=None)

    def _put_drawings(self, made: tuple[list[LayerTuple], list[Drawing], list[str]]) -> None:
        tuples, left, notes = made
        for layer in tuples:
            try:
                self.viewer.add_layer(Layer.create(*layer))
            except RuntimeError:  # napari finds no triangles in an outline that crosses itself
                name = layer[1]["name"]
                left += [drawing for drawing in self.state.regions if drawing.name == name]
                notes.append(f"The drawing {name} has an outline that cannot be shown; it stays in the session file.")
        self.saving.came_back(regions=tuple(left))
        for note in notes:
            self.desk.say(note)
        if self.state.tissue is not None:
            self.widget.tissue.choose(self.state.tissue)
            self.saving.came_back(tissue=None)
        self.widget.inputs.when_read(self._find_result)

    def _find_result(self) -> None:
        """Everything that the result hangs on is there: look for it on the disk."""
        if self.state.sample is not None:
            self.widget.inputs.match_sample(self.state.sample)
        request = kept_request(self.desk, self.widget)
        if request is not None:
            self.desk.jobs.start(
                keeping.find, request, returned=partial(self._put_result, request), errored=self.desk.fail
            )

    def _put_result(self, request: Request, prediction: Prediction | None) -> None:
        if prediction is None or not show_kept(self.widget, request, prediction):
            return
        if self.state.map_key is not None:
            self.widget.panel.result.choose_map(self.state.map_key)
            self.saving.came_back(map_key=None)


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


def show_kept(widget: Any, request: Request, prediction: Prediction) -> bool:
    """Show a kept result, unless another slide was chosen or a run was begun since; whether it is shown."""
    session = widget.session
    chosen = session.choices.slide
    if session.running or chosen is None or chosen.identity != request.slide.identity:
        return False
    widget.shown.take(prediction, request)
    return True
