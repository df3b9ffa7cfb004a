"""The list of cases as a table: thumbnails, what is known of each slide, a filter, the queue's buttons and progress."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import UInt8
from qtpy.QtCore import QSize, Qt, Signal
from qtpy.QtGui import QIcon, QImage, QKeyEvent, QPixmap
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHBoxLayout,
    QHeaderView,
    QLineEdit,
    QProgressBar,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_gimp.plugin.cases.caselist import COLUMNS, STATES
from napari_gimp.plugin.cases.caserows import CaseRow
from napari_gimp.plugin.folders import ask_file, ask_folder
from napari_gimp.plugin.panel.forms import combo
from napari_gimp.plugin.panel.parts import Words

ALL = "all states"
ICON_PX = QSize(44, 40)
PICTURE, NAMES = 0, 1
"""The first column; those of `COLUMNS` follow."""
WIDTHS_PX = (50, 80, 56, 78, 64)
"""All columns fit into the panel's width; the names take what is left."""
LIST_TIP = "Double click or Return: open the slide with everything that is known of it, without computing again."


class CasesFace(QWidget):
    """Says what is wanted: ``opened`` the number of a slide, ``run`` numbers of slides, ``stop``, files and filters."""

    folder_chosen = Signal(str)
    table_chosen = Signal(str)
    slides_chosen = Signal(str)
    opened = Signal(int)
    run = Signal(list)
    stop = Signal()
    arrangement = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._icons: dict[int, QIcon] = {}
        self._numbers: list[int] = []
        self._sorted: tuple[str, bool] = ("", False)
        self._make_sources()
        self._make_filters()
        self._make_queue()
        self.notes, self.about, self.census = Words("cases.notes"), Words("cases.about"), Words("cases.census")
        self.table = CaseTable()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 4, 6, 4)
        for part in (self._sources, self._filters, self.notes):
            layout.addWidget(part)
        layout.addWidget(self.table, 1)
        for part in (self.about, self.census, self._queue, self.bar, self.stage):
            layout.addWidget(part)
        self.table.cellDoubleClicked.connect(lambda row, _: self._open(row))
        self.table.opened.connect(self._open)
        self.table.itemSelectionChanged.connect(self._selection_changed)
        self.table.horizontalHeader().sectionClicked.connect(self._sort_by)
        self.set_source("")
        self.set_queue(False, "")

    def _make_sources(self) -> None:
        self.folder = _button("Folder…", "cases.folder", "List the slides of a folder.")
        self.cohort = _button("Cohort…", "cases.cohort", "List the cases of a table: case_id, slide_id, label, site.")
        self.slides = _button("Slides…", "cases.slides", "The folder in which the slides of this table lie.")
        self._sources = _row(self.folder, self.cohort, self.slides)
        self.folder.clicked.connect(lambda: self._ask_folder("Folder of slides", self.folder_chosen))
        self.slides.clicked.connect(lambda: self._ask_folder("Folder of the slides of this table", self.slides_chosen))
        self.cohort.clicked.connect(self._ask_table)

    def _make_filters(self) -> None:
        self.text = QLineEdit(objectName="cases.text", placeholderText="filter: case, slide, label, class…")
        self.text.setClearButtonEnabled(True)
        self.text.setToolTip("Shows the slides with all of these words in case, slide, label, site, class or reason.")
        self.state = combo("cases.state", "Show only slides in this state.")
        self.state.addItems([ALL, *STATES])
        self._filters = _row(self.text, self.state)
        self.text.textChanged.connect(lambda *_: self.arrangement.emit())
        self.state.currentIndexChanged.connect(lambda *_: self.arrangement.emit())

    def _make_queue(self) -> None:
        self.run_all = _button("Run all shown", "cases.run_all", "Run GiMP on every slide in the list, one by one.")
        self.run_selected = _button("Run selected", "cases.run", "Run GiMP on the selected slides, one by one.")
        self.stop_queue = _button("Stop", "cases.stop", "Stop after the present step; finished slides are kept.")
        self._queue = _row(self.run_all, self.run_selected, self.stop_queue)
        self.bar = QProgressBar(objectName="cases.progress", visible=False)
        self.stage = Words("cases.stage")
        self.run_all.clicked.connect(lambda: self.run.emit(list(self._numbers)))
        self.run_selected.clicked.connect(lambda: self.run.emit(self.selected))
        self.stop_queue.clicked.connect(self.stop)

    def _ask_folder(self, title: str, said: Signal) -> None:
        folder = ask_folder(self, title)
        if folder:
            said.emit(folder)

    def _ask_table(self) -> None:
        table = ask_file(self, "Table of cases", "Tables (*.csv *.tsv *.txt);;All files (*)")
        if table:
            self.table_chosen.emit(table)

    @property
    def selected(self) -> list[int]:
        """Numbers of the slides whose rows are selected, as they stand in the table."""
        return [self._numbers[row] for row in sorted({index.row() for index in self.table.selectedIndexes()})]

    @property
    def sorted_by(self) -> tuple[str, bool]:
        """The column that the list is sorted by, empty for its own order, and whether it falls."""
        return self._sorted

    @property
    def wanted_state(self) -> str:
        """The state that is asked for, empty for all."""
        return "" if self.state.currentText() == ALL else str(self.state.currentText())

    def set_source(self, name: str, notes: Sequence[str] = (), has_table: bool = False) -> None:
        """Which list is shown, and what is to be said of it."""
        self.notes.setText("\n".join((name, *notes)).strip() or "Open a folder of slides, or a table of cases.")
        self.slides.setVisible(has_table)
        self._icons.clear()

    def set_rows(self, rows: Sequence[CaseRow], census: str) -> None:
        """Show these rows, in this order; the selection stays with its slides."""
        selected = set(self.selected)
        self._numbers = [row.number for row in rows]
        self.census.setText(census)
        self.table.show_rows(rows, self._icons)
        self.table.select_rows([k for k, number in enumerate(self._numbers) if number in selected])
        self._selection_changed()

    def set_row(self, row: CaseRow | None, census: str) -> None:
        """Show another content of a row, where it is shown."""
        self.census.setText(census)
        if row is not None and row.number in self._numbers:
            self.table.show_row(self._numbers.index(row.number), row, self._icons.get(row.number))
            self._say_selected()

    def set_picture(self, number: int, picture: UInt8[np.ndarray, "h w 3"]) -> None:
        """The thumbnail of a slide."""
        self._icons[number] = icon = _icon(picture)
        if number in self._numbers:
            self.table.item(self._numbers.index(number), PICTURE).setIcon(icon)

    def set_queue(self, running: bool, said: str, done: int = 0, total: int = 1) -> None:
        """What the queue does; a total of 0 means that it is not known how far it is."""
        self._running = running
        self.stop_queue.setEnabled(running)
        self.bar.setVisible(running)
        self.bar.setRange(0, total)
        self.bar.setValue(done)
        self.stage.setText(said)
        self._selection_changed()

    def _selection_changed(self) -> None:
        self.run_all.setEnabled(not self._running and bool(self._numbers))
        self.run_selected.setEnabled(not self._running and bool(self.selected))
        self._say_selected()

    def _say_selected(self) -> None:
        """Everything of one selected slide in words: a reason is longer than its cell."""
        rows = sorted({index.row() for index in self.table.selectedIndexes()})
        self.about.setText(self.table.item(rows[0], PICTURE).toolTip() if len(rows) == 1 else "")

    def _open(self, row: int) -> None:
        if 0 <= row < len(self._numbers):
            self.opened.emit(self._numbers[row])

    def _sort_by(self, column: int) -> None:
        """Rising, falling, then the list's own order again."""
        name = "" if column == PICTURE else COLUMNS[column - 1]
        before, falling = self._sorted
        self._sorted = (name, False) if name != before else (name, True) if not falling else ("", False)
        order = Qt.SortOrder.DescendingOrder if self._sorted[1] else Qt.SortOrder.AscendingOrder
        header = self.table.horizontalHeader()
        header.setSortIndicatorShown(bool(self._sorted[0]))
        header.setSortIndicator(column, order)
        self.arrangement.emit()


class CaseTable(QTableWidget):
    """Rows of slides; Return opens as a double click does."""

    opened = Signal(int)

    def __init__(self) -> None:
        super().__init__(0, 1 + len(COLUMNS), objectName="cases")
        self.setHorizontalHeaderLabels(["", "slide", *COLUMNS[1:]])
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setToolTip(LIST_TIP)
        self.setIconSize(ICON_PX)
        self.setWordWrap(True)
        self.verticalHeader().setVisible(False)
        self.verticalHeader().setDefaultSectionSize(ICON_PX.height() + 10)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        header = self.horizontalHeader()
        header.setSectionsClickable(True)
        header.setMinimumSectionSize(40)
        for column, width in enumerate(WIDTHS_PX):
            self.setColumnWidth(column, width)
        header.setSectionResizeMode(NAMES, QHeaderView.ResizeMode.Stretch)

    def show_rows(self, rows: Sequence[CaseRow], icons: Mapping[int, QIcon]) -> None:
        """Fill the table."""
        self.setRowCount(len(rows))
        for place, row in enumerate(rows):
            self.show_row(place, row, icons.get(row.number))

    def show_row(self, place: int, row: CaseRow, icon: QIcon | None) -> None:
        """Fill one row; the name of a case stands at its first slide."""
        named = row.slide if row.slide == row.case or not row.starts else f"{row.case}\n{row.slide}"
        cells = ("", named, row.label, row.prediction, row.state)
        for column, text in enumerate(cells):
            item = QTableWidgetItem(text)
            item.setToolTip(row.tip)
            self.setItem(place, column, item)
        if icon is not None:
            self.item(place, PICTURE).setIcon(icon)

    def select_rows(self, places: Sequence[int]) -> None:
        """Select these rows and no others."""
        before = self.blockSignals(True)
        self.clearSelection()
        mode = self.selectionMode()
        self.setSelectionMode(QAbstractItemView.SelectionMode.MultiSelection)
        for place in places:
            self.selectRow(place)
        self.setSelectionMode(mode)
        self.blockSignals(before)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self.opened.emit(self.currentRow())
        else:
            super().keyPressEvent(event)


def _icon(picture: UInt8[np.ndarray, "h w 3"]) -> QIcon:
    pixels = np.ascontiguousarray(picture)
    height, width, _ = pixels.shape
    image = QImage(pixels.data, width, height, 3 * width, QImage.Format.Format_RGB888)
    return QIcon(QPixmap.fromImage(image.copy()))


def _button(text: str, name: str, tip: str) -> QPushButton:
    button = QPushButton(text, objectName=name)
    button.setToolTip(tip)
    return button


def _row(*parts: QWidget) -> QWidget:
    row = QWidget()
    layout = QHBoxLayout(row)
    layout.setContentsMargins(0, 0, 0, 0)
    for part in parts:
        layout.addWidget(part)
    return row
