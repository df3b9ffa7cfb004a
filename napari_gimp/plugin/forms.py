"""Small Qt parts that know one value each: a form made from a settings dataclass, a file field, an error box."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QDragEnterEvent, QDropEvent, QWheelEvent
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPlainTextEdit,
    QSizePolicy,
    QSpinBox,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_gimp.settings import describe


class SettingsForm(QWidget):
    """Edits one settings dataclass: labels, ranges, units, choices and tooltips come from its fields."""

    changed = Signal()

    def __init__(self, config_type: type, default: Any | None = None) -> None:
        super().__init__()
        self._type = config_type
        layout = QFormLayout(self)
        tidy(layout)
        self._editors = {name: _editor(facts) for name, facts in describe(config_type).items()}
        for name, editor in self._editors.items():
            editor.setObjectName(f"{config_type.__name__}.{name}")
            layout.addRow(name.replace("_", " "), editor)
            _changed_signal(editor).connect(lambda *_: self.changed.emit())
        self.set_value(config_type() if default is None else default)

    def value(self) -> Any:
        """The dataclass as the form shows it.

        Raises
        ------
        InputError
            When the fields do not fit together.
        """
        return self._type(**{name: _read(editor) for name, editor in self._editors.items()})

    def set_value(self, config: Any) -> None:
        """Show another value; says ``changed`` once per field that differs."""
        for item in fields(config):
            if item.name in self._editors:
                _write(self._editors[item.name], getattr(config, item.name))


def tidy(layout: QFormLayout) -> None:
    """Labels above fields that do not fit beside them, no wasted margin."""
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    layout.setRowWrapPolicy(QFormLayout.RowWrapPolicy.WrapLongRows)


class _CalmCombo(QComboBox):
    """A combo box that the wheel scrolls past: scrolling a panel must not change a choice."""

    def __init__(self) -> None:
        super().__init__()
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setMinimumContentsLength(8)

    def wheelEvent(self, event: QWheelEvent) -> None:
        event.ignore()


class _CalmInt(QSpinBox):
    def wheelEvent(self, event: QWheelEvent) -> None:
        event.ignore()


class _CalmFloat(QDoubleSpinBox):
    def wheelEvent(self, event: QWheelEvent) -> None:
        event.ignore()


def combo(name: str, tip: str) -> QComboBox:
    """An empty combo box with a name (for tests and styles) and a tooltip."""
    box = _CalmCombo()
    box.setObjectName(name)
    box.setToolTip(tip)
    return box


def _editor(facts: dict[str, Any]) -> QWidget:
    if facts["choices"]:
        editor: QWidget = _CalmCombo()
        editor.addItems(list(facts["choices"]))
    elif isinstance(facts["default"], bool):
        editor = QCheckBox()
    elif isinstance(facts["default"], int):
        editor = _number(_CalmInt(), facts, 2**31 - 1)
    else:
        editor = _number(_CalmFloat(), facts, 1e9)
        editor.setSingleStep(_step(facts))
        editor.setDecimals(3 if _step(facts) < 1 else 1)
    span = _span(facts)
    editor.setToolTip(f"{facts['help']} {span}".strip())
    return editor


def _number(editor: Any, facts: dict[str, Any], top: float) -> Any:
    kind = type(facts["default"])
    editor.setRange(kind(facts["min"] if facts["min"] is not None else -top), kind(facts["max"] or top))
    editor.setSuffix(f" {unit_Words(facts['unit'])}" if facts["unit"] else "")
    editor.setKeyboardTracking(False)
    return editor


def _step(facts: dict[str, Any]) -> float:
    return 1.0 if facts["max"] is None or facts["max"] > 20 else 0.05


def _span(facts: dict[str, Any]) -> str:
    low, high = facts["min"], facts["max"]
    if low is None and high is None:
        return ""
    words = f"at least {low:g}" if high is None else f"at most {high:g}" if low is None else f"{low:g} to {high:g}"
    return f"({words} {unit_Words(facts['unit'])}".rstrip() + ")"


def unit_Words(unit: str) -> str:
    """The unit as people read it: ``um`` with its sign."""
    return unit.replace("um", "µm")


def _changed_signal(editor: QWidget) -> Any:
    if isinstance(editor, QComboBox):
        return editor.currentTextChanged
    return editor.toggled if isinstance(editor, QCheckBox) else editor.valueChanged


def _read(editor: QWidget) -> Any:
    if isinstance(editor, QComboBox):
        return editor.currentText()
    return editor.isChecked() if isinstance(editor, QCheckBox) else editor.value()


def _write(editor: QWidget, value: Any) -> None:
    if isinstance(editor, QComboBox):
        editor.setCurrentText(str(value))
    elif isinstance(editor, QCheckBox):
        editor.setChecked(value)
    else:
        editor.setValue(value)


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

    def _typed(self) -> None:
        text = self.line.text().strip()
        if text != self._last:
            self._last = text
            self.chosen.emit(Path(text).expanduser() if text else None)

    def _browse(self) -> None:
        ask = QFileDialog.getExistingDirectory if self._folder else QFileDialog.getOpenFileName
        answer = ask(self, self._hint) if self._folder else ask(self, self._hint, "", self._filters)[0]
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
        self.sentence = Words("error")
        self.sentence.setStyleSheet("color: #ff8a80; font-weight: bold;")
        self.button = QToolButton(text="Details", objectName="error.details", checkable=True)
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
        super().setText(re.sub(LONG_WORD, _breakable, text))
        self.setVisible(bool(text))

    def text(self) -> str:
        """The text as it was set, without the places where it may break."""
        return str(super().text()).replace("\u200b", "")


def silently(widget: QWidget, act: Callable[[], object]) -> None:
    """Set a widget without it saying that it changed."""
    before = widget.blockSignals(True)
    act()
    widget.blockSignals(before)
