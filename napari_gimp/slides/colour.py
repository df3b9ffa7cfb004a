"""ICC profiles: scanner colours to sRGB, tile by tile, when the user asks."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageCms

from napari_gimp.slides.tiles import Level, Pixels, RawLevel, SlideError, SlideTiles


class IccToSrgb:
    """Converts pixels to sRGB.

    Parameters
    ----------
    profile
        The slide's ICC profile.

    Raises
    ------
    SlideError
        Not a profile for RGB pixels.
    """

    def __init__(self, profile: bytes) -> None:
        try:
            self._transform = ImageCms.buildTransform(
                ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB"), "RGB", "RGB"
            )
        except (ImageCms.PyCMSError, OSError) as error:
            raise SlideError(
                f"Expected an ICC profile for RGB pixels, found one that cannot be used ({error}); open without it."
            ) from error

    def __call__(self, pixels: Pixels) -> Pixels:
        """Pixels (h, w, 3) in sRGB; safe from any thread."""
        image = Image.fromarray(np.ascontiguousarray(pixels))
        return np.asarray(self._transform.apply(image))


class _InSrgb(RawLevel):
    def __init__(self, raw: RawLevel, transform: IccToSrgb) -> None:
        super().__init__(raw.shape_yx, raw.tile_yx)
        self._raw, self._transform = raw, transform

    def decode(self, row: int, column: int) -> Pixels:
        return self._transform(self._raw.decode(row, column))


def in_srgb(raw: RawLevel, transform: IccToSrgb | None) -> RawLevel:
    """The level with every tile converted; the level itself without a transform."""
    return raw if transform is None else _InSrgb(raw, transform)


class _LevelInSrgb(RawLevel):
    def __init__(self, level: Level, transform: IccToSrgb) -> None:
        super().__init__(level.shape_yx, level.tile_yx)
        self._level, self._transform = level, transform

    def decode(self, row: int, column: int) -> Pixels:
        return self._transform(self._level.tile(row, column))

    def show(self, row: int, column: int) -> Pixels:
        return self._transform(self._level.shown(row, column))


def srgb_levels(levels: Sequence[Level], profile: bytes | None, tiles: SlideTiles) -> tuple[Level, ...]:
    """Levels to look at, each tile converted when it is asked for and then held like any other.

    Parameters
    ----------
    levels
        As the file has them.
    profile
        The slide's ICC profile.
    tiles
        The slide's share of a cache.

    Raises
    ------
    SlideError
        No profile, or none for RGB pixels.
    """
    if profile is None:
        raise SlideError("Expected an ICC profile in the slide's file, found none; its colours stay as they are.")
    transform = IccToSrgb(profile)
    return tuple(Level(_LevelInSrgb(level, transform), tiles) for level in levels)
