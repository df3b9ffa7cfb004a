"""Probabilities and labels in, figures out: accuracy, AUC, F1, calibration error and their intervals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.stats import rankdata

from napari_gimp.settings import InputError

ECE_BINS = 10
BOOTSTRAP_NUMBERS = 5_000_000
"""Probabilities in memory at once while resampling."""


@dataclass(frozen=True)
class Figures:
    """How well ``n`` cases were told apart.

    ``auc`` is None where the cases hold one class only; with more than two classes it is the mean of one-versus-rest.
    ``f1`` is the mean over classes. ``ece`` is the expected calibration error over 10 bins of equal count.
    ``ci95`` maps figure -> (low, high): percentiles of a bootstrap over cases.
    """

    accuracy: float
    balanced_accuracy: float
    auc: float | None
    f1: float
    ece: float
    n: int
    ci95: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The figures as plain numbers, lists and None."""
        return {**asdict(self), "ci95": {name: list(interval) for name, interval in self.ci95.items()}}


def figures(
    probabilities: Float[np.ndarray, "n C"],
    labels: Int[np.ndarray, " n"],
    *,
    seed: int = 0,
    resamples: int = 1000,
) -> Figures:
    """Figures of a classifier with 95 % intervals.

    Parameters
    ----------
    probabilities
        (n, C), each row sums to 1.
    labels
        (n,) class indices.
    seed, resamples
        Of the bootstrap over cases; resamples of 0 leave the intervals out.

    Raises
    ------
    InputError
        No case, rows that are no probabilities, or a label outside the classes.
    """
    _check(probabilities, labels)
    points: dict[str, Any] = {
        name: float(value[0]) for name, value in _points(probabilities[None], labels[None]).items()
    }
    auc = None if np.isnan(points["auc"]) else points["auc"]
    ci95 = _bootstrap(probabilities, labels, seed, resamples) if resamples else {}
    return Figures(**points | {"auc": auc}, ece=calibration_error(probabilities, labels), n=len(labels), ci95=ci95)


def _check(probabilities: Float[np.ndarray, "n C"], labels: Int[np.ndarray, " n"]) -> None:
    if not len(labels):
        raise InputError("Expected at least one labelled case to evaluate, found none.")
    if np.abs(probabilities.sum(axis=1) - 1).max() > 1e-3 or probabilities.min() < 0:
        raise InputError("Expected probabilities that sum to 1 in every row; apply softmax to logits first.")
    if labels.min() < 0 or labels.max() >= probabilities.shape[1]:
        raise InputError(f"Expected labels 0 to {probabilities.shape[1] - 1}, found {labels.min()} to {labels.max()}.")


def _points(
    probabilities: Float[np.ndarray, "R n C"], labels: Int[np.ndarray, "R n"]
) -> dict[str, Float[np.ndarray, " R"]]:
    """Figures of R sets of cases at once; the AUC is NaN where a set holds one class only."""
    sets, cases, classes = probabilities.shape
    pairs = labels * classes + probabilities.argmax(axis=2) + np.arange(sets)[:, None] * classes**2
    confusion = np.bincount(pairs.ravel(), minlength=sets * classes**2).reshape(sets, classes, classes)
    hits = np.diagonal(confusion, axis1=1, axis2=2)
    true, called = confusion.sum(axis=2), confusion.sum(axis=1)
    return {
        "accuracy": hits.sum(axis=1) / cases,
        "balanced_accuracy": _mean_where(hits / np.maximum(true, 1), true > 0),
        "auc": _areas(probabilities, labels),
        "f1": _mean_where(2 * hits / np.maximum(true + called, 1), true + called > 0),
    }


def _mean_where(values: Float[np.ndarray, "R C"], where: Bool[np.ndarray, "R C"]) -> Float[np.ndarray, " R"]:
    """Mean over the classes that count, NaN where none does."""
    count = where.sum(axis=1)
    mean: np.ndarray = np.where(count, (values * where).sum(axis=1) / np.maximum(count, 1), np.nan)
    return mean


def _areas(probabilities: Float[np.ndarray, "R n C"], labels: Int[np.ndarray, "R n"]) -> Float[np.ndarray, " R"]:
    """AUC as Mann-Whitney U / (positives x negatives): scikit-learn's, of many sets at once."""
    classes = probabilities.shape[2]
    areas, defined = np.zeros((2, len(labels), classes))
    for k in [1] if classes == 2 else range(classes):
        positive = labels == k
        hits = positive.sum(axis=1)
        pairs = hits * (labels.shape[1] - hits)
        surplus = (rankdata(probabilities[..., k], axis=1) * positive).sum(axis=1) - hits * (hits + 1) / 2
        areas[:, k], defined[:, k] = surplus / np.maximum(pairs, 1), pairs > 0
    return _mean_where(areas, defined > 0)


def area_under_curve(probabilities: Float[np.ndarray, "n C"], labels: Int[np.ndarray, " n"]) -> float | None:
    """Area under the ROC curve: of class 1 with two classes, else the mean of one-versus-rest over the classes present.

    None where the cases hold one class only.
    """
    area = float(_areas(probabilities[None], labels[None])[0])
    return None if np.isnan(area) else area


def calibration_error(probabilities: Float[np.ndarray, "n C"], labels: Int[np.ndarray, " n"]) -> float:
    """Expected calibration error of the winning class: |accuracy - confidence| over 10 bins of equal count."""
    confidence = probabilities.max(axis=1)
    right = (probabilities.argmax(axis=1) == labels).astype(float)
    bins = np.array_split(np.argsort(confidence, kind="stable"), min(ECE_BINS, len(labels)))
    gaps = [len(b) * abs(right[b].mean() - confidence[b].mean()) for b in bins]
    return float(sum(gaps) / len(labels))


def _bootstrap(
    probabilities: Float[np.ndarray, "n C"], labels: Int[np.ndarray, " n"], seed: int, resamples: int
) -> dict[str, tuple[float, float]]:
    rng = np.random.default_rng(seed)
    at_once = max(1, BOOTSTRAP_NUMBERS // probabilities.size)
    parts = []
    for start in range(0, resamples, at_once):
        draws = rng.integers(len(labels), size=(min(at_once, resamples - start), len(labels)))
        parts.append(_points(probabilities[draws], labels[draws]))
    values = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return {name: _interval(found) for name, found in values.items() if not np.isnan(found).all()}


def _interval(values: Float[np.ndarray, " R"]) -> tuple[float, float]:
    low, high = np.nanpercentile(values, (2.5, 97.5))
    return float(low), float(high)
