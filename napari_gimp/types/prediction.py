"""What a checkpoint says of itself, what GiMP says of a slide, and how far the work has come."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np
from jaxtyping import Float, Int

from napari_gimp.settings import InputError, check_settings, setting
from napari_gimp.types.genes import GeneGroup, Scale
from napari_gimp.types.patches import PatchGrid
from napari_gimp.types.slide import SlideFacts, Tissue

Modality = Literal["both", "image", "genes"]
MODALITIES: tuple[Modality, ...] = get_args(Modality)


@dataclass(frozen=True)
class MapSettings:
    """How the maps of a finished bag are computed."""

    repeats: int = setting(2, "How often every patch is hidden once and predicted from the others.", min=1, max=16)
    error: Literal["l1", "cosine"] = setting(
        "l1", "Distance between a patch's embedding and what was expected.", choices=("l1", "cosine")
    )
    seed: int = setting(0, "Seed of the masks of the masked reconstruction.", min=0)
    preview_s: float = setting(3.0, "Shortest time between two partial maps.", min=0, max=600, unit="s")

    def __post_init__(self) -> None:
        check_settings(self)


@dataclass(frozen=True)
class CheckpointFacts:
    """What a checkpoint says of itself without loading its weights.

    ``expression_scale`` is the working scale: "log" (log2(x + 1) of linear values), "counts" (log2(x + 1) of raw
    counts) or "zscore". ``synthetic`` names the kind of training data where it is not real ("synthetic", "pseudo").
    ``group_names`` are given where gene groups are pathways. ``reconstructs``: the decoder was fitted, so that there is
    a masked reconstruction.
    """

    name: str
    classes: tuple[str, ...]
    encoder: str | None
    embedding_dim: int
    genes: tuple[str, ...]
    expression_scale: Scale | None
    patch_px: int | None
    patch_mpp: float | None
    trained_on: str
    synthetic: str = ""
    metrics: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    group_names: tuple[str, ...] = ()
    reconstructs: bool = True


@dataclass(frozen=True, eq=False)
class Prediction:
    """Everything GiMP says of one slide and, where given, its profile.

    Parameters
    ----------
    probabilities
        Modality -> (C,); only what the inputs allow ("image" always; "both" and "genes" with a profile).
    attention
        (layer, H, N): class-token row of each aggregator layer and head; over the N patches a row sums to 1.
    reconstruction_error
        (N,) mean absolute error per patch of the masked reconstruction; None in a partial
        result, and from a checkpoint that does not reconstruct.
    class_support
        (C, N) signed gradient x input: what each patch adds to each class logit; None where not computed.
    genes, expression, gene_z
        The model's genes, the profile in working scale (G,) with NaN where it lacks one, and standardised (0 there).
    gene_attribution, attribution_error
        (C, G) what each gene adds to each class logit, against the cohort mean; (C,) by which share of the logit
        difference the sum over genes misses it. None without a profile.
    groups, group_attention, fragment_attention
        Gene groups by name; (K,) attention of the gene class token to them, which sums to 1; (K, F) the same by
        fragment. Empty and None without a profile or without attention to genes.
    group_support
        Group -> (C, N): how class support changes when its genes are set to the cohort mean, where asked for.
    spread
        (C,) standard deviation of the headline's probabilities over the members; None from a single member.
    unlike_training
        Share of the training cases that are nearer to the others than this case; None where not known.
    missing_yx
        (M, 2) corners of patches that could not be read.
    partial
        Share of the slide's patches in it (1.0 = whole).
    """

    slide: SlideFacts
    classes: tuple[str, ...]
    grid: PatchGrid
    probabilities: Mapping[Modality, Float[np.ndarray, " C"]]
    attention: Float[np.ndarray, "L H N"]
    reconstruction_error: Float[np.ndarray, " N"] | None = None
    class_support: Float[np.ndarray, "C N"] | None = None
    genes: tuple[str, ...] = ()
    expression: Float[np.ndarray, " G"] | None = None
    gene_z: Float[np.ndarray, " G"] | None = None
    gene_attribution: Float[np.ndarray, "C G"] | None = None
    attribution_error: Float[np.ndarray, " C"] | None = None
    groups: tuple[GeneGroup, ...] = ()
    group_attention: Float[np.ndarray, " K"] | None = None
    fragment_attention: Float[np.ndarray, "K F"] | None = None
    group_support: Mapping[str, Float[np.ndarray, "C N"]] = field(default_factory=dict)
    spread: Float[np.ndarray, " C"] | None = None
    unlike_training: float | None = None
    missing_yx: Int[np.ndarray, "M 2"] = field(default_factory=lambda: np.empty((0, 2), np.int64))
    sample: str | None = None
    coverage: float | None = None
    partial: float = 1.0
    synthetic: str = ""
    notes: tuple[str, ...] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        n = len(self.grid)
        for name in ("reconstruction_error", "class_support", "attention"):
            values = getattr(self, name)
            if values is not None and values.shape[-1] != n:
                raise InputError(f"Prediction of {self.slide.name}: {name} has {values.shape[-1]} patches, grid {n}.")
        for name in ("expression", "gene_z", "gene_attribution"):
            values = getattr(self, name)
            if values is not None and values.shape[-1] != len(self.genes):
                raise InputError(
                    f"Prediction of {self.slide.name}: {name} has {values.shape[-1]} genes, expected {len(self.genes)}."
                )

    @property
    def modality(self) -> Modality:
        """What the headline probabilities rest on."""
        return "both" if "both" in self.probabilities else "image"

    @property
    def mean_attention(self) -> Float[np.ndarray, " N"]:
        """Last layer, mean over heads (METHOD section 8): the attention map."""
        return np.asarray(self.attention[-1].mean(axis=0))


@dataclass(frozen=True, eq=False)
class Progress:
    """How far long work has come. ``remaining_s`` is None until it can be told honestly.

    ``tissue`` and ``grid`` come once, as soon as they are known; ``partial`` is a whole result on the patches so far.
    ``note`` says what else there is to say of this moment: a loss, say.
    """

    stage: str
    done: int
    total: int
    unit: str = "patches"
    remaining_s: float | None = None
    tissue: Tissue | None = None
    grid: PatchGrid | None = None
    partial: Prediction | None = None
    note: str = ""
