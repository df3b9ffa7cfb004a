"""Patches -> site directions out, mask, projection, position -> CLS_img (METHOD section 2)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from napari_gimp.gimp.attention import Attention, Block, NystromAttention, in_chunks
from napari_gimp.gimp.config import ModelConfig
from napari_gimp.gimp.parts import SiteProjection, Standardise, position_encoding, real_patches, token


@dataclass(frozen=True, eq=False)
class PatchTokens:
    """CLS_img (B, d), tokens before and behind attention (B, N, d), the class rows (L, B, H, N)."""

    cls: Float[Tensor, "B d"]
    projected: Float[Tensor, "B N d"]
    tokens: Float[Tensor, "B N d"]
    class_attention: Float[Tensor, "L B H N"]


class PatchAggregator(nn.Module):
    """Patch embeddings (D wide) with CLS_img in front through Nystrom (or exact) attention layers."""

    def __init__(self, config: ModelConfig, embedding_dim: int) -> None:
        super().__init__()
        self.config = config
        self.sites = SiteProjection(embedding_dim, config.site_directions)
        self.scaling = Standardise(embedding_dim)
        self.mask_token = token(embedding_dim)
        self.projection = nn.Linear(embedding_dim, config.d)
        self.cls = token(1, 1, config.d)
        self.blocks = nn.ModuleList(
            Block(self._attention(config), config.d, config.ffn, config.dropout) for _ in range(config.layers)
        )
        self.norm = nn.LayerNorm(config.d)

    @staticmethod
    def _attention(config: ModelConfig) -> Attention:
        if config.attention == "exact":
            return Attention(config.d, config.heads)
        return NystromAttention(config.d, config.heads, config.landmarks, config.pinv_iterations, config.exact_up_to)

    def forward(
        self,
        embeddings: Float[Tensor, "B N D"],
        cells: Int[Tensor, "B N 2"],
        padding: Bool[Tensor, "B N"] | None = None,
        masked: Bool[Tensor, "B N"] | None = None,
    ) -> PatchTokens:
        """Raw embeddings -> CLS_img and tokens. The class token is always real, so an empty bag has a result too."""
        projected = self.project(embeddings, padding, masked)
        tokens = projected
        if self.config.position == "grid2d":
            tokens = tokens + in_chunks(lambda chunk: position_encoding(chunk, self.config.d), cells).to(tokens.dtype)
        tokens = torch.cat([self.cls.expand(len(tokens), -1, -1), tokens], dim=1)
        padding = None if padding is None else F.pad(padding, (1, 0), value=False)
        rows = []
        for block in self.blocks:
            tokens, row = block(tokens, padding)
            rows.append(row[..., 1:])
        return PatchTokens(self.norm(tokens[:, 0]), projected, tokens[:, 1:], torch.stack(rows))

    def project(
        self,
        embeddings: Float[Tensor, "B N D"],
        padding: Bool[Tensor, "B N"] | None,
        masked: Bool[Tensor, "B N"] | None,
    ) -> Float[Tensor, "B N d"]:
        """`standardised` patches, the mask token where they are hidden, projected; padding counts as zeros."""
        keep = real_patches(embeddings, padding)
        hide = torch.zeros_like(keep) if masked is None else masked

        def step(index: Tensor) -> Tensor:
            values = self.standardised(embeddings[:, index[0]]) * keep[:, index[0], None]
            projected: Tensor = self.projection(torch.where(hide[:, index[0], None], self.mask_token, values))
            return projected

        return in_chunks(step, torch.arange(embeddings.shape[1], device=embeddings.device)[None])

    def standardised(self, embeddings: Float[Tensor, "*B D"]) -> Float[Tensor, "*B D"]:
        """Site directions out, then mean 0 and sd 1: what is projected, and what masked patches are rebuilt as."""
        scaled: Tensor = self.scaling(self.sites(embeddings.to(self.mask_token.dtype)))
        return scaled
