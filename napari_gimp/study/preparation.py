"""Before training: which cases choose the epoch, and what the training cases say of scaling and patches."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from napari_gimp.gimp.sites import SiteDirections, remove_directions
from napari_gimp.settings import InputError
from napari_gimp.study.cohort import Cohort
from napari_gimp.study.folds import default_grouping, make_folds
from napari_gimp.types import Bag, Progress


@dataclass(frozen=True, eq=False)
class Split:
    """Indices of the cases to learn from and of those that choose the epoch; in order, none in both.

    ``by_site``: no site stands on both sides.
    """

    train: Int[np.ndarray, " t"]
    validation: Int[np.ndarray, " v"]
    by_site: bool = False


def split_cases(cohort: Cohort, val_fraction: float, seed: int, cases: Int[np.ndarray, " n"] | None = None) -> Split:
    """Whole sites held out where the cohort names them, else random by case, stratified by label and inputs.

    Parameters
    ----------
    cases
        Indices of the cases to split; all by default.

    Raises
    ------
    InputError
        A share outside 0 to 0.9, or fewer than two classes to learn.
    """
    if not 0 <= val_fraction <= 0.9:
        raise InputError(f"Expected a validation share of 0 to 0.9, found {val_fraction}; give a smaller one.")
    if len(cohort.classes) < 2:
        raise InputError(
            f"Cohort {cohort.name}: expected cases of at least two classes to train on, found only"
            f" {cohort.classes[0]}; add cases of another class."
        )
    cases = np.arange(len(cohort)) if cases is None else cases
    by_site = _whole_sites(cohort, cases, val_fraction, seed)
    validation = _by_case(cohort, cases, val_fraction, seed) if by_site is None else by_site
    return Split(np.setdiff1d(cases, validation), validation, by_site is not None)


def _whole_sites(cohort: Cohort, cases: Int[np.ndarray, " n"], share: float, seed: int) -> Int[np.ndarray, " v"] | None:
    """Cases of whole sites, about that share of all; None where sites are not known or too few."""
    part = cohort.subset(cases)
    if not share or default_grouping(part) == "patient":
        return None
    try:
        fold = make_folds(part, "site", max(2, round(1 / share)), seed)[0]
    except InputError:
        return None
    held: np.ndarray = cases[fold.test]
    return held


def _by_case(cohort: Cohort, cases: Int[np.ndarray, " n"], share: float, seed: int) -> Int[np.ndarray, " v"]:
    rng = np.random.default_rng(seed)
    strata = (cohort.labels * 4 + cohort.has_image * 2 + cohort.has_genes)[cases]
    held = [rng.permutation(cases[strata == s]) for s in np.unique(strata)]
    return np.sort(np.concatenate([members[: _share(len(members), share)] for members in held]))


def _share(members: int, fraction: float) -> int:
    """How many of a stratum are held out: at least one where two are there, never all."""
    return min(members - 1, max(1, round(fraction * members))) if fraction else 0


@dataclass(frozen=True, eq=False)
class ScalingFigures:
    """Mean and sd of each embedding dimension (D,) over training patches and of each gene (G,) over training cases.

    Embeddings are taken as the scaling finds them: without their site directions where those are removed.
    """

    embedding_mean: Float[np.ndarray, " D"]
    embedding_sd: Float[np.ndarray, " D"]
    gene_mean: Float[np.ndarray, " G"]
    gene_sd: Float[np.ndarray, " G"]


@dataclass(frozen=True, eq=False)
class Scaling:
    """What the training cases say of scaling and patches.

    ``patch_px`` and ``patch_mpp`` are how the bags were cut, None where they do not say; ``has_places`` whether all of
    them know where their patches are (else position encoding saw scan indices).
    """

    figures: ScalingFigures
    patch_px: int | None
    patch_mpp: float | None
    has_places: bool


def fit_scaling(
    cohort: Cohort, train: Int[np.ndarray, " train"], directions: SiteDirections | None = None
) -> Generator[Progress, None, Scaling]:
    """Read every training bag once.

    Raises
    ------
    InputError
        No training case has patches, or bags of patches of different sizes.
    """
    count, cuts, has_places = 0, set(), True
    total, squares = np.zeros(cohort.embedding_dim), np.zeros(cohort.embedding_dim)
    for done, case in enumerate(train, 1):
        for bag in cohort.bags(int(case)):
            features = bag.features.astype(np.float64)
            features = features if directions is None else remove_directions(features, directions)
            count += len(features)
            total += features.sum(axis=0)
            squares += np.square(features).sum(axis=0)
            cuts.add(patch_of(bag))
            has_places &= bag.grid is not None
        yield Progress("reading features", done, len(train), "cases")
    if not count:
        raise InputError(f"Cohort {cohort.name}: expected training cases with patches, found none; add features.")
    mean = total / count
    sd = np.sqrt(np.maximum(squares / count - np.square(mean), 0))
    figures = ScalingFigures(mean, sd, *_mean_and_sd(cohort.values[train]))
    return Scaling(figures, *_one_cut(cuts, cohort.name), has_places)


def _mean_and_sd(values: Float[np.ndarray, "n G"]) -> tuple[Float[np.ndarray, " G"], Float[np.ndarray, " G"]]:
    """Per gene over the cases that have it; 0 and 0 where none has."""
    known = ~np.isnan(values)
    count = np.maximum(known.sum(axis=0), 1)
    filled = np.where(known, values, 0).astype(np.float64)
    mean = filled.sum(axis=0) / count
    variance = (np.square(filled - mean) * known).sum(axis=0) / count
    return mean, np.sqrt(variance)


def patch_of(bag: Bag) -> tuple[int | None, float | None]:
    """Side in px and um per px of the patches that the encoder saw, where the bag says."""
    said = bag.provenance.get("patches", bag.provenance)
    px, mpp = said.get("patch_px"), said.get("patch_mpp")
    return (None if px is None else int(px)), (None if mpp is None else float(mpp))


def _one_cut(cuts: set[tuple[int | None, float | None]], name: str) -> tuple[int | None, float | None]:
    known = {cut for cut in cuts if cut != (None, None)}
    if len(known) > 1:
        found = ", ".join(f"{px} px at {mpp} um/px" for px, mpp in sorted(known, key=str))
        raise InputError(f"Cohort {name}: expected patches of one size, found {found}; embed all slides alike.")
    return known.pop() if known else (None, None)
