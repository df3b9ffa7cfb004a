"""Cohorts in memory for the tests of `study`: as many cases, sites, genes and bags as a question needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from napari_gimp.study.cohort import Cohort
from napari_gimp.study.features import BagHead
from napari_gimp.types import Bag, Case

CLASSES = ("LUAD", "LUSC")


@dataclass
class BagsInMemory:
    """Bags by slide, without coordinates."""

    bags: dict[str, np.ndarray]
    source: str = "memory"

    def head(self, slide_id: str) -> BagHead | None:
        rows = self.bags.get(slide_id)
        return None if rows is None else BagHead("numbers-1", *rows.shape)

    def read(self, slide_id: str) -> Bag:
        return Bag(slide_id, self.bags[slide_id].astype(np.float32), None, "numbers-1")


def make_cohort(
    labels: Sequence[int],
    values: np.ndarray | None = None,
    bags: Sequence[np.ndarray | None] | None = None,
    sites: Sequence[str | None] | None = None,
    names: Sequence[str] | None = None,
    classes: Sequence[str] = CLASSES,
    scale: Any = "log",
) -> Cohort:
    """A cohort of the given labels; a row of NaN is a case without a profile, a bag of None one without slides."""
    n = len(labels)
    names = names or [f"case{i:03d}" for i in range(n)]
    bags = bags if bags is not None else [np.zeros((2, 3)) for _ in range(n)]
    slides = [() if bag is None else (f"{name}-slide",) for name, bag in zip(names, bags, strict=True)]
    cases = tuple(
        Case(name, slide, classes[label], site)
        for name, slide, label, site in zip(names, slides, labels, sites or [None] * n, strict=True)
    )
    store = BagsInMemory({slide[0]: bag for slide, bag in zip(slides, bags, strict=True) if bag is not None})
    values = np.full((n, 0), np.nan, np.float32) if values is None else np.asarray(values, np.float32)
    samples = tuple(None if not v.size or np.isnan(v).all() else name for name, v in zip(names, values, strict=True))
    genes = tuple(f"GENE{g}" for g in range(values.shape[1]))
    width = next(bag.shape[1] for bag in bags if bag is not None)
    return Cohort(
        "lab", cases, tuple(classes), store, "numbers-1", width, None, samples, genes, scale if genes else None, values
    )
