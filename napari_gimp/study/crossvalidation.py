"""What a cross-validation found: figures, comparison, hard patients, and all of it as files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from napari_gimp.files import write_text_whole
from napari_gimp.gimp.evaluate import calibration_error
from napari_gimp.study.baselines import needs_of
from napari_gimp.study.comparison import HOW, Comparison, OutOfFold, Summary, compare_with_best, summarise
from napari_gimp.study.foldstore import BASELINES, PREDICTIONS, probability_columns
from napari_gimp.types import MODALITIES, Modality

CROSSVAL = "crossval.json"
Predicted = Float[np.ndarray, "n C"]


@dataclass(frozen=True, eq=False)
class CrossValidation:
    """Out-of-fold predictions of GiMP and of the baselines, and what follows from them.

    Parameters
    ----------
    cases
        A row per tested case, in the cohort's order: case, fold, label, site.
    tested
        Class, fold and patient of the same rows.
    model, uncalibrated, baselines
        (n, C) probabilities by modality, before calibration (where the model says), by baseline; NaN rows where a
        case lacks an input.
    folds
        Details that each fold's model gave of itself.
    warnings
        Leak checks; ``notes`` are what else the reader must know.
    """

    cohort: str
    classes: tuple[str, ...]
    modality: Modality
    cases: pd.DataFrame
    tested: OutOfFold
    model: Mapping[Modality, Predicted]
    uncalibrated: Mapping[Modality, Predicted]
    baselines: Mapping[str, Predicted]
    folds: tuple[Mapping[str, Any], ...]
    seed: int
    seconds: float
    settings: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def labels(self) -> Int[np.ndarray, " n"]:
        """Class index of each tested case."""
        return self.tested.labels

    @cached_property
    def by_modality(self) -> dict[Modality, Summary]:
        """GiMP's figures, each over the cases that have what the modality needs."""
        found = {name: summarise(self.model[name], self.tested, self.seed) for name in MODALITIES if name in self.model}
        return {name: summary for name, summary in found.items() if summary is not None}

    @cached_property
    def by_baseline(self) -> dict[str, Summary]:
        """The baselines' figures."""
        found = {name: summarise(rows, self.tested, self.seed) for name, rows in self.baselines.items()}
        return {name: summary for name, summary in found.items() if summary is not None}

    @cached_property
    def complete(self) -> dict[str, Summary]:
        """All models over the same cases, those that every model predicted: ``gimp_<modality>`` and the baselines."""
        models = {**{f"gimp_{name}": self.model[name] for name in self.by_modality}}
        models |= {name: self.baselines[name] for name in self.by_baseline}
        everyone = ~np.any([np.isnan(rows).any(axis=1) for rows in models.values()], axis=0)
        masked = {name: np.where(everyone[:, None], rows, np.nan) for name, rows in models.items()}
        found = {name: summarise(rows, self.tested, self.seed) for name, rows in masked.items()}
        return {name: summary for name, summary in found.items() if summary is not None}

    @cached_property
    def comparison(self) -> dict[Modality, Comparison]:
        """GiMP against the best baseline that sees the same inputs (for both: any), by modality."""
        found = {
            name: compare_with_best(self.model[name], self._rivals(name), self.tested, self.seed)
            for name in self.by_modality
        }
        return {name: comparison for name, comparison in found.items() if comparison is not None}

    def _rivals(self, modality: Modality) -> dict[str, Predicted]:
        return {name: rows for name, rows in self.baselines.items() if modality == "both" or needs_of(name) == modality}

    @property
    def hard_cases(self) -> list[dict[str, Any]]:
        """Cases that every model which predicted them calls wrong: GiMP in the headline's modality and all baselines.

        The surest errors first; ``probability`` is GiMP's of the true class.
        """
        labels, mine = self.tested.labels, self.model[self.modality]
        models = [mine, *self.baselines.values()]
        known = np.stack([~np.isnan(rows).any(axis=1) for rows in models])
        wrong = np.stack([np.nan_to_num(rows).argmax(axis=1) != labels for rows in models])
        hard = np.flatnonzero(known[0] & (wrong | ~known).all(axis=0))
        own = mine[np.arange(len(labels)), labels]
        return [
            {**self.cases.iloc[i].to_dict(), "probability": float(own[i]), "models": int(known[:, i].sum())}
            for i in hard[np.argsort(own[hard], kind="stable")]
        ]

    @property
    def confusion_by_site(self) -> list[dict[str, Any]]:
        """For each site, how many cases of each class (rows) the headline's model calls which (columns)."""
        rows = self.model[self.modality]
        known = ~np.isnan(rows).any(axis=1)
        sites = self.cases["site"].to_numpy()
        return [
            {"site": str(site), **self._confusion(known & (sites == site))}
            for site in sorted(set(sites[known].tolist()))
        ]

    def _confusion(self, here: np.ndarray) -> dict[str, Any]:
        table: Int[np.ndarray, "C C"] = np.zeros((len(self.classes), len(self.classes)), np.int64)
        np.add.at(table, (self.tested.labels[here], self.model[self.modality][here].argmax(axis=1)), 1)
        return {"n": int(here.sum()), "right": int(np.trace(table)), "confusion": table.tolist()}

    @property
    def ece_before_calibration(self) -> dict[Modality, float]:
        """Pooled ECE of the probabilities before calibration, where the model gave them."""
        found: dict[Modality, float] = {}
        for name, rows in self.uncalibrated.items():
            known = ~np.isnan(rows).any(axis=1)
            if known.any():
                found[name] = calibration_error(rows[known], self.tested.labels[known])
        return found

    def to_json(self) -> dict[str, Any]:
        """One object: the headline's figures, then everything else by name (README: what each key means)."""
        return {
            **self.by_modality[self.modality].to_json(),
            "modality": self.modality,
            "by_modality": {name: found.to_json() for name, found in self.by_modality.items()},
            "baselines": {name: found.to_json() for name, found in self.by_baseline.items()},
            "complete_cases": {name: {**found.figures, "n": found.n} for name, found in self.complete.items()},
            "comparison": {name: found.to_json() for name, found in self.comparison.items()},
            "ece_before_calibration": dict(self.ece_before_calibration),
            "hard_cases": self.hard_cases,
            "confusion_by_site": self.confusion_by_site,
            "how": HOW,
            "seed": self.seed,
            "seconds": round(self.seconds, 2),
            "cohort": self.cohort,
            "classes": list(self.classes),
            "folds": [dict(details) for details in self.folds],
            "settings": dict(self.settings),
            "versions": dict(self.versions),
            "warnings": list(self.warnings),
            "notes": list(self.notes),
        }

    def table(self) -> str:
        """The figures in words: GiMP by modality and each baseline over its own cases, then the comparison."""
        folds, classes = len(self.tested.fold_names), ", ".join(self.classes)
        lines = [f"{self.cohort} ({classes}); means of {folds} folds; research use only"]
        lines.append(f"{'':28}{'n':>5}  {'accuracy (95 %)':22}{'AUC (95 %)':22}{'ECE pooled':10}")
        rows = {f"GiMP {name}": found for name, found in self.by_modality.items()} | self.by_baseline
        lines += [_line(name, found) for name, found in rows.items()]
        lines += [
            f"GiMP {name} - {found.baseline} ({found.n} cases): "
            + ", ".join(
                f"{figure} {d.difference:+.3f} ({d.ci95[0]:+.3f} to {d.ci95[1]:+.3f})"
                for figure, d in found.differences.items()
                if figure in ("accuracy", "auc")
            )
            for name, found in self.comparison.items()
        ]
        return "\n".join(lines)

    @property
    def predictions(self) -> pd.DataFrame:
        """Case, fold, label, site, then a probability per modality and class."""
        raw = {f"uncalibrated_{name}": rows for name, rows in self.uncalibrated.items()}
        return self.cases.join(probability_columns({**self.model, **raw}, self.classes))

    @property
    def baseline_predictions(self) -> pd.DataFrame:
        """The same for the baselines."""
        return self.cases.join(probability_columns(self.baselines, self.classes))

    def write(self, out: Path, json_file: Path | None = None) -> list[Path]:
        """Write ``crossval.json``, ``predictions.csv`` and ``baselines.csv`` to a folder, the JSON also elsewhere.

        Raises
        ------
        InputError
            It cannot be written there.
        """
        text = json.dumps(self.to_json(), indent=1, allow_nan=False, default=str)
        files = {
            out / CROSSVAL: text,
            out / PREDICTIONS: self.predictions.to_csv(index=False, lineterminator="\n"),
            out / BASELINES: self.baseline_predictions.to_csv(index=False, lineterminator="\n"),
        } | ({} if json_file is None else {json_file: text})
        for path, content in files.items():
            write_text_whole(path, content)
        return list(files)


def _line(name: str, found: Summary) -> str:
    cells = []
    for figure in ("accuracy", "auc"):
        value, interval = found.figures.get(figure), found.ci95.get(figure)
        around = "" if interval is None else f" ({interval[0]:.3f}-{interval[1]:.3f})"
        cells.append("-" if value is None else f"{value:.3f}{around}")
    ece = found.figures.get("ece")
    return f"{name:28}{found.n:>5}  {cells[0]:22}{cells[1]:22}{'-' if ece is None else f'{ece:.3f}':10}"
