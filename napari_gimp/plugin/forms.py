"""Small Qt parts that know one value each: a form made from a settings dataclass, a file field, an error box."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QWheelEvent
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QFormLayout,
    QSpinBox,
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
