"""The report's pictures, drawn into axes: page and sheet place the same ones. Colours that any reader can tell."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.patches import Patch, Rectangle
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator

from napari_gimp.doubt import probability_name
from napari_gimp.export.drawing import draw_outline, draw_slide, draw_values, hex_of, view_of
from napari_gimp.export.report.case import ReportCase
from napari_gimp.export.report.content import INPUTS, called
from napari_gimp.export.tables import top_genes
from napari_gimp.types import Modality, Prediction, against_others
from napari_gimp.words import share

COLOURS: Mapping[Modality, str] = {"both": "#0b5fa5", "image": "#c2741a", "genes": "#7a6fb0"}
FOR, AGAINST, ATTENTION = "#c2741a", "#54478c", "#35798c"
OUTLINE = (0, 128, 160)
SMALL = 6.5


def literal(text: str, most: int = 40) -> str:
    """A name as it is: no formula between dollar signs, cut to a length."""
    return (text if len(text) <= most else f"{text[: most - 1]}…").replace("$", r"\$")


def overview(axis: Axes, case: ReportCase) -> ScalarMappable:
    """Slide, map, the numbered patches, outlines and a scale bar; returns what a colour bar needs."""
    prediction, shown = case.prediction, case.map
    view = view_of(prediction, case.outlines)
    draw_slide(axis, prediction, case.overview, view)
    colour = draw_values(axis, prediction, shown.values, view, shown.colormap, shown.signed)
    for region in case.outlines:
        draw_outline(axis, region, view, region.colour or OUTLINE)
    size = np.asarray(prediction.grid.size_yx_px) * view.unit_yx
    halo = [withStroke(linewidth=1.4, foreground="white")]
    for number, item in enumerate(case.patches, start=1):
        y, x = prediction.grid.coords_yx[item.patch] * view.unit_yx
        axis.add_patch(Rectangle((x, y), size[1], size[0], fill=False, edgecolor="black", linewidth=0.7))
        middle = x + size[1] / 2, y + size[0] / 2
        axis.text(*middle, str(number), fontsize=5.5, va="center", ha="center", path_effects=halo, zorder=6)
    for mark in case.marks:
        y, x = np.asarray(mark.centre_yx_px) * view.unit_yx
        axis.plot(x, y, "+", color="black", markersize=7, markeredgewidth=1.2, zorder=6)
    return colour


def map_bar(axis: Axes, case: ReportCase, colour: ScalarMappable) -> None:
    """The colour bar with title and unit of the map; its ends are percentiles."""
    bar = axis.figure.colorbar(colour, cax=axis, orientation="horizontal", extend="both")
    unit = f" ({case.map.unit})" if case.map.unit else ""
    bar.set_label(literal(f"{case.map.title}{unit}; ends: 1st and 99th percentile", 90), fontsize=SMALL)
    axis.tick_params(labelsize=SMALL)


def legend(case: ReportCase) -> list[Patch]:
    """Entries for the outlined regions, by class."""
    found = {
        literal(region.classification or region.name or "region", 28): hex_of(region.colour or OUTLINE)
        for region in case.outlines
    }
    return [Patch(facecolor="none", edgecolor=colour, label=label) for label, colour in list(found.items())[:6]]


def probabilities(axis: Axes, prediction: Prediction, most: int = 12) -> None:
    """By class a bar for each kind of input, the spread over the seeds on the headline's; likeliest class first."""
    given = [name for name in INPUTS if name in prediction.probabilities]
    headline = np.asarray(prediction.probabilities[prediction.modality])
    order = np.argsort(-headline, kind="stable")[:most].tolist()
    block = len(given) + 1
    for number, row in enumerate(order):
        name = literal(prediction.classes[row], 36)
        axis.text(0, number * block + 0.2, name, fontsize=7, weight="bold", va="center")
        for place, modality in enumerate(given, start=number * block + 1):
            _probability(axis, prediction, modality, row, place)
    places = [number * block + k for number in range(len(order)) for k in range(1, block)]
    axis.set_yticks(places, [INPUTS[name] for name in given] * len(order))
    axis.set(xlim=(0, 1.15 if prediction.spread is None else 1.4), xticks=(0, 0.5, 1))
    axis.set_ylim(len(order) * block - 0.4, -0.5)
    axis.set_xlabel(probability_name(prediction), fontsize=SMALL)
    _style(axis)


def _probability(axis: Axes, prediction: Prediction, modality: Modality, row: int, place: int) -> None:
    value = float(prediction.probabilities[modality][row])
    spread = None
    if prediction.spread is not None and modality == prediction.modality:
        spread = float(prediction.spread[row])
    axis.barh(place, value, 0.84, color=COLOURS[modality], xerr=spread, error_kw={"lw": 1})
    said = share(value) if spread is None else f"{share(value)} ± {spread:.2f}"
    axis.text(min(value + (spread or 0), 1) + 0.02, place, said, fontsize=SMALL, va="center")


def genes(axis: Axes, prediction: Prediction, most: int) -> None:
    """The genes that speak most for and against the most probable class."""
    assert prediction.gene_attribution is not None
    assert prediction.gene_z is not None
    values, z = against_others(prediction.gene_attribution)[called(prediction)], prediction.gene_z
    shown = top_genes(values, most)
    axis.barh(range(len(shown)), values[shown], color=[FOR if values[g] > 0 else AGAINST for g in shown])
    axis.set_yticks(range(len(shown)), [f"{literal(prediction.genes[g], 20)}  (z {z[g]:+.1f})" for g in shown])
    axis.axvline(0, color="black", linewidth=0.6)
    axis.set_title(literal(f"Genes for and against {prediction.classes[called(prediction)]}", 60), fontsize=7.5)
    axis.set_xlabel("added to its logit, less the other classes'", fontsize=SMALL)
    axis.xaxis.set_major_locator(MaxNLocator(5))
    axis.invert_yaxis()
    _style(axis)


def groups(axis: Axes, prediction: Prediction, most: int) -> None:
    """The gene groups that the model attended to most."""
    assert prediction.group_attention is not None
    shown = np.argsort(-prediction.group_attention, kind="stable")[:most].tolist()
    axis.barh(range(len(shown)), 100 * prediction.group_attention[shown], color=ATTENTION)
    names = [f"{literal(prediction.groups[k].name, 26)}  ({len(prediction.groups[k].genes)})" for k in shown]
    axis.set_yticks(range(len(shown)), names)
    axis.axvline(100 / len(prediction.groups), color="black", linewidth=0.8, linestyle=":")
    axis.set_title("Attention to gene groups (number of genes)", fontsize=7.5)
    axis.set_xlabel("share of attention (%); dotted: all alike", fontsize=SMALL)
    axis.invert_yaxis()
    _style(axis)


def _style(axis: Axes) -> None:
    axis.tick_params(labelsize=SMALL)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
