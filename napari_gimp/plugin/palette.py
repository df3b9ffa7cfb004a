"""Patch map + view settings -> the numbers to show, their end colours and the legend that says so. Pure functions."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from napari_gimp.plugin.maps import PatchMap
from napari_gimp.plugin.session import ViewSettings

SCALE_WORDS = {"raw": "full range", "percentile": "clipped", "rank": "rank, %"}
LEAST_SPAN = 0.02
AGAINST, FOR = (0.9, 0.38, 0.0), (0.0, 0.35, 0.71)


def colours(shown: PatchMap) -> str | dict[str, Any]:
    """The colours of a map; those of a signed one let the tissue through where the number is near 0."""
    if not shown.signed:
        return shown.colormap
    return {"name": shown.colormap, "colors": clear_at_0()}


def matplotlib_name(shown: PatchMap) -> str:
    """The nearest colour map of matplotlib, for pages on white paper."""
    return "PuOr" if shown.signed else shown.colormap


@cache
def clear_at_0() -> Float[np.ndarray, "257 4"]:
    """Orange, nothing, blue: told apart by colour-blind readers and from haematoxylin and eosin."""
    place = np.linspace(-1, 1, 257, dtype=np.float32)
    colour = np.where(place[:, None] < 0, np.asarray(AGAINST, np.float32), np.asarray(FOR, np.float32))
    return np.concatenate([colour, np.sqrt(np.abs(place))[:, None]], axis=1)


def legend(shown: PatchMap, view: ViewSettings) -> str:
    """What the colours mean, in one line: the map, the unit of its numbers, the scale, what is hidden."""
    scale = SCALE_WORDS[view.contrast]
    words = scale if view.contrast == "rank" else f"{shown.unit}, {scale}"
    which = "largest" if shown.signed else "top"
    above = f", {which} {100 - view.hide_below:g} %" if view.hide_below else ""
    return f"{shown.title} ({words}{above})"


def hidden(shown: PatchMap, below: float) -> Bool[np.ndarray, " N"]:
    """Patches below a percentile of the map; of a signed map, those whose size is."""
    size = np.abs(shown.values) if shown.signed else shown.values
    return np.asarray(size < np.percentile(size, below))


def contrast(
    values: Float[np.ndarray, " N"], view: ViewSettings, signed: bool = False
) -> tuple[np.ndarray, tuple[float, float]]:
    """The numbers to show and the two that get the darkest and the brightest colour.

    A flat map looks flat: the two are no nearer to each other than ``LEAST_SPAN`` of their size. Signed numbers keep 0
    in the middle: they are ranked by size, and their two ends are equally far.
    """
    if signed:
        return _signed_contrast(values, view)
    if view.contrast == "rank":
        return ranks(values), (0.0, 100.0)
    bounds = (view.low_percentile, view.high_percentile) if view.contrast == "percentile" else (0, 100)
    low, high = (float(bound) for bound in np.percentile(values, bounds))
    short = LEAST_SPAN * max(abs(low), abs(high), 1e-4) - (high - low)
    return values, (low - short / 2, high + short / 2) if short > 0 else (low, high)


def _signed_contrast(values: Float[np.ndarray, " N"], view: ViewSettings) -> tuple[np.ndarray, tuple[float, float]]:
    if view.contrast == "rank":
        return np.sign(values) * ranks(np.abs(values)), (-100.0, 100.0)
    end = float(np.percentile(np.abs(values), view.high_percentile if view.contrast == "percentile" else 100))
    end = max(end, 1e-9)
    return values, (-end, end)


def ranks(values: Float[np.ndarray, " N"]) -> Float[np.ndarray, " N"]:
    """Percentage of the other patches that are below (ties share the mean rank); 50 for a single patch."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    middle = np.cumsum(counts) - (counts + 1) / 2
    if len(values) < 2:
        return np.full(len(values), 50, np.float32)
    return np.asarray(100 * middle[place] / (len(values) - 1), np.float32)
