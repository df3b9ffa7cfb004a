"""Small Qt parts without a dataclass behind them: a file field, an error box, labels that wrap, folds."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from qtpy.QtCore import QEvent, Qt, Signal
from qtpy.QtGui import QDragEnterEvent, QDropEvent, QPalette, QShowEvent
from qtpy.QtWidgets import (
    QComboBox,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPlainTextEdit,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)
from superqt import QCollapsible

from napari_gimp.plugin.folders import ask_file, ask_folder


class FileField(QWidget):
    """A path that is typed, browsed for or dropped. Says ``chosen`` with a Path, or None when cleared."""

    chosen = Signal(object)

    def __init__(self, name: str, hint: str, tip: str, filters: str = "", folder: bool = False) -> None:
        super().__init__()
        self._filters, self._folder, self._hint = filters, folder, hint
        self.line = QLineEdit(objectName=name, placeholderText=hint, clearButtonEnabled=True)
        self.line.setToolTip(tip)
        self.line.setAcceptDrops(False)
        self.button = QToolButton(text="…", objectName=f"{name}.browse", toolTip=f"Browse: {hint}")
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.line)
        layout.addWidget(self.button)
        self.setAcceptDrops(True)
        self._last = ""
        self.line.editingFinished.connect(self._typed)
        self.line.textChanged.connect(lambda text: None if text else self._typed())
        self.button.clicked.connect(self._browse)

    @property
    def path(self) -> Path | None:
        """The path as it was last typed, browsed for, dropped or set."""
        return Path(self._last).expanduser() if self._last else None

    def set_path(self, path: Path | None) -> None:
        """Show a path without saying ``chosen``."""
        self._last = "" if path is None else str(path)
        self.line.setText(self._last)
        self.line.setCursorPosition(len(self._last))

    def take(self, path: Path) -> None:
        """Show a path and say that it was chosen, as if it had been typed."""
        self.line.setText(str(path))
        self._typed()

    def _typed(self) -> None:
        text = self.line.text().strip()
        if text != self._last:
            self._last = text
            self.chosen.emit(Path(text).expanduser() if text else None)

    def _browse(self) -> None:
        answer = ask_folder(self, self._hint) if self._folder else ask_file(self, self._hint, self._filters)
        if answer:
            self.line.setText(answer)
            self._typed()

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        if event.mimeData().hasUrls():
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        self.line.setText(event.mimeData().urls()[0].toLocalFile())
        self._typed()
        event.acceptProposedAction()


class ErrorBox(QWidget):
    """One sentence and, behind a button, the details. Hidden while there is nothing to say."""

    def __init__(self) -> None:
        super().__init__()
        self.sentence = Toned("error", ERROR)
        self.button = QToolButton(text="Details", objectName="error.details", checkable=True)
        self.button.setToolTip("What went wrong in full, for a report.")
        self.details = QPlainTextEdit(readOnly=True, objectName="error.text", visible=False)
        self.details.setMinimumHeight(140)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for part in (self.sentence, self.button, self.details):
            layout.addWidget(part)
        self.button.toggled.connect(self.details.setVisible)
        self.setVisible(False)

    def show_error(self, sentence: str, details: str) -> None:
        """Show a sentence; the details stay folded."""
        self.sentence.setText(sentence)
        self.details.setPlainText(details)
        self.button.setChecked(False)
        self.button.setVisible(bool(details))
        self.setVisible(True)

    def clear(self) -> None:
        """Nothing to say."""
        self.setVisible(False)


NARROWEST_PX = 240
LONG_WORD = r"\S{30,}"
"""File names and identifiers too long for the panel's width."""


def _breakable(word: re.Match[str]) -> str:
    return re.sub(r"([_./\\-])", "\\1\u200b", word.group())


class Words(QLabel):
    """A label that wraps, can be copied from and takes no room while it is empty."""

    def __init__(self, name: str) -> None:
        super().__init__(objectName=name, wordWrap=True, visible=False)
        self.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Minimum)
        self.setMinimumWidth(NARROWEST_PX)

    def setText(self, text: str) -> None:
        super().setText(re.sub(LONG_WORD, _breakable, text).replace(" ± ", "\u00a0±\u00a0"))
        self.setVisible(bool(text))

    def text(self) -> str:
        """The text as it was set, without the places where it may break or may not."""
        return str(super().text()).replace("\u200b", "").replace("\u00a0", " ")


CAUTION, ERROR = ("#ffcc80", "#8a4b00"), ("#ff8a80", "#b00020")
"""Tones of words: on a dark ground, on a light one."""


class Toned(Words):
    """Bold words in a tone that can be read on the ground of the window's theme."""

    def __init__(self, name: str, tones: tuple[str, str]) -> None:
        self._tones, self._tone = tones, ""
        super().__init__(name)

    def changeEvent(self, event: QEvent) -> None:
        """Another theme, or another parent whose theme it takes."""
        super().changeEvent(event)
        if event.type() in (QEvent.Type.StyleChange, QEvent.Type.PaletteChange, QEvent.Type.ParentChange):
            self._take_tone()

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self._take_tone()

    def _take_tone(self) -> None:
        above = self.parentWidget()
        if above is None:
            return
        tone = self._tones[above.palette().color(QPalette.ColorRole.WindowText).lightness() < 128]
        if tone != self._tone:
            self._tone = tone
            self.setStyleSheet(f"color: {tone}; font-weight: bold;")


def silently(widget: QWidget, act: Callable[[], object]) -> None:
    """Set a widget without it saying that it changed."""
    before = widget.blockSignals(True)
    act()
    widget.blockSignals(before)


def folded(title: str, content: QWidget) -> QCollapsible:
    """Content behind a title that opens without an animation."""
    fold, inner = QCollapsible(title), QWidget()  # the fold sets its content's height: a part may have one of its own
    layout = QVBoxLayout(inner)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.addWidget(content)
    fold.setDuration(0)
    fold.setContent(inner)
    fold.collapse(animate=False)
    return fold


def beside(wide: QWidget, narrow: QWidget) -> QWidget:
    """Two parts in one row, the first as wide as it can be."""
    row = QWidget()
    layout = QHBoxLayout(row)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.addWidget(wide, 1)
    layout.addWidget(narrow)
    return row


def fill(box: QComboBox, names: Sequence[str], current: str) -> None:
    box.clear()
    box.addItems(list(names))
    box.setCurrentIndex(list(names).index(current) if current in names else -1)
