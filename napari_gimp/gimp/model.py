"""GiMP (Jin et al., MICCAI 2023, arXiv 2309.02702), in the order of the paper's figure.

genes   -> fragments -> group tokens -> [CLS_ge]    gene_encoder.py
patches -> mask, projection, position -> [CLS_img]  aggregator.py
masked patches -> their embeddings                  decoder, here
[CLS_img; CLS_ge] -> classes                        heads.py

``masked`` is True where a patch is hidden, ``padding`` True where it is not real; in code and everywhere else.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from napari_gimp.gimp.aggregator import PatchAggregator, PatchTokens
from napari_gimp.gimp.attention import in_chunks
from napari_gimp.gimp.config import ModelConfig as ModelConfig
from napari_gimp.gimp.gene_encoder import GeneEncoder, GeneTokens, SelfNormalising
from napari_gimp.gimp.heads import Branch, ConcatHead, SumHead
from napari_gimp.gimp.output import GiMPOutput as GiMPOutput
from napari_gimp.gimp.output import patch_attention as patch_attention
from napari_gimp.gimp.parts import (
    EMBEDDING_SD_FLOOR,
    EXPRESSION_SD_FLOOR,
    Z_LIMIT,
    Standardise,
    real_patches,
    token,
)
from napari_gimp.settings import InputError


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
    gene_table
        Which genes form which fragment of which group (`GeneEncoder`); consecutive ones by default.
    """

    gene_encoder: GeneEncoder | SelfNormalising | None
    aggregator: PatchAggregator
    classifier: ConcatHead | SumHead
    gene_scaling: Standardise

    def __init__(
        self,
        config: ModelConfig,
        *,
        embedding_dim: int,
        genes: int,
        classes: int,
        gene_table: Int[Tensor, "K F f"] | None = None,
    ) -> None:
        super().__init__()
        d = config.d
        self.config, self.embedding_dim, self.genes, self.classes = config, embedding_dim, genes, classes
        self.gene_scaling = Standardise(genes, Z_LIMIT)
        self.gene_encoder = _gene_encoder(config, genes, gene_table)
        self.aggregator = PatchAggregator(config, embedding_dim)
        self.decoder = nn.Sequential(nn.LayerNorm(d), nn.Linear(d, embedding_dim))
        self.absent_image, self.absent_genes = token(d), token(d)
        self.classifier = (ConcatHead if config.fusion == "concat" else SumHead)(config, genes, classes)

    @property
    def members(self) -> tuple[GiMP, ...]:
        """Itself: what takes an `Ensemble` takes a model too."""
        return (self,)

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.absent_image.device

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
        return self.aggregator.standardised(embeddings)

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
        batch = len(embeddings) if embeddings is not None else len(genes) if genes is not None else 0
        image = None if embeddings is None else self._image(embeddings, cells, padding, masked)
        real = None if embeddings is None else real_patches(embeddings, padding).any(1)
        branch = self._branch(None if image is None else image.cls, has_image, real, self.absent_image, batch)
        return replace(
            self._joined(branch, genes, has_genes),
            projected=None if image is None else image.projected,
            patch_tokens=None if image is None else image.tokens,
            class_attention=None if image is None else image.class_attention,
            predicted=None if image is None or masked is None else in_chunks(self.decoder, image.tokens),
        )

    def beside_image(
        self, image: GiMPOutput, genes: Float[Tensor, "B G"] | None, profile: GeneTokens | None = None
    ) -> GiMPOutput:
        """The same cases with other genes: what a pass found in the image is taken over, never computed again.

        Equal to a whole pass, but for what grows with the patches, which is left out.

        Parameters
        ----------
        image
            Of a pass over the image, whatever genes it had.
        genes
            As for a pass; None: the image alone.
        profile
            What the gene encoder makes of them, where that is known.

        Raises
        ------
        InputError
            Another number of genes than the model's.
        """
        self._check(None, genes, None, is_seen=True)
        return self._joined(Branch(image.cls_image, image.has_image, self.absent_image), genes, None, profile)

    def _joined(
        self,
        image: Branch,
        genes: Float[Tensor, "B G"] | None,
        has_genes: Bool[Tensor, " B"] | None,
        profile: GeneTokens | None = None,
    ) -> GiMPOutput:
        """Gene branch and head."""
        expression = None if genes is None or not self.genes else self.gene_scaling(genes)
        if expression is not None and profile is None:
            profile = self._profile(expression)
        known = None if genes is None else ~genes.isnan().all(1)
        cls = None if profile is None else profile.cls
        branch = self._branch(cls, has_genes, known, self.absent_genes, len(image.cls))
        return GiMPOutput(
            answers=self.classifier.answers(image, branch, expression),
            parts=self.classifier.parts(image, branch, expression),
            cls_image=image.cls,
            cls_genes=branch.cls,
            has_image=image.present,
            has_genes=branch.present,
            group_attention=None if profile is None else profile.group_attention,
            fragment_attention=None if profile is None else profile.fragment_attention,
        )

    def _profile(self, expression: Float[Tensor, "B G"]) -> GeneTokens:
        assert self.gene_encoder is not None  # the model knows genes
        tokens: GeneTokens = self.gene_encoder(expression)
        return tokens

    def _branch(
        self,
        cls: Float[Tensor, "B d"] | None,
        told: Bool[Tensor, " B"] | None,
        found: Bool[Tensor, " B"] | None,
        absent: Float[Tensor, " d"],
        batch: int,
    ) -> Branch:
        """A class token where the input is there (as found, and as told), the learned stand-in elsewhere."""
        if cls is None or found is None:
            nobody = torch.zeros(batch, dtype=torch.bool, device=self.device)
            return Branch(absent.expand(batch, -1), nobody, absent)
        present = found if told is None else found & told
        return Branch(torch.where(present[:, None], cls, absent), present, absent)

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

    def _check(
        self, embeddings: Tensor | None, genes: Tensor | None, masked: Tensor | None, *, is_seen: bool = False
    ) -> None:
        if embeddings is None and genes is None and not is_seen:
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


def _gene_encoder(config: ModelConfig, genes: int, table: Tensor | None) -> GeneEncoder | SelfNormalising | None:
    if not genes:
        return None
    return SelfNormalising(config, genes) if config.gene_encoder == "snn" else GeneEncoder(config, genes, table)
