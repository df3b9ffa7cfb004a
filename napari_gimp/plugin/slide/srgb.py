"""A slide's colours as its scanner meant them: its layer shows sRGB, tile by tile, and nothing else changes."""

from __future__ import annotations

from collections.abc import Generator

import numpy as np
from jaxtyping import UInt8
from napari.layers import Image
from PIL import Image as Picture

from napari_gimp.plugin.slide.levels import GLASS, exact_levels
from napari_gimp.slides import Slide
from napari_gimp.slides.colour import IccToSrgb
from napari_gimp.types import Progress

CORRECTED = "napari-gimp corrected colours"
"""Where a layer's metadata say that it shows sRGB."""


def is_corrected(layer: Image) -> bool:
    """Whether a slide's layer shows colours that its ICC profile corrects."""
    return bool(layer.metadata.get(CORRECTED, False))


def read_lowest(slide: Slide, corrected: bool) -> Generator[Progress, None, UInt8[np.ndarray, "h w 3"]]:
    """The lowest level, whole, as the file has it or in sRGB."""
    picture = yield from slide.read_overview()
    if corrected and slide.icc_profile is not None:
        yield Progress("correcting colours", 0, 1, "level")
        return IccToSrgb(slide.icc_profile)(picture)
    return picture


def show_colours(layer: Image, slide: Slide, lowest: UInt8[np.ndarray, "h w 3"], corrected: bool) -> None:
    """Put the levels, corrected or not, into the slide's layer; they are read when they are looked at.

    Parameters
    ----------
    lowest
        The lowest level, which napari always wants whole.
    """
    levels = exact_levels(slide.srgb_levels if corrected else slide.levels)
    shown = np.full(levels[-1].shape, GLASS, np.uint8)
    shown[: lowest.shape[0], : lowest.shape[1]] = lowest
    layer.metadata[CORRECTED] = corrected
    layer.data = [*levels[:-1], shown] if len(levels) > 1 else shown


def read_thumbnail(
    slide: Slide, corrected: bool, most_px: int
) -> Generator[Progress, None, UInt8[np.ndarray, "a b 3"]]:
    """The whole slide, at most ``most_px`` a side."""
    picture = yield from read_lowest(slide, corrected)
    small = Picture.fromarray(picture)
    small.thumbnail((most_px, most_px), Picture.Resampling.BOX)
    return np.asarray(small)
