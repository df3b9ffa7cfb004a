"""What each part of the method is worth: the same cross-validation with one part left out or replaced."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from napari_gimp.files import write_whole
from napari_gimp.settings import InputError
from napari_gimp.study.cohort import Cohort
from napari_gimp.study.comparison import Comparison, Summary, compare
from napari_gimp.study.crossval import cross_validate
from napari_gimp.study.crossvalidation import CrossValidation
from napari_gimp.study.folds import Fold
from napari_gimp.study.gimpfold import GiMPFold
from napari_gimp.study.plan import Plan
from napari_gimp.types import Modality, Progress

FULL = "full"
TABLE, FIGURES = "ablation.csv", "ablation.json"


@dataclass(frozen=True)
class Row:
    """A variant of a plan; ``applies`` says for which plans it changes anything."""

    name: str
    change: Callable[[Plan], Plan]
    applies: Callable[[Plan], bool] = lambda plan: True
    images_alone: bool = False


def _training(**values: Any) -> Callable[[Plan], Plan]:
    return lambda plan: replace(plan, training=replace(plan.training, **values))


def _model(**values: Any) -> Callable[[Plan], Plan]:
    return lambda plan: replace(plan, model=replace(plan.model, **values))


def _pretrains(plan: Plan) -> bool:
    return plan.init is None and plan.training.epochs_pretrain > 0


def _rebuilds(plan: Plan) -> bool:
    return _pretrains(plan) and plan.training.reconstruction_weight > 0


def _without_pretraining(plan: Plan) -> Plan:
    return replace(_training(epochs_pretrain=0)(plan), init=None)


def _without_position(plan: Plan) -> Plan:
    """Masked patch modelling needs positions, so both go: to be read beside the row without it."""
    return _model(position="none")(_training(reconstruction_weight=0.0)(plan))


ROWS: tuple[Row, ...] = (
    Row("without pre-training", _without_pretraining, lambda plan: plan.init is not None or _pretrains(plan)),
    Row("without MPM", _training(reconstruction_weight=0.0), _rebuilds),
    Row("without triplets", _training(triplet_weight=0.0), lambda p: _pretrains(p) and p.training.triplet_weight > 0),
    Row("SNN instead of GroupMSA", _model(gene_encoder="snn")),
    Row("contiguous masks", _model(mask="contiguous"), _rebuilds),
    Row("repeated bags", _training(short_bags="repeat"), _pretrains),
    Row("no position (and no MPM)", _without_position, lambda plan: plan.init is None),
    Row("no wide path", _model(wide=False), lambda plan: plan.model.wide),
    Row("one member", _training(members=1), lambda plan: plan.training.members > 1),
    Row("image only", lambda plan: plan, images_alone=True),
)
"""The paper's table, the questions that METHOD leaves open, and what the small preset added."""


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
        return self.modality if self.modality in self.rows[name].by_modality else "image"

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
        write_whole(out / TABLE, lambda path: table.to_csv(path, index=False, lineterminator="\n"))
        write_whole(out / FIGURES, _writer(text))


def _writer(text: str) -> Callable[[Path], None]:
    def fill(path: Path) -> None:
        path.write_text(text, encoding="utf-8")

    return fill


def variants(plan: Plan, wanted: Sequence[str] = ()) -> Iterator[tuple[str, Plan, bool]]:
    """Name, plan and whether images are used alone, of the full method and of every row that changes it.

    Raises
    ------
    InputError
        A row that does not exist.
    """
    strange = sorted(set(wanted) - {row.name for row in ROWS} - {FULL})
    if strange:
        known = ", ".join(row.name for row in ROWS)
        raise InputError(f"--rows: expected rows of the ablation ({known}), found {strange[0]!r}.")
    yield FULL, plan, False
    for row in ROWS:
        if row.applies(plan) and (not wanted or row.name in wanted):
            yield row.name, row.change(plan), row.images_alone


def ablate(
    cohort: Cohort,
    folds: Sequence[Fold],
    plan: Plan,
    out: Path,
    *,
    rows: Sequence[str] = (),
    modality: Modality = "both",
    resume: bool = False,
    overwrite: bool = False,
) -> Generator[Progress, None, Ablation]:
    """Cross-validate the full method and every row that applies to the plan; files go to ``out``.

    Raises
    ------
    InputError
        As `cross_validate`, or a row that does not exist.
    """
    found: dict[str, CrossValidation] = {}
    for name, variant, images_alone in variants(plan, rows):
        part = cohort.with_genes(()) if images_alone else cohort
        work = cross_validate(
            part, folds, GiMPFold(variant), out / name.replace(" ", "_"), baselines=False, seed=plan.seed,
            resume=resume, overwrite=overwrite, modality="image" if images_alone else modality,
            settings=variant.to_json(),
        )  # fmt: skip
        found[name] = yield from _named(work, name)
    ablation = Ablation(found, modality, plan.seed)
    ablation.write(out)
    return ablation


def _named(work: Generator[Progress, None, CrossValidation], name: str) -> Generator[Progress, None, CrossValidation]:
    while True:
        try:
            step = next(work)
        except StopIteration as end:
            found: CrossValidation = end.value
            return found
        yield replace(step, stage=f"{name}: {step.stage}")
