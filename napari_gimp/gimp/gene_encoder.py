"""Genes -> fragments -> group tokens -> CLS_ge (METHOD section 1)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from napari_gimp.gimp.attention import Attention, Block
from napari_gimp.gimp.config import ModelConfig
from napari_gimp.gimp.parts import FragmentHeads, fragment_table, token

ALL = slice(None)


@dataclass(frozen=True, eq=False)
class GeneTokens:
    """CLS_ge (B, d) and who attended to what: (B, H, K) and (B, K, H, F); None from an encoder without attention."""

    cls: Float[Tensor, "B d"]
    group_attention: Float[Tensor, "B H K"] | None = None
    fragment_attention: Float[Tensor, "B K H F"] | None = None


class GeneEncoder(nn.Module):
    """GroupMSA: fragments of genes, attention inside groups, then between the group tokens and CLS_ge.

    Parameters
    ----------
    config
        Sizes.
    genes
        Length of the expression vector, any number >= 1.
    table
        Which genes form which fragment of which group, index ``genes`` a padded zero: pathways, say; consecutive
        fragments by default. Only a given table is stored among the weights.
    """

    table: Tensor

    def __init__(self, config: ModelConfig, genes: int, table: Int[Tensor, "K F f"] | None = None) -> None:
        super().__init__()
        d, given = config.d, table is not None
        table = fragment_table(genes, config.fragment_genes, config.groups) if table is None else table
        self.genes, self.ragged = genes, bool((table == genes).all(-1).any())
        self.register_buffer("table", table, persistent=given)
        self.dropout = nn.Dropout(config.gene_dropout)
        self.head = nn.Linear(table.shape[2], d) if config.shared_head else FragmentHeads(table.shape, d)
        self.fragment_embedding = token(*table.shape[:2], d) if config.fragment_embedding else None
        self.group_tokens = token(len(table), 1, d)
        self.cls = token(1, 1, d)
        self.intra, self.inter = (
            nn.ModuleList(
                Block(Attention(d, config.heads), d, config.ffn, config.dropout) for _ in range(config.gene_layers)
            )
            for _ in range(2)
        )
        self.norm = nn.LayerNorm(d)

    def _padding(self, batch: int, groups: Int[Tensor, " k"] | slice) -> Bool[Tensor, "BK F1"] | None:
        """True at fragments that only fill a shorter group up; None where all groups are of one length."""
        if not self.ragged:
            return None
        empty = (self.table[groups] == self.genes).all(-1)
        return F.pad(empty, (1, 0)).expand(batch, -1, -1).flatten(0, 1)

    def forward(self, genes: Float[Tensor, "B G"]) -> GeneTokens:
        """Standardised expression -> CLS_ge."""
        return self.between(*self.within(self.fragments(genes)))

    def fragments(self, genes: Float[Tensor, "B G"]) -> Float[Tensor, "B K F f"]:
        """Standardised expression by fragment and group."""
        return F.pad(self.dropout(genes), (0, 1))[:, self.table]

    def within(
        self, fragments: Float[Tensor, "B k F f"], groups: Int[Tensor, " k"] | slice = ALL
    ) -> tuple[Float[Tensor, "B k d"], Float[Tensor, "B k H F"]]:
        """Attention inside these groups: the token of each, and what it attended to; groups know nothing of others."""
        tokens = self.head(fragments) if isinstance(self.head, nn.Linear) else self.head(fragments, groups)
        if self.fragment_embedding is not None:
            tokens = tokens + self.fragment_embedding[groups]
        batch, count = tokens.shape[:2]
        tokens = torch.cat([self.group_tokens[groups].expand(batch, -1, -1, -1), tokens], dim=2).flatten(0, 1)
        padding = self._padding(batch, groups)
        for block in self.intra:
            tokens, row = block(tokens, padding)
        return tokens[:, 0].unflatten(0, (batch, count)), row[..., 1:].unflatten(0, (batch, count))

    def between(self, tokens: Float[Tensor, "B K d"], rows: Float[Tensor, "B K H F"]) -> GeneTokens:
        """Attention between the group tokens and CLS_ge."""
        tokens = torch.cat([self.cls.expand(len(tokens), -1, -1), tokens], dim=1)
        for block in self.inter:
            tokens, row = block(tokens)
        return GeneTokens(self.norm(tokens[:, 0]), row[..., 1:], rows)


class SelfNormalising(nn.Module):
    """The paper's comparison: a self-normalising network (Klambauer et al. 2017) instead of GroupMSA."""

    def __init__(self, config: ModelConfig, genes: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Dropout(config.gene_dropout),
            *(part for width in (genes, config.d) for part in _selu_layer(width, config.d, config.dropout)),
        )

    def forward(self, genes: Float[Tensor, "B G"]) -> GeneTokens:
        """Standardised expression -> its embedding, without attention."""
        return GeneTokens(self.layers(genes))


def _selu_layer(width: int, d: int, dropout: float) -> tuple[nn.Module, ...]:
    linear = nn.Linear(width, d)
    nn.init.normal_(linear.weight, std=width**-0.5)
    nn.init.zeros_(linear.bias)
    return linear, nn.SELU(), nn.AlphaDropout(dropout)
