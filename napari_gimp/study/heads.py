"""Linear heads on frozen branches, and what they say of cases that they were not fitted on."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from lightning_fabric import Fabric

from napari_gimp.gimp.heads import Part, SumHead
from napari_gimp.gimp.linear import LinearFit, case_weights, fit_linear
from napari_gimp.gimp.model import GiMP
from napari_gimp.gimp.train import train_genes
from napari_gimp.gimp.trainconfig import TrainConfig
from napari_gimp.study.cohort import Cohort
from napari_gimp.study.folds import Fold
from napari_gimp.study.inner import inner_folds
from napari_gimp.study.logits import Parts
from napari_gimp.study.pace import StepPace
from napari_gimp.study.plan import Plan
from napari_gimp.types import Progress

Cases = Int[np.ndarray, " n"]


def teaches(cohort: Cohort, cases: Cases) -> bool:
    """Whether every class is among the cases."""
    return len(np.unique(cohort.labels[cases])) == len(cohort.classes)


def fit_heads(network: GiMP, cohort: Cohort, train: Cases, config: TrainConfig) -> Generator[Progress, None, None]:
    """Fit the image head on the class tokens of the training cases, and the wide path on their genes."""
    head = network.classifier
    assert isinstance(head, SumHead)
    imaged, profiled = (train[cohort.has(modality)[train]] for modality in ("image", "genes"))
    tokens = yield from class_tokens(network, cohort, imaged)
    _fit(tokens, cohort, imaged, config, config.head_c).fill(head.image)
    if head.wide is not None and len(profiled):
        genes = standardised_genes(network, cohort.values[profiled])
        _fit(genes, cohort, profiled, config, config.wide_c).fill(head.wide)


def _fit(features: Float[np.ndarray, "n F"], cohort: Cohort, cases: Cases, config: TrainConfig, c: float) -> LinearFit:
    labels = cohort.labels[cases]
    weights = case_weights(labels, [cohort.cases[i].site for i in cases], config.site_power)
    return fit_linear(features, labels, weights, classes=len(cohort.classes), c=c)


@torch.inference_mode()
def standardised_genes(network: GiMP, values: Float[np.ndarray, "n G"]) -> Float[np.ndarray, "n G"]:
    """Expression as the network sees it; 0 where a gene is missing."""
    found: np.ndarray = network.gene_scaling(torch.from_numpy(values).to(network.device)).cpu().numpy()
    return found


@torch.inference_mode()
def _token(network: GiMP, cohort: Cohort, case: int) -> Float[np.ndarray, " d"]:
    sample = cohort.sample(case, "image")
    assert sample.embeddings is not None
    assert sample.cells is not None
    device = network.device
    embeddings, cells = (torch.from_numpy(x)[None].to(device) for x in (sample.embeddings, sample.cells))
    found: np.ndarray = network.aggregator(embeddings, cells).cls[0].float().cpu().numpy()
    return found


def class_tokens(network: GiMP, cohort: Cohort, cases: Cases) -> Generator[Progress, None, Float[np.ndarray, "n d"]]:
    """CLS_img (n, d) of each case, whole bags; all of them have patches."""
    tokens = np.empty((len(cases), network.config.d), np.float32)
    for i, case in enumerate(cases):
        tokens[i] = _token(network, cohort, int(case))
        yield Progress("reading class tokens", i + 1, len(cases), "cases")
    return tokens


def inner_parts(
    members: Sequence[GiMP],
    build: Callable[[int], GiMP],
    cohort: Cohort,
    train: Cases,
    plan: Plan,
    fabric: Fabric,
) -> Generator[Progress, None, Parts]:
    """Out-of-fold logits (n, C) of the training cases by part of the head: what its weights are fitted on.

    Image heads and wide path are fitted again on the other inner folds; the gene branch is trained again there, once
    (the weights cost one seed, not all). NaN rows where a case lacks an input.
    """
    folds = inner_folds(cohort, train, plan.training.inner_folds, plan.seed)
    config, inner = plan.training, _Inner(cohort, folds)
    imaged, profiled = (train[cohort.has(modality)[train]] for modality in ("image", "genes"))
    found: dict[Part, Float[np.ndarray, "n C"]] = {}
    found["image"] = (yield from inner.image(members, imaged, config))[train]
    if cohort.genes:
        if plan.model.wide:
            features = standardised_genes(members[0], cohort.values[profiled])
            found["wide"] = inner.linear(features, profiled, config, config.wide_c)[train]
        found["genes"] = (yield from inner.genes(build, profiled, plan, fabric))[train]
    return found


@dataclass(frozen=True, eq=False)
class _Inner:
    """Fits on all inner folds but one, asked about that one."""

    cohort: Cohort
    folds: Sequence[Fold]

    def _nothing(self) -> Float[np.ndarray, "N C"]:
        return np.full((len(self.cohort), len(self.cohort.classes)), np.nan)

    def image(
        self, members: Sequence[GiMP], cases: Cases, config: TrainConfig
    ) -> Generator[Progress, None, Float[np.ndarray, "N C"]]:
        """The image heads, mean over the members."""
        total = np.zeros_like(self._nothing())
        for member in members:
            tokens = yield from class_tokens(member, self.cohort, cases)
            total += self.linear(tokens, cases, config, config.head_c) / len(members)
        return total

    def linear(
        self, features: Float[np.ndarray, "m F"], cases: Cases, config: TrainConfig, c: float
    ) -> Float[np.ndarray, "N C"]:
        """A linear head on features of these cases."""
        found = self._nothing()
        for fold in self.folds:
            held = np.isin(cases, fold.test)
            if not teaches(self.cohort, cases[~held]):
                continue
            found[cases[held]] = _fit(features[~held], self.cohort, cases[~held], config, c).logits(features[held])
        return found

    def genes(
        self, build: Callable[[int], GiMP], cases: Cases, plan: Plan, fabric: Fabric
    ) -> Generator[Progress, None, Float[np.ndarray, "N C"]]:
        """The gene branch, trained anew for every fold."""
        found = self._nothing()
        for fold in self.folds:
            learn, held = np.setdiff1d(cases, fold.test), np.intersect1d(cases, fold.test)
            if not teaches(self.cohort, learn):
                continue
            network, generator = build(plan.seed), torch.Generator().manual_seed(plan.seed)
            pace = StepPace(f" (inner fold {fold.name} of {len(self.folds)})")
            samples = self.cohort.samples(learn, "genes")
            for step in train_genes(network, samples, self.cohort.labels[learn], plan.training, fabric, generator):
                yield pace.progress(step)
            found[held] = gene_logits(network, self.cohort.values[held])
        return found


@torch.inference_mode()
def gene_logits(network: GiMP, values: Float[np.ndarray, "n G"]) -> Float[np.ndarray, "n C"]:
    """What GroupMSA says of profiles (the wide path is still empty)."""
    network.eval()
    answers = network(genes=torch.from_numpy(values).to(network.device)).answers
    found: np.ndarray = answers["genes"].float().cpu().numpy()
    return found
