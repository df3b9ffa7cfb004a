"""How far is a training step from the time of its own matrix products?

    python tests/benchmarks/bench_training.py [--d 512 --patches 6000 --batch 1]

One pre-training step on the CPU (masked patches and triplets: batch, forward, backward, clipping, AdamW) is timed. Its
matrix products are recorded as they are called, with the shapes, strides and types of their operands and their counted
FLOPs, and repeated in plain torch on tensors that lie in memory alike. Goal: the step takes at most twice their time.
The ratio is given in processor seconds too: on a busy machine read that one (with one thread: OMP_NUM_THREADS=1).
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from napari_gimp.gimp.model import GiMP, ModelConfig
from napari_gimp.gimp.train import TrainConfig, make_fabric, pretrain
from napari_gimp.types import Sample

GENES = 60_480
WARM_UP, ROUNDS = 1, 3


@dataclass(frozen=True)
class Operand:
    """A tensor's shape, strides and type: how it lies in memory decides how fast it is multiplied."""

    shape: tuple[int, ...]
    stride: tuple[int, ...]
    dtype: torch.dtype

    @classmethod
    def of(cls, tensor: Tensor) -> Operand:
        """What describes a tensor."""
        return cls(tuple(tensor.shape), tensor.stride(), tensor.dtype)

    def make(self) -> Tensor:
        """Random numbers that lie in memory as the operand did."""
        return torch.empty_strided(self.shape, self.stride, dtype=self.dtype).normal_()


Product = tuple[Operand, Operand]
Seconds = Float[np.ndarray, " 2"]
"""By the clock, and of the processors."""


class Recorder(TorchDispatchMode):
    """Counts the matrix products that are called, by their operands; fused attention as the products inside it."""

    def __init__(self) -> None:
        super().__init__()
        self.products: Counter[Product] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        if name in ("mm", "bmm"):
            self._add(args[0], args[1])
        elif name in ("addmm", "baddbmm"):
            self._add(args[1], args[2])
        elif name == "_scaled_dot_product_flash_attention_for_cpu":
            self._add_attention(*args[:3])
        elif name == "_scaled_dot_product_flash_attention_for_cpu_backward":
            self._add_attention_backward(*args[:4])
        return func(*args, **(kwargs or {}))

    def _add(self, left: Tensor, right: Tensor, times: int = 1) -> None:
        self.products[Operand.of(left), Operand.of(right)] += times

    def _add_attention(self, query: Tensor, key: Tensor, value: Tensor) -> None:
        self._add(query, key.mT)
        self._add(query.new_empty(*query.shape[:-1], key.shape[-2]), value)

    def _add_attention_backward(self, grad: Tensor, query: Tensor, key: Tensor, value: Tensor) -> None:
        """Scores again, then the gradients of value, weights, query and key."""
        weights = query.new_empty(*query.shape[:-1], key.shape[-2])
        self._add(query, key.mT)
        self._add(weights.mT, grad)
        self._add(grad, value.mT)
        self._add(weights, key)
        self._add(weights.mT, query)

    @property
    def flops(self) -> dict[torch.dtype, float]:
        """Two for each multiplication and addition, by type of number."""
        found: dict[torch.dtype, float] = {}
        for (left, right), times in self.products.items():
            count = 2.0 * times * float(np.prod(left.shape)) * right.shape[-1]
            found[left.dtype] = found.get(left.dtype, 0.0) + count
        return found

    def seconds(self) -> Seconds:
        """Time of all products in plain torch, one shape after the other: median of `ROUNDS`."""
        taken = [times * _product_seconds(*product) for product, times in self.products.items()]
        return np.sum(taken, axis=0)


def _product_seconds(left: Operand, right: Operand) -> Seconds:
    a, b = left.make(), right.make()
    return _median_seconds(lambda: torch.matmul(a, b))


def _median_seconds(work: Callable[[], Any]) -> Seconds:
    for _ in range(WARM_UP):
        work()
    taken = []
    for _ in range(ROUNDS):
        start = _now()
        work()
        taken.append(_now() - start)
    return np.median(taken, axis=0)


def _now() -> Seconds:
    return np.array([time.perf_counter(), time.process_time()])


def made_up_samples(batch: int, patches: int, width: int, genes: int) -> list[Sample]:
    """Random bags and profiles; a square of patches each."""
    rng, index = np.random.default_rng(0), np.arange(patches)
    cells = np.stack([index // round(patches**0.5), index % round(patches**0.5)], axis=1)
    return [
        Sample(
            f"case{i}",
            rng.standard_normal((patches, width), np.float32),
            cells,
            rng.standard_normal(genes, np.float32) if genes else None,
            i % 2,
        )
        for i in range(batch)
    ]


class Steps:
    """Optimiser steps of the project's own pre-training, one at a time."""

    def __init__(self, model: GiMP, samples: list[Sample]) -> None:
        config = TrainConfig(epochs_pretrain=10_000, batch_size=len(samples), balance=False)
        labels = np.array([sample.label for sample in samples])
        generator = torch.Generator().manual_seed(0)
        self._steps: Iterator[Any] = pretrain(model, samples, labels, config, make_fabric("cpu"), generator)

    def __call__(self) -> None:
        """The next step."""
        next(self._steps)


@dataclass(frozen=True)
class Found:
    """What one measurement says."""

    step: Seconds
    products: Seconds
    flops: dict[torch.dtype, float]
    counted: float

    @property
    def ratio(self) -> Seconds:
        """Time of the step in times of its products."""
        return self.step / self.products


def measure(model: GiMP, samples: list[Sample]) -> Found:
    """Time a step, record its products, time them."""
    step, recorder, counter = Steps(model, samples), Recorder(), FlopCounterMode(display=False)
    seconds = _median_seconds(step)
    with counter:
        step()
    with recorder:
        step()
    return Found(seconds, recorder.seconds(), recorder.flops, float(counter.get_total_flops()))


def hot_spots(model: GiMP, samples: list[Sample], rows: int) -> str:
    """Where a step spends its time, by operation and shape."""
    step = Steps(model, samples)
    step()
    with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as found:
        step()
    table: str = found.key_averages(group_by_input_shape=True).table(
        "self_cpu_time_total", rows, max_shapes_column_width=60
    )
    return table


def main() -> None:
    """Print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--d", type=int, nargs="+", default=[512], help="widths of the model")
    parser.add_argument("--patches", type=int, nargs="+", default=[1000, 6000], help="patches of a bag")
    parser.add_argument("--batch", type=int, default=2, help="bags of a step")
    parser.add_argument("--genes", type=int, default=GENES, help="0: image alone")
    parser.add_argument("--profile", type=int, default=0, help="print so many of the costliest operations")
    given = parser.parse_args()
    print(f"{torch.get_num_threads()} threads, {given.batch} bags a step, {given.genes} genes")
    print(f"{'d':>5} {'patches':>8} {'step s':>8} {'products s':>11} {'ratio':>6} {'CPU ratio':>10}"
          "  GFLOP by type (torch's counter)")  # fmt: skip
    for d in given.d:
        for patches in given.patches:
            torch.manual_seed(0)
            model = GiMP(ModelConfig(d=d, window=patches), embedding_dim=1024, genes=given.genes, classes=2)
            samples = made_up_samples(given.batch, patches, 1024, given.genes)
            found = measure(model, samples)
            flops = ", ".join(f"{count / 1e9:.1f} {str(kind)[6:]}" for kind, count in found.flops.items())
            print(
                f"{d:>5} {patches:>8} {found.step[0]:>8.2f} {found.products[0]:>11.2f} {found.ratio[0]:>6.2f}"
                f" {found.ratio[1]:>10.2f}"
                f"  {flops} ({found.counted / 1e9:.1f})",
                flush=True,
            )
            if given.profile:
                print(hot_spots(model, samples, given.profile))


if __name__ == "__main__":
    main()
