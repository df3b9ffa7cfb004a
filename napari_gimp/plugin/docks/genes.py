"""The genes' face: a table that is searched and sorted, bars of what adds most, gene groups to click."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from qtpy.QtCore import QAbstractTableModel, QModelIndex, Qt, Signal
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import (
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QLineEdit,
    QPushButton,
    QScrollArea,
    QTableView,
    QVBoxLayout,
    QWidget,
)

from napari_gimp.plugin.docks.signedbars import SignedBars
from napari_gimp.plugin.genes.genetable import ATTRIBUTION, GENE, GROUP, Bar, GeneTable
from napari_gimp.plugin.panel.forms import combo
from napari_gimp.plugin.panel.parts import Words, fill, folded, silently

HEADING_TIPS = (
    "Gene as the checkpoint names it.",
    "Expression of this profile in the checkpoint's working scale.",
    "Standard deviations from the mean of the training profiles; 0 where the gene is missing.",
    "What the gene adds to the logit of the class above, against the training mean (integrated gradients).",
    "Gene groups of the model that the gene stands in.",
)
ROW_PX = 20
LEAST_TABLE_PX = 200


class GeneRows(QAbstractTableModel):
    """Rows of a `GeneTable`, made when they come into sight."""

    def __init__(self) -> None:
        super().__init__()
        self.table: GeneTable | None = None
        self.of = self.search = ""
        self.column, self.descending = ATTRIBUTION, True
        self.rows: Any = np.empty(0, int)

    def show(self, table: GeneTable | None, of: str) -> None:
        """Another table, or another class."""
        self.table, self.of = table, of
        self.refresh()

    def refresh(self) -> None:
        """Order and filter again."""
        self.beginResetModel()
        none = np.empty(0, int)
        self.rows = none if self.table is None else self.table.order(self.column, self.descending, self.of, self.search)
        self.endResetModel()

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        self.column, self.descending = column, order == Qt.SortOrder.DescendingOrder
        self.refresh()

    def rowCount(self, parent: QModelIndex | None = None) -> int:
        return 0 if parent is not None and parent.isValid() else len(self.rows)

    def columnCount(self, parent: QModelIndex | None = None) -> int:
        return 0 if parent is not None and parent.isValid() else len(HEADING_TIPS)

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if self.table is None or not index.isValid():
            return None
        gene = int(self.rows[index.row()])
        if role == Qt.ItemDataRole.ToolTipRole and index.column() == GENE:
            return self.table.prediction.genes[gene]
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.ToolTipRole):
            return self.table.cell(gene, index.column(), self.of)
        if role == Qt.ItemDataRole.TextAlignmentRole and index.column() not in (GENE, GROUP):
            return int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        return None

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if orientation != Qt.Orientation.Horizontal:
            return None
        if role == Qt.ItemDataRole.ToolTipRole:
            return HEADING_TIPS[section]
        if role == Qt.ItemDataRole.DisplayRole:
            return (
                ("gene", "value", "z", "adds", "group")[section] if self.table is None else self.table.headings[section]
            )
        return None


class GenesFace(QScrollArea):
    """Signals: the class to explain, the group whose map is wanted, the gene to change, a wish to stop."""

    class_chosen = Signal(str)
    group_chosen = Signal(str)
    gene_chosen = Signal(str)
    stop_wanted = Signal()
    shown = Signal()

    def __init__(self) -> None:
        super().__init__(widgetResizable=True, frameShape=QScrollArea.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.notice, self.coverage = Words("genes.notice"), Words("genes.coverage")
        self.completeness, self.status = Words("genes.completeness"), Words("genes.status")
        self.classes = combo("genes.class", "The class whose logit the numbers and bars are about.")
        self.search = QLineEdit(objectName="genes.search", placeholderText="gene or group", clearButtonEnabled=True)
        self.search.setToolTip("Show only genes with this in their name, or in the name of their group.")
        self.count = QLabel(objectName="genes.count")
        self.rows, self.table = GeneRows(), QTableView(objectName="genes.table")
        self.top = SignedBars("genes.top", "logit")
        self.groups = SignedBars("genes.groups", "logit", clickable=True)
        self.stop = QPushButton("Stop", objectName="genes.stop", toolTip="Give the map up.")
        self._content = QWidget()
        self._prepare_table()
        self._arrange()
        self._connect()

    def _prepare_table(self) -> None:
        table, header = self.table, self.table.horizontalHeader()
        table.setModel(self.rows)
        table.setSelectionBehavior(QTableView.SelectionBehavior.SelectRows)
        table.setSelectionMode(QTableView.SelectionMode.SingleSelection)
        table.setMinimumHeight(LEAST_TABLE_PX)
        table.setToolTip(
            "Click a heading to sort, numbers by their size; double-click a gene to change it in a what-if."
        )
        vertical = table.verticalHeader()
        vertical.setVisible(False)
        vertical.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        vertical.setDefaultSectionSize(ROW_PX)
        header.setSortIndicator(ATTRIBUTION, Qt.SortOrder.DescendingOrder)
        table.setSortingEnabled(True)
        header.setSectionResizeMode(QHeaderView.ResizeMode.Interactive)
        for column, width in enumerate((80, 70, 46, 60)):
            table.setColumnWidth(column, width)
        header.setStretchLastSection(True)

    def _arrange(self) -> None:
        inner, line, asked = QVBoxLayout(self._content), QHBoxLayout(), QHBoxLayout()
        inner.setContentsMargins(0, 0, 0, 0)
        line.addWidget(QLabel("Class"))
        line.addWidget(self.classes, 1)
        asked.addWidget(self.search, 1)
        asked.addWidget(self.count)
        working = QHBoxLayout()
        working.addWidget(self.status, 1)
        working.addWidget(self.stop)
        groups = QWidget()
        below = QVBoxLayout(groups)
        below.setContentsMargins(0, 0, 0, 0)
        below.addWidget(QLabel("Click a group: how support hangs on it, patch by patch.", wordWrap=True))
        below.addWidget(self.groups)
        self.top_fold = folded("Genes that add most", self.top)
        self.groups_fold = folded("Gene groups", groups)
        for part in (line, self.completeness, self.top_fold, self.groups_fold, working, asked, self.table):
            inner.addLayout(part) if isinstance(part, QHBoxLayout) else inner.addWidget(part)
        inner.setStretch(6, 1)
        self.top_fold.expand(animate=False)
        self.groups_fold.expand(animate=False)
        whole = QWidget()
        outer = QVBoxLayout(whole)
        outer.setContentsMargins(6, 4, 6, 4)
        for words in (self.notice, self.coverage):
            outer.addWidget(words)
        outer.addWidget(self._content, 1)
        outer.addStretch(0)
        self.setWidget(whole)
        self.setMinimumWidth(300)

    def _connect(self) -> None:
        self.classes.currentTextChanged.connect(lambda name: self.class_chosen.emit(name) if name else None)
        self.search.textChanged.connect(self._searched)
        self.groups.clicked.connect(self.group_chosen)
        self.stop.clicked.connect(self.stop_wanted)
        self.table.doubleClicked.connect(self._double_clicked)
        self.rows.modelReset.connect(self._count)
        self.set_status("")

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self.shown.emit()

    def set_notice(self, why_not: str) -> None:
        """Why there are no genes to show; empty where there are."""
        self.notice.setText(why_not)
        self.coverage.setVisible(not why_not)
        self._content.setVisible(not why_not)

    def set_classes(self, names: Sequence[str], current: str) -> None:
        """The classes to choose from, without a signal."""
        silently(self.classes, lambda: fill(self.classes, names, current))

    def set_table(self, table: GeneTable | None, of: str, words: tuple[str, str] = ("", "")) -> None:
        """Rows of a class, with what is to be said of coverage and completeness."""
        self.rows.show(table, of)
        self.coverage.setText(words[0])
        self.completeness.setText(words[1])

    def set_bars(self, top: Sequence[Bar], groups: Sequence[Bar]) -> None:
        """The genes that add most, and the groups."""
        self.top.set_bars(top)
        self.groups.set_bars(groups)
        self.groups_fold.setVisible(bool(groups))
        for fold in (self.top_fold, self.groups_fold):
            if fold.isExpanded():
                fold.expand(animate=False)

    def set_status(self, said: str, busy: bool = False) -> None:
        """What is being computed."""
        self.status.setText(said)
        self.stop.setVisible(busy)

    def _searched(self, text: str) -> None:
        self.rows.search = text
        self.rows.refresh()

    def _count(self) -> None:
        all_genes = 0 if self.rows.table is None else len(self.rows.table)
        self.count.setText(f"{len(self.rows.rows)} of {all_genes}")

    def _double_clicked(self, index: QModelIndex) -> None:
        if self.rows.table is not None:
            self.gene_chosen.emit(self.rows.table.cell(int(self.rows.rows[index.row()]), GENE, self.rows.of))
