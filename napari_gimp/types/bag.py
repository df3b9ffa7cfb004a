"""The embeddings of a slide."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from napari_gimp.settings import InputError
from napari_gimp.types.patches import PatchGrid


@dataclass(frozen=True, eq=False)
class Bag:
    """The embeddings of a slide's patches: only real ones; patches that would not decode stand in ``missing_yx``.

    Parameters
    ----------
    features
        (N, D) float32, finite.
    grid
        Their places, or None for a file without coordinates (it can be trained on, never mapped).
    encoder
        Identifier of what made the features, None where the file does not name it.
    fingerprint
        Hash of everything that the features depend on, None for a foreign file.
    missing_yx
        Corners (M, 2) of the patches that could not be read.
    """

    slide: str
    features: Float[np.ndarray, "N D"]
    grid: PatchGrid | None
    encoder: str | None
    fingerprint: str | None = None
    missing_yx: Int[np.ndarray, "M 2"] = field(default_factory=lambda: np.empty((0, 2), np.int64))
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.features.ndim != 2 or self.features.dtype != np.float32:
            raise InputError(f"{self.slide}: expected float32 features (patches, width), found {self.features.shape}.")
        bad = int((~np.isfinite(self.features).all(axis=1)).sum())
        if bad:
            raise InputError(
                f"{self.slide}: expected finite features, found NaN or infinity in {bad} of {len(self.features)}"
                " patches; embed the slide again."
            )
        if self.grid is not None and len(self.grid) != len(self.features):
            raise InputError(f"{self.slide}: {len(self.features)} features but {len(self.grid)} coordinates.")

    def __len__(self) -> int:
        return len(self.features)

    @property
    def cells(self) -> Int[np.ndarray, "N 2"]:
        """Rows and columns for position encoding; the scan index in one row where there are no coordinates."""
        if self.grid is not None:
            return self.grid.cells
        return np.stack([np.zeros(len(self), np.int64), np.arange(len(self))], axis=1)
