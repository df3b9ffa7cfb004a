"""How GiMP is trained; defaults are the paper's where it says (METHOD sections 3 to 5). Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from napari_gimp.settings import check_settings, setting


@dataclass(frozen=True)
class TrainConfig:
    """The three training steps, and the decoder after them. A step with 0 epochs is left out."""

    epochs_genes: int = setting(30, "Epochs of the gene encoder on genes alone.", min=0, max=10_000)
    epochs_pretrain: int = setting(100, "Epochs of pre-training (masked patches and triplets).", min=0, max=10_000)
    epochs_finetune: int = setting(70, "Most epochs of fine-tuning; the best on validation counts.", min=0, max=10_000)
    gene_mixup: float = setting(
        0.0, "The gene step learns from mixed profiles, shares drawn from Beta(x, x); 0: not.", min=0.0, max=10.0
    )
    epochs_decoder: int = setting(
        10, "Epochs in which the decoder learns to read the fine-tuned tokens.", min=0, max=10_000
    )
    patience: int = setting(
        10, "Fine-tuning ends after so many epochs without a better validation loss.", min=1, max=10_000
    )
    batch_size: int = setting(8, "Cases a step.", min=1, max=4096)
    balance: bool = setting(True, "Draw every class equally often.")
    lr_genes: float = setting(1e-4, "Learning rate of the gene step.", min=0.0, max=1.0)
    lr_pretrain: float = setting(1e-4, "Learning rate of pre-training.", min=0.0, max=1.0)
    lr_finetune: float = setting(1e-4, "Learning rate of fine-tuning.", min=0.0, max=1.0)
    lr_decoder: float = setting(1e-3, "Learning rate of the decoder after fine-tuning.", min=0.0, max=1.0)
    schedule: Literal["cosine", "one-cycle"] = setting(
        "cosine",
        "Learning rate over the steps: falling from its value, or rising to it first.",
        choices=("cosine", "one-cycle"),
    )
    warmup: float = setting(0.0, "Share of the steps in which the rate rises (schedule 'cosine').", min=0.0, max=0.9)
    weight_decay: float = setting(1e-2, "Weight decay (AdamW).", min=0.0, max=1.0)
    clip: float = setting(1.0, "Largest norm of the gradient of a step.", min=1e-6, max=1e6)

    short_bags: Literal["pad", "repeat"] = setting(
        "pad", "A bag shorter than the window is padded, or repeated as in the paper.", choices=("pad", "repeat")
    )
    tie_masks: bool = setting(False, "Hide all copies of a repeated patch together.")
    margin: float = setting(0.8, "Margin of the triplets.", min=0.0, max=100.0)
    triplets: Literal["random", "hard"] = setting(
        "random", "One random positive and negative per anchor, or the hardest.", choices=("random", "hard")
    )
    normalise: bool = setting(False, "Put case vectors on the unit sphere before the triplets.")
    reconstruction_weight: float = setting(1.0, "Weight of masked patch modelling.", min=0.0, max=1e6)
    triplet_weight: float = setting(1.0, "Weight of the triplets.", min=0.0, max=1e6)

    objective: Literal["labels", "mpm", "both"] = setting(
        "labels",
        "What pre-training of the aggregator alone learns: the cohort's labels, masked patches, or both.",
        choices=("labels", "mpm", "both"),
    )
    patches_pretrain: int = setting(
        0,
        "Most patches of a bag in a step that learns labels alone; 0 takes all.",
        min=0,
        max=10_000_000,
        unit="patches",
    )
    weigh: Literal["sampling", "loss"] = setting(
        "sampling",
        "Case weights of that pre-training say how often a case is drawn, or how much it counts.",
        choices=("sampling", "loss"),
    )
    contrast_weight: float = setting(
        0.0,
        "Objective 'labels', sites known: weight of telling bags of one site and class apart.",
        min=0.0,
        max=1e3,
    )
    contrast_group: int = setting(8, "Cases of one site and class in a batch for that.", min=2, max=4096)
    contrast_t: float = setting(0.2, "Temperature of the cosines in that loss.", min=1e-3, max=10.0)
    shift_scale: float = setting(
        1.0, "Size of the site shifts that are added to bags, in their standard deviations.", min=0.0, max=100.0
    )

    freeze_image: bool = setting(False, "Keep the aggregator as it is during fine-tuning.")
    image_lr_factor: float = setting(
        1.0, "Learning rate of the aggregator in fine-tuning, as a multiple.", min=0.0, max=10.0
    )
    freeze_genes: bool = setting(False, "Keep the gene encoder as it is during fine-tuning.")
    gene_lr_factor: float = setting(
        0.1, "Learning rate of the gene encoder in fine-tuning, as a multiple.", min=0.0, max=10.0
    )
    modality_dropout: float = setting(
        0.5, "Share of the cases with both inputs that lose one of them in a step.", min=0.0, max=1.0
    )
    separate_weight: float = setting(
        0.0, "Weight of the losses of image alone and genes alone beside that of both.", min=0.0, max=1e6
    )
    patches: int = setting(
        0, "Most patches of a bag in a step of fine-tuning; 0 takes all.", min=0, max=10_000_000, unit="patches"
    )
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = setting(
        "32-true", "Numbers that training computes with.", choices=("32-true", "bf16-mixed", "16-mixed")
    )

    members: int = setting(1, "Models trained from different seeds and averaged; their spread is shown.", min=1, max=32)
    linear_heads: bool = setting(
        False,
        "Fit the heads of fusion 'sum' whole, by logistic regression on the frozen branches, instead of fine-tuning.",
    )
    head_c: float = setting(1e-3, "Inverse strength of the image head's penalty.", min=1e-8, max=1e4)
    wide_c: float = setting(0.03, "Inverse strength of the penalty of the path from the genes.", min=1e-8, max=1e4)
    site_power: float = setting(
        0.5, "In linear heads a case counts (cases of its site) to minus this power.", min=0.0, max=1.0
    )
    inner_folds: int = setting(
        4, "Inner folds (whole sites where they are known) from which linear heads are calibrated.", min=2, max=20
    )

    def __post_init__(self) -> None:
        check_settings(self)
