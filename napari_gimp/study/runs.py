"""Runs on a cohort: train a checkpoint, evaluate a checkpoint. Generators of ``Progress`` that return the result."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from lightning_fabric import Fabric
from scipy.special import softmax

from napari_gimp.files import write_whole
from napari_gimp.gimp.checkpoint import LoadedModel, check_bag, check_free, load_model, read_facts, save_checkpoint
from napari_gimp.gimp.ensemble import Ensemble
from napari_gimp.gimp.model import GiMP, ModelConfig
from napari_gimp.gimp.train import (
    Step,
    TrainConfig,
    case_logits,
    finetune,
    make_fabric,
    pretrain,
    refit_decoder,
    train_genes,
)
from napari_gimp.settings import InputError
from napari_gimp.study.cohort import Cohort
from napari_gimp.study.evaluation import Evaluation, Probabilities, evaluate_predictions
from napari_gimp.study.preparation import Scaling, Split, fit_scaling, split_cases
from napari_gimp.study.record import case_hash, history_writer, provenance, trained_on
from napari_gimp.types import MODALITIES, CheckpointFacts, Modality, Progress

STAGES: Mapping[str, str] = {
    "genes": "training on genes",
    "pretrain": "pre-training",
    "finetune": "fine-tuning",
    "decoder": "fitting the decoder",
}


def train_cohort(
    cohort: Cohort,
    out: Path,
    model: ModelConfig | None = None,
    training: TrainConfig | None = None,
    *,
    val_fraction: float = 0.2,
    seed: int = 0,
    device: str = "auto",
    overwrite: bool = False,
    synthetic: str = "",
) -> Generator[Progress, None, CheckpointFacts]:
    """Train GiMP on a cohort: genes, pre-training, fine-tuning; write a checkpoint to ``out``.

    Beside it stands ``<out>.history.csv``: losses per epoch. A cohort without expression gives an image-only model.
    Scaling is fitted on the training part alone; the split is by case, sites are not kept apart.

    Parameters
    ----------
    val_fraction
        Share of the cases that choose the best epoch and give the checkpoint's figures; 0: the last weights.
    synthetic
        "synthetic" or "pseudo" where the cases are not real; it goes wherever the checkpoint goes.

    Raises
    ------
    InputError
        A cohort that cannot be trained on, ``out`` is taken, or a device that is not there.
    """
    model, training = model or ModelConfig(), training or TrainConfig()
    _check_out(out, overwrite)
    fabric = make_fabric(device, training.precision)
    split = split_cases(cohort, val_fraction, seed)
    scaling = yield from fit_scaling(cohort, split.train)
    network = _build(model, cohort, scaling, seed)
    history: list[Step] = []
    pace = _Pace()
    for step in _three_steps(network, cohort, split, training, fabric, seed):
        history.append(step)
        yield pace.progress(step)
    network.cpu().eval()
    metrics = yield from _validation_figures(network, cohort.subset(split.validation), seed)
    run = {"seed": seed, "val_fraction": val_fraction, "device": str(fabric.device), "steps": len(history)}
    facts = CheckpointFacts(
        out.name,
        cohort.classes,
        cohort.encoder,
        cohort.embedding_dim,
        cohort.genes,
        cohort.scale,
        scaling.patch_px,
        scaling.patch_mpp,
        trained_on(cohort, split),
        synthetic,
        metrics,
        provenance(cohort, split, training, scaling.has_places) | run,
    )
    save_checkpoint(out, network, facts, overwrite=overwrite)
    write_whole(out.with_name(f"{out.name}.history.csv"), history_writer(history))
    return facts


def _check_out(out: Path, overwrite: bool) -> None:
    """Before hours of training: may the checkpoint be written there?"""
    check_free(out, overwrite)
    if out.exists():
        read_facts(out)  # raises where it is no checkpoint


def _build(config: ModelConfig, cohort: Cohort, scaling: Scaling, seed: int) -> GiMP:
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        network = GiMP(config, embedding_dim=cohort.embedding_dim, genes=len(cohort.genes), classes=len(cohort.classes))
    network.set_scaling(
        embedding_mean=_tensor(scaling.embedding_mean),
        embedding_sd=_tensor(scaling.embedding_sd),
        gene_mean=_tensor(scaling.gene_mean),
        gene_sd=_tensor(scaling.gene_sd),
    )
    return network


def _tensor(values: Float[np.ndarray, " W"]) -> torch.Tensor:
    return torch.from_numpy(values.astype(np.float32))


def _three_steps(
    network: GiMP, cohort: Cohort, split: Split, config: TrainConfig, fabric: Fabric, seed: int
) -> Iterator[Step]:
    generator = torch.Generator().manual_seed(seed)
    labels, train = cohort.labels, split.train
    profiled, imaged = (train[cohort.has(modality)[train]] for modality in ("genes", "image"))
    if network.genes:
        profiles = cohort.samples(profiled, "genes")
        yield from train_genes(network, profiles, labels[profiled], config, fabric, generator)
    if config.epochs_pretrain:
        yield from pretrain(network, cohort.samples(imaged), labels[imaged], config, fabric, generator)
    held = cohort.samples(split.validation)
    yield from finetune(network, cohort.samples(train), labels[train], config, fabric, generator, held)
    if config.epochs_pretrain and config.epochs_finetune:
        yield from refit_decoder(network, cohort.samples(imaged, "image"), labels[imaged], config, fabric, generator)


class _Pace:
    """Steps -> progress, with the remaining time of the stage from its own pace so far."""

    def __init__(self) -> None:
        self.stage, self.began = "", 0.0

    def progress(self, step: Step) -> Progress:
        """Where the stage stands; no remaining time in its first two seconds."""
        now = time.monotonic()
        if step.stage != self.stage:
            self.stage, self.began = step.stage, now
        elapsed, done = now - self.began, step.step - 1
        remaining = elapsed * (step.steps - step.step) / done if done and elapsed > 2 else None
        return Progress(STAGES[step.stage], step.step, step.steps, "steps", remaining)


def _validation_figures(network: GiMP, held: Cohort, seed: int) -> Generator[Progress, None, dict[str, Any]]:
    if not len(held):
        return {}
    probabilities = yield from _predict(network, held, "validating")
    return {name: found.to_json() for name, found in evaluate_predictions(probabilities, held.labels, seed).items()}


def _predict(network: GiMP | Ensemble, cohort: Cohort, stage: str) -> Generator[Progress, None, Probabilities]:
    """Probabilities (n, C) by modality, NaN rows where a case lacks an input."""
    shape = (len(cohort), len(cohort.classes))
    found: dict[Modality, Float[np.ndarray, "n C"]] = {name: np.full(shape, np.nan) for name in MODALITIES}
    for i, sample in enumerate(cohort.samples()):
        for name, logits in case_logits(network, sample).items():
            found[name][i] = softmax(logits.astype(np.float64))
        yield Progress(stage, i + 1, len(cohort), "cases")
    return found


def evaluate_checkpoint(
    checkpoint: Path,
    cohort: Cohort,
    modality: Modality = "both",
    device: str = "auto",
    seed: int = 0,
) -> Generator[Progress, None, Evaluation]:
    """Figures of a checkpoint on a cohort for every modality, each over the cases that have what it needs.

    Raises
    ------
    InputError
        Bags of another encoder, labels that the checkpoint does not know, expression that does not fit its genes and
        scale, or no case with what ``modality`` needs.
    """
    began = time.monotonic()
    loaded = load_model(checkpoint, str(make_fabric(device).device))
    fitted = _fit_to(loaded.facts, cohort)
    labels = fitted.labels
    if not (fitted.has(modality) & bool(loaded.model.genes or modality == "image")).any():
        raise InputError(_nothing_to_evaluate(modality, loaded, cohort))
    probabilities = yield from _predict(loaded.model, fitted, "evaluating")
    return Evaluation(
        loaded.facts.name,
        cohort.name,
        loaded.facts.classes,
        modality,
        evaluate_predictions(probabilities, labels, seed),
        _predictions_table(fitted, probabilities),
        seed,
        time.monotonic() - began,
        loaded.facts.synthetic,
        _remarks(loaded.facts, fitted),
    )


def _fit_to(facts: CheckpointFacts, cohort: Cohort) -> Cohort:
    """The cohort in a checkpoint's classes, genes and scale, or the sentence that says why not."""
    named = facts.encoder is not None and cohort.encoder is not None
    if (named and facts.encoder != cohort.encoder) or facts.embedding_dim != cohort.embedding_dim:
        raise InputError(
            f"Cohort {cohort.name}: expected bags of encoder {facts.encoder or 'without a name'}"
            f" ({facts.embedding_dim}-d), which {facts.name} was trained with, found {cohort.encoder or 'no name'}"
            f" ({cohort.embedding_dim}-d); embed the slides with that encoder."
        )
    return cohort.with_classes(facts.classes).with_genes(facts.genes, facts.expression_scale)


def _nothing_to_evaluate(modality: Modality, loaded: LoadedModel, cohort: Cohort) -> str:
    if not loaded.model.genes:
        return f"{loaded.facts.name} knows no genes: expected modality image, found {modality}; give --modality image."
    return (
        f"Cohort {cohort.name}: expected cases with what modality {modality} needs, found none;"
        " give --expression, or another --modality."
    )


def _predictions_table(cohort: Cohort, probabilities: Probabilities) -> pd.DataFrame:
    columns: dict[str, Any] = {
        "case": [case.case_id for case in cohort.cases],
        "fold": "",
        "label": [case.label for case in cohort.cases],
    }
    for modality in MODALITIES:
        for k, name in enumerate(cohort.classes):
            columns[f"{modality}_{name}"] = probabilities[modality][:, k]
    return pd.DataFrame(columns)


def _remarks(facts: CheckpointFacts, cohort: Cohort) -> tuple[str, ...]:
    """What the reader of the figures must know: synthetic data, cases trained on, other patches, missing genes."""
    kinds = {"trained on": "train_cases", "used to choose the epoch": "validation_cases"}
    here = [case_hash(case) for case in cohort.cases]
    seen = {words: len(set(here) & set(facts.provenance.get(key, ()))) for words, key in kinds.items()}
    notes = [
        f"Warning: {count} of the {len(here)} cases were {words}: these figures are no test."
        for words, count in seen.items()
        if count
    ]
    origin = [f"{facts.name} was trained on {facts.synthetic} cases."] if facts.synthetic else []
    first = [bag for case in np.flatnonzero(cohort.has_image)[:1] for bag in cohort.bags(int(case))[:1]]
    bags = [note for bag in first for note in check_bag(facts, bag)]
    return (*origin, *notes, *bags, *(note for note in cohort.gene_remarks if "model's genes" in note))
