"""What the options of the command line mean: names, types and help, said once; defaults stand with the commands."""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from napari_gimp.console import tell
from napari_gimp.settings import InputError, describe, with_overrides
from napari_gimp.types import PatchSpec, Scale

if TYPE_CHECKING:
    from napari_gimp.gimp.config import ModelConfig
    from napari_gimp.gimp.trainconfig import TrainConfig
    from napari_gimp.study.cohort import Cohort
    from napari_gimp.study.folds import Fold
    from napari_gimp.study.plan import Plan


def _described(config: type, name: str) -> Parameter:
    about = describe(config)[name]
    return Parameter(help=f"{about['help']} {about['unit']}".strip())


Device = Annotated[str, Parameter(help="auto, cpu, cuda, cuda:1, mps.")]
BagFile = Annotated[Path | None, Parameter(help="Ready bag of the slide (ours or TRIDENT's): no embedding.")]
BatchSize = Annotated[int | None, Parameter(help="Patches at once in the encoder; halved when memory runs out.")]
Cache = Annotated[Path | None, Parameter(help="Folder for bags that are found again; the user's cache by default.")]
Checkpoint = Annotated[Path, Parameter(help="Folder of a trained checkpoint.")]
EncoderName = Annotated[str, Parameter(help="colour-texture, resnet18, resnet50, a .onnx file, hub:NAME.")]
ExpressionScale = Annotated[Scale | None, Parameter(help="Scale of the expression file; detected when not given.")]
Icc = Annotated[bool, Parameter(negative="", help="Correct colours with the slide's ICC profile before the encoder.")]
Json = Annotated[bool, Parameter(name="--json", negative="", help="Print JSON for programs.")]
Mpp = Annotated[float | None, Parameter(help="um per level-0 pixel, for slides that do not say (or say it wrong).")]
Overwrite = Annotated[bool, Parameter(negative="", help="Replace existing outputs.")]
ProfileFile = Annotated[Path | None, Parameter(help="Expression file with the patient's genes.")]
PatchPx = Annotated[int | None, _described(PatchSpec, "patch_px")]
PatchMpp = Annotated[float | None, _described(PatchSpec, "patch_mpp")]
SampleId = Annotated[str | None, Parameter(help="Sample of the expression file; by barcode or name when not given.")]
CaseKind = Literal["real", "pseudo", "synthetic"]
PresetName = Literal["small", "paper"]
Objective = Literal["labels", "mpm", "both"]
Resume = Annotated[bool, Parameter(negative="", help="Go on where the same run was killed.")]
Seed = Annotated[int, Parameter(help="Seed of everything random.")]
Slides = Annotated[list[Path], Parameter(help="Slides, or folders of slides.")]
TissueFile = Annotated[Path | None, Parameter(help="GeoJSON with the tissue, instead of detection.")]
Weights = Annotated[Path | None, Parameter(help="Weights of the encoder: safetensors or a torch state dict.")]


@Parameter(name="*")
@dataclass(frozen=True)
class CohortOptions:
    """The cohort on disk."""

    cohort: Annotated[Path, Parameter(help="Table: case_id, slide_id, label[, site].")]
    features: Annotated[Path, Parameter(help="Folder of h5 bags named by slide, or one packed npz.")]
    expression: Annotated[Path | None, Parameter(help="Expression table of the cases; without it: image only.")] = None
    expression_scale: ExpressionScale = None
    genes: Annotated[Path | None, Parameter(help="Text file, one gene a line: only these are used.")] = None

    def read(self) -> Cohort:
        """The cohort, its notes told."""
        from napari_gimp.study.cohort import read_cohort

        cohort = read_cohort(self.cohort, self.features, self.expression, self.expression_scale, self.genes)
        tell(cohort.notes)
        return cohort


@Parameter(name="*")
@dataclass(frozen=True)
class NameOptions:
    """A report beside the other files, and who may be named in what is written."""

    report: Annotated[
        bool, Parameter(negative="", help="Also write report.html and report.pdf: no name of slide or sample in them.")
    ] = False
    report_names: Annotated[bool, Parameter(negative="", help="A report that names slide and sample.")] = False
    anonymous: Annotated[
        bool, Parameter(negative="", help="No name of slide, sample or file in any output, nor as its folder.")
    ] = False

    def __post_init__(self) -> None:
        if self.anonymous and self.report_names:
            raise InputError("Expected --anonymous or --report-names, found both; leave one out.")


@Parameter(name="*")
@dataclass(frozen=True)
class FoldOptions:
    """Which cases are tested together."""

    folds: Annotated[
        str | None, Parameter(help="folds.csv:COLUMN; or --by-site, --by-patient. Whole sites where they are known.")
    ] = None
    by_site: Annotated[bool, Parameter(negative="", help="Make folds of whole sites.")] = False
    by_patient: Annotated[bool, Parameter(negative="", help="Make folds of patients.")] = False
    n_folds: Annotated[int, Parameter(help="How many folds to make.")] = 5

    def read(self, cohort: Cohort, seed: int) -> tuple[Fold, ...]:
        """The folds of a cohort.

        Raises
        ------
        InputError
            Two ways asked for, or folds that cannot be made.
        """
        from napari_gimp.study.folds import default_grouping, make_folds, read_folds

        if "TORCHELASTIC_RUN_ID" in os.environ:
            raise InputError(
                "Folds are trained one after another: expected a single process, found several of torchrun, which would"
                " write the same files; start it without torchrun."
            )
        asked = [name for name in ("folds", "by_site", "by_patient") if getattr(self, name)]
        if len(asked) > 1:
            raise InputError("Expected one of --folds, --by-site and --by-patient, found two; leave one out.")
        if self.folds is not None:
            return read_folds(self.folds, cohort)
        by = "site" if self.by_site else "patient" if self.by_patient else default_grouping(cohort)
        tell([f"Folds: {self.n_folds} of {'whole sites' if by == 'site' else 'patients'}, made with seed {seed}."])
        return make_folds(cohort, by, self.n_folds, seed)


@Parameter(name="*")
@dataclass(frozen=True)
class ModelOptions:
    """Sizes, schedule and what a training starts from."""

    preset: Annotated[
        PresetName | None, Parameter(help="Sizes and schedule; chosen by the cohort's size when not given.")
    ] = None
    groups: Annotated[Path | None, Parameter(help="GMT file: a gene group is a pathway.")] = None
    directions_from: Annotated[
        Path | None, Parameter(help="npz of slide means with site and type, from which site directions are fitted.")
    ] = None
    directions: Annotated[
        int | None, Parameter(help="Site directions to remove; chosen in inner folds when not given.")
    ] = None
    init: Annotated[Path | None, Parameter(help="Pre-trained checkpoint whose aggregator is taken over.")] = None
    config: Annotated[Path | None, Parameter(help="TOML file of settings; --set goes over it.")] = None
    settings: Annotated[tuple[str, ...], Parameter(name="--set", help="key=value of a model or training setting.")] = ()

    def plan(self, cohort: Cohort, *, seed: int, device: str, val_fraction: float = 0.2) -> Plan:
        """The plan of a training on that cohort; a preset that was chosen is told with its reason."""
        from napari_gimp.gimp.presets import preset_for

        name = self.preset or _suggested(cohort)
        preset = preset_for(name, len(cohort.genes))
        return self._plan(name, preset.model, preset.training, seed, device, val_fraction)

    def pretraining_plan(self, cohort: Cohort, *, seed: int, device: str, objective: Objective | None) -> Plan:
        """The plan of a pre-training of the aggregator alone: labels where the cohort has them, else masked patches."""
        from napari_gimp.gimp.presets import PRESETS

        for option, value in (("--init", self.init), ("--groups", self.groups)):
            if value is not None:
                raise _unused(option, "pretrain")
        name = self.preset or _suggested(cohort.with_genes(()))
        preset = PRESETS[name]
        asked = objective or (preset.pretraining.objective if len(cohort.classes) > 1 else "mpm")
        training = replace(preset.pretraining, objective=asked)
        return self._plan(name, preset.model, training, seed, device, 0.0)

    def _check_init(self) -> None:
        if self.init is None:
            return
        if self.directions is not None:
            raise InputError("--directions: --init brings its own site directions; leave one of the two out.")
        tell([f"The aggregator, its sizes and its site directions are those of {self.init}."])

    def _plan(
        self, name: str, model: ModelConfig, training: TrainConfig, seed: int, device: str, val_fraction: float
    ) -> Plan:
        from napari_gimp.study.plan import Plan

        model, training = read_configs(self.config, self.settings, model, training)
        if self.directions is not None:
            model = replace(model, site_directions=self.directions)
        wanted = name == "small" or self.directions_from is not None
        chosen = self.directions is None and not model.site_directions and wanted
        self._check_init()
        sources = (self.init, self.directions_from, chosen, self.groups)
        return Plan(model, training, name, seed, device, val_fraction, *sources)


def _unused(option: str, command: str) -> InputError:
    return InputError(f"{option}: {command} has no use for it; leave it out.")


def _suggested(cohort: Cohort) -> PresetName:
    import numpy as np

    from napari_gimp.gimp.presets import suggest_preset

    patches = cohort.patches_per_slide()
    name, why = suggest_preset(len(patches), float(np.median(patches)) if len(patches) else 0.0, len(cohort.genes))
    tell([why])
    return name


def read_configs(
    config: Path | None, settings: tuple[str, ...], model: ModelConfig, training: TrainConfig
) -> tuple[ModelConfig, TrainConfig]:
    """Model and training settings of a preset, then the TOML file, then --set; each key goes where it is known."""
    try:
        values: dict[str, Any] = {} if config is None else tomllib.loads(config.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(
            f"{config}: expected a TOML file of settings (key = value), found {error}; see --set."
        ) from error
    pairs = [item.partition("=") for item in settings]
    values |= {key.strip(): value.strip() for key, _, value in pairs}
    model_keys = describe(type(model)).keys()
    rest = {key: value for key, value in values.items() if key not in model_keys}
    return (
        with_overrides(model, {key: value for key, value in values.items() if key in model_keys}),
        with_overrides(training, rest),
    )
