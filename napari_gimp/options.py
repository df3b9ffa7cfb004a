"""What the options of the command line mean: names, types and help, said once; defaults stand with the commands."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from napari_gimp.console import tell
from napari_gimp.settings import InputError, describe, with_overrides
from napari_gimp.types import PatchSpec, Scale

if TYPE_CHECKING:
    from napari_gimp.study.cohort import Cohort


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


def read_configs(config: Path | None, settings: tuple[str, ...]) -> tuple[Any, Any]:
    """Model and training settings: defaults, then the TOML file, then --set; each key goes where it is known."""
    from napari_gimp.gimp.model import ModelConfig
    from napari_gimp.gimp.train import TrainConfig

    try:
        values: dict[str, Any] = {} if config is None else tomllib.loads(config.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(
            f"{config}: expected a TOML file of settings (key = value), found {error}; see --set."
        ) from error
    pairs = [item.partition("=") for item in settings]
    values |= {key.strip(): value.strip() for key, _, value in pairs}
    model_keys = describe(ModelConfig).keys()
    model = with_overrides(ModelConfig(), {key: value for key, value in values.items() if key in model_keys})
    rest = {key: value for key, value in values.items() if key not in model_keys}
    return model, with_overrides(TrainConfig(), rest)
