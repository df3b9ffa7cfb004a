"""What a run leaves behind of itself: cases and settings in the checkpoint, losses in its history."""

from __future__ import annotations

import hashlib
import platform
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

from napari_gimp.gimp.train import Step
from napari_gimp.gimp.trainconfig import TrainConfig
from napari_gimp.study.cohort import Cohort
from napari_gimp.study.preparation import Split
from napari_gimp.types import Case


def trained_on(cohort: Cohort, split: Split) -> str:
    """The training cases in words: how many, of which classes, with which inputs."""
    counts = Counter(cohort.cases[i].label for i in split.train)
    classes = ", ".join(f"{counts[name]} {name}" for name in cohort.classes)
    both = int(cohort.has("both")[split.train].sum())
    kinds = f"{both} with image and genes" if cohort.genes else "image only"
    held = f"{len(split.validation)} more kept to choose the epoch" if len(split.validation) else "no validation cases"
    return f"{cohort.name}: {len(split.train)} cases ({classes}), {kinds}; {held}"


def provenance(cohort: Cohort, split: Split, training: TrainConfig, has_places: bool) -> dict[str, Any]:
    """What it takes to train again. Cases are named by hash: enough to notice that one is tested on, and no more."""
    packages = ("napari-gimp", "torch", "numpy", "lightning-fabric")
    return {
        "training": asdict(training),
        "has_places": has_places,
        "split": "random by case, stratified by label and inputs; sites are not kept apart",
        "train_cases": [case_hash(cohort.cases[i]) for i in split.train],
        "validation_cases": [case_hash(cohort.cases[i]) for i in split.validation],
        "versions": {"python": platform.python_version()} | {name: version(name) for name in packages},
        "cohort_notes": _nameless_notes(cohort),
    }


def _nameless_notes(cohort: Cohort) -> list[str]:
    """Census of the cohort; format, size and scale of its expression: the notes that name no case, sample or file."""
    table = () if cohort.table is None else cohort.table.notes
    return [*cohort.remarks[:1], *table[:3]]


def case_hash(case: Case) -> str:
    """First 16 characters of the SHA-256 of a case's name."""
    return hashlib.sha256(case.case_id.encode()).hexdigest()[:16]


def history_writer(history: Sequence[Step]) -> Callable[[Path], None]:
    """Writes the history to the path it is given."""

    def fill(path: Path) -> None:
        history_table(history).to_csv(path, index=False, lineterminator="\n")

    return fill


def history_table(history: Sequence[Step]) -> pd.DataFrame:
    """Steps -> a row per stage and epoch: mean losses, validation losses, and whether it was the best so far."""
    columns = ["stage", "epoch", "loss", "best"]
    rows = [
        {"stage": step.stage, "epoch": step.epoch, "loss": step.total, "best": step.best, **step.losses}
        | {f"validation_{name}": loss for name, loss in (step.validation or {}).items()}
        for step in history
    ]
    epochs = pd.DataFrame(rows, columns=None if rows else columns).groupby(columns[:2], sort=False)
    table = epochs.mean()
    table["best"] = epochs["best"].any()
    return table.reset_index()
