"""``genes.png``: the genes that speak most for and against the answer, and the gene groups that were attended to."""

from __future__ import annotations

import textwrap
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from napari_gimp.export.figure import DPI
from napari_gimp.export.plain import NOTICE
from napari_gimp.export.tables import top_genes
from napari_gimp.files import appearing
from napari_gimp.types import Prediction, against_others

MOST_GENES, MOST_GROUPS = 25, 25
FOR, AGAINST, ATTENTION = "#b40426", "#3b4cc0", "#35798c"


def write_gene_figure(path: Path, prediction: Prediction) -> None:
    """Draw the figure with 200 dots per inch; whole or not at all. The prediction has gene attribution."""
    with_groups = prediction.group_attention is not None
    figure = Figure(figsize=(9.5 if with_groups else 5.2, 6.4), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, 2 if with_groups else 1, squeeze=False)[0]
    _genes(axes[0], prediction)
    if with_groups:
        _groups(axes[1], prediction)
    _words(figure, prediction)
    with appearing(path) as part:
        figure.savefig(part, format="png", dpi=DPI, metadata={"Description": NOTICE, "Software": "napari-gimp"})


def best_class(prediction: Prediction) -> int:
    """Index of the most probable class."""
    return int(np.argmax(prediction.probabilities[prediction.modality]))


def _genes(axis: Axes, prediction: Prediction) -> None:
    assert prediction.gene_attribution is not None
    assert prediction.gene_z is not None
    values, z = against_others(prediction.gene_attribution)[best_class(prediction)], prediction.gene_z
    shown = top_genes(values, MOST_GENES)
    names = [f"{_short(prediction.genes[g])}  ({z[g]:+.1f})" for g in shown]
    axis.barh(range(len(shown)), values[shown], color=[FOR if values[g] > 0 else AGAINST for g in shown])
    axis.set_yticks(range(len(shown)), names)
    axis.axvline(0, color="black", linewidth=0.6)
    axis.set_title(f"genes that speak most for and against {prediction.classes[best_class(prediction)]}", fontsize=9)
    axis.set_xlabel(
        "added to its logit, less the other classes',\nbaseline: cohort mean (in brackets: z in the cohort)", fontsize=8
    )
    _style(axis)


def _groups(axis: Axes, prediction: Prediction) -> None:
    assert prediction.group_attention is not None
    shown = np.argsort(-prediction.group_attention, kind="stable")[:MOST_GROUPS].tolist()
    names = [f"{_short(prediction.groups[k].name)}  ({len(prediction.groups[k].genes)})" for k in shown]
    axis.barh(range(len(shown)), prediction.group_attention[shown], color=ATTENTION)
    axis.set_yticks(range(len(shown)), names)
    axis.axvline(1 / len(prediction.groups), color="black", linewidth=0.8, linestyle=":")
    axis.set_title("attention to gene groups (dotted: all alike)", fontsize=9)
    axis.set_xlabel("share of attention (in brackets: genes of the group)", fontsize=8)
    _style(axis)


def _short(name: str) -> str:
    return name if len(name) <= 28 else f"{name[:27]}…"


def _style(axis: Axes) -> None:
    axis.invert_yaxis()
    axis.tick_params(labelsize=7)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)


def _words(figure: Figure, prediction: Prediction) -> None:
    best = best_class(prediction)
    probability = prediction.probabilities[prediction.modality][best]
    figure.suptitle(f"{prediction.slide.name[:60]}: {prediction.classes[best]} {probability:.2f}", fontsize=10)
    errors = prediction.attribution_error
    told = "" if errors is None else f"; attributions miss the logit difference by {errors[best]:.2%}"
    caution = f"{NOTICE}; attribution says what the model used, not what a gene does{told}"
    if prediction.synthetic:
        caution += f"; the model was trained on {prediction.synthetic} cases: no evidence about patients"
    figure.supxlabel("\n".join(textwrap.wrap(caution, 110)), fontsize=7, color="#b00020")
