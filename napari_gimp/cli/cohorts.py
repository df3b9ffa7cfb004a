"""Commands on cohorts: pretrain, train, evaluate, crossval, ablate, faithfulness."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from napari_gimp.cli.app import app
from napari_gimp.console import drain, tell
from napari_gimp.options import (
    CaseKind,
    Checkpoint,
    CohortOptions,
    Device,
    FoldOptions,
    ModelOptions,
    Objective,
    Overwrite,
    Resume,
    Seed,
)
from napari_gimp.types import Modality

Headline = Annotated[Modality, Parameter(help="Inputs of the headline figures.")]
FoldsHeadline = Annotated[
    Modality | None, Parameter(help="Inputs of the headline figures; both where cases have them, else the image.")
]
JsonFile = Annotated[Path | None, Parameter(name="--json", help="File for the figures.")]
TensorBoard = Annotated[
    Path | None, Parameter(help="Folder for TensorBoard's log of every step (needs the extra tensorboard).")
]
Kind = Annotated[CaseKind, Parameter(help="What the cases are; goes wherever the checkpoint goes.")]


def _kind(case_kind: CaseKind) -> str:
    return "" if case_kind == "real" else case_kind


@app.command
def pretrain(
    *,
    cohort: CohortOptions,
    out: Path,
    model: ModelOptions = ModelOptions(),  # noqa: B008  frozen
    objective: Annotated[
        Objective | None, Parameter(help="What is learned; the cohort's labels where it has two, else masked patches.")
    ] = None,
    case_kind: Kind = "real",
    seed: Seed = 0,
    device: Device = "auto",
    resume: Resume = False,
    tensorboard: TensorBoard = None,
    overwrite: Overwrite = False,
) -> None:
    """Pre-train the aggregator alone on a cohort's slides, other cancers say; train --init starts from it.

    Parameters
    ----------
    out
        Folder of the checkpoint.
    """
    from napari_gimp.study.pretraining import pretrain_cohort

    read = cohort.read()
    plan = replace(model.pretraining_plan(read, seed=seed, device=device, objective=objective), tensorboard=tensorboard)
    work = pretrain_cohort(read, out, plan, overwrite=overwrite, resume=resume, synthetic=_kind(case_kind))
    facts = drain(work)
    print(f"{out}: {facts.provenance['members']} members; {facts.trained_on}")


@app.command
def train(
    *,
    cohort: CohortOptions,
    out: Path,
    model: ModelOptions = ModelOptions(),  # noqa: B008  frozen
    val_fraction: Annotated[float, Parameter(help="Share of the cases kept to choose the epoch.")] = 0.2,
    case_kind: Kind = "real",
    seed: Seed = 0,
    device: Device = "auto",
    resume: Resume = False,
    tensorboard: TensorBoard = None,
    overwrite: Overwrite = False,
) -> None:
    """Train GiMP on a cohort: genes, pre-training (masked patches, triplets), fine-tuning; writes a checkpoint.

    Parameters
    ----------
    out
        Folder of the checkpoint.
    """
    from napari_gimp.study.training import leak_warnings, train_cohort

    read = cohort.read()
    plan = model.plan(read, seed=seed, device=device, val_fraction=val_fraction)
    plan = replace(plan, tensorboard=tensorboard)
    tell(leak_warnings(read, plan))
    facts = drain(train_cohort(read, out, plan, overwrite=overwrite, resume=resume, synthetic=_kind(case_kind)))
    found = json.dumps(facts.metrics, default=float) if facts.metrics else "none (no case was held out)"
    print(f"{out}: {', '.join(facts.classes)}; validation: {found}")


@app.command
def evaluate(
    checkpoint: Checkpoint,
    /,
    *,
    cohort: CohortOptions,
    modality: Headline = "both",
    as_json: JsonFile = None,
    out: Annotated[Path | None, Parameter(help="Folder for predictions.csv and the figures.")] = None,
    seed: Seed = 0,
    device: Device = "auto",
    overwrite: Overwrite = False,
) -> None:
    """Figures of a checkpoint on a cohort, for both inputs and for either alone."""
    from napari_gimp.study.evaluating import evaluate_checkpoint
    from napari_gimp.study.evaluation import check_folder
    from napari_gimp.study.leaks import check_leaks

    check_folder(out, overwrite)
    read = cohort.read()
    tell(check_leaks(read))
    evaluation = drain(evaluate_checkpoint(checkpoint, read, modality=modality, device=device, seed=seed))
    evaluation.write(as_json, out, overwrite)
    print(evaluation.table())


@app.command
def crossval(
    *,
    cohort: CohortOptions,
    out: Path,
    folds: FoldOptions = FoldOptions(),  # noqa: B008  frozen
    model: ModelOptions = ModelOptions(),  # noqa: B008  frozen
    modality: FoldsHeadline = None,
    baselines: Annotated[bool, Parameter(help="Train the simple models beside GiMP in the same folds.")] = True,
    as_json: JsonFile = None,
    seed: Seed = 0,
    device: Device = "auto",
    resume: Resume = False,
    overwrite: Overwrite = False,
) -> None:
    """Cross-validate GiMP beside simple models in the same folds; a report, figures and predictions in OUT.

    Parameters
    ----------
    out
        Folder of the run; a run that was killed goes on with --resume.
    """
    from napari_gimp.study.crossval import check_modality, cross_validate, leaks_of
    from napari_gimp.study.gimpfold import GiMPFold
    from napari_gimp.study.report import write_report
    from napari_gimp.study.rivals import DIRECTIONS

    read = cohort.read()
    plan = model.plan(read, seed=seed, device=device)
    chosen = folds.read(read, seed)
    check_modality(read, chosen, modality)
    warnings = leaks_of(read, chosen)
    tell(warnings)
    result = drain(
        cross_validate(
            read,
            chosen,
            GiMPFold(plan),
            out,
            baselines=baselines,
            seed=seed,
            resume=resume,
            overwrite=overwrite,
            directions_from=model.directions_from,
            directions=DIRECTIONS if model.directions is None else model.directions,
            modality=modality,
            settings=plan.to_json(),
            warnings=warnings,
        )
    )
    result.write(out, as_json)
    print(result.table())
    print(write_report(result, out))


@app.command
def ablate(
    *,
    cohort: CohortOptions,
    out: Path,
    folds: FoldOptions = FoldOptions(),  # noqa: B008  frozen
    model: ModelOptions = ModelOptions(),  # noqa: B008  frozen
    modality: FoldsHeadline = None,
    rows: Annotated[tuple[str, ...], Parameter(help="Only these rows (and the full method).")] = (),
    seed: Seed = 0,
    device: Device = "auto",
    resume: Resume = False,
    overwrite: Overwrite = False,
) -> None:
    """Cross-validate GiMP with one part left out or replaced at a time; a table in OUT.

    Parameters
    ----------
    out
        Folder of the table; each row has a folder of its own in it.
    """
    from napari_gimp.study.ablation import ablate as run
    from napari_gimp.study.ablation import rows_for
    from napari_gimp.study.crossval import check_modality, leaks_of

    read = cohort.read()
    plan = model.plan(read, seed=seed, device=device)
    chosen = folds.read(read, seed)
    rows_for(plan, rows, bool(read.genes))
    check_modality(read, chosen, modality)
    warnings = leaks_of(read, chosen)
    tell(warnings)
    work = run(
        read, chosen, plan, out, rows=rows, modality=modality, resume=resume, overwrite=overwrite, warnings=warnings
    )
    result = drain(work)
    print(result.table().to_string(index=False, float_format="{:.3f}".format))


@app.command
def faithfulness(
    checkpoint: Checkpoint,
    /,
    *,
    cohort: CohortOptions,
    out: Path,
    most_cases: Annotated[int, Parameter(help="Of a larger cohort so many cases are drawn.")] = 100,
    seed: Seed = 0,
    device: Device = "auto",
    overwrite: Overwrite = False,
) -> None:
    """Hold a checkpoint's explanations against itself: deletion curves, and maps behind random weights.

    Parameters
    ----------
    out
        Folder for the table, the curves and their picture.
    """
    from napari_gimp.study.faithfulness import check_faithfulness
    from napari_gimp.study.faithfulness_report import check_folder

    check_folder(out, overwrite)
    work = check_faithfulness(checkpoint, cohort.read(), most_cases=most_cases, seed=seed, device=device)
    result = drain(work)
    result.write(out, overwrite)
    print(result.table())
