"""A checkpoint on a cohort -> figures."""

from __future__ import annotations

import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import softmax

from napari_gimp.gimp.checkpoint import LoadedModel, load_model
from napari_gimp.gimp.compatible import check_bag
from napari_gimp.gimp.ensemble import Ensemble
from napari_gimp.gimp.model import GiMP
from napari_gimp.gimp.train import make_fabric
from napari_gimp.settings import InputError
from napari_gimp.study.cohort import Cohort
from napari_gimp.study.evaluation import Evaluation, Probabilities, evaluate_predictions
from napari_gimp.study.folds import groups_of
from napari_gimp.study.logits import cohort_logits
from napari_gimp.study.memory import memory_in_words
from napari_gimp.study.record import was_seen
from napari_gimp.types import MODALITIES, CheckpointFacts, Modality, Progress


def predict_cohort(
    model: GiMP | Ensemble, cohort: Cohort, stage: str = "predicting"
) -> Generator[Progress, None, Probabilities]:
    """Calibrated probabilities (n, C) by modality, NaN rows where a case lacks an input."""
    logits = yield from cohort_logits(model, cohort, stage)
    return {name: softmax(values, axis=1) for name, values in logits.items()}


@memory_in_words
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
    fitted = fit_to(loaded.facts, cohort)
    labels = fitted.labels
    if not (fitted.has(modality) & bool(loaded.model.genes or modality == "image")).any():
        raise InputError(_nothing_to_evaluate(modality, loaded, cohort))
    probabilities = yield from predict_cohort(loaded.model, fitted, "evaluating")
    return Evaluation(
        loaded.facts.name,
        cohort.name,
        loaded.facts.classes,
        modality,
        evaluate_predictions(probabilities, labels, seed, np.array(groups_of(fitted, "patient"))),
        _predictions_table(fitted, probabilities),
        seed,
        time.monotonic() - began,
        loaded.facts.synthetic,
        _remarks(loaded.facts, fitted),
    )


def fit_to(facts: CheckpointFacts, cohort: Cohort) -> Cohort:
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
    kinds |= {"seen in pre-training": "pretrain_cases"}
    hashes = {words: set(facts.provenance.get(key, ())) for words, key in kinds.items()}
    seen = {words: sum(was_seen(case, found) for case in cohort.cases) for words, found in hashes.items()}
    notes = [
        f"Warning: {count} of the {len(cohort)} cases were {words}: these figures are no test."
        for words, count in seen.items()
        if count
    ]
    origin = [f"{facts.name} was trained on {facts.synthetic} cases."] if facts.synthetic else []
    first = [bag for case in np.flatnonzero(cohort.has_image)[:1] for bag in cohort.bags(int(case))[:1]]
    bags = [note for bag in first for note in check_bag(facts, bag)]
    return (*origin, *notes, *bags, *(note for note in cohort.gene_remarks if "model's genes" in note))
