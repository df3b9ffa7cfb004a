"""The gallery's face: what to show, thumbnails with rank and value, labels to mark them with, the picture sheet."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import QItemSelectionModel, QRectF, QSize, Qt, Signal
from qtpy.QtGui import QColor, QIcon, QImage, QKeyEvent, QPainter, QPixmap, qGray
from qtpy.QtWidgets import (
    QCheckBox,
    QGridLayout,
    QLineEdit,
    QListWidget,
    QListWidgetItem,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_gimp.plugin.folders import ask_new_file
from napari_gimp.plugin.panel.forms import SettingsForm, combo
from napari_gimp.plugin.panel.parts import Words, beside, fill, silently
from napari_gimp.plugin.patches.picks import PickSettings

ICON_PX, BAND_PX = 108, 19
BLANK = "#3a3f4a"
LABEL_KEYS = (Qt.Key.Key_1, Qt.Key.Key_2, Qt.Key.Key_3, Qt.Key.Key_4, Qt.Key.Key_5)
NO_LABEL_KEYS = (Qt.Key.Key_0, Qt.Key.Key_Delete, Qt.Key.Key_Backspace)
KEYS = {
    "1 … 5": "In the gallery: mark the selected patches with a label.",
    "0": "In the gallery: take the labels of the selected patches away.",
    "Enter": "In the gallery: go to the selected patch.",
}
"""Key -> what it does, for a help dialog."""
LIST_TIP = "Click: go there and choose it. Ctrl or Shift: select several. Keys 1 to 5 mark, 0 takes the mark away."


class GalleryFace(QWidget):
    """Signals: what is wanted; ``marked`` says items and number of the label, 0 for none."""

    ranking_chosen = Signal(int)
    settings_changed = Signal()
    again = Signal()
    picked = Signal(int)
    marked = Signal(list, int)
    label_renamed = Signal(int, str)
    export_to = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.ranking = combo("gallery.ranking", "By which map the patches are picked, and from which end of it.")
        self.settings = SettingsForm(PickSettings)
        self.pick_again = QPushButton("Pick again", objectName="gallery.again")
        self.pick_again.setToolTip("Pick from the result as it is now.")
        self.title = Words("gallery.title")
        self.list = Thumbnails()
        self.labels = Labels()
        self.named = QCheckBox("slide name in the picture", objectName="gallery.named", checked=False)
        self.named.setToolTip("A slide's name may tell who the patient is: it is left out unless you want it.")
        self.export = QPushButton("Picture sheet…", objectName="gallery.export", enabled=False)
        self.export.setToolTip("Write these patches as one picture (PNG), with values, labels and scale bars.")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 4, 6, 4)
        for part in (beside(self.ranking, self.pick_again), self.settings.native, self.title):
            layout.addWidget(part)
        layout.addWidget(self.list, 1)
        layout.addWidget(self.labels)
        layout.addWidget(beside(self.named, self.export))
        self._connect()

    def _connect(self) -> None:
        self.ranking.activated.connect(self.ranking_chosen)
        self.settings.changed.connect(lambda: self.settings_changed.emit())
        self.pick_again.clicked.connect(self.again)
        self.list.itemClicked.connect(self._clicked)
        self.list.itemActivated.connect(lambda item: self.picked.emit(self.list.row(item)))
        self.list.label_wanted.connect(self._mark)
        self.labels.wanted.connect(self._mark)
        self.labels.renamed.connect(self.label_renamed)
        self.export.clicked.connect(self.ask_file)

    def _clicked(self, item: QListWidgetItem) -> None:
        if len(self.list.selectedItems()) == 1:
            self.picked.emit(self.list.row(item))

    def _mark(self, number: int) -> None:
        chosen = sorted(self.list.row(item) for item in self.list.selectedItems())
        if chosen:
            self.marked.emit(chosen, number)

    def ask_file(self) -> None:
        """Ask where to write the sheet; says ``export_to``."""
        name = ask_new_file(self, "Picture sheet", "patches.png", "Picture (*.png)")
        if name:
            self.export_to.emit(name if name.lower().endswith(".png") else f"{name}.png")

    def set_rankings(self, titles: Sequence[str]) -> None:
        """Offer these; keeps the choice where it still exists, else takes the first."""
        before = self.ranking.currentText()
        first = titles[0] if titles else ""
        silently(self.ranking, lambda: fill(self.ranking, titles, before if before in titles else first))

    def set_items(self, words: Sequence[str], tips: Sequence[str]) -> None:
        """So many patches by their words, still without pictures."""
        self.list.clear()
        for text, tip in zip(words, tips, strict=True):
            item = QListWidgetItem(thumbnail(None, "", BLANK), text)
            item.setToolTip(tip)
            item.setTextAlignment(Qt.AlignmentFlag.AlignHCenter)
            self.list.addItem(item)
        self.export.setEnabled(bool(words))

    def set_thumbnail(self, row: int, image: QImage | None, label: str, colour: str) -> None:
        """The picture of a patch and its label, in the label's colour."""
        self.list.item(row).setIcon(thumbnail(image, label, colour))
        self.list.item(row).setData(Qt.ItemDataRole.UserRole, label)

    def highlight(self, row: int | None) -> None:
        """Show which patch is chosen elsewhere."""
        if row is None:
            self.list.clearSelection()
        elif not self.list.item(row).isSelected():
            self.list.setCurrentRow(row, QItemSelectionModel.SelectionFlag.ClearAndSelect)


class Thumbnails(QListWidget):
    """The patches, in rows that fill the width; keys 1 to 5 and 0 say ``label_wanted``."""

    label_wanted = Signal(int)

    def __init__(self) -> None:
        super().__init__(objectName="gallery.list", toolTip=LIST_TIP)
        self.setViewMode(QListWidget.ViewMode.IconMode)
        self.setResizeMode(QListWidget.ResizeMode.Adjust)
        self.setMovement(QListWidget.Movement.Static)
        self.setSelectionMode(QListWidget.SelectionMode.ExtendedSelection)
        self.setIconSize(QSize(ICON_PX, ICON_PX))
        self.setUniformItemSizes(True)
        self.setWordWrap(True)
        self.setGridSize(QSize(ICON_PX + 8, ICON_PX + 2 * self.fontMetrics().height() + 12))
        self.setMinimumHeight(160)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() in LABEL_KEYS:
            self.label_wanted.emit(LABEL_KEYS.index(event.key()) + 1)
        elif event.key() in NO_LABEL_KEYS:
            self.label_wanted.emit(0)
        else:
            super().keyPressEvent(event)


class Labels(QWidget):
    """The labels with their keys and colours; a click marks what is selected, a fold renames them."""

    wanted = Signal(int)
    renamed = Signal(int, str)

    def __init__(self) -> None:
        super().__init__()
        self.buttons = [QPushButton(objectName=f"label.{k + 1}") for k in range(len(LABEL_KEYS))]
        self.none = QPushButton("0  none", objectName="label.0")
        self.none.setToolTip("Take the labels of the selected patches away (key 0).")
        self.lines = [QLineEdit(objectName=f"label.name.{k + 1}") for k in range(len(LABEL_KEYS))]
        self.rename = QPushButton("Rename …", objectName="label.rename", checkable=True)
        self.rename.setToolTip("Give the labels other names; marks that are there are renamed with them.")
        names, grid = QWidget(visible=False), QGridLayout()
        rows = QVBoxLayout(names)
        rows.setContentsMargins(0, 0, 0, 0)
        for k, (button, line) in enumerate(zip(self.buttons, self.lines, strict=True)):
            grid.addWidget(button, k // 4, k % 4)
            rows.addWidget(line)
            button.clicked.connect(lambda _, number=k + 1: self.wanted.emit(number))
            line.editingFinished.connect(lambda number=k: self._rename(number))
        grid.addWidget(self.none, 1, 1, 1, 2)
        grid.addWidget(self.rename, 1, 3)
        self.none.clicked.connect(lambda: self.wanted.emit(0))
        self.rename.toggled.connect(names.setVisible)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(grid)
        layout.addWidget(names)
        self._names: list[str] = []

    def _rename(self, number: int) -> None:
        name = self.lines[number].text().strip()
        if name and name not in self._names:
            self.renamed.emit(number, name)
        else:
            self.lines[number].setText(self._names[number])

    def set_labels(self, names: Sequence[str], colours: Sequence[str]) -> None:
        """Show these labels in these colours."""
        self._names = list(names)
        for k, (name, colour) in enumerate(zip(names, colours, strict=True)):
            self.buttons[k].setText(f"{k + 1}  {name}")
            self.buttons[k].setIcon(_swatch(colour))
            self.buttons[k].setToolTip(f"Mark the selected patches as {name} (key {k + 1}).")
            self.lines[k].setText(name)
            self.lines[k].setToolTip(f"Name of the label of key {k + 1}; its marks are renamed with it.")


def _swatch(colour: str) -> QIcon:
    picture = QPixmap(12, 12)
    picture.fill(QColor(colour))
    return QIcon(picture)


def thumbnail(image: QImage | None, label: str, colour: str) -> QIcon:
    """A patch in twice the size of an icon, with a band in the colour of its label."""
    picture = QPixmap(2 * ICON_PX, 2 * ICON_PX)
    picture.fill(QColor(BLANK))
    painter = QPainter(picture)
    painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
    whole = QRectF(0, 0, 2 * ICON_PX, 2 * ICON_PX)
    if image is not None:
        painter.drawImage(whole, image)
    if label:
        _paint_band(painter, whole, label, colour)
    painter.end()
    icon = QIcon()
    for mode in (QIcon.Mode.Normal, QIcon.Mode.Selected):  # a selected patch keeps its colours
        icon.addPixmap(picture, mode)
    return icon


def _paint_band(painter: QPainter, whole: QRectF, label: str, colour: str) -> None:
    band = QRectF(0, whole.height() - 2 * BAND_PX, whole.width(), 2 * BAND_PX)
    painter.fillRect(band, QColor(colour))
    painter.setPen(QColor("white" if qGray(QColor(colour).rgb()) < 110 else "black"))
    font = painter.font()
    font.setPixelSize(int(1.4 * BAND_PX))
    painter.setFont(font)
    painter.drawText(band, int(Qt.AlignmentFlag.AlignCenter), label)
