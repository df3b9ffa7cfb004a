"""The list of classes with their colours: added, renamed, recoloured, removed. Knows no window."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QAction
from qtpy.QtWidgets import QHBoxLayout, QListWidget, QListWidgetItem, QMenu, QPushButton, QVBoxLayout, QWidget

from napari_gimp.plugin.docks.regiontable import swatch
from napari_gimp.plugin.panel.parts import silently

Colour = tuple[int, int, int]


class ClassList(QWidget):
    """Says ``added``, ``renamed`` (old, new), ``recoloured`` (name, colour) and ``removed``."""

    added = Signal()
    renamed = Signal(str, str)
    recoloured = Signal(str, object)
    removed = Signal(str)

    def __init__(self, palette: Mapping[str, Colour]) -> None:
        super().__init__()
        self._names: list[str] = []
        self.list = QListWidget(objectName="regions.classes")
        self.list.setToolTip("Double-click a class, or press F2, to call it otherwise: its regions follow.")
        self.list.setMaximumHeight(120)
        self.add = QPushButton(text="Add", objectName="regions.class.add", toolTip="Add a class to the list.")
        self.colour = QPushButton(text="Colour", objectName="regions.class.colour")
        self.colour.setToolTip("Colour of the chosen class; these are told apart by colour-blind readers.")
        self.remove = QPushButton(text="Remove", objectName="regions.class.remove")
        self.remove.setToolTip("Do not offer the chosen class any more: its regions stay in no class.")
        self.colour.setMenu(self._colours(palette))
        self._arrange()
        self.add.clicked.connect(lambda _: self.added.emit())
        self.remove.clicked.connect(lambda _: self.removed.emit(self.current) if self.current else None)
        self.list.itemChanged.connect(self._edited)

    @property
    def current(self) -> str:
        """The chosen class, empty for none."""
        row = self.list.currentRow()
        return self._names[row] if 0 <= row < len(self._names) else ""

    def set_classes(self, classes: Sequence[tuple[str, Colour]]) -> None:
        """Show the classes; the chosen one stays chosen."""
        row, self._names = self.list.currentRow(), [name for name, _ in classes]
        silently(self.list, self.list.clear)
        for name, colour in classes:
            item = QListWidgetItem(swatch(colour), name)
            item.setFlags(item.flags() | Qt.ItemFlag.ItemIsEditable)
            silently(self.list, partial(self.list.addItem, item))
        self.list.setCurrentRow(min(row, len(classes) - 1))

    def show_again(self) -> None:
        """The names as they were before one was typed."""
        for row, name in enumerate(self._names):
            silently(self.list, partial(self.list.item(row).setText, name))

    def edit(self, name: str) -> None:
        """Let the user type another name for a class."""
        row = self._names.index(name)
        self.list.setCurrentRow(row)
        self.list.editItem(self.list.item(row))

    def _arrange(self) -> None:
        layout, row = QVBoxLayout(self), QHBoxLayout()
        layout.setContentsMargins(0, 0, 0, 0)
        for button in (self.add, self.colour, self.remove):
            row.addWidget(button)
        row.addStretch(1)
        layout.addWidget(self.list)
        layout.addLayout(row)

    def _colours(self, palette: Mapping[str, Colour]) -> QMenu:
        menu = QMenu(self.colour)
        for name, colour in palette.items():
            action = QAction(swatch(colour), name, menu)
            action.triggered.connect(lambda _=False, colour=colour: self._recolour(colour))
            menu.addAction(action)
        return menu

    def _recolour(self, colour: Colour) -> None:
        if self.current:
            self.recoloured.emit(self.current, colour)

    def _edited(self, item: QListWidgetItem) -> None:
        old, new = self._names[self.list.row(item)], item.text()
        if new != old:
            self.renamed.emit(old, new)
