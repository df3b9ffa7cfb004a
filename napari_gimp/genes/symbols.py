"""A table of identifiers and symbols that the user gives, because nothing here guesses which gene a name means."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from napari_gimp.genes.detect import SYMBOL_WORDS, gene_key, is_ensembl
from napari_gimp.genes.table import Head, read_body, read_head
from napari_gimp.settings import InputError


def read_gene_map(path: Path) -> dict[str, str]:
    """Identifier (without version) -> symbol, from a table with or without header.

    The identifiers are the column of Ensembl names, else the first column (say, old symbols); the symbols are the
    column called so, else the next one. A GDC STAR counts file serves as well.

    Raises
    ------
    InputError
        Not a table of two columns.
    """
    head = read_head(path)
    without_header = any(map(is_ensembl, head.header))
    frame = read_body(head, with_header=without_header)
    ids = _id_column(head)
    symbols = _symbol_column(head, ids)
    pairs = zip(frame[ids].tolist(), frame[symbols].tolist(), strict=True)
    found = {gene_key(name.strip()): symbol.strip() for name, symbol in pairs if _both_text(name, symbol)}
    if not found:
        raise InputError(
            f"Expected a table of identifier and symbol in {path}, found no such pairs; give two columns of names."
        )
    return found


def _both_text(name: object, symbol: object) -> bool:
    return isinstance(name, str) and isinstance(symbol, str)


def _id_column(head: Head) -> int:
    ensembl = [place for place, cell in enumerate(head.first) if is_ensembl(cell)]
    return ensembl[0] if ensembl else 0


def _symbol_column(head: Head, ids: int) -> int:
    places: Sequence[int] = [head.words.index(word) for word in SYMBOL_WORDS if word in head.words]
    return next((place for place in places if place != ids), 1 if ids == 0 else 0)
