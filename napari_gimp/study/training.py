"""A cohort -> a checkpoint."""

from __future__ import annotations

import shutil
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from napari_gimp.files import is_first_process
from napari_gimp.gimp.checkpoint import check_free, read_facts, save_checkpoint
from napari_gimp.settings import InputError
from napari_gimp.study.cohort import Cohort
from napari_gimp.study.evaluating import predict_cohort
from napari_gimp.study.evaluation import evaluate_predictions
from napari_gimp.study.fitting import Fitted, fit, split_for
from napari_gimp.study.folds import groups_of
from napari_gimp.study.leaks import check_leaks
from napari_gimp.study.memory import memory_in_words
from napari_gimp.study.plan import Plan
from napari_gimp.study.record import cases_seen, provenance, trained_on, write_history
from napari_gimp.types import CheckpointFacts, Progress


@memory_in_words
def train_cohort(
    cohort: Cohort,
    out: Path,
    plan: Plan | None = None,
    *,
    overwrite: bool = False,
    resume: bool = False,
    synthetic: str = "",
) -> Generator[Progress, None, CheckpointFacts]:
    """Train GiMP on a cohort: genes, pre-training, fine-tuning; write a checkpoint to ``out``.

    Beside it stand ``<out>.history.csv`` and ``.png``, losses per epoch (mean over the members), and while it runs
    ``<out>.running``, from which a training that was killed goes on.
    A cohort without expression gives an image-only model.

    Parameters
    ----------
    resume
        Go on where a training with the same settings and cases was killed.
    synthetic
        "synthetic" or "pseudo" where the cases are not real; it goes wherever the checkpoint goes.

    Raises
    ------
    InputError
        A cohort that cannot be trained on, ``out`` is taken, or a device that is not there.
    """
    plan = plan or Plan()
    running = check_out(out, overwrite, resume)
    before = () if plan.init is None else cases_seen(read_facts(plan.init))
    fitted = yield from fit(cohort, np.arange(len(cohort)), plan, state=running, resume=resume)
    metrics = yield from _validation_figures(fitted, cohort)
    facts = checkpoint_facts(out.name, cohort, fitted, synthetic, metrics, {"pretrain_cases": list(before)})
    if is_first_process():
        calibration = fitted.calibration.to_json()
        save_checkpoint(
            out, fitted.members, facts, calibration=calibration, typical=fitted.typical, overwrite=overwrite
        )
        write_history(out, [step for steps in fitted.history for step in steps])
        shutil.rmtree(running, ignore_errors=True)
    return facts


def leak_warnings(cohort: Cohort, plan: Plan) -> tuple[str, ...]:
    """What of a cohort gives the label away, and what stands on both sides of the split that the plan makes."""
    split = split_for(cohort, plan, np.arange(len(cohort)))
    return check_leaks(cohort, [(split.train, split.validation)] if len(split.validation) else [])


def check_out(out: Path, overwrite: bool, resume: bool = False) -> Path:
    """Before hours of training: may the checkpoint be written there? The folder of the running state beside it.

    Raises
    ------
    InputError
        Something is there that may not be replaced, or a training that was stopped and is not to go on.
    """
    check_free(out, overwrite)
    if out.exists():
        read_facts(out)  # raises where it is no checkpoint
    running = out.with_name(f"{out.name}.running")
    if running.exists() and not (resume or overwrite):
        raise InputError(
            f"{running} holds a training that was stopped: --resume to go on with it, or --overwrite to start anew."
        )
    return running


def checkpoint_facts(
    name: str, cohort: Cohort, fitted: Fitted, synthetic: str, metrics: dict[str, Any], more: Mapping[str, Any]
) -> CheckpointFacts:
    """What a checkpoint says of itself; ``more`` goes into its provenance."""
    own = provenance(cohort, fitted.split, fitted.plan.training, fitted.scaling.has_places)
    return CheckpointFacts(
        name,
        cohort.classes,
        cohort.encoder,
        cohort.embedding_dim,
        cohort.genes,
        cohort.scale,
        fitted.scaling.patch_px,
        fitted.scaling.patch_mpp,
        trained_on(cohort, fitted.split),
        synthetic,
        metrics,
        {**own, **_how(fitted), **more},
        fitted.group_names,
        fitted.reconstructs,
    )


def _how(fitted: Fitted) -> dict[str, Any]:
    plan, split = fitted.plan, fitted.split
    by_case = "random by case, stratified by label and inputs; sites are not kept apart"
    return {
        "preset": plan.preset,
        "seed": plan.seed,
        "members": len(fitted.members),
        "val_fraction": plan.val_fraction,
        "split": "whole sites" if split.by_site else by_case if len(split.validation) else "no validation cases",
        "epochs": [len(steps) for steps in fitted.history],
        "aggregator": fitted.origin or "trained on these cases",
        "site_directions": fitted.directions,
    }


def _validation_figures(fitted: Fitted, cohort: Cohort) -> Generator[Progress, None, dict[str, Any]]:
    held = cohort.subset(fitted.split.validation)
    if not len(held):
        return {}
    probabilities = yield from predict_cohort(fitted.model, held, "validating")
    found = evaluate_predictions(probabilities, held.labels, fitted.plan.seed, np.array(groups_of(held, "patient")))
    return {name: figures.to_json() for name, figures in found.items()}
