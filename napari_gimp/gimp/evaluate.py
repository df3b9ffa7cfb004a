"""Probabilities and labels in, figures out: accuracy, AUC, F1, calibration and their intervals. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float, Int, Shaped

from napari_gimp.gimp.resampling import ECE_BINS, brier_of_cases, draw_weights, weighted_figures
from napari_gimp.settings import InputError

RESAMPLES = 1000


@dataclass(frozen=True)
class Figures:
    """How well ``n`` cases were told apart.

    ``auc`` is None where the cases hold one class only; with more than two classes it is the mean of one-versus-rest.
    ``f1`` is the mean over classes. ``ece`` is the expected calibration error over 10 bins of equal count, ``brier``
    the mean squared distance of the probabilities from the class (halved for two classes).
    ``ci95`` maps figure -> (low, high): percentiles of a bootstrap over patients.
    """

    accuracy: float
    balanced_accuracy: float
    auc: float | None
    f1: float
    ece: float
    brier: float
    n: int
    ci95: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The figures as plain numbers, lists and None."""
        return {**asdict(self), "ci95": {name: list(interval) for name, interval in self.ci95.items()}}


def figures(
    probabilities: Float[np.ndarray, "n C"],
    labels: Int[np.ndarray, " n"],
    *,
    patients: Shaped[np.ndarray, " n"] | None = None,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Figures:
    """Figures of a classifier with 95 % intervals.

    Parameters
    ----------
    probabilities
        (n, C), each row sums to 1.
    labels
        (n,) class indices.
    patients
        (n,) name of each row's patient; the rows of a patient are drawn together. None: each row is a patient.
    seed, resamples
        Of the bootstrap; resamples of 0 leave the intervals out.

    Raises
    ------
    InputError
        No case, rows that are no probabilities, or a label outside the classes.
    """
    check_probabilities(probabilities, labels)
    once = np.ones((1, len(labels)), np.int64)
    points: dict[str, Any] = {
        name: float(value[0]) for name, value in weighted_figures(probabilities, labels, once).items()
    }
    points["ece"] = calibration_error(probabilities, labels)
    ci95 = {}
    if resamples:
        drawn = bootstrap_figures(probabilities, labels, patients, seed, resamples)
        ci95 = {name: interval_of(name, values, points[name]) for name, values in drawn.items() if known(values)}
    auc = None if np.isnan(points["auc"]) else points["auc"]
    return Figures(**points | {"auc": auc}, n=len(labels), ci95=ci95)


def check_probabilities(probabilities: Float[np.ndarray, "n C"], labels: Int[np.ndarray, " n"]) -> None:
    """Refuse what is no prediction of labelled cases.

    Raises
    ------
    InputError
        No case, rows that are no probabilities, or a label outside the classes.
    """
    if not len(labels):
        raise InputError("Expected at least one labelled case to evaluate, found none.")
    if not (np.abs(probabilities.sum(axis=1) - 1).max() <= 1e-3 and probabilities.min() >= 0):
        raise InputError("Expected probabilities that sum to 1 in every row; apply softmax to logits first.")
    if labels.min() < 0 or labels.max() >= probabilities.shape[1]:
        raise InputError(f"Expected labels 0 to {probabilities.shape[1] - 1}, found {labels.min()} to {labels.max()}.")


def area_under_curve(probabilities: Float[np.ndarray, "n C"], labels: Int[np.ndarray, " n"]) -> float | None:
    """Area under the ROC curve: of class 1 with two classes, else the mean of one-versus-rest over the classes present.

    None where the cases hold one class only.
    """
    once = np.ones((1, len(labels)), np.int64)
    area = float(weighted_figures(probabilities, labels, once)["auc"][0])
    return None if np.isnan(area) else area


def calibration_error(probabilities: Float[np.ndarray, "n C"], labels: Int[np.ndarray, " n"]) -> float:
    """Expected calibration error of the winning class: |accuracy - confidence| over 10 bins of equal count."""
    return float(sum(n * abs(right - said) for n, said, right in reliability(probabilities, labels)) / len(labels))


def reliability(
    probabilities: Float[np.ndarray, "n C"], labels: Int[np.ndarray, " n"]
) -> list[tuple[int, float, float]]:
    """Cases, mean confidence and accuracy of each of 10 bins of equal count, from the least confident."""
    confidence = probabilities.max(axis=1)
    right = (probabilities.argmax(axis=1) == labels).astype(float)
    bins = np.array_split(np.argsort(confidence, kind="stable"), min(ECE_BINS, len(labels)))
    return [(len(b), float(confidence[b].mean()), float(right[b].mean())) for b in bins]


def brier_score(probabilities: Float[np.ndarray, "n C"], labels: Int[np.ndarray, " n"]) -> float:
    """Mean squared distance of the probabilities from the class; halved for two classes."""
    return float(brier_of_cases(probabilities, labels).mean())


def bootstrap_figures(
    probabilities: Float[np.ndarray, "n C"],
    labels: Int[np.ndarray, " n"],
    patients: Shaped[np.ndarray, " n"] | None,
    seed: int,
    resamples: int = RESAMPLES,
) -> dict[str, Float[np.ndarray, " R"]]:
    """Each figure in each resample; the same patients and seed draw the same cases, so that models can be paired."""
    groups = np.arange(len(labels)) if patients is None else patients
    parts = [weighted_figures(probabilities, labels, weights) for weights in draw_weights(groups, seed, resamples)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def known(values: Float[np.ndarray, " R"]) -> bool:
    """Whether a figure was defined in any resample."""
    return not bool(np.isnan(values).all())


def interval_of(name: str, values: Float[np.ndarray, " R"], point: float) -> tuple[float, float]:
    """2.5 and 97.5 percentiles. The ECE of a resample is too large by what chance adds: it is moved back to the point.

    Cases drawn twice agree with themselves, so bins of a resample look further off than those of new cases would.
    """
    moved = np.maximum(values - np.nanmean(values) + point, 0) if name == "ece" else values
    low, high = np.nanpercentile(moved, (2.5, 97.5))
    return float(low), float(high)
