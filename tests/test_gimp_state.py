"""The running state: whole or not at all, refused where it is another's, and a killed training that goes on."""

import math
import signal
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from training_processes import (
    MODEL,
    TRAINING,
    free_port,
    start,
    train_all,
    train_as_rank,
    train_until_killed,
    weights_of,
)

from napari_gimp.gimp.state import Keeper, read_state, write_state
from napari_gimp.gimp.steps import Step, mean_step
from napari_gimp.settings import InputError


def test_a_state_comes_back_as_it_was(tmp_path):
    state = {
        "tensors": {0: torch.arange(3), "same": torch.ones(2, 2).T, "scalar": torch.tensor(0.1)},
        "numbers": [1, 0.1 + 0.2, math.inf, None, True, "text"],
        "empty": {},
    }
    write_state(tmp_path / "s", state)
    found = read_state(tmp_path / "s")
    assert found["numbers"] == state["numbers"]
    assert found["empty"] == {}
    assert list(found["tensors"]) == [0, "same", "scalar"]
    for name, value in state["tensors"].items():
        assert torch.equal(found["tensors"][name], value)


@pytest.mark.parametrize("content", [b"", b"not a state", b"\x08\0\0\0\0\0\0\0{}      "])
def test_something_else_is_refused(tmp_path, content):
    (tmp_path / "s").write_bytes(content)
    with pytest.raises(InputError, match="expected the running state of a training"):
        Keeper(tmp_path / "s", resume=True)
    assert Keeper(tmp_path / "s").history == []  # without resume it is to be overwritten


def keep(path, run, stage="genes"):
    keeper = Keeper(path, run)
    keeper.begin(stage)
    keeper.note(Step(stage, 1, 1, 1, 0.5, {"accuracy": math.nan}))
    keeper.end_epoch(stage, {"epoch": 1})
    return keeper


def test_another_runs_state_is_refused_by_name_of_what_differs(tmp_path):
    keep(tmp_path / "s", {"seed": 0, "cases": ["a", "b"], "sizes": (1, 2)})
    with pytest.raises(InputError, match=r"differs in cases, seed\)"):
        Keeper(tmp_path / "s", {"seed": 1, "cases": ["a"], "sizes": (1, 2)}, resume=True)
    again = Keeper(tmp_path / "s", {"seed": 0, "cases": ["a", "b"], "sizes": (1, 2)}, resume=True)
    assert (again.position_saved, len(again.history)) == (0, 1)
    with pytest.raises(InputError, match="expected a training in stage pretrain, found genes"):
        again.begin("pretrain")
    again.remove()
    assert not list(tmp_path.iterdir())


def test_stages_before_the_kept_one_are_over_and_those_behind_it_new(tmp_path):
    keeper = Keeper(tmp_path / "s")
    for stage in ("genes", "pretrain"):
        keeper.begin(stage)
        keeper.note(Step(stage, 1, 1, 1, 0.5))
        keeper.end_epoch(stage, {"epoch": 1})
    again = Keeper(tmp_path / "s", resume=True)
    found = [again.begin(stage) for stage in ("genes", "pretrain", "finetune")]
    assert found == [{"over": True}, {"epoch": 1, "over": False}, {}]


def test_the_mean_of_an_epoch_leaves_nan_out():
    steps = [Step("pretrain", 1, i, 3, float(i), {"active": active}) for i, active in enumerate((1.0, math.nan, 0.5))]
    found = mean_step(steps)
    assert (found.step, found.total, found.losses["active"]) == (2, 1.0, 0.75)
    assert math.isnan(mean_step(steps[1:2]).losses["active"])


MOMENTS = [
    "genes 2",  # before anything was kept
    "genes 7",
    "genes write 3",  # the file half written
    "genes 12",  # the stage's last step
    "labels 8",
    "pretrain write 2",
    "pretrain 14",
    "finetune 3",
    "finetune write 2",
    "finetune 13",
    "decoder 1",
]


def test_a_training_killed_again_and_again_ends_with_the_same_weights_to_the_bit(tmp_path):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    whole = Keeper()
    model, steps = train_all(whole)
    expected, path = weights_of(model), tmp_path / "state.safetensors"
    assert {step.stage for step in steps} == {"genes", "labels", "pretrain", "finetune", "decoder"}
    for moment in MOMENTS:
        process = start(train_until_killed, path, moment)
        process.join(60)
        assert process.exitcode == -signal.SIGKILL, moment
    last = Keeper(path, resume=True)
    found, rest = train_all(last)
    torch.set_num_threads(threads)
    assert 0 < len(rest) < len(steps) / 2
    assert set(expected) == set(weights_of(found))
    for name, value in weights_of(found).items():
        assert torch.equal(value, expected[name]), name
    assert str(last.history) == str(whole.history)  # as text, since NaN is not itself
    assert not [left for left in tmp_path.iterdir() if left != path]


def test_patience_and_the_best_weights_are_remembered(tmp_path):
    training = replace(TRAINING, epochs_genes=0, epochs_pretrain=0, epochs_decoder=0, lr_finetune=0.5, patience=1)
    model, steps = train_all(Keeper(tmp_path / "s"), training)
    assert steps[-1].epoch < training.epochs_finetune
    again, more = train_all(Keeper(tmp_path / "s", resume=True), training)
    assert more == []
    for name, value in weights_of(again).items():
        assert torch.equal(value, weights_of(model)[name]), name


def test_two_processes_do_what_one_does(tmp_path):
    """Gloo on the CPU; batches of 5 split as 3 and 2, triplets over the whole batch; dropout is each process's own."""
    config = replace(MODEL, dropout=0.0)
    training = replace(TRAINING, lr_finetune=1e-3, separate_weight=0.5, normalise=True)  # else triplets feel no bias
    port = free_port()
    processes = [start(train_as_rank, rank, 2, port, tmp_path, training, config) for rank in range(2)]
    model, steps = train_all(None, training, config)
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    ranks = [load_file(tmp_path / f"rank{rank}.safetensors") for rank in range(2)]
    losses = ranks[0].pop("losses").numpy()
    np.testing.assert_allclose(losses, [step.total for step in steps], rtol=1e-4, atol=1e-5)
    assert not len(ranks[1].pop("losses"))  # only the first process speaks
    for name, value in weights_of(model).items():
        assert torch.equal(ranks[0][name], ranks[1][name]), name
        felt = torch.ones(len(value), dtype=torch.bool) if value.dim() else torch.tensor(True)
        if name.endswith("qkv.bias"):  # softmax does not feel the keys' bias: Adam makes steps of its rounding errors
            felt[MODEL.d : 2 * MODEL.d] = False
        torch.testing.assert_close(ranks[0][name][felt], value[felt], atol=1e-5, rtol=1e-5, msg=name)
    kept = Keeper(tmp_path / "state.safetensors", resume=True)
    assert len(kept.history) == len({(step.stage, step.epoch) for step in steps})
