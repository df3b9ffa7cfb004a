"""A report's pictures out of its slide: the overview, and the patches that stand highest in the shown map."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from napari_gimp.export.report.case import PatchPicture, ReportCase
from napari_gimp.slides import Slide, read_patch
from napari_gimp.slides.tiles import TileError
from napari_gimp.types import Prediction

MOST_PATCHES = 12
PATCH_PX = 256


def report_case(slide: Slide, prediction: Prediction, *, count: int = MOST_PATCHES, **more: Any) -> ReportCase:
    """The case with its overview and, unless they are given, pictures of the ``count`` highest patches of its map.

    A patch that cannot be read is left out.

    Parameters
    ----------
    slide
        The slide of the prediction, open.
    more
        Further fields of `ReportCase`.
    """
    case = ReportCase(prediction, slide.overview(), **more)
    if case.patches:
        return case
    order = np.argsort(-case.map.values, kind="stable")[:count].tolist()
    found = (_picture(slide, prediction, patch) for patch in order)
    return replace(case, patches=tuple(picture for picture in found if picture is not None))


def _picture(slide: Slide, prediction: Prediction, patch: int) -> PatchPicture | None:
    corner = int(prediction.grid.coords_yx[patch, 0]), int(prediction.grid.coords_yx[patch, 1])
    try:
        return PatchPicture(patch, read_patch(slide, corner, prediction.grid.size_yx_px, PATCH_PX))
    except TileError:
        return None
