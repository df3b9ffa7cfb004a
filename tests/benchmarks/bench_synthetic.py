"""The bundled demo checkpoint on unseen synthetic cases, beside a colour threshold and an untrained network.

    python tests/benchmarks/bench_synthetic.py WORKFOLDER [CASES]

Makes CASES (100) generated cases of another seed than the training's in WORKFOLDER (kept), embeds them with the
ordinary command, and prints accuracy with both inputs and either alone, and how well patch attention finds the known
tumour area (AUC over the patches of a case, mean over cases). Synthetic: no evidence about patients.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from shapely import box
from sklearn.metrics import accuracy_score, roc_auc_score

sys.path.insert(0, str(Path(__file__).parents[2] / "resources"))
from build_demo_checkpoint import COHORT_SEED, embedded_cohort

from napari_gimp.bags import read_bag
from napari_gimp.bundled import DEMO_CHECKPOINT, resource
from napari_gimp.genes import align, read_expression
from napari_gimp.gimp.checkpoint import LoadedModel, load_model
from napari_gimp.gimp.ensemble import Ensemble
from napari_gimp.gimp.model import GiMP
from napari_gimp.pipeline.prediction import forward_prediction
from napari_gimp.regions import read_geojson
from napari_gimp.slides import open_slide
from napari_gimp.synthetic import CohortPaths
from napari_gimp.types import MODALITIES, Bag, PatchGrid, Prediction

TEST_SEED = COHORT_SEED + 3  # cases of the two seeds before were looked at while settings were chosen


@dataclass(frozen=True, eq=False)
class SyntheticTestCase:
    """One case as the models see it, and what is known of it."""

    bag: Bag
    colours: np.ndarray  # (N, 3) mean RGB of each patch
    in_tumour: np.ndarray  # (N,) bool: at least half of the patch
    label: str
    prediction_of: Callable[[LoadedModel], Prediction]


def load_cases(cohort: CohortPaths, features: Path) -> list[SyntheticTestCase]:
    """The cases of an embedded synthetic cohort."""
    expression = read_expression(cohort.expression)
    return [
        _load_case(slide, features / f"{slide.stem}.h5", region, case.tumour, expression.profile(case.case_id))
        for slide, region, case in zip(cohort.slides, cohort.regions, cohort.cases, strict=True)
    ]


def _load_case(slide_path: Path, bag_path: Path, region: Path, label: str, profile) -> SyntheticTestCase:
    with open_slide(slide_path) as slide:
        facts, overview = slide.facts, slide.overview()
    bag = read_bag(bag_path, facts)

    def prediction_of(loaded: LoadedModel) -> Prediction:
        genes = align(profile, loaded.facts.genes, loaded.facts.expression_scale)
        return forward_prediction(bag, facts, loaded, genes)

    tumour = read_geojson(region)[0].polygon
    return SyntheticTestCase(bag, _mean_colours(overview, bag.grid), _inside(bag.grid, tumour), label, prediction_of)


def _mean_colours(overview: np.ndarray, grid: PatchGrid) -> np.ndarray:
    step = grid.slide_shape_yx[0] / overview.shape[0]
    side = max(1, round(grid.size_yx_px[0] / step))
    corners = np.round(grid.coords_yx / step).astype(int)
    return np.array([overview[y : y + side, x : x + side].reshape(-1, 3).mean(axis=0) for y, x in corners])


def _inside(grid: PatchGrid, area) -> np.ndarray:
    (height, width), corners = grid.size_yx_px, grid.coords_yx
    patches = box(corners[:, 1], corners[:, 0], corners[:, 1] + width, corners[:, 0] + height)
    return np.array([area.intersection(patch).area >= 0.5 * patch.area for patch in patches])


def untrained_twin(loaded: LoadedModel) -> LoadedModel:
    """The same network and scaling with random weights (seed 0)."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        facts = loaded.facts
        twin = GiMP(
            loaded.model.config,
            embedding_dim=facts.embedding_dim,
            genes=len(facts.genes),
            classes=len(facts.classes),
        )
    image, genes = loaded.model.members[0].aggregator.scaling, loaded.model.members[0].gene_scaling
    twin.set_scaling(embedding_mean=image.mean, embedding_sd=image.sd, gene_mean=genes.mean, gene_sd=genes.sd)
    return LoadedModel(Ensemble([twin]).eval(), facts, "untrained")


def figures(loaded: LoadedModel, cases: list[SyntheticTestCase]) -> dict[str, float]:
    """Accuracy per modality and mean AUC of attention for the tumour area."""
    predictions = [case.prediction_of(loaded) for case in cases]
    labels = [loaded.facts.classes.index(case.label) for case in cases]
    found = {name: accuracy_score(labels, [p.probabilities[name].argmax() for p in predictions]) for name in MODALITIES}
    where = [roc_auc_score(c.in_tumour, p.mean_attention) for c, p in zip(cases, predictions, strict=True)]
    return {**found, "attention AUC": float(np.mean(where))}


def colour_threshold(train: list[SyntheticTestCase], test: list[SyntheticTestCase]) -> dict[str, float]:
    """The best single colour value of the training cases: as a threshold on the case's mean for its type, and as a
    score for tumour."""
    classes = sorted({case.label for case in train})

    def values(cases: list[SyntheticTestCase]) -> np.ndarray:
        means = np.array([case.colours.mean(axis=0) for case in cases])
        return np.column_stack([means, means.max(axis=1) - means.min(axis=1)])

    truth = np.array([classes.index(case.label) for case in train])
    rules = [
        (((values(train)[:, k] > cut) == (truth == kind)).mean(), k, cut, kind)
        for k in range(4)
        for cut in values(train)[:, k]
        for kind in (0, 1)
    ]
    _, k, cut, kind = max(rules)
    guessed = np.where(values(test)[:, k] > cut, kind, 1 - kind)
    scores = {(c, s): _colour_auc(train, c, s) for c in range(4) for s in (-1, 1)}
    channel, sign = max(scores, key=scores.__getitem__)
    accuracy = accuracy_score([classes.index(case.label) for case in test], guessed)
    return {"image": accuracy, "attention AUC": _colour_auc(test, channel, sign)}


def _colour_auc(cases: list[SyntheticTestCase], channel: int, sign: int) -> float:
    def score(colours: np.ndarray) -> np.ndarray:
        return sign * np.column_stack([colours, colours.max(axis=1) - colours.min(axis=1)])[:, channel]

    return float(np.mean([roc_auc_score(case.in_tumour, score(case.colours)) for case in cases]))


def main(work: Path, count: int = 100) -> None:
    """Print the table."""
    test = load_cases(*embedded_cohort(work, count, TEST_SEED))
    train = load_cases(*embedded_cohort(work, 40, COHORT_SEED))
    loaded = load_model(resource(DEMO_CHECKPOINT))
    rows = {
        f"{DEMO_CHECKPOINT} (trained)": figures(loaded, test),
        "untrained network": figures(untrained_twin(loaded), test),
        "colour threshold (fitted on 40 training cases)": colour_threshold(train, test),
    }
    columns = [*MODALITIES, "attention AUC"]
    print(f"{len(test)} unseen synthetic cases; accuracy by input, and AUC of patch attention for the tumour area")
    print(f"{'':48}" + "".join(f"{name:>15}" for name in columns))
    for name, row in rows.items():
        print(f"{name:48}" + "".join(f"{row[c]:>15.3f}" if c in row else f"{'-':>15}" for c in columns))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:3]))
