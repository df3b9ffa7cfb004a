"""What makes one synthetic case: drawn once from a seed, before any pixel or gene."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

TumourType = Literal["glandular", "solid"]
TYPES: tuple[TumourType, ...] = get_args(TumourType)

HAEMATOXYLIN_OD = (0.57, 0.69, 0.38)
EOSIN_OD = (0.17, 0.83, 0.52)
"""Optical densities in R, G, B per unit of stain, about those of Macenko et al. 2009."""


@dataclass(frozen=True)
class Stain:
    """Optical density (R, G, B) of one unit of each stain in this case, and the glass behind."""

    haematoxylin: tuple[float, ...]
    eosin: tuple[float, ...]
    glass: tuple[float, ...]


@dataclass(frozen=True)
class SyntheticCase:
    """One synthetic case; ``seed`` fixes everything that is drawn later.

    Parameters
    ----------
    gland_share
        Share of the tumour that grows as glands; the rest are solid nests. Mostly high in the glandular type, mostly
        low in the solid one, and in between in some of both.
    nucleus_px
        Mean semi-axis of the tumour's nuclei at 0.5 um per pixel.
    chromatin
        Haematoxylin of the tumour's nuclei, 1 = usual.
    tumour_share
        Share of the tissue that is tumour, about.
    gene_score
        Hidden strength of the type's expression programme: around +1.25 in the solid type, -1.25 in the glandular.
    """

    case_id: str
    tumour: TumourType
    seed: int
    gland_share: float
    nucleus_px: float
    chromatin: float
    tumour_share: float
    gene_score: float
    stain: Stain

    @property
    def label(self) -> int:
        """Index of the type in ``TYPES``."""
        return TYPES.index(self.tumour)

    def random(self, purpose: int) -> np.random.Generator:
        """A generator of its own for each purpose, so that slide and profile do not depend on each other's order."""
        return np.random.default_rng([self.seed, purpose])


def draw_case(seed: int, index: int = 0, tumour: TumourType | None = None) -> SyntheticCase:
    """Case ``index`` of the world ``seed``; its type alternates unless given.

    The same arguments give the same case, and from it the same slide and profile.
    """
    random = np.random.default_rng([seed, index])
    kind = tumour or TYPES[index % len(TYPES)]
    glandular = kind == "glandular"
    return SyntheticCase(
        case_id=f"synthetic_{index:04d}",
        tumour=kind,
        seed=int(random.integers(2**31)),
        gland_share=float(random.beta(5, 2) if glandular else random.beta(1.6, 6)),
        nucleus_px=float(random.normal(8.6 if glandular else 10.0, 0.8)),
        chromatin=float(random.normal(0.92 if glandular else 1.0, 0.1)),
        tumour_share=float(random.uniform(0.15, 0.45)),
        gene_score=float(random.normal(-1.25 if glandular else 1.25, 1.0)),
        stain=_draw_stain(random),
    )


def _draw_stain(random: np.random.Generator) -> Stain:
    """Hue and strength of both stains, alike in both types: laboratories differ more than tumours do."""

    def vary(density: tuple[float, ...]) -> tuple[float, ...]:
        hue = np.asarray(density) * random.normal(1, 0.13, 3)
        return tuple(float(v) for v in hue * random.uniform(0.7, 1.3))

    glass = 243 + random.normal(0, 3) + random.normal(0, 1.5, 3)
    return Stain(vary(HAEMATOXYLIN_OD), vary(EOSIN_OD), tuple(float(v) for v in np.minimum(glass, 252)))
