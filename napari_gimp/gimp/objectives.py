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
    distance = (predicted - target).abs().mean(-1) * masked
    return distance.sum() / (masked.sum().clamp(min=1) if hidden is None else hidden)


@dataclass(frozen=True, eq=False)
class Triplets:
    """The mean loss of the anchors, the share of them with a loss above 0 (NaN without any), and their number."""

    loss: Float[Tensor, ""]
    active: Float[Tensor, ""]
    anchors: Int[Tensor, ""]


def draw_partners(labels: Int[Tensor, " B"], generator: Generator) -> Int[Tensor, "B 2"]:
    """For each case a random other one of its label, then a random one of another label; itself where there is none.

    A label below 0 is none: such a case has no partner and is none.
    """
    itself = torch.arange(len(labels), device=labels.device)
    drawn = []
    for choice in _partners(labels):
        none = ~choice.any(1)
        chances = (choice | torch.diag(none)).to(generator.device, torch.float32)
        partner = torch.multinomial(chances, 1, generator=generator)[:, 0].to(labels.device)
        drawn.append(torch.where(none, itself, partner))
    return torch.stack(drawn, dim=1)


def triplet_loss(
    x: Float[Tensor, "B F"],
    labels: Int[Tensor, " B"],
    partners: Int[Tensor, "B 2"] | None = None,
    *,
    margin: float = 0.8,
    normalise: bool = False,
) -> Triplets:
    """max(|x - x+| - |x - x-| + margin, 0), each element of the batch an anchor (METHOD 4), Euclidean.

    x+ and x- are the ``partners`` that `draw_partners` drew; without them the hardest: the farthest of the same label
    and the nearest of another. ``normalise`` puts x on the unit sphere first. A label below 0 is none. Anchors without
    a partner are left out.
    """
    x = F.normalize(x, dim=1) if normalise else x
    positive, negative = _partners(labels)
    anchors = positive.any(1) & negative.any(1)
    distance = _distances(x)
    if partners is None:
        towards = distance.masked_fill(~positive, -torch.inf).amax(1)
        away = distance.masked_fill(~negative, torch.inf).amin(1)
    else:
        towards, away = distance.gather(1, partners).unbind(1)
    towards, away = (torch.where(anchors, values, 0.0) for values in (towards, away))
    losses, count = (towards - away + margin).clamp(min=0) * anchors, anchors.sum()
    return Triplets(losses.sum() / count.clamp(min=1), (losses > 0).sum() / count, count)


def triplet_margin(x: Float[Tensor, "B F"], labels: Int[Tensor, " B"]) -> Float[Tensor, ""]:
    """Mean distance to other labels minus mean distance to the same label; NaN where one of them has no pair.

    Of CLS_img alone it tells whether the image branch learns from the triplets, or CLS_ge satisfies them by itself.
    """
    distance = _distances(x.detach())
    same, other = ((distance * pairs).sum() / pairs.sum() for pairs in _partners(labels))
    return other - same


def _partners(labels: Int[Tensor, " B"]) -> tuple[Bool[Tensor, "B B"], Bool[Tensor, "B B"]]:
    known = (labels[:, None] >= 0) & (labels[None] >= 0)
    same = labels[:, None] == labels[None]
    itself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    return known & same & ~itself, known & ~same


def _distances(x: Float[Tensor, "B F"]) -> Float[Tensor, "B B"]:
    return torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist")
