"""A model's logits for every case of a cohort, by modality."""

from __future__ import annotations

from collections.abc import Generator, Mapping

import numpy as np
from jaxtyping import Float

from napari_gimp.gimp.ensemble import Ensemble
from napari_gimp.gimp.heads import PARTS, Part
from napari_gimp.gimp.model import GiMP
from napari_gimp.gimp.train import case_logits, case_parts
from napari_gimp.study.cohort import Cohort
from napari_gimp.types import MODALITIES, Modality, Progress

Logits = Mapping[Modality, Float[np.ndarray, "n C"]]
Parts = Mapping[Part, Float[np.ndarray, "n C"]]


def cohort_logits(model: GiMP | Ensemble, cohort: Cohort, stage: str) -> Generator[Progress, None, Logits]:
    """(n, C) by modality, NaN rows where a case lacks an input."""
    shape = (len(cohort), len(cohort.classes))
    found: dict[Modality, Float[np.ndarray, "n C"]] = {name: np.full(shape, np.nan) for name in MODALITIES}
    for i, sample in enumerate(cohort.samples()):
        for name, logits in case_logits(model, sample).items():
            found[name][i] = logits
        yield Progress(stage, i + 1, len(cohort), "cases")
    return found


def cohort_parts(model: GiMP | Ensemble, cohort: Cohort, stage: str) -> Generator[Progress, None, Parts]:
    """(n, C) by part of a `SumHead`, NaN rows where a case lacks its input."""
    shape = (len(cohort), len(cohort.classes))
    found: dict[Part, Float[np.ndarray, "n C"]] = {name: np.full(shape, np.nan) for name in PARTS}
    for i, sample in enumerate(cohort.samples()):
        for name, logits in case_parts(model, sample).items():
            found[name][i] = logits
        yield Progress(stage, i + 1, len(cohort), "cases")
    return {name: rows for name, rows in found.items() if np.isfinite(rows).any()}
