"""What a run leaves behind of itself: cases and settings in the checkpoint, losses in its history."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import platform
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, astuple
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from napari_gimp.files import is_first_process, write_whole
from napari_gimp.genes.barcodes import case_of
from napari_gimp.gimp.config import ModelConfig
from napari_gimp.gimp.train import Step
from napari_gimp.gimp.trainconfig import TrainConfig
from napari_gimp.settings import InputError
from napari_gimp.study.cohort import Cohort
from napari_gimp.study.preparation import Split
from napari_gimp.types import Case, CheckpointFacts, array_hash, fingerprint


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
    """First 16 characters of the SHA-256 of a patient's name: the same whichever slide or sample a case is named by."""
    return _short_hash(case_of(case.case_id))


def was_seen(case: Case, hashes: Collection[str]) -> bool:
    """Whether a patient is among hashed ones; older checkpoints hashed a case's name as it stood."""
    return case_hash(case) in hashes or _short_hash(case.case_id) in hashes


def cases_seen(facts: CheckpointFacts) -> tuple[str, ...]:
    """Hashes of all cases that had a part in a checkpoint: its own and those of the aggregator it started from."""
    kinds = ("train_cases", "validation_cases", "pretrain_cases")
    return tuple(dict.fromkeys(name for kind in kinds for name in facts.provenance.get(kind, ())))


def _short_hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def run_identity(
    cohort: Cohort, split: Split, model: ModelConfig, training: TrainConfig, **more: Any
) -> dict[str, Any]:
    """What must be the same for a training to go on from its running state: JSON values, cases as one hash."""
    inputs, held = ([astuple(cohort.cases[i]) for i in part] for part in (split.train, split.validation))
    named = {
        "training cases": inputs,
        "validation cases": held,
        "genes": [*cohort.genes, cohort.scale, array_hash(cohort.values)],
        "features": features_identity(cohort),
        "classes": list(cohort.classes),
    }
    hashed = {name: _short_hash(json.dumps(value)) for name, value in named.items()}
    return {"model": asdict(model), "training": asdict(training), **hashed, **more}


def features_identity(cohort: Cohort) -> str:
    """Fingerprint of a cohort's bags without reading all: patches of each slide, features of the first and last."""
    ends = [cohort.features.read(slide).features for slide in (*cohort.slides[:1], *cohort.slides[-1:])]
    rows = tuple(cohort.patches_per_slide().tolist())
    return fingerprint(cohort.encoder, cohort.embedding_dim, cohort.slides, rows, *map(array_hash, ends))


CURVES: Mapping[str, tuple[str, ...]] = {"loss": (), "share": ("accuracy", "active"), "margin": ("image_margin",)}
"""Figures of the history by what they are; the rest are losses."""


class TensorBoardLog:
    """Losses for TensorBoard, a tag per stage and figure; without a folder it does nothing.

    Raises
    ------
    InputError
        TensorBoard is not installed.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._writer: Any = None
        if folder is None:
            return
        if importlib.util.find_spec("tensorboard") is None:
            raise InputError(
                "TensorBoard logging: expected the package tensorboard, found none;"
                ' install it with pip install "napari-gimp[tensorboard]".'
            )
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(folder))

    def add(self, step: Step) -> None:
        """Note a step."""
        if self._writer is not None:
            for name, value in _figures(step).items():
                self._writer.add_scalar(f"{step.stage}/{name}", value, step.step)

    def close(self) -> None:
        """Write what is left."""
        if self._writer is not None:
            self._writer.close()


def step_log(folder: Path | None, member: int) -> TensorBoardLog:
    """The log of one member of a run, in a folder of its own; only the first of several processes writes one.

    Raises
    ------
    InputError
        A folder is given, and TensorBoard is not installed.
    """
    return TensorBoardLog(folder / f"member_{member}" if folder is not None and is_first_process() else None)


def _figures(step: Step) -> dict[str, float]:
    held = {f"validation_{name}": loss for name, loss in (step.validation or {}).items()}
    return {"loss": step.total, **step.losses, **held}


def write_history(out: Path, history: Sequence[Step]) -> None:
    """``<out>.history.csv`` and, where there is an epoch, ``<out>.history.png`` beside a checkpoint.

    Raises
    ------
    InputError
        They cannot be written.
    """
    write_whole(out.with_name(f"{out.name}.history.csv"), history_writer(history))
    if history:
        write_whole(out.with_name(f"{out.name}.history.png"), curves_writer(history))


def curves_writer(history: Sequence[Step]) -> Callable[[Path], None]:
    """Draws the curves of the history as a PNG at the path it is given."""

    def fill(path: Path) -> None:
        curves(history).savefig(path, format="png", dpi=120)

    return fill


def curves(history: Sequence[Step]) -> Figure:
    """A column per stage: losses over its epochs, below shares, below margins; a line marks the best epoch.

    What is equal to the loss itself (its only part) is not drawn twice.
    """
    table = history_table(history)
    stages = list(dict.fromkeys(table["stage"]))
    kinds = [kind for kind in CURVES if kind == "loss" or any(name in table for name in CURVES[kind])]
    figure = Figure(figsize=(3.6 * len(stages), 2.6 * len(kinds)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(kinds), len(stages), squeeze=False)
    for column, stage in enumerate(stages):
        rows = table[table["stage"] == stage].dropna(axis="columns", how="all")
        axes[0, column].set_title(stage)
        for row, kind in enumerate(kinds):
            _draw(axes[row, column], rows, _names(rows, kind), kind)
    return figure


def _names(rows: pd.DataFrame, kind: str) -> list[str]:
    if kind != "loss":
        return [name for name in CURVES[kind] if name in rows]
    others = {"stage", "epoch", "best", *(name for names in CURVES.values() for name in names)}
    return [n for n in map(str, rows) if n not in others and (n == "loss" or not rows[n].equals(rows["loss"]))]


def _draw(axes: Axes, rows: pd.DataFrame, names: Sequence[str], what: str) -> None:
    if not names:
        axes.set_axis_off()
        return
    for name in names:
        style = "--" if name.startswith("validation") else "-"
        axes.plot(rows["epoch"], rows[name], style, marker=".", label=name.replace("_", " "))
    best = rows.loc[rows["best"], "epoch"]
    if len(best):
        axes.axvline(best.iloc[-1], color="0.7", zorder=0)
    if what == "share":
        axes.set_ylim(-0.03, 1.03)
    axes.set_xlabel("epoch")
    axes.set_ylabel(what)
    axes.legend(fontsize="small", frameon=False)


def history_writer(history: Sequence[Step]) -> Callable[[Path], None]:
    """Writes the history to the path it is given."""

    def fill(path: Path) -> None:
        history_table(history).to_csv(path, index=False, lineterminator="\n")

    return fill


def history_table(history: Sequence[Step]) -> pd.DataFrame:
    """Steps -> a row per stage and epoch: mean losses, validation losses, and whether it was the best so far."""
    columns = ["stage", "epoch", "loss", "best"]
    rows = [
        {"stage": step.stage, "epoch": step.epoch, "loss": step.total, "best": step.best} | _figures(step)
        for step in history
    ]
    epochs = pd.DataFrame(rows, columns=None if rows else columns).groupby(columns[:2], sort=False)
    table = epochs.mean()
    table["best"] = epochs["best"].any()
    return table.reset_index()
