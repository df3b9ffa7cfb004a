"""What an evaluation found: figures by modality, a table of predictions, and both as files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Int, Shaped

from napari_gimp.files import write_text_whole
from napari_gimp.gimp.evaluate import Figures, figures
from napari_gimp.settings import InputError
from napari_gimp.types import MODALITIES, Modality

FIGURES, PREDICTIONS = "evaluation.json", "predictions.csv"
Probabilities = Mapping[Modality, Float[np.ndarray, "n C"]]


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Figures of one checkpoint on one cohort; each over the cases that have what its modality needs.

    ``modality`` is the headline's; ``predictions`` has a row per case: case, fold, label, then a probability per
    modality and class (empty where the case lacks an input).
    """

    checkpoint: str
    cohort: str
    classes: tuple[str, ...]
    modality: Modality
    by_modality: Mapping[Modality, Figures]
    predictions: pd.DataFrame
    seed: int
    seconds: float
    synthetic: str = ""
    notes: tuple[str, ...] = ()

    @property
    def headline(self) -> Figures:
        """The figures of the modality that was asked for."""
        return self.by_modality[self.modality]

    def to_json(self) -> dict[str, Any]:
        """The headline's figures, all modalities, and what they are of."""
        return {
            **self.headline.to_json(),
            "modality": self.modality,
            "by_modality": {name: found.to_json() for name, found in self.by_modality.items()},
            "seed": self.seed,
            "seconds": round(self.seconds, 2),
            "checkpoint": self.checkpoint,
            "cohort": self.cohort,
            "classes": list(self.classes),
            "synthetic": self.synthetic,
            "notes": list(self.notes),
        }

    def write(self, json_file: Path | None = None, folder: Path | None = None, overwrite: bool = False) -> list[Path]:
        """Write the figures to ``json_file``, and ``evaluation.json`` with ``predictions.csv`` to ``folder``.

        Raises
        ------
        InputError
            A file of the folder exists and is not to be overwritten, or cannot be written.
        """
        text = json.dumps(self.to_json(), indent=1, allow_nan=False)
        files = {} if json_file is None else {json_file: text}
        check_folder(folder, overwrite)
        if folder is not None:
            files |= {
                folder / FIGURES: text,
                folder / PREDICTIONS: self.predictions.to_csv(index=False, lineterminator="\n"),
            }
        for path, content in files.items():
            write_text_whole(path, content)
        return list(files)

    def table(self) -> str:
        """The figures in words, a line per modality."""
        head = f"{self.checkpoint} on {self.cohort} ({', '.join(self.classes)}); research use only"
        lines = [f"{'':8}{'n':>6}  {'accuracy (95 %)':22}{'AUC (95 %)':22}{'F1':7}{'ECE':7}{'Brier':7}"]
        lines += [_line(name, found) for name, found in self.by_modality.items()]
        return "\n".join([head, *lines, *self.notes])


def evaluate_predictions(
    probabilities: Probabilities,
    labels: Int[np.ndarray, " n"],
    seed: int,
    patients: Shaped[np.ndarray, " n"] | None = None,
) -> dict[Modality, Figures]:
    """Figures of every modality over the cases whose row is not NaN; a modality without a case is left out.

    ``patients`` (n,) names whose rows the bootstrap draws together; None: each row is a patient.
    """
    found: dict[Modality, Figures] = {}
    for modality in MODALITIES:
        rows = probabilities[modality]
        known = ~np.isnan(rows).any(axis=1)
        if known.any():
            whose = None if patients is None else patients[known]
            found[modality] = figures(rows[known], labels[known], patients=whose, seed=seed)
    return found


def check_folder(folder: Path | None, overwrite: bool) -> None:
    """Before the work as before writing: may an evaluation be written there?

    Raises
    ------
    InputError
        A file of it exists and is not to be overwritten.
    """
    there = [] if folder is None else [folder / name for name in (FIGURES, PREDICTIONS) if (folder / name).exists()]
    if there and not overwrite:
        raise InputError(f"{there[0]} exists already: choose another folder, or --overwrite to replace it.")


def _line(name: str, found: Figures) -> str:
    cells = [_cell(getattr(found, key), found.ci95.get(key)) for key in ("accuracy", "auc")]
    return f"{name:8}{found.n:>6}  {cells[0]:22}{cells[1]:22}{found.f1:<7.3f}{found.ece:<7.3f}{found.brier:<7.3f}"


def _cell(value: float | None, interval: tuple[float, float] | None) -> str:
    if value is None:
        return "-"
    return f"{value:.3f}" + ("" if interval is None else f" ({interval[0]:.3f}-{interval[1]:.3f})")
