"""All leak checks on a cohort and its splits."""

from __future__ import annotations

from collections.abc import Sequence

from jaxtyping import Int
from numpy import ndarray

from napari_gimp.study.cohort import Cohort
from napari_gimp.study.leaks.scale import scale_leak
from napari_gimp.study.leaks.sites import site_leak
from napari_gimp.study.leaks.splits import split_leaks
from napari_gimp.study.leaks.values import value_leak

TrainTest = tuple[Int[ndarray, " _"], Int[ndarray, " _"]]
"""Indices of the cases on the two sides of a split."""


def check_leaks(cohort: Cohort, splits: Sequence[TrainTest] = ()) -> tuple[str, ...]:
    """Sentences about what lets a label be read without any biology; empty where nothing was found.

    Parameters
    ----------
    cohort
        Labels, sites and expression are looked at as the cohort has them now: its gene list, its working scale.
    splits
        Training and test (or validation) indices into ``cohort.cases``; all of them are reported in one sentence.

    Notes
    -----
    A finding is a reason to look, not a proof. Tables without a leak stay silent: each test holds a false alarm below
    one in some hundred tables.
    """
    rows = cohort.has_genes
    known = (cohort.values[rows], cohort.labels[rows], cohort.genes, cohort.classes)
    found = (value_leak(*known), scale_leak(*known), *split_leaks(cohort, splits), site_leak(cohort))
    return tuple(sentence for sentence in found if sentence is not None)
