"""How far logits are to be trusted, from cases that were not trained on.

Temperatures (Guo et al., ICML 2017) for a head that answers at once; for one that adds what its parts say, weights of
the parts: one temperature each, fitted together (stacking without intercept, Breiman 1996).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import minimize, minimize_scalar
from scipy.special import log_softmax, softmax

from napari_gimp.gimp.evaluate import calibration_error
from napari_gimp.gimp.heads import OF_ANSWER, Part
from napari_gimp.types import MODALITIES, Modality

COOLEST, HOTTEST = 0.05, 20.0
CLEARLY = 2.0
"""A temperature is kept where it improves the likelihood by this many standard errors."""
FEWEST = 20
"""Cases below which no temperature is fitted."""

Logits = Mapping[Modality, Float[np.ndarray, "n C"]]


@dataclass(frozen=True)
class Calibration:
    """What held-out logits say of their own certainty.

    Parameters
    ----------
    temperatures
        By modality, 1 where none was kept; of a head that answers at once.
    ece
        Modality -> calibration error before and after, on the cases that the temperatures were fitted on.
    n
        Modality -> how many cases.
    source
        Which cases those are.
    weights
        Modality -> part -> weight; of a head that adds.
    """

    temperatures: Mapping[Modality, float]
    ece: Mapping[Modality, tuple[float, float]] = field(default_factory=dict)
    n: Mapping[Modality, int] = field(default_factory=dict)
    source: str = ""
    weights: Mapping[Modality, Mapping[Part, float]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """For a checkpoint's card."""
        return {
            "temperatures": dict(self.temperatures),
            "weights": {name: dict(parts) for name, parts in self.weights.items()},
            "ece_before_and_after": {name: list(pair) for name, pair in self.ece.items()},
            "n": dict(self.n),
            "source": self.source,
        }


def fit_temperature(logits: Float[np.ndarray, "n C"], labels: Int[np.ndarray, " n"]) -> float:
    """The temperature T that makes softmax(logits / T) most likely; within 0.05 to 20."""

    def loss(log_t: float) -> float:
        return -float(log_likelihood(logits / np.exp(log_t), labels).mean())

    found = minimize_scalar(loss, bounds=(np.log(COOLEST), np.log(HOTTEST)), method="bounded")
    return float(np.exp(found.x))


def is_clearly_better(logits: Float[np.ndarray, "n C"], labels: Int[np.ndarray, " n"], temperature: float) -> bool:
    """Does a temperature raise the likelihood of the cases by more than chance would?"""
    gain = log_likelihood(logits / temperature, labels) - log_likelihood(logits, labels)
    return bool(gain.mean() > CLEARLY * gain.std() / np.sqrt(len(gain)))


def calibrate(logits: Logits, labels: Int[np.ndarray, " n"], source: str) -> Calibration:
    """One temperature per modality, each kept only where it is clearly better than none.

    Parameters
    ----------
    logits
        Held-out logits (n, C), NaN rows where a case lacks an input.
    """
    temperatures: dict[Modality, float] = dict.fromkeys(MODALITIES, 1.0)
    ece: dict[Modality, tuple[float, float]] = {}
    count: dict[Modality, int] = {}
    for name, rows in logits.items():
        known: np.ndarray = np.all(np.isfinite(rows), axis=1)
        here, mine = rows[known].astype(np.float64), labels[known]
        if len(mine) < FEWEST:
            continue
        temperature = fit_temperature(here, mine)
        if is_clearly_better(here, mine, temperature):
            temperatures[name] = temperature
        before, after = softmax(here, axis=1), softmax(here / temperatures[name], axis=1)
        ece[name] = calibration_error(before, mine), calibration_error(after, mine)
        count[name] = len(mine)
    return Calibration(temperatures, ece, count, source)


def calibrate_parts(
    parts: Mapping[Part, Float[np.ndarray, "n C"]], labels: Int[np.ndarray, " n"], source: str
) -> Calibration:
    """Weights, none negative, that make the sum of the parts most likely: for each answer of a `SumHead` its own.

    Parameters
    ----------
    parts
        Held-out logits (n, C) of each part, NaN rows where a case lacks its input.
    """
    weights: dict[Modality, dict[Part, float]] = {}
    ece: dict[Modality, tuple[float, float]] = {}
    count: dict[Modality, int] = {}
    for name in MODALITIES:
        used = [part for part in OF_ANSWER[name] if part in parts]
        stacked = np.stack([parts[part] for part in used]) if used else np.empty((0, len(labels), 1))
        known: np.ndarray = np.all(np.isfinite(stacked), axis=(0, 2))
        if not used or known.sum() < FEWEST or (name == "both" and set(used) <= {"image"}):
            continue
        found = _stack(stacked[:, known], labels[known])
        before, after = (softmax(np.tensordot(w, stacked[:, known], 1), axis=1) for w in (np.ones(len(used)), found))
        weights[name] = dict(zip(used, found.tolist(), strict=True))
        ece[name] = calibration_error(before, labels[known]), calibration_error(after, labels[known])
        count[name] = int(known.sum())
    return Calibration({}, ece, count, source, weights)


def _stack(parts: Float[np.ndarray, "P n C"], labels: Int[np.ndarray, " n"]) -> Float[np.ndarray, " P"]:
    """Weights of the most likely sum; the likelihood is concave in them."""
    right = np.eye(parts.shape[2])[labels]

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        logits = np.tensordot(weights, parts, 1)
        gap = softmax(logits, axis=1) - right
        return -float(log_likelihood(logits, labels).mean()), (parts * gap).sum(axis=(1, 2)) / len(labels)

    start = np.full(len(parts), 1 / len(parts))
    found = minimize(loss, start, jac=True, bounds=[(0, 1 / COOLEST)] * len(parts), method="L-BFGS-B")
    weights: np.ndarray = found.x
    return weights


def log_likelihood(logits: Float[np.ndarray, "n C"], labels: Int[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Log of the probability (n,) that each case's own class gets."""
    found: np.ndarray = log_softmax(logits, axis=1)[np.arange(len(labels)), labels]
    return found
