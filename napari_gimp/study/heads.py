"""Linear heads on frozen branches, and what they say of cases that they were not fitted on."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from lightning_fabric import Fabric

from napari_gimp.gimp.linear import LinearFit, case_weights, fit_linear
from napari_gimp.gimp.model import GiMP
from napari_gimp.gimp.train import train_genes
from napari_gimp.gimp.trainconfig import TrainConfig
from napari_gimp.study.cohort import Cohort
from napari_gimp.study.folds import Fold
from napari_gimp.study.inner import inner_folds
from napari_gimp.study.logits import Logits
from napari_gimp.study.pace import StepPace
from napari_gimp.study.plan import Plan
from napari_gimp.types import Progress

Cases = Int[np.ndarray, " n"]


def fit_image_head(network: GiMP, cohort: Cohort, train: Cases, config: TrainConfig) -> Generator[Progress, None, None]:
    """Fit the image head of a network with `SumHead` on the class tokens of the training cases."""
    imaged = train[cohort.has_image[train]]
    tokens = yield from class_tokens(network, cohort, imaged)
    _fit(tokens, cohort, imaged, config).fill(network.classifier.image)  # type: ignore[arg-type]


def _fit(tokens: Float[np.ndarray, "n d"], cohort: Cohort, cases: Cases, config: TrainConfig) -> LinearFit:
    labels = cohort.labels[cases]
    weights = case_weights(labels, [cohort.cases[i].site for i in cases], config.site_power)
    return fit_linear(tokens, labels, weights, classes=len(cohort.classes), c=config.head_c)


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


def inner_logits(
    members: Sequence[GiMP],
    build: Callable[[int], GiMP],
    cohort: Cohort,
    train: Cases,
    plan: Plan,
    fabric: Fabric,
) -> Generator[Progress, None, tuple[Logits, Cases]]:
    """Out-of-fold logits of the training cases: what the temperatures are fitted on.

    The image heads of all members are fitted again on the other inner folds; the gene branch is trained again there,
    once (temperatures cost one seed, not all).

    Returns
    -------
    Logits by modality, NaN rows where a case lacks an input, and the cases they are of.
    """
    folds = inner_folds(cohort, train, plan.training.inner_folds, plan.seed)
    shape = (len(cohort), len(cohort.classes))
    image, genes = np.full(shape, np.nan), np.full(shape, np.nan)
    imaged = train[cohort.has_image[train]]
    for member in members:
        tokens = yield from class_tokens(member, cohort, imaged)
        _add_image(image, tokens, cohort, imaged, folds, plan.training, len(members))
    if cohort.genes:
        for fold in folds:
            yield from _add_genes(genes, build(plan.seed), cohort, train, fold, plan, fabric)
    return {"image": image[train], "genes": genes[train]}, train


def _add_image(
    found: Float[np.ndarray, "n C"],
    tokens: Float[np.ndarray, "m d"],
    cohort: Cohort,
    cases: Cases,
    folds: Sequence[Fold],
    config: TrainConfig,
    members: int,
) -> None:
    for fold in folds:
        held = np.isin(cases, fold.test)
        logits = _fit(tokens[~held], cohort, cases[~held], config).logits(tokens[held])
        found[cases[held]] = np.nan_to_num(found[cases[held]]) + logits / members


def _add_genes(
    found: Float[np.ndarray, "n C"],
    network: GiMP,
    cohort: Cohort,
    train: Cases,
    fold: Fold,
    plan: Plan,
    fabric: Fabric,
) -> Generator[Progress, None, None]:
    profiled = train[cohort.has_genes[train]]
    learn, held = np.setdiff1d(profiled, fold.test), np.intersect1d(profiled, fold.test)
    generator, pace = torch.Generator().manual_seed(plan.seed), StepPace(f" (inner fold {fold.name})")
    samples = cohort.samples(learn, "genes")
    for step in train_genes(network, samples, cohort.labels[learn], plan.training, fabric, generator):
        yield pace.progress(step)
    found[held] = gene_logits(network, cohort.values[held])


@torch.inference_mode()
def gene_logits(network: GiMP, values: Float[np.ndarray, "n G"]) -> Float[np.ndarray, "n C"]:
    """Logits of profiles alone."""
    network.eval()
    answers = network(genes=torch.from_numpy(values).to(network.device)).answers
    found: np.ndarray = answers["genes"].float().cpu().numpy()
    return found
