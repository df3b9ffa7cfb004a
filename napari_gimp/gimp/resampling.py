"""Figures of many weightings of the same cases at once: what a bootstrap needs. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

ECE_BINS = 10
NUMBERS_AT_ONCE = 5_000_000
"""Weights in memory at once while resampling."""


def draw_weights(groups: Shaped[np.ndarray, " n"], seed: int, resamples: int) -> Iterator[Int[np.ndarray, "r n"]]:
    """How often each case is drawn when whole groups (patients) are drawn with replacement, some resamples at a time.

    Parameters
    ----------
    groups
        Name or number of each case's patient.
    """
    names, place = np.unique(groups, return_inverse=True)
    rng = np.random.default_rng(seed)
    at_once = max(1, NUMBERS_AT_ONCE // len(groups))
    share = np.full(len(names), 1 / len(names))
    for start in range(0, resamples, at_once):
        yield rng.multinomial(len(names), share, min(at_once, resamples - start))[:, place]


def weighted_figures(
    probabilities: Float[np.ndarray, "n C"], labels: Int[np.ndarray, " n"], weights: Int[np.ndarray, "R n"]
) -> dict[str, Float[np.ndarray, " R"]]:
    """Accuracy, balanced accuracy, AUC, F1, ECE and Brier score for R weightings; NaN where a figure is not defined."""
    classes = probabilities.shape[1]
    total = weights.sum(axis=1)
    pairs = np.eye(classes**2)[labels * classes + probabilities.argmax(axis=1)]
    confusion = (weights @ pairs).reshape(len(weights), classes, classes)
    hits = np.diagonal(confusion, axis1=1, axis2=2)
    true, called = confusion.sum(axis=2), confusion.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return {
            "accuracy": hits.sum(axis=1) / total,
            "balanced_accuracy": _mean_where(hits / np.maximum(true, 1), true > 0),
            "auc": _areas(probabilities, labels, weights),
            "f1": _mean_where(2 * hits / np.maximum(true + called, 1), true + called > 0),
            "ece": _calibration(probabilities, labels, weights),
            "brier": weights @ brier_of_cases(probabilities, labels) / total,
        }


def brier_of_cases(probabilities: Float[np.ndarray, "n C"], labels: Int[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Squared distance of each case's probabilities from its class; halved for two classes, as scikit-learn does."""
    distance = np.square(probabilities - np.eye(probabilities.shape[1])[labels]).sum(axis=1)
    scaled: np.ndarray = distance / 2 if probabilities.shape[1] == 2 else distance
    return scaled


def _mean_where(values: Float[np.ndarray, "R C"], where: Bool[np.ndarray, "R C"]) -> Float[np.ndarray, " R"]:
    """Mean over the classes that count, NaN where none does."""
    count = where.sum(axis=1)
    mean: np.ndarray = np.where(count, (values * where).sum(axis=1) / np.maximum(count, 1), np.nan)
    return mean


def _areas(
    probabilities: Float[np.ndarray, "n C"], labels: Int[np.ndarray, " n"], weights: Int[np.ndarray, "R n"]
) -> Float[np.ndarray, " R"]:
    """AUC as Mann-Whitney U / (positives x negatives): of class 1 with two classes, else mean of one-versus-rest."""
    classes = probabilities.shape[1]
    areas, defined = np.zeros((2, len(weights), classes))
    for k in [1] if classes == 2 else range(classes):
        areas[:, k], defined[:, k] = _area(probabilities[:, k], labels == k, weights)
    return _mean_where(areas, defined > 0)


def _area(
    scores: Float[np.ndarray, " n"], positive: Bool[np.ndarray, " n"], weights: Int[np.ndarray, "R n"]
) -> tuple[Float[np.ndarray, " R"], Bool[np.ndarray, " R"]]:
    order = np.argsort(scores, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(scores[order]) > 0])
    ordered = weights[:, order].astype(np.float64)
    hits = np.add.reduceat(ordered * positive[order], starts, axis=1)
    rest = np.add.reduceat(ordered * ~positive[order], starts, axis=1)
    below = np.cumsum(rest, axis=1) - rest / 2
    pairs = hits.sum(axis=1) * rest.sum(axis=1)
    return (hits * below).sum(axis=1) / np.maximum(pairs, 1), pairs > 0


def _calibration(
    probabilities: Float[np.ndarray, "n C"], labels: Int[np.ndarray, " n"], weights: Int[np.ndarray, "R n"]
) -> Float[np.ndarray, " R"]:
    """Expected calibration error over bins of equal weight; a case lies where the middle of its weight lies."""
    confidence = probabilities.max(axis=1)
    surplus = (probabilities.argmax(axis=1) == labels) - confidence
    order = np.argsort(confidence, kind="stable")
    ordered = weights[:, order].astype(np.float64)
    total = ordered.sum(axis=1, keepdims=True)
    count = min(ECE_BINS, len(labels))
    bins = ((np.cumsum(ordered, axis=1) - ordered / 2) / np.maximum(total, 1) * count).astype(np.int64)
    place = np.minimum(bins, count - 1) + np.arange(len(weights))[:, None] * count
    gaps = np.bincount(place.ravel(), (ordered * surplus[order]).ravel(), len(weights) * count)
    error: np.ndarray = np.abs(gaps.reshape(len(weights), count)).sum(axis=1) / total[:, 0]
    return error
