"""The user's marks on patches: plain data that JSON can hold. Pure functions, no window.

A mark belongs to a place, not to a result: it keeps the patch's top-left corner in level-0 pixels and its side, so that
it is still there after another run, and in another program.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypedDict

import numpy as np
from jaxtyping import Float

from napari_gimp.types import PatchGrid

DEFAULT_LABELS = ("tumour", "stroma", "necrosis", "inflammation", "artefact")
LABEL_COLOURS = ("#0072b2", "#e69f00", "#cc79a7", "#56b4e9", "#f0e442")
"""Okabe and Ito's colours without their red and green: told apart by colour-blind readers."""
OTHER_COLOUR = "#ffffff"
"""Of a label that is not in the list any more."""


class Mark(TypedDict):
    """One marked patch: top-left corner (y, x) and side (y, x) in level-0 pixels, and its label."""

    yx: list[int]
    size_yx: list[float]
    label: str


def marked(marks: Sequence[Mark], grid: PatchGrid, patches: Iterable[int], label: str) -> list[Mark]:
    """The marks after these patches got this label; an empty label takes theirs away, one patch has one label."""
    corners = [[int(value) for value in grid.coords_yx[patch]] for patch in patches]
    kept = [mark for mark in marks if mark["yx"] not in corners]
    size = [float(side) for side in grid.size_yx_px]
    return kept + [Mark(yx=corner, size_yx=size, label=label) for corner in corners if label]


def label_at(marks: Sequence[Mark], corner_yx: Sequence[int]) -> str:
    """The label of the patch with this corner; empty where it has none."""
    corner = [int(value) for value in corner_yx]
    return next((mark["label"] for mark in marks if mark["yx"] == corner), "")


def relabelled(marks: Sequence[Mark], old: str, new: str) -> list[Mark]:
    """The marks after a label got another name."""
    return [Mark(yx=mark["yx"], size_yx=mark["size_yx"], label=new) if mark["label"] == old else mark for mark in marks]


def centres(marks: Sequence[Mark]) -> Float[np.ndarray, "n 2"]:
    """Centres (y, x) of the marked patches, in continuous level-0 pixels."""
    corners = np.array([mark["yx"] for mark in marks], float).reshape(-1, 2)
    return np.asarray(corners + np.array([mark["size_yx"] for mark in marks], float).reshape(-1, 2) / 2)


def colour_of(label: str, labels: Sequence[str]) -> str:
    """A label's colour: that of its place in the list."""
    return LABEL_COLOURS[labels.index(label) % len(LABEL_COLOURS)] if label in labels else OTHER_COLOUR


def sound_marks(stored: Iterable[Any]) -> list[Mark]:
    """The marks among what a file holds; what is none is left out."""
    return [mark for entry in stored if (mark := _sound(entry)) is not None]


def _sound(entry: Any) -> Mark | None:
    try:
        (y, x), (height, width), label = entry["yx"], entry["size_yx"], str(entry["label"])
        mark = Mark(yx=[int(y), int(x)], size_yx=[float(height), float(width)], label=label)
    except (TypeError, KeyError, ValueError, OverflowError):
        return None
    return mark if label and all(np.isfinite(side) and side > 0 for side in mark["size_yx"]) else None


def with_labels_of(labels: Sequence[str], marks: Sequence[Mark]) -> list[str]:
    """The labels with those that marks have and the list lacks, in the place of labels that no mark has, last first."""
    used = {mark["label"] for mark in marks}
    found = list(labels)
    free = [k for k, label in enumerate(labels) if label not in used]
    for label in sorted(used - set(labels)):
        if free:
            found[free.pop()] = label
    return found
