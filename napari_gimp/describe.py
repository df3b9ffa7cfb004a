"""Any file that the program reads, in words: slide, bag, checkpoint or expression file (``napari-gimp info``)."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from napari_gimp.bags import read_bag
from napari_gimp.genes import read_expression
from napari_gimp.gimp.checkpoint import read_facts
from napari_gimp.settings import InputError
from napari_gimp.slides import open_slide

EXPRESSION_SUFFIXES = (".tsv", ".csv", ".txt", ".gz", ".zip", ".h5ad")
LONGEST_FACT = 200


def describe_path(path: Path) -> dict[str, Any]:
    """Facts of the file as plain values; ``"kind"`` says which of the four it is.

    Raises
    ------
    InputError
        No such file, or none of the kinds; the sentence comes from the room that would read it.
    """
    if not path.exists():
        raise InputError(f"Expected a slide, bag, checkpoint or expression file, found nothing at {path}.")
    if path.is_dir() and (path / "checkpoint.json").exists():
        return _checkpoint(path)
    if path.suffix.lower() in (".h5", ".hdf5"):
        return _bag(path)
    if path.is_dir() or path.suffix.lower() in EXPRESSION_SUFFIXES:
        return _expression(path)
    return _slide(path)


def in_words(value: Any) -> str:
    """A fact as a person reads it: sizes as height × width, nothing as a dash, floats without noise."""
    if value in (None, "", (), [], {}):
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, dict):
        inner = "; ".join(f"{key} {in_words(one)}" for key, one in value.items())
        return inner if len(inner) < LONGEST_FACT else f"{', '.join(map(str, value))} (in full with --json)"
    if isinstance(value, list | tuple):
        numbers = len(value) == 2 and all(isinstance(one, int | float) for one in value)
        return (" × " if numbers else ", ").join(map(in_words, value))
    return str(value)


def _checkpoint(path: Path) -> dict[str, Any]:
    facts = asdict(read_facts(path))
    genes = facts.pop("genes")
    return {"kind": "checkpoint", **facts, "gene_count": len(genes)}


def _bag(path: Path) -> dict[str, Any]:
    bag = read_bag(path)
    return {
        "kind": "bag",
        "slide": bag.slide,
        "patches": len(bag),
        "width": bag.features.shape[1],
        "encoder": bag.encoder,
        "coordinates": bag.grid is not None,
        "missing": len(bag.missing_yx),
        "patch_size_level0_px": None if bag.grid is None else bag.grid.size_yx_px,
        "mpp_yx": None if bag.grid is None else bag.grid.mpp_yx,
        "provenance": dict(bag.provenance),
    }


def _expression(path: Path) -> dict[str, Any]:
    table = read_expression(path)
    return {
        "kind": "expression",
        "format": table.source,
        "samples": len(table.samples),
        "genes": len(table.genes),
        "scale": table.scale,
        "first_samples": list(table.samples[:5]),
        "notes": list(table.notes),
    }


def _slide(path: Path) -> dict[str, Any]:
    with open_slide(path) as slide:
        return {"kind": "slide", **asdict(slide.facts), "icc_profile": slide.icc_profile is not None}
