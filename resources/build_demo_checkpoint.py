"""Makes ``resources/synthetic_demo_checkpoint``: generated cases -> bags -> the ordinary ``napari-gimp train``.

    python resources/build_demo_checkpoint.py WORKFOLDER

Everything is synthetic and follows from the seeds below; the generator was committed before the first training and
is not tuned to the model. Finished cases and bags in WORKFOLDER are kept, so an interrupted run goes on.

Settings were chosen on the validation part of these cases (and on where attention falls in 60 of them), seeds 0 and 1.
Five earlier versions were looked at on test cases of seeds 2 and 3 (.85 to .90 with both inputs); the number of cases
was raised for that. The figures of the README are of seed 4, looked at twice: an earlier training with these settings
had .960, .920, .850 and .937, and was replaced because the way triplets are drawn had changed.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from napari_gimp.bundled import DEMO_CHECKPOINT
from napari_gimp.console import drain
from napari_gimp.synthetic import CohortPaths, synthetic_cohort

CASES, COHORT_SEED, TRAIN_SEED = 960, 1, 0
ENCODER = "colour-texture"
SETTINGS = (
    "d=64", "heads=2", "layers=1", "ffn=2", "head_hidden=64", "landmarks=64", "window=128",
    "fragment_genes=25", "groups=4", "shared_head=false", "gene_dropout=0.5",
    "lr_genes=0.001", "lr_pretrain=0.0005", "lr_finetune=0.001", "weight_decay=0.05", "modality_dropout=0.4",
    "epochs_genes=15", "epochs_pretrain=15", "epochs_finetune=40", "patience=40", "batch_size=16", "patches=40",
)  # fmt: skip


def command(*arguments: str | Path) -> None:
    """One ``napari-gimp`` command, as a user would give it."""
    subprocess.run([sys.executable, "-m", "napari_gimp", *map(str, arguments)], check=True)


def embedded_cohort(work: Path, cases: int, seed: int) -> tuple[CohortPaths, Path]:
    """A synthetic cohort on disk and the folder of its bags."""
    cohort = drain(synthetic_cohort(work / f"cohort_{seed}_{cases}", cases, seed))
    features = work / f"features_{seed}_{cases}"
    command("embed", *cohort.slides, "--encoder", ENCODER, "--out", features)
    return cohort, features


def train_options(cohort: CohortPaths, features: Path) -> list[str | Path]:
    """COHORT-OPTIONS of the command line."""
    return ["--cohort", cohort.cohort, "--features", features, "--expression", cohort.expression]


if __name__ == "__main__":
    cohort, features = embedded_cohort(Path(sys.argv[1]), CASES, COHORT_SEED)
    chosen = [part for setting in SETTINGS for part in ("--set", setting)]
    out = Path(__file__).parent / DEMO_CHECKPOINT
    options = ["--preset", "paper", "--seed", str(TRAIN_SEED), "--case-kind", "synthetic", "--device", "cpu"]
    command("train", *train_options(cohort, features), "--out", out, "--overwrite", *options, *chosen)
