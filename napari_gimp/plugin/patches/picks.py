"""Which patches a gallery shows: the first of any map, spread out where wished, or a random few. No window."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from napari_gimp.plugin.maps import ATTENTION, ERROR, SUPPORT, PatchMap, map_titles, patch_map
from napari_gimp.plugin.patches.patchfacts import largest, value_words
from napari_gimp.settings import check_settings, setting
from napari_gimp.types import PatchGrid, Prediction

End = Literal["high", "low", "random"]
RANDOM_SEED = 0


class Ranking(NamedTuple):
    """What the patches are picked by: a map and which end of it; ``random`` picks by chance and shows its numbers."""

    key: str
    end: End
    title: str


@dataclass(frozen=True)
class PickSettings:
    """How many patches, and how far apart."""

    count: int = setting(24, "How many patches are shown.", min=1, max=96)
    apart: float = setting(
        2.0,
        "Smallest distance between two patches, centre to centre: neighbours look alike; 0 takes them all.",
        min=0,
        max=20,
        unit="patch sides",
    )

    def __post_init__(self) -> None:
        check_settings(self)


@dataclass(frozen=True, eq=False)
class Picks:
    """The patches of a gallery, first one first, and what they were picked by."""

    prediction: Prediction
    ranking: Ranking
    shown: PatchMap
    settings: PickSettings
    patches: tuple[int, ...]

    @property
    def values(self) -> list[str]:
        """The map's number of each patch, with its unit."""
        return [value_words(self.shown, float(self.shown.values[patch])) for patch in self.patches]

    @property
    def title(self) -> str:
        """What the gallery holds, in words."""
        spread = self.settings.apart
        apart = f", at least {spread:g} patch sides apart" if spread else ""
        partial = self.prediction.partial
        part = "" if partial >= 1 else f"; partial result, {partial:.0%} of the slide's patches"
        name = self.ranking.title[0].upper() + self.ranking.title[1:]
        return f"{name}: {len(self.patches)} of {len(self.prediction.grid):,} patches{apart}{self._side}{part}"

    @property
    def patch_um(self) -> float | None:
        """Side of a patch, None where the size of a pixel is unknown."""
        grid = self.prediction.grid
        return None if grid.mpp_yx is None else grid.size_yx_px[1] * grid.mpp_yx[1]

    @property
    def _side(self) -> str:
        return "" if self.patch_um is None else f", {self.patch_um:.0f} µm a side"


def rankings(prediction: Prediction, members: int = 1) -> tuple[Ranking, ...]:
    """What a prediction's patches can be picked by: the usual questions first, then every other map."""
    titles = map_titles(prediction, members)
    first = [Ranking(ATTENTION, "high", "most attended")]
    for key in titles:
        if key.startswith(f"{SUPPORT}/"):
            name = key.removeprefix(f"{SUPPORT}/")
            first += [Ranking(key, "high", f"most for {name}"), Ranking(key, "low", f"most against {name}")]
    if ERROR in titles:
        first.append(Ranking(ERROR, "high", "most surprising (largest reconstruction error)"))
    first.append(Ranking(ATTENTION, "random", "random, for comparison"))
    first.append(Ranking(ATTENTION, "low", "least attended"))
    known = {ranking.key for ranking in first}
    others = [Ranking(key, "high", f"highest: {title}") for key, title in titles.items() if key not in known]
    return (*first, *others)


def pick(
    prediction: Prediction, ranking: Ranking, settings: PickSettings, members: int = 1, seed: int = RANDOM_SEED
) -> Picks:
    """The first patches by a ranking.

    Raises
    ------
    InputError
        The prediction holds no such map.
    """
    shown = patch_map(prediction, ranking.key, members)
    patches = first_patches(prediction.grid, shown.values, ranking.end, settings, seed)
    return Picks(prediction, ranking, shown, settings, tuple(patches))


def first_patches(
    grid: PatchGrid, values: Float[np.ndarray, " N"], end: End, settings: PickSettings, seed: int = RANDOM_SEED
) -> list[int]:
    """Indices of the patches at one end of a map, the outermost first; a random order where ``end`` says so."""
    if end == "random":
        order: np.ndarray = np.random.default_rng(seed).permutation(len(grid))
        values, end = -np.argsort(order), "high"
    wanted = values if end == "high" else -values
    if not settings.apart:
        return largest(wanted, settings.count)
    return _apart(grid, wanted, settings)


def _apart(grid: PatchGrid, wanted: Float[np.ndarray, " N"], settings: PickSettings) -> list[int]:
    """Greedily from the largest, leaving out what is near to one that was taken."""
    centres, mpp = grid.coords_yx.astype(float), np.asarray(grid.mpp_yx or (1.0, 1.0))
    centres, least = centres * mpp, settings.apart * float(grid.size_yx_px[1] * mpp[1]) * (1 - 1e-3)
    free = np.ones(len(grid), bool)
    chosen: list[int] = []
    for patch in _falling(wanted):
        if len(chosen) == settings.count:
            break
        if free[patch]:
            chosen.append(patch)
            free &= ((centres - centres[patch]) ** 2).sum(axis=1) >= least**2
    return chosen


def _falling(wanted: Float[np.ndarray, " N"]) -> Iterator[int]:
    order: Int[np.ndarray, " N"] = np.argsort(-wanted, kind="stable")
    return iter(order.tolist())
