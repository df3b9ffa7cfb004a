"""Prediction -> rows of genes and the bars of what they add: pure arrays and words, no window."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int

from napari_gimp.genes import GeneReference
from napari_gimp.genes.reference import UNITS
from napari_gimp.types import Prediction, Scale

GENE, VALUE, Z, ATTRIBUTION, GROUP = range(5)
ROUGH = 0.05
"""Completeness error from which attributions are called rough."""
MISSING = "missing"
MORE = "…"


@dataclass(frozen=True)
class Bar:
    """A bar: its name, its length in logits with a sign, what else is to be said of it."""

    name: str
    value: float
    more: str = ""


@dataclass(frozen=True, eq=False)
class GeneTable:
    """The genes of a result as columns.

    Parameters
    ----------
    prediction
        With a profile and its attribution.
    unit
        Of the expression values.
    symbols
        Gene -> what readers call it, where that is something else.
    """

    prediction: Prediction
    unit: str
    symbols: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(
        cls, prediction: Prediction, scale: Scale | None, symbols: Mapping[str, str] | None = None
    ) -> GeneTable | None:
        """None for an image-only result."""
        if prediction.gene_attribution is None or prediction.expression is None or scale is None:
            return None
        return cls(prediction, UNITS[scale], symbols or {})

    def __len__(self) -> int:
        return len(self.prediction.genes)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Each gene as readers call it."""
        return tuple(self.symbols.get(gene, gene) for gene in self.prediction.genes)

    @property
    def headings(self) -> tuple[str, ...]:
        """One a column, with units."""
        return ("gene", f"value\n{self.unit}", "z", "adds\nlogit", "group")

    @property
    def headline(self) -> str:
        """The most probable class."""
        values = self.prediction.probabilities[self.prediction.modality]
        return self.prediction.classes[int(values.argmax())]

    @cached_property
    def _values(self) -> Float[np.ndarray, " G"]:
        assert self.prediction.expression is not None  # checked when made
        return self.prediction.expression

    @cached_property
    def _z(self) -> Float[np.ndarray, " G"]:
        assert self.prediction.gene_z is not None  # comes with the attribution
        return self.prediction.gene_z

    def attribution(self, name: str) -> Float[np.ndarray, " G"]:
        """What each gene adds to the logit of a class."""
        assert self.prediction.gene_attribution is not None  # checked when made
        return np.asarray(self.prediction.gene_attribution[self.prediction.classes.index(name)])

    @cached_property
    def groups(self) -> tuple[str, ...]:
        """The groups of each gene, in words."""
        found: dict[str, str] = {}
        for group in self.prediction.groups:
            for gene in dict.fromkeys(group.genes):
                found[gene] = f"{found[gene]}, {group.name}" if gene in found else group.name
        return tuple(found.get(gene, "") for gene in self.prediction.genes)

    @cached_property
    def _members(self) -> tuple[Int[np.ndarray, " n"], ...]:
        """Which genes stand in each group."""
        place = {gene: k for k, gene in enumerate(self.prediction.genes)}
        return tuple(np.array([place[gene] for gene in dict.fromkeys(g.genes)], int) for g in self.prediction.groups)

    @cached_property
    def _folded(self) -> tuple[str, ...]:
        return tuple(
            "\n".join(each).casefold() for each in zip(self.prediction.genes, self.names, self.groups, strict=True)
        )

    def order(self, column: int, descending: bool, of: str, search: str = "") -> Int[np.ndarray, " n"]:
        """Which genes, in which order; numbers by size where they have a sign, missing values last.

        Parameters
        ----------
        of
            The class whose attribution counts.
        search
            Part of a gene's or a group's name; upper and lower case alike.
        """
        wanted = search.strip().casefold()
        rows = np.array([k for k, text in enumerate(self._folded) if wanted in text], int)
        if column in (GENE, GROUP):
            names = self.names if column == GENE else self.groups
            ranked = np.array(sorted(rows.tolist(), key=lambda k: names[k]), int)
            return ranked[::-1] if descending else ranked
        by = {VALUE: self._values, Z: np.abs(self._z), ATTRIBUTION: np.abs(self.attribution(of))}[column][rows]
        placed = np.where(np.isnan(by), np.inf, -by if descending else by)
        return rows[np.argsort(placed, kind="stable")]

    def cell(self, gene: int, column: int, of: str) -> str:
        """A cell as it is read."""
        if column == GENE:
            return self.names[gene]
        if column == GROUP:
            return self.groups[gene]
        missing = bool(np.isnan(self._values[gene]))
        if column == VALUE:
            return MISSING if missing else f"{self._values[gene]:.2f}"
        if column == Z:
            return "–" if missing else f"{self._z[gene]:+.2f}"
        return f"{self.attribution(of)[gene]:+.4f}"

    def top_genes(self, of: str, count: int) -> tuple[Bar, ...]:
        """The genes that add most to a class, for or against it, largest first."""
        added = self.attribution(of)
        best = np.argsort(-np.abs(added), kind="stable")[:count]
        return tuple(
            Bar(self.names[k], float(added[k]), f"{self.prediction.genes[k]}, z {self.cell(k, Z, of)}") for k in best
        )

    def group_bars(self, of: str) -> tuple[Bar, ...]:
        """What the genes of each group add together, largest first; a gene in several groups counts in each."""
        added, attended = self.attribution(of), self.prediction.group_attention
        bars = []
        for k, group in enumerate(self.prediction.groups):
            members = self._members[k]
            share = "" if attended is None else f", attention {attended[k]:.0%}"
            bars.append(Bar(group.name, float(added[members].sum()), f"{len(members)} genes{share}"))
        return tuple(sorted(bars, key=lambda bar: -abs(bar.value)))

    def completeness(self, of: str) -> str:
        """How far the attributions of a class are from adding up to what they should, in one sentence."""
        error = self.prediction.attribution_error
        if error is None:
            return ""
        share = float(error[self.prediction.classes.index(of)])
        total = float(self.attribution(of).sum())
        said = (
            f"All genes together add {total:+.3f} to the logit of {of}, against a profile at the training mean;"
            f" completeness error {_percent(share)}"
        )
        return f"{said}: only a rough guide." if share > ROUGH else f"{said}."

    @property
    def coverage(self) -> str:
        """How much of the model's genes the profile has."""
        lacking = int(np.isnan(self._values).sum())
        have, total = len(self) - lacking, len(self)
        rest = "; the training mean stands in for the others" if lacking else ""
        return f"Profile {self.prediction.sample}: {have} of {total} genes of the model ({have / total:.0%}){rest}."


def _percent(share: float) -> str:
    return "below 0.1 %" if share < 0.001 else f"{100 * share:.1f} %"


def slider_range(reference: GeneReference, target: str, is_group: bool) -> tuple[float, float]:
    """Values that a slider offers for a gene or group: four standard deviations round the training mean, 0 included."""
    genes = next(group.genes for group in reference.groups if group.name == target) if is_group else (target,)
    index = [reference.place[gene] for gene in genes]
    mean, sd = reference.mean[index], np.where(np.isfinite(reference.sd[index]), reference.sd[index], 0)
    low = 0.0 if reference.scale != "zscore" else float((mean - 4 * sd).min())
    return low, max(low + 1, float((mean + 4 * sd).max()))
