"""GDC STAR counts: one file a sample, several columns of values, the barcode only in the sample sheet beside it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from napari_gimp.genes.formats import RawMatrix, file_stem
from napari_gimp.genes.matrix import listed
from napari_gimp.genes.table import Head, number_columns, read_body, read_head
from napari_gimp.settings import InputError
from napari_gimp.types import Scale

_COLUMNS: Mapping[str | None, tuple[str, Scale]] = {
    None: ("fpkm_unstranded", "linear"),
    "linear": ("fpkm_unstranded", "linear"),
    "counts": ("unstranded", "counts"),
}
_TABLES = (".tsv", ".tsv.gz", ".txt", ".txt.gz", ".csv", ".csv.gz")


def is_gdc(head: Head) -> bool:
    """Whether a header is that of a STAR counts file."""
    return {"gene_id", "unstranded"} <= set(head.words)


def is_sample_sheet(head: Head) -> bool:
    """Whether a header is that of a GDC sample sheet."""
    return {"file_name", "sample_id"} <= set(head.words)


def read_gdc(head: Head, scale: Scale | None) -> RawMatrix:
    """One STAR counts file: FPKM (the paper's input), or the raw counts when asked for.

    The sample is named by a sample sheet in its folder or the one above, else by the file.
    """
    sheet = _read_sheets([head.path.parent, head.path.parent.parent])
    return _joined([head], sheet, scale)


def read_gdc_folder(folder: Path, scale: Scale | None) -> RawMatrix:
    """A folder of STAR counts files, as the GDC client leaves it, with the sample sheet: one matrix.

    Raises
    ------
    InputError
        No such file in the folder.
    """
    heads = [head for path in sorted(folder.rglob("*")) if (head := _table_head(path)) is not None and is_gdc(head)]
    if not heads:
        raise InputError(
            f"Expected an expression file, or a folder of GDC STAR counts files, found the folder {folder} without any;"
            " give the file itself."
        )
    return _joined(heads, _read_sheets([folder, folder.parent]), scale)


def _table_head(path: Path) -> Head | None:
    """The head of what may be a table; None for the logs and other files that a download leaves beside them."""
    if not path.name.lower().endswith(_TABLES) or path.name.startswith(".") or not path.is_file():
        return None
    try:
        return read_head(path)
    except InputError:
        return None


def _joined(heads: Sequence[Head], sheet: Mapping[str, str], scale: Scale | None) -> RawMatrix:
    if scale not in _COLUMNS:
        raise InputError(
            f"GDC STAR counts: expected to be read as linear (FPKM) or counts, found {scale!r} asked for;"
            " leave the scale out, log2(x + 1) is taken later."
        )
    column, kind = _COLUMNS[scale]
    genes: list[str] = []
    symbols: dict[str, str] = {}
    rows: list[Float[np.ndarray, " G"]] = []
    for head in heads:
        names, values = _read_file(head, column, symbols)
        genes = genes or names
        rows.append(values if names == genes else _in_order(values, names, genes, head.path))
    samples = _sample_names([head.path for head in heads], sheet)
    raw = RawMatrix(samples, genes, np.stack(rows), f"GDC STAR counts, column {column}", kind, symbols)
    raw.notes = ["Orientation: genes in rows, one file a sample.", *_naming_notes(heads, sheet)]
    return raw


def _read_file(head: Head, column: str, symbols: dict[str, str]) -> tuple[list[str], Float[np.ndarray, " G"]]:
    """Genes and values of one file without the four N_* rows; the first file also fills ``symbols``."""
    if column not in head.words:
        raise InputError(f"Expected a column {column} in the GDC file {head.path}, found {listed(head.header, 9)}.")
    place, symbol_place = head.words.index(column), 0 if symbols else _place(head, "gene_name")
    id_place = _place(head, "gene_id")
    frame = read_body(head, sorted({id_place, symbol_place, place}))
    frame = frame[~frame[id_place].str.startswith("N_", na=True)]
    genes = frame[id_place].tolist()
    kept, _ = number_columns(frame, [place], head.header, genes)
    if not kept or not genes:
        raise InputError(f"Expected numbers in column {column} of {head.path}, found none; fetch the file again.")
    if not symbols and symbol_place != id_place:
        symbols.update((g, s) for g, s in zip(genes, frame[symbol_place].tolist(), strict=True) if isinstance(s, str))
    return genes, frame[place].to_numpy(np.float64)


def _place(head: Head, word: str) -> int:
    return head.words.index(word) if word in head.words else 0


def _in_order(
    values: Float[np.ndarray, " n"], names: Sequence[str], genes: Sequence[str], path: Path
) -> Float[np.ndarray, " G"]:
    """Values of a file whose rows stand otherwise, in the first file's order."""
    missing = len(set(genes) - set(names))
    if missing > len(genes) / 2:
        raise InputError(
            f"Expected the same genes in every GDC file, found {missing} of {len(genes)} missing in {path}; use one"
            " release of the files."
        )
    by_name = dict(zip(names, values.tolist(), strict=True))
    return np.array([by_name.get(gene, np.nan) for gene in genes])


def _read_sheets(folders: Iterable[Path]) -> dict[str, str]:
    """File name -> sample id, from every sample sheet that lies in these folders."""
    found: dict[str, str] = {}
    for folder in folders:
        for path in sorted(folder.glob("*.tsv")):
            head = _table_head(path)
            if head is not None and is_sample_sheet(head):
                frame = read_body(head, sorted((head.words.index("file_name"), head.words.index("sample_id"))))
                files, samples = frame[head.words.index("file_name")], frame[head.words.index("sample_id")]
                found |= {str(f): re.split(r"[,;]\s*", str(s))[0] for f, s in zip(files, samples, strict=True)}
    return found


def _sample_names(paths: Sequence[Path], sheet: Mapping[str, str]) -> list[str]:
    """Sample ids of the sheet, else the file's name; a second aliquot of a sample gets its file's name behind it."""
    names: list[str] = []
    for path in paths:
        own = file_stem(path).split(".rna_seq")[0]
        sample = sheet.get(path.name, sheet.get(path.name.removesuffix(".gz"), own))
        names.append(f"{sample}.{own}" if sample in names else sample)
    return names


def _naming_notes(heads: Sequence[Head], sheet: Mapping[str, str]) -> list[str]:
    unnamed = [
        head.path.name for head in heads if not {head.path.name, head.path.name.removesuffix(".gz")} & set(sheet)
    ]
    if not unnamed:
        return ["Samples are named by the GDC sample sheet."]
    return [
        f"No GDC sample sheet names {len(unnamed)} of {len(heads)} files ({listed(unnamed, 2)}): named by the file."
    ]
