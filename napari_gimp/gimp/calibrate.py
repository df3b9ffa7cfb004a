"""Temperatures: how far logits are to be trusted, from cases that were not trained on (Guo et al., ICML 2017)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

from napari_gimp.gimp.evaluate import calibration_error
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
        By modality, 1 where none was kept.
    ece
        Modality -> calibration error before and after, on the cases that the temperatures were fitted on.
    n
        Modality -> how many cases.
    source
        Which cases those are.
    """

    temperatures: Mapping[Modality, float]
    ece: Mapping[Modality, tuple[float, float]] = field(default_factory=dict)
    n: Mapping[Modality, int] = field(default_factory=dict)
    source: str = ""

    def to_json(self) -> dict[str, Any]:
        """For a checkpoint's card."""
        return {
            "temperatures": dict(self.temperatures),
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
    fitted = _Fitted(labels)
    for name in MODALITIES:
        if name in logits:
            fitted.add(name, logits[name], always=False)
    return fitted.result(source)


def calibrate_sum(logits: Logits, labels: Int[np.ndarray, " n"], source: str) -> Calibration:
    """Temperatures for logits that are added (`SumHead`): they weigh image against genes, so each is kept.

    The sum gets a third one where that is clearly better. Arguments as of `calibrate`; ``both`` is made here.
    """
    fitted = _Fitted(labels)
    parts = [fitted.add(name, logits[name], always=True) for name in ("image", "genes") if name in logits]
    if len(parts) == 2:
        fitted.add("both", parts[0] + parts[1], always=False)
    return fitted.result(source)


class _Fitted:
    """Temperatures found so far."""

    def __init__(self, labels: Int[np.ndarray, " n"]) -> None:
        self.labels = labels
        self.temperatures: dict[Modality, float] = dict.fromkeys(MODALITIES, 1.0)
        self.ece: dict[Modality, tuple[float, float]] = {}
        self.n: dict[Modality, int] = {}

    def add(self, name: Modality, logits: Float[np.ndarray, "n C"], always: bool) -> Float[np.ndarray, "n C"]:
        """Fit one modality; its calibrated logits."""
        known: Bool[np.ndarray, " n"] = np.isfinite(logits).all(axis=1)
        here, labels = logits[known].astype(np.float64), self.labels[known]
        if len(labels) >= FEWEST:
            temperature = fit_temperature(here, labels)
            if always or is_clearly_better(here, labels, temperature):
                self.temperatures[name] = temperature
            after = softmax(here / self.temperatures[name], axis=1)
            self.ece[name] = calibration_error(softmax(here, axis=1), labels), calibration_error(after, labels)
            self.n[name] = len(labels)
        return logits / self.temperatures[name]

    def result(self, source: str) -> Calibration:
        return Calibration(self.temperatures, self.ece, self.n, source)


def log_likelihood(logits: Float[np.ndarray, "n C"], labels: Int[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Log of the probability (n,) that each case's own class gets."""
    found: np.ndarray = log_softmax(logits, axis=1)[np.arange(len(labels)), labels]
    return found
