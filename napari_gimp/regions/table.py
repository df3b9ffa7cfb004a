"""What a slide has in each of its regions: area, patches, and what the model says of them."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import shapely
from jaxtyping import Float, Int

from napari_gimp.regions.reading import outside_shares
from napari_gimp.regions.region import Region
from napari_gimp.types import PatchGrid, Prediction, SlideFacts

Inside = Callable[[Region, PatchGrid], np.ndarray]


@dataclass(frozen=True)
class RegionFacts:
    """One region in numbers. None where there is no pixel size, no result, or no patch to take a mean over.

    Parameters
    ----------
    area_mm2
        Exact area of the polygon, holes left out.
    outside
        Share of the area beyond the slide, 0 to 1.
    patches, patch_share
        Patches whose centre lies inside, and their share of the slide's, 0 to 1.
    attention, attention_share
        Mean attention in multiples of the slide's average patch, and the share of the slide's attention, 0 to 1.
    support
        Class -> mean support for it, logits; negative is against it. Empty where none was computed.
    error
        Mean masked reconstruction error.
    """

    name: str
    classification: str | None
    area_mm2: float | None
    outside: float
    patches: int | None = None
    patch_share: float | None = None
    attention: float | None = None
    attention_share: float | None = None
    support: Mapping[str, float] = field(default_factory=dict)
    error: float | None = None


def patches_inside(region: Region, grid: PatchGrid) -> Int[np.ndarray, " n"]:
    """Indices of the patches whose centre lies in a region."""
    centres = grid.coords_yx + np.asarray(grid.size_yx_px) / 2
    low_x, low_y, high_x, high_y = region.polygon.bounds
    y, x = centres.T
    near = np.flatnonzero((y >= low_y) & (y <= high_y) & (x >= low_x) & (x <= high_x))
    if len(near) > 1:
        shapely.prepare(region.polygon)
    return np.asarray(near[shapely.contains_xy(region.polygon, x[near], y[near])])


def region_facts(
    regions: Sequence[Region],
    facts: SlideFacts,
    prediction: Prediction | None = None,
    inside: Inside = patches_inside,
) -> list[RegionFacts]:
    """One row per region; overlapping regions count their common patches each.

    Parameters
    ----------
    prediction
        A result, partial or whole, of this slide; without one only areas are known.
    inside
        How the patches of a region are found: one that remembers saves time while a single region is edited.
    """
    outside = outside_shares(regions, facts.shape_yx)
    weights = None if prediction is None else prediction.mean_attention
    rows = []
    for region, share in zip(regions, outside, strict=True):
        found = (
            {}
            if prediction is None or weights is None
            else _found(inside(region, prediction.grid), prediction, weights)
        )
        rows.append(RegionFacts(region.name, region.classification, area_mm2(region, facts), float(share), **found))
    return rows


def area_mm2(region: Region, facts: SlideFacts) -> float | None:
    """Area in mm²; None where the slide does not say how large a pixel is."""
    if facts.mpp_yx is None:
        return None
    return float(region.polygon.area * facts.mpp_yx[0] * facts.mpp_yx[1] * 1e-6)


def _found(patches: Int[np.ndarray, " n"], prediction: Prediction, weights: Float[np.ndarray, " N"]) -> dict[str, Any]:
    """What a result says of some of its patches, as fields of `RegionFacts`."""
    n, total = len(prediction.grid), float(weights.sum())
    share = len(patches) / n if n else None
    if not len(patches):
        return {"patches": 0, "patch_share": share, "attention_share": 0.0}
    part = float(weights[patches].sum())
    support, error = prediction.class_support, prediction.reconstruction_error
    means = [] if support is None else support[:, patches].mean(axis=1).tolist()
    return {
        "patches": len(patches),
        "patch_share": share,
        "attention": part * n / (len(patches) * total),
        "attention_share": part / total,
        "support": dict(zip(prediction.classes, means, strict=False)),
        "error": None if error is None else float(error[patches].mean()),
    }


def csv_table(rows: Sequence[RegionFacts], head: Mapping[str, str] | None = None) -> str:
    """The table as CSV, units in its header, empty where nothing is known.

    Parameters
    ----------
    head
        Columns to put first, the same in every row, say the slide's name. Nothing of the slide unless it is asked for.
    """
    classes = list(dict.fromkeys(name for row in rows for name in row.support))
    columns = [
        *(head or {}), "region", "class", "area_mm2", "share_of_area_outside_slide", "patches", "share_of_patches",
        "mean_attention_times_slide_mean", "share_of_attention", *(f"mean_support_{name}_logit" for name in classes),
        "mean_reconstruction_error",
    ]  # fmt: skip
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        numbers = [
            row.area_mm2, row.outside, row.patches, row.patch_share, row.attention, row.attention_share,
            *(row.support.get(name) for name in classes), row.error,
        ]  # fmt: skip
        cells = ["" if value is None else f"{value:.6g}" for value in numbers]
        writer.writerow([*(head or {}).values(), _inert(row.name), _inert(row.classification or ""), *cells])
    return text.getvalue()


def _inert(text: str) -> str:
    """Text that a spreadsheet does not take for a formula."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@") else text
