"""Were the classes scaled apart?

Three signs, each far from what one table gives. (1) Nearly all genes of a class lie higher, or spread wider, by much:
another unit or transform. (2) The classes' means agree better than a random division into classes would make them: each
class was centred by itself. (3) The genes' distributions differ in shape between the classes but not in the mean:
centred apart on more cases than are here, or by reference cases.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.stats import f as f_distribution
from scipy.stats import kstwobign

MOST_GENES, MOST_PERMUTED = 2000, 500
"""As many genes say it as well as all of them."""
FEWEST_GENES, FEWEST_FOR_SIGNS, FEWEST_FOR_UNITS = 5, 20, 100
"""A short panel may be chosen for one class: all of its genes may well lie higher there."""
FEWEST_CASES = 10
"""Of each class."""
PERMUTATIONS = 1000
BELOW_CHANCE = 0.8
EXACTLY = 1e-3
"""Of a short panel, only means that are equal to the last digit count."""
SHARE_OF_SHAPES, SHARE_OF_MEANS, P = 0.25, 0.5, 1e-3
UNITS, NEARLY_ALL = 1.0, 0.85


@dataclass(frozen=True, eq=False)
class _Table:
    """Genes that vary, complete: the mean stands for a missing value. ``members`` (C, n) says who is of which class."""

    values: Float[np.ndarray, "n G"]
    members: Bool[np.ndarray, "C n"]
    classes: Sequence[str]
    genes: Sequence[str]


def scale_leak(
    values: Float[np.ndarray, "n G"], labels: Int[np.ndarray, " n"], genes: Sequence[str], classes: Sequence[str]
) -> str | None:
    """The sentence that says how the classes' scales differ, None where they do not."""
    table = _prepare(values, labels, genes, classes)
    if table is None:
        return None
    return _other_units(table) or _centred_apart(table) or _shaped_apart(table)


def _prepare(
    values: Float[np.ndarray, "n G"], labels: Int[np.ndarray, " n"], genes: Sequence[str], classes: Sequence[str]
) -> _Table | None:
    members = np.stack([labels == k for k in range(len(classes))])
    present = members.sum(axis=1) >= FEWEST_CASES
    if present.sum() < 2:
        return None
    rows = members[present].any(axis=0)
    chosen = values[rows].astype(np.float64)
    known = ~np.isnan(chosen)
    usable = np.flatnonzero(known.mean(axis=0) > 0.8)
    usable = usable[:: max(1, -(-len(usable) // MOST_GENES))]
    mean = np.where(known, chosen, 0)[:, usable].sum(axis=0) / known[:, usable].sum(axis=0)
    filled = np.where(known[:, usable], chosen[:, usable], mean)
    varies = np.ptp(filled, axis=0) > 1e-6 * np.maximum(1, np.abs(mean))
    if varies.sum() < FEWEST_GENES:
        return None
    names = [name for name, there in zip(classes, present, strict=True) if there]
    return _Table(filled[:, varies], members[present][:, rows], names, [genes[g] for g in usable[varies]])


def _variance_ratio(values: Float[np.ndarray, "n G"], members: Bool[np.ndarray, "C n"]) -> Float[np.ndarray, " G"]:
    """F of each gene: variance of the class means over variance within the classes."""
    weight = members.astype(np.float64)
    counts = weight.sum(axis=1)
    centred = values - values.mean(axis=0)
    between = (np.square(weight @ centred) / counts[:, None]).sum(axis=0)
    within = np.maximum(np.square(centred).sum(axis=0) - between, 1e-12)
    ratio: np.ndarray = (between / (len(counts) - 1)) / (within / (len(values) - len(counts)))
    return ratio


def _centred_apart(table: _Table) -> str | None:
    """Sign 2. Permuted labels say what chance makes of these genes, correlated as they are."""
    values = table.values[:, :: -(-len(table.genes) // MOST_PERMUTED)]
    found = float(np.median(_variance_ratio(values, table.members)))
    if len(table.genes) < FEWEST_FOR_SIGNS and found > EXACTLY:
        return None
    rng = np.random.default_rng(0)
    draws = (rng.permutation(len(values)) for _ in range(PERMUTATIONS))
    if any(found >= BELOW_CHANCE * np.median(_variance_ratio(values, table.members[:, draw])) for draw in draws):
        return None
    return _sentence(
        table,
        f"the class means of {len(table.genes)} genes agree better than chance allows"
        f" (median F {found:.2g}; no division of the cases at random comes as low)",
    )


def _shaped_apart(table: _Table) -> str | None:
    """Sign 3."""
    classes, cases = table.members.shape
    means = f_distribution.sf(_variance_ratio(table.values, table.members), classes - 1, cases - classes) < P
    shapes = _shape_differs(table.values, table.members)
    if (
        len(shapes) < FEWEST_FOR_SIGNS
        or shapes.mean() < SHARE_OF_SHAPES
        or means.mean() > SHARE_OF_MEANS * shapes.mean()
    ):
        return None
    odd = [gene for gene, is_odd in zip(table.genes, shapes & ~means, strict=True) if is_odd]
    return _sentence(
        table,
        f"{int(shapes.sum())} of {len(table.genes)} genes differ in distribution between the classes but only"
        f" {int(means.sum())} in the mean (so {', '.join(odd[:5])}{' and others' if len(odd) > 5 else ''})",
    )


def _shape_differs(values: Float[np.ndarray, "n G"], members: Bool[np.ndarray, "C n"]) -> Bool[np.ndarray, " G"]:
    """Kolmogorov-Smirnov of each class against the rest, corrected for the number of classes."""
    order = np.argsort(values, axis=0)
    ordered = np.take_along_axis(values, order, axis=0)
    last_of_tie = np.concatenate([ordered[1:] != ordered[:-1], np.ones((1, values.shape[1]), bool)])
    differs = np.zeros(values.shape[1], bool)
    for inside in members:
        n, m = inside.sum(), (~inside).sum()
        steps = np.where(inside[order], 1 / n, -1 / m).cumsum(axis=0)
        distance = np.abs(np.where(last_of_tie, steps, 0)).max(axis=0)
        differs |= kstwobign.sf(distance * np.sqrt(n * m / (n + m))) * len(members) < P
    return differs


def _other_units(table: _Table) -> str | None:
    """Sign 1: in log2, a factor of two or more; for z-scores, a standard deviation; for the spread, a factor of two."""
    if len(table.genes) < FEWEST_FOR_UNITS:
        return None
    for inside, name in zip(table.members, table.classes, strict=True):
        here, rest = table.values[inside], table.values[~inside]
        spread = np.log2((here.std(axis=0) + 1e-6) / (rest.std(axis=0) + 1e-6))
        for words, gap in (("lie", here.mean(axis=0) - rest.mean(axis=0)), ("spread", spread)):
            side = np.sign(np.median(gap))
            if abs(np.median(gap)) >= UNITS and (np.sign(gap) == side).mean() >= NEARLY_ALL:
                much = _how_much(words, float(np.median(gap)))
                count = int((np.sign(gap) == side).sum())
                return _sentence(table, f"{count} of {len(table.genes)} genes {words} {much} in {name} than elsewhere")
    return None


def _how_much(words: str, gap: float) -> str:
    if words == "lie":
        return f"{'higher' if gap > 0 else 'lower'} (by {abs(gap):.2g} at the median)"
    return f"{'wider' if gap > 0 else 'narrower'} (by a factor of {2 ** abs(gap):.2g} at the median)"


def _sentence(table: _Table, found: str) -> str:
    return (
        f"leak check (scale): the classes {', '.join(table.classes)} were evidently scaled apart: {found}; use a table"
        " in which all classes were processed together."
    )
