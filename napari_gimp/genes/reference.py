"""What a checkpoint remembers of its training profiles, and profiles changed by a what-if. Loads no torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import NormalDist

import numpy as np
from jaxtyping import Float, Int

from napari_gimp.genes.detect import gene_key
from napari_gimp.settings import InputError
from napari_gimp.types import AlignedGenes, GeneEdit, GeneGroup, Profile, Scale

UNITS: Mapping[Scale, str] = {
    "log": "log2(x+1)",
    "linear": "log2(x+1)",
    "counts": "log2(n+1)",
    "zscore": "z",
}
"""Working scale -> unit of an expression value."""


@dataclass(frozen=True, eq=False)
class GeneReference:
    """A checkpoint's genes and how the training profiles were, in its working scale.

    Parameters
    ----------
    checkpoint
        Its name, for what is said to the user.
    genes
        G names, in the model's order.
    mean, sd
        (G,) of the training profiles; ``sd`` is infinite for a gene that was constant in training.
    scale
        Working scale.
    groups
        The model's gene groups; a gene may stand in several.
    """

    checkpoint: str
    genes: tuple[str, ...]
    mean: Float[np.ndarray, " G"]
    sd: Float[np.ndarray, " G"]
    scale: Scale
    groups: tuple[GeneGroup, ...] = ()

    @cached_property
    def place(self) -> Mapping[str, int]:
        """Gene -> its index."""
        return {gene: k for k, gene in enumerate(self.genes)}

    @property
    def unit(self) -> str:
        """Unit of an expression value."""
        return UNITS[self.scale]

    @cached_property
    def groups_of(self) -> Mapping[str, tuple[str, ...]]:
        """Gene -> names of the groups that it stands in."""
        found: dict[str, list[str]] = {}
        for group in self.groups:
            for gene in dict.fromkeys(group.genes):
                found.setdefault(gene, []).append(group.name)
        return {gene: tuple(names) for gene, names in found.items()}

    def index(self, edit: GeneEdit) -> Int[np.ndarray, " n"]:
        """Which genes an edit changes.

        Raises
        ------
        InputError
            The model knows no such gene or group.
        """
        if not edit.is_group:
            return np.array([self._gene(edit.target)])
        group = next((group for group in self.groups if group.name == edit.target), None)
        if group is None:
            raise InputError(
                f"{self.checkpoint} has no gene group {edit.target!r}: expected one of its {len(self.groups)} groups;"
                " choose one from the list."
            )
        return np.array([self.place[gene] for gene in dict.fromkeys(group.genes)], int)

    def _gene(self, name: str) -> int:
        if name not in self.place:
            raise InputError(
                f"{self.checkpoint} does not know gene {name!r}: expected one of its {len(self.genes)} genes; choose"
                " one from the list."
            )
        return self.place[name]

    def value(self, edit: GeneEdit) -> Float[np.ndarray, " n"]:
        """The expression that an edit gives to its genes, in working scale; never below 0 where that is none.

        Raises
        ------
        InputError
            Silence on z-scores, in which no value means that a gene is not expressed.
        """
        index = self.index(edit)
        if edit.kind == "silence":
            return np.zeros(len(index)) if self.scale != "zscore" else self._refuse_silence(edit)
        mean: Float[np.ndarray, " n"] = self.mean[index].astype(np.float64)
        if edit.kind == "mean":
            return mean
        if edit.kind == "value":
            return np.full(len(index), float(edit.amount or 0))
        spread = np.where(np.isfinite(self.sd[index]), self.sd[index], 0).astype(np.float64)
        found: np.ndarray = mean + spread * NormalDist().inv_cdf(float(edit.amount or 50) / 100)
        return found if self.scale == "zscore" else np.maximum(found, 0)

    def _refuse_silence(self, edit: GeneEdit) -> Float[np.ndarray, " n"]:
        raise InputError(
            f"What-if on {edit.target}: {self.checkpoint} takes z-scores, in which no value means 'not expressed';"
            " expected a percentile, the training mean or a value."
        )

    def changed(self, genes: AlignedGenes, edits: Sequence[GeneEdit]) -> AlignedGenes:
        """A profile with the edits, one after the other; which genes were measured, and coverage, stay as they are.

        Raises
        ------
        InputError
            A gene, group or kind that does not fit.
        """
        values = genes.values.copy()
        for edit in edits:
            values[self.index(edit)] = self.value(edit).astype(values.dtype)
        return replace(genes, values=values, notes=(*genes.notes, *self.remarks(genes, edits)))

    def remarks(self, genes: AlignedGenes, edits: Sequence[GeneEdit]) -> tuple[str, ...]:
        """What is to be said of the edits: genes that the profile lacks, genes that cannot move the model."""
        said = []
        for edit in edits:
            index = self.index(edit)
            lacks, still = np.isnan(genes.values[index]).sum(), np.isinf(self.sd[index]).sum()
            if lacks:
                which = f"{lacks} of {len(index)} genes of {edit.target} are" if edit.is_group else f"{edit.target} is"
                said.append(
                    f"{which} missing in profile {genes.sample}: the model takes the training mean there, and this"
                    " what-if a number that nobody measured."
                )
            if still:
                which = f"{still} of {len(index)} genes of {edit.target}" if edit.is_group else edit.target
                said.append(f"{which}: constant in the training profiles, so nothing that it does can move the model.")
        return tuple(dict.fromkeys(said))


def symbols_of(profile: Profile | None, genes: Sequence[str]) -> dict[str, str]:
    """Gene of a checkpoint -> its symbol, where the profile's file knows one that no other of the genes has."""
    if profile is None or not profile.symbols:
        return {}
    by_key = {gene_key(name): symbol for name, symbol in profile.symbols.items() if symbol}
    found = {gene: by_key[key] for gene in genes if (key := gene_key(gene)) in by_key}
    often = Counter(found.values())
    return {gene: symbol for gene, symbol in found.items() if often[symbol] == 1 and symbol != gene}
