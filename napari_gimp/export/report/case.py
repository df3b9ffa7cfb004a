"""What a report is made of: plain data, so that window and command line make the same page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, UInt8

from napari_gimp.export.anonymous import Veil, anonymised
from napari_gimp.regions import Region
from napari_gimp.settings import InputError
from napari_gimp.types import Prediction


@dataclass(frozen=True, eq=False)
class ShownMap:
    """The patch map over the slide.

    Parameters
    ----------
    values
        (N,) one number per patch of the prediction.
    colormap
        A colour map of matplotlib that colour-blind readers can tell.
    signed
        Whether 0 is the middle of the colours.
    """

    title: str
    unit: str
    values: Float[np.ndarray, " N"]
    colormap: str = "viridis"
    signed: bool = False


@dataclass(frozen=True, eq=False)
class PatchPicture:
    """A patch to look at.

    Parameters
    ----------
    patch
        Its index in the prediction's grid: its place and its number in the shown map follow from it.
    pixels
        (h, w, 3) as the encoder saw it, or finer.
    label
        What the user called it, empty where nothing.
    """

    patch: int
    pixels: UInt8[np.ndarray, "h w 3"]
    label: str = ""


@dataclass(frozen=True)
class RegionRow:
    """A region in numbers; ``share`` of all patches, ``attention`` as multiples of the slide's mean, ``support`` for
    the most probable class in its logit, ``error`` of the masked reconstruction. None: not known."""

    name: str
    classification: str | None
    area_mm2: float | None
    patches: int
    share: float
    attention: float | None = None
    support: float | None = None
    error: float | None = None


@dataclass(frozen=True, eq=False)
class WhatIf:
    """A question to the model and its answer: not the case's own result.

    Parameters
    ----------
    question
        As "KRAS set to the cohort mean", "without region 2".
    kind
        What was changed.
    probabilities
        (C,) of the same classes, with the changed input.
    """

    question: str
    kind: Literal["genes", "regions"]
    probabilities: Float[np.ndarray, " C"]


@dataclass(frozen=True)
class Mark:
    """A place that the user marked: its centre in level-0 pixels, and what was said of it."""

    label: str
    centre_yx_px: tuple[float, float]
    note: str = ""


@dataclass(frozen=True, eq=False)
class ReportCase:
    """One case.

    Parameters
    ----------
    overview
        (h, w, 3) the whole slide at any low resolution.
    shown
        The map over it; the mean attention by default.
    patches, patches_by
        The patches to look at, most important first, and what they were chosen by; empty: by the shown map.
    outlines
        Regions to draw on the overview.
    identifiers
        What else names the case, as "Case": "2024-123"; in the report only with ``allow_names``.
    settings
        Parameters of the run beside those in the prediction's provenance.
    allow_names
        Whether slide, sample and ``identifiers`` may be read in the report. Anonymous by default: then ``veil`` hides
        them in every text.
    veil
        From `anonymous.veil_of`; needed unless ``allow_names``.
    made
        When; now by default.
    """

    prediction: Prediction
    overview: UInt8[np.ndarray, "h w 3"]
    shown: ShownMap | None = None
    patches: tuple[PatchPicture, ...] = ()
    patches_by: str = ""
    regions: tuple[RegionRow, ...] = ()
    outlines: tuple[Region, ...] = ()
    what_ifs: tuple[WhatIf, ...] = ()
    marks: tuple[Mark, ...] = ()
    identifiers: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    allow_names: bool = False
    veil: Veil | None = None
    made: datetime | None = None

    def __post_init__(self) -> None:
        if not self.allow_names and self.veil is None:
            raise InputError("A report without names: expected a veil over them, found none; see anonymous.veil_of.")
        n, classes = len(self.prediction.grid), len(self.prediction.classes)
        if self.shown is not None and len(self.shown.values) != n:
            raise InputError(f"A report's map: expected {n} patches, found {len(self.shown.values)}.")
        wrong = [item.patch for item in self.patches if not 0 <= item.patch < n]
        if wrong:
            raise InputError(f"A report's patches: expected numbers below {n}, found {wrong[0]}.")
        other = [item.question for item in self.what_ifs if len(item.probabilities) != classes]
        if other:
            raise InputError(f"What if {other[0]}: expected {classes} probabilities, found another number.")

    @property
    def map(self) -> ShownMap:
        """The map that is shown."""
        if self.shown is not None:
            return self.shown
        values = self.prediction.mean_attention * len(self.prediction.grid)
        return ShownMap("attention", "× slide mean", np.asarray(values, np.float32))


def unnamed(case: ReportCase) -> ReportCase:
    """The case as the report may show it: as it is with ``allow_names``, else with no name in any of its texts."""
    veil = case.veil
    if case.allow_names or veil is None:
        return case
    return replace(
        case,
        prediction=anonymised(case.prediction, veil),
        patches=tuple(replace(item, label=veil.text(item.label)) for item in case.patches),
        regions=tuple(_unnamed_row(row, veil) for row in case.regions),
        outlines=veil.regions(case.outlines),
        what_ifs=tuple(replace(item, question=veil.text(item.question)) for item in case.what_ifs),
        marks=tuple(replace(mark, label=veil.text(mark.label), note=veil.text(mark.note)) for mark in case.marks),
        identifiers={},
        settings=veil.value(case.settings),
    )


def _unnamed_row(row: RegionRow, veil: Veil) -> RegionRow:
    kind = None if row.classification is None else veil.text(row.classification)
    return replace(row, name=veil.text(row.name), classification=kind)
