"""A cohort -> an aggregator that others start from: `pretrain`. No gene takes part (METHOD sections 3 and 9)."""

from __future__ import annotations

import shutil
from collections.abc import Generator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int

from napari_gimp.files import is_first_process
from napari_gimp.gimp.batches import large_groups, sampling_weights
from napari_gimp.gimp.calibrate import Calibration
from napari_gimp.gimp.checkpoint import save_checkpoint
from napari_gimp.gimp.model import GiMP
from napari_gimp.gimp.sites import SiteDirections, site_shifts
from napari_gimp.gimp.train import can_contrast, make_fabric, pretrain_labels
from napari_gimp.settings import InputError
from napari_gimp.study.cohort import Cohort
from napari_gimp.study.directions import case_means, directions_for
from napari_gimp.study.fitting import SEEDS_APART, Builder, Fitted, GeneGroups, keeper_for, typical_cases
from napari_gimp.study.memory import memory_in_words
from napari_gimp.study.pace import StepPace
from napari_gimp.study.plan import Plan
from napari_gimp.study.preparation import Split, fit_scaling
from napari_gimp.study.record import step_log, write_history
from napari_gimp.study.training import check_out, checkpoint_facts
from napari_gimp.types import CheckpointFacts, Progress

Cases = Int[np.ndarray, " n"]


@memory_in_words
def pretrain_cohort(
    cohort: Cohort,
    out: Path,
    plan: Plan,
    *,
    overwrite: bool = False,
    resume: bool = False,
    synthetic: str = "",
) -> Generator[Progress, None, CheckpointFacts]:
    """Pre-train the aggregator alone on the images of a cohort; write a checkpoint for ``train --init`` to ``out``.

    What is learned says ``plan.training.objective``. With labels the checkpoint also names them, by the linear head
    that pre-training used. Files as of `train_cohort`.

    Raises
    ------
    InputError
        A cohort without images or, where labels are asked for, with one class only; ``out`` is taken.
    """
    running = check_out(out, overwrite, resume)
    images = cohort.subset(np.flatnonzero(cohort.has_image)).with_genes(())
    cases = np.arange(len(images))
    if plan.training.objective != "mpm" and len(images.classes) < 2:
        raise InputError(
            f"Cohort {cohort.name}: expected at least two labels to pre-train on, found only {images.classes[0]};"
            " give --objective mpm."
        )
    fitted = yield from _fit(images, cases, plan, running, resume)
    facts = checkpoint_facts(out.name, images, fitted, synthetic, {}, {"contrast": _contrast(images, plan)})
    if is_first_process():
        save_checkpoint(out, fitted.members, facts, typical=fitted.typical, overwrite=overwrite)
        write_history(out, [step for steps in fitted.history for step in steps])
        shutil.rmtree(running, ignore_errors=True)
    return facts


def _fit(cohort: Cohort, cases: Cases, plan: Plan, running: Path, resume: bool) -> Generator[Progress, None, Fitted]:
    fabric = make_fabric(plan.device, plan.training.precision)
    directions = yield from directions_for(cohort, cases, plan)
    plan = replace(plan, model=replace(plan.model, site_directions=0 if directions is None else directions.k))
    scaling = yield from fit_scaling(cohort, cases, directions)
    shifts = yield from _shifts(cohort, cases, directions)
    build, split = Builder(plan, cohort, scaling, directions, None, GeneGroups()), Split(cases, cases[:0])
    weights, groups, samples = *_by_site(cohort), cohort.samples(cases, "image")
    members: list[GiMP] = []
    history = []
    for i in range(plan.training.members):
        network, seed = build.member(i), plan.seed * SEEDS_APART + i
        keeper = keeper_for(running, i, plan, cohort, split, resume)
        pace = StepPace(f" (member {i + 1} of {plan.training.members})" if plan.training.members > 1 else "")
        generator = torch.Generator().manual_seed(seed)
        tools = (plan.training, fabric, generator, weights, shifts, groups, keeper)
        with closing(step_log(plan.tensorboard, i)) as log:
            for step in pretrain_labels(network, samples, cohort.labels, *tools):
                log.add(step)
                yield pace.progress(step)
        members.append(network.cpu().eval())
        history.append(tuple(keeper.history))
    found = "none" if directions is None else f"{directions.k} from {directions.source}"
    ones = Calibration({})
    typical = yield from typical_cases(members[0], cohort, cases)
    rebuilds = plan.training.objective != "labels" and plan.model.position != "none"
    return Fitted(plan, tuple(members), ones, scaling, split, (), tuple(history), "", found, typical, rebuilds)


def _by_site(cohort: Cohort) -> tuple[Float[np.ndarray, " n"] | None, Cases | None]:
    """How often a case is drawn, and the number of its site and class; None and None where no site is known."""
    if not any(case.site for case in cohort.cases):
        return None, None
    sites = _sites(cohort)
    groups = np.unique(np.stack([cohort.labels, sites]), axis=1, return_inverse=True)[1].ravel()
    return sampling_weights(cohort.labels, sites), groups


def _sites(cohort: Cohort) -> Cases:
    """A number per site; of a case without one nobody knows whether it shares another's: it has its own."""
    names = [("site", case.site) if case.site else ("case", case.case_id) for case in cohort.cases]
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
    return np.array([numbers[name] for name in names])


def _contrast(cohort: Cohort, plan: Plan) -> str:
    """In words, for the record: whether bags of one site and class were told apart, and how many groups are small."""
    training, groups = plan.training, _by_site(cohort)[1]
    if groups is None or not training.contrast_weight or training.objective != "labels":
        return "none"
    every, large, classes = large_groups(cohort.labels, groups, training.contrast_group)
    how = "" if can_contrast(cohort.labels, groups, training) else "none: "
    return (
        f"{how}{every} groups of one site and class, {every - large} of fewer than {training.contrast_group} cases;"
        f" the large ones are of {classes} of {len(cohort.classes)} classes"
    )


def _shifts(
    cohort: Cohort, cases: Cases, directions: SiteDirections | None
) -> Generator[Progress, None, Float[np.ndarray, "A D"] | None]:
    """By how much the cohort's own sites differ from their type, beside the directions that are removed anyway."""
    known = cases[[bool(cohort.cases[i].site) for i in cases]]
    if not len(known):
        return None
    means = yield from case_means(cohort, known)
    sites = np.array([str(cohort.cases[i].site) for i in means.cases])
    types = np.array([str(cohort.cases[i].label) for i in means.cases])
    shifts, _ = site_shifts(means.mean, sites, types)
    return shifts.astype(np.float32) if len(shifts) else None
