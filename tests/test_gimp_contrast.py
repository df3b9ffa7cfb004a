"""Bags of one site told apart: the loss by hand, batches of groups, and halves that share no patch."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from napari_gimp.gimp.batches import grouped_batches
from napari_gimp.gimp.contrast import two_halves, within_groups
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


def test_batches_hold_whole_groups() -> None:
    groups = np.repeat([0, 1, 2, 3], [10, 3, 8, 12])
    batches = list(grouped_batches(groups, np.ones(33), 8, 4, torch.Generator().manual_seed(0)))
    assert len(batches) == 5
    for batch in batches:
        assert len(batch) == len(set(batch)) == 8
        held = np.bincount(groups[batch], minlength=4)
        assert sorted(held.tolist()) == [0, 0, 4, 4]
        assert held[1] == 0  # too few cases


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
