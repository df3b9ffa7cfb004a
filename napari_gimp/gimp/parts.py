"""The small parts of GiMP: scaling, learned tokens, fragments of genes and their heads, positions of patches."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

Z_LIMIT = 10.0
EXPRESSION_SD_FLOOR = 0.1
"""A gene that hardly varies in training is scaled by this, not by its tiny sd."""
EMBEDDING_SD_FLOOR = 0.01
"""The same for embedding dimensions, in multiples of the mean sd."""


class Standardise(nn.Module):
    """(x - mean) / sd per column, both of the training cases; NaN becomes 0, the training mean."""

    mean: Tensor
    sd: Tensor

    def __init__(self, width: int, limit: float | None = None) -> None:
        super().__init__()
        self.limit = limit
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("sd", torch.ones(width))

    def set(self, mean: Float[Tensor, " W"], sd: Float[Tensor, " W"], floor: float) -> None:
        """Take over the training figures. A constant column is always 0: nothing was learned of its changes."""
        sd = sd.to(self.sd)
        constant = sd <= 1e-6 * self.mean.new_tensor(1.0).maximum(mean.to(self.mean).abs())
        self.mean.copy_(mean)
        self.sd.copy_(sd.clamp(min=floor).masked_fill(constant, float("inf")))

    def forward(self, values: Float[Tensor, "*B W"]) -> Float[Tensor, "*B W"]:
        """Standardised values, clipped where there is a limit."""
        scaled = torch.nan_to_num((values - self.mean) / self.sd, nan=0.0)
        return scaled if self.limit is None else scaled.clamp(-self.limit, self.limit)


class SiteProjection(nn.Module):
    """Embeddings / ``scale`` without their components along k orthonormal ``directions``; unchanged with k = 0.

    `napari_gimp.gimp.sites` fits both.
    """

    scale: Tensor
    directions: Tensor

    def __init__(self, width: int, k: int) -> None:
        super().__init__()
        self.k = k
        if k:
            self.register_buffer("scale", torch.ones(width))
            self.register_buffer("directions", torch.zeros(k, width))

    def set(self, scale: Float[Tensor, " D"], directions: Float[Tensor, "k D"]) -> None:
        """Take over what was fitted.

        Raises
        ------
        ValueError
            Another number of directions than the model was built with.
        """
        if len(directions) != self.k:
            raise ValueError(f"Expected {self.k} site directions, found {len(directions)}.")
        if self.k:
            self.scale.copy_(scale)
            self.directions.copy_(directions)

    def forward(self, embeddings: Float[Tensor, "*B D"]) -> Float[Tensor, "*B D"]:
        """Scaled embeddings, orthogonal to every direction."""
        if not self.k:
            return embeddings
        scaled = embeddings / self.scale
        return scaled - scaled @ self.directions.T @ self.directions


def token(*shape: int) -> nn.Parameter:
    """A learned embedding."""
    return nn.Parameter(torch.randn(*shape) * 0.02)


def fragment_table(genes: int, fragment_genes: int, groups: int) -> Int[Tensor, "K F f"]:
    """Which genes form which fragment of which group: consecutive, evenly spread; index ``genes`` is a padded zero.

    There are as many fragments as keep them nearest to ``fragment_genes`` genes, the same number in every group, and
    fewer groups where there are too few genes: 60,480 genes give the paper's 32 x 30 fragments of 63.
    """
    groups = max(1, min(groups, round(genes / fragment_genes)))
    fragments = groups * max(1, min(round(genes / (fragment_genes * groups)), genes // groups))
    edges = torch.arange(fragments + 1) * genes // fragments
    table = edges[:-1, None] + torch.arange(int(edges.diff().max()))
    return table.where(table < edges[1:, None], genes).view(groups, fragments // groups, -1)


def pathway_table(
    groups: Sequence[tuple[str, Sequence[Sequence[int]]]], genes: int
) -> tuple[Int[Tensor, "K F f"], tuple[str, ...]]:
    """Named groups of fragments of gene indices -> the table of a `GeneEncoder` and the groups' names.

    Shorter groups and fragments are filled with index ``genes``, a padded zero.
    """
    most = max(len(fragments) for _, fragments in groups)
    longest = max(len(fragment) for _, fragments in groups for fragment in fragments)
    table = torch.full((len(groups), most, longest), genes)
    for k, (_, fragments) in enumerate(groups):
        for f, fragment in enumerate(fragments):
            table[k, f, : len(fragment)] = torch.tensor(list(fragment))
    return table, tuple(name for name, _ in groups)


class FragmentHeads(nn.Module):
    """A linear head for each fragment: (B, K, F, f) -> (B, K, F, d)."""

    def __init__(self, shape: Sequence[int], d: int) -> None:
        super().__init__()
        groups, fragments, genes = shape
        bound = genes**-0.5
        self.weight = nn.Parameter(torch.empty(groups, fragments, genes, d).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(groups, fragments, d))

    def forward(
        self, fragments: Float[Tensor, "B k F f"], groups: Int[Tensor, " k"] | slice = slice(None)
    ) -> Float[Tensor, "B k F d"]:
        """Each fragment of these groups through its own weights."""
        return torch.einsum("bkfg,kfgd->bkfd", fragments, self.weight[groups]) + self.bias[groups]


def real_patches(embeddings: Float[Tensor, "B N D"], padding: Bool[Tensor, "B N"] | None) -> Bool[Tensor, "B N"]:
    """True where a patch is real."""
    return torch.ones_like(embeddings[..., 0], dtype=torch.bool) if padding is None else ~padding


def position_encoding(cells: Int[Tensor, "B N 2"], d: int) -> Float[Tensor, "B N d"]:
    """Fixed 2-D sin-cos of grid row (first half) and column (second half), as in MAE: sines, then cosines."""
    frequency = 10000.0 ** -torch.linspace(0, 1, d // 4 + 1, device=cells.device)[:-1]
    angles = cells[..., None].float() * frequency
    return torch.cat([angles.sin(), angles.cos()], dim=-1).flatten(-2)
