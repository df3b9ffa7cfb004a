"""Does pre-training help on real patients? Image only, whole hospitals held out; frozen or fine-tuned; several seeds.

    python tests/benchmarks/bench_pretraining.py SHARED WORKFOLDER [--seeds 5] [--rows frozen|tuned|all]
                                                 [--where here|elsewhere|all]

SHARED holds ``tcga_nsclc/`` and ``pancancer/``. Every cross-validation lies in WORKFOLDER and is not run again, so a
run that was killed goes on; ``--where`` makes only the rows pre-trained on the training slides, or on other cancers.
All sizes are those of the preset ``small`` with one member; all embeddings have the same 20 site directions removed,
estimated on other cancers. Nothing is chosen by these figures.
"""

import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from napari_gimp.console import drain
from napari_gimp.gimp.presets import SMALL
from napari_gimp.gimp.trainconfig import TrainConfig
from napari_gimp.study.cohort import Cohort, read_cohort
from napari_gimp.study.crossval import cross_validate
from napari_gimp.study.folds import read_folds
from napari_gimp.study.gimpfold import GiMPFold
from napari_gimp.study.plan import Plan
from napari_gimp.study.pretraining import pretrain_cohort

DIRECTIONS = 20
FROZEN = replace(SMALL.training, members=1)
TUNED = replace(
    FROZEN, linear_heads=False, freeze_image=False, epochs_finetune=6, lr_finetune=1e-4, batch_size=16, patches=96
)
"""METHOD section 9: six epochs at 1e-4, at most 96 regions of a bag a step."""
LABELS = replace(SMALL.pretraining, members=1, contrast_weight=0.0)
ELSEWHERE: dict[str, TrainConfig] = {
    "MPM": replace(LABELS, objective="mpm"),
    "cancer types": LABELS,
    "cancer types, MPM": replace(LABELS, objective="both"),
    "cancer types, slides of a site apart": replace(LABELS, contrast_weight=1.0),
}
HERE: dict[str, Callable[[TrainConfig], TrainConfig]] = {
    "none": lambda c: replace(c, epochs_pretrain=0),
    "MPM": lambda c: replace(c, triplet_weight=0.0),
    "triplets": lambda c: replace(c, triplet_weight=1.0, reconstruction_weight=0.0),
    "MPM, triplets": lambda c: replace(c, triplet_weight=1.0),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shared", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--rows", choices=("frozen", "tuned", "all"), default="all")
    parser.add_argument("--where", choices=("here", "elsewhere", "all"), default="all")
    given = parser.parse_args()
    here, elsewhere = (HERE if given.where != "elsewhere" else {}), (ELSEWHERE if given.where != "here" else {})
    study = Study(given.shared, given.work)
    kinds = {"frozen": FROZEN, "tuned": TUNED} if given.rows == "all" else {given.rows: globals()[given.rows.upper()]}
    print(f"{'pre-training':58}{'then':8}{'seeds':>6}  accuracy          AUC")
    for then, training in kinds.items():
        for name in here:
            where = "nothing" if name == "none" else f"{name}, on the training slides"
            study.show(where, then, [study.here(name, then, training, seed) for seed in range(given.seeds)])
        for name in elsewhere:
            found = [study.elsewhere(name, then, training, seed) for seed in range(given.seeds)]
            study.show(f"{name}, on other cancers", then, found)


class Study:
    """The lung patients, the other cancers, and where runs lie."""

    def __init__(self, shared: Path, work: Path) -> None:
        lung = shared / "tcga_nsclc"
        self.cancers, self.work = shared / "pancancer", work
        self.cohort = read_cohort(lung / "cohort.csv", lung / "features")
        self.folds = read_folds(f"{lung / 'folds.csv'}:fold_site", self.cohort)
        self._others: Cohort | None = None

    def plan(self, training: TrainConfig, seed: int) -> Plan:
        model = replace(SMALL.model, site_directions=DIRECTIONS)
        means = self.cancers / "slide_means.npz"
        return Plan(model, training, "small", seed, "cpu", directions_from=means)

    def here(self, name: str, then: str, training: TrainConfig, seed: int) -> dict[str, float]:
        return self._cross_validate(f"{then}_here_{name}_{seed}", self.plan(HERE[name](training), seed))

    def elsewhere(self, name: str, then: str, training: TrainConfig, seed: int) -> dict[str, float]:
        checkpoint = self.work / f"pan_{name}_{seed}".replace(" ", "_").replace(",", "")
        if not checkpoint.exists():
            drain(pretrain_cohort(self.others, checkpoint, self.plan(ELSEWHERE[name], seed)))
        plan = replace(self.plan(training, seed), init=checkpoint)
        return self._cross_validate(f"{then}_elsewhere_{name}_{seed}", plan)

    @property
    def others(self) -> Cohort:
        if self._others is None:
            self._others = read_cohort(self.cancers / "cohort.csv", self.cancers / "regions_16.npz")
        return self._others

    def _cross_validate(self, name: str, plan: Plan) -> dict[str, float]:
        out = self.work / name.replace(" ", "_").replace(",", "")
        work = cross_validate(
            self.cohort, self.folds, GiMPFold(plan), out, baselines=False, seed=plan.seed, resume=True,
            modality="image", settings=plan.to_json(),
        )  # fmt: skip
        figures = drain(work).by_modality["image"].figures
        return {key: float(figures[key] or np.nan) for key in ("accuracy", "auc")}

    def show(self, name: str, then: str, found: list[dict[str, float]]) -> None:
        cells = []
        for key in ("accuracy", "auc"):
            values = np.array([one[key] for one in found])
            spread = f" +- {values.std(ddof=1):.3f}" if len(values) > 1 else ""
            cells.append(f"{values.mean():.3f}{spread}")
        print(f"{name:58}{then:8}{len(found):>6}  {cells[0]:18}{cells[1]}", flush=True)


if __name__ == "__main__":
    main()
