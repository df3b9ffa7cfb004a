"""Figures of classes beside each other."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float


def against_others(rows: Float[np.ndarray, "C n"]) -> Float[np.ndarray, "C n"]:
    """What speaks for each class: its row less the mean of the other classes' rows.

    Probabilities depend on differences of logits alone: what raises all of them speaks for none.
    """
    others = (rows.sum(axis=0, keepdims=True) - rows) / max(1, len(rows) - 1)
    found: np.ndarray = rows - others
    return found
