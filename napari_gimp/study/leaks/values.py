"""Do the exact values that genes repeat (floors, constants) differ between the classes?

A floor is one value for all cases of one table. Where "not expressed" is one number in one class and another number in
the other, the tables were made apart, and a rule on those numbers alone tells the classes. An honest floor may be
commoner in one class, but no case of another class lies below it (or above a ceiling).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.stats import hypergeom

LEAST_COPIES = 3
STANDS_OUT = 3
"""A constant is at least this many times as frequent as the values next to it: counts repeat values by nature."""
EXCLUSIVE = 0.95
"""Share of a constant's cases that are of one class."""
SHOWN = 5
SIGNIFICANCE = 1e-3
"""Of all constants of the table together (Bonferroni)."""


@dataclass(frozen=True, eq=False)
class Constant:
    """A value that a gene repeats: which cases hold it, and how they divide into classes.

    ``is_extreme``: no case of another class lies lower (or none higher), as with an honest floor (or ceiling).
    """

    gene: int
    value: float
    cases: Int[np.ndarray, " m"]
    counts: Int[np.ndarray, " C"]
    is_extreme: bool

    @property
    def owner(self) -> int:
        """The class that most of its cases are of."""
        return int(self.counts.argmax())


def value_leak(
    values: Float[np.ndarray, "n G"], labels: Int[np.ndarray, " n"], genes: Sequence[str], classes: Sequence[str]
) -> str | None:
    """The sentence that names the genes whose constants differ between the classes, None where there are none."""
    totals = np.bincount(labels, minlength=len(classes))
    if (totals > 0).sum() < 2:
        return None
    constants = [c for gene in _repeating(values) for c in _constants(values[:, gene], gene, labels, totals)]
    chance = _by_chance(constants, totals)
    surest = [constants[i] for i in np.argsort(chance, kind="stable") if chance[i] < SIGNIFICANCE / len(constants)]
    exclusive = [c for c in surest if c.counts.max() >= EXCLUSIVE * c.counts.sum()]
    telling = {c.gene: c for c in reversed(exclusive) if not c.is_extreme}
    if not telling:
        return None
    rule = [c for c in exclusive if c.gene in telling]
    told = _told(rule, labels, len(classes))
    return _sentence(list(reversed(telling.values())), told, len(labels), genes, classes)


def _by_chance(constants: Sequence[Constant], totals: Int[np.ndarray, " C"]) -> Float[np.ndarray, " c"]:
    """How likely as many of a constant's cases, drawn without regard to class, are of its owner or of another class."""
    if not constants:
        return np.empty(0)
    counts = np.stack([c.counts for c in constants])
    owner = counts.argmax(axis=1)
    tail = hypergeom.sf(counts.max(axis=1) - 1, totals.sum(), totals[owner], counts.sum(axis=1))
    chance: np.ndarray = tail * len(totals)
    return chance


def _repeating(values: Float[np.ndarray, "n G"]) -> Iterator[int]:
    """Genes that hold some value often enough."""
    if len(values) < LEAST_COPIES:
        return
    ordered = np.sort(values, axis=0)
    repeats = (ordered[LEAST_COPIES - 1 :] == ordered[: 1 - LEAST_COPIES]).any(axis=0)
    yield from (int(gene) for gene in np.flatnonzero(repeats))


def _constants(
    column: Float[np.ndarray, " n"], gene: int, labels: Int[np.ndarray, " n"], totals: Int[np.ndarray, " C"]
) -> Iterator[Constant]:
    known = np.flatnonzero(~np.isnan(column))
    distinct, place, count = np.unique(column[known], return_inverse=True, return_counts=True)
    for k in np.flatnonzero(_stand_out(count)):
        cases = known[place == k]
        counts = np.bincount(labels[cases], minlength=len(totals))
        owner = counts.argmax()
        others = column[known[labels[known] != owner]]
        between = (others < distinct[k]).any() and (others > distinct[k]).any()
        yield Constant(gene, float(distinct[k]), cases, counts, not between)


def _stand_out(count: Int[np.ndarray, " v"]) -> Bool[np.ndarray, " v"]:
    """Values that are more frequent than chance repeats them: than their neighbours in order, two on each side."""
    padded = np.pad(count, 2)
    around = np.stack([padded[shift : shift + len(count)] for shift in (0, 1, 3, 4)])
    # a neighbour may be a constant too (the other class's floor): the second largest of the four counts
    stand: np.ndarray = (count >= LEAST_COPIES) & (count >= STANDS_OUT * np.sort(around, axis=0)[-2])
    return stand


def _told(rule: Sequence[Constant], labels: Int[np.ndarray, " n"], classes: int) -> int:
    """How many cases the constants alone put into their class, by majority of the constants that they hold."""
    votes = np.zeros((len(labels), classes))
    for constant in rule:
        votes[constant.cases, constant.owner] += 1
    return int(((votes.argmax(axis=1) == labels) & votes.any(axis=1)).sum())


def _sentence(telling: Sequence[Constant], told: int, cases: int, genes: Sequence[str], classes: Sequence[str]) -> str:
    """``telling``: one constant a gene, the surest first."""
    named = ", ".join(
        f"{genes[c.gene]} ({c.value:.4g} in {c.counts[c.owner]} {classes[c.owner]} and"
        f" {c.counts.sum() - c.counts[c.owner]} other cases)"
        for c in telling[:SHOWN]
    )
    more = f" and {len(telling) - SHOWN} more" if len(telling) > SHOWN else ""
    return (
        f"leak check (values): exact values that {len(telling)} of {len(genes)} genes repeat differ between the"
        f" classes: {named}{more}; these values alone tell the class of {told} of {cases} cases: use a table in which"
        " all classes were processed together."
    )
