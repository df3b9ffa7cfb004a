"""The gene expression of a sample, as read and as a model takes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np
from jaxtyping import Float

from napari_gimp.settings import InputError

Scale = Literal["counts", "linear", "log", "zscore"]
"""Expression scales: raw counts, linear (TPM, FPKM, RSEM), log2(x + 1), z-score."""


@dataclass(frozen=True, eq=False)
class Profile:
    """The gene expression of one sample as its file gives it.

    ``symbols`` maps identifier -> symbol where the file itself knows (GDC); ``notes`` say aloud what was detected.
    """

    sample: str
    genes: tuple[str, ...]
    values: Float[np.ndarray, " G"]
    scale: Scale
    source: str = "unknown"
    symbols: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(self.genes) != len(self.values):
            raise InputError(f"Profile {self.sample}: {len(self.genes)} gene names but {len(self.values)} values.")
        if self.scale not in get_args(Scale):
            raise InputError(f"Profile {self.sample}: expected scale {get_args(Scale)}, found {self.scale!r}.")


@dataclass(frozen=True, eq=False)
class AlignedGenes:
    """A profile in a checkpoint's gene order and working scale.

    ``values`` (G,) float32 hold NaN where the profile lacks the gene: the model puts the training mean there.
    """

    sample: str
    values: Float[np.ndarray, " G"]
    missing: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @property
    def coverage(self) -> float:
        """Share of the checkpoint's genes that the profile has."""
        return 1 - len(self.missing) / max(1, len(self.values))


@dataclass(frozen=True)
class GeneGroup:
    """A gene group of a model: its name and the genes of its fragments. A gene may stand in several groups."""

    name: str
    fragments: tuple[tuple[str, ...], ...]

    @property
    def genes(self) -> tuple[str, ...]:
        """The genes of all fragments, in order."""
        return tuple(gene for fragment in self.fragments for gene in fragment)
