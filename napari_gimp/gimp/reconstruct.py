"""Masked reconstruction of a slide: how surprising is each patch, given its neighbours (METHOD section 8)?

The bag is cut into equal windows of at most ``config.window`` patches. In every window each patch is hidden exactly
once per repeat, by complementary masks of the kind that training used, drawn from a seed. GiMP reconstructs
embeddings, not pixels: what can honestly be shown for "what the model expected here" is the real patch of the slide
whose embedding is nearest to the expected one.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from napari_gimp.gimp.ensemble import Ensemble
from napari_gimp.gimp.model import GiMP, ModelConfig
from napari_gimp.gimp.objectives import complementary_parts
from napari_gimp.settings import InputError

REPEATS = 2
SEED = 0
CHUNK_PATCHES = 8192


def hidden_sets(
    patches: int, config: ModelConfig, repeats: int, seed: int
) -> Iterator[tuple[slice, Int[Tensor, " n"]]]:
    """The passes of a slide: a window, and which of its patches (indices in the window) the pass hides.

    Every patch is in exactly one hidden set per repeat. The same numbers give the same passes.
    """
    generator = torch.Generator().manual_seed(seed)
    windows = -(-patches // config.window)
    for _ in range(repeats):
        for k in range(windows):
            window = slice(k * patches // windows, (k + 1) * patches // windows)
            parts = complementary_parts(window.stop - window.start, config.mask, config.mask_ratio, generator)
            for part in range(int(parts.max()) + 1):
                yield window, (parts == part).nonzero()[:, 0]


def reconstruction_error(
    model: GiMP | Ensemble,
    embeddings: Float[np.ndarray, "N D"],
    cells: Int[np.ndarray, "N 2"],
    *,
    error: Literal["l1", "cosine"] = "l1",
    repeats: int = REPEATS,
    seed: int = SEED,
) -> Generator[tuple[int, int], None, Float[np.ndarray, " N"]]:
    """Error (N,) float32 of each patch when it is hidden, averaged over the repeats.

    Parameters
    ----------
    model
        In evaluation mode, on the device that shall compute. Several members expect what they expect on average.
    embeddings, cells
        Raw embeddings of the whole bag and the grid row and column of each patch.
    error
        ``l1``: mean absolute difference of standardised embeddings, as trained; ``cosine``: 1 - cosine, 0 to 2.
    repeats, seed
        Passes over the slide with other masks, and what they are drawn from.

    Yields
    ------
    (patches hidden so far, patches to hide); the array is the generator's return value.

    Raises
    ------
    InputError
        The model has no positions and so cannot tell hidden patches apart.
    """
    model.config.check_mpm()
    total, done = len(embeddings) * repeats, 0
    summed = np.zeros(len(embeddings), np.float64)
    for window, hidden in hidden_sets(len(embeddings), model.config, repeats, seed):
        expected, actual = _expected(model, embeddings[window], cells[window], hidden)
        summed[window.start + hidden.numpy()] += _errors(expected, actual, error)
        done += len(hidden)
        yield done, total
    return (summed / repeats).astype(np.float32)


def nearest_expected(
    model: GiMP | Ensemble,
    embeddings: Float[np.ndarray, "N D"],
    cells: Int[np.ndarray, "N 2"],
    patch: int,
    *,
    repeats: int = REPEATS,
    seed: int = SEED,
) -> int:
    """Index of the slide's real patch whose embedding is nearest to what the model expected at ``patch``.

    The expectation is the mean over the repeats of the passes behind `reconstruction_error` with the same seed;
    nearest in L1 of standardised embeddings, as trained. The patch itself is a candidate: when it is the answer, the
    model expected just what is there. One patch on demand costs a pass per repeat and one comparison with N patches.

    Raises
    ------
    InputError
        No such patch, or a model without positions.
    """
    if not 0 <= patch < len(embeddings):
        raise InputError(f"Expected a patch from 0 to {len(embeddings) - 1}, found {patch}.")
    model.config.check_mpm()
    expected = []
    for window, hidden in hidden_sets(len(embeddings), model.config, repeats, seed):
        here = (hidden == patch - window.start).nonzero()[:, 0]
        if len(here):
            expected.append(_expected(model, embeddings[window], cells[window], hidden)[0][here])
    return _nearest(model, embeddings, torch.cat(expected).mean(0))


@torch.inference_mode()
def _expected(
    model: GiMP | Ensemble,
    embeddings: Float[np.ndarray, "n D"],
    cells: Int[np.ndarray, "n 2"],
    hidden: Int[Tensor, " h"],
) -> tuple[Float[Tensor, "h D"], Float[Tensor, "h D"]]:
    """Expected and actual standardised embeddings of the hidden patches of one window."""
    device = model.device
    bag = torch.from_numpy(np.ascontiguousarray(embeddings)).to(device)[None]
    places = torch.from_numpy(np.ascontiguousarray(cells)).to(device)[None]
    hidden = hidden.to(device)
    masked = torch.zeros(bag.shape[:2], dtype=torch.bool, device=device)
    masked[0, hidden] = True
    predicted = [member(bag, places, masked=masked).predicted[0, hidden].float() for member in model.members]
    return torch.stack(predicted).mean(0), model.members[0].standardised(bag[0, hidden])


def _errors(
    expected: Float[Tensor, "h D"], actual: Float[Tensor, "h D"], error: Literal["l1", "cosine"]
) -> Float[np.ndarray, " h"]:
    l1 = error == "l1"
    values = (expected - actual).abs().mean(1) if l1 else 1 - F.cosine_similarity(expected, actual, dim=1)
    found: np.ndarray = values.cpu().numpy()
    return found


@torch.inference_mode()
def _nearest(model: GiMP | Ensemble, embeddings: Float[np.ndarray, "N D"], expected: Float[Tensor, " D"]) -> int:
    distances = []
    for start in range(0, len(embeddings), CHUNK_PATCHES):
        chunk = torch.from_numpy(np.ascontiguousarray(embeddings[start : start + CHUNK_PATCHES])).to(expected.device)
        distances.append((model.members[0].standardised(chunk) - expected).abs().mean(1))
    return int(torch.cat(distances).argmin())
