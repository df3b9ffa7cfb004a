"""Do the maps find the tumour area of pseudo mosaics, and do they say what the model uses?

    python tests/benchmarks/bench_faithfulness.py ../shared WORKFOLDER [SEED ...]

Prints the tables of ``docs/explanations.md``. Everything here is *pseudo*: mosaics of normal lung tiles with a block of
tumour tiles of one class, and mosaics without a block; the tiles are real, the cases are not. Only mosaics are trained
on: no tile has a label of its own. Test mosaics are made of tiles that no training mosaic holds.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from bench_real_tissue import ENCODER, SETTINGS, area_of, command
from pseudo_lung import TUMOURS, PseudoCase, Tiles, load_tiles, mosaics, split_tiles, write_cohort

from napari_gimp.console import drain
from napari_gimp.gimp.checkpoint import load_model
from napari_gimp.gimp.explain import class_support
from napari_gimp.gimp.faithful import attention_of, logits_of, outputs_of, randomised
from napari_gimp.gimp.model import GiMP
from napari_gimp.study.cohort import read_cohort
from napari_gimp.study.faithfulness import check_faithfulness
from napari_gimp.types import Sample, against_others

SEEDS = (0, 1, 2)
TWINS = 5
"""Untrained twins a seed."""
NORMAL = "normal"


@dataclass(frozen=True)
class Sizes:
    """How many mosaics of each class a run makes, and what it trains with."""

    train: int = 130
    test: int = 20
    settings: tuple[str, ...] = SETTINGS


def make_cases(
    part: str, tiles: Tiles, among: np.ndarray, count: int, rng: np.random.Generator, turns: int, classes: Sequence[str]
) -> list[PseudoCase]:
    """``count`` mosaics of each class; those of normal tiles alone have no tumour area."""
    cases = mosaics(part, tiles, among, 2 * count, rng, turns)
    if NORMAL not in classes:
        return cases
    without = [_without_tumour(case, tiles, among, rng, turns) for case in cases[:count]]
    return [*cases, *without]


def _without_tumour(
    case: PseudoCase, tiles: Tiles, among: np.ndarray, rng: np.random.Generator, turns: int
) -> PseudoCase:
    pool, count = tiles.of(NORMAL, among), len(case.tiles)
    return replace(
        case,
        name=f"{case.name}_{NORMAL}",
        label=NORMAL,
        tiles=rng.choice(pool, count, replace=count > len(pool)),
        turns=rng.integers(turns, size=count),
        tumour=np.zeros(count, bool),
    )


def sample_of(case: PseudoCase, tiles: Tiles) -> Sample:
    """A pseudo case in numbers."""
    return Sample(case.name, tiles.features[case.turns, case.tiles], case.cells, None)


def areas(members: Sequence[GiMP], cases: Sequence[PseudoCase], tiles: Tiles, classes: Sequence[str]) -> dict[str, Any]:
    """Accuracy, and how well each map finds the tumour block: area under the curve, mean over mosaics with a block.

    Support is that of the class that the model predicts, right or wrong; behind it that of the true class.
    """
    blocks = [case for case in cases if case.tumour.any()]
    outputs = {case.name: outputs_of(members, sample_of(case, tiles)) for case in cases}
    predicted = {name: int(logits_of(found).argmax()) for name, found in outputs.items()}

    def support(rule: str, true_class: bool = False) -> float:
        def score(case: PseudoCase) -> np.ndarray:
            given = sample_of(case, tiles)
            target = classes.index(case.label) if true_class else predicted[case.name]
            found = class_support(members, given.embeddings, given.cells, rule=rule)
            return against_others(found)[target]

        return area_of(score, blocks)

    return {
        "accuracy": float(np.mean([classes[predicted[case.name]] == case.label for case in cases])),
        "support": support("conservative"),
        "support of the true class": support("conservative", true_class=True),
        "plain gradient x input": support("plain"),
        "attention": area_of(lambda case: attention_of(outputs[case.name]), blocks),
    }


def run(tiles: Tiles, folder: Path, seed: int, classes: Sequence[str], sizes: Sizes) -> pd.DataFrame:
    """Train on mosaics, find the blocks of test mosaics, delete and randomise: a row per model."""
    train_tiles, test_tiles = split_tiles(tiles, seed)
    rng, turns = np.random.default_rng(seed), len(tiles.features)
    train = make_cases("train", tiles, train_tiles, sizes.train, rng, turns, classes)
    test = make_cases("test", tiles, test_tiles, sizes.test, rng, 1, classes)
    cohort, tests = (write_cohort(folder / name, cases, tiles) for name, cases in (("train", train), ("test", test)))
    chosen = [part for setting in ("members=1", *sizes.settings) for part in ("--set", setting)]
    command(
        "train", "--preset", "paper", "--cohort", cohort, "--features", cohort.parent / "features", "--out",
        folder / "pseudo_mosaics", "--case-kind", "pseudo", "--val-fraction", "0", "--device", "cpu", "--seed",
        str(seed), "--overwrite", *chosen,
    )  # fmt: skip
    loaded = load_model(folder / "pseudo_mosaics")
    members, names = loaded.model.members, loaded.facts.classes
    found = drain(check_faithfulness(folder / "pseudo_mosaics", read_cohort(tests, tests.parent / "features")))
    found.write(folder / "faithfulness", overwrite=True)
    print(found.table())
    rows = [{"model": "GiMP", **areas(members, test, tiles, names)}]
    for twin in range(TWINS):
        untrained = [randomised(member, 100 * seed + twin) for member in members]
        rows.append({"model": "untrained twin", **areas(untrained, test, tiles, names)})
    blocks = [case for case in test if case.tumour.any()]
    rows.append({"model": "darkness", "attention": area_of(lambda case: tiles.darkness[case.tiles], blocks)})
    return pd.DataFrame(rows).assign(seed=seed, classes=len(classes))


def table(results: pd.DataFrame) -> str:
    """Mean and spread over seeds (and twins), and every seed."""
    figures = [name for name in results if name not in ("model", "seed", "classes")]
    groups = results.groupby(["classes", "model"], sort=False)[figures]
    both = groups.mean().map("{:.3f}".format) + " ± " + groups.std().map("{:.3f}".format)
    each = results.groupby(["classes", "model", "seed"], sort=False)[figures].mean().round(3)
    return f"{both.to_string()}\n\n{each.to_string(na_rep='-')}"


def main(shared: Path, work: Path, seeds: Sequence[int] = SEEDS, sizes: Sizes = Sizes()) -> None:
    """Tumour classes and normal lung; then, harder, the two tumour classes alone."""
    tiles = load_tiles(shared / "lung_patches", shared / "weights" / ENCODER, work / "tiles.npz")
    print(f"{len(tiles.names)} tiles, {tiles.encoder}; pseudo cases")
    results = [
        run(tiles, work / f"classes{len(classes)}_seed{seed}", seed, classes, sizes)
        for classes in ((*TUMOURS, NORMAL), TUMOURS)
        for seed in seeds
    ]
    together = pd.concat(results)
    together.to_csv(work / "results.csv", index=False)
    print(table(together))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), [int(seed) for seed in sys.argv[3:]] or SEEDS)
