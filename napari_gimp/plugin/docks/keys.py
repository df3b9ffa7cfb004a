"""The list of keys as a dialog: what is pressed on the left, what it does on the right, by where it holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QHeaderView,
    QLineEdit,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

SIZE_PX = (700, 640)


class KeysDialog(QDialog):
    """Stays open beside the work; a word typed above leaves only the lines that have it."""

    def __init__(self, lines: Mapping[str, Sequence[tuple[str, str]]], parent: QWidget | None = None) -> None:
        super().__init__(parent, objectName="keys")
        self.setWindowTitle("Keys of GiMP and napari")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.find = QLineEdit(objectName="keys.find", placeholderText="find a key or a word", clearButtonEnabled=True)
        self.find.setToolTip("Leaves only the lines that have these letters.")
        self.list = QTreeWidget(objectName="keys.list", columnCount=2, rootIsDecorated=False, wordWrap=True)
        self.list.setHeaderLabels(["Key", "What it does"])
        self.list.setToolTip("Every key, by where it holds.")
        self.list.setSelectionMode(QTreeWidget.SelectionMode.NoSelection)
        close = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        close.button(QDialogButtonBox.StandardButton.Close).setToolTip("Close this list (Esc).")
        layout = QVBoxLayout(self)
        for part in (self.find, self.list, close):
            layout.addWidget(part)
        self._fill(lines)
        self.find.textChanged.connect(self._leave)
        close.rejected.connect(self.close)
        self.resize(*SIZE_PX)

    def _fill(self, lines: Mapping[str, Sequence[tuple[str, str]]]) -> None:
        for place, keys in lines.items():
            head = QTreeWidgetItem(self.list, [place])
            head.setFirstColumnSpanned(True)
            font = head.font(0)
            font.setBold(True)
            head.setFont(0, font)
            for key, meaning in keys:
                QTreeWidgetItem(head, [key, meaning]).setToolTip(1, meaning)
        self.list.expandAll()
        self.list.header().setSectionResizeMode(0, QHeaderView.ResizeMode.ResizeToContents)

    def _leave(self, word: str) -> None:
        wanted = word.strip().lower()
        for head in (self.list.topLevelItem(k) for k in range(self.list.topLevelItemCount())):
            lines = [head.child(k) for k in range(head.childCount())]
            for line in lines:
                line.setHidden(wanted not in f"{line.text(0)} {line.text(1)}".lower())
            head.setHidden(all(line.isHidden() for line in lines))
