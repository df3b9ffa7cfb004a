"""The panel's lower half: run and cancel, the result and how it is shown. Signals up, setters down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QGroupBox,
    QHBoxLayout,
    QHeaderView,
    QProgressBar,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_gimp.plugin.folders import ask_folder
from napari_gimp.plugin.maps import ATTENTION
from napari_gimp.plugin.panel.bars import BarRow, ProbabilityBars
from napari_gimp.plugin.panel.forms import SettingsForm, combo
from napari_gimp.plugin.panel.parts import CAUTION, Toned, Words, folded, silently
from napari_gimp.plugin.session import ViewSettings
from napari_gimp.words import RESEARCH_ONLY


class RunSection(QWidget):
    """Run and Cancel, why not, how far."""

    run = Signal()
    cancel = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.start = QPushButton("Run GiMP", objectName="run")
        self.start.setToolTip("Find the tissue, embed its patches and predict; the maps fill in meanwhile.")
        self.stop = QPushButton("Cancel", objectName="cancel", enabled=False)
        self.stop.setToolTip("End the run; what was embedded is kept for the next one.")
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
    report_to = Signal(str)
    patch_chosen = Signal(int)

    def __init__(self) -> None:
        super().__init__("Result")
        self.headline = Words("verdict")
        self.headline.setStyleSheet("font-size: 13pt; font-weight: bold;")
        self.caution = Toned("caution", CAUTION)
        self.table = _plain_table("probabilities")
        self.table.setToolTip("± is the standard deviation over members trained from other seeds, where there are any.")
        self.bars, self.doubt, self.notes = ProbabilityBars(), Words("doubt"), Words("notes")
        self.map = combo("map", "Which number of each patch is shown on the slide (next: . previous: ,).")
        self.view = SettingsForm(ViewSettings)
        self.patches = _plain_table("patches")
        self.patches.setToolTip("Click a row to go to the patch.")
        self.export = QPushButton("Export…", objectName="export")
        self.export.setToolTip(
            "Write prediction, patches, GeoJSON for QuPath, maps, figure and run record to a folder."
        )
        self.report = QPushButton("Report…", objectName="report")
        self.report.setToolTip("Write the case as one page, report.html and report.pdf, to a folder.")
        self.names = QCheckBox("names in files", objectName="names")
        self.names.setToolTip("Off: files and pages name neither slide nor patient, nor any path. On: they do.")
        self._arrange()
        self.caution.setText(RESEARCH_ONLY)
        self.map.currentIndexChanged.connect(self._say_view_changed)
        self.view.changed.connect(self._say_view_changed)
        self.patches.cellClicked.connect(lambda row, _: self.patch_chosen.emit(row))
        self.export.clicked.connect(self.ask_folder)
        self.report.clicked.connect(self.ask_report)
        self.setVisible(False)

    def _arrange(self) -> None:
        layout = QVBoxLayout(self)
        for part in (
            self.headline,
            self.caution,
            self.bars,
            self.table,
            self.doubt,
            self._map_row(),
            self.view.native,
            self._out_row(),
        ):
            layout.addWidget(part)
        layout.addWidget(folded("Top patches of this map", self.patches))
        layout.addWidget(self.notes)

    def _map_row(self) -> QWidget:
        """The box of maps as wide as the panel, a step to either side of it."""
        row = QWidget()
        layout = QHBoxLayout(row)
        layout.setContentsMargins(0, 0, 0, 0)
        for text, name, by, tip in (
            ("‹", "map.previous", -1, "Previous map (,)"),
            ("›", "map.next", 1, "Next map (.)"),
        ):
            button = QToolButton(text=text, objectName=name, toolTip=tip)
            button.clicked.connect(lambda _=False, by=by: self.step_map(by))
            layout.addWidget(button)
        layout.insertWidget(1, self.map, 1)
        return row

    def _out_row(self) -> QWidget:
        """What writes files, and whether they may name anybody."""
        row = QWidget()
        layout = QHBoxLayout(row)
        layout.setContentsMargins(0, 0, 0, 0)
        for button in (self.export, self.report):
            layout.addWidget(button, 1)
        layout.addWidget(self.names)
        return row

    @property
    def allows_names(self) -> bool:
        """Whether files may name slide and patient."""
        return bool(self.names.isChecked())

    def set_whole(self, whole: bool) -> None:
        """Only a whole result is written."""
        self.export.setEnabled(whole)
        self.report.setEnabled(whole)

    def _say_view_changed(self) -> None:
        self.view_changed.emit()

    def ask_folder(self) -> None:
        """Ask where to export to; says ``export_to``."""
        folder = ask_folder(self, "Folder for the exported result", to_write=True)
        if folder:
            self.export_to.emit(folder)

    def ask_report(self) -> None:
        """Ask where the page goes; says ``report_to``."""
        folder = ask_folder(self, "Folder for the report", to_write=True)
        if folder:
            self.report_to.emit(folder)

    def show_result(
        self,
        slide: str,
        headline: str,
        classes: Sequence[str],
        rows: Sequence[tuple[str, Sequence[str]]],
        titles: Mapping[str, str],
        notes: Sequence[str],
    ) -> None:
        """Everything that is words and numbers of a result."""
        self.setTitle(f"Result · {slide}")
        self.headline.setText(headline)
        self.set_probabilities(classes, rows)
        self.set_maps(titles)
        self.notes.setText("\n".join(notes))
        self.setVisible(True)

    def set_doubt(self, classes: Sequence[str], bars: Sequence[BarRow], sentences: Sequence[str]) -> None:
        """What each kind of input says, as bars, and what speaks for and against believing it."""
        self.bars.set_rows(classes, bars)
        self.doubt.setText("\n".join(sentences))

    def set_maps(self, titles: Mapping[str, str]) -> None:
        """Offer these maps, key -> title; keeps the choice where it still exists, else takes the first."""
        before = self.chosen_map
        silently(self.map, lambda: self._fill(titles))
        self.choose_map(before if before in titles else next(iter(titles)), silent=True)

    def _fill(self, titles: Mapping[str, str]) -> None:
        self.map.clear()
        for key, title in titles.items():
            self.map.addItem(title, key)

    @property
    def chosen_map(self) -> str:
        """Key of the map that is to be shown."""
        return str(self.map.currentData() or ATTENTION)

    def choose_map(self, key: str, silent: bool = False) -> None:
        """Choose a map that is offered; others are passed over."""
        place = self.map.findData(key)
        if place >= 0 and silent:
            silently(self.map, lambda: self.map.setCurrentIndex(place))
        elif place >= 0:
            self.map.setCurrentIndex(place)

    def step_map(self, by: int) -> None:
        """The next or the previous map, round the end."""
        if self.map.count():
            self.map.setCurrentIndex((self.map.currentIndex() + by) % self.map.count())

    def set_probabilities(self, classes: Sequence[str], rows: Sequence[tuple[str, Sequence[str]]]) -> None:
        """One row per class, one column per kind of input; a column with a spread in it is as wide as it needs."""
        cells = [(name, [values[k] for _, values in rows]) for k, name in enumerate(classes)]
        _show_table(self.table, [name for name, _ in rows], cells)
        for column, (_, values) in enumerate(rows):
            wide = any("±" in value for value in values)
            mode = QHeaderView.ResizeMode.ResizeToContents if wide and len(rows) > 1 else QHeaderView.ResizeMode.Stretch
            self.table.horizontalHeader().setSectionResizeMode(column, mode)

    def set_patches(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """The top patches of the map, best first."""
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
