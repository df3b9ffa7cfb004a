"""The report's pictures as PNG: figures of all models, ROC and reliability curves, folds, sites."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float, Int
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from sklearn.metrics import roc_curve

from napari_gimp.gimp.evaluate import reliability
from napari_gimp.study.baselines import in_words
from napari_gimp.study.comparison import Summary
from napari_gimp.study.crossvalidation import CrossValidation
from napari_gimp.types import Modality

DPI = 130
COLOURS: Mapping[Modality, str] = {"both": "#0b5fa5", "image": "#c2571a", "genes": "#3d8b37"}
INPUTS: Mapping[Modality, str] = {"both": "image + genes", "image": "image only", "genes": "genes only"}
OTHER = "#8a8f98"


def png_uri(figure: Figure) -> str:
    """A figure as a data URI."""
    FigureCanvasAgg(figure)
    sink = io.BytesIO()
    figure.savefig(sink, format="png", dpi=DPI)
    return "data:image/png;base64," + base64.b64encode(sink.getvalue()).decode("ascii")


def forest(result: CrossValidation) -> Figure:
    """Accuracy and AUC of every model with 95 % intervals, GiMP on top."""
    rows: list[tuple[str, Summary, str]] = [
        (f"GiMP, {INPUTS[name]}", found, COLOURS[name]) for name, found in result.by_modality.items()
    ]
    rows += [(in_words(name), found, OTHER) for name, found in result.by_baseline.items()]
    figure = Figure(figsize=(9.5, 0.9 + 0.27 * len(rows)), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    for panel, name, title in zip(axes, ("accuracy", "auc"), ("accuracy", "AUC"), strict=True):
        for place, (_, found, colour) in enumerate(rows):
            _interval(panel, place, found, name, colour)
        panel.set_title(f"{title} (mean of the folds, 95 % interval)", fontsize=9)
        panel.tick_params(axis="x", labelsize=8)
        panel.axhline(len(result.by_modality) - 0.5, color="#b8bec6", linewidth=0.8)
        panel.grid(axis="x", color="#dddddd")
        panel.set_axisbelow(True)
    axes[0].set_yticks(range(len(rows)), [label for label, _, _ in rows], fontsize=8)
    axes[0].set_ylim(len(rows) - 0.4, -0.6)
    return figure


def _interval(panel: Axes, place: int, found: Summary, name: str, colour: str) -> None:
    value, interval = found.figures[name], found.ci95.get(name)
    if value is None:
        return
    if interval is not None:
        panel.plot(interval, (place, place), color=colour, linewidth=2, solid_capstyle="butt")
    panel.plot(value, place, "o", color=colour, markersize=5)


def roc(result: CrossValidation) -> Figure:
    """ROC curves of the pooled predictions: of GiMP by modality and of the baseline it is compared with.

    With more than two classes, the micro-average of one-versus-rest.
    """
    figure = Figure(figsize=(4.6, 4.4), layout="constrained")
    panel = figure.subplots()
    for name, found in result.by_modality.items():
        label = f"GiMP, {INPUTS[name]} ({_short(found.pooled.auc)})"
        _curve(panel, result.model[name], result.labels, COLOURS[name], "-", label)
    rival = result.comparison.get(result.modality)
    if rival is not None:
        area = result.by_baseline[rival.baseline].pooled.auc
        label = f"{in_words(rival.baseline)} ({_short(area)})"
        _curve(panel, result.baselines[rival.baseline], result.labels, OTHER, "--", label)
    panel.plot((0, 1), (0, 1), color="#cccccc", linewidth=0.8)
    panel.set(xlabel="false positive rate", ylabel="true positive rate", xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
    panel.set_title("ROC, pooled predictions (AUC)", fontsize=9)
    panel.legend(fontsize=7, loc="lower right")
    return figure


def _short(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _curve(
    panel: Axes, rows: Float[np.ndarray, "n C"], labels: Int[np.ndarray, " n"], colour: str, style: str, label: str
) -> None:
    known = ~np.isnan(rows).any(axis=1)
    classes = rows.shape[1]
    if classes == 2:
        truth, score = labels[known] == 1, rows[known][:, 1]
    else:
        truth, score = np.eye(classes)[labels[known]].ravel() == 1, rows[known].ravel()
    if truth.any() and not truth.all():
        wrong, right, _ = roc_curve(truth, score)
        panel.plot(wrong, right, style, color=colour, linewidth=1.6, label=label)


def calibration(result: CrossValidation) -> Figure:
    """Reliability of the winning class in the ten bins of the ECE; hollow: before calibration."""
    figure = Figure(figsize=(4.6, 4.4), layout="constrained")
    panel = figure.subplots()
    panel.plot((0, 1), (0, 1), color="#cccccc", linewidth=0.8)
    lowest = 1.0
    for name, found in result.by_modality.items():
        label = f"{INPUTS[name]} (ECE {found.pooled.ece:.3f})"
        points = _reliability(result.model[name], result.labels)
        panel.plot(*points, "o-", color=COLOURS[name], markersize=4, linewidth=1.3, label=label)
        lowest = min(lowest, *points[0], *points[1])
    for name, rows in result.uncalibrated.items():
        if name in result.ece_before_calibration:
            label = f"{INPUTS[name]}, before ({result.ece_before_calibration[name]:.3f})"
            points = _reliability(rows, result.labels)
            panel.plot(*points, "o:", color=COLOURS[name], markersize=4, linewidth=1, label=label, fillstyle="none")
            lowest = min(lowest, *points[0], *points[1])
    low = max(0.0, lowest - 0.04)
    panel.set(xlabel="mean probability of the called class", ylabel="share right", xlim=(low, 1.01), ylim=(low, 1.02))
    panel.set_title("reliability, 10 bins of equal count", fontsize=9)
    panel.legend(fontsize=7, loc="lower right")
    return figure


def _reliability(
    rows: Float[np.ndarray, "n C"], labels: Int[np.ndarray, " n"]
) -> tuple[Sequence[float], Sequence[float]]:
    known = ~np.isnan(rows).any(axis=1)
    bins = reliability(rows[known], labels[known])
    return [said for _, said, _ in bins], [right for _, _, right in bins]


def sites(result: CrossValidation) -> Figure | None:
    """Cases of each site, right and wrong, the largest first; None where the cohort names no site."""
    rows = sorted((row for row in result.confusion_by_site if row["site"]), key=lambda row: -row["n"])
    if not rows:
        return None
    figure = Figure(figsize=(max(5.0, 0.21 * len(rows) + 1.2), 2.9), layout="constrained")
    panel = figure.subplots()
    right, wrong = [row["right"] for row in rows], [row["n"] - row["right"] for row in rows]
    panel.bar(range(len(rows)), right, color=COLOURS[result.modality], label="right")
    panel.bar(range(len(rows)), wrong, bottom=right, color="#d9363e", label="wrong")
    panel.set_xticks(range(len(rows)), [row["site"] for row in rows], rotation=90, fontsize=7)
    panel.set(xlabel="site", ylabel="cases", xlim=(-0.7, len(rows) - 0.3))
    panel.set_title(f"GiMP, {INPUTS[result.modality]}: cases by site", fontsize=9)
    panel.legend(fontsize=7)
    return figure


def pictures(result: CrossValidation) -> dict[str, str]:
    """All pictures as data URIs, by name."""
    drawn = {"forest": forest(result), "roc": roc(result), "calibration": calibration(result), "sites": sites(result)}
    return {name: png_uri(figure) for name, figure in drawn.items() if figure is not None}
