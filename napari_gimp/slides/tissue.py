"""A low level of a slide -> where the tissue is: coloured and dark against the glass, without ink, dust and borders."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, UInt8
from PIL import Image
from scipy import ndimage
from skimage.color import rgb2hsv
from skimage.filters import apply_hysteresis_threshold

from napari_gimp.settings import InputError, check_settings, setting
from napari_gimp.slides.damage import unreadable
from napari_gimp.slides.pyramid import Slide
from napari_gimp.types import Tissue


@dataclass(frozen=True)
class TissueSettings:
    """How tissue is told from glass. Colours are relative to the glass of the slide (white = 1)."""

    mpp: float = setting(8.0, "Resolution at which tissue is looked for.", min=1, max=64, unit="um/px")
    low: float = setting(0.055, "Colour and darkness that tissue has at its faintest.", min=0.0, max=1.0)
    high: float = setting(0.12, "Colour and darkness that every piece of tissue reaches somewhere.", min=0.0, max=2.0)
    darkness_weight: float = setting(0.3, "Weight of darkness beside saturation.", min=0.0, max=2.0)
    neutral: float = setting(
        0.022, "Least saturation of tissue: shadows, glass edges and black borders are below.", min=0.0, max=0.5
    )
    max_hole_um2: float = setting(10_000.0, "Gaps in the tissue up to this area are filled.", min=0.0, unit="um2")
    min_piece_um2: float = setting(4_000.0, "Pieces below this area are dust.", min=0.0, unit="um2")
    reject_ink: bool = setting(True, "Leave out blue, green, red and black pen marks.")
    min_ink_um2: float = setting(
        40_000.0, "Patches of ink below this area stay tissue (margin dye).", min=0.0, unit="um2"
    )
    ink_halo_um: float = setting(32.0, "How far the pale rim of a pen mark reaches.", min=0.0, max=500, unit="um")

    def __post_init__(self) -> None:
        check_settings(self)
        if self.low > self.high:
            raise InputError(f"TissueSettings.low: expected at most high ({self.high}), found {self.low}.")


@dataclass(frozen=True)
class Ink:
    """A pen's colour: a range of hues (0 to 1, wrapping), how strong it is at its core, the darkest and palest rim."""

    hues: tuple[float, float]
    saturation: float
    chroma: float
    max_value: float = 1.0
    max_chroma: float = 1.0


INKS = {
    "green": Ink((75 / 360, 192 / 360), saturation=0.3, chroma=0.15),
    "blue": Ink((192 / 360, 245 / 360), saturation=0.55, chroma=0.2),
    "red": Ink((348 / 360, 12 / 360), saturation=0.7, chroma=0.5),
    "black": Ink((0.0, 1.0), saturation=0.0, chroma=0.0, max_value=0.32, max_chroma=0.11),
}
GLASS_MIN, GLASS_MAX_SPREAD = 180, 30
RIM_CHROMA = 0.03
SMALLEST_SHARE = 0.002
"""Of a small picture, a piece of this share is more than dust."""


def tissue_of(slide: Slide, settings: TissueSettings) -> Tissue:
    """Find the tissue of a slide on its coarsest level that is at least as fine as ``settings.mpp``.

    What cannot be read may be tissue and counts as such: its patches are then missing, not silently left out.

    Raises
    ------
    InputError
        Unknown um per pixel; no tissue found.
    """
    mpp_yx = slide.facts.known_mpp_yx()
    fine = [k for k, down in enumerate(slide.facts.downsamples) if down * max(mpp_yx) <= settings.mpp]
    level = max(fine, default=0)
    picture = np.asarray(slide.levels[level][:])
    sides = [max(1, round(n * mpp / settings.mpp)) for n, mpp in zip(slide.facts.shape_yx, mpp_yx, strict=True)]
    small = _shrunk(picture, (min(sides[0], picture.shape[0]), min(sides[1], picture.shape[1])))
    mask = detect_tissue(small, max(settings.mpp, *mpp_yx), settings)
    lost = unreadable(slide.tile_levels[level])
    if lost.any():
        mask = mask | _any_of(lost, (mask.shape[0], mask.shape[1]))
    if not mask.any():
        raise InputError(
            f"{slide.facts.name}: expected tissue on the slide, found none; draw the tissue yourself, or lower its"
            " thresholds."
        )
    return Tissue(mask, slide.facts.shape_yx)


def detect_tissue(
    level_image: UInt8[np.ndarray, "h w 3"], mpp: float, settings: TissueSettings
) -> Bool[np.ndarray, "h w"]:
    """Tissue of one level of a slide, looked for at ``settings.mpp`` and given at the level's own size.

    Saturation and darkness against the glass pass a hysteresis threshold: a piece must be strong somewhere and may
    then fade. What has no colour at all is never tissue: shadows of bubbles and cover slips, black scanner borders.
    Pen marks go by their hues. Then gaps are filled and dust removed. A picture without glass is all tissue.

    Parameters
    ----------
    level_image
        The whole slide at this level.
    mpp
        um per pixel of the level.
    settings
        Thresholds and areas.
    """
    height, width = level_image.shape[:2]
    factor = max(1.0, settings.mpp / mpp)
    small = _shrunk(level_image, (max(1, round(height / factor)), max(1, round(width / factor))))
    pixel_um2 = (mpp * factor) ** 2
    relative = _against_glass(small)
    score = _score(relative, settings)
    if settings.reject_ink:
        score[_ink(relative, settings, mpp * factor)] = 0
    mask: np.ndarray = apply_hysteresis_threshold(score, settings.low, settings.high)  # type: ignore[no-untyped-call]
    mask = ~_without_small(~mask, settings.max_hole_um2 / pixel_um2)
    dust = min(settings.min_piece_um2 / pixel_um2, SMALLEST_SHARE * mask.size)
    return _enlarged(_without_small(mask, dust), (height, width))


def _shrunk(image: UInt8[np.ndarray, "h w 3"], shape: tuple[int, int]) -> UInt8[np.ndarray, "a b 3"]:
    """Mean over the area of each coarse pixel."""
    if image.shape[:2] == shape:
        return image
    return np.asarray(Image.fromarray(image).resize(shape[::-1], Image.Resampling.BOX))


def _any_of(mask: Bool[np.ndarray, "h w"], shape: tuple[int, int]) -> Bool[np.ndarray, "a b"]:
    """Coarse pixels that any true pixel touches."""
    share = Image.fromarray(mask.astype(np.float32)).resize(shape[::-1], Image.Resampling.BOX)
    return np.asarray(share) > 0


def _enlarged(mask: Bool[np.ndarray, "a b"], shape: tuple[int, int]) -> Bool[np.ndarray, "h w"]:
    rows, columns = (np.arange(n) * m // n for n, m in zip(shape, mask.shape, strict=True))
    return mask[np.ix_(rows, columns)]


def _against_glass(image: UInt8[np.ndarray, "a b 3"]) -> Float[np.ndarray, "a b 3"]:
    """Colours divided by the glass's: the most frequent bright, nearly colourless tone; white where there is none."""
    pale = image[(image[..., 1] > GLASS_MIN) & (_spread(image) < GLASS_MAX_SPREAD)]
    glass = np.full(3, 255.0)
    if len(pale) > 0.01 * image.shape[0] * image.shape[1]:
        tone = pale.sum(axis=1, dtype=np.int64) // 12
        glass = np.median(pale[tone == np.bincount(tone).argmax()], axis=0)
    return np.minimum(image / glass.astype(np.float32), 1)


def _spread(image: np.ndarray) -> np.ndarray:
    """Largest minus smallest channel; channels first, because reducing a last axis of three is slow."""
    channels = np.moveaxis(image, 2, 0)
    return np.asarray(np.maximum.reduce(channels) - np.minimum.reduce(channels))


def _score(relative: Float[np.ndarray, "a b 3"], settings: TissueSettings) -> Float[np.ndarray, "a b"]:
    chroma = _spread(relative)
    score = chroma + settings.darkness_weight * (1 - np.add.reduce(np.moveaxis(relative, 2, 0)) / 3)
    return np.where(chroma >= settings.neutral, score, 0)


def _ink(relative: Float[np.ndarray, "a b 3"], settings: TissueSettings, mpp: float) -> Bool[np.ndarray, "a b"]:
    """Large patches in a pen's colour, with the pale rim of the same hue around them."""
    hue, saturation, value = np.moveaxis(rgb2hsv(relative), 2, 0)
    chroma = saturation * value
    found = np.zeros(hue.shape, bool)
    for ink in INKS.values():
        first, last = ink.hues
        of_hue = (hue >= first) & (hue <= last) if first < last else (hue >= first) | (hue <= last)
        core = of_hue & (saturation >= ink.saturation) & (chroma >= ink.chroma)
        core &= (value <= ink.max_value) & (chroma <= ink.max_chroma)
        core = _without_small(core, settings.min_ink_um2 / mpp**2)
        if core.any():
            near = ndimage.distance_transform_edt(~core) <= settings.ink_halo_um / mpp
            found |= core | (near & of_hue & (chroma >= RIM_CHROMA) & (chroma <= ink.max_chroma))
    return found


def _without_small(mask: Bool[np.ndarray, "a b"], pixels: float) -> Bool[np.ndarray, "a b"]:
    """Only the (edge-)connected parts of at least so many pixels."""
    labels, _ = ndimage.label(mask)
    large = np.bincount(labels.ravel()) >= pixels
    large[0] = False
    return np.asarray(large[labels])
