"""Cross-validation: a model and the baselines beside it over the same folds, resumable fold by fold."""

from __future__ import annotations

import platform
import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from napari_gimp.genes.barcodes import case_of
from napari_gimp.gimp.sites import SlideMeans
from napari_gimp.settings import InputError
from napari_gimp.study.cohort import Cohort
from napari_gimp.study.comparison import OutOfFold
from napari_gimp.study.crossvalidation import CrossValidation
from napari_gimp.study.folds import Fold, check_folds
from napari_gimp.study.foldstore import (
    StoredFold,
    cases_table,
    claim,
    fold_folder,
    identity,
    is_done,
    read_fold,
    write_fold,
)
from napari_gimp.study.leaks import check_leaks
from napari_gimp.study.memory import memory_in_words
from napari_gimp.study.pace import named
from napari_gimp.study.rivals import DIRECTIONS, Rivals, rivals_of, table_for
from napari_gimp.types import MODALITIES, Modality, Progress, array_hash

PACKAGES = ("napari-gimp", "torch", "numpy", "scikit-learn", "lightning-fabric")


@dataclass(frozen=True, eq=False)
class FoldResult:
    """What a model made of a fold's test cases: (m, C) by modality, NaN rows where a case lacks an input.

    ``uncalibrated`` are the same before calibration, where there was one; ``details`` goes into the fold's JSON.
    """

    probabilities: Mapping[Modality, Float[np.ndarray, "_ C"]]
    details: dict[str, Any] = field(default_factory=dict)
    uncalibrated: Mapping[Modality, Float[np.ndarray, "_ C"]] = field(default_factory=dict)


@runtime_checkable
class FoldModel(Protocol):
    """Learns from the training cases alone and predicts the test cases; ``folder`` is its own to keep things in."""

    def __call__(
        self, cohort: Cohort, train: Int[np.ndarray, " t"], test: Int[np.ndarray, " m"], folder: Path, seed: int
    ) -> Generator[Progress, None, FoldResult]:
        """Train and predict."""


@runtime_checkable
class ChecksFolds(Protocol):
    """A model that can tell beforehand that it will refuse a fold."""

    def check(self, cohort: Cohort, folds: Sequence[Fold]) -> None:
        """Raise what training would."""


@memory_in_words
def cross_validate(
    cohort: Cohort,
    folds: Sequence[Fold],
    model: FoldModel,
    out: Path,
    *,
    baselines: bool = True,
    seed: int = 0,
    resume: bool = False,
    overwrite: bool = False,
    directions_from: Path | None = None,
    directions: int = DIRECTIONS,
    modality: Modality | None = None,
    settings: Mapping[str, Any] | None = None,
    warnings: tuple[str, ...] | None = None,
) -> Generator[Progress, None, CrossValidation]:
    """Train and test in every fold; each fold's result is on disk before the next begins.

    Parameters
    ----------
    out
        Folder of the run: see `foldstore`. `CrossValidation.write` and the report add the final files.
    baselines
        Whether to run the simple models too.
    seed
        The same for the model in every fold, for baselines and bootstrap.
    resume, overwrite
        Go on with a run of the same cohort, folds and settings; or replace what the folder holds.
    directions_from, directions
        Table of slide means that site directions are estimated from, and how many; without a table they come from the
        sites of the training part. A table's slides of the cohort's own cases are left out; one that can show no more
        gives fewer.
    modality
        The headline's; by default both inputs where cases have them, else the image.
    settings
        Of the model: stored, shown, and part of what makes a run the same.
    warnings
        What `leaks_of` said, where it was asked before; by default it is asked here.

    Raises
    ------
    InputError
        Folds that cannot be trained, a modality that no case has the inputs of, a folder that is taken, a table that
        does not fit, or what the model refuses.
    """
    began = time.monotonic()
    checked = check_folds(folds, cohort)
    check_modality(cohort, checked, modality)
    if isinstance(model, ChecksFolds):
        model.check(cohort, checked)
    table = None if directions_from is None else table_for(cohort, directions_from)
    rivals = rivals_of(baselines, table, directions)
    about = _about(settings, seed, baselines, directions_from, table, directions)
    claim(out, identity(cohort, checked, about), {"settings": about}, resume=resume, overwrite=overwrite)
    stored = yield from _all_folds(cohort, checked, model, out, rivals, seed)
    said = leaks_of(cohort, checked) if warnings is None else warnings
    return _joined(cohort, checked, stored, modality, about, seed, time.monotonic() - began, said)


def leaks_of(cohort: Cohort, folds: Sequence[Fold]) -> tuple[str, ...]:
    """What of a cohort gives the label away, and what stands on both sides of a fold: see `check_leaks`."""
    return check_leaks(cohort, [(fold.train(cohort), fold.test) for fold in folds])


def check_modality(cohort: Cohort, folds: Sequence[Fold], modality: Modality | None) -> None:
    """Refuse a headline that no tested case has the inputs of; None suits any cohort.

    Raises
    ------
    InputError
        No such case.
    """
    tests = np.concatenate([fold.test for fold in folds])
    if modality is None or (cohort.has(modality)[tests] & (modality == "image" or bool(cohort.genes))).any():
        return
    raise InputError(
        f"Cohort {cohort.name}: expected cases with what modality {modality} needs, found none;"
        " give --expression, or another --modality."
    )


def _about(
    settings: Mapping[str, Any] | None,
    seed: int,
    baselines: bool,
    source: Path | None,
    table: SlideMeans | None,
    directions: int,
) -> dict[str, Any]:
    means = None if table is None or source is None else f"{source.name} {array_hash(table.mean)[:16]}"
    return {
        **(settings or {}),
        "seed": seed,
        "baselines": baselines,
        "directions": directions,
        "directions_from": means or "the training part",
    }


def _all_folds(
    cohort: Cohort, folds: Sequence[Fold], model: FoldModel, out: Path, rivals: Rivals, seed: int
) -> Generator[Progress, None, list[StoredFold]]:
    stored = []
    for place, fold in enumerate(folds, 1):
        folder = fold_folder(out, fold, place)
        if not is_done(folder):
            work = _one_fold(cohort, fold, model, folder, rivals, seed)
            found = yield from named(work, f"fold {place} of {len(folds)}")
            write_fold(folder, cohort, fold, found)
        stored.append(read_fold(folder, cohort, fold))
        yield Progress("folds", place, len(folds), "folds")
    return stored


def _one_fold(
    cohort: Cohort, fold: Fold, model: FoldModel, folder: Path, rivals: Rivals, seed: int
) -> Generator[Progress, None, StoredFold]:
    began, train = time.monotonic(), fold.train(cohort)
    (folder / "model").mkdir(parents=True, exist_ok=True)
    result = yield from model(cohort, train, fold.test, folder / "model", seed)
    _check_result(result, fold, cohort)
    trained = time.monotonic()
    others, source = yield from rivals.run(cohort, train, fold.test, seed)
    spent = {"seconds": trained - began, "baseline_seconds": time.monotonic() - trained}
    details = {**result.details, **{name: round(s, 2) for name, s in spent.items()}, "baseline_directions": source}
    return StoredFold(result.probabilities, result.uncalibrated, others, details)


def _check_result(result: FoldResult, fold: Fold, cohort: Cohort) -> None:
    expected = (len(fold.test), len(cohort.classes))
    for name, rows in (*result.probabilities.items(), *result.uncalibrated.items()):
        if rows.shape != expected:
            raise ValueError(f"Fold {fold.name}: the model gave {rows.shape} probabilities for {name}, not {expected}.")


def _joined(
    cohort: Cohort,
    folds: Sequence[Fold],
    stored: Sequence[StoredFold],
    modality: Modality | None,
    about: Mapping[str, Any],
    seed: int,
    seconds: float,
    warnings: tuple[str, ...],
) -> CrossValidation:
    """All folds as one, cases in the cohort's order."""
    order = np.argsort(np.concatenate([fold.test for fold in folds]))
    cases = pd.concat([cases_table(cohort, fold) for fold in folds], ignore_index=True).iloc[order]
    tests = np.concatenate([fold.test for fold in folds])[order]
    fold_of = np.repeat(np.arange(len(folds)), [len(fold.test) for fold in folds])[order]
    patients = np.array([case_of(cohort.cases[i].case_id) for i in tests])
    tested = OutOfFold(cohort.labels[tests], fold_of, patients, tuple(fold.name for fold in folds))
    model = _stack([part.model for part in stored], order)
    spent = sum(
        float(part.details.get("seconds", 0)) + float(part.details.get("baseline_seconds", 0)) for part in stored
    )
    return CrossValidation(
        cohort.name,
        cohort.classes,
        _headline(model, modality),
        cases.reset_index(drop=True),
        tested,
        model,
        _stack([part.uncalibrated for part in stored], order),
        _stack([part.baselines for part in stored], order),
        tuple(part.details for part in stored),
        seed,
        max(seconds, spent),
        about,
        {"python": platform.python_version()} | {name: version(name) for name in PACKAGES},
        warnings,
        cohort.notes,
    )


def _stack(parts: Sequence[Mapping[Any, Float[np.ndarray, "_ C"]]], order: Int[np.ndarray, " n"]) -> dict[Any, Any]:
    """Models that every fold has, cases in the cohort's order."""
    shared = [name for name in parts[0] if all(name in part for part in parts)]
    return {name: np.concatenate([part[name] for part in parts])[order] for name in shared}


def _headline(model: Mapping[Modality, Float[np.ndarray, "n C"]], asked: Modality | None) -> Modality:
    for name in MODALITIES if asked is None else (asked,):
        if name in model and not np.isnan(model[name]).all():
            return name
    words = "" if asked is None else f" by modality {asked}"
    raise InputError(
        f"Cross-validation: expected predictions of some case{words}, found none; check the cohort's inputs."
    )
