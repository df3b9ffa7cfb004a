"""The table of regions: name and class are typed in place, numbers follow, a click goes there. Knows no window."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from qtpy.QtCore import QSize, Qt, Signal
from qtpy.QtGui import QColor, QIcon, QPainter, QPixmap
from qtpy.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QHeaderView,
    QStyledItemDelegate,
    QTableWidget,
    QTableWidgetItem,
    QWidget,
)

from napari_gimp.plugin.panel.parts import silently

NAME, CLASS, FIRST_NUMBER = 0, 1, 2
NO_CLASS = "no class"
SWATCH_PX, LEAST_PX, ROOM_PX = 12, 110, 8
EDIT_TIP = "Click: go there. Double-click, or F2: {}."
HEADINGS = (("region", EDIT_TIP.format("type another name")), ("class", EDIT_TIP.format("choose or type a class")))


@dataclass(frozen=True)
class Line:
    """A row: the colour of its outline, and the texts of its columns from the third on."""

    name: str
    classification: str
    colour: tuple[int, int, int]
    numbers: tuple[str, ...]


def swatch(colour: tuple[int, int, int]) -> QIcon:
    """A square of a colour, framed so that black and white are seen on any theme."""
    picture = QPixmap(SWATCH_PX, SWATCH_PX)
    picture.fill(QColor(128, 128, 128))
    painter = QPainter(picture)
    painter.fillRect(1, 1, SWATCH_PX - 2, SWATCH_PX - 2, QColor(*colour))
    painter.end()
    return QIcon(picture)


class _ClassChoice(QStyledItemDelegate):
    """A combo box in the cell: the classes there are, and any other that is typed."""

    def __init__(self, table: RegionTable) -> None:
        super().__init__(table)
        self._table = table

    def createEditor(self, parent: QWidget, option: Any, index: Any) -> QWidget:
        box = QComboBox(parent, editable=True, objectName="regions.class.editor")
        box.setInsertPolicy(QComboBox.InsertPolicy.NoInsert)
        box.addItem(NO_CLASS)
        for name, colour in self._table.classes:
            box.addItem(swatch(colour), name)
        box.activated.connect(lambda _: self._done(box))
        return box

    def _done(self, box: QComboBox) -> None:
        self.commitData.emit(box)
        self.closeEditor.emit(box)

    def setEditorData(self, editor: QWidget, index: Any) -> None:
        editor.setCurrentText(index.data() or NO_CLASS)
        editor.lineEdit().selectAll()

    def setModelData(self, editor: QWidget, model: Any, index: Any) -> None:
        text = editor.currentText().strip()
        model.setData(index, "" if text == NO_CLASS else text)


class RegionTable(QTableWidget):
    """Rows of regions. Says ``chosen`` with a row, ``named`` and ``classed`` with a row and a text."""

    chosen = Signal(int)
    named = Signal(int, str)
    classed = Signal(int, str)

    def __init__(self) -> None:
        super().__init__(0, 2, objectName="regions.table")
        self.setToolTip("Click a region to go there; double-click its name or class to change it.")
        self.classes: Sequence[tuple[str, tuple[int, int, int]]] = ()
        self._lines: list[Line] = []
        self._tips: list[str] = []
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setEditTriggers(QAbstractItemView.EditTrigger.DoubleClicked | QAbstractItemView.EditTrigger.EditKeyPressed)
        self.setIconSize(QSize(SWATCH_PX, SWATCH_PX))
        self.verticalHeader().setVisible(False)
        self.verticalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        self.verticalHeader().setDefaultSectionSize(self.fontMetrics().height() + ROOM_PX)
        self.horizontalHeader().setHighlightSections(False)
        self.setItemDelegateForColumn(CLASS, _ClassChoice(self))
        self.setMinimumHeight(LEAST_PX)
        self.set_columns(())
        self.cellClicked.connect(lambda row, _: self.chosen.emit(row))
        self.itemChanged.connect(self._edited)

    def set_columns(self, columns: Sequence[tuple[str, str]]) -> None:
        """Headings and tooltips of the columns of numbers."""
        every = [*HEADINGS, *columns]
        if [tip for _, tip in every] == self._tips:
            return
        self._tips = [tip for _, tip in every]
        self.setColumnCount(len(every))
        for place, (heading, tip) in enumerate(every):
            item = QTableWidgetItem(heading)
            item.setToolTip(tip)
            self.setHorizontalHeaderItem(place, item)
        self._lines = []
        self._fit()

    def set_lines(self, lines: Sequence[Line]) -> None:
        """Show rows; only cells that changed are touched, so that one that is being typed in stays open."""
        fresh = len(lines) != len(self._lines)
        self.setUpdatesEnabled(False)
        silently(self, lambda: self._fill(lines))
        self.setUpdatesEnabled(True)
        self._lines = list(lines)
        if fresh:
            self._fit()
        self.viewport().update()

    def select_rows(self, rows: Sequence[int]) -> None:
        """Mark the rows of what is selected on the slide, without saying so."""
        if sorted(rows) != self.chosen_rows():
            silently(self, self.clearSelection)
            mode = self.selectionMode()
            self.setSelectionMode(QAbstractItemView.SelectionMode.MultiSelection)
            for row in rows:
                silently(self, partial(self.selectRow, row))
            self.setSelectionMode(mode)

    def chosen_rows(self) -> list[int]:
        """The rows that are marked."""
        return sorted(index.row() for index in self.selectionModel().selectedRows())

    def _fill(self, lines: Sequence[Line]) -> None:
        self.setRowCount(len(lines))
        for row, line in enumerate(lines):
            before = self._lines[row] if row < len(self._lines) else None
            if line == before:
                continue
            for column, text in enumerate((line.name, line.classification, *line.numbers)):
                self._put(row, column, text)
            if before is None or before.colour != line.colour:
                self.item(row, NAME).setIcon(swatch(line.colour))

    def _put(self, row: int, column: int, text: str) -> None:
        item = self.item(row, column)
        if item is None:
            item = QTableWidgetItem(text)
            if column >= FIRST_NUMBER:
                item.setFlags(item.flags() & ~Qt.ItemFlag.ItemIsEditable)
                item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            item.setToolTip(self._tips[column])
            self.setItem(row, column, item)
        elif item.text() != text:
            item.setText(text)

    def _fit(self) -> None:
        self.resizeColumnsToContents()
        for column, least in ((NAME, 84), (CLASS, 116)):
            self.setColumnWidth(column, min(160, max(least, self.columnWidth(column))))

    def _edited(self, item: QTableWidgetItem) -> None:
        line = self._lines[item.row()] if item.row() < len(self._lines) else None
        if line is not None and item.column() == NAME and item.text() != line.name:
            self.named.emit(item.row(), item.text())
        elif line is not None and item.column() == CLASS and item.text() != line.classification:
            self.classed.emit(item.row(), item.text())
