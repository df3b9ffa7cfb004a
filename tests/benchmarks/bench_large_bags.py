"""Time and peak memory of a prediction with all maps, from a thousand to 150,000 patches of 1024 numbers.

    python tests/benchmarks/bench_large_bags.py [--picture large_bags.png] [--groups 1] [lengths ...]

The pipeline's own ``predict`` on a made-up bag at the paper's sizes (d 512, 8 heads, 2 layers, 256 landmarks, 60,480
genes, random weights): attention, class support, masked reconstruction, gene attribution and, where asked for, the maps
of gene groups (each costs as much as twice the class support).
Each length runs in a process of its own. Goals: 150,000 patches within 8 GB, cost in proportion to the patches.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import TypeVar

import matplotlib.pyplot as plt
import numpy as np
from bench_model import peak_bytes
from matplotlib.figure import Figure

from napari_gimp.types import AlignedGenes, Bag, CheckpointFacts, PatchGrid, Prediction, Progress, SlideFacts

LENGTHS = (1_000, 5_000, 15_000, 50_000, 150_000)
WIDTH, GENES, PATCH_PX = 1024, 60_480, 256
GOAL_GB, SLOPE_GOAL = 8.0, 1.1
PROPORTIONAL_FROM = 10_000
"""Below, what does not depend on the bag (genes, pseudo-inverses) rules the time."""

Result = TypeVar("Result")
Row = dict[str, float]


def make_case(length: int) -> tuple[Bag, SlideFacts]:
    """A slide that holds a bag of so many patches, twice as wide as high."""
    columns = round((2 * length) ** 0.5)
    rows = -(-length // columns)
    cells = np.stack(np.divmod(np.arange(length), columns), axis=1).astype(np.int64)
    shape, mpp, side = (rows * PATCH_PX, columns * PATCH_PX), (0.5, 0.5), (float(PATCH_PX), float(PATCH_PX))
    features = np.random.default_rng(0).standard_normal((length, WIDTH), np.float32)
    bag = Bag("made-up", features, PatchGrid(cells * PATCH_PX, side, side, shape, mpp), "made-up")
    return bag, SlideFacts("made-up", "made-up", shape, (shape,), mpp)


def stages_of(work: Generator[Progress, None, Result]) -> tuple[Result, Row]:
    """Run long work to its end; seconds spent in each of its stages."""
    seconds: defaultdict[str, float] = defaultdict(float)
    name, start = "", time.perf_counter()
    while True:
        try:
            progress = next(work)
        except StopIteration as end:
            seconds[name] += time.perf_counter() - start
            result: Result = end.value
            return result, dict(seconds)
        now = time.perf_counter()
        seconds[name or progress.stage] += now - start
        name, start = progress.stage, now


def predict_once(length: int, groups: int) -> Row:
    """Seconds by stage, and peak resident memory (GB) before and behind the prediction."""
    import torch

    from napari_gimp.gimp.checkpoint import LoadedModel
    from napari_gimp.gimp.ensemble import Ensemble
    from napari_gimp.gimp.model import GiMP, ModelConfig
    from napari_gimp.pipeline.prediction import predict

    torch.manual_seed(0)
    names = tuple(f"gene{g}" for g in range(GENES))
    card = CheckpointFacts("made-up", ("a", "b"), "made-up", WIDTH, names, "log", PATCH_PX, 0.5, "nothing", "made-up")
    model = Ensemble([GiMP(ModelConfig(), embedding_dim=WIDTH, genes=GENES, classes=2)]).eval()
    bag, facts = make_case(length)
    genes = AlignedGenes("made-up", np.random.default_rng(1).standard_normal(GENES).astype(np.float32), ())
    before, start = peak_bytes(), time.perf_counter()
    prediction, stages = stages_of(predict(bag, facts, LoadedModel(model, card, "made-up"), genes, group_maps=groups))
    seconds = time.perf_counter() - start
    check(prediction, length, groups)
    return {"seconds": seconds, "bag_gb": before / 1e9, "peak_gb": peak_bytes() / 1e9, **stages}


def check(prediction: Prediction, length: int, groups: int) -> None:
    """All maps are there, one finite number per patch."""
    maps = (
        prediction.attention,
        prediction.class_support,
        prediction.reconstruction_error,
        *prediction.group_support.values(),
    )
    assert len(maps) == 3 + groups
    for values in maps:
        assert values is not None
        assert values.shape[-1] == length
        assert np.isfinite(values).all()


def in_new_process(length: int, groups: int) -> Row:
    """The same in a process whose peak memory nothing else has raised."""
    command = [sys.executable, __file__, "--groups", str(groups), "--one", str(length)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    row: Row = json.loads(done.stdout)
    return row


def slope(lengths: Sequence[int], values: Sequence[float]) -> float:
    """Power of the length with which values grow from `PROPORTIONAL_FROM` on: 1 is linear, 2 quadratic."""
    long = [i for i, length in enumerate(lengths) if length >= PROPORTIONAL_FROM]
    if len(long) < 2:
        return float("nan")
    return float(np.polyfit(np.log(np.asarray(lengths)[long]), np.log(np.asarray(values)[long]), 1)[0])


def picture(lengths: Sequence[int], rows: Sequence[Row]) -> Figure:
    """Seconds and memory against patches, with the straight line from nothing to the longest bag."""
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    for axis, key, name in zip(axes, ("seconds", "peak_gb"), ("seconds", "peak memory, GB"), strict=True):
        values = [row[key] for row in rows]
        axis.plot(lengths, values, "o-", color="#1b6ca8")
        slim = np.polyfit(lengths, values, 1)
        axis.plot(lengths, np.polyval(slim, lengths), "--", color="0.6", label="straight line fitted")
        axis.set(xlabel="patches", ylabel=name, ylim=(0, None), xlim=(0, None))
        axis.legend(frameon=False)
    axes[1].axhline(GOAL_GB, color="#b03a2e", linewidth=1)
    return figure


def main(lengths: Sequence[int], target: Path, groups: int) -> None:
    """Print the table and how cost grows, draw the picture."""
    stages = ("GiMP forward pass", "class support", "gene attribution", "gene groups and patches")
    names = ("seconds", *stages, "masked reconstruction", "bag_gb", "peak_gb")
    print(f"{'patches':>8} {'seconds':>9} {'forward':>9} {'support':>9} {'genes':>9} {'group':>9} {'masked':>9}"
          f" {'bag GB':>9} {'peak GB':>9}")  # fmt: skip
    rows = []
    for length in lengths:
        rows.append(in_new_process(length, groups))
        print(f"{length:>8}" + "".join(f" {rows[-1].get(name, 0.0):>9.2f}" for name in names), flush=True)
    for name in ("seconds", "peak_gb"):
        print(f"{name} grows with patches to the power of {slope(lengths, [row[name] for row in rows]):.2f}")
    picture(lengths, rows).savefig(target, dpi=120)
    print(f"picture: {target}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lengths", type=int, nargs="*", help="patches")
    parser.add_argument("--picture", type=Path, default=Path("large_bags.png"))
    parser.add_argument("--groups", type=int, default=0, help="gene groups whose maps are made too")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(predict_once(given.one, given.groups)))
    else:
        main(given.lengths or LENGTHS, given.picture, given.groups)
