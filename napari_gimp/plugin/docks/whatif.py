"""The what-if face: what to change, what is changed, and what the model would say then."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import QEvent, QPoint, QRect, QStringListModel, Qt, Signal
from qtpy.QtGui import QImage, QKeyEvent, QKeySequence, QPainter, QPaintEvent
from qtpy.QtWidgets import (
    QCheckBox,
    QCompleter,
    QDoubleSpinBox,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QListWidget,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QSlider,
    QVBoxLayout,
    QWidget,
)

from napari_gimp.plugin.bars import BarRow, ProbabilityBars
from napari_gimp.plugin.folders import ask_folder
from napari_gimp.plugin.forms import calm, combo
from napari_gimp.plugin.parts import Words, fill, silently
from napari_gimp.types import EditKind

KINDS: dict[str, EditKind] = {
    "silence (expression 0)": "silence",
    "training mean": "mean",
    "percentile of training": "percentile",
    "value": "value",
}
PERCENTILE_UNIT = "% (normal approximation)"
STEPS = 196
PICTURE_PX = 130


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
        self.remove = _button("Remove", "remove", "Take the chosen edit out of the list.")
        self.undo = _button("Undo", "undo", "Take the last step back (Ctrl+Z while this dock has the keyboard).")
        self.reset = _button("Reset", "reset", "The slide and the profile as they are; can be undone.")
        self.answer = AnswerView()
        self.status = Words("whatif.status")
        self.stop = _button("Stop", "stop", "Give up what is being computed.")
        self._arrange()
        self._connect()
        self.set_status("")

    def _arrange(self) -> None:
        self._content = QWidget()
        inner, buttons, working = QVBoxLayout(self._content), QHBoxLayout(), QHBoxLayout()
        inner.setContentsMargins(0, 0, 0, 0)
        for button in (self.remove, self.undo, self.reset):
            buttons.addWidget(button)
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
        self.apply = _button("Apply", "apply", "Add the change to the list below.")
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
        self.leave_out = _button("Leave out", "leave_out", "Run the model on the patches outside the regions.")
        self.keep_only = _button("Keep only", "keep_only", "Run the model on the patches inside the regions alone.")
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
        for button in (self.leave_out, self.keep_only):
            button.setEnabled(bool(names))


class AnswerView(QWidget):
    """Probabilities of the original and of the what-if, and both support maps side by side."""

    def __init__(self) -> None:
        super().__init__(objectName="whatif.answer")
        self.label, self.words, self.remarks = Words("whatif.label"), Words("whatif.words"), Words("whatif.remarks")
        self.label.setStyleSheet("font-style: italic;")
        self.bars = ProbabilityBars()
        self.bars.setObjectName("whatif.bars")
        self.classes = combo("whatif.class", "The class whose support is compared.")
        self.compare = QCheckBox("compare support maps", objectName="whatif.compare")
        self.compare.setToolTip("Compute class support for the what-if beside the window, and lay it on the slide.")
        self.on_slide = QCheckBox("what-if on the slide", objectName="whatif.on_slide", checked=True)
        self.on_slide.setToolTip("Off: the original map is on the slide, in the same colours.")
        self.before, self.after = MapPicture("whatif.before"), MapPicture("whatif.after")
        self.before_title, self.after_title = QLabel("original"), QLabel("what-if")
        for title in (self.before_title, self.after_title):
            title.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)  # words must not widen the dock
        self.maps = Words("whatif.maps")
        self.export = _button(
            "Export this what-if …", "export", "Write it to a folder; every file says that it is a what-if."
        )
        layout = QGridLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        wide: tuple[QWidget, ...] = (self.label, self.bars, self.words, self.remarks)
        for row, part in enumerate(wide):
            layout.addWidget(part, row, 0, 1, 2)
        layout.addWidget(self.compare, 4, 0)
        layout.addWidget(self.classes, 4, 1)
        pairs = ((self.before_title, self.after_title), (self.before, self.after))
        for row, pair in enumerate(pairs, start=5):
            for column, part in enumerate(pair):
                layout.addWidget(part, row, column)
        layout.addWidget(self.on_slide, 7, 0, 1, 2)
        layout.addWidget(self.maps, 8, 0, 1, 2)
        layout.setColumnStretch(0, 1)
        layout.setColumnStretch(1, 1)
        layout.addWidget(self.export, 9, 0, 1, 2)
        self.set_pictures(None, None)

    def set_classes(self, names: Sequence[str], current: str) -> None:
        """The classes whose support can be compared, without a signal."""
        silently(self.classes, lambda: fill(self.classes, names, current))

    def set_answer(self, label: str, said: str, remarks: str) -> None:
        """What was asked, what would change, what must be known of it."""
        self.label.setText(label)
        self.words.setText(said)
        self.remarks.setText(remarks)
        self.export.setEnabled(bool(label))

    def set_rows(self, classes: Sequence[str], rows: Sequence[BarRow]) -> None:
        """Bars of the original and of the what-if."""
        self.bars.set_rows(classes, rows)

    def set_pictures(self, before: QImage | None, after: QImage | None) -> None:
        """Support maps of the original and of the what-if in the same colours; None hides one."""
        for image, label, title in ((before, self.before, self.before_title), (after, self.after, self.after_title)):
            label.setVisible(image is not None)
            title.setVisible(image is not None)
            label.set_image(image)
        self.on_slide.setVisible(after is not None)
        self.after_title.setText("what-if")

    def set_outdated(self) -> None:
        """The what-if's map is of an earlier question: another one is on its way."""
        self.after_title.setText("what-if (being computed …)")


class MapPicture(QWidget):
    """A small map, as wide as there is room, every patch a sharp square."""

    def __init__(self, name: str) -> None:
        super().__init__(objectName=name)
        self.image: QImage | None = None
        self.setFixedHeight(PICTURE_PX)

    def set_image(self, image: QImage | None) -> None:
        """Show this map."""
        self.image = image
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        if self.image is None:
            return
        painter = QPainter(self)
        size = self.image.size().scaled(self.size(), Qt.AspectRatioMode.KeepAspectRatio)
        painter.drawImage(QRect(QPoint(0, 0), size), self.image)
        painter.end()


def _button(text: str, name: str, tip: str) -> QPushButton:
    button = QPushButton(text, objectName=f"whatif.{name}", toolTip=tip)
    button.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
    return button
