"""Does a patient, slide or site stand on both sides of a split?"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Int

from napari_gimp.genes.barcodes import case_of
from napari_gimp.study.cohort import Cohort
from napari_gimp.study.table import first_names
from napari_gimp.types import Case

REMEDIES = {
    "patients": "keep all cases of a patient on one side",
    "slides": "keep a slide on one side",
    "sites": "figures will flatter the model on new sites: hold whole sites out (--by-site)",
}


def split_leaks(
    cohort: Cohort, splits: Sequence[tuple[Int[np.ndarray, " _"], Int[np.ndarray, " _"]]]
) -> tuple[str, ...]:
    """One sentence for each of patients, slides and sites that stand on both sides of any of the splits."""
    keys: dict[str, Callable[[Case], tuple[str, ...]]] = {
        "patients": lambda case: (case_of(case.case_id),),
        "slides": lambda case: case.slide_ids,
        "sites": lambda case: (case.site,) if case.site else (),
    }
    found = []
    for kind, key in keys.items():
        shared = sorted({name for train, test in splits for name in _on_both_sides(cohort, train, test, key)})
        if shared:
            found.append(
                f"leak check (split): {len(shared)} {kind} stand on both sides of a split ({first_names(shared)});"
                f" {REMEDIES[kind]}."
            )
    return tuple(found)


def _on_both_sides(
    cohort: Cohort,
    train: Int[np.ndarray, " a"],
    test: Int[np.ndarray, " b"],
    key: Callable[[Case], tuple[str, ...]],
) -> set[str]:
    sides = [{name for i in side for name in key(cohort.cases[i])} for side in (train, test)]
    return sides[0] & sides[1]
