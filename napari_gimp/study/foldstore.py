"""A cross-validation on disk while it runs: what it is of, and each fold's result, whole or not at all.

``out/run.json`` says what run the folder belongs to; ``out/folds/<name>/`` holds ``predictions.csv``, ``baselines.csv``
and, written last, ``result.json``. The model may keep whatever it likes in ``out/folds/<name>/model``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from napari_gimp.files import remove, write_text_whole
from napari_gimp.settings import InputError
from napari_gimp.study.cohort import Cohort
from napari_gimp.study.folds import Fold
from napari_gimp.study.record import features_identity
from napari_gimp.types import MODALITIES, Modality, array_hash, fingerprint

RUN, FOLDS, RESULT = "run.json", "folds", "result.json"
PREDICTIONS, BASELINES = "predictions.csv", "baselines.csv"
UNCALIBRATED = "uncalibrated_"
WRITTEN = (RUN, FOLDS, PREDICTIONS, BASELINES, "crossval.json", "report.html")
"""All that a run leaves in its folder: what ``overwrite`` removes."""


@dataclass(frozen=True, eq=False)
class StoredFold:
    """A fold's predictions: (m, C) by modality and by baseline, in the order of the fold's test cases."""

    model: Mapping[Modality, Float[np.ndarray, "_ C"]]
    uncalibrated: Mapping[Modality, Float[np.ndarray, "_ C"]]
    baselines: Mapping[str, Float[np.ndarray, "_ C"]]
    details: Mapping[str, Any]


def identity(cohort: Cohort, folds: Sequence[Fold], settings: Mapping[str, Any]) -> dict[str, str]:
    """Fingerprints of what a run depends on: equal for equal runs, and they say what differs."""
    cases = tuple((case.case_id, case.slide_ids, case.label, case.site) for case in cohort.cases)
    table = (cohort.genes, cohort.scale, array_hash(cohort.values), features_identity(cohort))
    return {
        "cohort": fingerprint(cases, *table),
        "folds": fingerprint(tuple((fold.name, tuple(fold.test.tolist())) for fold in folds)),
        "settings": fingerprint(json.dumps(settings, sort_keys=True, default=str)),
    }


def claim(out: Path, mine: Mapping[str, str], about: Mapping[str, Any], *, resume: bool, overwrite: bool) -> None:
    """Make ``out`` this run's folder: new, the same run's to go on with, or cleared.

    Raises
    ------
    InputError
        The folder holds another run, or this one and neither ``resume`` nor ``overwrite`` was said, or other files.
    """
    if _is_barren(out):
        remove(out / RUN)
        remove(out / FOLDS)
    theirs = _owner(out)
    if theirs is None and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(
            f"{out}: expected an empty folder or one of an earlier run, found other files; choose another folder."
        )
    if theirs is not None and not overwrite:
        differing = [name for name, value in mine.items() if theirs.get(name) != value]
        if differing:
            raise InputError(
                f"{out} holds another run (its {' and '.join(differing)} differ): choose another folder, or --overwrite"
                " to replace it."
            )
        if not resume:
            raise InputError(f"{out} holds this run already: --resume to go on with it, or --overwrite to start anew.")
    if overwrite:
        for name in WRITTEN:
            remove(out / name)
    text = json.dumps({"fingerprint": dict(mine), **about}, indent=1, default=str)
    write_text_whole(out / RUN, text)


def _is_barren(out: Path) -> bool:
    """Whether a run was claimed here that ended before anything was made."""
    return (out / RUN).is_file() and not any(path.is_file() for path in out.rglob("*") if path != out / RUN)


def _owner(out: Path) -> dict[str, str] | None:
    try:
        found = json.loads((out / RUN).read_text(encoding="utf-8"))["fingerprint"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found if isinstance(found, dict) else None


def fold_folder(out: Path, fold: Fold, place: int) -> Path:
    """Where a fold's files stand: by its name, by its place where the name is no file name."""
    fits = re.fullmatch(r"\w[\w.-]*", fold.name) is not None
    return out / FOLDS / (fold.name if fits else f"fold-{place}")


def is_done(folder: Path) -> bool:
    """Whether a fold's result is there, whole."""
    return (folder / RESULT).is_file()


def write_fold(folder: Path, cohort: Cohort, fold: Fold, stored: StoredFold) -> None:
    """Write the tables, then the result that marks the fold as done."""
    columns: dict[str, Float[np.ndarray, "_ C"]] = {str(name): rows for name, rows in stored.model.items()}
    columns |= {f"{UNCALIBRATED}{name}": rows for name, rows in stored.uncalibrated.items()}
    tables = {PREDICTIONS: columns, BASELINES: dict(stored.baselines)}
    for name, found in tables.items():
        table = cases_table(cohort, fold).join(probability_columns(found, cohort.classes))
        write_text_whole(folder / name, table.to_csv(index=False, lineterminator="\n"))
    text = json.dumps({"fold": fold.name, "n": len(fold.test), **stored.details}, indent=1, default=_plain)
    write_text_whole(folder / RESULT, text)


def read_fold(folder: Path, cohort: Cohort, fold: Fold) -> StoredFold:
    """What `write_fold` wrote.

    Raises
    ------
    InputError
        The files were changed since.
    """
    try:
        model, baselines = (_probabilities(folder / name, cohort, fold) for name in (PREDICTIONS, BASELINES))
        details = json.loads((folder / RESULT).read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError, pd.errors.ParserError) as error:
        raise InputError(
            f"{folder}: expected the finished fold that {RESULT} tells of, found {error}; remove this folder and"
            " --resume."
        ) from error
    mine = {name: model[name] for name in MODALITIES if name in model}
    raw = {name: model[f"{UNCALIBRATED}{name}"] for name in MODALITIES if f"{UNCALIBRATED}{name}" in model}
    return StoredFold(mine, raw, baselines, details)


def cases_table(cohort: Cohort, fold: Fold) -> pd.DataFrame:
    """Case, fold, label and site of a fold's test cases."""
    cases = [cohort.cases[i] for i in fold.test]
    return pd.DataFrame(
        {
            "case": [case.case_id for case in cases],
            "fold": fold.name,
            "label": [case.label for case in cases],
            "site": [case.site or "" for case in cases],
        }
    )


def probability_columns(found: Mapping[Any, Float[np.ndarray, "_ C"]], classes: Sequence[str]) -> pd.DataFrame:
    """A column ``<model>_<class>`` per model and class; empty where a case lacks an input."""
    return pd.DataFrame(
        {f"{name}_{kind}": rows[:, k] for name, rows in found.items() for k, kind in enumerate(classes)}
    )


def _probabilities(path: Path, cohort: Cohort, fold: Fold) -> dict[str, Float[np.ndarray, "_ C"]]:
    table = pd.read_csv(path, dtype={"case": str, "fold": str, "label": str, "site": str}, float_precision="round_trip")
    if table["case"].tolist() != [cohort.cases[i].case_id for i in fold.test]:
        raise ValueError(f"other cases in {path.name}")
    first, last = (f"_{kind}" for kind in (cohort.classes[0], cohort.classes[-1]))
    heads = list(table.columns[4 :: len(cohort.classes)])
    names = [str(head).removesuffix(first) for head in heads]
    if any(f"{name}{last}" not in table for name in names):
        raise ValueError(f"other columns in {path.name}")
    return {name: table[[f"{name}_{kind}" for kind in cohort.classes]].to_numpy(np.float64) for name in names}


def _plain(value: Any) -> Any:
    """Numpy numbers and arrays, and paths, as JSON has them."""
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else str(value)
