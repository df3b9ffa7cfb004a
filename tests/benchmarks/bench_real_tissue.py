"""Train GiMP on pseudo cases made of real H&E tiles, beside its untrained twin and simple baselines.

    python tests/benchmarks/bench_real_tissue.py ../shared WORKFOLDER

Prints the tables of ``docs/real-tissue.md`` and keeps the checkpoint of seed 0 in
``WORKFOLDER/seed0/pseudo_lung_resnet18``. Everything here is *pseudo*: the tiles are real, the cases are not. A case
is a mosaic of normal tiles with a block of tumour tiles of one class, or a single tumour tile. Test cases are made of
tiles that no training case holds. Tiles have no patient: those of one patient may lie on both sides.
"""

from __future__ import annotations

import contextlib
import json
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from pseudo_lung import TILE_UM, PseudoCase, Tiles, load_tiles, mosaics, single_tiles, split_tiles, write_cohort
from sklearn.linear_model import LogisticRegressionCV
from sklearn.metrics import roc_auc_score

from napari_gimp import cli
from napari_gimp.bags import read_bag
from napari_gimp.gimp.checkpoint import load_model
from napari_gimp.gimp.model import patch_attention

ENCODER = "resnet18_imagenet_layer3.onnx"
SEEDS = (0, 1, 2, 3, 4)
SETTINGS = (
    "d=128", "heads=4", "layers=1", "ffn=2", "dropout=0.1", "head_hidden=128", "landmarks=64", "window=64",
    "epochs_pretrain=5", "lr_pretrain=0.0005", "epochs_finetune=10", "lr_finetune=0.0003", "epochs_decoder=3",
    "weight_decay=0.05", "batch_size=16",
)  # fmt: skip
"""Chosen on inner splits of seed 0's training tiles, never on test tiles; ``docs/real-tissue.md`` says among which."""
UNTRAINED = ("epochs_pretrain=0", "epochs_finetune=0", "epochs_decoder=0")
NAME = "pseudo_lung_resnet18"
Table = tuple[np.ndarray, np.ndarray]


# --- the command line -----------------------------------------------------------------------------------------------


def command(*arguments: str | Path) -> None:
    """One ``napari-gimp`` command as a user gives it, in this process; its words go to stderr, as its progress."""
    words = [str(item) for item in arguments]
    print("$ napari-gimp", shlex.join(words), file=sys.stderr)
    with contextlib.redirect_stdout(sys.stderr):
        code = cli.app(words, exit_on_error=False, result_action="return_int_as_exit_code_else_zero")
    assert code == 0, f"exit code {code}"


def train(cohort: Path, out: Path, settings: Sequence[str], seed: int) -> None:
    """The ordinary ``train``; the last weights count (no case is held back to choose an epoch)."""
    chosen = [part for setting in settings for part in ("--set", setting)]
    options: list[str | Path] = [
        "--case-kind",
        "pseudo",
        "--val-fraction",
        "0",
        "--device",
        "cpu",
        "--seed",
        str(seed),
        "--overwrite",
    ]
    command(
        "train",
        "--preset",
        "paper",
        "--cohort",
        cohort,
        "--features",
        cohort.parent / "features",
        "--out",
        out,
        *options,
        *chosen,
    )


def evaluate(checkpoint: Path, cohort: Path) -> dict[str, float]:
    """Accuracy and AUC of the ordinary ``evaluate`` on images alone."""
    figures = checkpoint.with_name(f"{checkpoint.name}.{cohort.parent.name}.json")
    given: list[str | Path] = [
        "--cohort",
        cohort,
        "--features",
        cohort.parent / "features",
        "--modality",
        "image",
        "--device",
        "cpu",
    ]
    command("evaluate", checkpoint, *given, "--json", figures)
    found = json.loads(figures.read_text())
    return {"accuracy": found["accuracy"], "auc": found["auc"]}


# --- what they are held against -------------------------------------------------------------------------------------


def regression(train: Table, test: Table) -> dict[str, float]:
    """Logistic regression with its strength chosen inside the training cases."""
    model = LogisticRegressionCV(
        Cs=np.logspace(-4, 4, 9), cv=5, max_iter=5000, scoring="accuracy", l1_ratios=(0,), use_legacy_attributes=False
    )
    model.fit(*train)
    scores = model.decision_function(test[0])
    right = model.predict(test[0]) == test[1]
    return {"accuracy": float(right.mean()), "auc": float(roc_auc_score(test[1] == model.classes_[1], scores))}


def means(values: np.ndarray, cases: Sequence[PseudoCase]) -> Table:
    """Mean of each case's tiles, and the labels."""
    return np.stack([values[case.turns, case.tiles].mean(axis=0) for case in cases]), np.array(
        [case.label for case in cases]
    )


def attention_area(checkpoint: Path, cases: Sequence[PseudoCase], folder: Path) -> float:
    """`area_of` the patch attention (last layer, mean over heads) of a checkpoint."""
    loaded = load_model(checkpoint)

    def attention(case: PseudoCase) -> np.ndarray:
        bag = read_bag(folder / "features" / f"{case.name}.h5")
        with torch.inference_mode():
            output = loaded.model(torch.from_numpy(bag.features)[None], torch.from_numpy(bag.cells)[None])
        shares: np.ndarray = patch_attention(output.rows("class_attention"))[-1, 0].mean(0).numpy()
        return shares

    return area_of(attention, cases)


def area_of(score: Callable[[PseudoCase], np.ndarray], cases: Sequence[PseudoCase]) -> float:
    """Area under the curve with which a score per tile finds the tumour block, mean over the mosaics."""
    return float(np.mean([roc_auc_score(case.tumour, score(case)) for case in cases]))


# --- runs -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sizes:
    """How many mosaics a run makes, and what it trains with."""

    train_mosaics: int = 200
    test_mosaics: int = 40
    settings: tuple[str, ...] = SETTINGS


def run_seed(tiles: Tiles, folder: Path, seed: int, sizes: Sizes = Sizes()) -> pd.DataFrame:
    """Split, make pseudo cases, train, evaluate: a row per method, figures on test tiles and test mosaics."""
    train_tiles, test_tiles = split_tiles(tiles, seed)
    rng, turns = np.random.default_rng(seed), len(tiles.features)
    train_mosaics = mosaics("train", tiles, train_tiles, sizes.train_mosaics, rng, turns)
    test = {
        "mosaics": mosaics("test", tiles, test_tiles, sizes.test_mosaics, rng),
        "tiles": single_tiles(tiles, test_tiles),
    }
    cohort = write_cohort(folder / "train", [*train_mosaics, *single_tiles(tiles, train_tiles, turns)], tiles)
    tests = {kind: write_cohort(folder / kind, cases, tiles) for kind, cases in test.items()}
    rows = {}
    for method, name, changes in (("GiMP", NAME, ()), ("untrained twin", f"{NAME}_untrained", UNTRAINED)):
        train(cohort, folder / name, [*sizes.settings, *changes], seed)
        rows[method] = {kind: evaluate(folder / name, path) for kind, path in tests.items()}
        rows[method]["attention"] = {"auc": attention_area(folder / name, test["mosaics"], folder / "mosaics")}
    learnt = {"tiles": single_tiles(tiles, train_tiles), "mosaics": train_mosaics}  # no copies: its folds stay apart
    for method, values in (("colour histogram", np.stack([tiles.colours] * turns)), ("mean embedding", tiles.features)):
        rows[method] = {kind: regression(means(values, learnt[kind]), means(values, test[kind])) for kind in test}
    rows["darkness"] = {"attention": {"auc": area_of(lambda case: tiles.darkness[case.tiles], test["mosaics"])}}
    return pd.DataFrame(
        {"seed": seed, "method": method, "kind": kind, "figure": figure, "value": value}
        for method, kinds in rows.items()
        for kind, found in kinds.items()
        for figure, value in found.items()
    )


def predict(checkpoint: Path, slide: Path, weights: Path, work: Path) -> dict[str, Any]:
    """The ordinary ``predict`` on a real slide."""
    given: list[str | Path] = [
        "--encoder",
        weights,
        "--device",
        "cpu",
        "--cache",
        work / "cache",
        "--out",
        work / "predictions",
    ]
    command("predict", slide, "--checkpoint", checkpoint, *given, "--overwrite")
    found: dict[str, Any] = json.loads((work / "predictions" / slide.stem / "prediction.json").read_text())
    return found


def tables(results: pd.DataFrame) -> str:
    """Mean and spread over the seeds, and every seed."""
    results = results.assign(what=results.kind + " " + results.figure)
    wide = results.pivot_table(index=["method", "seed"], columns="what", values="value", sort=False)
    by_method = wide.groupby(level="method", sort=False)
    mean, sd = by_method.mean(), by_method.std()
    both = mean.map("{:.3f}".format) + " ± " + sd.map("{:.3f}".format)
    each = wide.round(3).to_string(na_rep="-")
    return f"{both.replace('nan ± nan', '-').to_string()}\n\n{each}"


def main(shared: Path, work: Path) -> None:
    """All seeds, the tables, and seed 0's checkpoint on a real slide."""
    weights = shared / "weights" / ENCODER
    tiles = load_tiles(shared / "lung_patches", weights, work / "tiles.npz")
    print(f"{len(tiles.names)} tiles, {tiles.encoder}; a tile is assumed to be {TILE_UM:g} um wide")
    results = pd.concat([run_seed(tiles, work / f"seed{seed}", seed) for seed in SEEDS])
    results.to_csv(work / "results.csv", index=False)
    print(tables(results))
    found = predict(work / "seed0" / NAME, shared / "slides" / "lung_scc_HE3.tif", weights, work)
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
