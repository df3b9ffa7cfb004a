"""Site directions for a cohort: from a table of slide means or from the training cases."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from napari_gimp.genes.barcodes import case_of
from napari_gimp.gimp.calibrate import log_likelihood
from napari_gimp.gimp.linear import case_weights, fit_linear
from napari_gimp.gimp.sites import SiteDirections, SlideMeans, fit_directions, read_slide_means, remove_directions
from napari_gimp.settings import InputError
from napari_gimp.study.cohort import Cohort
from napari_gimp.study.folds import Fold
from napari_gimp.study.inner import inner_folds
from napari_gimp.study.plan import Plan
from napari_gimp.types import Case, Progress

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
    table = _own_table(cohort, means) if plan.directions_from is None else _given_table(cohort, train, plan)
    if table is None:
        return None
    k = _choose(cohort, means, table, plan) if plan.choose_directions else wanted
    source = "the training cases" if plan.directions_from is None else plan.directions_from.name
    return _fit(table, k, source) if k else None


def _given_table(cohort: Cohort, train: Int[np.ndarray, " n"], plan: Plan) -> SlideMeans:
    """The plan's table without slides of the cohort's other patients: those may be held out."""
    assert plan.directions_from is not None
    table = read_slide_means(plan.directions_from)
    check_table(cohort, table, plan.directions_from.name)
    return without_patients(table, patients_of(cohort.cases) - patients_of([cohort.cases[i] for i in train]))


def patients_of(cases: Sequence[Case]) -> set[str]:
    """The patients of some cases, by any of their names."""
    return {case_of(name) for case in cases for name in (case.case_id, *case.slide_ids)}


def without_patients(table: SlideMeans, patients: set[str]) -> SlideMeans:
    """A table without the slides of these patients."""
    return table.rows(np.array([case_of(str(slide)) not in patients for slide in table.slide_id], bool))


def _own_table(cohort: Cohort, means: CaseMeans) -> SlideMeans | None:
    """The training cases whose site is known; None without any."""
    sites = np.array([cohort.cases[i].site or "" for i in means.cases])
    names = np.array([cohort.cases[i].case_id for i in means.cases])
    labels = np.array([str(cohort.cases[i].label) for i in means.cases])
    known = sites != ""
    return SlideMeans(means.mean, sites, labels, names).rows(known) if known.any() else None


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
    """The number whose removal makes a linear model of mean embeddings most likely on inner folds; 0 without folds."""
    folds = _teaching(cohort, means, inner_folds(cohort, means.cases, plan.training.inner_folds, plan.seed))
    if not folds:
        return 0
    own = plan.directions_from is None
    scores: dict[int, float] = {}
    for k in CHOICES:
        try:
            scores[k] = float(np.concatenate([_score(cohort, means, table, k, fold, own) for fold in folds]).mean())
        except InputError:
            break  # the table shows no more
    return max(scores, key=scores.__getitem__)


def _teaching(cohort: Cohort, means: CaseMeans, folds: list[Fold]) -> list[Fold]:
    """Folds beside which every class has cases with patches to learn from."""
    learned = [np.unique(cohort.labels[np.setdiff1d(means.cases, fold.test)]) for fold in folds]
    return [fold for fold, labels in zip(folds, learned, strict=True) if len(labels) == len(cohort.classes)]


def _score(
    cohort: Cohort, means: CaseMeans, table: SlideMeans, k: int, fold: Fold, own: bool
) -> Float[np.ndarray, " h"]:
    """Log-likelihood of each held case; directions from the training cases (``own``) are fitted without it."""
    held = np.isin(means.cases, fold.test)
    if own:
        outside = {cohort.cases[i].case_id for i in fold.test}
        table = table.rows(np.array([str(name) not in outside for name in table.slide_id]))
    features, labels = remove_directions(means.mean, _fit(table, k)), cohort.labels[means.cases]
    sites = [cohort.cases[i].site for i in means.cases[~held]]
    fit = fit_linear(
        features[~held], labels[~held], case_weights(labels[~held], sites), classes=len(cohort.classes), c=0.01
    )
    return log_likelihood(fit.logits(features[held]), labels[held])
