"""Bags of one site told apart: the loss by hand, batches of groups, and halves that share no patch."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from training_processes import MODEL, TRAINING, free_port, start, train_all, train_as_rank, weights_of

from napari_gimp.gimp.batches import grouped_batches
from napari_gimp.gimp.contrast import two_halves, within_groups
from napari_gimp.gimp.loop import Cases
from napari_gimp.gimp.model import GiMP, ModelConfig
from napari_gimp.gimp.train import TrainConfig, make_fabric, pretrain_labels
from napari_gimp.types import Sample


def test_only_the_own_group_competes() -> None:
    one = torch.tensor([[3.0, 0], [0, 2], [1, 0]])
    two = torch.tensor([[1.0, 0], [0, 1], [0, 5]])
    losses = within_groups(one, two, torch.tensor([0, 0, 1]), 0.5)
    hit = float(np.log(np.exp(2) + np.exp(0)) - 2)  # cosine 1 against cosine 0, over 0.5
    torch.testing.assert_close(losses, torch.tensor([hit, hit, 0.0]))


@given(st.integers(1, 60), st.integers(2, 40), st.integers(0, 9))
def test_halves_share_no_patch(patches: int, limit: int, seed: int) -> None:
    first, second = two_halves(patches, limit, torch.Generator().manual_seed(seed))
    both = np.concatenate([first, second])
    assert both.min() >= 0
    assert both.max() < patches
    if patches == 1:
        assert first.tolist() == second.tolist() == [0]
        return
    assert len(both) == len(set(both.tolist())) == min(patches, limit)
    assert 0 <= len(first) - len(second) <= 1
    assert (np.diff(first) > 0).all()


def test_batches_hold_several_cases_of_a_group() -> None:
    groups = np.repeat([0, 1, 2, 3], [10, 3, 8, 12])
    batches = list(grouped_batches(groups, np.ones(33), 8, 4, torch.Generator().manual_seed(0)))
    assert len(batches) == 5
    for batch in batches:
        assert len(batch) == len(set(batch)) == 8
        held = np.bincount(groups[batch], minlength=4)
        assert sorted(held.tolist()) in ([0, 0, 4, 4], [0, 1, 3, 4])  # group 1 whole, the next one cut off
        assert held[1] <= 3


def test_cases_of_small_groups_are_drawn_as_often_as_others() -> None:
    """Eight groups of 10 and twenty cases alone in theirs: nobody is left out, nobody is preferred."""
    groups = np.r_[np.repeat(np.arange(8), 10), np.arange(8, 28)]
    drawn: list[int] = []
    for _ in range(200):
        drawn += [case for batch in grouped_batches(groups, np.ones(100), 8, 4, GENERATOR) for case in batch]
    often = np.bincount(drawn, minlength=100) / (len(drawn) / 100)
    assert often[80:].mean() == pytest.approx(1.0, abs=0.25)
    assert often.min() > 0.6


def test_few_groups_fill_a_batch_all_the_same() -> None:
    groups = np.repeat([0, 1, 2], [20, 3, 1])
    (batch, *_) = grouped_batches(groups, np.ones(24), 12, 4, GENERATOR)
    assert np.bincount(groups[batch]).tolist() == [8, 3, 1]


def test_case_weights_that_count_in_the_loss_draw_nobody_more_often() -> None:
    """Else they would count twice."""
    groups, weights = np.repeat([0, 1], 50), np.repeat([1.0, 9.0], 50)
    cases = Cases([], groups, weights, groups)
    config = TrainConfig(weigh="loss", batch_size=5, contrast_group=5)
    drawn = [groups[batch[0]] for _ in range(20) for batch in cases.epoch(config, GENERATOR)]
    assert np.mean(drawn) == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize(
    ("sites", "contrasts"), [([8, 8], True), ([16], True), ([15, 1], False), ([3] * 5 + [1], False)]
)
def test_groups_compete_only_where_two_classes_have_large_ones(sites: list[int], contrasts: bool) -> None:
    """Class 1 has one large group and class 0 what is said: else every batch would hold one class."""
    site = np.r_[np.repeat(np.arange(len(sites)), sites), np.full(16, 99)]
    labels = np.r_[np.zeros(16, int), np.ones(16, int)]
    config = TrainConfig(contrast_weight=1.0, contrast_group=16 if sites[0] > 8 else 8, epochs_pretrain=1)
    rng, places = np.random.default_rng(0), np.array([[0, 0], [0, 1]])
    samples = [
        Sample(f"c{i}", rng.normal(size=(2, 8)).astype(np.float32), places, None, int(labels[i])) for i in range(32)
    ]
    model = GiMP(ModelConfig(d=16, heads=2, layers=1, fusion="sum"), embedding_dim=8, genes=0, classes=2)
    tools = (config, make_fabric("cpu"), torch.Generator().manual_seed(0))
    steps = list(pretrain_labels(model, samples, labels, *tools, groups=site))
    assert ("contrast" in steps[0].losses) is contrasts
    assert {step.stage for step in steps} == {"labels"}


def test_two_processes_compare_what_one_does(tmp_path: Path) -> None:
    """Batches of 5 split as 3 and 2: bags compete with those of the other process too."""
    training = replace(
        TRAINING, contrast_weight=1.0, contrast_group=3, epochs_genes=0, epochs_finetune=0, epochs_decoder=0
    )
    config, port = replace(MODEL, dropout=0.0), free_port()
    training = replace(training, reconstruction_weight=0.0, triplet_weight=0.0)
    processes = [start(train_as_rank, rank, 2, port, tmp_path, training, config) for rank in range(2)]
    model, steps = train_all(None, training, config)
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    assert all("contrast" in step.losses for step in steps if step.stage == "labels")
    found = load_file(tmp_path / "rank0.safetensors")
    np.testing.assert_allclose(found.pop("losses").numpy(), [step.total for step in steps], rtol=1e-4, atol=1e-5)
    for name, value in weights_of(model).items():
        if not name.endswith("qkv.bias"):  # see test_gimp_state
            torch.testing.assert_close(found[name], value, atol=1e-5, rtol=1e-5, msg=name)


def test_a_group_is_drawn_by_the_weight_of_its_cases() -> None:
    groups, weights = np.repeat([0, 1], 50), np.repeat([1.0, 3.0], 50)
    drawn = [groups[b[0]] for _ in range(20) for b in grouped_batches(groups, weights, 5, 5, GENERATOR)]
    assert np.mean(drawn) == pytest.approx(0.75, abs=0.07)


GENERATOR = torch.Generator().manual_seed(1)


def test_training_finds_what_is_not_the_site() -> None:
    """Class and site are told by loud dimensions; a slide is known by quiet ones, the same in all its patches."""
    rng = np.random.default_rng(0)
    samples, labels, groups = [], [], []
    for case in range(64):
        label, site = case % 2, case // 2 % 2
        slide = np.concatenate([np.zeros(4), rng.normal(size=4)])
        loud = np.array([4 * label - 2, 0, 4 * site - 2, 0, 0, 0, 0, 0])
        patches = (loud + slide + 0.3 * rng.normal(size=(10, 8))).astype(np.float32)
        cells = np.stack([np.zeros(10), np.arange(10)], axis=1).astype(np.int64)
        samples.append(Sample(f"c{case}", patches, cells, None, label))
        labels.append(label)
        groups.append(2 * label + site)
    config = TrainConfig(epochs_pretrain=40, lr_pretrain=5e-3, batch_size=32, contrast_weight=1.0, schedule="one-cycle")
    torch.manual_seed(0)
    model = GiMP(ModelConfig(d=16, heads=2, layers=1, fusion="sum"), embedding_dim=8, genes=0, classes=2)
    tools = (config, make_fabric("cpu"), torch.Generator().manual_seed(0))
    steps = list(pretrain_labels(model, samples, np.array(labels), *tools, groups=np.array(groups)))
    first, last = steps[0].losses, steps[-1].losses
    assert last["accuracy"] == 1.0
    assert last["contrast"] < 0.5 * first["contrast"]
