"""Cases -> trained members with their calibration: one way for `train`, `crossval` and `ablate`.

Whatever is fitted (scaling, site directions, early stopping, temperatures) sees the given cases alone.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from lightning_fabric import Fabric
from torch import Tensor

from napari_gimp.genes.gmt import pathway_fragments, read_gmt
from napari_gimp.gimp.calibrate import Calibration, calibrate, calibrate_parts
from napari_gimp.gimp.checkpoint import LoadedModel
from napari_gimp.gimp.ensemble import Ensemble
from napari_gimp.gimp.model import GiMP
from napari_gimp.gimp.parts import pathway_table
from napari_gimp.gimp.sites import SiteDirections
from napari_gimp.gimp.state import Keeper
from napari_gimp.gimp.train import Step, finetune, make_fabric, pretrain, refit_decoder, train_genes
from napari_gimp.gimp.typical import Typical, fit_typical
from napari_gimp.settings import InputError
from napari_gimp.study.cohort import Cohort
from napari_gimp.study.directions import case_means, directions_for
from napari_gimp.study.heads import fit_heads, inner_parts
from napari_gimp.study.init import read_init
from napari_gimp.study.logits import cohort_logits, cohort_parts
from napari_gimp.study.pace import StepPace
from napari_gimp.study.plan import Plan
from napari_gimp.study.preparation import Scaling, Split, fit_scaling, split_cases
from napari_gimp.study.record import run_identity, step_log
from napari_gimp.types import Progress

Cases = Int[np.ndarray, " n"]
SEEDS_APART = 1000
"""Members of one run and runs of neighbouring seeds share no seed."""


@dataclass(frozen=True, eq=False)
class Fitted:
    """Members that belong together, and what was found on the way.

    ``plan`` is the plan as carried out: with the sizes of a pre-trained aggregator and the number of directions.
    ``reconstructs``: the decoder was fitted.
    """

    plan: Plan
    members: tuple[GiMP, ...]
    calibration: Calibration
    scaling: Scaling
    split: Split
    group_names: tuple[str, ...]
    history: tuple[tuple[Step, ...], ...]
    origin: str = ""
    directions: str = "none"
    typical: Typical | None = None
    reconstructs: bool = True

    @property
    def model(self) -> Ensemble:
        """The members as one, in evaluation mode."""
        return Ensemble(self.members).eval()


def fit(
    cohort: Cohort,
    cases: Cases,
    plan: Plan,
    *,
    held_out: Int[np.ndarray, " h"] | None = None,
    state: Path | None = None,
    resume: bool = False,
) -> Generator[Progress, None, Fitted]:
    """Train on some cases of a cohort.

    Parameters
    ----------
    cases
        Indices of the cases to learn from; early stopping and calibration are fitted inside of them.
    held_out
        Cases that are to be predicted: a pre-trained checkpoint that has seen one of them is refused.
    state
        Folder for the running state of each member.
    resume
        Go on from the states in that folder.

    Raises
    ------
    InputError
        A cohort that cannot be trained on, a pre-trained checkpoint that does not fit, or a device that is not there.
    """
    fabric = make_fabric(plan.device, plan.training.precision)
    split = split_for(cohort, plan, cases)
    _check_classes(cohort, split.train)
    unseen = split.validation if held_out is None else np.union1d(split.validation, held_out)
    init = read_init(plan.init, cohort, unseen)
    directions = None
    if init is not None:
        plan = plan.with_aggregator(init.model.config)
    else:
        directions = yield from directions_for(cohort, cases, plan)
        k = 0 if directions is None else directions.k
        plan = replace(plan, model=replace(plan.model, site_directions=k))
    scaling = yield from fit_scaling(cohort, split.train, directions)
    groups = gene_groups_of(plan, cohort)
    build = Builder(plan, cohort, scaling, directions, init, groups)
    members, history = [], []
    for i in range(plan.training.members):
        run = _Member(i, build, split, fabric, keeper_for(state, i, plan, cohort, split, resume))
        members.append((yield from run.train()))
        history.append(tuple(run.keeper.history))
    calibration = yield from _calibrate(members, build, split, fabric)
    for member in members:
        member.classifier.calibrate(calibration.to_json())
    origin = "" if init is None else f"{init.facts.name}: {init.facts.trained_on}"
    found = "none" if directions is None else f"{directions.k} from {directions.source}"
    found = found if init is None else str(init.facts.provenance.get("site_directions", "none"))
    typical = yield from typical_cases(members[0], cohort, split.train)
    results = (calibration, scaling, split, groups.names, tuple(history), origin, found, typical, _rebuilds(plan))
    return Fitted(plan, tuple(members), *results)


@torch.inference_mode()
def _standardised(network: GiMP, means: Float[np.ndarray, "n D"]) -> Float[np.ndarray, "n D"]:
    """Standardisation is affine: that of a mean is the mean of the standardised."""
    found: np.ndarray = network.standardised(torch.from_numpy(means).to(network.device)).cpu().numpy()
    return found


def typical_cases(network: GiMP, cohort: Cohort, train: Cases) -> Generator[Progress, None, Typical | None]:
    """What the mean embeddings of the training cases are like, to tell later how unlike them a case is."""
    means = yield from case_means(cohort, train)
    return fit_typical(_standardised(network, means.mean))


def _rebuilds(plan: Plan) -> bool:
    """Whether the decoder is fitted, so that masked patches are rebuilt and not invented."""
    training = plan.training
    learned = plan.init is None and training.epochs_pretrain > 0 and training.reconstruction_weight > 0
    return plan.model.position != "none" and (learned or (plan.maps and training.epochs_decoder > 0))


def _check_classes(cohort: Cohort, train: Cases) -> None:
    """Images, and genes where there are any, must show every class."""
    for modality, what in (("image", "patches"), ("genes", "a profile")):
        cases = train[cohort.has(modality)[train]]  # type: ignore[arg-type]
        lacking = sorted(set(cohort.classes) - {str(cohort.cases[i].label) for i in cases})
        if len(cases) and lacking:
            raise InputError(
                f"Cohort {cohort.name}: expected training cases with {what} of every class, found none of"
                f" {', '.join(lacking)}; add such cases or leave the class out."
            )


def split_for(cohort: Cohort, plan: Plan, cases: Cases) -> Split:
    """Which of the cases choose the epoch: none where nothing is stopped early."""
    stops_early = plan.training.epochs_finetune > 0 and not plan.training.linear_heads
    return split_cases(cohort, plan.val_fraction if stops_early else 0.0, plan.seed, cases)


@dataclass(frozen=True, eq=False)
class GeneGroups:
    """Gene groups as a table and their names; nothing given: consecutive fragments, without names."""

    table: Tensor | None = None
    names: tuple[str, ...] = ()


def gene_groups_of(plan: Plan, cohort: Cohort) -> GeneGroups:
    """The plan's gene sets as groups of the cohort's genes."""
    if plan.groups is None or not cohort.genes:
        return GeneGroups()
    groups = pathway_fragments(cohort.genes, read_gmt(plan.groups), plan.model.fragment_genes)
    return GeneGroups(*pathway_table(groups, len(cohort.genes)))


@dataclass(frozen=True, eq=False)
class Builder:
    """Makes the untrained network of a member."""

    plan: Plan
    cohort: Cohort
    scaling: Scaling
    directions: SiteDirections | None
    init: LoadedModel | None
    groups: GeneGroups

    def network(self, seed: int) -> GiMP:
        """With its scaling, and with a pre-trained aggregator where there is one."""
        cohort = self.cohort
        with torch.random.fork_rng([]):
            torch.manual_seed(seed)
            network = GiMP(
                self.plan.model,
                embedding_dim=cohort.embedding_dim,
                genes=len(cohort.genes),
                classes=len(cohort.classes),
                gene_table=self.groups.table,
            )
        found = {name: _tensor(values) for name, values in vars(self.scaling.figures).items()}
        network.set_scaling(**found)
        if self.directions is not None:
            network.aggregator.sites.set(_tensor(self.directions.scale), _tensor(self.directions.vectors))
        return network

    def member(self, index: int) -> GiMP:
        """Member ``index`` of the run."""
        network = self.network(self.plan.seed * SEEDS_APART + index)
        if self.init is not None:
            source = self.init.model.members[index % len(self.init.model.members)]
            network.aggregator.load_state_dict(source.aggregator.state_dict())
            network.decoder.load_state_dict(source.decoder.state_dict())
        return network


def _tensor(values: Float[np.ndarray, ...]) -> Tensor:
    return torch.from_numpy(np.asarray(values, np.float32))


def keeper_for(state: Path | None, member: int, plan: Plan, cohort: Cohort, split: Split, resume: bool) -> Keeper:
    if state is None:
        return Keeper()
    more = {key: value for key, value in plan.to_json().items() if key not in ("model", "training")}
    run = run_identity(cohort, split, plan.model, plan.training, **more)
    return Keeper(state / f"member_{member}.safetensors", run, resume)


@dataclass(frozen=True, eq=False)
class _Member:
    """The training of one member."""

    index: int
    build: Builder
    split: Split
    fabric: Fabric
    keeper: Keeper

    def train(self) -> Generator[Progress, None, GiMP]:
        """Genes, pre-training, fine-tuning, decoder: what the plan holds of them; then the linear head."""
        network, pace = self.build.member(self.index), StepPace(self._suffix)
        with closing(step_log(self.build.plan.tensorboard, self.index)) as log:
            for step in self._stages(network):
                log.add(step)
                yield pace.progress(step)
        network.cpu().eval()
        if self.build.plan.training.linear_heads:
            yield from fit_heads(network, self.build.cohort, self.split.train, self.build.plan.training)
        return network

    @property
    def _suffix(self) -> str:
        members = self.build.plan.training.members
        return f" (member {self.index + 1} of {members})" if members > 1 else ""

    def _stages(self, network: GiMP) -> Iterator[Step]:
        plan, cohort, train = self.build.plan, self.build.cohort, self.split.train
        config, labels = plan.training, cohort.labels
        generator = torch.Generator().manual_seed(plan.seed * SEEDS_APART + self.index)
        tools = (config, self.fabric, generator)
        profiled, imaged = (train[cohort.has(modality)[train]] for modality in ("genes", "image"))
        if network.genes:
            profiles = cohort.samples(profiled, "genes")
            yield from train_genes(network, profiles, labels[profiled], *tools, keeper=self.keeper)
        pretrains = config.epochs_pretrain > 0 and self.build.init is None
        if pretrains:
            yield from pretrain(network, cohort.samples(imaged), labels[imaged], *tools, keeper=self.keeper)
        if not config.linear_heads:
            held, samples = cohort.samples(self.split.validation), cohort.samples(train)
            yield from finetune(network, samples, labels[train], *tools, held, keeper=self.keeper)
        if plan.maps and plan.model.position != "none":
            images = cohort.samples(imaged, "image")
            yield from refit_decoder(network, images, labels[imaged], *tools, keeper=self.keeper)


def _calibrate(
    members: Sequence[GiMP], build: Builder, split: Split, fabric: Fabric
) -> Generator[Progress, None, Calibration]:
    """Weights of linear heads from inner folds; temperatures of a tuned head from the cases that chose the epoch."""
    plan, cohort = build.plan, build.cohort
    if plan.training.linear_heads:
        parts = yield from inner_parts(members, build.network, cohort, split.train, plan, fabric)
        source = f"out-of-fold predictions of the {len(split.train)} training cases"
        return calibrate_parts(parts, cohort.labels[split.train], source)
    held = split.validation
    model = Ensemble(members).eval()
    if plan.model.fusion == "concat":
        logits = yield from cohort_logits(model, cohort.subset(held), "calibrating")
        return calibrate(logits, cohort.labels[held], f"the {len(held)} validation cases")
    parts = yield from cohort_parts(model, cohort.subset(held), "calibrating")
    return calibrate_parts(parts, cohort.labels[held], f"the {len(held)} validation cases")
