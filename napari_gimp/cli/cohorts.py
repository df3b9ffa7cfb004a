"""Commands on cohorts: train, evaluate."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from napari_gimp.cli.app import app
from napari_gimp.console import drain
from napari_gimp.options import CaseKind, Checkpoint, CohortOptions, Device, Overwrite, Seed, read_configs
from napari_gimp.types import Modality


@app.command
def train(
    *,
    cohort: CohortOptions,
    out: Path,
    val_fraction: Annotated[float, Parameter(help="Share of the cases kept to choose the epoch.")] = 0.2,
    config: Annotated[Path | None, Parameter(help="TOML file of settings; --set goes over it.")] = None,
    settings: Annotated[
        tuple[str, ...], Parameter(name="--set", help="key=value of a model or training setting.")
    ] = (),
    case_kind: Annotated[CaseKind, Parameter(help="What the cases are; goes wherever the checkpoint goes.")] = "real",
    seed: Seed = 0,
    device: Device = "auto",
    overwrite: Overwrite = False,
) -> None:
    """Train GiMP on a cohort: genes, pre-training (masked patches, triplets), fine-tuning; writes a checkpoint.

    Parameters
    ----------
    out
        Folder of the checkpoint.
    """
    from napari_gimp.study.runs import train_cohort

    model, training = read_configs(config, settings)
    work = train_cohort(
        cohort.read(),
        out,
        model,
        training,
        val_fraction=val_fraction,
        seed=seed,
        device=device,
        overwrite=overwrite,
        synthetic="" if case_kind == "real" else case_kind,
    )
    facts = drain(work)
    print(f"{out}: {', '.join(facts.classes)}; validation {json.dumps(facts.metrics, default=float)}")


@app.command
def evaluate(
    checkpoint: Checkpoint,
    /,
    *,
    cohort: CohortOptions,
    modality: Annotated[Modality, Parameter(help="Inputs of the headline figures.")] = "both",
    as_json: Annotated[Path | None, Parameter(name="--json", help="File for the figures.")] = None,
    out: Annotated[Path | None, Parameter(help="Folder for predictions.csv and the figures.")] = None,
    seed: Seed = 0,
    device: Device = "auto",
    overwrite: Overwrite = False,
) -> None:
    """Figures of a checkpoint on a cohort, for both inputs and for either alone."""
    from napari_gimp.study.evaluation import check_folder
    from napari_gimp.study.runs import evaluate_checkpoint

    check_folder(out, overwrite)
    work = evaluate_checkpoint(checkpoint, cohort.read(), modality=modality, device=device, seed=seed)
    evaluation = drain(work)
    evaluation.write(as_json, out, overwrite)
    print(evaluation.table())
