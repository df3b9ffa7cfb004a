"""Which sample of an expression matrix and which bags belong to which case."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from napari_gimp.genes.matching import match_case
from napari_gimp.genes.matrix import Expression
from napari_gimp.settings import InputError
from napari_gimp.study.features import FeatureFolder, PackedFeatures
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
            f" found {first_names(table.samples)}{' (' + misfits[0].rstrip('.') + ')' if misfits else ''};"
            " name the samples by case_id or slide_id."
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


def match_slides(
    cases: tuple[Case, ...], store: FeatureFolder | PackedFeatures
) -> tuple[tuple[Case, ...], str | None, int, list[str]]:
    """Cases with only the slides that have patches, the encoder, its width and notes.

    Raises
    ------
    InputError
        No slide of a case has patches, or bags of two encoders.
    """
    slides = [slide for case in cases for slide in case.slide_ids]
    heads = {slide: head for slide in slides if (head := store.head(slide)) is not None and head.rows}
    lacking = [slide for slide in slides if slide not in heads]
    if not heads:
        raise InputError(
            f"Features {store.source}: expected bags named by slide_id, found none of the cohort's {len(slides)} slides"
            f" ({first_names(slides)}); check --features and the column slide_id."
        )
    notes = [f"{len(lacking)} slides have no features and are left out: {first_names(lacking)}."] if lacking else []
    others = sorted(set(store.slides) - set(slides))
    if others:
        notes.append(
            f"{len(others)} slides with features are of no labelled case and are not used: {first_names(others)}."
        )
    encoder, width, said = _one_encoder([(h.encoder, h.width) for h in heads.values()], store.source)
    kept = tuple(replace(case, slide_ids=tuple(s for s in case.slide_ids if s in heads)) for case in cases)
    return kept, encoder, width, notes + said


def _one_encoder(kinds: list[tuple[str | None, int]], source: str) -> tuple[str | None, int, list[str]]:
    counts = Counter(kinds)
    named = sorted({name for name, _ in counts if name is not None})
    widths = sorted({width for _, width in counts})
    if len(named) > 1 or len(widths) > 1:
        found = ", ".join(f"{n} of {name or 'no named encoder'} ({width}-d)" for (name, width), n in counts.items())
        raise InputError(f"Features {source}: expected bags of one encoder, found {found}; embed all slides alike.")
    unnamed = sum(n for (name, _), n in counts.items() if name is None)
    notes = [f"{unnamed} bags do not name their encoder; only their width ({widths[0]}) was checked."]
    return (named[0] if named else None), widths[0], notes if unnamed else []
