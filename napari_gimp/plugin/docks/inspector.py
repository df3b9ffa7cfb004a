"""The inspector's face: the numbers under the cursor and of the chosen patch, its picture, what the model expected."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QFont, QImage
from qtpy.QtWidgets import (
    QCheckBox,
    QGridLayout,
    QHeaderView,
    QLabel,
    QScrollArea,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_gimp.plugin.panel.parts import Words, folded
from napari_gimp.plugin.patches.pictures import PatchPicture

CURSOR, CHOSEN = 0, 1
COLUMNS = ("under the cursor", "chosen (click)")
EXPECTED_TIP = (
    "GiMP rebuilds embeddings, not pixels: it cannot paint what it expected. Shown is the real patch of this slide"
    " whose embedding is nearest to the one that the model expected here from the other patches."
)
SURPRISING_TIP = "Patches whose embedding the model expected least, given the others. Click a row to go there."
NOTHING = "–"


class InspectorFace(QScrollArea):
    """Numbers, picture, expectation, list of surprising patches."""

    neighbours_wanted = Signal(bool)
    expected_wanted = Signal(bool)
    surprising_chosen = Signal(int)

    def __init__(self) -> None:
        super().__init__(widgetResizable=True, frameShape=QScrollArea.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.notice = Words("inspector.notice")
        self._names: list[str] = []
        self.numbers = _table("inspector.numbers", COLUMNS)
        self.numbers.setToolTip(
            "In brackets: the percentile, i.e. how many of the slide's other patches have a smaller number."
            " x and y: centre of the patch from the slide's top-left corner."
        )
        self.picture = PatchPicture("inspector.picture", 180)
        self.picture.setMaximumHeight(320)
        self.caption = Words("inspector.caption")
        self.neighbours = QCheckBox("with the 8 patches around it", objectName="inspector.neighbours")
        self.neighbours.setToolTip("Read the chosen patch in the middle of its surroundings, three patches a side.")
        self.expected = Expectation()
        self.surprising = _table("inspector.surprising", ("error", "percentile"))
        self.surprising.setToolTip(SURPRISING_TIP)
        self.surprising_fold = folded("Most surprising patches", self.surprising)
        self.expected_fold = folded("What the model expected here", self.expected)
        self._arrange()
        self.neighbours.toggled.connect(self.neighbours_wanted)
        self.expected_fold.toggled.connect(self.expected_wanted)
        self.surprising.cellClicked.connect(lambda row, _: self.surprising_chosen.emit(row))

    def _arrange(self) -> None:
        inner = QWidget()
        layout = QVBoxLayout(inner)
        layout.setContentsMargins(6, 4, 6, 4)
        parts = (self.notice, self.numbers, self.picture, self.caption, self.neighbours)
        for part in (*parts, self.expected_fold, self.surprising_fold):
            layout.addWidget(part)
        layout.addStretch(1)
        self.setWidget(inner)
        self.setMinimumWidth(300)

    def set_lines(self, names: Sequence[str]) -> None:
        """The names of the numbers: each stands above its two numbers, which are emptied where the names are others."""
        if list(names) == self._names:
            return
        self._names = list(names)
        self.numbers.clearSpans()
        self.numbers.setRowCount(2 * len(names))
        for row, name in enumerate(names):
            heading = QTableWidgetItem(name)
            heading.setFlags(Qt.ItemFlag.ItemIsEnabled)
            self.numbers.setItem(2 * row, 0, heading)
            self.numbers.setSpan(2 * row, 0, 1, 2)
        for column in (CURSOR, CHOSEN):
            self.set_numbers(column, [])
        _fit(self.numbers)

    def set_numbers(self, column: int, cells: Sequence[str]) -> None:
        """The numbers under the cursor or of the chosen patch; none: dashes."""
        for row in range(self.numbers.rowCount() // 2):
            text = cells[row] if cells else NOTHING
            item = self.numbers.item(2 * row + 1, column)
            if item is None:
                item = QTableWidgetItem(text)
                item.setFont(self._strong())
                self.numbers.setItem(2 * row + 1, column, item)
            elif item.text() != text:
                item.setText(text)

    def _strong(self) -> QFont:
        font = QFont(self.numbers.font())
        font.setBold(True)
        return font

    def set_surprising(self, unit: str, rows: Sequence[tuple[str, str]]) -> None:
        """Error and percentile of the most surprising patches; hidden where there are none."""
        self.surprising.setHorizontalHeaderLabels([f"error ({unit})", "percentile"])
        self.surprising.setRowCount(len(rows))
        for row, cells in enumerate(rows):
            for column, text in enumerate(cells):
                self.surprising.setItem(row, column, QTableWidgetItem(text))
        self.surprising_fold.setVisible(bool(rows))
        _fit(self.surprising)

    @property
    def asks_expected(self) -> bool:
        """Whether the user wants to know what the model expected."""
        return bool(self.expected_fold.isExpanded())


class Expectation(QWidget):
    """The patch here, the slide's patch that is most like what was expected, and how far off the model was."""

    def __init__(self) -> None:
        super().__init__(toolTip=EXPECTED_TIP)
        self.here, self.nearest = PatchPicture("expected.here"), PatchPicture("expected.nearest")
        self.error, self.words = Words("expected.error"), Words("expected.words")
        layout = QGridLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for column, (title, picture) in enumerate(
            (("the patch here", self.here), ("nearest to what was expected", self.nearest))
        ):
            layout.addWidget(QLabel(title, wordWrap=True), 0, column)
            layout.addWidget(picture, 1, column)
        layout.addWidget(self.error, 2, 0, 1, 2)
        layout.addWidget(self.words, 3, 0, 1, 2)
        self.words.setText(EXPECTED_TIP)

    def set_here(self, image: QImage, width_um: float | None) -> None:
        """The chosen patch."""
        self.here.set_picture(image, width_um)

    def set_nearest(self, image: QImage, width_um: float | None, error: str) -> None:
        """The patch that is most like what was expected, and the error in words."""
        self.nearest.set_picture(image, width_um)
        self.error.setText(error)

    def set_waiting(self, words: str, error: str = "") -> None:
        """Say what is being done, or why there is nothing."""
        self.here.set_words(words)
        self.nearest.set_words(words)
        self.error.setText(error)


def _table(name: str, columns: Sequence[str]) -> QTableWidget:
    table = QTableWidget(0, len(columns), objectName=name)
    table.setHorizontalHeaderLabels(list(columns))
    table.setEditTriggers(QTableWidget.EditTrigger.NoEditTriggers)
    table.setSelectionBehavior(QTableWidget.SelectionBehavior.SelectRows)
    table.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
    table.verticalHeader().setVisible(name == "inspector.surprising")
    return table


def _fit(table: QTableWidget) -> None:
    """As high as its rows."""
    high = table.fontMetrics().height() + 4
    for row in range(table.rowCount()):
        table.setRowHeight(row, high)
    table.setFixedHeight(table.horizontalHeader().sizeHint().height() + table.rowCount() * high + 6)
