"""The panel's lower half: run and cancel, the result and how it is shown. Signals up, setters down."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QFileDialog,
    QGroupBox,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QProgressBar,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_gimp.plugin.forms import SettingsForm, combo
from napari_gimp.plugin.parts import Words, fill, folded, silently
from napari_gimp.plugin.session import MEAN_HEAD, Head, ViewSettings
from napari_gimp.words import RESEARCH_ONLY


class RunSection(QWidget):
    """Run and Cancel, why not, how far."""

    run = Signal()
    cancel = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.start = QPushButton("Run GiMP", objectName="run")
        self.stop = QPushButton("Cancel", objectName="cancel", enabled=False)
        self.reason = Words("why_not")
        self.bar = QProgressBar(objectName="progress", visible=False, textVisible=True)
        self.stage = Words("stage")
        buttons = QHBoxLayout()
        buttons.addWidget(self.start, 2)
        buttons.addWidget(self.stop, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 0, 6, 2)
        layout.addLayout(buttons)
        for part in (self.reason, self.bar, self.stage):
            layout.addWidget(part)
        self.start.clicked.connect(self.run)
        self.stop.clicked.connect(self.cancel)

    def set_state(self, running: bool, why_not: str) -> None:
        """Run is enabled when there is no reason against it; the reason stands below it."""
        self.start.setEnabled(not why_not)
        self.stop.setEnabled(running)
        self.reason.setText("" if running else why_not)
        self.bar.setVisible(running)

    def set_progress(self, stage: str, done: int, total: int) -> None:
        """How far; a total of 0 means not known."""
        self.bar.setRange(0, total)
        self.bar.setValue(done)
        self.stage.setText(stage)


class ResultSection(QGroupBox):
    """Class probabilities in words and numbers, notes, how the maps are shown, export."""

    view_changed = Signal()
    export_to = Signal(str)
    patch_chosen = Signal(int)

    def __init__(self) -> None:
        super().__init__("Result")
        self.headline = Words("verdict")
        self.headline.setStyleSheet("font-size: 13pt; font-weight: bold;")
        self.caution = QLabel(RESEARCH_ONLY, objectName="caution", wordWrap=True)
        self.caution.setStyleSheet("color: #ffcc80; font-weight: bold;")
        self.table = _plain_table("probabilities")
        self.table.setToolTip("± is the standard deviation over members trained from other seeds, where there are any.")
        self.notes = Words("notes")
        self.head = combo("head", "Which attention the map shows: the mean over all of the last layer's, or one.")
        self._heads: tuple[Head, ...] = (MEAN_HEAD,)
        self.view = SettingsForm(ViewSettings)
        self.patches = _plain_table("patches")
        self.patches.setToolTip("Click a row to go to the patch.")
        self.export = QPushButton("Export…", objectName="export")
        self.export.setToolTip(
            "Write prediction, patches, GeoJSON for QuPath, maps, figure and run record to a folder."
        )
        self._arrange()
        self.head.currentTextChanged.connect(self._say_view_changed)
        self.view.changed.connect(self._say_view_changed)
        self.patches.cellClicked.connect(lambda row, _: self.patch_chosen.emit(row))
        self.export.clicked.connect(self.ask_folder)
        self.setVisible(False)

    def _arrange(self) -> None:
        self.view.rows.insertRow(0, "attention head", self.head)
        layout = QVBoxLayout(self)
        for part in (self.headline, self.caution, self.table, self.view.native, self.export):
            layout.addWidget(part)
        layout.addWidget(folded("Most attended patches", self.patches))
        layout.addWidget(self.notes)

    def _say_view_changed(self) -> None:
        self.view_changed.emit()

    def ask_folder(self) -> None:
        """Ask where to export to; says ``export_to``."""
        folder = QFileDialog.getExistingDirectory(self, "Folder for the exported result")
        if folder:
            self.export_to.emit(folder)

    def show_result(
        self,
        slide: str,
        headline: str,
        classes: Sequence[str],
        rows: Sequence[tuple[str, Sequence[str]]],
        heads: Sequence[Head],
        notes: Sequence[str],
    ) -> None:
        """Everything that is words and numbers of a result."""
        self.setTitle(f"Result · {slide}")
        self.headline.setText(headline)
        self.set_probabilities(classes, rows)
        self.set_heads(heads)
        self.notes.setText("\n".join(notes))
        self.setVisible(True)

    def set_heads(self, heads: Sequence[Head]) -> None:
        """Offer these heads; keeps the choice where it still exists, else takes the first."""
        names, before = [head.name for head in heads], self.head.currentText()
        self._heads = tuple(heads)
        self.head.setMinimumContentsLength(max(map(len, names)))
        silently(self.head, lambda: fill(self.head, names, before if before in names else names[0]))

    @property
    def chosen_head(self) -> Head:
        """The head that the map is to show."""
        return self._heads[int(self.head.currentIndex())]

    def set_probabilities(self, classes: Sequence[str], rows: Sequence[tuple[str, Sequence[str]]]) -> None:
        """One row per class, one column per kind of input; a column with a spread in it is as wide as it needs."""
        cells = [(name, [values[k] for _, values in rows]) for k, name in enumerate(classes)]
        _show_table(self.table, [name for name, _ in rows], cells)
        for column, (_, values) in enumerate(rows):
            wide = any("±" in value for value in values)
            mode = QHeaderView.ResizeMode.ResizeToContents if wide and len(rows) > 1 else QHeaderView.ResizeMode.Stretch
            self.table.horizontalHeader().setSectionResizeMode(column, mode)

    def set_patches(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """The most attended patches, best first."""
        _show_table(self.patches, columns, [(str(k + 1), row) for k, row in enumerate(rows)])


def _plain_table(name: str) -> QTableWidget:
    table = QTableWidget(objectName=name)
    table.setEditTriggers(QTableWidget.EditTrigger.NoEditTriggers)
    table.setSelectionBehavior(QTableWidget.SelectionBehavior.SelectRows)
    table.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
    return table


def _show_table(table: QTableWidget, columns: Sequence[str], rows: Sequence[tuple[str, Sequence[str]]]) -> None:
    table.setColumnCount(len(columns))
    table.setRowCount(len(rows))
    table.setHorizontalHeaderLabels(list(columns))
    table.setVerticalHeaderLabels([name for name, _ in rows])
    for i, (_, cells) in enumerate(rows):
        for j, text in enumerate(cells):
            table.setItem(i, j, QTableWidgetItem(text))
    height = table.horizontalHeader().sizeHint().height() + sum(map(table.rowHeight, range(min(8, len(rows)))))
    table.setFixedHeight(height + 4)
