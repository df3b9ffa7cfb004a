"""The sizes and choices of GiMP, in the order of METHOD's sections; defaults are the paper's. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from napari_gimp.settings import InputError, check_settings, setting

MaskKind: TypeAlias = Literal["random", "contiguous"]


@dataclass(frozen=True)
class ModelConfig:
    """Everything that shapes the network and the way patches are masked, for training and for reading it alike."""

    d: int = setting(512, "Width of every token.", min=4, max=4096)
    heads: int = setting(8, "Attention heads.", min=1, max=64)
    layers: int = setting(2, "Attention layers of the patch aggregator.", min=1, max=24)
    ffn: int = setting(4, "Width of a feed-forward layer in multiples of d.", min=1, max=16)
    dropout: float = setting(0.1, "Dropout behind attention and inside feed-forward layers.", min=0.0, max=0.9)

    gene_encoder: Literal["groupmsa", "snn"] = setting(
        "groupmsa",
        "GroupMSA, or the self-normalising network that the paper compares it with.",
        choices=("groupmsa", "snn"),
    )
    fragment_genes: int = setting(63, "Genes aimed at in a fragment.", min=1, max=100_000)
    groups: int = setting(32, "Gene groups (fewer where there are not enough genes).", min=1, max=10_000)
    shared_head: bool = setting(True, "One linear head for all fragments, or one for each.")
    fragment_embedding: bool = setting(True, "A learned embedding added to each fragment.")
    gene_layers: int = setting(1, "Attention blocks inside groups, and as many between groups.", min=1, max=12)
    gene_dropout: float = setting(0.0, "Dropout of single genes at the input.", min=0.0, max=0.95)

    site_directions: int = setting(
        0, "Directions of between-site scatter that are projected out of the embeddings.", min=0, max=4096
    )
    attention: Literal["nystrom", "exact"] = setting(
        "nystrom", "Attention of the patch aggregator: in O(N), or exact.", choices=("nystrom", "exact")
    )
    landmarks: int = setting(256, "Landmarks of Nystrom attention.", min=1, max=4096)
    pinv_iterations: int = setting(6, "Iterations of the landmarks' pseudo-inverse.", min=1, max=100)
    exact_up_to: int = setting(
        256,
        "Bags of at most so many patches use exact attention also with Nystrom.",
        min=0,
        max=100_000,
        unit="patches",
    )
    position: Literal["grid2d", "none"] = setting(
        "grid2d",
        "What tells patches apart by place; 'none' rules out masked patch modelling.",
        choices=("grid2d", "none"),
    )
    standardise_embeddings: bool = setting(True, "Standardise each embedding dimension over the training patches.")

    mask: Literal["random", "contiguous"] = setting(
        "random", "Which positions of a window are masked.", choices=("random", "contiguous")
    )
    mask_ratio: float = setting(0.5, "Share of a window that is masked.", min=0.05, max=0.95)
    window: int = setting(6000, "Length of a masked window.", min=2, max=1_000_000, unit="patches")

    fusion: Literal["concat", "sum"] = setting(
        "concat",
        "How image and genes meet: an MLP on both class tokens as in the paper, or calibrated logits added.",
        choices=("concat", "sum"),
    )
    wide: bool = setting(False, "With fusion 'sum': a linear path from the genes to the logits beside GroupMSA.")
    head_hidden: int = setting(512, "Hidden width of the classifier (fusion 'concat').", min=1, max=8192)

    def __post_init__(self) -> None:
        check_settings(self)
        if self.d % self.heads or self.d % 4:
            raise InputError(
                f"ModelConfig.d: expected a multiple of 4 and of the {self.heads} heads, found {self.d};"
                " change d or heads."
            )

    def check_mpm(self) -> None:
        """Refuse masked patch modelling without positions.

        Raises
        ------
        InputError
            All masked tokens would be one query and receive one prediction: a constant a slide (METHOD section 2).
        """
        if self.position == "none":
            raise InputError(
                "Masked patch modelling: expected position='grid2d', found position='none', with which every masked"
                " patch gets the same prediction; set position='grid2d' or leave masking out."
            )
