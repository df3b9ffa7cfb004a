"""What the panel shows of a session, and the watch on the main window's closing."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import QEvent, QObject
from qtpy.QtWidgets import QWidget

from napari_gimp import words
from napari_gimp.plugin.panel import Panel
from napari_gimp.plugin.session import Choices, Session, aligned
from napari_gimp.settings import InputError


def show_session(panel: Panel, session: Session) -> None:
    """Everything in the panel that follows from the choices."""
    chosen = session.choices
    panel.slide.set_has_slide(chosen.slide is not None)
    panel.slide.show_mpp(None if chosen.slide is None else chosen.slide.mpp_yx)
    panel.slide.facts.setText("" if chosen.slide is None else words.slide_text(chosen.slide))
    panel.model.facts.setText("" if chosen.facts is None else "\n".join(words.checkpoint_words(chosen.facts)))
    panel.runs.set_state(session.running, session.why_not)
    _show_profile(panel, chosen)


def _show_profile(panel: Panel, chosen: Choices) -> None:
    expression, profile = chosen.expression, panel.profile
    if expression is None:
        profile.facts.setText("")
        return
    try:
        genes = aligned(chosen)
    except InputError:
        genes = None  # the reason stands below Run
    lines = words.profile_words(len(expression.samples), expression.scale, genes, chosen.sample_notes, expression.notes)
    profile.facts.setText("\n".join(lines))
    profile.detected.setText("\n".join(expression.notes))


class ClosingWatch(QObject):
    """Calls back before a main window closes."""

    def __init__(self, parent: QWidget, before: Callable[[], None]) -> None:
        super().__init__(parent)
        self._before = before
        self._window: QWidget | None = None

    def watch(self, window: QWidget) -> None:
        """Watch this window from now on, and no other."""
        if self._window is not None and self._window is not window:
            self._window.removeEventFilter(self)
        if self._window is not window:
            self._window = window
            window.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.Close and watched is self._window:
            self._before()
        return False
