"""Linear heads fitted whole instead of by gradient steps: regularised logistic regression (scikit-learn)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from sklearn.linear_model import LogisticRegression
from torch import nn

SD_FLOOR = 0.1
"""A feature that hardly varies is scaled by this share of the mean sd: else its weight would run away."""


@dataclass(frozen=True, eq=False)
class LinearFit:
    """Logits = features @ weight.T + bias; ``weight`` (C, F), ``bias`` (C,)."""

    weight: Float[np.ndarray, "C F"]
    bias: Float[np.ndarray, " C"]

    def logits(self, features: Float[np.ndarray, "n F"]) -> Float[np.ndarray, "n C"]:
        """Of raw features."""
        found: np.ndarray = features @ self.weight.T + self.bias
        return found

    def fill(self, layer: nn.Linear) -> None:
        """Put weight and bias into a layer of that shape."""
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(self.weight))
            if layer.bias is not None:
                layer.bias.copy_(torch.from_numpy(self.bias))


def fit_linear(
    features: Float[np.ndarray, "n F"],
    labels: Int[np.ndarray, " n"],
    weights: Float[np.ndarray, " n"],
    *,
    classes: int,
    c: float,
) -> LinearFit:
    """Multinomial logistic regression on standardised features, written for the raw ones.

    Parameters
    ----------
    features
        (n, F), finite.
    labels
        Class indices; every class below ``classes`` occurs.
    weights
        How much each case counts; their mean should be 1, so that ``c`` means the same for any cohort.
    c
        Inverse strength of the L2 penalty.
    """
    values = features.astype(np.float64)
    mean, sd = values.mean(axis=0), values.std(axis=0)
    sd = np.maximum(sd, SD_FLOOR * sd.mean() + np.finfo(float).tiny)
    model = LogisticRegression(C=c, max_iter=1000).fit((values - mean) / sd, labels, sample_weight=weights)
    weight, bias = model.coef_ / sd, model.intercept_
    if classes == 2:
        weight, bias = np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
    return LinearFit(weight.astype(np.float32), (bias - weight @ mean).astype(np.float32))


def case_weights(
    labels: Int[np.ndarray, " n"], sites: Sequence[str | None], power: float = 0.5
) -> Float[np.ndarray, " n"]:
    """n_site^-power of each case, then every class the same sum; mean 1 (METHOD section 9).

    A case without a site counts as a site of its own.
    """
    names = np.array([site if site is not None else f"\0{i}" for i, site in enumerate(sites)])
    _, place, count = np.unique(names, return_inverse=True, return_counts=True)
    weights = count[place].astype(np.float64) ** -power
    for label in np.unique(labels):
        weights[labels == label] /= weights[labels == label].sum()
    found: np.ndarray = weights / weights.mean()
    return found
