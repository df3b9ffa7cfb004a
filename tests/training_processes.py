"""Trainings in processes of their own, for tests that kill one or let several work together. Generated cases."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

from napari_gimp.gimp import state as state_module
from napari_gimp.gimp.model import GiMP, ModelConfig
from napari_gimp.gimp.train import (
    Keeper,
    Step,
    TrainConfig,
    finetune,
    make_fabric,
    pretrain,
    pretrain_labels,
    refit_decoder,
    train_genes,
)
from napari_gimp.types import Sample

WIDTH, GENES = 7, 11
MODEL = ModelConfig(d=8, heads=2, layers=1, ffn=2, dropout=0.1, fragment_genes=3, groups=2, window=9, head_hidden=8)
TRAINING = TrainConfig(
    epochs_genes=3,
    epochs_pretrain=3,
    epochs_finetune=5,
    epochs_decoder=2,
    patience=2,
    batch_size=5,
    lr_genes=1e-2,
    lr_pretrain=1e-3,
    lr_finetune=5e-2,
    patches=6,
    schedule="one-cycle",
)
PARALLEL = multiprocessing.get_context("forkserver")
PARALLEL.set_forkserver_preload(["napari_gimp.study.training"])


def make_cases(count: int, seed: int) -> list[Sample]:
    """Two classes, told apart by embeddings and expression."""
    rng = np.random.default_rng(seed)
    cases = []
    for i in range(count):
        patches = int(rng.integers(4, 12))
        embeddings = rng.normal(i % 2, 1, size=(patches, WIDTH)).astype(np.float32)
        cells = np.stack([np.arange(patches) // 3, np.arange(patches) % 3], axis=1)
        genes = rng.normal(i % 2, 1, size=GENES).astype(np.float32) if i % 4 else None
        cases.append(Sample(f"case-{i}", embeddings, cells, genes, i % 2))
    return cases


def new_model(config: ModelConfig = MODEL) -> GiMP:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return GiMP(config, embedding_dim=WIDTH, genes=GENES, classes=2)


def train_all(
    keeper: Keeper | None = None, training: TrainConfig = TRAINING, config: ModelConfig = MODEL
) -> tuple[GiMP, list[Step]]:
    """All five stages; the model and the steps that were seen."""
    model, fabric, generator = new_model(config), make_fabric("cpu"), torch.Generator().manual_seed(1)
    cases, held = make_cases(23, 1), make_cases(8, 2)
    labels = np.array([case.label for case in cases])
    profiled = np.flatnonzero([case.expression is not None for case in cases])
    shifts = np.random.default_rng(3).normal(size=(4, WIDTH)).astype(np.float32)
    groups = 3 * labels + np.arange(len(cases)) // 2 % 3  # label and site; they compete where `training` says so
    rest: tuple[Any, ...] = (labels, training, fabric, generator)
    steps = list[Step]()
    for stage in (
        train_genes(model, [cases[i] for i in profiled], labels[profiled], *rest[1:], keeper=keeper),
        pretrain_labels(model, cases, *rest, weights=labels + 1.0, shifts=shifts, groups=groups, keeper=keeper),
        pretrain(model, cases, *rest, keeper=keeper),
        finetune(model, cases, *rest, held, keeper=keeper),
        refit_decoder(model, cases, *rest, keeper=keeper),
    ):
        for step in stage:
            steps.append(step)
            if keeper is not None and keeper.run.get("die") == f"{step.stage} {step.step}":
                os.kill(os.getpid(), signal.SIGKILL)
    return model, steps


def weights_of(model: GiMP) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


class Killed(Keeper):
    """Dies by SIGKILL at a moment: a stage's step, or in the middle of a write."""

    def __init__(self, path: Path, die: str) -> None:
        super().__init__(path, resume=True)
        self.run = {"die": die}

    def end_epoch(self, stage: str, state: Any, write: bool = True) -> None:
        if self.run["die"] == f"{stage} write {state['epoch']}":
            state_module.save_file = _die_half_way
        self.run, run = {}, self.run  # the moment of death is no setting of the run
        super().end_epoch(stage, state, write)
        self.run = run


def _die_half_way(tensors: dict[str, torch.Tensor], path: Path, metadata: dict[str, str]) -> None:
    save_file(tensors, path, metadata)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    os.kill(os.getpid(), signal.SIGKILL)


def train_until_killed(path: Path, die: str) -> None:
    """In a process of its own."""
    torch.set_num_threads(1)
    train_all(Killed(path, die))


@contextmanager
def as_rank(rank: int, world: int, port: int) -> Iterator[None]:
    """What torchrun tells a process; the group is left at the end."""
    os.environ |= {
        "TORCHELASTIC_RUN_ID": "test",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(world),
        "LOCAL_WORLD_SIZE": str(world),
        "GROUP_RANK": "0",
    }
    yield
    torch.distributed.destroy_process_group()


def train_as_rank(rank: int, world: int, port: int, out: Path, training: TrainConfig, config: ModelConfig) -> None:
    """In a process as torchrun starts them; weights and number of yielded steps go to ``out``."""
    torch.set_num_threads(1)
    with as_rank(rank, world, port):
        model, steps = train_all(Keeper(out / "state.safetensors"), training, config)
    losses = torch.tensor([step.total for step in steps])
    save_file(weights_of(model) | {"losses": losses}, out / f"rank{rank}.safetensors")


def start(target: Callable[..., None], *args: Any) -> Any:
    process = PARALLEL.Process(target=target, args=args, daemon=True)
    process.start()
    return process


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])
