"""The baselines of one cross-validation: read once, and run with the site directions that they may know of."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int, Shaped

from napari_gimp.gimp.sites import MIN_SLIDES, SiteDirections, SlideMeans, fit_directions, read_slide_means
from napari_gimp.study.baselines import Inputs, gather_inputs, run_baselines
from napari_gimp.study.cohort import Cohort
from napari_gimp.study.directions import check_table, patients_of, without_patients
from napari_gimp.types import Progress

DIRECTIONS = 20
"""Site directions that are removed for the baselines, where the table or training part can show as many."""


@dataclass(eq=False)
class Rivals:
    """The baselines of a run: their inputs are read when a fold first needs them.

    ``fitted`` are the directions of a table of other slides, ``from_training`` asks for those of each training part,
    ``k`` of them at most.
    """

    wanted: bool
    k: int
    from_training: bool = True
    fitted: SiteDirections | None = None
    inputs: Inputs | None = None

    def run(
        self, cohort: Cohort, train: Int[np.ndarray, " t"], test: Int[np.ndarray, " m"], seed: int
    ) -> Generator[Progress, None, tuple[dict[str, Float[np.ndarray, "m C"]], str]]:
        """Probabilities by baseline, and in words where the site directions come from."""
        if not self.wanted:
            return {}, ""
        if self.inputs is None:
            self.inputs = yield from gather_inputs(cohort, seed)
        directions = training_directions(cohort, self.inputs.mean, train, self.k) if self.from_training else self.fitted
        found = yield from run_baselines(self.inputs, train, test, directions, seed)
        return found, "none" if directions is None else f"{directions.k} from {directions.source}"


def rivals_of(wanted: bool, table: SlideMeans | None, k: int) -> Rivals:
    """The baselines of a run; directions of a table are fitted here, before any training."""
    return Rivals(wanted, k, table is None, None if table is None or not wanted else table_directions(table, k))


def table_for(cohort: Cohort, path: Path) -> SlideMeans:
    """The slides of a table that are of none of the cohort's patients: the estimate never sees a test case.

    Raises
    ------
    InputError
        No such table, or one of another encoder.
    """
    table = read_slide_means(path)
    check_table(cohort, table, path.name)
    return without_patients(table, patients_of(cohort.cases))


def table_directions(table: SlideMeans, k: int) -> SiteDirections | None:
    """The ``k`` leading directions of a table, or as many as it can show; None where that is none."""
    usable = min(k, shown(table.site, table.type), table.mean.shape[1])
    if usable < 1:
        return None
    return fit_directions(table.mean, table.site, table.type, usable, source="a table of other slides")


def training_directions(
    cohort: Cohort, means: Float[np.ndarray, "n D"], train: Int[np.ndarray, " t"], k: int
) -> SiteDirections | None:
    """Site directions of the training cases within their classes; None where too few sites are known.

    At most half of the directions that the sites span are taken: the last of them are noise.
    """
    rows = np.array([i for i in train if cohort.cases[i].site and not np.isnan(means[i]).any()], np.int64)
    sites = np.array([str(cohort.cases[i].site) for i in rows])
    kinds = np.array([str(cohort.cases[i].label) for i in rows])
    usable = min(k, shown(sites, kinds) // 2, cohort.embedding_dim // 2)
    if usable < 1:
        return None
    return fit_directions(means[rows], sites, kinds, usable, source="the training part")


def shown(sites: Shaped[np.ndarray, " n"], kinds: Shaped[np.ndarray, " n"]) -> int:
    """How many directions sites can span within kinds: those with enough slides, less one a kind."""
    if not len(sites):
        return 0
    pairs, counts = np.unique(np.stack([kinds, sites]), axis=1, return_counts=True)
    enough = pairs[0][counts >= MIN_SLIDES]
    return len(enough) - len(np.unique(enough))
