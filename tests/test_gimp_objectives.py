"""Windows, masks, the reconstruction loss and triplets: by hand and as properties."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from napari_gimp.gimp.objectives import (
    complementary_parts,
    crop_window,
    draw_partners,
    mask_patches,
    reconstruction_loss,
    repeat_window,
    tie_copies,
    triplet_loss,
    triplet_margin,
)

KINDS = st.sampled_from(["random", "contiguous"])


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@given(st.integers(1, 300), st.integers(2, 97), st.integers(0, 99))
def test_window_is_a_contiguous_part_of_the_bag(length: int, window: int, seed: int) -> None:
    index = crop_window(length, window, seeded(seed))
    assert len(index) == min(length, window)
    assert (index.diff() == 1).all()
    assert index[0] >= 0
    assert index[-1] < length


def test_every_window_is_drawn() -> None:
    generator = seeded()
    assert {int(crop_window(7, 5, generator)[0]) for _ in range(60)} == {0, 1, 2}


def test_short_bags_repeat_and_copies_share_their_mask() -> None:
    source = repeat_window(3, 7)
    assert source.tolist() == [0, 1, 2, 0, 1, 2, 0]
    tied = tie_copies(torch.tensor([[False, True, False]]), source[None])
    assert tied.tolist() == [[False, True, False, False, True, False, False]]


@given(
    st.lists(st.integers(0, 41), min_size=1, max_size=4), KINDS, st.sampled_from([0.5, 0.3, 0.75]), st.integers(0, 99)
)
def test_masks_hide_exactly_their_share_and_never_padding(
    lengths: list[int], kind: str, ratio: float, seed: int
) -> None:
    padding = torch.stack([torch.randperm(41, generator=seeded(seed + i)) >= n for i, n in enumerate(lengths)])
    masked = mask_patches(padding, kind, ratio, seeded(seed))
    assert not (masked & padding).any()
    for row, pads, real in zip(masked, padding, lengths, strict=True):
        assert int(row.sum()) == max(math.floor(real * ratio), int(real > 1))
        if kind == "contiguous":
            places = row[~pads].nonzero()[:, 0]
            assert (places.diff() == 1).all()
    assert torch.equal(masked, mask_patches(padding, kind, ratio, seeded(seed)))


@pytest.mark.parametrize("kind", ["random", "contiguous"])
def test_exactly_half_of_the_papers_window(kind: str) -> None:
    masked = mask_patches(torch.zeros(3, 6000, dtype=torch.bool), kind, 0.5, seeded())
    assert masked.sum(1).tolist() == [3000] * 3
    assert not torch.equal(masked[0], masked[1])
    blocks = (masked[0].int().diff() == 1).sum()
    assert blocks <= 1 if kind == "contiguous" else blocks > 1000


@pytest.mark.parametrize("kind", ["random", "contiguous"])
def test_every_position_is_masked_sometimes(kind: str) -> None:
    masked = mask_patches(torch.zeros(400, 7, dtype=torch.bool), kind, 0.5, seeded())
    assert masked.any(0).all()
    if kind == "random":
        torch.testing.assert_close(masked.float().mean(0), torch.full((7,), 3 / 7), atol=0.1, rtol=0)


@given(st.integers(1, 200), KINDS, st.sampled_from([0.5, 0.25, 0.9]), st.integers(0, 99))
def test_parts_split_a_window_evenly(length: int, kind: str, ratio: float, seed: int) -> None:
    parts = complementary_parts(length, kind, ratio, seeded(seed))
    sizes = parts.bincount()
    assert len(sizes) == min(length, 4 if ratio == 0.25 else 2)
    assert sizes.max() - sizes.min() <= 1
    if kind == "contiguous":  # around the window's ends, a part is one block
        borders = (parts != parts.roll(1)).sum()
        assert borders == (len(sizes) if len(sizes) > 1 else 0)


def test_reconstruction_loss_by_hand() -> None:
    predicted = torch.tensor([[[1.0, 2], [9, 9], [0, 0]]], requires_grad=True)
    target = torch.tensor([[[0.0, 4], [0, 0], [0, 1]]])
    loss = reconstruction_loss(predicted, target, torch.tensor([[True, False, True]]))
    loss.backward()
    assert loss.item() == 1.0  # (1 + 2 + 0 + 1) / 4
    assert predicted.grad[0].tolist() == [[0.25, -0.25], [0, 0], [0, -0.25]]
    assert reconstruction_loss(predicted, target, torch.zeros(1, 3, dtype=torch.bool)).item() == 0.0
    part = reconstruction_loss(predicted, target, torch.tensor([[True, False, True]]), 8.0)
    torch.testing.assert_close(part, loss / 4)


LINE = torch.tensor([[0.0], [1.0], [1.5], [4.0]])
LABELS = torch.tensor([0, 0, 1, 1])


def test_hard_triplets_by_hand() -> None:
    """Anchors at 0, 1, 1.5, 4: losses 1-1.5+.8, 1-.5+.8, 2.5-.5+.8, 2.5-3+.8."""
    found = triplet_loss(LINE, LABELS)
    torch.testing.assert_close(found.loss, torch.tensor((0.3 + 1.3 + 2.8 + 0.3) / 4))
    assert (found.active, found.anchors) == (1.0, 4)
    apart = triplet_loss(LINE, LABELS, margin=0.4)
    assert apart.active == 0.5


def test_random_triplets_average_to_all_of_them() -> None:
    """Each anchor has one positive here and two negatives: the mean over draws is the mean over negatives."""
    generator = seeded()
    drawn = [draw_partners(LABELS, generator) for _ in range(2000)]
    losses = torch.stack([triplet_loss(LINE, LABELS, partners).loss for partners in drawn])
    by_anchor = [(0.3 + 0) / 2, (1.3 + 0) / 2, (1.8 + 2.8) / 2, (0 + 0.3) / 2]
    torch.testing.assert_close(losses.mean(), torch.tensor(sum(by_anchor) / 4), atol=0.03, rtol=0)
    assert torch.equal(draw_partners(LABELS, seeded(4)), draw_partners(LABELS, seeded(4)))


@given(st.lists(st.integers(-1, 3), min_size=1, max_size=9), st.sampled_from(["random", "hard"]), st.integers(0, 99))
def test_triplets_agree_with_a_slow_reference(labels: list[int], kind: str, seed: int) -> None:
    x, drawn = torch.randn(len(labels), 5, generator=seeded(seed)), draw_partners(torch.tensor(labels), seeded(seed))
    losses = []
    for i, label in enumerate(labels):
        same = [j for j, other in enumerate(labels) if j != i and other == label >= 0]
        rest = [j for j, other in enumerate(labels) if other >= 0 and label >= 0 and other != label]
        positive, negative = drawn[i].tolist()
        assert positive in (same or [i])
        assert negative in (rest or [i])
        if not same or not rest:
            continue
        apart = [float((x[i] - x[j]).norm()) for j in range(len(labels))]
        towards = apart[positive] if kind == "random" else max(apart[j] for j in same)
        away = apart[negative] if kind == "random" else min(apart[j] for j in rest)
        losses.append(max(towards - away + 0.8, 0))
    found = triplet_loss(x, torch.tensor(labels), drawn if kind == "random" else None)
    assert int(found.anchors) == len(losses)
    assert float(found.loss) == pytest.approx(sum(losses) / max(1, len(losses)), abs=1e-5)
    if losses:
        assert float(found.active) == pytest.approx(sum(loss > 0 for loss in losses) / len(losses))


def test_triplets_normalised_lie_on_the_sphere() -> None:
    x = torch.tensor([[3.0, 0], [5, 0], [0, 7]])
    labels = torch.tensor([0, 0, 1])
    found = triplet_loss(x, labels, normalise=True, margin=1.5)
    torch.testing.assert_close(found.loss, torch.tensor(1.5 - math.sqrt(2)))
    assert found.anchors == 2


@pytest.mark.parametrize("kind", ["random", "hard"])
@pytest.mark.parametrize("labels", [[0, 0, 0], [0, 1, 2], [-1, -1, 0]])
def test_a_batch_without_triplets_costs_nothing(labels: list[int], kind: str) -> None:
    x = torch.randn(3, 5, requires_grad=True)
    partners = draw_partners(torch.tensor(labels), seeded()) if kind == "random" else None
    found = triplet_loss(x, torch.tensor(labels), partners)
    found.loss.backward()
    assert (found.loss.item(), found.anchors) == (0.0, 0)
    assert found.active.isnan()
    assert (x.grad == 0).all()


def test_unlabelled_cases_are_no_negatives_and_equal_ones_have_a_gradient() -> None:
    x = torch.tensor([[0.0], [0], [100], [0.25]], requires_grad=True)
    found = triplet_loss(x, torch.tensor([0, 0, -1, 1]))
    found.loss.backward()
    torch.testing.assert_close(found.loss.detach(), torch.tensor(0.55))
    assert x.grad.isfinite().all()
    assert float(x.grad[2]) == 0


def test_margin_by_hand() -> None:
    assert float(triplet_margin(LINE, LABELS)) == pytest.approx((1.5 + 4 + 0.5 + 3) / 4 - (1 + 2.5) / 2)
    assert math.isnan(triplet_margin(LINE, torch.zeros(4, dtype=torch.long)))
