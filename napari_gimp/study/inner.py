"""Inner folds: inside of a training part, the same question that the outer folds ask."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int

from napari_gimp.settings import InputError
from napari_gimp.study.cohort import Cohort
from napari_gimp.study.folds import Fold, default_grouping, make_folds


def inner_folds(cohort: Cohort, cases: Int[np.ndarray, " n"], folds: int, seed: int) -> list[Fold]:
    """Folds of some cases of a cohort, whole sites where they are known, else patients; indices of the cohort.

    Fewer folds where there are too few sites or cases; none where not even two can be made.
    """
    part = cohort.subset(cases)
    for by in dict.fromkeys((default_grouping(part), "patient")):
        for number in range(folds, 1, -1):
            try:
                made = make_folds(part, by, number, seed)
            except InputError:
                continue
            return [Fold(fold.name, cases[fold.test]) for fold in made]
    return []
