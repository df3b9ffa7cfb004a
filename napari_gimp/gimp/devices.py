"""Where training runs: on one device, or on several through ``torchrun``, each with its share of every batch."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Shaped
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning_fabric.strategies.ddp import DDPStrategy
from torch import Tensor

from napari_gimp.settings import InputError

Precision = Literal["32-true", "bf16-mixed", "16-mixed"]


def make_fabric(device: str = "auto", precision: Precision = "32-true") -> Fabric:
    """Lightning Fabric: ``auto`` takes CUDA, then MPS, then the CPU.

    One device; started by ``torchrun``, one for each of its processes, on all of its nodes (DistributedDataParallel;
    gloo on the CPU).

    Raises
    ------
    InputError
        The device asked for is not there, or one of several is named.
    """
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    kind, _, number = device.partition(":")
    if kind == "auto":
        kind = next(name for name in ("cuda", "mps", "cpu") if there[name])
    if not there.get(kind):
        found = ", ".join(name for name, present in there.items() if present)
        raise InputError(f"Device {device}: expected one of this machine's ({found}); choose one of them, or auto.")
    with quiet():
        if TorchElasticEnvironment.detect():
            return _several(kind, number, precision)
        return Fabric(accelerator=kind, devices=[int(number)] if number else 1, precision=precision)


def _several(kind: str, number: str, precision: Precision) -> Fabric:
    if number:
        raise InputError(
            f"Device {kind}:{number}: expected a kind of device, for torchrun gives each process its own,"
            f" found a number; choose {kind}, or start without torchrun."
        )
    here = int(os.environ["LOCAL_WORLD_SIZE"])
    nodes = int(os.environ["WORLD_SIZE"]) // here
    strategy = DDPStrategy(find_unused_parameters=True)  # a stage trains parts, and learned tokens only where needed
    fabric = Fabric(accelerator=kind, devices=here, num_nodes=nodes, strategy=strategy, precision=precision)
    fabric.launch()
    return fabric


@contextmanager
def quiet() -> Iterator[None]:
    """Without Fabric's remarks on hardware that was deliberately not chosen, and those on how gradients lie."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="lightning_fabric")
        warnings.filterwarnings("ignore", message="Grad strides do not match")
        yield


@dataclass(frozen=True)
class Share:
    """Which rows of every batch this process works on, so that all processes together do what one alone would.

    Each process draws the whole batch, so that all draw the same random numbers; row i is that of process
    i % ``world``. Shares are equally long: where rows run out, copies of the last one fill them and count nothing.
    """

    fabric: Fabric | None = None

    @property
    def world(self) -> int:
        """Number of processes."""
        return 1 if self.fabric is None else self.fabric.world_size

    @property
    def rank(self) -> int:
        """Number of this process, from 0."""
        return 0 if self.fabric is None else self.fabric.global_rank

    def take(self, batch: dict[str, Any], weights: Shaped[Tensor, " B"]) -> dict[str, Any]:
        """This process's rows of a batch. The mean of all processes' weighted sums is that of the whole batch.

        ``weights`` of the rows sum to 1 over the batch; ``hidden`` is by what a process divides its sum over masked
        patches.
        """
        cases = len(weights)
        rows = torch.arange(self.rank, math.ceil(cases / self.world) * self.world, self.world)
        own, rows = rows < cases, rows.clamp(max=cases - 1)
        masked = batch.get("masked")
        batch = batch | {"weights": weights * self.world}
        batch = {name: x[rows] if isinstance(x, Tensor) else x for name, x in batch.items()}
        batch |= {"weights": batch["weights"] * own, "cases": cases}
        if masked is not None:
            batch |= {"masked": batch["masked"] & own[:, None], "hidden": max(1, int(masked.sum())) / self.world}
        return batch

    def gather(self, rows: Shaped[Tensor, "b ..."], cases: int) -> Shaped[Tensor, "B ..."]:
        """Rows of all processes in the batch's order; gradients flow back to where the rows came from."""
        if self.fabric is None or self.world == 1:
            return rows
        every = self.fabric.all_gather(rows, sync_grads=rows.requires_grad)
        assert isinstance(every, Tensor)
        return every.transpose(0, 1).flatten(0, 1)[:cases]

    def means(self, losses: dict[str, Tensor]) -> dict[str, float]:
        """Losses as of the whole batch: the means over the processes."""
        if self.fabric is not None and self.world > 1:
            losses = {name: _reduced(self.fabric, value) for name, value in losses.items()}
        values = torch.stack([value.detach().float() for value in losses.values()]).tolist()  # one wait for the device
        return dict(zip(losses, values, strict=True))


def _reduced(fabric: Fabric, value: Tensor) -> Tensor:
    mean = fabric.all_reduce(value.detach().clone().to(fabric.device), reduce_op="mean")
    assert isinstance(mean, Tensor)
    return mean
