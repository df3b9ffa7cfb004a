"""Does the site give the label away?"""

from __future__ import annotations

import numpy as np
from jaxtyping import Int

from napari_gimp.study.cohort import Cohort

LEAST_GAIN = 0.5
"""Share of the errors of always saying the commonest class that knowing the site takes away."""
PERMUTATIONS, SIGNIFICANCE = 1999, 1e-3


def site_leak(cohort: Cohort) -> str | None:
    """The sentence that says how well the other cases of its site tell a case's class, None where not well."""
    known = np.array([bool(case.site) for case in cohort.cases], bool)
    if known.sum() < 4 or len(cohort.classes) < 2:
        return None
    sites, place = np.unique([str(case.site) for case in cohort.cases if case.site], return_inverse=True)
    labels = cohort.labels[known]
    shared = np.bincount(place)[place] > 1
    if not shared.any() or len(sites) < 2 or len(np.unique(labels[shared])) < 2:
        return None
    place, labels = np.unique(place[shared], return_inverse=True)[1], labels[shared]
    errors = _errors(place, labels, len(cohort.classes))
    blind = len(labels) - int(np.bincount(labels).max())
    if errors > (1 - LEAST_GAIN) * blind or not _is_beyond_chance(place, labels, len(cohort.classes), errors):
        return None
    counts = _counts(place, labels, len(cohort.classes))
    pure = int(((counts > 0).sum(axis=1) == 1).sum())
    return (
        f"leak check (sites): the site gives the label away: {pure} of {len(counts)} sites with several cases hold one"
        f" class, and the other cases of its site tell the class of {len(labels) - errors} of {len(labels)} cases;"
        " judge the model on whole sites held out (--by-site)."
    )


def _counts(place: Int[np.ndarray, " n"], labels: Int[np.ndarray, " n"], classes: int) -> Int[np.ndarray, "S C"]:
    sites = int(place.max()) + 1
    return np.bincount(place * classes + labels, minlength=sites * classes).reshape(sites, classes)


def _errors(place: Int[np.ndarray, " n"], labels: Int[np.ndarray, " n"], classes: int) -> int:
    """Cases whose class is not the commonest among the other cases of their site; a tie is an error."""
    counts = _counts(place, labels, classes)[place]
    own = np.arange(len(labels)), labels
    counts[own] -= 1
    mine = counts[own]
    counts[own] = -1
    return int((mine <= counts.max(axis=1)).sum())


def _is_beyond_chance(place: Int[np.ndarray, " n"], labels: Int[np.ndarray, " n"], classes: int, errors: int) -> bool:
    rng = np.random.default_rng(0)
    luck = sum(_errors(place, rng.permutation(labels), classes) <= errors for _ in range(PERMUTATIONS))
    return (luck + 1) / (PERMUTATIONS + 1) <= SIGNIFICANCE
