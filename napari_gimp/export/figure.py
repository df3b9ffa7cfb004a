"""``figure.png``, to print: the slide and its maps over it, scale bar, colour bars, legend, what it is worth."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import shapely
from jaxtyping import Float, UInt8
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from PIL import Image

from napari_gimp.export.omezarr import channels_of
from napari_gimp.export.overlay import TOP_COLOUR, top_regions
from napari_gimp.export.plain import NOTICE
from napari_gimp.files import appearing
from napari_gimp.regions import Colour, Region
from napari_gimp.types import Modality, Prediction, against_others

DPI = 200
MOST_PX = 1600
"""Longest side of the slide's picture in a panel: what a printed panel can show."""
INPUTS: dict[Modality, str] = {"both": "image + genes", "image": "image only", "genes": "genes only"}
MAPS = {
    "attention_x_mean": ("attention (× mean of the slide)", "viridis"),
    "error": ("masked reconstruction error (per patch)", "cividis"),
}
SIGNED = "RdBu_r"
OWN_COLOUR = (0, 188, 212)


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


def write_figure(
    path: Path, prediction: Prediction, picture: UInt8[np.ndarray, "h w 3"], regions: Sequence[Region] = ()
) -> None:
    """Draw the figure with 200 dots per inch; whole or not at all.

    Parameters
    ----------
    picture
        The whole slide at any low resolution.
    regions
        The user's own regions, drawn over the slide.
    """
    view = _view(prediction, regions)
    maps = _maps(prediction)
    left, top, right, bottom = view.bounds
    panel = 4.6
    ratio = (bottom - top) * view.unit_yx[0] / ((right - left) * view.unit_yx[1])
    size = (panel * (1 + len(maps)) + 0.6, float(np.clip(panel * ratio, 2.2, 9)) + 2.1)
    figure = Figure(figsize=size, dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    axes, below = figure.subplots(2, 1 + len(maps), squeeze=False, height_ratios=(1, 0.03))
    for axis in axes:
        _slide(axis, prediction, picture, view)
    below[0].set_axis_off()
    below[0].legend(
        handles=_regions(axes[0], prediction, regions, view), loc="center", fontsize=8, frameon=False, ncols=3
    )
    for axis, bar, (name, values) in zip(axes[1:], below[1:], maps.items(), strict=True):
        _map(axis, bar, prediction, name, values, view)
    _words(figure, prediction)
    with appearing(path) as part:
        figure.savefig(part, format="png", dpi=DPI, metadata={"Description": NOTICE, "Software": "napari-gimp"})


def _maps(prediction: Prediction) -> dict[str, Float[np.ndarray, " N"]]:
    """Attention and error, and what speaks for the most probable class."""
    maps = {name: row for name, row in channels_of(prediction).items() if name in MAPS}
    if prediction.class_support is not None:
        best = int(np.argmax(prediction.probabilities[prediction.modality]))
        maps[f"support for {prediction.classes[best]}"] = against_others(prediction.class_support)[best]
    return maps


def _view(prediction: Prediction, regions: Sequence[Region]) -> View:
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


def _slide(axis: Axes, prediction: Prediction, picture: UInt8[np.ndarray, "h w 3"], view: View) -> None:
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


def _map(axis: Axes, bar: Axes, prediction: Prediction, name: str, values: Float[np.ndarray, " N"], view: View) -> None:
    """One map over the slide, unblurred, and its colour bar between its 1st and 99th percentile."""
    label, colours = MAPS.get(name, (f"{name} (added to its logit, less the other classes')", SIGNED))
    low, high = (float(v) for v in np.percentile(values, (1, 99)))
    if colours == SIGNED:
        low, high = -max(-low, high), max(-low, high)
    colour = ScalarMappable(Normalize(low, high if high > low else low + 1e-6), colours)
    for lattice in prediction.grid.lattices:
        (top, left), (height, width) = lattice.origin_yx_px, lattice.cell_yx_px
        rows, columns = lattice.shape
        picture = colour.to_rgba(np.ma.masked_invalid(lattice.image(values)), alpha=0.72)
        picture[np.isnan(lattice.image(values)), 3] = 0
        extent = view.extent(left, top, left + columns * width, top + rows * height)
        axis.imshow(picture, extent=extent, interpolation="nearest", aspect="equal")
    left, right, bottom, top = view.extent(*view.bounds)
    axis.set(xlim=(left, right), ylim=(bottom, top))
    axis.figure.colorbar(colour, cax=bar, orientation="horizontal", extend="both").set_label(label, fontsize=8)
    bar.tick_params(labelsize=7)


def _regions(axis: Axes, prediction: Prediction, regions: Sequence[Region], view: View) -> list[Patch | Line2D]:
    """Draw top regions, the user's own and crosses where patches could not be read; returns the legend's entries."""
    colours: dict[str, Colour] = {"top 5 % attention": TOP_COLOUR}
    for region in top_regions(prediction):
        _outline(axis, region, view, TOP_COLOUR)
    for region in regions:
        colour = region.colour or OWN_COLOUR
        _outline(axis, region, view, colour)
        colours.setdefault(textwrap.shorten(region.classification or region.name or "drawn region", 28), colour)
    legend: list[Patch | Line2D] = [
        Patch(facecolor="none", edgecolor=_hex(colour), label=label) for label, colour in list(colours.items())[:6]
    ]
    if len(prediction.missing_yx):
        middle = (prediction.missing_yx + np.asarray(prediction.grid.size_yx_px) / 2) * view.unit_yx
        legend += axis.plot(middle[:, 1], middle[:, 0], "x", color="black", markersize=3, label="patch not readable")
    return legend


def _outline(axis: Axes, region: Region, view: View, colour: Colour) -> None:
    for part in shapely.get_parts(region.polygon):
        for ring in (part.exterior, *part.interiors):
            points = shapely.get_coordinates(ring) * view.unit_yx[::-1]
            axis.plot(points[:, 0], points[:, 1], color=_hex(colour), linewidth=1.1)


def _hex(colour: Colour) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)


def _words(figure: Figure, prediction: Prediction) -> None:
    """The probabilities above; below, what they are worth."""
    lines = [prediction.slide.name if len(prediction.slide.name) <= 90 else f"{prediction.slide.name[:89]}…"]
    for modality in (prediction.modality, *(m for m in prediction.probabilities if m != prediction.modality)):
        pairs = zip(prediction.classes, prediction.probabilities[modality], strict=True)
        lines.append(f"{INPUTS[modality]}: " + ",  ".join(f"{name} {value:.2f}" for name, value in pairs))
    figure.suptitle("\n".join(lines[:4]), fontsize=10)
    caution = f"{NOTICE}; genes never move attention or reconstruction"
    if prediction.synthetic:
        caution += f"; the model was trained on {prediction.synthetic} cases: no evidence about patients"
    if prediction.partial < 1:
        caution += f"; partial: {prediction.partial:.0%} of the patches"
    figure.supxlabel("\n".join(textwrap.wrap(caution, 150)), fontsize=8, color="#b00020")
