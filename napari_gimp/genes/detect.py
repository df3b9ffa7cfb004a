"""What a matrix is, found out from its names and numbers: orientation, identifiers, scale. Every finding has a reason.

Nothing here is silent: callers put each finding's ``why`` into the notes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from napari_gimp.genes.barcodes import parse_barcode
from napari_gimp.genes.table import as_word
from napari_gimp.settings import InputError
from napari_gimp.types import Scale

GENE_WORDS = (
    *("hugo_symbol", "gene_id", "ensembl_id", "ensembl_gene_id", "gene", "gene_name", "gene_symbol", "symbol", "genes"),
    *("geneid", "genesymbol", "ensembl", "ensg", "entrez_gene_id", "mirna_id", "mirna", "probe", "feature", "#gene"),
)
SAMPLE_WORDS = (
    *("sample_id", "sample_name", "samples", "sampleid", "case_id", "case", "cases", "caseid", "patient_id", "patient"),
    *("patients", "patientid", "submitter_id", "bcr_patient_barcode", "barcode", "tcga_id", "subject", "subject_id"),
    *("slide_id", "slide", "specimen", "aliquot"),
)
"""First-column headers that settle what the rows are. Not "sample": Xena heads its *gene* column so."""

SYMBOL_WORDS = ("gene_name", "gene_symbol", "symbol", "hugo_symbol", "hgnc_symbol", "approved_symbol")

_ENSEMBL = re.compile(r"(ENSG\d{11})(\.\d+)?(_PAR_Y)?$")
_MICRO = re.compile(r"hsa-(let|mir)-", re.IGNORECASE)
_SYMBOL = re.compile(r"([A-Z][A-Z0-9]{1,14}([-.@][A-Z0-9]+){0,3}|C(\d+|X|Y)orf\d+|[A-Z0-9?-]+\|\d+)$")
_SAMPLE = re.compile(
    r"(\d+|[0-9a-f]{8}-[0-9a-f]{4}-.*|(S|P|PT|PAT|ID|SAMPLE|PATIENT|CASE|SLIDE|SUBJECT|GSM|[SED]RR|CPTAC|GTEX|C3[LN])"
    r"[-_ .]?\d[\w.-]*)$",
    re.IGNORECASE,
)
_DATE = re.compile(r"(\d{1,2}-(Mar|Sep|Dec|Oct|Nov|Feb|Apr)|(Mar|Sep|Dec|Oct|Nov|Feb|Apr)-\d{1,2})$", re.IGNORECASE)


@dataclass(frozen=True)
class Orientation:
    """Whether genes are the rows, and why."""

    genes_in_rows: bool
    why: str


@dataclass(frozen=True)
class FoundScale:
    """The scale, and why. ``undo_log``: the values become that by 2^x minus this number."""

    scale: Scale
    why: str
    undo_log: float | None = None


def gene_key(name: str) -> str:
    """The name by which a gene is compared: Ensembl identifiers without version and ``_PAR_Y``."""
    found = _ENSEMBL.match(name)
    return found.group(1) if found else name


def is_ensembl(name: str) -> bool:
    """Whether a name is a human Ensembl gene identifier, with or without version."""
    return _ENSEMBL.match(name) is not None


def identifiers(genes: Sequence[str]) -> str:
    """In words what kind of names these are."""
    ensembl = sum(map(is_ensembl, genes))
    if ensembl and 2 * ensembl >= len(genes):
        return "Ensembl identifiers"
    return "miRNA names" if _share(genes, _is_micro) > 0.5 else "gene symbols"


def date_like(genes: Sequence[str]) -> list[str]:
    """Gene names that a spreadsheet has turned into dates (``1-Mar`` was MARCHF1)."""
    return [gene for gene in genes if _DATE.match(gene)]


def orientation(corner: str, rows: Sequence[str], columns: Sequence[str]) -> Orientation:
    """Which axis the genes are on: barcodes and gene identifiers first, then the header's word, then looks and size."""
    for what, test in (("TCGA barcodes", _is_barcode), ("Ensembl or miRNA names", _is_sure_gene)):
        in_rows, in_columns = _share(rows, test), _share(columns, test)
        if abs(in_rows - in_columns) >= 0.3:
            names_rows = in_rows > in_columns
            where = "the rows" if names_rows else "the header"
            return Orientation(names_rows == (test is _is_sure_gene), f"{what} in {where}")
    word = as_word(corner)
    if word in GENE_WORDS or word in SAMPLE_WORDS:
        return Orientation(word in GENE_WORDS, f"first column is {corner!r}")
    looks = _symbol_share(rows) - _symbol_share(columns)
    if abs(looks) >= 0.3:
        return Orientation(looks > 0, "names that look like gene symbols")
    if word == "sample":
        return Orientation(False, f"first column is {corner!r}")
    if max(len(rows), len(columns)) >= 4 * min(len(rows), len(columns)):
        return Orientation(len(rows) > len(columns), "uncertain: taken as having more genes than samples")
    return Orientation(False, "uncertain: call the first column 'sample_id' or 'gene' to settle it")


def _share(names: Sequence[str], test: Callable[[str], bool]) -> float:
    some = names[:: max(1, len(names) // 500)]
    return sum(map(test, some)) / max(1, len(some))


def _is_barcode(name: str) -> bool:
    return parse_barcode(name) is not None


def _is_micro(name: str) -> bool:
    return _MICRO.match(name) is not None


def _is_sure_gene(name: str) -> bool:
    return is_ensembl(name) or _is_micro(name)


def _symbol_share(names: Sequence[str]) -> float:
    """Share of names that look like gene symbols; names that differ only in a number are samples (S01, S02, ...)."""
    if len(names) > 1 and len({re.sub(r"\d.*", "", name) for name in names}) == 1:
        return 0.0
    return _share(names, lambda name: bool(_SYMBOL.match(name)) and not _SAMPLE.match(name))


FEW_VALUES = 200
LOG_MAX = 50.0
FEW_NEGATIVE = 0.01
_TOIL_FLOOR = float(np.log2(0.001))


def find_scale(values: Float[np.ndarray, "S G"], *, written_whole: bool) -> FoundScale:
    """Tell the scale from the numbers, as the field does: largest above 50 linear, negative centred, else log.

    Parameters
    ----------
    written_whole
        The file writes every number without a decimal point.
    """
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    negative = float((values < 0).mean())
    if abs(low - _TOIL_FLOOR) < 1e-3 and high <= LOG_MAX:
        return FoundScale("linear", "log2(x + 0.001), as its floor of -9.966 shows, turned back", undo_log=0.001)
    if low < 0 and (high <= LOG_MAX or negative > FEW_NEGATIVE):
        return FoundScale("zscore", f"negative values down to {low:.4g}: {_centring(values)}")
    if _are_counts(values, written_whole):
        return FoundScale("counts", f"whole numbers up to {high:g}")
    if high > LOG_MAX:
        return FoundScale("linear", f"values up to {high:g}")
    if _are_log_counts(values):
        return FoundScale("counts", "log2(x + 1) of whole numbers, turned back into counts", undo_log=1.0)
    doubt = (
        f"; cannot be verified on {values.size} values: say it with --expression-scale if it is another"
        if values.size < FEW_VALUES
        else ""
    )
    return FoundScale("log", f"values from {low:.4g} to {high:.4g}{doubt}")


def _are_counts(values: Float[np.ndarray, "S G"], written_whole: bool) -> bool:
    """Whole numbers, and not only large ones rounded to five digits."""
    some = _positive(values)
    if not len(some) or np.any(some != np.rint(some)):
        return False
    return written_whole or int((some < 1000).sum()) >= 10


def _are_log_counts(values: Float[np.ndarray, "S G"]) -> bool:
    """Log values whose originals are whole numbers: old HTSeq and STAR counts of the GDC hub of Xena."""
    back = np.exp2(_positive(values)) - 1
    telling = back[back < 100]
    return len(telling) >= 50 and bool(np.all(np.abs(telling - np.rint(telling)) < 1e-3 * np.maximum(1, telling)))


def _positive(values: Float[np.ndarray, "S G"]) -> Float[np.ndarray, " n"]:
    """At most a million of the values above zero."""
    some = values.ravel()[:: max(1, values.size // 1_000_000)]
    return np.asarray(some[np.isfinite(some) & (some > 0)])


def _centring(values: Float[np.ndarray, "S G"]) -> str:
    """Z-scores or only centred? In words; takes ten samples to tell."""
    if len(values) < 10:
        return "z-scores, or only centred"
    some = values[:, :: max(1, values.shape[1] // 500)]
    typical = float(np.median([np.std(gene[np.isfinite(gene)]) for gene in some.T if np.isfinite(gene).any()]))
    kind = (
        "z-scores" if 0.75 <= typical <= 1.35 else "centred per gene but not scaled to unit spread, treated as z-scores"
    )
    return f"{kind} (typical standard deviation {typical:.2f})"


def check_scale(values: Float[np.ndarray, "S G"], scale: Scale, source: str) -> None:
    """Refuse a declared scale that the numbers contradict.

    Raises
    ------
    InputError
        Negative counts, linear or log values; log values or z-scores beyond what those can be.
    """
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    if scale == "log" and high > LOG_MAX:
        raise InputError(_contradiction(source, scale, f"values up to {high:g}", "linear or counts"))
    if scale != "zscore" and low < 0 and float((values < 0).mean()) > FEW_NEGATIVE:
        raise InputError(_contradiction(source, scale, f"negative values down to {low:.4g}", "zscore"))
    if scale == "zscore" and low >= 0 and high > LOG_MAX:
        raise InputError(_contradiction(source, scale, f"values from {low:g} to {high:g}", "linear or counts"))


def _contradiction(source: str, scale: str, found: str, other: str) -> str:
    return f"{source}: expected {scale} values, as declared, found {found}; declare {other}, or leave the scale out."


def mean_known(values: Float[np.ndarray, "S G"]) -> Float[np.ndarray, " G"]:
    """Mean of each gene over the samples that have it; -inf where none has."""
    known = ~np.isnan(values)
    count = known.sum(axis=0)
    total = np.where(known, values, 0).sum(axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), -np.inf)
