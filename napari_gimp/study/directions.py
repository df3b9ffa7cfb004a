"""Site directions for a cohort: from a table of slide means or from the training cases."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from napari_gimp.gimp.calibrate import log_likelihood
from napari_gimp.gimp.linear import case_weights, fit_linear
from napari_gimp.gimp.sites import SiteDirections, SlideMeans, fit_directions, read_slide_means, remove_directions
from napari_gimp.settings import InputError
from napari_gimp.study.cohort import Cohort
from napari_gimp.study.folds import Fold
from napari_gimp.study.inner import inner_folds
from napari_gimp.study.plan import Plan
from napari_gimp.types import Progress

CHOICES = (0, 5, 10, 20, 40)
"""Numbers of directions that are compared in inner folds."""


@dataclass(frozen=True, eq=False)
class CaseMeans:
    """Mean embedding (m, D) of each case that has patches, and which cases (m,) those are."""

    mean: Float[np.ndarray, "m D"]
    cases: Int[np.ndarray, " m"]


def case_means(cohort: Cohort, cases: Int[np.ndarray, " n"]) -> Generator[Progress, None, CaseMeans]:
    """Read every bag once."""
    imaged = cases[cohort.has_image[cases]]
    means = np.empty((len(imaged), cohort.embedding_dim), np.float32)
    for i, case in enumerate(imaged):
        means[i] = np.concatenate([bag.features for bag in cohort.bags(int(case))]).mean(axis=0, dtype=np.float64)
        yield Progress("reading features", i + 1, len(imaged), "cases")
    return CaseMeans(means, imaged)


def directions_for(
    cohort: Cohort, train: Int[np.ndarray, " n"], plan: Plan
) -> Generator[Progress, None, SiteDirections | None]:
    """The directions that a training is to remove, None for none. No other case than ``train`` is looked at.

    Raises
    ------
    InputError
        A table of another encoder, or more directions than the table can show.
    """
    wanted = plan.model.site_directions
    if not wanted and not plan.choose_directions:
        return None
    means = yield from case_means(cohort, train)
    table = _table(cohort, means, plan)
    if table is None:
        return None
    k = _choose(cohort, means, table, plan) if plan.choose_directions else wanted
    source = "the training cases" if plan.directions_from is None else plan.directions_from.name
    return _fit(table, k, source) if k else None


def _table(cohort: Cohort, means: CaseMeans, plan: Plan) -> SlideMeans | None:
    if plan.directions_from is not None:
        table = read_slide_means(plan.directions_from)
        check_table(cohort, table, plan.directions_from.name)
        return table
    sites = [cohort.cases[i].site for i in means.cases]
    if not any(sites):
        return None
    names = np.array([cohort.cases[i].case_id for i in means.cases])
    labels = np.array([str(cohort.cases[i].label) for i in means.cases])
    return SlideMeans(means.mean, np.array([site or "" for site in sites]), labels, names)


def check_table(cohort: Cohort, table: SlideMeans, name: str) -> None:
    """Refuse slide means of another encoder.

    Raises
    ------
    InputError
        Another width, or another name where both name it.
    """
    named = table.encoder is not None and cohort.encoder is not None
    if table.mean.shape[1] != cohort.embedding_dim or (named and table.encoder != cohort.encoder):
        raise InputError(
            f"{name}: expected slide means of encoder {cohort.encoder or 'without a name'} ({cohort.embedding_dim}-d),"
            f" found {table.encoder or 'no name'} ({table.mean.shape[1]}-d); give means of the cohort's encoder."
        )


def _fit(table: SlideMeans, k: int, source: str = "slide means") -> SiteDirections:
    return fit_directions(table.mean, table.site, table.type, k, source=source)


def _choose(cohort: Cohort, means: CaseMeans, table: SlideMeans, plan: Plan) -> int:
    """The number whose removal makes a linear model of mean embeddings most likely on inner folds."""
    folds = inner_folds(cohort, means.cases, plan.training.inner_folds, plan.seed)
    scores: dict[int, float] = {}
    for k in CHOICES:
        try:
            directions = _fit(table, k)
        except InputError:
            break  # the table shows no more
        scores[k] = _score(cohort, means, remove_directions(means.mean, directions), folds)
    return max(scores, key=scores.__getitem__, default=0)


def _score(cohort: Cohort, means: CaseMeans, features: Float[np.ndarray, "m D"], folds: list[Fold]) -> float:
    labels, found = cohort.labels[means.cases], []
    sites = [cohort.cases[i].site for i in means.cases]
    for fold in folds:
        held = np.isin(means.cases, fold.test)
        weights = case_weights(labels[~held], [s for s, out in zip(sites, held, strict=True) if not out])
        fit = fit_linear(features[~held], labels[~held], weights, classes=len(cohort.classes), c=0.01)
        found.append(log_likelihood(fit.logits(features[held]), labels[held]))
    return float(np.concatenate(found).mean())
