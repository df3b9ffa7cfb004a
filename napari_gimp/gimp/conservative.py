"""A model copied so that its gradients can be read: from the logits back to the projected patch tokens, no further.

The plain gradient says nothing there: a LayerNorm does not change when its input is scaled, so gradient x input through
it adds up to 0, whatever was learned. The conservative gradient (Ali et al., ICML 2022, arXiv 2202.07304) holds
attention weights, the spread that LayerNorm divides by and the gate of GELU fixed: what is left is linear, and what
patches, class token, positions and biases support adds up to the logit.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, Literal, TypeAlias, cast

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from napari_gimp.gimp.attention import Attention, Block
from napari_gimp.gimp.model import GiMP

Rule = Literal["conservative", "plain"]
Project: TypeAlias = Callable[[Tensor], tuple[Tensor, Tensor, Tensor]]


KEEP_UP_TO = 20_000
"""Patches up to which the inside of blocks is kept for the backward passes; beyond, it is computed again."""


def differentiable(member: GiMP, rule: Rule, patches: int = 0) -> GiMP:
    """A copy for so many patches; the member stays untouched. Behind the last block only the class token counts."""
    model = copy.deepcopy(member).eval().requires_grad_(False)
    if rule == "conservative":
        for module in model.modules():
            if isinstance(module, nn.LayerNorm):
                module.register_forward_hook(_fixed_spread)
            elif isinstance(module, nn.GELU):
                module.register_forward_hook(_fixed_gate)
            elif isinstance(module, Attention):
                module.project = _fixed_weights(module.project)  # type: ignore[assignment,method-assign]
    aggregator = model.aggregator
    aggregator.projection.register_forward_hook(lambda _module, _input, out: out.detach().requires_grad_())
    *first, last = aggregator.blocks
    blocks = [*first, _LastBlock(cast(Block, last))]
    aggregator.blocks = nn.ModuleList(blocks if patches <= KEEP_UP_TO else [_recomputed(block) for block in blocks])
    return model


def _recomputed(block: nn.Module) -> nn.Module:
    """The feed-forward layer by itself too: its hidden values are as large as all the rest."""
    if isinstance(block, Block):
        block.feed_forward = cast(nn.Sequential, _Recomputed(block.feed_forward))
    return _Recomputed(block)


class _LastBlock(nn.Module):
    """A block without the feed-forward layer of the patches, whose output nothing reads: the class token everywhere."""

    def __init__(self, block: Block) -> None:
        super().__init__()
        self.block = block

    def forward(self, tokens: Tensor, padding: Tensor | None = None) -> tuple[Tensor, Tensor]:
        attended, row = self.block.attention(self.block.norm_attention(tokens), padding)
        first = tokens[:, :1] + attended[:, :1]
        return (first + self.block.feed_forward(first)).expand_as(tokens), row


class _Recomputed(nn.Module):
    """A part whose inside is computed again in the backward pass: only its input is kept."""

    def __init__(self, part: nn.Module) -> None:
        super().__init__()
        self.part = part

    def forward(self, *given: Tensor | None) -> Any:
        return checkpoint(self.part, *given, use_reentrant=False)


def _fixed_spread(norm: nn.Module, given: tuple[Tensor, ...], _output: Tensor) -> Tensor:
    """LayerNorm whose standard deviation has no gradient."""
    assert isinstance(norm, nn.LayerNorm)
    centred = given[0] - given[0].mean(-1, keepdim=True)
    spread = (centred.detach().square().mean(-1, keepdim=True) + norm.eps).sqrt()
    scaled: Tensor = centred / spread * norm.weight + norm.bias
    return scaled


def _fixed_gate(_gelu: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> Tensor:
    """GELU(x) = x times a gate, the gate without gradient."""
    gate = 0.5 * (1 + torch.erf(given[0].detach() / 2**0.5))
    return given[0] * gate


def _fixed_weights(project: Project) -> Project:
    """Queries and keys without gradient: tokens pass through the values alone, weighted as they were."""

    def values_only(tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        query, key, value = project(tokens)
        return query.detach(), key.detach(), value

    return values_only
