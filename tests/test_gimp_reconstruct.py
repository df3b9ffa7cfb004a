"""Masked reconstruction at inference: each patch hidden once, errors against a slow loop, the expected patch."""

from collections.abc import Generator
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from napari_gimp.gimp.model import GiMP, ModelConfig
from napari_gimp.gimp.reconstruct import hidden_sets, nearest_expected, reconstruction_error
from napari_gimp.settings import InputError

N, D = 43, 5
SMALL = ModelConfig(d=8, heads=2, layers=1, landmarks=7, exact_up_to=0, head_hidden=3, window=17)
EMBEDDINGS = np.random.default_rng(0).normal(2, 3, (N, D)).astype(np.float32)
CELLS = np.stack([np.arange(N) // 7, np.arange(N) % 7], axis=1)


def small(**changes: object) -> GiMP:
    torch.manual_seed(1)
    model = GiMP(replace(SMALL, **changes), embedding_dim=D, genes=0, classes=2).eval()
    model.set_scaling(embedding_mean=torch.full((D,), 2.0), embedding_sd=torch.full((D,), 3.0))
    return model


def that_always_expects(embedding: np.ndarray) -> GiMP:
    model = small()
    with torch.no_grad():
        model.decoder[1].weight.zero_()
        model.decoder[1].bias.copy_(model.standardised(torch.from_numpy(embedding)))
    return model


def drain(work: Generator[tuple[int, int], None, np.ndarray]) -> tuple[list[tuple[int, int]], np.ndarray]:
    told = []
    while True:
        try:
            told.append(next(work))
        except StopIteration as end:
            return told, end.value


@given(
    st.integers(0, 130), st.integers(4, 37), st.sampled_from(["random", "contiguous"]),
    st.sampled_from([0.5, 0.2, 0.9]), st.integers(1, 3), st.integers(0, 9),
)  # fmt: skip
def test_each_patch_is_hidden_exactly_once_per_repeat(
    patches: int, window: int, mask: str, ratio: float, repeats: int, seed: int
) -> None:
    config = replace(SMALL, window=window, mask=mask, mask_ratio=ratio)
    times = np.zeros(patches, int)
    for span, hidden in hidden_sets(patches, config, repeats, seed):
        assert span.stop - span.start <= window
        assert len(hidden) < span.stop - span.start or patches == 1
        times[span.start + hidden.numpy()] += 1
    assert (times == repeats).all()


def test_windows_are_equal_and_repeats_differ() -> None:
    spans = {(span.start, span.stop) for span, _ in hidden_sets(35, replace(SMALL, window=17), 1, 0)}
    assert spans == {(0, 11), (11, 23), (23, 35)}  # not 17 + 17 + 1: a lone patch has no neighbours
    first, _, second, _ = (hidden.tolist() for _, hidden in hidden_sets(17, SMALL, 2, 0))
    assert first != second


@pytest.mark.parametrize("mask", ["random", "contiguous"])
def test_error_equals_a_slow_loop(mask: str) -> None:
    model = small(mask=mask)
    told, error = drain(reconstruction_error(model, EMBEDDINGS, CELLS, repeats=2, seed=3))
    assert told[-1] == (2 * N, 2 * N)
    assert len(told) == 2 * 2 * 3
    slow = np.zeros(N)
    for span, hidden in hidden_sets(N, model.config, 2, 3):
        window = torch.from_numpy(EMBEDDINGS[span])
        masked = torch.zeros(1, len(window), dtype=torch.bool)
        masked[0, hidden] = True
        predicted = model(window[None], torch.from_numpy(CELLS[span])[None], masked=masked).predicted.detach()
        for i in hidden.tolist():
            slow[span.start + i] += float((predicted[0, i] - (window[i] - 2) / 3).abs().mean()) / 2
    np.testing.assert_allclose(error, slow, atol=1e-5)
    assert error.dtype == np.float32


def test_a_model_that_expects_one_patch() -> None:
    model = that_always_expects(EMBEDDINGS[29])
    _, l1 = drain(reconstruction_error(model, EMBEDDINGS, CELLS))
    np.testing.assert_allclose(l1, np.abs(EMBEDDINGS - EMBEDDINGS[29]).mean(1) / 3, atol=1e-5)
    _, cosine = drain(reconstruction_error(model, EMBEDDINGS, CELLS, error="cosine"))
    z = (EMBEDDINGS - 2) / 3
    norms = np.linalg.norm(z, axis=1)
    np.testing.assert_allclose(cosine, 1 - z @ z[29] / norms / norms[29], atol=1e-5)
    assert nearest_expected(model, EMBEDDINGS, CELLS, 4) == 29
    assert nearest_expected(model, EMBEDDINGS, CELLS, 29) == 29  # the patch itself is a candidate


def expectations(model: GiMP, patch: int, repeats: int, seed: int) -> np.ndarray:
    """What the model expects at a patch, repeat by repeat."""
    expected = []
    for span, hidden in hidden_sets(N, model.config, repeats, seed):
        if patch - span.start in hidden.tolist():
            masked = torch.zeros(1, span.stop - span.start, dtype=torch.bool)
            masked[0, hidden] = True
            window, cells = torch.from_numpy(EMBEDDINGS[span])[None], torch.from_numpy(CELLS[span])[None]
            expected.append(model(window, cells, masked=masked).predicted[0, patch - span.start].detach().numpy())
    return np.stack(expected)


def test_nearest_rests_on_the_mean_of_the_passes_of_the_map() -> None:
    """Against all patches compared one by one; the first pass alone would often name another patch."""
    model = small()
    with torch.no_grad():
        model.decoder[1].weight.mul_(3)
    z, answers, firsts = (EMBEDDINGS - 2) / 3, [], []
    for patch in range(N):
        expected = expectations(model, patch, 3, 5)
        assert len(expected) == 3
        answers.append(int(np.abs(z - expected.mean(0)).sum(1).argmin()))
        firsts.append(int(np.abs(z - expected[0]).sum(1).argmin()))
    assert [nearest_expected(model, EMBEDDINGS, CELLS, patch, repeats=3, seed=5) for patch in range(N)] == answers
    assert answers != firsts


def test_one_patch_alone_and_no_patch() -> None:
    _, error = drain(reconstruction_error(small(), EMBEDDINGS[:1], CELLS[:1]))
    assert np.isfinite(error).all()
    told, empty = drain(reconstruction_error(small(), EMBEDDINGS[:0], CELLS[:0]))
    assert (told, len(empty)) == ([], 0)


def test_refusals() -> None:
    model = small(position="none")
    with pytest.raises(InputError, match="position='grid2d'"):
        next(reconstruction_error(model, EMBEDDINGS, CELLS))
    with pytest.raises(InputError, match="position='grid2d'"):
        nearest_expected(model, EMBEDDINGS, CELLS, 0)
    with pytest.raises(InputError, match="from 0 to 42, found 43"):
        nearest_expected(small(), EMBEDDINGS, CELLS, 43)


def test_seed_decides_and_nothing_global() -> None:
    state = torch.get_rng_state()
    _, first = drain(reconstruction_error(small(), EMBEDDINGS, CELLS))
    torch.set_rng_state(state)
    _, again = drain(reconstruction_error(small(), EMBEDDINGS, CELLS))
    _, other = drain(reconstruction_error(small(), EMBEDDINGS, CELLS, seed=9))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
