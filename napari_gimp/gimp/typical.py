"""How unlike the training cases a case is: its distance in embedding space, as a share of them that is nearer.

Probabilistic PCA (Tipping and Bishop 1999) of the cases' mean embeddings: along the leading components a distance
counts in their own standard deviations, across all others in that of the rest.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

COMPONENTS = 32
FOLDS = 5
FEWEST = 20
"""Cases below which nothing is said."""


@dataclass(frozen=True, eq=False)
class Typical:
    """The training cases as a distribution.

    Parameters
    ----------
    mean, axes
        (D,) and (k, D): axes are divided by their standard deviations.
    rest_sd
        Standard deviation of a dimension beside the axes.
    distances
        (n,) distance of each training case from the others (out of fold), ascending.
    """

    mean: Float[np.ndarray, " D"]
    axes: Float[np.ndarray, "k D"]
    rest_sd: float
    distances: Float[np.ndarray, " n"]

    def distance(self, values: Float[np.ndarray, "m D"]) -> Float[np.ndarray, " m"]:
        """Distance of mean embeddings in standard deviations."""
        return _distance(values, self.mean, self.axes, self.rest_sd)

    def share_nearer(self, value: Float[np.ndarray, " D"]) -> float:
        """Share of the training cases that are nearer to the others than this case: 0 typical, 1 unlike all."""
        return float(np.searchsorted(self.distances, self.distance(value[None])[0]) / len(self.distances))


def fit_typical(values: Float[np.ndarray, "n D"], seed: int = 0) -> Typical | None:
    """Fit to the mean embeddings of training cases; None for fewer than 20 cases or embeddings that never differ.

    The distances of the training cases themselves are taken out of fold: a case is not held against itself.
    """
    values = values.astype(np.float64)
    if len(values) < FEWEST or not values.std():
        return None
    fold = np.random.default_rng(seed).permutation(len(values)) % FOLDS
    distances = np.empty(len(values))
    for k in range(FOLDS):
        distances[fold == k] = _distance(values[fold == k], *_fit(values[fold != k]))
    mean, axes, rest_sd = _fit(values)
    return Typical(mean, axes, rest_sd, np.sort(distances))


def _fit(values: Float[np.ndarray, "n D"]) -> tuple[Float[np.ndarray, " D"], Float[np.ndarray, "k D"], float]:
    mean = values.mean(axis=0)
    _, singular, right = np.linalg.svd(values - mean, full_matrices=False)
    sd = singular / np.sqrt(len(values) - 1)
    k = min(COMPONENTS, len(values) // 8, values.shape[1] - 1)
    dimensions = values.shape[1] - k
    rest = np.sqrt(np.square(sd[k:]).sum() / dimensions)
    rest_sd = float(max(rest, 1e-6 * sd[0]))
    return mean, right[:k] / np.maximum(sd[:k], rest_sd)[:, None], rest_sd


def _distance(
    values: Float[np.ndarray, "m D"], mean: Float[np.ndarray, " D"], axes: Float[np.ndarray, "k D"], rest_sd: float
) -> Float[np.ndarray, " m"]:
    centred = values - mean
    along = centred @ axes.T
    unit = axes / np.linalg.norm(axes, axis=1, keepdims=True)
    across = np.square(centred).sum(axis=1) - np.square(centred @ unit.T).sum(axis=1)
    found: np.ndarray = np.sqrt(np.square(along).sum(axis=1) + np.maximum(across, 0) / rest_sd**2)
    return found
