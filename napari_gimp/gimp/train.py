"""One training loop, thin callers: genes, pre-training, fine-tuning, the decoder after it. Yields ``Step``.

Nothing is written or printed.
On the CPU a seed fixes every number. Dropout draws from torch's global generator: each step seeds and restores it.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from lightning_fabric import Fabric
from torch import Generator, Tensor, nn

from napari_gimp.gimp.batches import balanced_batches, pad_samples
from napari_gimp.gimp.model import GiMP
from napari_gimp.gimp.stages import DecoderStage, FinetuneStage, GenesStage, PretrainStage, Stage, run
from napari_gimp.gimp.trainconfig import TrainConfig as TrainConfig
from napari_gimp.settings import InputError
from napari_gimp.types import MODALITIES, Modality, Sample

Precision = Literal["32-true", "bf16-mixed", "16-mixed"]
StageName = Literal["genes", "pretrain", "finetune", "decoder"]
Labels = Int[np.ndarray, " n"]
Validation = Mapping[Modality, float]


@dataclass(frozen=True)
class Step:
    """What one optimiser step did.

    Parameters
    ----------
    step, steps
        Counted from 1 over the whole stage.
    losses
        By name; of pre-training also ``active``, the share of triplets with a loss above 0 (NaN without a triplet),
        and ``image_margin``: how much farther other labels are than the same one, by CLS_img alone.
    validation
        Cross-entropy by modality, after the last step of an epoch of fine-tuning.
    """

    stage: StageName
    epoch: int
    step: int
    steps: int
    total: float
    losses: Mapping[str, float] = field(default_factory=dict)
    validation: Validation | None = None
    best: bool = False


def make_fabric(device: str = "auto", precision: Precision = "32-true") -> Fabric:
    """Lightning Fabric on one device: ``auto`` takes CUDA, then MPS, then the CPU.

    Raises
    ------
    InputError
        The device asked for is not there.
    """
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    kind = device.split(":")[0]
    if kind == "auto":
        kind = next(name for name in ("cuda", "mps", "cpu") if there[name])
    if not there.get(kind):
        found = ", ".join(name for name, present in there.items() if present)
        raise InputError(f"Device {device}: expected one of this machine's ({found}); choose one of them, or auto.")
    index: list[int] | int = [int(device.split(":")[1])] if device.count(":") == 1 else 1
    with _quiet_fabric():
        return Fabric(accelerator=kind, devices=index, precision=precision)


def train_genes(
    model: GiMP, samples: Sequence[Sample], labels: Labels, config: TrainConfig, fabric: Fabric, generator: Generator
) -> Iterator[Step]:
    """Step 1: the gene encoder, supervised on genes alone. All samples have a profile."""
    stage = GenesStage(model, config)
    return _fit("genes", stage, samples, labels, config.epochs_genes, config.lr_genes, fabric, generator)


def pretrain(
    model: GiMP, samples: Sequence[Sample], labels: Labels, config: TrainConfig, fabric: Fabric, generator: Generator
) -> Iterator[Step]:
    """Step 2: masked patch modelling and triplets, CLS_ge frozen; last weights. All samples have patches.

    Raises
    ------
    InputError
        A model without positions: every masked patch would get the same prediction.
    """
    model.config.check_mpm()
    stage = PretrainStage(model, config)
    return _fit("pretrain", stage, samples, labels, config.epochs_pretrain, config.lr_pretrain, fabric, generator)


def finetune(
    model: GiMP,
    samples: Sequence[Sample],
    labels: Labels,
    config: TrainConfig,
    fabric: Fabric,
    generator: Generator,
    validation: Sequence[Sample] = (),
) -> Iterator[Step]:
    """Step 3: cross-entropy with modality dropout; ends with the weights of the best validation epoch.

    The best epoch has the lowest cross-entropy, averaged over image, genes and both. Without validation samples:
    the last weights.
    """
    watch = _Watch(model, validation, config.patience) if len(validation) else None
    stage = FinetuneStage(model, config)
    epochs, lr = config.epochs_finetune, config.lr_finetune
    return _fit("finetune", stage, samples, labels, epochs, lr, fabric, generator, watch)


def refit_decoder(
    model: GiMP, samples: Sequence[Sample], labels: Labels, config: TrainConfig, fabric: Fabric, generator: Generator
) -> Iterator[Step]:
    """After step 3: the decoder alone learns to read the fine-tuned tokens. All samples have patches."""
    stage = DecoderStage(model, config)
    return _fit("decoder", stage, samples, labels, config.epochs_decoder, config.lr_decoder, fabric, generator)


def _fit(
    name: StageName,
    stage: Stage,
    samples: Sequence[Sample],
    labels: Labels,
    epochs: int,
    lr: float,
    fabric: Fabric,
    generator: Generator,
    watch: _Watch | None = None,
) -> Iterator[Step]:
    """The loop: balanced batches, one optimiser step each, validation at the end of an epoch."""
    if not epochs or not len(samples):
        return
    per_epoch = math.ceil(len(samples) / stage.config.batch_size)
    steps, count = epochs * per_epoch, 0
    optimizer = torch.optim.AdamW(_parameter_groups(stage, lr), lr=lr, weight_decay=stage.config.weight_decay)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    module, optimizer = fabric.setup(stage, optimizer)
    for epoch in range(1, epochs + 1):
        for chosen in balanced_batches(labels, stage.config.batch_size, generator):
            batch = _on_device(stage.batch([samples[i] for i in chosen], generator), fabric)
            losses = _optimise(fabric, module, optimizer, batch, generator)
            schedule.step()
            count += 1
            record = Step(name, epoch, count, steps, losses.pop("loss"), losses)
            if watch is not None and count % per_epoch == 0:
                record = watch.look(record)
            if watch is not None and (watch.patience_is_over or count == steps):
                watch.restore()
            yield record
        if watch is not None and watch.patience_is_over:
            return


def _parameter_groups(stage: Stage, lr: float) -> list[dict[str, Any]]:
    """Optimiser groups; frozen modules want no gradient until the next stage says so. Tokens do not decay."""
    groups: list[dict[str, Any]] = []
    for group in stage.groups():
        weights = [parameter for module in group.modules for parameter in module.parameters()]
        for weight in weights:
            weight.requires_grad_(group.factor > 0)
        if group.factor > 0:
            for token in group.tokens:
                token.requires_grad_(True)
            groups.append({"params": weights, "lr": lr * group.factor})
            groups.append({"params": list(group.tokens), "lr": lr * group.factor, "weight_decay": 0.0})
    return [group for group in groups if group["params"]]


def _optimise(
    fabric: Fabric, module: nn.Module, optimizer: torch.optim.Optimizer, batch: Mapping[str, Any], generator: Generator
) -> dict[str, float]:
    stage: Stage = module.module  # type: ignore[assignment]
    module.train()
    for group in stage.groups():
        for frozen in group.modules if group.factor == 0 else ():
            frozen.eval()
    with _own_dropout(generator, fabric.device):
        losses = module(**batch)
    optimizer.zero_grad()
    fabric.backward(losses["loss"])
    fabric.clip_gradients(module, optimizer, max_norm=stage.config.clip, error_if_nonfinite=False)
    optimizer.step()
    return {name: float(value.detach()) for name, value in losses.items()}


@contextmanager
def _own_dropout(generator: Generator, device: torch.device) -> Iterator[None]:
    """Seed torch's global generator, from which dropout draws, for one forward pass and put it back."""
    seed = int(torch.randint(2**62, (), generator=generator))
    cuda = [device.index or 0] if device.type == "cuda" else []
    with torch.random.fork_rng(cuda):
        torch.manual_seed(seed)
        yield


@contextmanager
def _quiet_fabric() -> Iterator[None]:
    """Fabric remarks on hardware that was deliberately not chosen."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="lightning_fabric")
        yield


def _on_device(batch: Mapping[str, Any], fabric: Fabric) -> dict[str, Any]:
    return {name: x.to(fabric.device) if isinstance(x, Tensor) else x for name, x in batch.items()}


class _Watch:
    """Validation after each epoch, the best weights so far, and when to stop."""

    def __init__(self, model: GiMP, samples: Sequence[Sample], patience: int) -> None:
        self.model, self.samples, self.patience = model, samples, patience
        self.lowest, self.waited = math.inf, 0
        self.weights: dict[str, Tensor] = {}

    @property
    def patience_is_over(self) -> bool:
        return self.waited >= self.patience

    def look(self, record: Step) -> Step:
        """The step with the validation loss of its epoch."""
        losses = validation_losses(self.model, self.samples)
        mean = float(np.mean(list(losses.values())))
        best = mean < self.lowest
        self.waited = 0 if best else self.waited + 1
        if best:
            self.lowest = mean
            self.weights = {name: value.clone() for name, value in self.model.state_dict().items()}
        return replace(record, validation=losses, best=best)

    def restore(self) -> None:
        """The weights of the best epoch, once one was seen."""
        if self.weights:
            self.model.load_state_dict(self.weights)


def validation_losses(model: GiMP, samples: Sequence[Sample]) -> Validation:
    """Mean cross-entropy of each modality over the samples that have what it needs."""
    logits = [case_logits(model, sample) for sample in samples]
    labels = torch.tensor([sample.label for sample in samples])
    losses: dict[Modality, float] = {}
    for modality in MODALITIES:
        has = [i for i, found in enumerate(logits) if modality in found]
        if has:
            stacked = torch.from_numpy(np.stack([logits[i][modality] for i in has]))
            losses[modality] = float(nn.functional.cross_entropy(stacked, labels[has]))
    return losses


@torch.inference_mode()
def case_logits(model: GiMP, sample: Sample) -> dict[Modality, Float[np.ndarray, " C"]]:
    """Logits of one case (whole bag, dropout off) for every modality that its inputs allow, from one pass.

    Without a profile there is no ``both``: image-only is never called both.
    """
    was_training = model.training
    model.eval()
    batch = pad_samples([sample]).to(next(model.parameters()).device)
    output = run(model, batch)
    image, genes = bool(output.has_image[0]), bool(output.has_genes[0]) and model.gene_encoder is not None
    parts: dict[Modality, tuple[Tensor, Tensor]] = {}
    if image and genes:
        parts["both"] = (output.cls_image[0], output.cls_genes[0])
    if image:
        parts["image"] = (output.cls_image[0], model.absent_genes)
    if genes:
        parts["genes"] = (model.absent_image, output.cls_genes[0])
    logits = {name: model.classifier(torch.cat(pair)).float().cpu().numpy() for name, pair in parts.items()}
    model.train(was_training)
    return logits
