"""GiMP (Jin et al., MICCAI 2023, arXiv 2309.02702), top to bottom in the order of the paper's figure.

genes   -> fragments -> group tokens -> [CLS_ge]    GeneEncoder
patches -> mask, projection, position -> [CLS_img]  PatchAggregator
masked patches -> their embeddings                  decoder
[CLS_img; CLS_ge] -> classes                        classifier

``masked`` is True where a patch is hidden, ``padding`` True where it is not real; in code and everywhere else.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from napari_gimp.gimp.attention import Attention, Block, NystromAttention, in_chunks
from napari_gimp.gimp.config import ModelConfig as ModelConfig
from napari_gimp.gimp.output import GiMPOutput as GiMPOutput
from napari_gimp.gimp.output import patch_attention as patch_attention
from napari_gimp.gimp.parts import (
    EMBEDDING_SD_FLOOR,
    EXPRESSION_SD_FLOOR,
    Z_LIMIT,
    FragmentHeads,
    Standardise,
    fragment_table,
    position_encoding,
    token,
)
from napari_gimp.settings import InputError
from napari_gimp.types import Modality

# --- genes ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class GeneTokens:
    """CLS_ge (B, d) and who attended to what: (B, H, K) and (B, K, H, F)."""

    cls: Float[Tensor, "B d"]
    group_attention: Float[Tensor, "B H K"]
    fragment_attention: Float[Tensor, "B K H F"]


class GeneEncoder(nn.Module):
    """GroupMSA: fragments of genes, attention inside groups, then between the group tokens and CLS_ge.

    Parameters
    ----------
    config
        Sizes.
    genes
        Length of the expression vector, any number >= 1.
    """

    table: Tensor

    def __init__(self, config: ModelConfig, genes: int) -> None:
        super().__init__()
        d = config.d
        table = fragment_table(genes, config.fragment_genes, config.groups)
        self.register_buffer("table", table, persistent=False)
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

    def forward(self, genes: Float[Tensor, "B G"]) -> GeneTokens:
        """Standardised expression -> CLS_ge."""
        fragments = F.pad(self.dropout(genes), (0, 1))[:, self.table]
        tokens = self.head(fragments)
        if self.fragment_embedding is not None:
            tokens = tokens + self.fragment_embedding
        batch, groups = tokens.shape[:2]
        tokens = torch.cat([self.group_tokens.expand(batch, -1, -1, -1), tokens], dim=2).flatten(0, 1)
        for block in self.intra:
            tokens, fragment_row = block(tokens)
        tokens = torch.cat([self.cls.expand(batch, -1, -1), tokens[:, 0].unflatten(0, (batch, groups))], dim=1)
        for block in self.inter:
            tokens, group_row = block(tokens)
        rows = fragment_row[..., 1:].unflatten(0, (batch, groups))
        return GeneTokens(self.norm(tokens[:, 0]), group_row[..., 1:], rows)


# --- patches --------------------------------------------------------------------------------------------------------


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
        """Standardise, put the mask token where patches are hidden, project; padding counts as zeros."""
        keep = _real(embeddings, padding)
        hide = torch.zeros_like(keep) if masked is None else masked

        def step(index: Tensor) -> Tensor:
            values = self.scaling(embeddings[:, index[0]].to(self.mask_token.dtype)) * keep[:, index[0], None]
            projected: Tensor = self.projection(torch.where(hide[:, index[0], None], self.mask_token, values))
            return projected

        return in_chunks(step, torch.arange(embeddings.shape[1], device=embeddings.device)[None])


# --- the whole ------------------------------------------------------------------------------------------------------


class GiMP(nn.Module):
    """Image and genes of a case -> classes, attention, and the embeddings of masked patches.

    Inputs are raw embeddings and working-scale expression: their scaling lives in the model (`set_scaling`).

    Parameters
    ----------
    config
        Sizes and choices.
    embedding_dim
        D, width of the patch embeddings.
    genes
        Length of the expression vector; 0 builds a model without a gene branch.
    classes
        Number of classes.
    """

    def __init__(self, config: ModelConfig, *, embedding_dim: int, genes: int, classes: int) -> None:
        super().__init__()
        d = config.d
        self.config, self.embedding_dim, self.genes, self.classes = config, embedding_dim, genes, classes
        self.gene_scaling = Standardise(genes, Z_LIMIT)
        self.gene_encoder = GeneEncoder(config, genes) if genes else None
        self.aggregator = PatchAggregator(config, embedding_dim)
        self.decoder = nn.Sequential(nn.LayerNorm(d), nn.Linear(d, embedding_dim))
        self.absent_image, self.absent_genes = token(d), token(d)
        self.classifier = nn.Sequential(
            nn.Linear(2 * d, config.head_hidden), nn.GELU(), nn.Dropout(config.dropout),
            nn.Linear(config.head_hidden, classes),
        )  # fmt: skip

    def set_scaling(
        self,
        *,
        embedding_mean: Float[Tensor, " D"] | None = None,
        embedding_sd: Float[Tensor, " D"] | None = None,
        gene_mean: Float[Tensor, " G"] | None = None,
        gene_sd: Float[Tensor, " G"] | None = None,
    ) -> None:
        """Store mean and sd of the training patches and training profiles, floored; a pair may be left out.

        With ``standardise_embeddings=False`` embeddings stay as they are, whatever is given.
        """
        if embedding_mean is not None and embedding_sd is not None and self.config.standardise_embeddings:
            self.aggregator.scaling.set(embedding_mean, embedding_sd, EMBEDDING_SD_FLOOR * float(embedding_sd.mean()))
        if gene_mean is not None and gene_sd is not None:
            self.gene_scaling.set(gene_mean, gene_sd, EXPRESSION_SD_FLOOR)

    def standardised(self, embeddings: Float[Tensor, "*B D"]) -> Float[Tensor, "*B D"]:
        """Embeddings as the decoder predicts them: the target of masked patch modelling."""
        scaled: Tensor = self.aggregator.scaling(embeddings)
        return scaled

    def forward(
        self,
        embeddings: Float[Tensor, "B N D"] | None = None,
        cells: Int[Tensor, "B N 2"] | None = None,
        padding: Bool[Tensor, "B N"] | None = None,
        genes: Float[Tensor, "B G"] | None = None,
        masked: Bool[Tensor, "B N"] | None = None,
        has_image: Bool[Tensor, " B"] | None = None,
        has_genes: Bool[Tensor, " B"] | None = None,
    ) -> GiMPOutput:
        """Either input may be missing, for all cases (None) or for some (``has_image``, ``has_genes`` False).

        Without ``cells`` the scan index stands in for the place. A bag without a real patch and a profile without a
        known gene count as missing.

        Raises
        ------
        InputError
            Neither input, another width or number of genes than the model's, or ``masked`` without positions.
        """
        self._check(embeddings, genes, masked)
        image = None if embeddings is None else self._image(embeddings, cells, padding, masked)
        profile = None if genes is None or self.gene_encoder is None else self.gene_encoder(self.gene_scaling(genes))
        batch = len(embeddings) if embeddings is not None else len(genes) if genes is not None else 0
        has_image = _present(has_image, None if embeddings is None else _real(embeddings, padding).any(1), batch, self)
        has_genes = _present(has_genes, None if genes is None else ~genes.isnan().all(1), batch, self)
        cls_image = _or_absent(None if image is None else image.cls, has_image, self.absent_image)
        cls_genes = _or_absent(None if profile is None else profile.cls, has_genes, self.absent_genes)
        return GiMPOutput(
            logits=self.classifier(torch.cat([cls_image, cls_genes], dim=1)),
            cls_image=cls_image,
            cls_genes=cls_genes,
            has_image=has_image,
            has_genes=has_genes,
            projected=None if image is None else image.projected,
            patch_tokens=None if image is None else image.tokens,
            class_attention=None if image is None else image.class_attention,
            predicted=None if image is None or masked is None else in_chunks(self.decoder, image.tokens),
            group_attention=None if profile is None else profile.group_attention,
            fragment_attention=None if profile is None else profile.fragment_attention,
        )

    def modality_logits(self, output: GiMPOutput) -> dict[Modality, Float[Tensor, "B C"]]:
        """Logits from both inputs and from either alone, of one forward pass: the branches meet only here."""
        batch = len(output.logits)
        image, genes = self.absent_image.expand(batch, -1), self.absent_genes.expand(batch, -1)
        return {
            "both": output.logits,
            "image": self.classifier(torch.cat([output.cls_image, genes], dim=1)),
            "genes": self.classifier(torch.cat([image, output.cls_genes], dim=1)),
        }

    def _image(
        self,
        embeddings: Float[Tensor, "B N D"],
        cells: Int[Tensor, "B N 2"] | None,
        padding: Bool[Tensor, "B N"] | None,
        masked: Bool[Tensor, "B N"] | None,
    ) -> PatchTokens:
        if cells is None:
            index = torch.arange(embeddings.shape[1], device=embeddings.device)
            cells = torch.stack([torch.zeros_like(index), index], dim=1).expand(len(embeddings), -1, -1)
        tokens: PatchTokens = self.aggregator(embeddings, cells, padding, masked)
        return tokens

    def _check(self, embeddings: Tensor | None, genes: Tensor | None, masked: Tensor | None) -> None:
        if embeddings is None and genes is None:
            raise InputError("GiMP: expected patch embeddings, a gene profile or both, found neither.")
        if embeddings is not None and embeddings.shape[-1] != self.embedding_dim:
            raise InputError(
                f"GiMP: expected embeddings {self.embedding_dim} wide, found {embeddings.shape[-1]};"
                " use the encoder that the checkpoint was trained with."
            )
        if genes is not None and genes.shape[-1] != self.genes:
            raise InputError(
                f"GiMP: expected {self.genes} genes, found {genes.shape[-1]}; align the profile to the checkpoint."
            )
        if masked is not None:
            self.config.check_mpm()


def _real(embeddings: Tensor, padding: Tensor | None) -> Bool[Tensor, "B N"]:
    return torch.ones_like(embeddings[..., 0], dtype=torch.bool) if padding is None else ~padding


def _present(told: Tensor | None, found: Tensor | None, batch: int, model: nn.Module) -> Bool[Tensor, " B"]:
    if found is None:
        return torch.zeros(batch, dtype=torch.bool, device=next(model.parameters()).device)
    return found if told is None else found & told


def _or_absent(
    cls: Float[Tensor, "B d"] | None, present: Bool[Tensor, " B"], absent: Float[Tensor, " d"]
) -> Float[Tensor, "B d"]:
    return absent.expand(len(present), -1) if cls is None else torch.where(present[:, None], cls, absent)
