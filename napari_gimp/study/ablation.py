"""What each part of the method is worth: the same cross-validation with one part left out or replaced."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from napari_gimp.files import write_text_whole
from napari_gimp.settings import InputError
from napari_gimp.study.cohort import Cohort
from napari_gimp.study.comparison import Comparison, Summary, compare
from napari_gimp.study.crossval import cross_validate, leaks_of
from napari_gimp.study.crossvalidation import CrossValidation
from napari_gimp.study.folds import Fold
from napari_gimp.study.gimpfold import GiMPFold
from napari_gimp.study.pace import named
from napari_gimp.study.plan import Plan
from napari_gimp.types import Modality, Progress

FULL = "full"
TABLE, FIGURES = "ablation.csv", "ablation.json"


@dataclass(frozen=True)
class Row:
    """A variant of a plan; ``applies`` says for which plans it can be trained and means anything.

    ``genes``: only where the cohort has genes. ``images_alone``: trained and asked without them.
    """

    name: str
    change: Callable[[Plan], Plan]
    applies: Callable[[Plan], bool] = lambda plan: True
    genes: bool = False
    images_alone: bool = False


@dataclass(frozen=True)
class Reading:
    """A row that the full run answers as it is, without another training."""

    name: str
    read: Callable[[CrossValidation], CrossValidation]
    applies: Callable[[Plan], bool] = lambda plan: True


def _training(**values: Any) -> Callable[[Plan], Plan]:
    return lambda plan: replace(plan, training=replace(plan.training, **values))


def _model(**values: Any) -> Callable[[Plan], Plan]:
    return lambda plan: replace(plan, model=replace(plan.model, **values))


def _pretrains(plan: Plan) -> bool:
    return plan.init is None and plan.training.epochs_pretrain > 0


def _rebuilds(plan: Plan) -> bool:
    return _pretrains(plan) and plan.training.reconstruction_weight > 0


def _has_triplets(plan: Plan) -> bool:
    return plan.training.triplet_weight > 0


def _without_pretraining(plan: Plan) -> Plan:
    return replace(_training(epochs_pretrain=0)(plan), init=None)


def _without_position(plan: Plan) -> Plan:
    """Masked patch modelling needs positions, so both go: to be read beside the row without it."""
    return _model(position="none")(_training(reconstruction_weight=0.0)(plan))


def _spares_position(plan: Plan) -> bool:
    """Whether without masked patches something is left to pre-train on."""
    return plan.init is None and (not _pretrains(plan) or _has_triplets(plan))


ROWS: tuple[Row, ...] = (
    Row("without pre-training", _without_pretraining, lambda plan: plan.init is not None or _pretrains(plan)),
    Row("without MPM", _training(reconstruction_weight=0.0), lambda p: _rebuilds(p) and _has_triplets(p)),
    Row("without triplets", _training(triplet_weight=0.0), lambda p: _rebuilds(p) and _has_triplets(p)),
    Row("SNN instead of GroupMSA", _model(gene_encoder="snn"), genes=True),
    Row("contiguous masks", _model(mask="contiguous"), _rebuilds),
    Row("repeated bags", _training(short_bags="repeat"), _pretrains),
    Row("no position (and no MPM)", _without_position, _spares_position),
    Row("no wide path", _model(wide=False), genes=True),
    Row("one member", _training(members=1)),
    Row("image only", lambda plan: plan, genes=True, images_alone=True),
)
"""The paper's table, the questions that METHOD leaves open, and what the small preset added."""

READINGS: tuple[Reading, ...] = (
    Reading("genes only", lambda full: replace(full, modality="genes", seconds=0.0)),
    Reading(
        "without calibrated sum",
        lambda full: replace(full, model=full.uncalibrated, uncalibrated={}, seconds=0.0),
        lambda plan: plan.model.fusion == "sum",
    ),
)
"""The full model asked about genes alone, and with every logit of its sum weighing 1. Both need genes."""


@dataclass(frozen=True, eq=False)
class Ablation:
    """A cross-validation per row; each is compared with the full one on the same cases."""

    rows: Mapping[str, CrossValidation]
    modality: Modality
    seed: int

    def summary(self, name: str) -> Summary:
        """Figures of a row: of images alone where it has no genes."""
        return self.rows[name].by_modality[self._modality(name)]

    def against_full(self, name: str) -> Comparison | None:
        """Difference to the full method, paired by case; None for the full method itself."""
        if name == FULL:
            return None
        full, row = self.rows[FULL], self.rows[name]
        rows = row.model[self._modality(name)]
        return compare(rows, full.model[self.modality], full.tested, FULL, self.seed)

    def _modality(self, name: str) -> Modality:
        return self.rows[name].modality

    def table(self) -> pd.DataFrame:
        """A row per variant: accuracy, AUC and their intervals, and the difference to the full method."""
        return pd.DataFrame([self._line(name) for name in self.rows])

    def _line(self, name: str) -> dict[str, Any]:
        found, against = self.summary(name), self.against_full(name)
        line: dict[str, Any] = {"row": name, "modality": self._modality(name), "n": found.n}
        for figure in ("accuracy", "auc", "ece"):
            line[figure] = found.figures.get(figure)
            line[f"{figure}_ci95"] = " to ".join(f"{x:.3f}" for x in found.ci95.get(figure, ()))
        for figure in ("accuracy", "auc"):
            gap = None if against is None else against.differences.get(figure)
            line[f"{figure}_minus_full"] = None if gap is None else gap.difference
            line[f"{figure}_minus_full_ci95"] = "" if gap is None else " to ".join(f"{x:+.3f}" for x in gap.ci95)
        return line

    def to_json(self) -> dict[str, Any]:
        """Everything by row."""
        return {
            "modality": self.modality,
            "seed": self.seed,
            "rows": {name: run.to_json() for name, run in self.rows.items()},
            "against_full": {
                name: found.to_json() for name in self.rows if (found := self.against_full(name)) is not None
            },
        }

    def write(self, out: Path) -> None:
        """``ablation.csv`` and ``ablation.json`` in a folder."""
        table = self.table()
        text = json.dumps(self.to_json(), indent=1, allow_nan=False, default=str)
        write_text_whole(out / TABLE, table.to_csv(index=False, lineterminator="\n"))
        write_text_whole(out / FIGURES, text)


@dataclass(frozen=True)
class Rows:
    """The rows of an ablation: those to train, in order, and those that the full run answers."""

    trained: tuple[Row, ...]
    read: tuple[Reading, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """As they stand in the table."""
        return (FULL, *_names(self.read), *_names(self.trained))


def rows_for(plan: Plan, wanted: Sequence[str] = (), genes: bool = True) -> Rows:
    """The rows that change anything in a plan, all of them or those wanted.

    Parameters
    ----------
    genes
        Whether the cohort has genes.

    Raises
    ------
    InputError
        A wanted row that does not exist or changes nothing.
    """
    seen = plan if genes else _training(triplet_weight=0.0)(plan)  # triplets are found by genes
    trained = tuple(row for row in ROWS if (genes or not row.genes) and _changes(row, seen))
    read = tuple(row for row in READINGS if genes and row.applies(seen))
    known = {*_names(trained), *_names(read)}
    strange = [name for name in wanted if name not in known | {FULL}]
    if strange:
        words = "which changes nothing here" if strange[0] in {*_names(ROWS), *_names(READINGS)} else "no such row"
        raise InputError(
            f"--rows: expected rows of the ablation ({', '.join(sorted(known))}), found {strange[0]!r}, {words};"
            " leave it out."
        )
    chosen = set(wanted) or known
    return Rows(tuple(r for r in trained if r.name in chosen), tuple(r for r in read if r.name in chosen))


def _names(rows: Sequence[Row] | Sequence[Reading]) -> tuple[str, ...]:
    return tuple(row.name for row in rows)


def _changes(row: Row, plan: Plan) -> bool:
    return row.applies(plan) and (row.images_alone or row.change(plan) != plan)


def ablate(
    cohort: Cohort,
    folds: Sequence[Fold],
    plan: Plan,
    out: Path,
    *,
    rows: Sequence[str] = (),
    modality: Modality | None = None,
    resume: bool = False,
    overwrite: bool = False,
    warnings: tuple[str, ...] | None = None,
) -> Generator[Progress, None, Ablation]:
    """Cross-validate the full method and every row that applies to the plan; files go to ``out``.

    Parameters
    ----------
    modality, warnings
        As of `cross_validate`.

    Raises
    ------
    InputError
        As `cross_validate`, or a row that does not exist or changes nothing.
    """
    chosen = rows_for(plan, rows, bool(cohort.genes))
    said = leaks_of(cohort, folds) if warnings is None else warnings
    found: dict[str, CrossValidation] = {}
    for row in (Row(FULL, lambda same: same), *chosen.trained):
        variant = row.change(plan)
        work = cross_validate(
            cohort.with_genes(()) if row.images_alone else cohort, folds, GiMPFold(variant),
            out / row.name.replace(" ", "_"), baselines=False, seed=plan.seed, resume=resume, overwrite=overwrite,
            modality="image" if row.images_alone else modality, settings=variant.to_json(),
            warnings=None if row.images_alone else said,
        )  # fmt: skip
        found[row.name] = yield from named(work, row.name)
        if row.name == FULL:
            found |= {reading.name: reading.read(found[FULL]) for reading in chosen.read}
    ablation = Ablation(found, found[FULL].modality, plan.seed)
    ablation.write(out)
    return ablation
