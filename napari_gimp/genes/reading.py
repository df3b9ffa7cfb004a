"""File -> :class:`Expression`: the format is recognised, repeated names are settled, the scale is found and said."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import numpy as np

from napari_gimp.genes.detect import check_scale, date_like, find_scale, gene_key, identifiers, mean_known
from napari_gimp.genes.formats import RawMatrix, read_table
from napari_gimp.genes.gdc import is_gdc, is_sample_sheet, read_gdc, read_gdc_folder
from napari_gimp.genes.h5ad import read_h5ad
from napari_gimp.genes.matrix import Expression, listed
from napari_gimp.genes.symbols import read_gene_map
from napari_gimp.genes.table import EXPECTED, read_head
from napari_gimp.settings import InputError
from napari_gimp.types import Scale

_NOT_A_GENE = re.compile(r"(__\w+|N_(unmapped|multimapping|noFeature|ambiguous))$")


def read_expression(path: str | Path, *, scale: Scale | None = None, gene_map: Path | None = None) -> Expression:
    """Read gene expression in any of the field's formats.

    GDC STAR counts (a file, or a folder with its sample sheet), Xena, cBioPortal, PanCanAtlas, MCAT/PORPOISE, plain
    CSV or TSV either way round (.gz, .zip), h5ad. What was detected stands in the result's ``notes``.

    Parameters
    ----------
    scale
        The scale the user declares; None finds it out. For GDC files it chooses the column ("counts" or "linear").
    gene_map
        A table of identifier and symbol (or old and new symbol); a GDC STAR counts file serves as one.

    Raises
    ------
    InputError
        Not an expression table, text among the numbers, samples that repeat with other values, or a declared scale
        that the numbers contradict.
    """
    raw = _read_raw(Path(path), scale)
    _check_values(raw, Path(path))
    _settle_genes(raw)
    _settle_samples(raw)
    found, why = _settle_scale(raw, scale)
    if gene_map is not None:
        raw.symbols |= read_gene_map(gene_map)
    size = f"Samples: {len(raw.samples)}. Genes: {len(raw.genes)} ({identifiers(raw.genes)})."
    notes = (f"Format: {raw.source}.", size, f"Scale: {why}.", *raw.notes)
    return Expression(tuple(raw.samples), tuple(raw.genes), raw.values, found, raw.source, raw.symbols, notes)


def _read_raw(path: Path, scale: Scale | None) -> RawMatrix:
    if path.is_dir():
        return read_gdc_folder(path, scale)
    if path.suffix.lower() == ".h5ad" and path.is_file():
        return read_h5ad(path)
    head = read_head(path)
    if is_gdc(head):
        return read_gdc(head, scale)
    if is_sample_sheet(head):
        raise InputError(
            f"Expected {EXPECTED}, found the GDC sample sheet {path}; give the folder that holds the counts files."
        )
    return read_table(head)


def _check_values(raw: RawMatrix, path: Path) -> None:
    """Refuse emptiness and infinities; say how many values are missing."""
    if not raw.values.size or not np.isfinite(raw.values).any():
        raise InputError(f"Expected expression values in {path}, found none; check that it is the right file.")
    infinite = int(np.isinf(raw.values).sum())
    if infinite:
        raise InputError(
            f"Expected finite expression values in {path}, found {infinite} infinite ones; take logarithms as"
            " log2(x + 1), or leave missing values empty."
        )
    missing = int(np.isnan(raw.values).sum())
    if missing:
        share = 100 * missing / raw.values.size
        raw.notes.append(f"Missing values: {missing} ({share:.2g} %); treated as genes the sample does not have.")


def _settle_genes(raw: RawMatrix) -> None:
    """Names without version, one column each: of repeated ones the highest mean stays. Rows that are no genes go."""
    keys = [gene_key(gene) for gene in raw.genes]
    real = [k for k, key in enumerate(keys) if key.strip("?") and _NOT_A_GENE.match(key) is None]
    if len(real) < len(keys):
        raw.notes.append(f"Rows that are no genes (nameless, or sums over reads), left out: {len(keys) - len(real)}.")
    if keys != raw.genes:
        raw.notes.append("Versions of Ensembl identifiers are removed.")
    dates = date_like(keys)
    if dates:
        raw.notes.append(
            f"A spreadsheet has turned gene names into dates ({listed(dates)}): these {len(dates)} are lost."
        )
    repeated = sorted(key for key, times in Counter(keys[k] for k in real).items() if times > 1)
    if repeated:
        raw.notes.append(
            f"Gene names that occur again: {len(repeated)} ({listed(repeated)}); the highest mean is kept."
        )
        best: dict[str, int] = {}
        means = mean_known(raw.values)
        for k in real:
            if keys[k] not in best or means[k] > means[best[keys[k]]]:
                best[keys[k]] = k
        real = sorted(best.values())
    raw.symbols = {gene_key(gene): symbol for gene, symbol in raw.symbols.items()}
    raw.genes = [keys[k] for k in real]
    raw.values = raw.values if len(real) == len(keys) else raw.values[:, real]


def _settle_samples(raw: RawMatrix) -> None:
    """Samples that repeat with the same values become one, with other values they are refused; nameless rows go."""
    named = [row for row, sample in enumerate(raw.samples) if sample]
    if len(named) < len(raw.samples):
        raw.notes.append(f"Rows without a sample's name, left out: {len(raw.samples) - len(named)}.")
        raw.samples, raw.values = [raw.samples[row] for row in named], raw.values[named]
    first: dict[str, int] = {}
    for row, sample in enumerate(raw.samples):
        if not np.array_equal(raw.values[first.setdefault(sample, row)], raw.values[row], equal_nan=True):
            raise InputError(
                f"{raw.source}: expected each sample once, found {sample!r} again with other values; keep one of them,"
                " or give them distinct names."
            )
    merged = len(raw.samples) - len(first)
    if merged:
        raw.notes.append(f"Rows that repeat a sample with the same values, merged: {merged}.")
        raw.samples, raw.values = list(first), raw.values[list(first.values())]


def _settle_scale(raw: RawMatrix, declared: Scale | None) -> tuple[Scale, str]:
    """The scale: the format's own, the declared one if the numbers allow it, else what they show. Why, in words."""
    if raw.scale is not None:
        return raw.scale, f"{raw.scale} (by the format)"
    found = find_scale(raw.values, written_whole=raw.written_whole)
    scale = declared or found.scale
    if found.undo_log is not None and scale == found.scale:
        raw.values = np.maximum(np.exp2(raw.values) - found.undo_log, 0.0)
        raw.values = np.rint(raw.values) if scale == "counts" else raw.values
    if declared is not None:
        check_scale(raw.values, declared, raw.source)
        if found.scale != declared:
            raw.notes.append(f"Warning: {declared} was declared, the numbers look like {found.scale} ({found.why}).")
    negative = raw.values < 0
    if scale != "zscore" and negative.any():
        raw.values = np.where(negative, 0.0, raw.values)
        raw.notes.append(f"Negative values, set to 0: {int(negative.sum())}.")
    return scale, f"{scale} (as declared)" if declared else f"{scale} ({found.why})"
