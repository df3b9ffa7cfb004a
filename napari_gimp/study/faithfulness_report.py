"""What `check_faithfulness` found: areas between curves with intervals, as words, JSON, CSV and a picture."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from scipy.integrate import trapezoid

from napari_gimp.files import write_whole
from napari_gimp.settings import InputError

JSON, CURVES, SANITY, PICTURE = "faithfulness.json", "deletion.csv", "randomised.csv", "faithfulness.png"
FILES = (JSON, CURVES, SANITY, PICTURE)
AGAINST = {"patches": "random patches", "genes": "random genes"}
RESAMPLES = 1000


@dataclass(frozen=True, eq=False)
class Faithfulness:
    """How far the explanations of a checkpoint follow the checkpoint, on the cases of a cohort.

    Parameters
    ----------
    curves
        Rows of case, order, kind (patches, genes), share deleted, log-odds and probability of the predicted class.
    sanity
        Rows of case, weights (which are random), map, rank correlation with the map of the trained weights.
    """

    checkpoint: str
    cohort: str
    synthetic: str
    cases: int
    draws: int
    seed: int
    curves: pd.DataFrame
    sanity: pd.DataFrame

    def areas(self) -> pd.DataFrame:
        """Area between the random curve and each other, in log-odds and in probability; mean over cases, 95 %.

        Positive: without what the map points at, the answer falls faster than without as much of anything.
        """
        rows = []
        for kind, against in AGAINST.items():
            curves = self.curves[self.curves["kind"] == kind]
            for order in dict.fromkeys(curves["order"]):
                if order != against:
                    rows += [self._area(curves, order, against, unit) for unit in ("log_odds", "probability")]
        return pd.DataFrame(rows)

    def _area(self, curves: pd.DataFrame, order: str, against: str, unit: str) -> dict[str, Any]:
        wide = curves.pivot_table(index="case", columns=["order", "share"], values=unit)
        shares = np.asarray(wide[order].columns, float)
        found = trapezoid((wide[against] - wide[order]).to_numpy(), shares, axis=1) / (shares[-1] - shares[0])
        low, high = interval(found, self.seed)
        better = float((found > 0).mean())
        return {
            "order": order, "unit": unit, "area": float(found.mean()), "low": low, "high": high, "n": len(found),
            "cases_better": better,
        }  # fmt: skip

    def correlations(self) -> pd.DataFrame:
        """Rank correlation of each map with the one behind random weights: mean over cases, 95 %, and mean size."""
        rows = []
        for (weights, name), group in self.sanity.groupby(["weights", "map"], sort=False):
            values = group["correlation"].dropna().to_numpy()
            if len(values):
                low, high = interval(values, self.seed)
                size = float(np.abs(values).mean())
                rows.append({
                    "weights": weights, "map": name, "correlation": float(values.mean()), "low": low, "high": high,
                    "size": size, "n": len(values),
                })  # fmt: skip
        return pd.DataFrame(rows)

    def to_json(self) -> dict[str, Any]:
        """Areas, correlations and what they are of."""
        return {
            "checkpoint": self.checkpoint,
            "cohort": self.cohort,
            "synthetic": self.synthetic,
            "cases": self.cases,
            "draws": self.draws,
            "seed": self.seed,
            "areas": self.areas().to_dict("records"),
            "randomised": self.correlations().to_dict("records"),
        }

    def write(self, folder: Path, overwrite: bool = False) -> list[Path]:
        """Write JSON, both tables and the picture to a folder.

        Raises
        ------
        InputError
            A file of the folder exists and is not to be overwritten, or cannot be written.
        """
        check_folder(folder, overwrite)
        text = json.dumps(self.to_json(), indent=1, allow_nan=False)
        fills: dict[str, Callable[[Path], None]] = {
            JSON: lambda path: _write(path, text),
            CURVES: lambda path: self.curves.to_csv(path, index=False, float_format="%.6g", lineterminator="\n"),
            SANITY: lambda path: self.sanity.to_csv(path, index=False, float_format="%.6g", lineterminator="\n"),
            PICTURE: lambda path: draw(self, path),
        }
        for name, fill in fills.items():
            write_whole(folder / name, fill)
        return [folder / name for name in fills]

    def table(self) -> str:
        """The figures in words."""
        kind = f" ({self.synthetic})" if self.synthetic else ""
        lines = [f"{self.checkpoint}{kind} on {self.cohort}: {self.cases} cases; research use only"]
        lines.append("Area between the deletion curves of random and of what the map points at (95 %), log-odds:")
        for row in self.areas().query("unit == 'log_odds'").itertuples():
            words = f"{row.area:+.3f} ({row.low:+.3f} to {row.high:+.3f}), better in {row.cases_better:.0%} of {row.n}"
            lines.append(f"  {row.order:<18}{words}")
        lines.append("Rank correlation with the maps behind random weights (95 %):")
        for row in self.correlations().itertuples():
            words = f"{row.correlation:+.3f} ({row.low:+.3f} to {row.high:+.3f}), mean size {row.size:.3f}"
            lines.append(f"  {row.map:<18}{row.weights:<14}{words}")
        return "\n".join(lines)


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def interval(values: Float[np.ndarray, " n"], seed: int, resamples: int = RESAMPLES) -> tuple[float, float]:
    """95 % of the bootstrap means over cases."""
    rng = np.random.default_rng(seed)
    means = [values[rng.integers(len(values), size=len(values))].mean() for _ in range(resamples)]
    low, high = np.percentile(means, (2.5, 97.5))
    return float(low), float(high)


def check_folder(folder: Path, overwrite: bool) -> None:
    """Before the work as before writing: may the files be written there?

    Raises
    ------
    InputError
        A file of them exists and is not to be overwritten.
    """
    there = [folder / name for name in FILES if (folder / name).exists()]
    if there and not overwrite:
        raise InputError(f"{there[0]} exists already: choose another folder, or --overwrite to replace it.")


def draw(found: Faithfulness, path: Path) -> None:
    """Deletion curves of patches and genes, and the correlations behind random weights."""
    kinds = [kind for kind in AGAINST if (found.curves["kind"] == kind).any()]
    figure = Figure(figsize=(4.4 * (len(kinds) + 1), 3.8), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, len(kinds) + 1, squeeze=False)[0]
    for axis, kind in zip(axes, kinds, strict=False):
        _draw_curves(axis, found.curves[found.curves["kind"] == kind], kind)
    _draw_correlations(axes[-1], found.correlations())
    kind_of = f" ({found.synthetic})" if found.synthetic else ""
    figure.suptitle(
        f"{found.checkpoint}{kind_of} on {found.cohort}, {found.cases} cases; research use only", fontsize=9
    )
    figure.savefig(path, format="png")


def _draw_curves(axis: Axes, curves: pd.DataFrame, kind: str) -> None:
    for order, group in curves.groupby("order", sort=False):
        mean = group.groupby("share")["log_odds"].mean()
        colour, line = ("grey", ":") if order == AGAINST[kind] else (None, "-")
        axis.plot(mean.index, mean, color=colour, linestyle=line, label=str(order))
    axis.set_xlabel(f"share of the {kind} deleted", fontsize=8)
    axis.set_ylabel("log-odds of the predicted class", fontsize=8)
    axis.legend(fontsize=7, frameon=False)
    axis.tick_params(labelsize=7)


def _draw_correlations(axis: Axes, rows: pd.DataFrame) -> None:
    for name, group in rows.groupby("map", sort=False):
        errors = np.abs(group[["low", "high"]].to_numpy().T - group["correlation"].to_numpy())
        axis.errorbar(group["weights"], group["correlation"], errors, marker="o", capsize=3, label=str(name))
    axis.axhline(0, color="grey", linewidth=0.6)
    axis.set_ylim(-1.05, 1.05)
    axis.set_xlabel("random weights", fontsize=8)
    axis.set_ylabel("rank correlation with the trained maps", fontsize=8)
    axis.legend(fontsize=7, frameon=False)
    axis.tick_params(labelsize=7)
