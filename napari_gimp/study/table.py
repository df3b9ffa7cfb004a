"""``cohort.csv`` -> cases, and every way in which such a table can be wrong; lists of genes."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from napari_gimp.settings import InputError
from napari_gimp.types import Case

REQUIRED = ("case_id", "slide_id", "label")
KNOWN = (*REQUIRED, "site")


def read_cases(path: Path) -> tuple[tuple[Case, ...], tuple[str, ...]]:
    """Cases of a cohort table (``case_id, slide_id, label[, site]``) in the order of the file, and notes.

    An empty ``slide_id`` is a case without slides. Cases without a label are left out, with a note.

    Raises
    ------
    InputError
        Unreadable, columns missing, a slide twice, or a case with two labels or sites.
    """
    table, notes = _read(path)
    _refuse_repeated_slides(table, path)
    _refuse_contradictions(table, path)
    labelled = table[table["label"] != ""]
    lacking = table.loc[table["label"] == "", "case_id"].unique()
    if len(lacking):
        notes.append(f"{len(lacking)} cases have no label and are left out: {first_names(lacking)}.")
    if labelled.empty:
        raise InputError(f"{path.name}: expected cases with a label, found none in {len(table)} rows; fill them in.")
    return tuple(_case(str(case_id), rows) for case_id, rows in labelled.groupby("case_id", sort=False)), tuple(notes)


def read_gene_list(path: Path) -> tuple[str, ...]:
    """Genes of a text file, one a line; blank lines and lines that start with # are skipped.

    Raises
    ------
    InputError
        No such file, or no gene in it.
    """
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"Gene list {path}: expected a text file with one gene a line; {error}.") from error
    genes = tuple(dict.fromkeys(line for line in lines if line and not line.startswith("#")))
    if not genes:
        raise InputError(f"Gene list {path.name}: expected one gene a line, found none; give another file.")
    return genes


def first_names(names: Iterable[object], count: int = 3) -> str:
    """The first few names and how many more there are."""
    listed = [str(name) for name in names]
    more = f" and {len(listed) - count} more" if len(listed) > count else ""
    return ", ".join(listed[:count]) + more


def _read(path: Path) -> tuple[pd.DataFrame, list[str]]:
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except FileNotFoundError:
        raise InputError(f"Cohort {path}: expected a CSV file, found nothing there; check the path.") from None
    except (OSError, ValueError) as error:
        said = " ".join(str(error).split())
        raise InputError(
            f"Cohort {path.name}: expected a CSV file with {', '.join(KNOWN)}, found none ({said});"
            " save it as CSV again."
        ) from error
    table.columns = table.columns.str.strip()
    lacking = [column for column in REQUIRED if column not in table]
    if lacking:
        raise InputError(
            f"{path.name}: expected columns {', '.join(REQUIRED)} and perhaps site,"
            f" found {', '.join(map(str, table.columns))}; add {', '.join(lacking)}."
        )
    other = [column for column in table.columns if column not in KNOWN]
    notes = [f"{path.name}: columns not used: {', '.join(map(str, other))}."] if other else []
    return table[[c for c in KNOWN if c in table]].apply(lambda column: column.str.strip()), notes


def _refuse_repeated_slides(table: pd.DataFrame, path: Path) -> None:
    unnamed = int((table["case_id"] == "").sum())
    if unnamed:
        raise InputError(f"{path.name}: expected a case_id in every row, found none in {unnamed} rows; fill them in.")
    slides = table.loc[table["slide_id"] != "", "slide_id"]
    repeated = slides[slides.duplicated()].unique()
    if len(repeated):
        raise InputError(
            f"{path.name}: expected each slide once, found more rows of {first_names(repeated)}; keep one row a slide."
        )


def _refuse_contradictions(table: pd.DataFrame, path: Path) -> None:
    for column in (c for c in ("label", "site") if c in table):
        counts = table.groupby("case_id", sort=False)[column].nunique()
        torn = counts.index[counts > 1]
        if len(torn):
            raise InputError(
                f"{path.name}: expected one {column} per case, found several for {first_names(torn)};"
                " correct the table."
            )


def _case(case_id: str, rows: pd.DataFrame) -> Case:
    site = str(rows["site"].iloc[0]) if "site" in rows else ""
    slides = tuple(str(s) for s in rows["slide_id"] if s)
    return Case(case_id, slides, str(rows["label"].iloc[0]), site or None)
