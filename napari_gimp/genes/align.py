"""Profile or matrix -> a checkpoint's gene order and working scale.

Working scales: "log" = log2(x + 1) of linear values, "counts" = log2(x + 1) of raw counts, "zscore" as it is.
Genes meet by name, or through a mapping that is at hand (the GDC file's own, or the user's table).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from napari_gimp.genes.detect import gene_key, identifiers, mean_known
from napari_gimp.genes.matrix import Expression, listed
from napari_gimp.settings import InputError
from napari_gimp.types import AlignedGenes, Profile, Scale

REFUSED_COVERAGE, WARNED_COVERAGE = 0.5, 0.9
_WORKING: Mapping[Scale, Scale] = {"linear": "log", "log": "log", "counts": "counts", "zscore": "zscore"}
_IN_WORDS: Mapping[Scale, str] = {
    "counts": "raw counts",
    "linear": "linear values (TPM, FPKM, RSEM)",
    "log": "linear or log2(x + 1) values (TPM, FPKM, RSEM)",
    "zscore": "z-scores",
}


@dataclass(frozen=True, eq=False)
class AlignedMatrix:
    """A cohort's expression in one gene order and working scale.

    ``values`` (S, G) float32 hold NaN where a sample lacks a gene; ``missing`` are the genes that no sample has.
    """

    samples: tuple[str, ...]
    genes: tuple[str, ...]
    values: Float[np.ndarray, "S G"]
    scale: Scale
    missing: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def working_scale(scale: Scale) -> Scale:
    """The scale on which values of a file's scale are worked with: linear becomes "log"."""
    return _WORKING[scale]


def align(profile: Profile, genes: Sequence[str], scale: Scale) -> AlignedGenes:
    """A profile in a checkpoint's gene order and working scale; float32 (G,), NaN = missing.

    Where several of the profile's genes stand for one wanted gene, the highest value is taken.

    Parameters
    ----------
    genes
        The checkpoint's genes (G), symbols or Ensembl identifiers with or without version.
    scale
        Its working scale: "log", "counts" or "zscore".

    Raises
    ------
    InputError
        Another scale, or fewer than half of the genes.
    """
    values = to_working_scale(profile.values, profile.scale, scale, f"Profile {profile.sample}")
    rank = np.where(np.isnan(profile.values), -np.inf, profile.values)
    found = _taken(values, _places(genes, profile.genes, profile.symbols, rank))
    missing = tuple(gene for gene, value in zip(genes, found, strict=True) if np.isnan(value))
    note = _check_coverage(genes, missing, profile.genes, f"sample {profile.sample}")
    return AlignedGenes(profile.sample, found.astype(np.float32), missing, (*profile.notes, *note))


def align_matrix(
    expression: Expression, genes: Sequence[str] | None = None, scale: Scale | None = None
) -> AlignedMatrix:
    """A whole matrix in one gene order and working scale.

    Parameters
    ----------
    genes
        The wanted genes (G); None: all of the matrix that any sample has.
    scale
        Working scale; None: the one that the file's scale leads to.

    Raises
    ------
    InputError
        Another scale, or fewer than half of the wanted genes.
    """
    wanted = scale or working_scale(expression.scale)
    values = to_working_scale(expression.values, expression.scale, wanted, f"The {expression.source} matrix")
    rank = mean_known(expression.values)
    if genes is None:
        places = np.flatnonzero(~np.isneginf(rank))
        order = tuple(expression.genes[place] for place in places)
    else:
        order = tuple(genes)
        places = _places(order, expression.genes, expression.symbols, rank)
    found = _taken(values, places)
    missing = tuple(gene for gene, none in zip(order, np.isnan(found).all(axis=0), strict=True) if none)
    notes = (*expression.notes, *_check_coverage(order, missing, expression.genes, "the matrix"))
    empty = int(np.isneginf(rank).sum())
    if genes is None and empty:
        notes = (*notes, f"{empty} genes have no value in any sample and are left out.")
    return AlignedMatrix(expression.samples, order, found.astype(np.float32), wanted, missing, notes)


def to_working_scale(
    values: Float[np.ndarray, "*S G"], have: Scale, wanted: Scale, owner: str
) -> Float[np.ndarray, "*S G"]:
    """Values of a file's scale on a working scale.

    Raises
    ------
    InputError
        The scales do not fit: names both.
    """
    if wanted not in ("log", "counts", "zscore"):
        raise InputError(f"Expected a working scale log, counts or zscore, found {wanted!r}; align to one of these.")
    if _WORKING[have] != wanted:
        raise InputError(
            f"{owner}: expected {_IN_WORDS[wanted]} (scale {wanted}), as the model was trained on, found scale {have}"
            f" ({_IN_WORDS[have]}), which cannot be turned into it; give a file on that scale, or declare the scale if"
            " it was found out wrongly."
        )
    return np.log2(values + 1) if have in ("linear", "counts") else values


def _places(
    wanted: Sequence[str], have: Sequence[str], symbols: Mapping[str, str], rank: Float[np.ndarray, " G"]
) -> Int[np.ndarray, " W"]:
    """Place of each wanted gene among those at hand, by name, by symbol, by identifier; -1 where there is none."""
    by_name = _best(list(map(gene_key, have)), rank)
    by_symbol = _best([symbols.get(gene_key(gene), "") for gene in have], rank) if symbols else {}
    places = np.full(len(wanted), -1, np.int64)
    for k, name in enumerate(map(gene_key, wanted)):
        symbol = symbols.get(name, "")
        options = (by_name.get(name), by_symbol.get(name), by_name.get(symbol), by_symbol.get(symbol))
        places[k] = next((place for place in options if place is not None), -1)
    return places


def _best(names: Sequence[str], rank: Float[np.ndarray, " G"]) -> dict[str, int]:
    """Name -> its place, of several the one that ranks highest."""
    best: dict[str, int] = {}
    for place, name in enumerate(names):
        if name and (name not in best or rank[place] > rank[best[name]]):
            best[name] = place
    return best


def _taken(values: Float[np.ndarray, "*S G"], places: Int[np.ndarray, " W"]) -> Float[np.ndarray, "*S W"]:
    found = values[..., np.maximum(places, 0)]
    return np.where(places >= 0, found, np.nan)


def _check_coverage(wanted: Sequence[str], missing: Sequence[str], have: Sequence[str], owner: str) -> tuple[str, ...]:
    """Refuse too few genes; else a note of how many are missing, if any."""
    share = 1 - len(missing) / max(1, len(wanted))
    count = f"{len(wanted) - len(missing)} of {len(wanted)}"
    if share < REFUSED_COVERAGE or len(missing) == len(wanted):
        raise InputError(
            f"Expected at least half of the model's {len(wanted)} genes ({identifiers(wanted)}) in {owner}, found"
            f" {count} ({100 * share:.0f} %) among its {len(have)} {identifiers(have)}; {_remedy(wanted, have)}."
        )
    if not missing:
        return ()
    warning = "Warning: only" if share < WARNED_COVERAGE else "Only"
    return (
        f"{warning} {count} of the model's genes ({100 * share:.0f} %) are in {owner}; the training mean stands in for"
        f" the rest ({listed(missing)}).",
    )


def _remedy(wanted: Sequence[str], have: Sequence[str]) -> str:
    if identifiers(wanted) != identifiers(have):
        return "use a table with the same names, or give a gene map (a table of identifier and symbol; --gene-map)"
    return "give a profile of the genes that the model was trained on"
