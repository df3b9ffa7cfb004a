"""The face of the regions: tools to draw, table, import and export, classes. Knows no window and no layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QAction, QKeySequence, QShortcut
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QHBoxLayout,
    QLabel,
    QMenu,
    QPushButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from napari_gimp.plugin.docks.regionclasses import ClassList, Colour
from napari_gimp.plugin.docks.regiontable import NO_CLASS, RegionTable, swatch
from napari_gimp.plugin.folders import ask_file, ask_new_file
from napari_gimp.plugin.panel.forms import combo
from napari_gimp.plugin.panel.parts import Words, folded, silently

TOOLS = {
    "add_polygon": "Polygon: click its corners, end with a double-click (P)",
    "add_rectangle": "Rectangle: drag it (R)",
    "add_ellipse": "Ellipse: drag it (E)",
    "select": "Move, resize, rotate (S)",
    "direct": "Move corners (D)",
}
GEOJSON, IMAGESCOPE, CSV = "geojson", "xml", "csv"
EXPORTS = {
    GEOJSON: ("Regions as GeoJSON (QuPath)…", "GeoJSON (*.geojson)"),
    IMAGESCOPE: ("Regions as XML (Aperio ImageScope)…", "ImageScope (*.xml)"),
    CSV: ("Table as CSV…", "Table (*.csv)"),
}
IMPORTS = "Regions (*.geojson *.json *.xml);;All files (*)"


class RegionsFace(QScrollArea):
    """Says what the user wants; the rest is set from outside."""

    draw = Signal(str)
    new_layer = Signal()
    imported = Signal(object)
    exported = Signal(str, object)
    deleted = Signal(list)
    stepped = Signal(int)
    new_class = Signal(str)

    def __init__(self, palette: Mapping[str, Colour]) -> None:
        super().__init__(widgetResizable=True, frameShape=QScrollArea.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.table, self.classes = RegionTable(), ClassList(palette)
        self.words, self.notes = Words("regions.words"), Words("regions.notes")
        self.chosen = Words("regions.chosen")
        self.freehand = _button("draw", "Draw", "Draw a region freehand: press on the slide, draw, release.")
        self.tool = _button("tools", "Tools", "Other ways to draw, and to move, resize and reshape regions.")
        self.layer = _button("layer", "New layer", "Begin another layer of regions on this slide.")
        self.undo = _button("undo", "Undo", "Take back the last edit of a region (Ctrl+Z, here or on the slide).")
        self.redo = _button("redo", "Redo", "Do again what was taken back (Ctrl+Shift+Z).")
        self.delete = _button("delete", "Delete", "Delete the regions marked in the table (Del).")
        self.load = _button("import", "Import…", "Regions from GeoJSON (QuPath) or XML (Aperio ImageScope).")
        self.save = _button("export", "Export…", "All regions of this slide, or the table, as a file.")
        self.named = QCheckBox("with the slide's name", objectName="regions.named")
        self.named.setToolTip("Off: exports hold no name of the slide and no path. A slide's name may tell a patient.")
        self.as_class = combo("regions.new_class", "The class of regions that you draw from now on.")
        self._offered: tuple[list[tuple[str, Colour]], str] = ([], "")
        self.tool.setMenu(self._tools())
        self.save.setMenu(self._exports())
        self._arrange()
        self._connect()

    def set_lines(self, has_slide: bool, has_lines: bool) -> None:
        """What can be done now."""
        for button in (self.freehand, self.tool, self.layer, self.load):
            button.setEnabled(has_slide)
        for button in (self.save, self.delete):
            button.setEnabled(has_lines)

    def set_steps(self, undo: bool, redo: bool) -> None:
        """Whether there is something to take back, or to do again."""
        self.undo.setEnabled(undo)
        self.redo.setEnabled(redo)

    def set_classes(self, classes: Sequence[tuple[str, Colour]], new_class: str) -> None:
        """The classes that are offered, and the one that is drawn."""
        if (list(classes), new_class) == self._offered:
            return
        self._offered = (list(classes), new_class)
        self.table.classes = classes
        self.classes.set_classes(classes)
        silently(self.as_class, lambda: self._offer(classes, new_class))

    def _offer(self, classes: Sequence[tuple[str, Colour]], new_class: str) -> None:
        self.as_class.clear()
        self.as_class.addItem(NO_CLASS)
        for name, colour in classes:
            self.as_class.addItem(swatch(colour), name)
        self.as_class.setCurrentText(new_class or NO_CLASS)

    def _tools(self) -> QMenu:
        menu = QMenu(self.tool)
        for mode, title in TOOLS.items():
            action = QAction(title, menu)
            action.triggered.connect(lambda _=False, mode=mode: self.draw.emit(mode))
            menu.addAction(action)
        return menu

    def _exports(self) -> QMenu:
        menu = QMenu(self.save)
        for kind, (title, _) in EXPORTS.items():
            action = QAction(title, menu)
            action.triggered.connect(lambda _=False, kind=kind: self._ask_where(kind))
            menu.addAction(action)
        return menu

    def _connect(self) -> None:
        self.freehand.clicked.connect(lambda _: self.draw.emit("add_polygon_lasso"))
        self.layer.clicked.connect(lambda _: self.new_layer.emit())
        self.undo.clicked.connect(lambda _: self.stepped.emit(-1))
        self.redo.clicked.connect(lambda _: self.stepped.emit(1))
        self.delete.clicked.connect(lambda _: self.deleted.emit(self.table.chosen_rows()))
        self.load.clicked.connect(lambda _: self._ask_what())
        for keys, act in (
            ("Ctrl+Z", self.undo.click),
            ("Ctrl+Shift+Z", self.redo.click),
            (QKeySequence(QKeySequence.StandardKey.Delete), self.delete.click),
        ):
            QShortcut(QKeySequence(keys), self, act, context=Qt.ShortcutContext.WidgetWithChildrenShortcut)
        self.as_class.textActivated.connect(lambda text: self.new_class.emit("" if text == NO_CLASS else text))

    def _ask_what(self) -> None:
        answer = ask_file(self, "Import regions", IMPORTS)
        if answer:
            self.imported.emit(Path(answer))

    def _ask_where(self, kind: str) -> None:
        title, form = EXPORTS[kind]
        answer = ask_new_file(self, title, f"regions.{kind}", form)
        if answer:
            path = Path(answer)
            self.exported.emit(kind, path if path.suffix else path.with_suffix(f".{kind}"))

    def _arrange(self) -> None:
        inner = QWidget()
        layout = QVBoxLayout(inner)
        layout.setContentsMargins(6, 4, 6, 4)
        layout.addLayout(_row(self.freehand, QLabel("as"), self.as_class, self.tool))
        layout.addLayout(_row(self.undo, self.redo, self.delete, self.layer, None))
        layout.addLayout(_row(self.load, self.save, self.named, None))
        layout.addWidget(self.table, 1)
        layout.addWidget(self.chosen)
        layout.addWidget(self.words)
        layout.addWidget(self.notes)
        layout.addWidget(folded("Classes", self.classes))
        self.setWidget(inner)
        self.setMinimumWidth(340)


def _button(name: str, text: str, tip: str) -> QPushButton:
    return QPushButton(text=text, objectName=f"regions.{name}", toolTip=tip)


def _row(*parts: QWidget | None) -> QHBoxLayout:
    """Parts side by side; None takes what is left over."""
    row = QHBoxLayout()
    for part in parts:
        if part is None:
            row.addStretch(1)
        else:
            row.addWidget(part, 1 if isinstance(part, QComboBox) else 0)
    return row
