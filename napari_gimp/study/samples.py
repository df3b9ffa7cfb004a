"""Which sample of an expression matrix belongs to which case."""

from __future__ import annotations

from collections.abc import Sequence

from napari_gimp.genes.matching import match_case
from napari_gimp.genes.matrix import Expression
from napari_gimp.settings import InputError
from napari_gimp.study.table import first_names
from napari_gimp.types import Case


def match_samples(cases: Sequence[Case], table: Expression) -> tuple[tuple[str | None, ...], list[str]]:
    """The sample of each case by slide name, then by case name (equal, or TCGA barcode); None where there is none.

    A case whose only samples do not fit its slides (say, normal tissue) counts as one without expression.

    Raises
    ------
    InputError
        No case has a sample.
    """
    matches, misfits = [], []
    for case in cases:
        try:
            matches.append(_match(case, table))
        except InputError as error:
            matches.append(None)
            misfits.append(str(error))
    lacking = [case.case_id for case, sample in zip(cases, matches, strict=True) if sample is None]
    if len(lacking) == len(cases):
        raise InputError(
            f"Expression: expected samples named like the cases ({first_names(lacking)}),"
            f" found {first_names(table.samples)}{': ' + misfits[0] if misfits else ''}."
        )
    notes = [f"{len(lacking)} of {len(cases)} cases have no expression: {first_names(lacking)}."] if lacking else []
    notes += [f"{len(misfits)} of them have samples that do not fit: {misfits[0]}"] if misfits else []
    return tuple(matches), notes


def _match(case: Case, table: Expression) -> str | None:
    for name in (*case.slide_ids, case.case_id):
        found = match_case(table, name)
        if found is not None:
            return found.sample
    return None
