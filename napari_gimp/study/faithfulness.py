"""A checkpoint's explanations held against the checkpoint, on the cases of a cohort: `check_faithfulness`."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from napari_gimp.gimp.attribution import GeneSide, gene_attribution
from napari_gimp.gimp.checkpoint import load_model
from napari_gimp.gimp.explain import class_support
from napari_gimp.gimp.faithful import (
    SHARES,
    attention_of,
    cascade,
    log_odds,
    logits_of,
    outputs_of,
    randomised,
    rank_correlation,
    without_genes,
    without_patches,
)
from napari_gimp.gimp.model import GiMP
from napari_gimp.gimp.train import make_fabric
from napari_gimp.settings import InputError
from napari_gimp.study.cohort import Cohort
from napari_gimp.study.evaluating import fit_to
from napari_gimp.study.faithfulness_report import Faithfulness
from napari_gimp.study.memory import memory_in_words
from napari_gimp.types import Progress, Sample, against_others

LEAST_PATCHES, LEAST_GENES = 8, 8
"""Fewer leave no curve: nothing can be deleted in steps."""
DRAWS = 5
MOST_CASES = 100


@memory_in_words
def check_faithfulness(
    checkpoint: Path,
    cohort: Cohort,
    *,
    most_cases: int = MOST_CASES,
    draws: int = DRAWS,
    seed: int = 0,
    device: str = "auto",
) -> Generator[Progress, None, Faithfulness]:
    """Deletion curves of attention, class support and gene attribution, and what random weights leave of them.

    All maps explain the class that the model itself predicts for the case; the cohort's labels are not used.

    Parameters
    ----------
    most_cases
        Of a larger cohort so many cases are drawn.
    draws
        Random orders that each map is held against, in each case.

    Raises
    ------
    InputError
        A cohort that does not fit the checkpoint, or without a case that is large enough.
    """
    loaded = load_model(checkpoint, str(make_fabric(device).device))
    fitted, rng = fit_to(loaded.facts, cohort), np.random.default_rng(seed)
    chosen = np.sort(rng.permutation(len(fitted))[:most_cases])
    curves: list[pd.DataFrame] = []
    sanity: list[dict[str, Any]] = []
    for done, sample in enumerate(fitted.samples(chosen)):
        yield Progress("checking explanations", done, len(chosen), "cases")
        maps = Maps.of(loaded.model.members, sample)
        curves += [frame.assign(case=sample.case_id) for frame in _curves(maps, sample, draws, rng)]
        sanity += [row | {"case": sample.case_id} for row in _randomised(maps, sample, seed + done)]
    yield Progress("checking explanations", len(chosen), len(chosen), "cases")
    if not curves:
        raise InputError(
            f"Cohort {cohort.name}: expected cases of at least {LEAST_PATCHES} patches or {LEAST_GENES} genes to delete"
            f" from, found none among {len(chosen)}."
        )
    return Faithfulness(
        loaded.facts.name, cohort.name, loaded.facts.synthetic, len(chosen), draws, seed,
        pd.concat(curves, ignore_index=True), pd.DataFrame(sanity, columns=["case", "weights", "map", "correlation"]),
    )  # fmt: skip


@dataclass(frozen=True, eq=False)
class Maps:
    """What members say of a case, and why: the class they predict, and how far each patch or gene speaks for it."""

    members: tuple[GiMP, ...]
    target: int
    attention: Float[np.ndarray, " N"] | None
    support: Float[np.ndarray, " N"] | None
    genes: Float[np.ndarray, " G"] | None
    sides: tuple[GeneSide, ...]

    @classmethod
    def of(cls, members: Sequence[GiMP], sample: Sample, target: int | None = None) -> Maps:
        """``target``: the class to explain; the predicted one by default."""
        outputs, expression = outputs_of(members, sample), sample.expression if members[0].genes else None
        target = int(logits_of(outputs).argmax()) if target is None else target
        attention = support = genes = None
        sides: tuple[GeneSide, ...] = ()
        if sample.embeddings is not None and sample.cells is not None and len(sample.embeddings) >= LEAST_PATCHES:
            attention = attention_of(outputs)
            support = against_others(class_support(members, sample.embeddings, sample.cells, expression))[target]
        if expression is not None and np.isfinite(expression).sum() >= LEAST_GENES:
            genes = against_others(gene_attribution(members, expression, outputs).values)[target]
            sides = tuple(
                GeneSide.of(*pair) for pair in zip(members, [expression] * len(members), outputs, strict=True)
            )
        return cls(tuple(members), target, attention, support, genes, sides)

    def named(self) -> dict[str, Float[np.ndarray, " n"]]:
        """The maps that there are."""
        found = {"attention": self.attention, "class support": self.support, "gene attribution": self.genes}
        return {name: values for name, values in found.items() if values is not None}


def _curves(maps: Maps, sample: Sample, draws: int, rng: np.random.Generator) -> list[pd.DataFrame]:
    """A curve per order: log-odds and probability of the predicted class by share deleted."""
    orders: dict[str, tuple[str, list[Int[np.ndarray, " n"]]]] = {}
    if maps.attention is not None and maps.support is not None:
        orders["attention"] = "patches", [np.argsort(-maps.attention, kind="stable")]
        orders["class support"] = "patches", [np.argsort(-maps.support, kind="stable")]
        orders["random patches"] = "patches", [rng.permutation(len(maps.attention)) for _ in range(draws)]
    if maps.genes is not None and sample.expression is not None:
        known = np.flatnonzero(np.isfinite(sample.expression))
        orders["gene attribution"] = "genes", [known[np.argsort(-np.abs(maps.genes[known]), kind="stable")]]
        orders["supporting genes"] = "genes", [known[np.argsort(-maps.genes[known], kind="stable")]]
        orders["random genes"] = "genes", [rng.permutation(known) for _ in range(draws)]
    return [_curve(maps, sample, name, kind, each) for name, (kind, each) in orders.items()]


def _curve(maps: Maps, sample: Sample, name: str, kind: str, orders: list[Int[np.ndarray, " n"]]) -> pd.DataFrame:
    """Mean over the orders."""
    logits = [
        without_patches(maps.members, sample, order) if kind == "patches" else without_genes(maps.sides, order)
        for order in orders
    ]
    odds = np.stack([log_odds(rows, maps.target) for rows in logits])
    probability = 1 / (1 + np.exp(-odds))
    values = {"share": SHARES, "log_odds": odds.mean(0), "probability": probability.mean(0)}
    return pd.DataFrame({"order": name, "kind": kind, **values})


def _randomised(maps: Maps, sample: Sample, seed: int) -> list[dict[str, Any]]:
    """Rank correlation of each map with the same map behind weights that are random from the head downwards."""
    rows = []
    for step, beginnings in cascade(maps.members[0]):
        members = [randomised(member, 1000 * seed + i, beginnings) for i, member in enumerate(maps.members)]
        random = Maps.of(members, sample, maps.target).named()
        rows += [
            {"weights": step, "map": name, "correlation": rank_correlation(values, random[name])}
            for name, values in maps.named().items()
        ]
    return rows
