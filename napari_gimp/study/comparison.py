"""Predictions of all folds -> figures with intervals, and how a model compares with another on the same cases."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped
from scipy.stats import binomtest

from napari_gimp.gimp.evaluate import Figures, bootstrap_figures, figures, interval_of, known
from napari_gimp.settings import InputError

POOLED = ("ece",)
"""Figures that one fold has too few cases for: their headline is over the pooled predictions."""
FOLD_MEANS = ("accuracy", "balanced_accuracy", "auc", "f1", "brier")
HOW = dict.fromkeys(FOLD_MEANS, "mean of the folds") | {
    "ece": "pooled predictions of all folds",
    "ci95": "bootstrap by patient, within folds for means of the folds",
    "pooled": "all folds' predictions as one set",
}
"""How each headline figure is made: stands in the JSON."""


@dataclass(frozen=True, eq=False)
class OutOfFold:
    """The cases that were tested: class, fold (by number) and patient of each."""

    labels: Int[np.ndarray, " n"]
    fold_of: Int[np.ndarray, " n"]
    patients: Shaped[np.ndarray, " n"]
    fold_names: tuple[str, ...]

    def only(self, rows: Bool[np.ndarray, " n"]) -> OutOfFold:
        """Some of the cases."""
        return OutOfFold(self.labels[rows], self.fold_of[rows], self.patients[rows], self.fold_names)


@dataclass(frozen=True, eq=False)
class Summary:
    """A model over all folds, each figure over the ``n`` cases that have what the model needs.

    ``figures`` are the headline's: means of the folds, the ECE pooled; ``ci95`` belongs to them. ``pooled`` takes all
    predictions as one set (probabilities of different folds then have to agree in scale). ``per_fold`` is None where a
    fold has no such case.
    """

    figures: Mapping[str, float | None]
    ci95: Mapping[str, tuple[float, float]]
    pooled: Figures
    per_fold: Mapping[str, Figures | None]
    n: int

    def to_json(self) -> dict[str, Any]:
        """Headline figures flat, then intervals, folds and the pooled figures."""
        return {
            **self.figures,
            "ci95": {name: list(interval) for name, interval in self.ci95.items()},
            "n": self.n,
            "per_fold": [
                {"fold": name} | (found.to_json() if found else {"n": 0}) for name, found in self.per_fold.items()
            ],
            "pooled": self.pooled.to_json(),
        }


def summarise(probabilities: Float[np.ndarray, "n C"], tested: OutOfFold, seed: int = 0) -> Summary | None:
    """Figures of a model; None where it predicted no case.

    Parameters
    ----------
    probabilities
        (n, C), NaN rows for the cases that the model could not predict.
    """
    rows = ~np.isnan(probabilities).any(axis=1)
    if not rows.any():
        return None
    mine, cases = probabilities[rows], tested.only(rows)
    per_fold = {
        name: figures(mine[here], cases.labels[here], resamples=0) if here.any() else None
        for name, here in _folds(cases)
    }
    pooled = figures(mine, cases.labels, patients=cases.patients, seed=seed)
    points = {name: _mean([getattr(f, name) for f in per_fold.values() if f is not None]) for name in FOLD_MEANS}
    drawn = fold_draws(mine, cases, seed)
    ci95 = {
        name: interval_of(name, drawn[name], point)
        for name, point in points.items()
        if point is not None and known(drawn[name])
    }
    whole = {name: getattr(pooled, name) for name in POOLED}
    return Summary(points | whole, ci95 | {"ece": pooled.ci95["ece"]}, pooled, per_fold, int(rows.sum()))


def _folds(cases: OutOfFold) -> list[tuple[str, Bool[np.ndarray, " n"]]]:
    return [(name, cases.fold_of == k) for k, name in enumerate(cases.fold_names)]


def _mean(values: list[float | None]) -> float | None:
    defined = [value for value in values if value is not None]
    return float(np.mean(defined)) if defined else None


def fold_draws(
    probabilities: Float[np.ndarray, "n C"], cases: OutOfFold, seed: int
) -> dict[str, Float[np.ndarray, " R"]]:
    """Means of the folds in each resample; the same cases and seed draw the same patients, so that models pair."""
    parts = [
        bootstrap_figures(probabilities[here], cases.labels[here], cases.patients[here], seed + 7919 * k)
        for k, (_, here) in enumerate(_folds(cases))
        if here.any()
    ]
    return {name: _mean_known(np.stack([part[name] for part in parts])) for name in FOLD_MEANS}


def _mean_known(values: Float[np.ndarray, "F R"]) -> Float[np.ndarray, " R"]:
    """Mean over the folds in which a figure is defined."""
    defined = ~np.isnan(values)
    count = defined.sum(axis=0)
    mean: np.ndarray = np.where(count, np.where(defined, values, 0).sum(axis=0) / np.maximum(count, 1), np.nan)
    return mean


@dataclass(frozen=True)
class Difference:
    """Model minus baseline in one figure; ``p``: two-sided share of resamples on the other side of 0."""

    difference: float
    ci95: tuple[float, float]
    p: float


@dataclass(frozen=True)
class Comparison:
    """A model against one baseline on the ``n`` cases that both predicted.

    McNemar's exact test is on the cases that only one of them calls right.
    """

    baseline: str
    n: int
    differences: Mapping[str, Difference]
    only_model_right: int
    only_baseline_right: int
    mcnemar_p: float

    def to_json(self) -> dict[str, Any]:
        """Plain numbers."""
        differences = {
            name: {"difference": d.difference, "ci95": list(d.ci95), "p": d.p} for name, d in self.differences.items()
        }
        return {
            "baseline": self.baseline,
            "n": self.n,
            **differences,
            "mcnemar": {
                "only_model_right": self.only_model_right,
                "only_baseline_right": self.only_baseline_right,
                "p": self.mcnemar_p,
            },
        }


def compare_with_best(
    model: Float[np.ndarray, "n C"],
    baselines: Mapping[str, Float[np.ndarray, "n C"]],
    tested: OutOfFold,
    seed: int = 0,
) -> Comparison | None:
    """The model against the baseline of largest AUC (accuracy, where no AUC is defined) on the cases they share.

    That baseline is the best by chance too, being chosen on these very cases: the comparison leans against the model.
    """
    ranked = [(rank, name) for name, other in baselines.items() if (rank := _rank(model, other, tested)) is not None]
    if not ranked:
        return None
    best = max(ranked)[1]
    return compare(model, baselines[best], tested, best, seed)


def _rank(
    model: Float[np.ndarray, "n C"], other: Float[np.ndarray, "n C"], tested: OutOfFold
) -> tuple[float, float] | None:
    rows = _both_known(model, other)
    if not rows.any():
        return None
    cases = tested.only(rows)
    found = [figures(other[rows][here], cases.labels[here], resamples=0) for _, here in _folds(cases) if here.any()]
    area, accuracy = _mean([f.auc for f in found]), _mean([f.accuracy for f in found])
    return (-1.0 if area is None else area), accuracy or 0.0


def compare(
    model: Float[np.ndarray, "n C"], other: Float[np.ndarray, "n C"], tested: OutOfFold, name: str = "", seed: int = 0
) -> Comparison:
    """Paired differences (means of the folds) with intervals by patient, and McNemar's test.

    Raises
    ------
    InputError
        No case that both predicted.
    """
    rows = _both_known(model, other)
    if not rows.any():
        raise InputError(f"Comparison with {name}: expected cases that both models predict, found none.")
    cases, pair = tested.only(rows), (model[rows], other[rows])
    draws = [fold_draws(p, cases, seed) for p in pair]
    points = [_fold_means(p, cases) for p in pair]
    differences = {
        figure: _difference(mine - others, draws[0][figure] - draws[1][figure])
        for figure in FOLD_MEANS
        if (mine := points[0][figure]) is not None and (others := points[1][figure]) is not None
    }
    right = [p.argmax(axis=1) == cases.labels for p in pair]
    mine_only, other_only = int((right[0] & ~right[1]).sum()), int((right[1] & ~right[0]).sum())
    discordant = mine_only + other_only
    p = float(binomtest(mine_only, discordant).pvalue) if discordant else 1.0
    return Comparison(name, int(rows.sum()), differences, mine_only, other_only, p)


def _both_known(model: Float[np.ndarray, "n C"], other: Float[np.ndarray, "n C"]) -> Bool[np.ndarray, " n"]:
    rows: np.ndarray = ~(np.isnan(model) | np.isnan(other)).any(axis=1)
    return rows


def _fold_means(probabilities: Float[np.ndarray, "n C"], cases: OutOfFold) -> dict[str, float | None]:
    found = [figures(probabilities[here], cases.labels[here], resamples=0) for _, here in _folds(cases) if here.any()]
    return {name: _mean([getattr(f, name) for f in found]) for name in FOLD_MEANS}


def _difference(point: float, drawn: Float[np.ndarray, " R"]) -> Difference:
    defined = drawn[~np.isnan(drawn)]
    low, high = np.percentile(defined, (2.5, 97.5))
    tail = min((defined <= 0).mean(), (defined >= 0).mean())
    return Difference(point, (float(low), float(high)), float(min(1.0, 2 * max(tail, 1 / len(defined)))))
