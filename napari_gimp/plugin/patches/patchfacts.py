"""The numbers of a patch in words: each with its unit and its percentile among the slide's patches. No window."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from napari_gimp.plugin.maps import ATTENTION, ERROR, SUPPORT, PatchMap, patch_map
from napari_gimp.types import PatchGrid, Prediction


class Fact(NamedTuple):
    """One line of a patch's facts; unit and percentile are empty where there are none."""

    name: str
    value: str
    unit: str = ""
    percentile: str = ""

    @property
    def heading(self) -> str:
        """What it is and in which unit."""
        return f"{self.name} ({self.unit})" if self.unit else self.name

    @property
    def cell(self) -> str:
        """Value and, in brackets, percentile."""
        return f"{self.value} ({self.percentile})" if self.percentile else self.value


class Ranked:
    """A map with the order of its numbers, found once: a percentile is then two searches."""

    def __init__(self, shown: PatchMap) -> None:
        self.map = shown
        self._sorted = np.sort(shown.values)

    def percentile(self, patch: int) -> float:
        """Percentage of the other patches that are below (ties count half); 50 for a single patch."""
        return percentile(self._sorted, float(self.map.values[patch]))

    def fact(self, patch: int) -> Fact:
        """The map's number at a patch."""
        value = number_words(self.map, float(self.map.values[patch]))
        return Fact(self.map.title, value, self.map.unit, percentile_words(self.percentile(patch)))


class PatchFacts:
    """The facts of every patch of one result: place, attention, support, error, and the map in sight.

    A map is ranked when it is first asked for.
    """

    def __init__(self, prediction: Prediction, members: int = 1) -> None:
        self.prediction = prediction
        self._members = members
        self._ranked: dict[str, Ranked] = {}

    @property
    def keys(self) -> tuple[str, ...]:
        """Keys of the maps that every patch is told by."""
        found = self.prediction
        support = [] if found.class_support is None else [f"{SUPPORT}/{name}" for name in found.classes]
        return (ATTENTION, *support, *([ERROR] if found.reconstruction_error is not None else []))

    def ranked(self, shown: PatchMap | str) -> Ranked:
        """A map of the result, by key or as it is, with its order."""
        key = shown if isinstance(shown, str) else shown.key
        there = self._ranked.get(key)
        if there is None or (not isinstance(shown, str) and there.map is not shown):
            made = patch_map(self.prediction, shown, self._members) if isinstance(shown, str) else shown
            there = self._ranked[key] = Ranked(made)
        return there

    def of(self, patch: int, in_sight: PatchMap | None = None) -> tuple[Fact, ...]:
        """Everything there is to say of a patch in numbers.

        Parameters
        ----------
        in_sight
            A map that is shown and may be none of the usual ones.
        """
        extra = in_sight is not None and in_sight.key not in self.keys and self._fits(in_sight)
        maps: Iterable[PatchMap | str] = (*self.keys, in_sight) if extra and in_sight is not None else self.keys
        return (*place_facts(self.prediction, patch), *(self.ranked(shown).fact(patch) for shown in maps))

    def _fits(self, shown: PatchMap) -> bool:
        return len(shown.values) == len(self.prediction.grid)

    def most_surprising(self, count: int) -> list[tuple[int, Fact]]:
        """The patches with the largest reconstruction errors, worst first; none where there is no error."""
        if self.prediction.reconstruction_error is None:
            return []
        ranked = self.ranked(ERROR)
        return [(int(patch), ranked.fact(int(patch))) for patch in largest(ranked.map.values, count)]


def largest(values: Float[np.ndarray, " N"], count: int) -> list[int]:
    """Indices of the largest values, largest first; ties in scan order."""
    count = min(count, len(values))
    bound = np.partition(values, len(values) - count)[len(values) - count] if count else np.inf
    among = np.flatnonzero(values >= bound)
    return [int(patch) for patch in among[np.argsort(-values[among], kind="stable")][:count]]


def percentile(ordered: Float[np.ndarray, " N"], value: float) -> float:
    """Percentage of the other values below one of them, ties half, from the values in order."""
    if len(ordered) < 2:
        return 50.0
    below, upto = (int(np.searchsorted(ordered, np.float32(value), side)) for side in ("left", "right"))
    return 100 * (below + (upto - below - 1) / 2) / (len(ordered) - 1)


def percentile_words(value: float) -> str:
    """A percentile as it is read: one decimal only where the last percent is told apart."""
    if value >= 99.95:
        return "highest" if value >= 100 else "> 99.9 %"
    return f"{value:.1f} %" if value > 99 else f"{value:.0f} %"


def value_words(shown: PatchMap, value: float) -> str:
    """A number of a map with its unit: ``2.41 × slide mean``, ``+0.012 logit``."""
    return f"{number_words(shown, value)} {shown.unit}"


def number_words(shown: PatchMap, value: float) -> str:
    """A number of a map without its unit."""
    if shown.signed:
        return f"{value:+#.2g}".replace("-", "−", 1)
    return f"{value:.2f}" if shown.unit.startswith("×") else f"{value:.3f}"


def place_facts(prediction: Prediction, patch: int) -> tuple[Fact, ...]:
    """Which patch, and where its centre lies from the slide's top-left corner."""
    (y, x), unit = centre(prediction.grid, patch), "px" if prediction.grid.mpp_yx is None else "µm"
    number = Fact("patch", f"{patch + 1:,} of {len(prediction.grid):,}")
    return number, Fact("centre from the top-left corner, x · y", f"{x:,.0f} · {y:,.0f}", unit)


def centre(grid: PatchGrid, patch: int) -> tuple[float, float]:
    """Centre (y, x) of a patch from the slide's top-left corner, in um; in pixels where their size is unknown."""
    mpp = np.asarray(grid.mpp_yx or (1.0, 1.0))
    y, x = (grid.coords_yx[patch] + np.asarray(grid.size_yx_px) / 2) * mpp
    return float(y), float(x)


def expectation_words(facts: PatchFacts, patch: int, nearest: int) -> str:
    """How far off the model was at a patch, and where the patch lies that is most like what it expected."""
    error = facts.ranked(ERROR).fact(patch)
    said = f"Error here: {error.value} {error.unit}, percentile {error.percentile} among the slide's patches."
    if nearest == patch:
        return f"{said} The patch itself is the most like what the model expected."
    grid = facts.prediction.grid
    away = math.dist(centre(grid, patch), centre(grid, nearest))
    return f"{said} The patch on the right lies {length_words(away, grid.mpp_yx is not None)} away."


def length_words(length: float, is_um: bool) -> str:
    """A length in mm from 1000 um on, else in um; in pixels where their size is unknown."""
    if not is_um:
        return f"{length:,.0f} px"
    return f"{length / 1000:.1f} mm" if length >= 1000 else f"{length:.0f} µm"
