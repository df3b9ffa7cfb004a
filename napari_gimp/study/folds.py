"""Folds of a cohort: from a file, or made on the spot so that patients, or whole sites, stay together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from jaxtyping import Int
from sklearn.model_selection import StratifiedGroupKFold

from napari_gimp.genes.barcodes import case_of
from napari_gimp.settings import InputError
from napari_gimp.study.cohort import Cohort
from napari_gimp.study.table import first_names

Grouping = Literal["site", "patient"]


@dataclass(frozen=True, eq=False)
class Fold:
    """Cases that are tested together (indices into ``cohort.cases``, in order); all others may be learned from."""

    name: str
    test: Int[np.ndarray, " m"]

    def train(self, cohort: Cohort) -> Int[np.ndarray, " t"]:
        """The cases of all other folds."""
        return np.setdiff1d(np.arange(len(cohort)), self.test)


def read_folds(where: str, cohort: Cohort) -> tuple[Fold, ...]:
    """Folds of a column of a CSV file with ``case_id``; cases of the file that the cohort lacks are not looked at.

    Parameters
    ----------
    where
        ``folds.csv:COLUMN``; the column may be left out where there is but one.

    Raises
    ------
    InputError
        No such file or column, a case of the cohort without a fold or with two, fewer than two folds, or a fold
        whose training part lacks a class.
    """
    path, table = _read_table(where)
    column = _column(where, path, table)
    fold_of = _fold_of_case(table, column, path)
    lacking = [case.case_id for case in cohort.cases if not fold_of.get(case.case_id)]
    if lacking:
        raise InputError(
            f"{path.name}: expected a fold in {column} for each of the {len(cohort)} cases, found none for"
            f" {len(lacking)}: {first_names(lacking)}; add them to the file."
        )
    names = np.array([fold_of[case.case_id] for case in cohort.cases])
    folds = tuple(Fold(name, np.flatnonzero(names == name)) for name in sorted(set(names.tolist()), key=_in_order))
    return check_folds(folds, cohort)


def _read_table(where: str) -> tuple[Path, pd.DataFrame]:
    whole = Path(where)
    path = whole if whole.is_file() or ":" not in where else Path(where.rpartition(":")[0])
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except FileNotFoundError:
        raise InputError(
            f"Folds {path}: expected a CSV file with case_id, found nothing there; check the path."
        ) from None
    except (OSError, ValueError) as error:
        said = " ".join(str(error).split())
        raise InputError(
            f"Folds {path.name}: expected a CSV file with case_id and columns of folds, found none ({said});"
            " save it as CSV again."
        ) from error
    table.columns = table.columns.str.strip()
    if "case_id" not in table:
        raise InputError(
            f"{path.name}: expected a column case_id, found {', '.join(map(str, table.columns))}; name it case_id."
        )
    return path, table.apply(lambda column: column.str.strip())


def _column(where: str, path: Path, table: pd.DataFrame) -> str:
    options = [str(column) for column in table.columns if column != "case_id"]
    asked = where[len(str(path)) + 1 :] if where.startswith(f"{path}:") else where.rpartition(":")[2]
    if not Path(where).is_file() and asked in options:
        return asked
    if Path(where).is_file() and len(options) == 1:
        return options[0]
    found = f"the columns {', '.join(options)}" if options else "none beside case_id"
    raise InputError(f"Folds {where}: expected {path.name}:COLUMN with a column of folds, found {found}; name one.")


def _fold_of_case(table: pd.DataFrame, column: str, path: Path) -> dict[str, str]:
    torn = table.groupby("case_id")[column].nunique()
    if (torn > 1).any():
        raise InputError(
            f"{path.name}: expected one fold a case, found several for {first_names(torn.index[torn > 1])};"
            " correct the file."
        )
    return dict(zip(table["case_id"].astype(str), table[column].astype(str), strict=True))


def _in_order(name: str) -> tuple[float, str]:
    """Numbers by size, then words."""
    return (float(name), "") if name.isdecimal() else (np.inf, name)


def default_grouping(cohort: Cohort) -> Grouping:
    """Whole sites wherever the cohort names them, else patients."""
    return "site" if any(case.site for case in cohort.cases) else "patient"


def groups_of(cohort: Cohort, by: Grouping) -> list[str]:
    """What keeps cases together: the site, or the patient where the site is unknown or not asked for."""
    return [
        f"site {case.site}" if by == "site" and case.site else f"patient {case_of(case.case_id)}"
        for case in cohort.cases
    ]


def make_folds(cohort: Cohort, by: Grouping, folds: int = 5, seed: int = 0) -> tuple[Fold, ...]:
    """Folds of about equal size and class balance in which no patient, or no site, is divided.

    Raises
    ------
    InputError
        Fewer than two folds, no sites in the cohort, a class with fewer cases or groups than needed, or a fold whose
        training part lacks a class.
    """
    labels = cohort.labels
    _check_request(cohort, labels, by, folds)
    groups = np.array(groups_of(cohort, by))
    if len(set(groups.tolist())) < folds:
        raise InputError(
            f"Cohort {cohort.name}: expected at least {folds} {by}s for {folds} folds, found"
            f" {len(set(groups.tolist()))}; ask for fewer folds."
        )
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    parts = [test for _, test in splitter.split(labels, labels, groups)]
    made = [Fold(str(k), np.sort(test).astype(np.int64)) for k, test in enumerate(parts, 1)]
    return check_folds(made, cohort)


def _check_request(cohort: Cohort, labels: Int[np.ndarray, " n"], by: Grouping, folds: int) -> None:
    if folds < 2:
        raise InputError(f"--n-folds: expected at least 2 folds, found {folds}; ask for more.")
    if by == "site" and not any(case.site for case in cohort.cases):
        raise InputError(
            f"Cohort {cohort.name}: expected a column site to hold whole sites out, found none; add it to the cohort"
            " table or use --by-patient."
        )
    _check_classes(cohort)
    counts = np.bincount(labels, minlength=len(cohort.classes))
    few = [f"{name} ({n})" for name, n in zip(cohort.classes, counts, strict=True) if n < folds]
    if few:
        raise InputError(
            f"Cohort {cohort.name}: expected at least {folds} cases of each class for {folds} folds, found fewer of"
            f" {', '.join(few)}; ask for fewer folds or add cases."
        )


def _check_classes(cohort: Cohort) -> None:
    if len(cohort.classes) < 2:
        raise InputError(
            f"Cohort {cohort.name}: expected cases of at least two classes, found only {cohort.classes[0]};"
            " add cases of another class."
        )


def check_folds(folds: Sequence[Fold], cohort: Cohort) -> tuple[Fold, ...]:
    """The folds, if each can be trained and tested.

    Raises
    ------
    InputError
        Fewer than two folds, a fold without cases, a case in two folds, or a training part that lacks a class.
    """
    _check_classes(cohort)
    if len(folds) < 2 or not all(len(fold.test) for fold in folds):
        raise InputError(
            f"Cohort {cohort.name}: expected at least two folds with cases in each, found {len(folds)}; ask for more."
        )
    if np.bincount(np.concatenate([fold.test for fold in folds])).max() > 1:
        raise InputError(f"Cohort {cohort.name}: expected each case in one fold, found some in several.")
    labels = cohort.labels
    for fold in folds:
        left = np.bincount(labels[fold.train(cohort)], minlength=len(cohort.classes))
        gone = [name for name, n in zip(cohort.classes, left, strict=True) if not n]
        if gone:
            raise InputError(
                f"Fold {fold.name}: expected cases of each class in its training part, found none of {', '.join(gone)};"
                " divide the cases otherwise (fewer folds, or by patient)."
            )
    return tuple(folds)
