"""What everything in one window shares: viewer, session, workers, and the news that the docks listen to."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import napari.viewer
from napari.utils.notifications import show_error, show_info
from psygnal import Signal
from qtpy.QtCore import QEvent
from qtpy.QtWidgets import QMainWindow, QWidget

from napari_gimp import words
from napari_gimp.plugin.activity import Activity
from napari_gimp.plugin.canvas import Canvas
from napari_gimp.plugin.host import attend
from napari_gimp.plugin.jobs import Jobs
from napari_gimp.plugin.panel.faces import ClosingWatch, main_window
from napari_gimp.plugin.patches.marks import DEFAULT_LABELS, Mark
from napari_gimp.plugin.preferences import preferences
from napari_gimp.plugin.session import Choices, Session
from napari_gimp.types import Prediction, WhatIf

Part = TypeVar("Part")
LOG = logging.getLogger("napari_gimp")
_DESKS: WeakKeyDictionary[napari.viewer.Viewer, Desk] = WeakKeyDictionary()


class Desk:
    """One per viewer, whoever asks first: the panel or a dock.

    Attributes
    ----------
    session
        What is chosen, what runs, and the result; says ``changed`` and ``result_changed``.
    map_shown
        The `maps.PatchMap` in sight, or None; said when it changes.
    marks, labels
        Slide identity -> the user's marks on it (`marks.Mark`, plain data), and the labels to mark with;
        ``marks_changed`` says the identity.
    what_if
        What is asked of the result in sight; ``what_if_changed`` when it is another question.
    asked
        The answered what-if as a result of its own, None while there is none; whoever answers puts it here.
    gene_chosen
        A gene that a what-if shall be about.
    patch_hovered, patch_chosen
        Index of a patch of `result`, None when the cursor leaves the patches; chosen by a click, a table, a gallery.
    """

    map_shown = Signal(object)
    map_wanted = Signal(str)
    patch_hovered = Signal(object)
    patch_chosen = Signal(object)
    gene_chosen = Signal(str)
    what_if_changed = Signal()
    marks_changed = Signal(str)
    said = Signal(str)
    failed = Signal(object)

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        wished = preferences()
        self.viewer, self.canvas, self.jobs = viewer, Canvas(viewer), Jobs()
        self.session = Session(Choices(device=wished.device, cache=wished.cache / "bags", cache_gb=wished.cache_gb))
        self.marks: dict[str, list[Mark]] = {}
        self.labels: list[str] = list(DEFAULT_LABELS)
        self.keys: dict[str, str] = {}
        self._acts: dict[str, Callable[[object], None]] = {}
        self.what_if = WhatIf()
        self.asked: Callable[[], Prediction | None] = lambda: None
        self.before_closing: list[Callable[[], object]] = []
        self._parts: dict[Any, Any] = {}
        self._closing: ClosingWatch | None = None
        self._activity = Activity(self.jobs)
        attend(viewer)

    @property
    def result(self) -> Prediction | None:
        """The result of the chosen slide, partial or whole; None while there is none."""
        found, chosen = self.session.prediction, self.session.choices.slide
        return found if found is not None and chosen is not None and found.slide.identity == chosen.identity else None

    def say(self, sentence: str) -> None:
        """A sentence for the user: in the panel where it is open, else napari's own way."""
        if len(self.said):
            self.said.emit(sentence)
        else:
            show_info(sentence)

    def fail(self, error: Exception) -> None:
        """One sentence in the panel where it is open, else napari's own way; everything else in the log."""
        if len(self.failed):
            self.failed.emit(error)
        else:
            LOG.error("%s", error, exc_info=error)
            show_error(words.error_words(error))

    def bind(self, key: str, meaning: str, act: Callable[[], object]) -> Callable[..., None]:
        """A key of the viewer (napari's notation), with what it does in words: the list of keys shows it.

        Returns
        -------
        What to call when it no longer holds; nothing happens where another has taken the key since.
        """

        def pressed(_: object) -> None:
            act()

        def release(*_: object) -> None:
            if self._acts.get(key) is pressed:
                del self._acts[key], self.keys[key]
                self.viewer.bind_key(key, None, overwrite=True)

        self.keys[key], self._acts[key] = meaning, pressed
        self.viewer.bind_key(key, pressed, overwrite=True)
        return release

    def part(self, make: Callable[[Desk], Part]) -> Part:
        """The one of its kind in this window, made when it is first asked for; it goes when the desk does."""
        if make not in self._parts:
            self._parts[make] = make(self)
        part: Part = self._parts[make]
        return part

    def watch(self, dock: QWidget) -> None:
        """Close with the main window that this dock is in, and be forgotten with it."""
        window = main_window(dock)
        if self._closing is None and isinstance(window, QMainWindow):
            self._closing = ClosingWatch(window, self.close)
            window.destroyed.connect(partial(_forget, self.viewer))

    def close(self) -> None:
        """End what runs and wait for it; the viewer is about to go."""
        with ExitStack() as last_first:  # all of them, whichever fails
            ends: list[Callable[[], object]] = [self.jobs.stop, self.canvas.stop, self.session.end]
            for act in ends + self.before_closing[::-1]:
                last_first.callback(act)


def desk_of(viewer: napari.viewer.Viewer) -> Desk:
    """The desk of a viewer, made when it is first asked for."""
    plain = getattr(viewer, "__wrapped__", viewer)  # napari lends docks a proxy, whose dataclasses are none
    if plain not in _DESKS:
        _DESKS[plain] = Desk(plain)
    return _DESKS[plain]


def _forget(viewer: napari.viewer.Viewer, *_: object) -> None:
    """A desk holds its viewer: neither would ever go of itself."""
    _DESKS.pop(viewer, None)


class Dock(QWidget):
    """A dock of the window: knows its desk, lets go of its news when it is closed."""

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        self._was_docked = False
        super().__init__()
        self.desk = desk_of(viewer)
        self._heard: list[tuple[Any, Callable[..., object]]] = []
        self.destroyed.connect(lambda _=None, heard=self._heard: _let_go(heard))

    def hear(self, signal: Any, act: Callable[..., object]) -> None:
        """Call ``act`` at every piece of news for as long as this dock lives (psygnal or napari signals)."""
        signal.connect(act)
        self._heard.append((signal, act))

    def event(self, event: QEvent) -> bool:
        """Taken out of the window: nobody else will end it."""
        if event.type() == QEvent.Type.ParentChange:
            if self._was_docked and self.parent() is None:
                self.deleteLater()
            self._was_docked = self.parent() is not None
        return bool(super().event(event))

    def showEvent(self, event: Any) -> None:
        """The main window is known once the dock is in it: its closing ends what runs."""
        super().showEvent(event)
        self.desk.watch(self)


def _let_go(heard: list[tuple[Any, Callable[..., object]]]) -> None:
    for signal, act in heard:
        signal.disconnect(act)
    heard.clear()
