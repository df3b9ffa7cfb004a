"""``figure.png``, to print: the slide and its maps over it, scale bar, colour bars, legend, what it is worth."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from napari_gimp.export.drawing import View, draw_outline, draw_slide, draw_values, hex_of, view_of
from napari_gimp.export.omezarr import channels_of
from napari_gimp.export.overlay import TOP_COLOUR, top_regions
from napari_gimp.export.plain import NOTICE, question
from napari_gimp.files import appearing
from napari_gimp.regions import Colour, Region
from napari_gimp.types import Modality, Prediction, against_others

DPI = 200
INPUTS: dict[Modality, str] = {"both": "image + genes", "image": "image only", "genes": "genes only"}
MAPS = {
    "attention_x_mean": ("attention (× mean of the slide)", "viridis"),
    "error": ("masked reconstruction error (per patch)", "cividis"),
}
SIGNED = "RdBu_r"
OWN_COLOUR = (0, 188, 212)


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
    view = view_of(prediction, regions)
    maps = _maps(prediction)
    left, top, right, bottom = view.bounds
    panel = 4.6
    ratio = (bottom - top) * view.unit_yx[0] / ((right - left) * view.unit_yx[1])
    size = (panel * (1 + len(maps)) + 0.6, float(np.clip(panel * ratio, 2.2, 9)) + 2.1)
    figure = Figure(figsize=size, dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    axes, below = figure.subplots(2, 1 + len(maps), squeeze=False, height_ratios=(1, 0.03))
    for axis in axes:
        draw_slide(axis, prediction, picture, view)
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


def _map(axis: Axes, bar: Axes, prediction: Prediction, name: str, values: Float[np.ndarray, " N"], view: View) -> None:
    """One map over the slide, and its colour bar."""
    label, colours = MAPS.get(name, (f"{name} (added to its logit, less the other classes')", SIGNED))
    colour = draw_values(axis, prediction, values, view, colours, colours == SIGNED)
    axis.figure.colorbar(colour, cax=bar, orientation="horizontal", extend="both").set_label(label, fontsize=8)
    bar.tick_params(labelsize=7)


def _regions(axis: Axes, prediction: Prediction, regions: Sequence[Region], view: View) -> list[Patch | Line2D]:
    """Draw top regions, the user's own and crosses where patches could not be read; returns the legend's entries."""
    colours: dict[str, Colour] = {"top 5 % attention": TOP_COLOUR}
    for region in top_regions(prediction):
        draw_outline(axis, region, view, TOP_COLOUR)
    for region in regions:
        colour = region.colour or OWN_COLOUR
        draw_outline(axis, region, view, colour)
        colours.setdefault(textwrap.shorten(region.classification or region.name or "drawn region", 28), colour)
    legend: list[Patch | Line2D] = [
        Patch(facecolor="none", edgecolor=hex_of(colour), label=label) for label, colour in list(colours.items())[:6]
    ]
    if len(prediction.missing_yx):
        middle = (prediction.missing_yx + np.asarray(prediction.grid.size_yx_px) / 2) * view.unit_yx
        legend += axis.plot(middle[:, 1], middle[:, 0], "x", color="black", markersize=3, label="patch not readable")
    return legend


def _words(figure: Figure, prediction: Prediction) -> None:
    """The probabilities above; below, what they are worth."""
    lines = [prediction.slide.name if len(prediction.slide.name) <= 90 else f"{prediction.slide.name[:89]}…"]
    for modality in (prediction.modality, *(m for m in prediction.probabilities if m != prediction.modality)):
        pairs = zip(prediction.classes, prediction.probabilities[modality], strict=True)
        lines.append(f"{INPUTS[modality]}: " + ",  ".join(f"{name} {value:.2f}" for name, value in pairs))
    asked = question(prediction).get("what_if", "")
    figure.suptitle("\n".join((*textwrap.wrap(asked, 110)[:2], *lines[:4])), fontsize=10)
    caution = f"{NOTICE}; genes never move attention or reconstruction"
    if prediction.synthetic:
        caution += f"; the model was trained on {prediction.synthetic} cases: no evidence about patients"
    if prediction.partial < 1:
        caution += f"; partial: {prediction.partial:.0%} of the patches"
    figure.supxlabel("\n".join(textwrap.wrap(caution, 150)), fontsize=8, color="#b00020")
