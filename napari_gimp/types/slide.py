"""What is known of a slide, and where its tissue is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool

from napari_gimp.settings import InputError


@dataclass(frozen=True)
class SlideFacts:
    """What is known of a slide without decoding a pixel.

    ``mpp_yx`` is um per level-0 pixel, or None where the file does not (credibly) say: ask, never guess.
    ``identity`` changes when the file changes; ``notes`` are sentences for the user (say, an implausible mpp).
    """

    name: str
    identity: str
    shape_yx: tuple[int, int]
    level_shapes_yx: tuple[tuple[int, int], ...]
    mpp_yx: tuple[float, float] | None
    magnification: float | None = None
    vendor: str = "unknown"
    associated: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if min(self.shape_yx) < 1:
            raise InputError(f"Slide {self.name}: expected at least one pixel a side, found {self.shape_yx}.")
        if self.mpp_yx is not None:
            check_mpp(self.mpp_yx)

    @property
    def downsamples(self) -> tuple[float, ...]:
        """Level-0 pixels per pixel of each level, from the heights."""
        return tuple(self.shape_yx[0] / h for h, _ in self.level_shapes_yx)

    def known_mpp_yx(self) -> tuple[float, float]:
        """The um per pixel, or the sentence that asks for it."""
        if self.mpp_yx is None:
            raise InputError(
                f"{self.name} does not say how large a pixel is: expected um per pixel between {MIN_MPP} and {MAX_MPP},"
                " found none; give it with --mpp, or in the panel as Pixel size."
            )
        return self.mpp_yx


MIN_MPP, MAX_MPP = 0.05, 20.0


def check_mpp(mpp_yx: tuple[float, float]) -> None:
    """Refuse a pixel size that no slide has.

    Raises
    ------
    InputError
        Outside 0.05 to 20 um per pixel.
    """
    if not all(MIN_MPP <= value <= MAX_MPP for value in mpp_yx):
        raise InputError(
            f"Expected {MIN_MPP} to {MAX_MPP} um per pixel, found {mpp_yx[0]:g} x {mpp_yx[1]:g}; check the unit."
        )


@dataclass(frozen=True, eq=False)
class Tissue:
    """Where the tissue is: a mask that covers the whole slide.

    ``source`` says how it came about: ``"detected"`` or ``"drawn"`` (the user's own).
    """

    mask: Bool[np.ndarray, "h w"]
    slide_shape_yx: tuple[int, int]
    source: Literal["detected", "drawn"] = "detected"

    @property
    def scale_yx_px(self) -> tuple[float, float]:
        """Level-0 pixels per mask pixel."""
        return self.slide_shape_yx[0] / self.mask.shape[0], self.slide_shape_yx[1] / self.mask.shape[1]
