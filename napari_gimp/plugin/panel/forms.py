"""A form made from a settings dataclass by magicgui, and the Qt habits that it shares with the rest of the panel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, get_type_hints

from magicgui.widgets import CheckBox, ComboBox, Container, FloatSlider, create_widget
from magicgui.widgets.bases import RangedWidget, ValueWidget
from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtWidgets import (
    QAbstractSpinBox,
    QComboBox,
    QDoubleSpinBox,
    QFormLayout,
    QLabel,
    QSizePolicy,
    QSlider,
    QWidget,
)

from napari_gimp.settings import describe

SLIDER_STEPS = 100
BUTTON_PX = 22
UNBOUNDED = 10**12
"""Where numbers without a bound of their own end in a form."""


class SettingsForm(Container):
    """Edits one settings dataclass: types, labels, ranges, units, choices and tooltips come from its fields.

    ``changed`` is emitted after every edit. ``native`` is the Qt widget to lay out; ``rows`` takes more of them.
    """

    def __init__(self, config_type: type, default: Any | None = None) -> None:
        self._config = config_type() if default is None else default
        self._edits: dict[str, Any] = {}
        hints = get_type_hints(config_type)
        editors = [_editor(name, hints[name], about) for name, about in describe(config_type).items()]
        for editor in editors:
            editor.native.setObjectName(f"{config_type.__name__}.{editor.name}")
            editor.changed.connect(lambda value, name=editor.name: self._edits.update({name: value}))
        super().__init__(widgets=editors, labels=False)  # only now: ``changed`` is said after the edit is known
        self.margins = (0, 0, 0, 0)
        self.rows = _rows(editors)
        self.native.layout().addLayout(self.rows)
        self._show()

    def value(self) -> Any:
        """The dataclass that was set, with the fields that were edited since.

        Raises
        ------
        InputError
            When the fields do not fit together.
        """
        return replace(self._config, **self._edits)

    def set_value(self, config: Any) -> None:
        """Show another value; says ``changed`` once, when it differs.

        Raises
        ------
        ValueError
            A number beyond ``UNBOUNDED``, which the form cannot show.
        """
        before = {**vars(self._config), **self._edits}
        self._config = config
        self._show()
        if before != vars(config):
            self.changed.emit(self)

    def _show(self) -> None:
        with self.changed.blocked():
            for editor in self:
                editor.value = getattr(self._config, editor.name)
        self._edits.clear()  # a number with more decimals than are shown is kept until it is edited


def _rows(editors: Sequence[ValueWidget[Any]]) -> QFormLayout:
    """Labels and fields in two columns: magicgui's own do not wrap and are measured without napari's font."""
    layout = QFormLayout()
    tidy(layout)
    for editor in editors:
        if isinstance(editor, CheckBox):
            layout.addRow(editor.native)
        else:
            layout.addRow(QLabel(editor.label, toolTip=editor.tooltip), editor.native)
    return layout


def _editor(name: str, kind: Any, about: dict[str, Any]) -> ValueWidget[Any]:
    options: dict[str, Any] = {"tooltip": f"{about['help']} {_span(about)}".strip()}
    if about["choices"]:
        options["choices"] = about["choices"]
    elif kind in (int, float):
        low, high = about["min"], about["max"]
        options |= {"min": -UNBOUNDED if low is None else low, "max": UNBOUNDED if high is None else high}
        options["step"] = 1 if kind is int else None
        if about["slider"]:
            options |= {"widget_type": "FloatSlider", "step": (high - low) / SLIDER_STEPS}
    made = create_widget(annotation=kind, name=name, label=_label(name, about["unit"]), options=options)
    assert isinstance(made, ValueWidget)
    _adapt(made)
    return made


def _adapt(editor: ValueWidget[Any]) -> None:
    """What magicgui has no option for."""
    native = editor.native
    if isinstance(native, QDoubleSpinBox):
        native.setDecimals(3 if native.maximum() <= 20 else 1)
    if isinstance(editor, FloatSlider):
        _widen(native, editor.tooltip or "")
    if isinstance(native, QAbstractSpinBox):
        native.setKeyboardTracking(False)
    if isinstance(editor, RangedWidget | ComboBox):
        calm(native)


def _widen(slider: QWidget, tip: str) -> None:
    """A slider as wide as its row, and its number whole beside it."""
    number = slider.findChild(QDoubleSpinBox)
    number.setStyleSheet("")
    number.setToolTip(tip)
    number.setButtonSymbols(QAbstractSpinBox.ButtonSymbols.UpDownArrows)  # without them napari's style hides the number
    number.setFixedWidth(number.fontMetrics().horizontalAdvance("99.99") + 2 * BUTTON_PX)
    slider.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
    for part in (number, slider.findChild(QSlider)):
        calm(part)


def _label(name: str, unit: str) -> str:
    words = name.removesuffix(f"_{unit}").replace("_", " ")
    return f"{words} ({_unit_words(unit)})" if unit else words


def _span(about: dict[str, Any]) -> str:
    low, high = about["min"], about["max"]
    if low is None and high is None:
        return ""
    words = f"at least {low:g}" if high is None else f"at most {high:g}" if low is None else f"{low:g} to {high:g}"
    return f"({words} {_unit_words(about['unit'])}".rstrip() + ")"


def _unit_words(unit: str) -> str:
    """The unit as people read it: ``um2`` with its signs."""
    return unit.replace("um2", "µm²").replace("um", "µm")


def tidy(layout: QFormLayout) -> None:
    """Labels above fields that do not fit beside them, no wasted margin."""
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    layout.setRowWrapPolicy(QFormLayout.RowWrapPolicy.WrapLongRows)


def combo(name: str, tip: str) -> QComboBox:
    """An empty combo box with a name (for tests and styles) and a tooltip."""
    box = QComboBox(objectName=name, toolTip=tip)
    calm(box)
    return box


class _WheelPasses(QObject):
    """Scrolling a panel must not change what the wheel passes over."""

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() != QEvent.Type.Wheel:
            return False
        event.ignore()
        return True


def calm(widget: QWidget) -> None:
    """Let neither the wheel that scrolls past nor its focus change a widget's value."""
    widget.installEventFilter(_WheelPasses(widget))
    widget.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
    if isinstance(widget, QComboBox):
        widget.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        widget.setMinimumContentsLength(8)
