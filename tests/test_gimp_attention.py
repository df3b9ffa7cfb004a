"""Nystrom attention against exact attention, against slow references, and against padding."""

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_gimp.gimp.attention import Attention, NystromAttention, in_chunks, pseudo_inverse, segment_means

D, HEADS = 12, 3


def attention(landmarks: int, iterations: int = 6, exact_up_to: int = 0) -> NystromAttention:
    torch.manual_seed(5)
    return NystromAttention(D, HEADS, landmarks, iterations, exact_up_to).eval()


def bag(length: int, batch: int = 1) -> torch.Tensor:
    return torch.randn(batch, 1 + length, D, generator=torch.Generator().manual_seed(length))


def slow_nystrom(module: NystromAttention, tokens: torch.Tensor, landmarks: int) -> tuple[torch.Tensor, torch.Tensor]:
    """One bag (T, d) without padding: every matrix written out, loops over heads and segments, float64."""
    x = tokens.double()
    edges = [math.ceil(k * (len(x) - 1) / landmarks) for k in range(landmarks + 1)]
    means = torch.stack([x[0], *(x[1:][a:b].mean(0) for a, b in pairwise(edges))])
    weight, bias = module.qkv.weight.double(), module.qkv.bias.double()
    e, outs, rows = D // HEADS, [], []
    for h in range(HEADS):
        q, k, v = ((x @ weight[s].T + bias[s]) for s in (slice(i * D + h * e, i * D + (h + 1) * e) for i in range(3)))
        q_m, k_m = ((means @ weight[s].T + bias[s]) for s in (slice(i * D + h * e, i * D + h * e + e) for i in (0, 1)))
        left, middle, right = ((a @ b.T / e**0.5).softmax(1) for a, b in ((q, k_m), (q_m, k_m), (q_m, k)))
        inverse = middle.T / (middle.sum(0).max() * middle.sum(1).max())
        eye = torch.eye(len(middle)).double()
        for _ in range(module.iterations):
            mz = middle @ inverse
            inverse = inverse @ (13 * eye - mz @ (15 * eye - mz @ (7 * eye - mz))) / 4
        full = left @ inverse @ right
        outs.append(full @ v)
        rows.append(full[0])
    return torch.cat(outs, 1) @ module.out.weight.double().T + module.out.bias.double(), torch.stack(rows)


@pytest.mark.parametrize(("length", "landmarks"), [(47, 7), (31, 31), (5, 2)])
def test_nystrom_equals_its_definition_written_out(length: int, landmarks: int) -> None:
    module, tokens = attention(landmarks), bag(length)
    with torch.no_grad():
        attended, row = module(tokens)
        expected, expected_row = slow_nystrom(module, tokens[0], landmarks)
    torch.testing.assert_close(attended[0].double(), expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(row[0].double(), expected_row, atol=1e-5, rtol=0)


@pytest.mark.parametrize("iterations", [20, 25, 40])
@pytest.mark.parametrize("landmarks", [47, 64])
def test_with_a_landmark_per_patch_and_20_iterations_nystrom_is_exact(landmarks: int, iterations: int) -> None:
    tokens = bag(47)
    with torch.no_grad():
        exact, exact_row = attention(landmarks).exact(tokens, None)
        near, near_row = attention(landmarks, iterations)(tokens)
        rough, _ = attention(landmarks, 2)(tokens)
    assert (near - exact).abs().max() < 1e-4
    assert (near_row - exact_row).abs().max() < 1e-4
    assert (rough - exact).abs().max() > 1e-3  # the exact path is off: too few iterations show


def test_exact_attention_by_hand() -> None:
    """Keys 0 and log 3 along the query: weights 1/4 and 3/4, values 0 and 8 -> 6."""
    module = Attention(1, 1)
    with torch.no_grad():
        module.qkv.weight.zero_()
        module.qkv.bias.copy_(torch.tensor([1.0, 0.0, 0.0]))
        module.qkv.weight.copy_(torch.tensor([[0.0], [math.log(3)], [8.0]]))
        module.out.weight.fill_(1.0)
        module.out.bias.zero_()
        attended, row = module(torch.tensor([[[0.0], [1.0]]]))
    torch.testing.assert_close(attended, torch.full((1, 2, 1), 6.0))
    torch.testing.assert_close(row, torch.tensor([[[0.25, 0.75]]]))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 23), st.integers(0, 11), st.integers(1, 9), st.sampled_from([0, 8, 100]), st.integers(0, 99))
def test_padding_anywhere_changes_nothing(length: int, pads: int, landmarks: int, exact_up_to: int, seed: int) -> None:
    module, tokens = attention(landmarks, exact_up_to=exact_up_to), bag(length)
    generator = torch.Generator().manual_seed(seed)
    places = torch.randperm(length + pads, generator=generator)[:length].sort().values + 1
    places = torch.cat([torch.zeros(1, dtype=torch.long), places])
    padded = torch.randn(1, 1 + length + pads, D, generator=generator) * 50
    padded[:, places] = tokens
    padding = torch.ones(1, 1 + length + pads, dtype=torch.bool)
    padding[:, places] = False
    with torch.no_grad():
        attended, row = module(tokens)
        attended_padded, row_padded = module(padded, padding)
    torch.testing.assert_close(attended_padded[:, places], attended, atol=1e-5, rtol=0)
    torch.testing.assert_close(row_padded[..., places], row, atol=1e-5, rtol=0)
    assert (row_padded[..., padding[0]] == 0).all()


def test_a_batch_partner_decides_nothing() -> None:
    """Exact or Nystrom depends on a bag's own real patches, not on the longest bag beside it."""
    module, tokens = attention(4, exact_up_to=10), bag(19, batch=3)
    padding = torch.zeros(3, 20, dtype=torch.bool)
    padding[0, 11:] = True
    padding[2, 8:] = True
    with torch.no_grad():
        together, rows = module(tokens, padding)
        for b, path in enumerate((module.exact, module.nystrom, module.exact)):
            real = ~padding[b]
            alone, row = path(tokens[b : b + 1, real], None)
            torch.testing.assert_close(together[b, real], alone[0], atol=1e-5, rtol=0)
            torch.testing.assert_close(rows[b][:, real], row[0], atol=1e-5, rtol=0)


def test_segment_means_by_hand() -> None:
    tokens = torch.tensor([100.0, 1, 2, 3, 4, 5, 6, 7]).view(1, 8, 1)
    means, exists = segment_means(tokens, None, 3)
    assert means.flatten().tolist() == [100, 2, 4.5, 6.5]
    assert exists.all()
    padding = torch.tensor([[False, False, True, False, True, True, True, True]])
    means, exists = segment_means(tokens, padding, 3)
    assert means.flatten().tolist() == [100, 1, 3, 0]
    assert exists.tolist() == [[True, True, True, False]]


def test_pseudo_inverse_equals_the_svd_and_keeps_zero_rows() -> None:
    logits = torch.randn(2, 3, 7, 7, generator=torch.Generator().manual_seed(1), dtype=torch.float32)
    matrix = logits.softmax(-1)
    matrix[0, :, 5:], matrix[0, :, :, 5:] = 0, 0
    found = pseudo_inverse(matrix, 30)
    torch.testing.assert_close(found, torch.linalg.pinv(matrix.double()), atol=1e-8, rtol=1e-8)
    assert (found[0, :, 5:] == 0).all()
    assert (found[0, :, :, 5:] == 0).all()
    torch.testing.assert_close(pseudo_inverse(matrix[1:, 2:], 30), found[1:, 2:])  # nobody else's scale matters


def test_chunks_are_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_gimp.gimp.attention.CHUNK_TOKENS", 5)
    tokens = bag(12)
    torch.testing.assert_close(in_chunks(torch.sin, tokens), tokens.sin())
