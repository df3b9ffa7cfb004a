"""The simple models beside GiMP, in the same folds: everything is fitted inside the training part.

Their settings are fixed beforehand or, for the LASSO, chosen in inner folds of the training part. A case that lacks an
input of a model is neither learned from nor predicted by it (its row is NaN). Whatever sees the image is run as it is
and with site directions removed.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.multiclass import OneVsRestClassifier

from napari_gimp.gimp.sites import SiteDirections, remove_directions
from napari_gimp.study.abmil import fit_abmil, predict_abmil
from napari_gimp.study.cohort import Cohort
from napari_gimp.study.folds import default_grouping, groups_of
from napari_gimp.types import Modality, Progress

RIDGE_C = 0.01
LASSO_CS = (0.03, 0.1, 0.3, 1.0)
INNER_FOLDS = 3
Z_LIMIT = 10.0
BOOSTED_GENES = 1000
"""Genes that a split of the boosted trees looks at, at most."""
MOST_PATCHES, MOST_BYTES = 512, 2**30
"""Patches of a case that ABMIL may see, and the room for those of all cases."""
REMOVED = "_directions"
"""Ending of the name of a model that sees the image without its site directions."""


@dataclass(frozen=True, eq=False)
class Inputs:
    """A cohort as the baselines see it, by case.

    mean (n, D) of all patches, genes (n, G) in working scale: NaN rows where a case has none. ``bags`` hold at most
    ``MOST_PATCHES`` patches of a case, drawn by seed. ``groups`` keep inner folds honest: sites, or patients.
    """

    mean: Float[np.ndarray, "n D"]
    bags: tuple[Float[np.ndarray, "_ D"] | None, ...]
    genes: Float[np.ndarray, "n G"]
    labels: Int[np.ndarray, " n"]
    groups: Shaped[np.ndarray, " n"]
    classes: int

    @property
    def has_image(self) -> Bool[np.ndarray, " n"]:
        """Which cases have patches."""
        return np.array([bag is not None for bag in self.bags], bool)

    def has(self, needs: Modality) -> Bool[np.ndarray, " n"]:
        """Which cases have what a model needs."""
        profiled: np.ndarray = (
            ~np.isnan(self.genes).all(axis=1) if self.genes.shape[1] else np.zeros(len(self.bags), bool)
        )
        if needs == "both":
            both: np.ndarray = profiled & self.has_image
            return both
        return profiled if needs == "genes" else self.has_image

    def without(self, directions: SiteDirections) -> Inputs:
        """The same with site directions removed from the image."""
        bags = tuple(
            None if bag is None else remove_directions(bag, directions).astype(np.float32) for bag in self.bags
        )
        return replace(self, mean=remove_directions(self.mean, directions), bags=bags)


def gather_inputs(cohort: Cohort, seed: int = 0) -> Generator[Progress, None, Inputs]:
    """Read every bag once."""
    n, width = len(cohort), cohort.embedding_dim
    most = max(1, min(MOST_PATCHES, MOST_BYTES // (4 * width * max(1, n))))
    mean, bags = np.full((n, width), np.nan), []
    for i in range(n):
        found = cohort.bags(i)
        bag = np.concatenate([b.features for b in found]) if found else None
        if bag is not None:
            mean[i] = bag.mean(axis=0, dtype=np.float64)
            rng = np.random.default_rng([seed, i])
            bag = bag if len(bag) <= most else bag[np.sort(rng.choice(len(bag), most, replace=False))]
        bags.append(bag)
        yield Progress("reading features for the baselines", i + 1, n, "cases")
    groups = np.array(groups_of(cohort, default_grouping(cohort)))
    genes = cohort.values.astype(np.float64)
    return Inputs(mean, tuple(bags), genes, cohort.labels, groups, len(cohort.classes))


Rows = Int[np.ndarray, " _"]
Recipe = Callable[[Inputs, Rows, Rows, int], Float[np.ndarray, "m C"]]
"""(inputs, training rows, test rows, seed) -> probabilities; all rows have what the model needs."""


@dataclass(frozen=True)
class Baseline:
    """A model by name, what it needs, and how it is fitted and applied."""

    name: str
    needs: Modality
    recipe: Recipe
    words: str


def run_baselines(
    inputs: Inputs, train: Rows, test: Rows, directions: SiteDirections | None, seed: int = 0
) -> Generator[Progress, None, dict[str, Float[np.ndarray, "m C"]]]:
    """Probabilities (m, C) of every baseline for the test cases: NaN rows where a case lacks an input.

    Parameters
    ----------
    directions
        Site directions that no test case was used for; None leaves out the models without them.
    """
    variants = {"": inputs} | ({} if directions is None else {REMOVED: inputs.without(directions)})
    jobs = [(b, ending) for b in BASELINES for ending in variants if not ending or b.needs != "genes"]
    found: dict[str, Float[np.ndarray, "m C"]] = {}
    for done, (baseline, ending) in enumerate(jobs, 1):
        found[baseline.name + ending] = _predict(baseline, variants[ending], train, test, seed)
        yield Progress("baselines", done, len(jobs), "models")
    return found


def needs_of(name: str) -> Modality:
    """What a baseline needs, by its name."""
    return next(b.needs for b in BASELINES if b.name == name.removesuffix(REMOVED))


def in_words(name: str) -> str:
    """A baseline's name for tables."""
    words = next(b.words for b in BASELINES if b.name == name.removesuffix(REMOVED))
    return f"{words}, site directions removed" if name.endswith(REMOVED) else words


def _predict(baseline: Baseline, inputs: Inputs, train: Rows, test: Rows, seed: int) -> Float[np.ndarray, "m C"]:
    usable = inputs.has(baseline.needs)
    learned, asked = train[usable[train]], np.flatnonzero(usable[test])
    probabilities = np.full((len(test), inputs.classes), np.nan)
    if len(asked) and len(np.unique(inputs.labels[learned])) > 1:
        probabilities[asked] = baseline.recipe(inputs, learned, test[asked], seed)
    return probabilities


def standardise(
    train: Float[np.ndarray, "t W"], test: Float[np.ndarray, "m W"]
) -> tuple[Float[np.ndarray, "t W"], Float[np.ndarray, "m W"]]:
    """Both by mean and sd of the training part, clipped to 10 sd; missing values and constant columns become 0."""
    known = ~np.isnan(train)
    count = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, train, 0).sum(axis=0) / count
    sd = np.sqrt(np.where(known, np.square(train - mean), 0).sum(axis=0) / count)
    divisor = np.where(sd > 1e-6 * np.maximum(1, np.abs(mean)), sd, np.inf)
    first, second = (np.clip(np.nan_to_num((x - mean) / divisor), -Z_LIMIT, Z_LIMIT) for x in (train, test))
    return first, second


def _ridge(columns: Callable[[Inputs], Float[np.ndarray, "n W"]]) -> Recipe:
    def recipe(inputs: Inputs, train: Rows, test: Rows, seed: int) -> Float[np.ndarray, "m C"]:
        table = columns(inputs)
        learned, asked = standardise(table[train], table[test])
        model = LogisticRegression(C=RIDGE_C, max_iter=1000).fit(learned, inputs.labels[train])
        return _by_class(model, asked, inputs.classes)

    return recipe


def _lasso(inputs: Inputs, train: Rows, test: Rows, seed: int) -> Float[np.ndarray, "m C"]:
    def fitted(c: float, learned: Rows, asked: Rows) -> Float[np.ndarray, "m C"]:
        first, second = standardise(inputs.genes[learned], inputs.genes[asked])
        model = OneVsRestClassifier(
            LogisticRegression(C=c, l1_ratio=1.0, solver="liblinear", max_iter=1000, random_state=seed)
        )
        return _by_class(model.fit(first, inputs.labels[learned]), second, inputs.classes)

    losses = dict.fromkeys(LASSO_CS, 0.0)
    for learned, asked in inner_splits(inputs.labels[train], inputs.groups[train], seed):
        for c in LASSO_CS:
            rows = fitted(c, train[learned], train[asked])
            said = rows[np.arange(len(asked)), inputs.labels[train[asked]]]
            losses[c] -= float(np.log(np.maximum(said, 1e-6)).sum())
    return fitted(min(LASSO_CS, key=lambda c: losses[c]), train, test)


def inner_splits(labels: Int[np.ndarray, " t"], groups: Shaped[np.ndarray, " t"], seed: int) -> list[tuple[Rows, Rows]]:
    """Splits of a training part that divide no group and leave every class to learn from; none where cases are few."""
    count = min(INNER_FOLDS, len(np.unique(groups)), int(np.unique(labels, return_counts=True)[1].min()))
    if count < 2:
        return []
    splitter = StratifiedGroupKFold(count, shuffle=True, random_state=seed)
    splits = [(np.asarray(a), np.asarray(b)) for a, b in splitter.split(labels, labels, groups)]
    return [(a, b) for a, b in splits if len(b) and len(np.unique(labels[a])) == len(np.unique(labels))]


def _boosting(inputs: Inputs, train: Rows, test: Rows, seed: int) -> Float[np.ndarray, "m C"]:
    share = min(1.0, BOOSTED_GENES / inputs.genes.shape[1])
    model = HistGradientBoostingClassifier(
        max_iter=100, max_leaf_nodes=8, max_features=share, early_stopping=False, random_state=seed
    )
    return _by_class(model.fit(inputs.genes[train], inputs.labels[train]), inputs.genes[test], inputs.classes)


def _late_fusion(inputs: Inputs, train: Rows, test: Rows, seed: int) -> Float[np.ndarray, "m C"]:
    parts = [_ridge(columns)(inputs, train, test, seed) for columns in (_mean_image, _genes)]
    mean: np.ndarray = np.mean(parts, axis=0)
    return mean


def _abmil(inputs: Inputs, train: Rows, test: Rows, seed: int) -> Float[np.ndarray, "m C"]:
    learned, asked = ([bag for i in rows if (bag := inputs.bags[i]) is not None] for rows in (train, test))
    return predict_abmil(fit_abmil(learned, inputs.labels[train], inputs.classes, seed), asked)


def _by_class(model: object, rows: Float[np.ndarray, "m W"], classes: int) -> Float[np.ndarray, "m C"]:
    """Probabilities with a column for every class of the cohort, 0 for one that was not in training."""
    found = np.zeros((len(rows), classes))
    found[:, model.classes_] = model.predict_proba(rows)  # type: ignore[attr-defined]
    return found


def _mean_image(inputs: Inputs) -> Float[np.ndarray, "n D"]:
    return inputs.mean


def _genes(inputs: Inputs) -> Float[np.ndarray, "n G"]:
    return inputs.genes


def _side_by_side(inputs: Inputs) -> Float[np.ndarray, "n W"]:
    return np.concatenate([inputs.mean, inputs.genes], axis=1)


BASELINES: Sequence[Baseline] = (
    Baseline("lasso_genes", "genes", _lasso, "LASSO on genes"),
    Baseline("ridge_genes", "genes", _ridge(_genes), "ridge on genes"),
    Baseline("boosting_genes", "genes", _boosting, "gradient boosting on genes"),
    Baseline("mean_image", "image", _ridge(_mean_image), "ridge on the mean-pooled image"),
    Baseline("abmil_image", "image", _abmil, "ABMIL on the image"),
    Baseline("concatenation", "both", _ridge(_side_by_side), "ridge on mean-pooled image and genes"),
    Baseline("late_fusion", "both", _late_fusion, "late fusion of both ridges"),
)
