"""The sections of the panel, one subject each: signals up, setters down; no viewer, worker or array."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QDoubleSpinBox,
    QFormLayout,
    QGroupBox,
    QPushButton,
    QWidget,
)

from napari_gimp.plugin.panel.forms import SettingsForm, calm, combo, tidy
from napari_gimp.plugin.panel.parts import FileField, Words, beside, fill, folded, silently
from napari_gimp.plugin.session import DEVICES, Grain, can_be
from napari_gimp.slides.tissue import TissueSettings
from napari_gimp.types import MAX_MPP, MIN_MPP, MapSettings

DETECT = "detect"
CHECKPOINTS_OWN = "as the checkpoint says"
DEMO, FOLDER = "synthetic demo model", "folder of a checkpoint"
EXPRESSION_FILES = "Expression (*.tsv *.csv *.txt *.gz *.zip *.h5ad);;All files (*)"
BAG_FILES = "Embeddings (*.h5 *.hdf5)"
ENCODER_FILES = "Encoder (*.onnx)"
ENCODER_TIP = "What turns patches into numbers: the checkpoint's own, or a file of it."
WEIGHT_FILES = "Weights (*.safetensors *.pth *.pt)"


class SlideSection(QGroupBox):
    """Which slide, its size, um per pixel (the file's, or the user's instead), whose tissue."""

    slide_chosen = Signal(str)
    mpp_given = Signal(float)
    tissue_chosen = Signal(str)
    edit_tissue = Signal()
    background_wanted = Signal(bool)

    def __init__(self) -> None:
        super().__init__("Slide")
        self.slides = combo("slide", "The slide layer to analyse.")
        self.facts = Words("slide.facts")
        self._shown_mpp = -1.0
        self.mpp = QDoubleSpinBox(objectName="mpp", decimals=4, suffix=" µm/px", singleStep=0.01)
        self.mpp.setRange(0, 100 * MAX_MPP)  # what no slide has is refused in words, not silently made to fit
        self.mpp.setSpecialValueText("unknown")
        self.mpp.setKeyboardTracking(False)
        self.mpp.setToolTip(
            "What the file says. Where that is nothing or wrong, give your own: ask the scanner's owner; 20× is about"
            f" 0.5, 40× about 0.25. ({MIN_MPP:g} to {MAX_MPP:g} µm/px)"
        )
        calm(self.mpp)
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
        self.show_mpp(None)
        self.set_has_slide(False)

    def _tissue_picked(self, name: str) -> None:
        self.tissue_chosen.emit("" if name == DETECT else name)

    def set_slides(self, names: Sequence[str], current: str) -> None:
        """The slide layers to choose from; says nothing."""
        silently(self.slides, lambda: fill(self.slides, names, current))

    def set_tissue_layers(self, names: Sequence[str], current: str = "") -> None:
        """The user's Labels and Shapes layers; says nothing."""
        silently(self.tissue, lambda: fill(self.tissue, (DETECT, *names), current or DETECT))

    def set_has_slide(self, there: bool) -> None:
        """The pixel size is shown as soon as there is a slide."""
        self._form.setRowVisible(self.mpp, there)

    def show_mpp(self, mpp_yx: tuple[float, float] | None) -> None:
        """The pixel size in force (along x), or that it is unknown; says nothing. What is being typed stays."""
        value = 0.0 if mpp_yx is None else mpp_yx[1]
        if value != self._shown_mpp:
            self._shown_mpp = value
            silently(self.mpp, lambda: self.mpp.setValue(value))

    def take_back_mpp(self) -> None:
        """Show the pixel size in force instead of the one that was refused."""
        silently(self.mpp, lambda: self.mpp.setValue(self._shown_mpp))


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
        self.samples.currentIndexChanged.connect(lambda i: self._say_sample(self.samples.itemText(i)))
        self._said = ""
        typed = self.samples.lineEdit()
        typed.editingFinished.connect(lambda: self._say_sample(typed.text().strip()))

    def _say_sample(self, name: str) -> None:
        """Each name once: a typed one is finished by Return and again when the field loses the focus."""
        if name != self._said:
            self._said = name
            self.sample_chosen.emit(name)

    def set_samples(self, names: Sequence[str], current: str) -> None:
        """The samples of the file; hidden while there is none. No current one: the user is asked."""
        self._said = current
        silently(self.samples, lambda: fill(self.samples, names, current))
        self._form.setRowVisible(self.samples, bool(names))
        self._form.setRowVisible(self._fold, bool(names))

    def show_sample(self, name: str) -> None:
        """Show which sample is taken; says nothing."""
        self._said = name
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
        self._wished = encoder or CHECKPOINTS_OWN
        self._take_encoder(self._wished)
        self.folder.chosen.connect(self.checkpoint_chosen)
        self.kind.currentTextChanged.connect(self._kind_picked)
        self.device.currentTextChanged.connect(lambda *_: self.changed.emit())
        self.set_own_folder(False)

    def _add_details(self, encoders: Sequence[str]) -> None:
        self.encoder = combo("encoder", ENCODER_TIP)
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
        forms = {"Patches": self.grain, "Tissue": self.tissue, "Maps": self.maps}
        self._form.addRow(folded("Encoder and embeddings", encoding))
        for title, form in forms.items():
            self._form.addRow(folded(title, form.native))
            form.changed.connect(self._say_changed)
        self.encoder.currentTextChanged.connect(self._encoder_named)
        self.encoder_file.chosen.connect(self._encoder_filed)
        for field in (self.weights, self.bag):
            field.chosen.connect(lambda *_: self.changed.emit())

    def _say_changed(self) -> None:
        self.changed.emit()

    def _kind_picked(self, kind: str) -> None:
        self.set_own_folder(kind == FOLDER)
        if kind == DEMO:
            self.demo_chosen.emit()
        else:
            self.checkpoint_chosen.emit(self.folder.path)

    @property
    def encoder_name(self) -> str | None:
        """The encoder by name or by its file, None for the checkpoint's own."""
        file, named = self.encoder_file.path, self.encoder.currentText()
        return str(file) if file is not None else None if named == CHECKPOINTS_OWN else named

    def _take_encoder(self, name: str) -> None:
        """Show an encoder; a file by its name in the box and by its path in the field. Says nothing."""
        file = Path(name) if name.endswith(".onnx") else None
        self.encoder_file.set_path(file)
        silently(self.encoder, lambda: self.encoder.setCurrentText(name if file is None else file.name))
        self.encoder.setToolTip(ENCODER_TIP if file is None else name)

    def _encoder_named(self, name: str) -> None:
        """A name instead of the file; what is typed of a path is a name until it ends as a file does."""
        if not name.endswith(".onnx"):
            self.encoder_file.set_path(None)
            self.encoder.setToolTip(ENCODER_TIP)
        elif self.encoder_file.path is None or name != self.encoder_file.path.name:
            self._take_encoder(name)
        self.changed.emit()

    def _encoder_filed(self, path: Path | None) -> None:
        self._take_encoder(CHECKPOINTS_OWN if path is None else str(path))
        self.changed.emit()

    def suit_encoder(self, encoder_id: str) -> None:
        """Take back an encoder, chosen earlier, that cannot be the one of this id: the checkpoint's own follows."""
        name = self.encoder_name
        if name is not None and not can_be(name, encoder_id):
            self._take_encoder(CHECKPOINTS_OWN)
        elif name is None and can_be(self._wished, encoder_id):
            self._take_encoder(self._wished)
        self.changed.emit()

    def set_own_folder(self, own: bool) -> None:
        """Show the folder field or the bundled demo model; says nothing."""
        silently(self.kind, lambda: self.kind.setCurrentText(FOLDER if own else DEMO))
        self._form.setRowVisible(self.folder, own)
