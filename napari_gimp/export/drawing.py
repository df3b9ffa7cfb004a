"""What figure and report draw alike: the part of the slide that is shown, its picture, values over it, outlines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from jaxtyping import Float, UInt8
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.patches import Rectangle
from PIL import Image

from napari_gimp.regions import Colour, Region
from napari_gimp.types import Prediction

MOST_PX = 1600
"""Longest side of the slide's picture in a panel: what a printed panel can show."""


@dataclass(frozen=True)
class View:
    """The part of the slide shown: pixel bounds (left, top, right, bottom) and the unit one level-0 pixel has."""

    bounds: tuple[float, float, float, float]
    unit_yx: tuple[float, float]
    unit: str

    def extent(self, left: float, top: float, right: float, bottom: float) -> tuple[float, float, float, float]:
        """Level-0 pixels -> matplotlib's extent (left, right, bottom, top) in the figure's unit."""
        y, x = self.unit_yx
        return left * x, right * x, bottom * y, top * y


def view_of(prediction: Prediction, regions: Sequence[Region]) -> View:
    """Patches and regions with a margin, within the slide; in mm where um per pixel are known."""
    height, width = prediction.slide.shape_yx
    corners = np.concatenate([prediction.grid.coords_yx, prediction.missing_yx])
    low, high = corners.min(axis=0)[::-1], (corners.max(axis=0) + prediction.grid.size_yx_px)[::-1]
    bounds = shapely.total_bounds([shapely.box(*low, *high), *(region.polygon for region in regions)])
    margin = 0.06 * max(bounds[2] - bounds[0], bounds[3] - bounds[1])
    low = np.clip(bounds[:2] - margin, 0, None)
    high = np.clip(bounds[2:] + margin, None, (width, height))
    mpp = prediction.slide.mpp_yx
    part = (float(low[0]), float(low[1]), float(high[0]), float(high[1]))
    return View(part, (1.0, 1.0), "px") if mpp is None else View(part, (mpp[0] / 1e3, mpp[1] / 1e3), "mm")


def draw_slide(axis: Axes, prediction: Prediction, picture: UInt8[np.ndarray, "h w 3"], view: View) -> None:
    """The slide's picture, cut to the view, and a scale bar."""
    height, width = prediction.slide.shape_yx
    scale = np.array([picture.shape[1] / width, picture.shape[0] / height])
    left, top = np.floor(np.asarray(view.bounds[:2]) * scale).astype(int)
    right, bottom = np.ceil(np.asarray(view.bounds[2:]) * scale).astype(int)
    shown = Image.fromarray(picture[top:bottom, left:right])
    shown.thumbnail((MOST_PX, MOST_PX), Image.Resampling.BOX)
    place = [float(v) for v in np.array([left, top, right, bottom]) / np.tile(scale, 2)]
    axis.imshow(np.asarray(shown), extent=view.extent(*place), interpolation="antialiased")
    left, right, bottom, top = view.extent(*view.bounds)
    axis.set(xlim=(left, right), ylim=(bottom, top), xticks=[], yticks=[], aspect="equal")
    _scale_bar(axis, view)


def _scale_bar(axis: Axes, view: View) -> None:
    left, right, bottom, top = view.extent(*view.bounds)
    length = round_length(0.25 * (right - left))
    text = f"{length:g} {view.unit}" if view.unit == "px" or length >= 1 else f"{length * 1e3:g} µm"
    x, y, thick = left + 0.04 * (right - left), bottom - 0.04 * (bottom - top), 0.012 * (bottom - top)
    frame = {"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 1.5}
    axis.add_patch(
        Rectangle((x, y - thick), length, thick, facecolor="black", edgecolor="white", linewidth=0.6, zorder=5)
    )
    axis.text(x, y - 2 * thick, text, fontsize=8, va="bottom", bbox=frame, zorder=5)


def round_length(most: float) -> float:
    """The largest 1, 2 or 5 times a power of ten up to ``most``."""
    power = 10.0 ** np.floor(np.log10(most))
    return float(max(step * power for step in (1, 2, 5) if step * power <= most * (1 + 1e-9)))


def draw_values(
    axis: Axes, prediction: Prediction, values: Float[np.ndarray, " N"], view: View, colours: str, signed: bool = False
) -> ScalarMappable:
    """One number a patch over the slide, unblurred; its colours end at the 1st and 99th percentile.

    Parameters
    ----------
    signed
        The middle of the colours is 0.
    """
    low, high = (float(v) for v in np.percentile(values, (1, 99)))
    if signed:
        low, high = -max(-low, high), max(-low, high)
    colour = ScalarMappable(Normalize(low, high if high > low else low + max(1e-6, abs(low))), colours)
    for lattice in prediction.grid.lattices:
        (top, left), (height, width) = lattice.origin_yx_px, lattice.cell_yx_px
        rows, columns = lattice.shape
        picture = colour.to_rgba(np.ma.masked_invalid(lattice.image(values)), alpha=0.72)
        picture[np.isnan(lattice.image(values)), 3] = 0
        extent = view.extent(left, top, left + columns * width, top + rows * height)
        axis.imshow(picture, extent=extent, interpolation="nearest", aspect="equal")
    left, right, bottom, top = view.extent(*view.bounds)
    axis.set(xlim=(left, right), ylim=(bottom, top))
    return colour


def draw_outline(axis: Axes, region: Region, view: View, colour: Colour) -> None:
    """The rings of a region, holes too."""
    for part in shapely.get_parts(region.polygon):
        for ring in (part.exterior, *part.interiors):
            points = shapely.get_coordinates(ring) * view.unit_yx[::-1]
            axis.plot(points[:, 0], points[:, 1], color=hex_of(colour), linewidth=1.1)


def hex_of(colour: Colour) -> str:
    """A colour as matplotlib and HTML take it."""
    return "#{:02x}{:02x}{:02x}".format(*colour)
