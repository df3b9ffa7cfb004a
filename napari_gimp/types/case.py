"""Patients, and what a model learns from each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from napari_gimp.settings import InputError


@dataclass(frozen=True)
class Case:
    """A patient: one or more slides, perhaps a profile, perhaps a label and a site."""

    case_id: str
    slide_ids: tuple[str, ...]
    label: str | None = None
    site: str | None = None


@dataclass(frozen=True, eq=False)
class Sample:
    """What the model learns from: one case in numbers. Either input may be None, not both.

    embeddings (N, D) float32, cells (N, 2) int64, expression (G,) float32 in working scale with NaN = missing gene.
    """

    case_id: str
    embeddings: Float[np.ndarray, "N D"] | None
    cells: Int[np.ndarray, "N 2"] | None
    expression: Float[np.ndarray, " G"] | None
    label: int | None = None

    def __post_init__(self) -> None:
        if self.embeddings is None and self.expression is None:
            raise InputError(f"Case {self.case_id}: expected patches or a profile, found neither.")
        if (self.embeddings is None) != (self.cells is None):
            raise InputError(f"Case {self.case_id}: patches and their cells come together or not at all.")
