"""A cohort trained by two processes as torchrun starts them: one checkpoint, as of one process; one of them speaks."""

import io
from contextlib import redirect_stderr
from pathlib import Path

import pytest
import torch
from conftest import write_tiny_cohort
from safetensors.torch import load_file
from training_processes import as_rank, free_port, start

from napari_gimp.console import drain
from napari_gimp.files import is_first_process
from napari_gimp.gimp.devices import make_fabric
from napari_gimp.gimp.model import ModelConfig
from napari_gimp.gimp.train import TrainConfig
from napari_gimp.settings import InputError
from napari_gimp.study.cohort import read_cohort
from napari_gimp.study.plan import Plan
from napari_gimp.study.training import train_cohort

PLAN = Plan(
    ModelConfig(d=8, heads=2, layers=1, ffn=2, dropout=0.0, fragment_genes=5, groups=2, window=6, head_hidden=8),
    TrainConfig(epochs_genes=1, epochs_pretrain=1, epochs_finetune=2, epochs_decoder=1, batch_size=3, normalise=True),
    device="cpu",
)


def train(folder: Path, out: Path) -> None:
    cohort = read_cohort(folder / "cohort.csv", folder / "features", folder / "expression.csv")
    drain(train_cohort(cohort, out, PLAN))


def train_as_rank(rank: int, port: int, folder: Path, out: Path) -> None:
    """In a process of its own; what it says goes to ``rank<rank>.txt``."""
    torch.set_num_threads(1)
    said = io.StringIO()
    with as_rank(rank, 2, port), redirect_stderr(said):
        train(folder, out)
    (folder / f"rank{rank}.txt").write_text(said.getvalue())


def test_two_processes_write_one_checkpoint(tmp_path):
    write_tiny_cohort(tmp_path)
    port = free_port()
    processes = [start(train_as_rank, rank, port, tmp_path, tmp_path / "two") for rank in range(2)]
    with redirect_stderr(io.StringIO()):
        train(tmp_path, tmp_path / "one")
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    one, two = (load_file(tmp_path / name / "model.safetensors") for name in ("one", "two"))
    for name, value in one.items():
        if not name.endswith("qkv.bias"):  # see test_gimp_state
            torch.testing.assert_close(two[name], value, atol=1e-5, rtol=1e-5, msg=name)
    assert {path.name for path in tmp_path.iterdir() if path.name.startswith("two")} == {
        "two",
        "two.history.csv",
        "two.history.png",
    }
    assert "fine-tuning" in (tmp_path / "rank0.txt").read_text()
    assert (tmp_path / "rank1.txt").read_text() == ""


def test_of_several_processes_the_first_writes_and_none_takes_a_numbered_device(monkeypatch):
    assert is_first_process()
    monkeypatch.setenv("RANK", "1")
    assert is_first_process()  # a rank of somebody else's
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    assert not is_first_process()
    with pytest.raises(InputError, match="torchrun gives each process its own"):
        make_fabric("cpu:0")
    monkeypatch.setenv("RANK", "0")
    assert is_first_process()
