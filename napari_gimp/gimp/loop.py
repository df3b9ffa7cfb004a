"""The loop that all training steps share: batches, optimiser, schedule, validation, the state kept.

Dropout draws from torch's global generator: each step seeds and restores it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from lightning_fabric import Fabric
from torch import Generator, Tensor, nn

from napari_gimp.gimp.batches import epoch_batches, grouped_batches
from napari_gimp.gimp.devices import Share, quiet
from napari_gimp.gimp.model import GiMP
from napari_gimp.gimp.stages import Stage
from napari_gimp.gimp.state import Keeper
from napari_gimp.gimp.steps import StageName, Step, Validation
from napari_gimp.gimp.trainconfig import TrainConfig
from napari_gimp.gimp.validation import validation_losses
from napari_gimp.settings import InputError
from napari_gimp.types import Sample

Labels = Int[np.ndarray, " n"]
Weights = Float[np.ndarray, " n"]
GRADIENT = "gradient norm"


@dataclass(frozen=True, eq=False)
class Cases:
    """What a stage learns from; ``weights`` say how often a case is drawn, or how much it counts.

    With ``groups`` a batch holds several cases of each of a few groups (`grouped_batches`).
    """

    samples: Sequence[Sample]
    labels: Labels
    weights: Weights | None = None
    groups: Labels | None = None

    def epoch(self, config: TrainConfig, generator: Generator) -> Iterator[list[int]]:
        """One epoch of batches, as indices."""
        drawn = self.weights if config.weigh == "sampling" else None
        if self.groups is not None:
            drawn = np.ones(len(self.labels)) if drawn is None else drawn
            return grouped_batches(self.groups, drawn, config.batch_size, config.contrast_group, generator)
        return epoch_batches(self.labels, config.batch_size, generator, drawn, config.balance)

    def batch(self, chosen: list[int], stage: Stage, generator: Generator, share: Share) -> dict[str, Any]:
        """This process's part of a batch."""
        batch = stage.batch([_labelled(self.samples[i], int(self.labels[i])) for i in chosen], generator)
        counts = np.ones(len(chosen))
        if self.weights is not None and stage.config.weigh == "loss":
            counts = self.weights[chosen].astype(np.float64)
        weights = torch.from_numpy((counts / counts.sum()).astype(np.float32))
        return share.take(batch, weights)


def _labelled(sample: Sample, label: int) -> Sample:
    return sample if sample.label == label else replace(sample, label=label)


class Loop:
    """The loop: one optimiser step a batch; validation, and the state kept, at the end of an epoch."""

    def __init__(
        self,
        name: StageName,
        stage: Stage,
        epochs: int,
        lr: float,
        fabric: Fabric,
        generator: Generator,
        keeper: Keeper | None,
        watch: Watch | None = None,
    ) -> None:
        self.name, self.stage, self.epochs, self.lr = name, stage, epochs, lr
        self.fabric, self.generator, self.watch = fabric, generator, watch
        self.keeper = Keeper() if keeper is None else keeper
        stage.share = Share(fabric)

    def fit(self, cases: Cases) -> Iterator[Step]:
        """All epochs that are not done yet."""
        if not self.epochs or not len(cases.samples):
            return
        past = self.keeper.begin(self.name)
        if past.get("over"):
            return
        config, per_epoch = self.stage.config, math.ceil(len(cases.samples) / self.stage.config.batch_size)
        steps = self.epochs * per_epoch
        optimizer = torch.optim.AdamW(parameter_groups(self.stage, self.lr), weight_decay=config.weight_decay)
        schedule = _schedule(optimizer, config, steps)
        module, optimizer = self.fabric.setup(self.stage, optimizer)
        running = Running(self.stage, optimizer, schedule, self.generator, self.fabric, self.watch)
        count = running.load(past) * per_epoch
        while count < steps and not running.is_over:
            for chosen in cases.epoch(config, self.generator):
                batch = cases.batch(chosen, self.stage, self.generator, self.stage.share)
                losses = _optimise(self.fabric, module, optimizer, _on_device(batch, self.fabric), self.generator)
                schedule.step()
                count += 1
                _check_finite(self.name, count, losses, self.fabric)
                record = Step(self.name, -(-count // per_epoch), count, steps, losses.pop("loss"), losses)
                if count % per_epoch == 0:
                    record = self._end_epoch(record, running)
                else:
                    self.keeper.note(record)
                if self.fabric.is_global_zero:
                    yield record

    def _end_epoch(self, record: Step, running: Running) -> Step:
        if self.watch is not None:
            record = self.watch.look(record)
            if self.watch.patience_is_over or record.step == record.steps:
                self.watch.restore()
        self.keeper.note(record)
        if self.keeper.path is not None and self.fabric.is_global_zero:
            self.keeper.end_epoch(self.name, running.state(record.epoch))
        else:
            self.keeper.end_epoch(self.name, {}, write=False)
        return record


@dataclass(frozen=True, eq=False)
class Running:
    """All that a stage changes from step to step."""

    stage: Stage
    optimizer: Any
    schedule: torch.optim.lr_scheduler.LRScheduler
    generator: Generator
    fabric: Fabric
    watch: Watch | None

    @property
    def is_over(self) -> bool:
        return self.watch is not None and self.watch.patience_is_over

    def state(self, epoch: int) -> dict[str, Any]:
        return {
            "epoch": epoch,
            "stage": self.stage.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "generator": self.generator.get_state(),
            "precision": self.fabric.strategy.precision.state_dict(),
            "watch": {} if self.watch is None else self.watch.state(),
        }

    def load(self, state: Mapping[str, Any]) -> int:
        """Take over a state, if there is one; the epochs that it has seen."""
        if "epoch" not in state:
            return 0
        self.stage.load_state_dict(state["stage"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        self.generator.set_state(state["generator"])
        self.fabric.strategy.precision.load_state_dict(state["precision"])
        if self.watch is not None:
            self.watch.load(state["watch"])
        return int(state["epoch"])


def _schedule(
    optimizer: torch.optim.Optimizer, config: TrainConfig, steps: int
) -> torch.optim.lr_scheduler.LRScheduler:
    if config.schedule == "one-cycle":
        peaks = [group["lr"] for group in optimizer.param_groups]
        return torch.optim.lr_scheduler.OneCycleLR(optimizer, peaks, total_steps=max(2, steps))
    if config.warmup:
        return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: warmed_cosine(step / steps, config.warmup))
    return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)


def warmed_cosine(done: float, warmup: float) -> float:
    """The rate's share when that share of the steps is done: up in a line, then down in half a cosine."""
    if done < warmup:
        return done / warmup
    return 0.5 * (1 + math.cos(math.pi * (done - warmup) / (1 - warmup)))


def parameter_groups(stage: Stage, lr: float) -> list[dict[str, Any]]:
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
    with own_random(generator, fabric.device, fabric.global_rank), quiet():
        losses = module(**batch)
    optimizer.zero_grad()
    with quiet():
        fabric.backward(losses["loss"])
    norm = fabric.clip_gradients(module, optimizer, max_norm=stage.config.clip, error_if_nonfinite=False)
    optimizer.step()
    return stage.share.means({**losses, GRADIENT: losses["loss"] if norm is None else norm})


def _check_finite(name: StageName, step: int, losses: dict[str, float], fabric: Fabric) -> None:
    """Stop before weights that are no numbers are kept; half precision skips such steps by itself."""
    norm = losses.pop(GRADIENT)
    if fabric.strategy.precision.precision == "16-mixed" or np.isfinite([losses["loss"], norm]).all():
        return
    raise InputError(
        f"Training, stage {name}, step {step}: expected a finite loss and gradient, found {losses['loss']:.3g} and"
        f" {norm:.3g}; look for extreme values in embeddings and expression, or give a lower learning rate."
    )


@contextmanager
def own_random(generator: Generator, device: torch.device, rank: int = 0) -> Iterator[None]:
    """Seed torch's global generator, from which dropout draws, for one forward pass and put it back."""
    seed = int(torch.randint(2**62, (), generator=generator)) + rank
    cuda = [device.index or 0] if device.type == "cuda" else []
    with torch.random.fork_rng(cuda):
        torch.manual_seed(seed)
        yield


def _on_device(batch: Mapping[str, Any], fabric: Fabric) -> dict[str, Any]:
    return {name: x.to(fabric.device) if isinstance(x, Tensor) else x for name, x in batch.items()}


@dataclass(eq=False)
class Watch:
    """Validation after each epoch, the best weights so far, and when to stop."""

    model: GiMP
    samples: Sequence[Sample]
    patience: int
    fabric: Fabric
    lowest: float = math.inf
    waited: int = 0
    weights: dict[str, Tensor] = field(default_factory=dict)

    @property
    def patience_is_over(self) -> bool:
        return self.waited >= self.patience

    def look(self, record: Step) -> Step:
        """The step with the validation loss of its epoch; the first process computes it for all."""
        found = validation_losses(self.model, self.samples) if self.fabric.is_global_zero else {}
        losses: Validation = self.fabric.broadcast(found)
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

    def state(self) -> dict[str, Any]:
        return {"lowest": self.lowest, "waited": self.waited, "weights": self.weights}

    def load(self, state: Mapping[str, Any]) -> None:
        self.lowest, self.waited, self.weights = state["lowest"], state["waited"], state["weights"]
