"""Where one is on a slide: magnification, places, the way back, how it is turned. Pure, no window.

World coordinates are um (slide pixels where the size of a pixel is unknown). Shares run from 0 to 1 over the slide,
from its top-left corner; those of the screen over the slide as it is turned.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import hypot
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

from napari_gimp.types import SlideFacts

UM_AT_1X = 10.0
"""um per screen pixel at 1x: the convention of objectives, 40x = 0.25 um."""
MAGNIFICATIONS = (1.25, 2.5, 5.0, 10.0, 20.0, 40.0)
MERGED_SHARE, MERGED_ZOOM = 0.5, 1.6
"""A view moved by less than this share of the window, and zoomed by less than this factor, is the same place."""
Pair = tuple[float, float]


class Act(NamedTuple):
    """What the navigator can be asked for: its name for programs, label, key and what it does in a sentence."""

    name: str
    label: str
    key: str
    sentence: str


def _magnify(number: int, power: float) -> Act:
    um = UM_AT_1X / power
    return Act(
        f"magnify {power:g}", f"{power:g}×", f"Control-{number}", f"Look at {power:g}×: {um:g} µm per screen pixel."
    )


ACTS = (
    *(_magnify(number, power) for number, power in enumerate(MAGNIFICATIONS, start=1)),
    Act("fit", "Fit slide", "Control-0", "See the whole slide."),
    Act("previous piece", "◂ Piece", "Shift-N", "Go to the previous piece of tissue."),
    Act("next piece", "Piece ▸", "N", "Go to the next piece of tissue, the largest first; then in reading order."),
    Act("back", "Back", "Alt-Left", "Go back to the place that was looked at before."),
    Act("forward", "Forward", "Alt-Right", "Go forward again after going back."),
    Act("turn", "Turn 90°", "Shift-R", "Turn the slide with all its maps by 90° clockwise."),
    Act("mirror", "Mirror ↔", "Shift-F", "Mirror the slide with all its maps left to right."),
    Act("upend", "Mirror ↕", "Shift-D", "Mirror the slide with all its maps top to bottom."),
    Act("upright", "As scanned", "Shift-U", "Show the slide as it was scanned, neither turned nor mirrored."),
    Act("ruler", "Ruler", "Shift-M", "Draw lines whose length is shown in µm or mm."),
)
KEYS = {act.key: act.sentence for act in ACTS}
"""Key -> what it does, for a help dialog."""


def magnification_of(um_per_px: float) -> float:
    """Magnification at so many um per screen pixel."""
    return UM_AT_1X / um_per_px


def um_per_px_at(magnification: float) -> float:
    """um per screen pixel at a magnification."""
    return UM_AT_1X / magnification


def scale_words(per_px: float, facts: SlideFacts) -> str:
    """What a screen pixel is now, in um and as a magnification; in slide pixels where their size is unknown."""
    if facts.mpp_yx is None:
        return f"{_three(per_px)} slide px per screen px"
    return f"{_three(magnification_of(per_px))}× · {_three(per_px)} µm per screen px"


def position_words(world_yx: Pair, facts: SlideFacts) -> str:
    """Where the cursor is, from the slide's top-left corner; a dash beside the slide."""
    share = share_of(world_yx, facts)
    if not all(0 <= part <= 1 for part in share):
        return "cursor beside the slide"
    mpp, unit = (facts.mpp_yx, "µm") if facts.mpp_yx is not None else ((1.0, 1.0), "px")
    y, x = (part * n * m for part, n, m in zip(share, facts.shape_yx, mpp, strict=True))
    return f"cursor x {x:,.0f} {unit} · y {y:,.0f} {unit}".replace(",", "\u202f")


def _three(number: float) -> str:
    """Three figures, without an exponent."""
    digits = max(0, 2 - int(np.floor(np.log10(number)))) if number > 0 else 0
    return f"{number:.{min(digits, 4)}f}"


def share_of(world_yx: Pair, facts: SlideFacts) -> Pair:
    """World -> share of the slide; its pixel (0, 0) has its centre at world 0."""
    y, x = ((w / m + 0.5) / n for w, m, n in zip(world_yx, facts.mpp_yx or (1.0, 1.0), facts.shape_yx, strict=True))
    return y, x


def world_of(share_yx: Pair, facts: SlideFacts) -> Pair:
    """The inverse of :func:`share_of`."""
    y, x = ((s * n - 0.5) * m for s, n, m in zip(share_yx, facts.shape_yx, facts.mpp_yx or (1.0, 1.0), strict=True))
    return y, x


@dataclass(frozen=True)
class Place:
    """A view: the world coordinates of its middle, and how much of the world a screen pixel is."""

    centre_yx: Pair
    per_px: float


class History:
    """Places that were looked at, in order. Small moves belong to the place that they started from.

    Parameters
    ----------
    most
        How many places are kept; the oldest go first.
    """

    def __init__(self, most: int = 200) -> None:
        self._most = most
        self._came: list[Place] = []
        self._left: list[Place] = []
        self._now = -1

    def visit(self, place: Place, window_px: Pair) -> None:
        """Take a view that rests: a new place, or a little move within the present one.

        Parameters
        ----------
        window_px
            Height and width of the window.
        """
        if self._now >= 0 and is_near(self._came[self._now], place, window_px):
            self._left[self._now] = place
            return
        for places in (self._came, self._left):
            places[self._now + 1 :] = [place]
            del places[: -self._most]
        self._now = len(self._came) - 1

    @property
    def can_go_back(self) -> bool:
        """Whether there is a place before this one."""
        return self._now > 0

    @property
    def can_go_forward(self) -> bool:
        """Whether one went back from a place."""
        return self._now + 1 < len(self._came)

    def step(self, by: int) -> Place | None:
        """Go back (-1) or forward (1): the place as it was left, None at the end of the way."""
        if not 0 <= self._now + by < len(self._came):
            return None
        self._now += by
        self._came[self._now] = self._left[self._now]
        return self._left[self._now]


def is_near(there: Place, place: Place, window_px: Pair) -> bool:
    """Whether two views show about the same."""
    zoomed = max(there.per_px / place.per_px, place.per_px / there.per_px)
    moved = hypot(there.centre_yx[0] - place.centre_yx[0], there.centre_yx[1] - place.centre_yx[1])
    return zoomed < MERGED_ZOOM and moved < MERGED_SHARE * min(window_px) * max(there.per_px, place.per_px)


@dataclass(frozen=True)
class Orientation:
    """How a slide stands on the screen: axes swapped first, then the screen's axes reversed. All eight are there."""

    swapped: bool = False
    up: bool = False
    left: bool = False

    def turned(self) -> Orientation:
        """By 90 degrees clockwise from how it stands now."""
        return Orientation(not self.swapped, self.left, not self.up)

    def mirrored(self) -> Orientation:
        """Left to right, as seen now."""
        return Orientation(self.swapped, self.up, not self.left)

    def upended(self) -> Orientation:
        """Top to bottom, as seen now."""
        return Orientation(self.swapped, not self.up, self.left)

    def to_screen(self, share_yx: Pair) -> Pair:
        """Share of the slide -> share of the screen, downwards and to the right."""
        down, right = share_yx[::-1] if self.swapped else share_yx
        return (1 - down if self.up else down), (1 - right if self.left else right)

    def to_slide(self, share: Pair) -> Pair:
        """The inverse of :meth:`to_screen`."""
        down, right = (1 - share[0] if self.up else share[0]), (1 - share[1] if self.left else share[1])
        return (right, down) if self.swapped else (down, right)

    def picture(self, pixels: UInt8[np.ndarray, "h w c"]) -> UInt8[np.ndarray, "a b c"]:
        """A picture of the slide as it stands on the screen."""
        turned = pixels.swapaxes(0, 1) if self.swapped else pixels
        return turned[:: -1 if self.up else 1, :: -1 if self.left else 1]

    @property
    def above(self) -> Pair:
        """A step upwards on the screen, along y and x of the slide."""
        step = 1.0 if self.up else -1.0
        return (0.0, step) if self.swapped else (step, 0.0)

    def words(self) -> str:
        """How it differs from how it was scanned, in words; empty where it does not."""
        for mirrored in (False, True):
            stands = Orientation(left=mirrored)
            for turns in range(4):
                if stands == self:
                    return _words(turns * 90, mirrored)
                stands = stands.turned()
        raise AssertionError("eight orientations")


AS_SCANNED = Orientation()


def _words(degrees: int, mirrored: bool) -> str:
    parts = ["mirrored"] * mirrored + [f"turned by {degrees}°"] * bool(degrees)
    return ", ".join(parts)


def seen_on_screen(place: Place, window_px: Pair, facts: SlideFacts, stands: Orientation) -> tuple[Pair, Pair]:
    """The two corners of what the window shows, in shares of the slide as it stands on the screen.

    Parameters
    ----------
    window_px
        Height and width of the window.
    """
    half = [n * place.per_px / 2 for n in (window_px[::-1] if stands.swapped else window_px)]
    ends = [
        stands.to_screen(share_of((place.centre_yx[0] + s * half[0], place.centre_yx[1] + s * half[1]), facts))
        for s in (-1, 1)
    ]
    (top, bottom), (near, far) = sorted(end[0] for end in ends), sorted(end[1] for end in ends)
    return (top, near), (bottom, far)
