"""What the panel shows of a session, and the watch on the main window's closing."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import QEvent, QObject
from qtpy.QtWidgets import QWidget

from napari_gimp import words
from napari_gimp.plugin.panel.panel import Panel
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
    """Calls back when a main window closes, before its widgets go; not when the user is asked and stays."""

    def __init__(self, window: QWidget, before: Callable[[], None]) -> None:
        super().__init__(window)
        self._before = before
        self._asked = False
        window.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """A program's closing is final; the user's is once the window is hidden."""
        if event.type() == QEvent.Type.Close:
            self._asked = event.spontaneous()
            if not self._asked:
                self._before()
        elif event.type() == QEvent.Type.Hide and self._asked and not event.spontaneous():
            self._asked = False
            self._before()
        return False


def main_window(widget: QWidget) -> QWidget:
    """The window that a widget belongs to, also while its dock floats in one of its own."""
    while widget.parentWidget() is not None:
        widget = widget.parentWidget()
    return widget
