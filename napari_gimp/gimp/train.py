"""One training loop, thin callers: genes, pre-training, fine-tuning, the decoder after it. Yields ``Step``.

Nothing is printed; a `Keeper` that is given a path writes the running state there after every epoch.
On the CPU a seed fixes every number.
With several processes (`make_fabric`) all call the same functions; the first one alone yields.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from jaxtyping import Float
from lightning_fabric import Fabric
from torch import Generator

from napari_gimp.gimp.batches import large_groups
from napari_gimp.gimp.contrast import ContrastStage
from napari_gimp.gimp.devices import make_fabric as make_fabric
from napari_gimp.gimp.loop import Cases, Labels, Loop, Watch, Weights, own_random
from napari_gimp.gimp.model import GiMP
from napari_gimp.gimp.pretraining import DecoderStage, LabelsStage, PretrainStage
from napari_gimp.gimp.stages import FinetuneStage, GenesStage
from napari_gimp.gimp.state import Keeper as Keeper
from napari_gimp.gimp.steps import Step as Step
from napari_gimp.gimp.trainconfig import TrainConfig as TrainConfig
from napari_gimp.gimp.validation import case_logits as case_logits
from napari_gimp.gimp.validation import case_parts as case_parts
from napari_gimp.gimp.validation import validation_losses as validation_losses
from napari_gimp.settings import InputError
from napari_gimp.types import Sample


def train_genes(
    model: GiMP,
    samples: Sequence[Sample],
    labels: Labels,
    config: TrainConfig,
    fabric: Fabric,
    generator: Generator,
    keeper: Keeper | None = None,
) -> Iterator[Step]:
    """Step 1: the gene encoder, supervised on genes alone. All samples have a profile."""
    cases = Cases(samples, labels)
    loop = Loop("genes", GenesStage(model, config), config.epochs_genes, config.lr_genes, fabric, generator, keeper)
    return loop.fit(cases)


def pretrain(
    model: GiMP,
    samples: Sequence[Sample],
    labels: Labels,
    config: TrainConfig,
    fabric: Fabric,
    generator: Generator,
    keeper: Keeper | None = None,
) -> Iterator[Step]:
    """Step 2: masked patch modelling and triplets, CLS_ge frozen; last weights. All samples have patches.

    A weight of 0 leaves out the one or the other; without masked patch modelling nothing is masked.

    Raises
    ------
    InputError
        A model without positions, with which every masked patch would get the same prediction, and a weight for that.
    """
    if config.reconstruction_weight:
        model.config.check_mpm()
    cases, stage = Cases(samples, labels), PretrainStage(model, config)
    return Loop("pretrain", stage, config.epochs_pretrain, config.lr_pretrain, fabric, generator, keeper).fit(cases)


def pretrain_labels(
    model: GiMP,
    samples: Sequence[Sample],
    labels: Labels,
    config: TrainConfig,
    fabric: Fabric,
    generator: Generator,
    weights: Weights | None = None,
    shifts: Float[np.ndarray, "A D"] | None = None,
    groups: Labels | None = None,
    keeper: Keeper | None = None,
) -> Iterator[Step]:
    """The aggregator alone on a cohort of its own: its labels, masked patches, or both (``config.objective``).

    The labels are read from CLS_img by a linear head that is thrown away (METHOD section 9). All samples have patches.

    Parameters
    ----------
    labels
        Any classes, the model's or not: cancer types, say.
    weights
        How often a case is drawn, or how much it counts (``config.weigh``), as `sampling_weights` gives them; without
        them every class is drawn equally often.
    shifts
        Raw embeddings of sites minus those of their type: N(0, 1) times a random row is added to a whole bag.
    groups
        Number of each case's site and class: with ``config.contrast_weight`` its bags are told apart (`ContrastStage`),
        where at least two classes have a group of ``config.contrast_group`` cases.

    Raises
    ------
    InputError
        Labels of fewer than two classes, or masked patch modelling in a model without positions.
    """
    if config.objective != "mpm" and len(np.unique(labels)) < 2:
        raise InputError(
            "Pre-training with labels: expected at least two classes, found one; add cases, or choose objective mpm."
        )
    if config.objective != "labels":
        model.config.check_mpm()
    contrasts = groups is not None and can_contrast(labels, groups, config)
    added = None if shifts is None else torch.from_numpy(shifts)
    with own_random(generator, torch.device("cpu")):
        stage = LabelsStage(model, config, int(labels.max()) + 1, added)
        if contrasts and groups is not None:
            of_case = {sample.case_id: int(group) for sample, group in zip(samples, groups, strict=True)}
            stage = ContrastStage(model, config, int(labels.max()) + 1, added, of_case)
    cases = Cases(samples, labels, weights, groups if contrasts else None)
    return Loop("labels", stage, config.epochs_pretrain, config.lr_pretrain, fabric, generator, keeper).fit(cases)


def can_contrast(labels: Labels, groups: Labels, config: TrainConfig) -> bool:
    """Whether pre-training tells bags of one site and class apart: where it is to, and two classes have such groups."""
    wanted = config.contrast_weight > 0 and config.objective == "labels"
    return wanted and large_groups(labels, groups, config.contrast_group)[2] > 1


def finetune(
    model: GiMP,
    samples: Sequence[Sample],
    labels: Labels,
    config: TrainConfig,
    fabric: Fabric,
    generator: Generator,
    validation: Sequence[Sample] = (),
    keeper: Keeper | None = None,
) -> Iterator[Step]:
    """Step 3: cross-entropy with modality dropout; ends with the weights of the best validation epoch.

    The best epoch has the lowest cross-entropy, averaged over image, genes and both. Without validation samples:
    the last weights.
    """
    watch = Watch(model, validation, config.patience, fabric) if len(validation) else None
    cases, stage = Cases(samples, labels), FinetuneStage(model, config)
    epochs, lr = config.epochs_finetune, config.lr_finetune
    return Loop("finetune", stage, epochs, lr, fabric, generator, keeper, watch).fit(cases)


def refit_decoder(
    model: GiMP,
    samples: Sequence[Sample],
    labels: Labels,
    config: TrainConfig,
    fabric: Fabric,
    generator: Generator,
    keeper: Keeper | None = None,
) -> Iterator[Step]:
    """After step 3: the decoder alone learns to read the fine-tuned tokens. All samples have patches."""
    cases, stage = Cases(samples, labels), DecoderStage(model, config)
    return Loop("decoder", stage, config.epochs_decoder, config.lr_decoder, fabric, generator, keeper).fit(cases)
