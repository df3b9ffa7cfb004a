"""Gene sets from a GMT file (MSigDB's layout), and the gene groups that they make of a gene list."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from napari_gimp.genes.detect import gene_key, identifiers
from napari_gimp.settings import InputError

Group = tuple[str, list[list[int]]]
"""A group's name and its fragments: indices into the gene list."""

EXPECTED = "a GMT file (a gene set a line: name, description, genes, parted by tabs; plain or .gz)"


def read_gmt(path: Path) -> dict[str, tuple[str, ...]]:
    """Set name -> its genes, in the file's order; a gene that a line repeats counts once.

    Raises
    ------
    InputError
        Not there, not text, without a set, a line that is no set, or two sets of one name.
    """
    sets: dict[str, tuple[str, ...]] = {}
    for number, line in enumerate(_text(path).splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        name, *rest = (cell.strip() for cell in line.split("\t"))
        genes = tuple(dict.fromkeys(cell for cell in rest[1:] if cell))
        if not name or not genes:
            raise InputError(
                f"Expected {EXPECTED}, found in line {number} of {path} {len(rest) + 1} cells and no genes;"
                " repair or remove the line."
            )
        if name in sets:
            raise InputError(f"Expected sets of different names in {path}, found {name} twice; rename one of them.")
        sets[name] = genes
    if not sets:
        raise InputError(f"Expected {EXPECTED}, found no gene set in {path}; give another file.")
    return sets


def _text(path: Path) -> str:
    try:
        content = path.read_bytes()
        if content[:2] == b"\x1f\x8b":
            content = gzip.decompress(content)
        return content.decode("utf-8-sig")
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"Expected {EXPECTED}, found {path}, which cannot be read: {error}.") from error
    except UnicodeDecodeError as error:
        raise InputError(f"Expected {EXPECTED}, found {path}, which is no text; give another file.") from error


def pathway_fragments(genes: Sequence[str], sets: Mapping[str, Sequence[str]], fragment_genes: int) -> list[Group]:
    """Gene sets -> gene groups, each cut into fragments of about ``fragment_genes`` genes in the gene list's order.

    A gene in several sets stands in several groups; sets without a known gene are left out. Genes in no set form rest
    groups of consecutive genes, as large as the largest set.

    Parameters
    ----------
    genes
        The model's genes; they meet the sets' by name, whatever the case, Ensembl identifiers without version.
    sets
        As `read_gmt` gives them.

    Raises
    ------
    InputError
        No gene of the list is in any set.
    """
    place: dict[str, list[int]] = {}
    for i, gene in enumerate(genes):
        place.setdefault(_key(gene), []).append(i)
    members = {name: sorted({i for gene in own for i in place.get(_key(gene), ())}) for name, own in sets.items()}
    members = {name: own for name, own in members.items() if own}
    if not members:
        some = [gene for own in sets.values() for gene in own]
        raise InputError(
            f"Expected gene sets of the model's genes ({identifiers(genes)}), found sets of none of them"
            f" ({identifiers(some)}); give sets with the same kind of names."
        )
    rest = sorted(set(range(len(genes))).difference(*members.values()))
    parts = _cut(rest, max(fragment_genes, *map(len, members.values())))
    members |= {f"other genes {k}": part for k, part in enumerate(parts, 1)}
    return [(name, _cut(own, fragment_genes)) for name, own in members.items()]


def _key(gene: str) -> str:
    return gene_key(gene.strip()).upper()


def _cut(members: list[int], size: int) -> list[list[int]]:
    """Consecutive parts, evenly long, of about ``size``."""
    if not members:
        return []
    return [part.tolist() for part in np.array_split(np.array(members), max(1, round(len(members) / size)))]
