"""GiMP as the model of a cross-validation: trained on a fold's training cases, asked about its test cases."""

from __future__ import annotations

import shutil
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int
from scipy.special import softmax

from napari_gimp.gimp.calibrate import Calibration
from napari_gimp.gimp.heads import OF_ANSWER
from napari_gimp.study.cohort import Cohort
from napari_gimp.study.crossval import FoldResult
from napari_gimp.study.fitting import Fitted, fit
from napari_gimp.study.folds import Fold
from napari_gimp.study.init import check_init
from napari_gimp.study.logits import Logits, cohort_logits
from napari_gimp.study.plan import Plan
from napari_gimp.types import MODALITIES, Modality, Progress


@dataclass(frozen=True)
class GiMPFold:
    """`FoldModel` of a plan; its decoder is left out, for a cross-validation draws no maps."""

    plan: Plan

    def check(self, cohort: Cohort, folds: Sequence[Fold]) -> None:
        """Before the first fold is trained: no fold may test a patient that the pre-trained checkpoint has seen.

        Raises
        ------
        InputError
            It has, or it does not fit.
        """
        if self.plan.init is not None:
            check_init(self.plan.init, cohort, np.concatenate([fold.test for fold in folds]))

    def __call__(
        self, cohort: Cohort, train: Int[np.ndarray, " t"], test: Int[np.ndarray, " m"], folder: Path, seed: int
    ) -> Generator[Progress, None, FoldResult]:
        """Train and predict; the running state of the training lies in ``folder`` until then."""
        plan = replace(self.plan, seed=seed, maps=False)
        fitted = yield from fit(cohort, train, plan, held_out=test, state=folder, resume=True)
        held = cohort.subset(test)
        logits = yield from cohort_logits(fitted.model, held, "predicting the fold")
        without = yield from _uncalibrated(fitted, held)
        shutil.rmtree(folder, ignore_errors=True)
        return FoldResult(_shares(logits), details(fitted), _shares(without))


def _shares(logits: Logits) -> dict[Modality, np.ndarray]:
    return {name: softmax(logits[name], axis=1) for name in MODALITIES}


def _uncalibrated(fitted: Fitted, held: Cohort) -> Generator[Progress, None, Logits]:
    """The same with heads as they were before calibration."""
    plain = Calibration(
        dict.fromkeys(MODALITIES, 1.0), weights={m: dict.fromkeys(OF_ANSWER[m], 1.0) for m in MODALITIES}
    )
    _calibrate(fitted, plain)
    logits = yield from cohort_logits(fitted.model, held, "predicting without calibration")
    _calibrate(fitted, fitted.calibration)
    return logits


def _calibrate(fitted: Fitted, calibration: Calibration) -> None:
    for member in fitted.members:
        member.classifier.calibrate(calibration.to_json())


def details(fitted: Fitted) -> dict[str, Any]:
    """What was chosen inside of the training part."""
    return {
        "calibration": fitted.calibration.to_json(),
        "site_directions": fitted.directions,
        "members": len(fitted.members),
        "epochs": [len(steps) for steps in fitted.history],
        "aggregator": fitted.origin or "trained on the training part",
    }
