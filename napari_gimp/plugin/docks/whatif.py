"""The what-if face: what to change, what is changed, and what the model would say then."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import QEvent, QStringListModel, Qt, Signal
from qtpy.QtGui import QKeyEvent, QKeySequence
from qtpy.QtWidgets import (
    QCompleter,
    QDoubleSpinBox,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QListWidget,
    QScrollArea,
    QSlider,
    QVBoxLayout,
    QWidget,
)

from napari_gimp.plugin.docks.whatif_answer import AnswerView, button
from napari_gimp.plugin.folders import ask_folder
from napari_gimp.plugin.panel.forms import calm, combo
from napari_gimp.plugin.panel.parts import Words, fill, silently
from napari_gimp.types import EditKind

KINDS: dict[str, EditKind] = {
    "silence (expression 0)": "silence",
    "training mean": "mean",
    "percentile of training": "percentile",
    "value": "value",
}
PERCENTILE_UNIT = "% (normal approximation)"
STEPS = 196


class WhatIfFace(QScrollArea):
    """Signals: something to change, to leave out, to take back; a map or files wanted."""

    target_typed = Signal(str)
    kind_chosen = Signal(str)
    apply_wanted = Signal()
    amount_moved = Signal(float)
    region_wanted = Signal(bool)
    remove_wanted = Signal(int)
    undo_wanted = Signal()
    reset_wanted = Signal()
    stop_wanted = Signal()
    map_wanted = Signal(bool)
    class_chosen = Signal(str)
    export_to = Signal(str)

    def __init__(self) -> None:
        super().__init__(widgetResizable=True, frameShape=QScrollArea.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.notice, self.error = Words("whatif.notice"), Words("whatif.error")
        self.error.setStyleSheet("font-weight: bold;")
        self.genes, self.regions = GeneChange(), RegionChange()
        self.edits = QListWidget(objectName="whatif.edits")
        self.edits.setToolTip("What is changed, in the order asked; later edits count where two meet.")
        self.edits.setFixedHeight(96)
        self.edits.setWordWrap(True)
        self.edits.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.remove = button("Remove", "remove", "Take the chosen edit out of the list.")
        self.undo = button("Undo", "undo", "Take the last step back (Ctrl+Z while this dock has the keyboard).")
        self.reset = button("Reset", "reset", "The slide and the profile as they are; can be undone.")
        self.answer = AnswerView()
        self.status = Words("whatif.status")
        self.stop = button("Stop", "stop", "Give up what is being computed.")
        self._arrange()
        self._connect()
        self.set_status("")

    def _arrange(self) -> None:
        self._content = QWidget()
        inner, buttons, working = QVBoxLayout(self._content), QHBoxLayout(), QHBoxLayout()
        inner.setContentsMargins(0, 0, 0, 0)
        for each in (self.remove, self.undo, self.reset):
            buttons.addWidget(each)
        working.addWidget(self.status, 1)
        working.addWidget(self.stop)
        for part in (self.genes, self.regions, self.error, self.edits):
            inner.addWidget(part)
        inner.addLayout(buttons)
        inner.addLayout(working)
        inner.addWidget(self.answer)
        whole = QWidget()
        outer = QVBoxLayout(whole)
        outer.setContentsMargins(6, 4, 6, 4)
        outer.addWidget(self.notice)
        outer.addWidget(self._content)
        outer.addStretch(1)
        self.setWidget(whole)
        self.setMinimumWidth(300)

    def _connect(self) -> None:
        genes, regions, answer = self.genes, self.regions, self.answer
        genes.target.textChanged.connect(self.target_typed)
        genes.kind.currentTextChanged.connect(lambda name: self.kind_chosen.emit(KINDS[name]) if name else None)
        genes.apply.clicked.connect(self.apply_wanted)
        genes.target.returnPressed.connect(self.apply_wanted)
        genes.moved.connect(self.amount_moved)
        regions.leave_out.clicked.connect(lambda: self.region_wanted.emit(False))
        regions.keep_only.clicked.connect(lambda: self.region_wanted.emit(True))
        self.remove.clicked.connect(lambda: self.remove_wanted.emit(self.edits.currentRow()))
        self.undo.clicked.connect(self.undo_wanted)
        self.reset.clicked.connect(self.reset_wanted)
        self.stop.clicked.connect(self.stop_wanted)
        answer.compare.toggled.connect(self.map_wanted)
        answer.classes.currentTextChanged.connect(lambda name: self.class_chosen.emit(name) if name else None)
        answer.export.clicked.connect(self._ask_folder)

    def event(self, event: QEvent) -> bool:
        """The undo key is this dock's while it has the keyboard: elsewhere napari undoes what was drawn."""
        if event.type() == QEvent.Type.ShortcutOverride and event.matches(QKeySequence.StandardKey.Undo):
            event.accept()
            return True
        return bool(super().event(event))

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.matches(QKeySequence.StandardKey.Undo):
            self.undo.click()
        else:
            super().keyPressEvent(event)

    def _ask_folder(self) -> None:
        folder = ask_folder(self, "Folder for the what-if", to_write=True)
        if folder:
            self.export_to.emit(folder)

    def set_notice(self, words: str, usable: bool) -> None:
        """What is to be known first; what cannot be used is hidden."""
        self.notice.setText(words)
        self._content.setVisible(usable)

    def set_edits(self, words: Sequence[str], can_undo: bool) -> None:
        """The list of what is changed."""
        self.edits.clear()
        self.edits.addItems(list(words))
        self.edits.setCurrentRow(len(words) - 1)
        self.remove.setEnabled(bool(words))
        self.reset.setEnabled(bool(words))
        self.undo.setEnabled(can_undo)

    def set_status(self, said: str, busy: bool = False) -> None:
        """What is being computed, or how long it took."""
        self.status.setText(said)
        self.stop.setVisible(busy)


class GeneChange(QWidget):
    """A gene or group, what to do with it, and a slider for how much; ``moved`` says the slider's value."""

    moved = Signal(float)

    def __init__(self) -> None:
        super().__init__(objectName="whatif.genes")
        self.target = QLineEdit(
            objectName="whatif.target", placeholderText="gene or gene group", clearButtonEnabled=True
        )
        self.target.setToolTip("A gene of the checkpoint, or one of its gene groups (all of its genes at once).")
        self._names = QStringListModel()
        completer = QCompleter(self._names, self.target)
        completer.setCaseSensitivity(Qt.CaseSensitivity.CaseInsensitive)
        completer.setFilterMode(Qt.MatchFlag.MatchContains)
        completer.setMaxVisibleItems(12)
        self.target.setCompleter(completer)
        self.kind = combo("whatif.kind", "What its expression shall be, in the checkpoint's working scale.")
        fill(self.kind, tuple(KINDS), next(iter(KINDS)))
        self.slider = QSlider(Qt.Orientation.Horizontal, objectName="whatif.slider")
        self.slider.setRange(0, STEPS)
        self.slider.setToolTip("How much; the probabilities follow while it is moved.")
        self.number = QDoubleSpinBox(objectName="whatif.number", decimals=2, keyboardTracking=False)
        self.number.setToolTip("How much; its unit stands below.")
        self.unit = QLabel(objectName="whatif.unit", wordWrap=True)
        self.now = Words("whatif.now")
        self.apply = button("Apply", "apply", "Add the change to the list below.")
        self._arrange()
        self.slider.valueChanged.connect(self._slid)
        self.number.valueChanged.connect(self._numbered)
        self.set_range(0, 1, 0, "")
        self.set_amount(False)

    def _arrange(self) -> None:
        layout = QGridLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.target, 0, 0, 1, 2)
        layout.addWidget(self.kind, 1, 0)
        layout.addWidget(self.apply, 1, 1)
        layout.addWidget(self.slider, 2, 0)
        layout.addWidget(self.number, 2, 1)
        layout.addWidget(self.unit, 3, 0, 1, 2)
        layout.addWidget(self.now, 4, 0, 1, 2)
        layout.setColumnStretch(0, 3)
        layout.setColumnStretch(1, 2)
        for part in (self.slider, self.number):
            calm(part)

    def set_names(self, names: Sequence[str]) -> None:
        """Groups and genes to choose from."""
        self._names.setStringList(list(names))

    def set_amount(self, wanted: bool) -> None:
        """Whether the kind needs a number."""
        for part in (self.slider, self.number, self.unit):
            part.setVisible(wanted)

    def set_range(self, low: float, high: float, value: float, unit: str, decimals: int = 2) -> None:
        """What slider and number go from and to, silently."""
        silently(self.number, lambda: self.number.setDecimals(decimals))
        silently(self.number, lambda: self.number.setRange(low, high))
        silently(self.number, lambda: self.number.setSingleStep((high - low) / 100))
        silently(self.number, lambda: self.number.setValue(value))
        silently(self.slider, lambda: self.slider.setValue(self._step_of(value)))
        self.unit.setText(f"{low:g} to {high:.3g} {unit}")

    def _step_of(self, value: float) -> int:
        low, high = self.number.minimum(), self.number.maximum()
        return int(STEPS * (value - low) / max(high - low, 1e-9) + 0.5)

    def _slid(self, step: int) -> None:
        low, high = self.number.minimum(), self.number.maximum()
        silently(self.number, lambda: self.number.setValue(low + (high - low) * step / STEPS))
        self.moved.emit(self.number.value())

    def _numbered(self, value: float) -> None:
        silently(self.slider, lambda: self.slider.setValue(self._step_of(value)))
        self.moved.emit(value)


class RegionChange(QWidget):
    """The Shapes layer whose regions are left out or kept."""

    def __init__(self) -> None:
        super().__init__(objectName="whatif.regions")
        self.layer = combo("whatif.layer", "A Shapes layer with regions drawn on this slide.")
        self.leave_out = button("Leave out", "leave_out", "Run the model on the patches outside the regions.")
        self.keep_only = button("Keep only", "keep_only", "Run the model on the patches inside the regions alone.")
        layout = QGridLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.layer, 0, 0, 1, 2)
        layout.addWidget(self.leave_out, 1, 0)
        layout.addWidget(self.keep_only, 1, 1)

    def set_layers(self, names: Sequence[str]) -> None:
        """The layers to choose from; the chosen one stays while it is there, else the newest is taken."""
        shown = [self.layer.itemText(k) for k in range(self.layer.count())]
        current = self.layer.currentText() if self.layer.currentText() in names else (names[-1] if names else "")
        if shown != list(names):
            silently(self.layer, lambda: fill(self.layer, names, current))
        self.layer.setPlaceholderText("draw regions in a Shapes layer")
        for each in (self.leave_out, self.keep_only):
            each.setEnabled(bool(names))
