"""Window crop, masks, the loss of masked patch modelling and triplets: tensors and a generator in, tensors out.

Random numbers are drawn on the generator's device and moved, so that a CPU generator gives the same masks anywhere.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Generator, Tensor

from napari_gimp.gimp.config import MaskKind


def crop_window(length: int, window: int, generator: Generator) -> Int[Tensor, " W"]:
    """Indices of a random contiguous window of a bag; of the whole bag where that is not longer (METHOD 3)."""
    take = min(length, window)
    start = torch.randint(length - take + 1, (), generator=generator, device=generator.device)
    return start + torch.arange(take, device=generator.device)


def repeat_window(length: int, window: int) -> Int[Tensor, " W"]:
    """Indices that repeat a shorter bag up to the window, the paper's way with short bags."""
    return torch.arange(window) % length


def tie_copies(masked: Bool[Tensor, "B n"], source: Int[Tensor, "B N"]) -> Bool[Tensor, "B N"]:
    """The mask of a bag's own patches for their repeats, so that no copy of a hidden patch stays visible."""
    return masked.gather(1, source)


def mask_patches(
    padding: Bool[Tensor, "B N"], kind: MaskKind, ratio: float, generator: Generator
) -> Bool[Tensor, "B N"]:
    """True = hidden: ``floor(ratio x real)`` of the real positions of each bag (at least 1 of 2), never padding.

    ``random`` hides scattered positions, ``contiguous`` one block of consecutive real ones.
    """
    real = ~padding
    count = real.sum(1, keepdim=True)
    hidden = (count * ratio).floor().long().maximum((count > 1).long())
    if kind == "random":
        order = torch.rand(padding.shape, generator=generator, device=generator.device).to(padding.device)
        rank = order.masked_fill(padding, 2.0).argsort(1).argsort(1)
        return real & (rank < hidden)
    draw = torch.rand((len(padding), 1), generator=generator, device=generator.device).to(padding.device)
    start = (draw * (count - hidden + 1)).long()
    rank = real.cumsum(1) - 1
    return real & (rank >= start) & (rank < start + hidden)


def complementary_parts(length: int, kind: MaskKind, ratio: float, generator: Generator) -> Int[Tensor, " N"]:
    """Which of about 1 / ratio passes hides each patch of a window: every patch once, in masks of the trained kind.

    A contiguous block that reaches the window's end goes on at its start.
    """
    passes = min(length, max(2, round(1 / ratio)))
    if kind == "random":
        order = torch.randperm(length, generator=generator, device=generator.device)
    else:
        shift = torch.randint(length, (), generator=generator, device=generator.device)
        order = (torch.arange(length, device=generator.device) + shift) % length
    return order * passes // length


def reconstruction_loss(
    predicted: Float[Tensor, "B N D"],
    target: Float[Tensor, "B N D"],
    masked: Bool[Tensor, "B N"],
    hidden: float | None = None,
) -> Float[Tensor, ""]:
    """L1, mean over masked positions and dimensions; 0 where nothing is masked.

    ``hidden`` divides the sum over positions instead of their number: one process's part of a larger batch.
    """
    difference = (predicted[masked] - target[masked]).abs().sum() / predicted.shape[-1]
    return difference / (max(1, int(masked.sum())) if hidden is None else hidden)


@dataclass(frozen=True, eq=False)
class Triplets:
    """The mean loss of the anchors, the share of them whose loss is above 0, and how many anchors had a triplet."""

    loss: Float[Tensor, ""]
    active: float
    anchors: int


def triplet_loss(
    x: Float[Tensor, "B F"],
    labels: Int[Tensor, " B"],
    generator: Generator,
    *,
    margin: float = 0.8,
    kind: str = "random",
    normalise: bool = False,
) -> Triplets:
    """max(|x - x+| - |x - x-| + margin, 0), each element of the batch an anchor (METHOD 4), Euclidean.

    ``random``: one positive and one negative each; ``hard``: the farthest positive and the nearest negative.
    ``normalise`` puts x on the unit sphere first. A label below 0 is none. Anchors without a partner are left out.
    """
    x = F.normalize(x, dim=1) if normalise else x
    positive, negative = _partners(labels)
    distance = _distances(x)
    anchors = (positive.any(1) & negative.any(1)).nonzero()[:, 0]
    if not len(anchors):
        return Triplets(x.sum() * 0.0, 0.0, 0)
    near, far = positive[anchors], negative[anchors]
    if kind == "hard":
        apart = distance[anchors]
        towards = apart.masked_fill(~near, -torch.inf).amax(1)
        away = apart.masked_fill(~far, torch.inf).amin(1)
    else:
        towards, away = (distance[anchors, _draw(choice, generator)] for choice in (near, far))
    losses = (towards - away + margin).clamp(min=0)
    return Triplets(losses.mean(), float((losses > 0).float().mean()), len(anchors))


def triplet_margin(x: Float[Tensor, "B F"], labels: Int[Tensor, " B"]) -> float:
    """Mean distance to other labels minus mean distance to the same label; NaN where one of them has no pair.

    Of CLS_img alone it tells whether the image branch learns from the triplets, or CLS_ge satisfies them by itself.
    """
    positive, negative = _partners(labels)
    distance = _distances(x.detach())
    return float(distance[negative].mean() - distance[positive].mean())


def _partners(labels: Int[Tensor, " B"]) -> tuple[Bool[Tensor, "B B"], Bool[Tensor, "B B"]]:
    known = (labels[:, None] >= 0) & (labels[None] >= 0)
    same = labels[:, None] == labels[None]
    itself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    return known & same & ~itself, known & ~same


def _distances(x: Float[Tensor, "B F"]) -> Float[Tensor, "B B"]:
    return torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist")


def _draw(choice: Bool[Tensor, "A B"], generator: Generator) -> Int[Tensor, " A"]:
    weights = choice.to(generator.device, torch.float32)
    return torch.multinomial(weights, 1, generator=generator)[:, 0].to(choice.device)
