"""Sessions of a window: opened by drop, menu or command line, and put back through the panel, then saved on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import napari
import napari.viewer
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QApplication, QFileDialog

from napari_gimp.files import is_same_file
from napari_gimp.plugin.cases import keeping
from napari_gimp.plugin.desk import Desk, desk_of
from napari_gimp.plugin.folders import ask_file
from napari_gimp.plugin.host import slide_layers, slide_of
from napari_gimp.plugin.layers import TAG
from napari_gimp.plugin.preferences import PLUGIN
from napari_gimp.plugin.sessions.autosave import Autosave, autosave_of
from napari_gimp.plugin.sessions.choices_shown import panel_of
from napari_gimp.plugin.sessions.restoring import Restoring, tell
from napari_gimp.plugin.sessions.sessionfile import SUFFIX, Opened, read_session
from napari_gimp.plugin.sessions.sessionlock import claim_again, keep_aside, latest_session
from napari_gimp.plugin.sessions.sessionstate import SessionState, SlideEntry, is_same_slide, renamed
from napari_gimp.plugin.sessions.snapshot import is_users
from napari_gimp.settings import InputError
from napari_gimp.slides import open_slide
from napari_gimp.types import SlideFacts

NOTHING: list[Any] = [(None,)]
"""napari's word for a reader that read something and has no layer to show."""


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
    window = QApplication.activeWindow()
    chosen = ask_file(window, "Open a session", f"Sessions (*{SUFFIX})", folder)
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


def restore(viewer: napari.viewer.Viewer, session: Path, *, keep_choices: bool = False) -> None:
    """Put a session back; whatever cannot be is said in a sentence each and stays in the file.

    Parameters
    ----------
    keep_choices
        Leave profile, checkpoint and parameters in the panel as they are, and look for no result.
    """
    desk, widget = desk_of(viewer), panel_of(viewer)
    saving = autosave_of(desk)
    try:
        if saving.path is not None and is_same_file(saving.path, session):
            saving.flush()
        opened = read_session(session)
    except InputError as error:
        desk.fail(error)
        return
    notes = list(opened.notes)
    state, places, lost = _located(desk, opened.state, notes)
    if places:
        try:
            _replace(viewer, saving, opened, state, places, notes)
            Restoring(desk, saving, state, keep_choices).begin(widget)
        except InputError as error:
            lost.append(error)
    tell(desk, notes, lost)


def _replace(
    viewer: napari.viewer.Viewer,
    saving: Autosave,
    opened: Opened,
    state: SessionState,
    places: Sequence[Path],
    notes: list[str],
) -> None:
    """The slides of an opened session in the place of the present one's; the window saves to its file from now on."""
    cache = keeping.base_folder(saving.desk.session.choices) / "sessions"
    said, is_safe = _aside(opened, cache)
    saving.hand_over(partial(clear, viewer))
    claim = claim_again(opened.path, cache, own=is_safe and not opened.newer)
    notes += (*said, *claim.notes)
    with saving.adopt(claim, state):
        for place in places:
            viewer.open(str(place), plugin=PLUGIN)


def _aside(opened: Opened, cache: Path) -> tuple[tuple[str, ...], bool]:
    """What is said of a damaged file, and whether it may be written over."""
    if not opened.damaged:
        return (), True
    try:
        kept = keep_aside(opened.path, cache, datetime.now())
    except OSError as error:
        return (f"The damaged file cannot be copied ({error.strerror or error}).",), False
    return (f"The damaged file is kept as {kept.name}.",), True


def clear(viewer: napari.viewer.Viewer) -> None:
    """Another session takes this one's place: its slides, results and drawings go."""
    for layer in list(viewer.layers):
        if slide_of(layer) is not None or TAG in layer.metadata or is_users(layer):
            viewer.layers.remove(layer)


def _located(desk: Desk, state: SessionState, notes: list[str]) -> tuple[SessionState, list[Path], list[InputError]]:
    """Where the session's slides are now, under the identities they have now; each missing one is asked for."""
    places, lost = [], []
    for entry in state.slides:
        try:
            place, facts = _locate(desk, entry)
        except InputError as error:
            lost.append(error)
            continue
        notes += is_same_slide(entry, facts)
        places.append(place)
        state = renamed(state, entry.identity, facts.identity)
        moved = [replace(s, path=place) if s.identity == facts.identity else s for s in state.slides]
        state = replace(state, slides=tuple(moved))
    return state, places, lost


def _locate(desk: Desk, entry: SlideEntry) -> tuple[Path, SlideFacts]:
    """The file of a slide; where it is not there, or another one, the user is asked until there is no answer."""
    place: Path | None = entry.path
    while place is not None:
        try:
            with open_slide(place) as slide:
                is_same_slide(entry, slide.facts)
                return place, slide.facts
        except InputError as error:
            said = error
            desk.fail(error)
        place = _ask_where(entry)
    raise InputError(
        f"The slide {entry.path.name} of the session was not found; its regions and marks stay in the session file:"
        " open the session again when the slide is there."
    ) from said


def _ask_where(entry: SlideEntry) -> Path | None:
    folder = entry.path.parent if entry.path.parent.is_dir() else Path.home()
    answer, _ = QFileDialog.getOpenFileName(
        QApplication.activeWindow(), f"Where is the slide {entry.path.name} now?", str(folder)
    )
    return Path(answer) if answer else None
