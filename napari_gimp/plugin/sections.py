"""The sections of the panel, one subject each: signals up, setters down; no viewer, worker or array."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QFileDialog,
    QFormLayout,
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
from superqt import QCollapsible

from napari_gimp.plugin.forms import FileField, SettingsForm, Words, combo, silently, tidy
from napari_gimp.plugin.session import DEVICES, MEAN_HEAD, Grain, ViewSettings
from napari_gimp.plugin.words import RESEARCH_ONLY
from napari_gimp.slides.tissue import TissueSettings
from napari_gimp.types import MAX_MPP, MIN_MPP, MapSettings

DETECT = "detect"
CHECKPOINTS_OWN = "as the checkpoint says"
DEMO, FOLDER = "synthetic demo model", "folder of a checkpoint"
EXPRESSION_FILES = "Expression (*.tsv *.csv *.txt *.gz *.zip *.h5ad);;All files (*)"
BAG_FILES = "Embeddings (*.h5 *.hdf5)"
ENCODER_FILES = "Encoder (*.onnx)"
WEIGHT_FILES = "Weights (*.safetensors *.pth *.pt)"


class SlideSection(QGroupBox):
    """Which slide, its size, um per pixel where the file does not say, whose tissue."""

    slide_chosen = Signal(str)
    mpp_given = Signal(float)
    tissue_chosen = Signal(str)
    edit_tissue = Signal()
    background_wanted = Signal(bool)

    def __init__(self) -> None:
        super().__init__("Slide")
        self.slides = combo("slide", "The slide layer to analyse.")
        self.facts = Words("slide.facts")
        self.mpp = QDoubleSpinBox(objectName="mpp", decimals=4, suffix=" µm/px", singleStep=0.01)
        self.mpp.setRange(0, MAX_MPP)
        self.mpp.setSpecialValueText("unknown")
        self.mpp.setKeyboardTracking(False)
        self.mpp.setToolTip(
            f"The file does not say how large a pixel is. Ask the scanner's owner; 20× is about 0.5, 40× about 0.25. "
            f"({MIN_MPP:g} to {MAX_MPP:g} µm/px)"
        )
        self.tissue = combo("tissue", "Find the tissue, or take a Labels or Shapes layer that you drew.")
        self._form = QFormLayout(self)
        self._form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        self._form.addRow("Layer", self.slides)
        self._form.addRow(self.facts)
        self._form.addRow("Pixel size", self.mpp)
        self.edit = QPushButton("Edit…", objectName="tissue.edit")
        self.edit.setToolTip("Turn the tissue that was found into a Labels layer to paint on; the next run takes it.")
        self._form.addRow("Tissue", beside(self.tissue, self.edit))
        self.background = QCheckBox("Load tiles in the background", objectName="background")
        self.background.setToolTip("napari's setting for asynchronous slicing: smoother panning, tiles appear later.")
        self._form.addRow(self.background)
        self.background.toggled.connect(self.background_wanted)
        self.set_tissue_layers(())
        self.slides.currentTextChanged.connect(self.slide_chosen)
        self.mpp.valueChanged.connect(self.mpp_given)
        self.tissue.currentTextChanged.connect(self._tissue_picked)
        self.edit.clicked.connect(self.edit_tissue)
        self.ask_mpp(False)

    def _tissue_picked(self, name: str) -> None:
        self.tissue_chosen.emit("" if name == DETECT else name)

    def set_slides(self, names: Sequence[str], current: str) -> None:
        """The slide layers to choose from; says nothing."""
        silently(self.slides, lambda: _fill(self.slides, names, current))

    def set_tissue_layers(self, names: Sequence[str], current: str = "") -> None:
        """The user's Labels and Shapes layers; says nothing."""
        silently(self.tissue, lambda: _fill(self.tissue, (DETECT, *names), current or DETECT))

    def ask_mpp(self, ask: bool, value: float = 0) -> None:
        """Show or hide the pixel size field."""
        silently(self.mpp, lambda: self.mpp.setValue(value))
        self._form.setRowVisible(self.mpp, ask)


class ProfileSection(QGroupBox):
    """The gene profile: a file, which of its samples, what was detected and covered."""

    file_chosen = Signal(object)
    sample_chosen = Signal(str)

    def __init__(self) -> None:
        super().__init__("Gene profile (optional)")
        self.file = FileField(
            "profile",
            "expression file: browse or drop",
            "GDC, Xena, cBioPortal, PanCanAtlas or plain tables of gene expression, h5ad. "
            "Without it the result is image only.",
            EXPRESSION_FILES,
        )
        self.samples = combo("sample", "The sample of this slide's patient; proposed by its barcode.")
        self.samples.setEditable(True)
        self.samples.setInsertPolicy(self.samples.InsertPolicy.NoInsert)
        self.facts = Words("profile.facts")
        self._form = QFormLayout(self)
        self._form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        self._form.addRow(self.file)
        self._form.addRow("Sample", self.samples)
        self._form.addRow(self.facts)
        self.detected = Words("profile.detected")
        self._fold = folded("Detected in the file", self.detected)
        self._form.addRow(self._fold)
        self.set_samples((), "")
        self.file.chosen.connect(self.file_chosen)
        self.samples.currentIndexChanged.connect(lambda i: self.sample_chosen.emit(self.samples.itemText(i)))

    def set_samples(self, names: Sequence[str], current: str) -> None:
        """The samples of the file; hidden while there is none. No current one: the user is asked."""
        silently(self.samples, lambda: _fill(self.samples, names, current))
        self._form.setRowVisible(self.samples, bool(names))
        self._form.setRowVisible(self._fold, bool(names))

    def show_sample(self, name: str) -> None:
        """Show which sample is taken; says nothing."""
        silently(self.samples, lambda: self.samples.setCurrentText(name))


class ModelSection(QGroupBox):
    """Checkpoint, device and, folded, encoder, embeddings, patches and maps."""

    checkpoint_chosen = Signal(object)
    demo_chosen = Signal()
    changed = Signal()

    def __init__(self, encoders: Sequence[str], device: str, encoder: str) -> None:
        super().__init__("Model")
        self.kind = combo("checkpoint.kind", "The bundled demo model (trained on synthetic slides) or your own.")
        self.kind.addItems([DEMO, FOLDER])
        self.folder = FileField("checkpoint", "folder with checkpoint.json", "A trained GiMP checkpoint.", folder=True)
        self.facts = Words("checkpoint.facts")
        self.device = combo("device", "Where the networks run; auto takes a GPU where there is one.")
        self.device.addItems(list(DEVICES))
        self.device.setCurrentText(device)
        self._form = QFormLayout(self)
        self._form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        self._form.addRow("Checkpoint", self.kind)
        self._form.addRow(self.folder)
        self._form.addRow(self.facts)
        self._form.addRow("Device", self.device)
        self._add_details(encoders)
        self.encoder.setCurrentText(encoder or CHECKPOINTS_OWN)
        self.folder.chosen.connect(self.checkpoint_chosen)
        self.kind.currentTextChanged.connect(self._kind_picked)
        self.device.currentTextChanged.connect(lambda *_: self.changed.emit())
        self.set_own_folder(False)

    def _add_details(self, encoders: Sequence[str]) -> None:
        self.encoder = combo("encoder", "What turns patches into numbers: the checkpoint's own, or a file of it.")
        self.encoder.setEditable(True)
        self.encoder.addItems([CHECKPOINTS_OWN, *encoders])
        self.encoder_file = FileField("encoder.file", "or an ONNX file", "ONNX with a JSON sidecar.", ENCODER_FILES)
        self.weights = FileField("weights", "weights of the encoder", "Else fetched once and kept.", WEIGHT_FILES)
        self.bag = FileField(
            "bag", "embeddings of this slide (h5)", "TRIDENT's or ours; nothing is embedded.", BAG_FILES
        )
        self.grain, self.tissue, self.maps = (
            SettingsForm(Grain),
            SettingsForm(TissueSettings),
            SettingsForm(MapSettings),
        )
        encoding = QWidget()
        rows = QFormLayout(encoding)
        tidy(rows)
        for label, part in (("Encoder", self.encoder), ("", self.encoder_file), ("", self.weights), ("", self.bag)):
            rows.addRow(label, part) if label else rows.addRow(part)
        parts = {"Encoder and embeddings": encoding, "Patches": self.grain, "Tissue": self.tissue, "Maps": self.maps}
        for title, part in parts.items():
            self._form.addRow(folded(title, part))
        self.encoder.currentTextChanged.connect(lambda *_: self.changed.emit())
        for field in (self.encoder_file, self.weights, self.bag):
            field.chosen.connect(lambda *_: self.changed.emit())
        for form in (self.grain, self.tissue, self.maps):
            form.changed.connect(self.changed)

    def _kind_picked(self, kind: str) -> None:
        self.set_own_folder(kind == FOLDER)
        if kind == DEMO:
            self.demo_chosen.emit()
        else:
            self.checkpoint_chosen.emit(self.folder.path)

    def set_own_folder(self, own: bool) -> None:
        """Show the folder field or the bundled demo model; says nothing."""
        silently(self.kind, lambda: self.kind.setCurrentText(FOLDER if own else DEMO))
        self._form.setRowVisible(self.folder, own)


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
        layout.setContentsMargins(0, 0, 0, 0)
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
        self.notes = Words("notes")
        self.head = combo("head", "Which attention the map shows: the mean over the last layer's heads, or one head.")
        self.view = SettingsForm(ViewSettings)
        self.patches = _plain_table("patches")
        self.patches.setToolTip("Click a row to go to the patch.")
        self.export = QPushButton("Export…", objectName="export")
        self.export.setToolTip(
            "Write prediction, patches, GeoJSON for QuPath, maps, figure and run record to a folder."
        )
        self._arrange()
        self.head.currentTextChanged.connect(lambda *_: self.view_changed.emit())
        self.view.changed.connect(self.view_changed)
        self.patches.cellClicked.connect(lambda row, _: self.patch_chosen.emit(row))
        self.export.clicked.connect(self.ask_folder)
        self.setVisible(False)

    def _arrange(self) -> None:
        shown = QWidget()
        rows = QFormLayout(shown)
        tidy(rows)
        rows.addRow("attention head", self.head)
        rows.addRow(self.view)
        layout = QVBoxLayout(self)
        for part in (self.headline, self.caution, self.table, shown, self.export):
            layout.addWidget(part)
        layout.addWidget(folded("Most attended patches", self.patches))
        layout.addWidget(self.notes)

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
        rows: Sequence[tuple[str, Sequence[float]]],
        heads: int,
        notes: Sequence[str],
    ) -> None:
        """Everything that is words and numbers of a result."""
        self.setTitle(f"Result · {slide}")
        self.headline.setText(headline)
        self.set_probabilities(classes, rows)
        self.set_heads(heads)
        self.notes.setText("\n".join(notes))
        self.setVisible(True)

    def set_heads(self, count: int) -> None:
        """Offer the mean and each of the heads; keeps the choice where it still exists."""
        names = [MEAN_HEAD, *(f"head {k + 1}" for k in range(count))]
        silently(self.head, lambda: _fill(self.head, names, self.head.currentText() or MEAN_HEAD))

    def set_probabilities(self, classes: Sequence[str], rows: Sequence[tuple[str, Sequence[float]]]) -> None:
        """One row per class, one column per kind of input."""
        cells = [(name, [f"{values[k]:.3f}" for _, values in rows]) for k, name in enumerate(classes)]
        _show_table(self.table, [name for name, _ in rows], cells)

    def set_patches(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """The most attended patches, best first."""
        _show_table(self.patches, columns, [(str(k + 1), row) for k, row in enumerate(rows)])


def folded(title: str, content: QWidget) -> QCollapsible:
    """Content behind a title that opens without an animation."""
    fold, inner = QCollapsible(title), QWidget()  # the fold sets its content's height: a part may have one of its own
    layout = QVBoxLayout(inner)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.addWidget(content)
    fold.setDuration(0)
    fold.setContent(inner)
    fold.collapse(animate=False)
    return fold


def beside(wide: QWidget, narrow: QWidget) -> QWidget:
    """Two parts in one row, the first as wide as it can be."""
    row = QWidget()
    layout = QHBoxLayout(row)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.addWidget(wide, 1)
    layout.addWidget(narrow)
    return row


def _fill(box: QComboBox, names: Sequence[str], current: str) -> None:
    box.clear()
    box.addItems(list(names))
    box.setCurrentIndex(list(names).index(current) if current in names else -1)


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
