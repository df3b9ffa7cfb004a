"""The noun of this room: a matrix of samples x genes on one scale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import get_args

import numpy as np
from jaxtyping import Float

from napari_gimp.genes.barcodes import Barcode, parse_barcode
from napari_gimp.settings import InputError
from napari_gimp.types import Profile, Scale


@dataclass(frozen=True, eq=False)
class Expression:
    """Gene expression of one or more samples as their file gives it.

    Parameters
    ----------
    samples, genes
        Distinct names of the rows (S) and columns (G); Ensembl identifiers stand without their version.
    values
        (S, G) float64 on ``scale``; NaN where the file has no value.
    scale
        "counts", "linear", "log" (log2(x + 1)) or "zscore" (also for values that are only centred: see the notes).
    source
        The format, and the column where it has several.
    symbols
        Identifier -> symbol, where the file or the user's table knows.
    notes
        Sentences for the user: what was detected, merged or left out.
    """

    samples: tuple[str, ...]
    genes: tuple[str, ...]
    values: Float[np.ndarray, "S G"]
    scale: Scale
    source: str = "table"
    symbols: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.values.shape != (len(self.samples), len(self.genes)):
            raise InputError(
                f"Expected values of shape ({len(self.samples)} samples, {len(self.genes)} genes),"
                f" found {self.values.shape}."
            )
        if self.scale not in get_args(Scale):
            raise InputError(f"Expected an expression scale among {', '.join(get_args(Scale))}, found {self.scale!r}.")

    @cached_property
    def rows(self) -> Mapping[str, int]:
        """Sample -> row of ``values``."""
        return {sample: row for row, sample in enumerate(self.samples)}

    @cached_property
    def of_case(self) -> Mapping[str, tuple[Barcode, ...]]:
        """TCGA case -> its samples' barcodes."""
        cases: dict[str, list[Barcode]] = {}
        for barcode in filter(None, map(parse_barcode, self.samples)):
            cases.setdefault(barcode.case, []).append(barcode)
        return {case: tuple(found) for case, found in cases.items()}

    def profile(self, sample: str) -> Profile:
        """The profile of one sample.

        Raises
        ------
        InputError
            The matrix has no such sample.
        """
        if sample not in self.rows:
            raise InputError(
                f"Expected one of the {len(self.samples)} samples of this file ({listed(self.samples)}),"
                f" found {sample!r}; choose one of these."
            )
        values = self.values[self.rows[sample]]
        return Profile(sample, self.genes, values, self.scale, self.source, self.symbols, self.notes)


def listed(names: Sequence[str], most: int = 5) -> str:
    """The first few names in words."""
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")
