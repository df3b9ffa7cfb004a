"""The delimited layouts of the field, each read into one raw matrix. Which one it is, its header says.

Xena, cBioPortal, PanCanAtlas, MCAT/PORPOISE and plain tables either way round; GDC files are in
:mod:`napari_gimp.genes.gdc`, h5ad in :mod:`napari_gimp.genes.h5ad`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Float

from napari_gimp.genes.barcodes import parse_barcode, plain_name
from napari_gimp.genes.detect import GENE_WORDS, SAMPLE_WORDS, SYMBOL_WORDS, is_ensembl, orientation
from napari_gimp.genes.matrix import listed
from napari_gimp.genes.table import Frame, Head, as_word, number_columns, read_body
from napari_gimp.settings import InputError
from napari_gimp.types import Scale

_NOT_EXPRESSION = frozenset(
    (
        *(*GENE_WORDS, *SAMPLE_WORDS, "sample", "gene_type", "description", "chrom", "chromosome", "chr", "start"),
        *("end", "strand", "length", "label", "site", "age", "sex", "gender", "is_female", "stage", "grade", "train"),
        *("split", "fold", "survival", "survival_months", "survival_days", "censorship", "oncotree_code", "cohort"),
        *("cancer_type", "sample_type", "entrez", "entrezid", "cytoband", "unnamed:_0", "unnamed:_0_1"),
    )
)
_VALUE_WORDS = frozenset(
    ("value", "values", "expression", "tpm", "fpkm", "counts", "count", "rsem", "sample", "level", "signal", "")
)
_SYMBOL_ENTREZ = re.compile(r"[^|]+\|\d+$")


@dataclass
class RawMatrix:
    """A matrix as its file has it: names may repeat and the scale may be unknown. values (S, G)."""

    samples: list[str]
    genes: list[str]
    values: Float[np.ndarray, "S G"]
    source: str = "table"
    scale: Scale | None = None
    symbols: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    written_whole: bool = False


def read_table(head: Head) -> RawMatrix:
    """Read a delimited matrix, whatever way round.

    Raises
    ------
    InputError
        Text among the numbers, or no numbers at all.
    """
    if any(word.endswith("_rnaseq") for word in head.words):
        return _read_mcat(head)
    if _without_header(head):
        return _read_pairs(head)
    frame = read_body(head)
    names = _name_column(head, frame)
    rows = [str(name).strip() if name == name else "" for name in frame[names].tolist()]
    kept, left_out = _expression_columns(head, frame, names, rows)
    columns = [head.header[c] for c in kept]
    found = orientation(head.header[names], rows, columns)
    raw = _matrix(frame[kept], rows, columns, genes_in_rows=found.genes_in_rows)
    raw.symbols = _symbols_beside(head, frame, rows)
    raw.source = _source(head.words[names], raw, genes_in_rows=found.genes_in_rows)
    raw.notes.append(f"Orientation: {'genes' if found.genes_in_rows else 'samples'} in rows ({found.why}).")
    if left_out:
        raw.notes.append(f"Columns left out because they are not expression: {listed(left_out)}.")
    return _named_by_file(raw, head.path)


def file_stem(path: Path) -> str:
    """The file's name up to the endings of tables: ``a.b.tsv.gz`` -> ``a.b``."""
    return re.sub(r"(\.(csv|tsv|txt|tab|h5ad))?(\.(gz|zip))?$", "", path.name, flags=re.IGNORECASE) or path.name


def _matrix(frame: Frame, rows: list[str], columns: list[str], *, genes_in_rows: bool) -> RawMatrix:
    whole = all(kind.kind in "iu" for kind in frame.dtypes)
    values = frame.to_numpy(np.float64, na_value=np.nan)
    if genes_in_rows:
        return RawMatrix(columns, rows, values.T, written_whole=whole)
    return RawMatrix(rows, columns, values, written_whole=whole)


def _read_mcat(head: Head) -> RawMatrix:
    """One row a slide, gene columns end in ``_rnaseq``; mutations, copy numbers and outcomes stand beside them.

    The rows of a case's slides are equal: they become one sample, named by the case.
    """
    frame = read_body(head)
    named = [head.words.index(word) for word in ("case_id", "slide_id") if word in head.words]
    if not named:
        raise InputError(
            f"Expected a column case_id or slide_id beside the '_rnaseq' columns of {head.path}, found neither;"
            " add the one that names the samples."
        )
    rows = [plain_name(str(name)) for name in frame[named[0]]]
    genes = [c for c, word in enumerate(head.words) if word.endswith("_rnaseq")]
    kept, _ = number_columns(frame, genes, head.header, rows)
    raw = _matrix(frame[kept], rows, [head.header[c][: -len("_rnaseq")] for c in kept], genes_in_rows=False)
    raw.source = "MCAT/PORPOISE"
    others = len(head.header) - len(kept)
    raw.notes += [
        "Orientation: samples in rows ('_rnaseq' columns).",
        f"Columns without '_rnaseq', left out: {others}.",
    ]
    return raw


def _without_header(head: Head) -> bool:
    """Two columns whose first line is already a gene and its number, as in old HTSeq files."""
    known = head.words[0] in (*GENE_WORDS, *SAMPLE_WORDS, "sample", "")
    return len(head.header) == 2 and not known and _is_number(head.header[1].replace(head.decimal, "."))


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _read_pairs(head: Head) -> RawMatrix:
    frame = read_body(head, with_header=True)
    genes = [str(gene) for gene in frame[0]]
    kept, _ = number_columns(frame, [1], ("gene", "value"), genes)
    raw = _matrix(frame[kept], genes, [file_stem(head.path)] * len(kept), genes_in_rows=True)
    raw.source = "table without header"
    raw.notes.append("Orientation: genes in rows (no header).")
    return raw


def _name_column(head: Head, frame: Frame) -> int:
    """The column that names the rows: the first, unless that only counts them and a later one has a known name."""
    from pandas import to_numeric

    words = ("sample", *GENE_WORDS, *SAMPLE_WORDS)
    counts_rows = head.words[0] not in words and to_numeric(frame[0], errors="coerce").notna().all()
    if not counts_rows:
        return 0
    named = [head.words.index(word) for word in words if word in head.words]
    return next((column for column in named if frame[column].dtype.kind not in "iufb"), 0)


def _expression_columns(head: Head, frame: Frame, names: int, rows: Sequence[str]) -> tuple[list[int], list[str]]:
    """Columns of numbers that are not known to be something else, and the names of the others."""
    columns = [c for c in range(len(head.header)) if c != names]
    other = [c for c in columns if len(columns) > 1 and (not head.words[c] or head.words[c] in _NOT_EXPRESSION)]
    kept, text = number_columns(frame, [c for c in columns if c not in set(other)], head.header, rows)
    if not kept:
        raise InputError(
            f"Expected columns of numbers in {head.path}, found none beside the names ({listed(head.header)});"
            " check that it is an expression table."
        )
    return kept, [head.header[c] or "(nameless)" for c in other] + text


def _symbols_beside(head: Head, frame: Frame, rows: Sequence[str]) -> dict[str, str]:
    """Symbols that stand in a column of their own beside Ensembl identifiers."""
    place = next((head.words.index(word) for word in SYMBOL_WORDS if word in head.words), None)
    if place is None or not any(map(is_ensembl, rows[:100])):
        return {}
    return {name: symbol for name, symbol in zip(rows, frame[place].tolist(), strict=True) if isinstance(symbol, str)}


def _source(word: str, raw: RawMatrix, *, genes_in_rows: bool) -> str:
    """The format's name, and the one rename it asks for (``TP53|7157`` -> ``TP53``)."""
    if sum(map(bool, map(_SYMBOL_ENTREZ.match, raw.genes))) > len(raw.genes) / 2:
        raw.genes = [gene if gene.startswith("?") else gene.split("|")[0] for gene in raw.genes]
        return "PanCanAtlas (SYMBOL|ENTREZ)"
    if not genes_in_rows:
        return "table"
    if word in ("hugo_symbol", "entrez_gene_id"):
        return "cBioPortal"
    barcodes = parse_barcode(raw.samples[0]) is not None
    return "Xena" if word in ("sample", "ensembl_id") and barcodes else "table"


def _named_by_file(raw: RawMatrix, path: Path) -> RawMatrix:
    """A single sample whose column is only called "value" or the like takes the file's name."""
    if len(raw.samples) == 1 and as_word(raw.samples[0]) in _VALUE_WORDS:
        raw.samples = [file_stem(path)]
    return raw
