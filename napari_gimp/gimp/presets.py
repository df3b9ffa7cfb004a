"""Two sets of sizes and schedules by name: the paper's, and one for small cohorts. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from napari_gimp.gimp.config import ModelConfig
from napari_gimp.gimp.trainconfig import TrainConfig

PresetName = Literal["small", "paper"]

PAPER_SLIDES, PAPER_PATCHES, PAPER_GENES = 500, 1000, 10_000
"""From so many slides with so many patches (median) and genes on, the paper's sizes can be learned."""


@dataclass(frozen=True)
class Preset:
    """Sizes and schedules that belong together; ``pretraining`` is that of the aggregator alone."""

    model: ModelConfig = field(default_factory=ModelConfig)
    training: TrainConfig = field(default_factory=TrainConfig)
    pretraining: TrainConfig = field(default_factory=TrainConfig)


PAPER = Preset(pretraining=TrainConfig(objective="both"))
"""Sizes, head and schedule of METHOD sections 1 to 5."""

SMALL = Preset(
    ModelConfig(
        d=128,
        heads=4,
        layers=2,
        ffn=2,
        fragment_genes=63,
        groups=4,
        shared_head=False,
        gene_dropout=0.5,
        window=64,
        fusion="sum",
        wide=True,
        head_hidden=128,
    ),
    TrainConfig(
        epochs_genes=30,
        lr_genes=1e-3,
        gene_mixup=1.0,
        epochs_pretrain=12,
        lr_pretrain=5e-4,
        triplet_weight=0.0,
        epochs_finetune=0,
        batch_size=64,
        weight_decay=0.05,
        warmup=0.1,
        freeze_image=True,
        linear_heads=True,
        head_c=3e-3,
        members=5,
    ),
    TrainConfig(
        objective="labels",
        epochs_pretrain=3,
        batch_size=64,
        patches_pretrain=16,
        contrast_weight=1.0,
        lr_pretrain=1e-3,
        weight_decay=0.05,
        schedule="one-cycle",
        members=5,
    ),
)
"""METHOD section 9: an aggregator that has learned no label of the cohort, frozen, under linear heads; logits added."""

PRESETS: Mapping[PresetName, Preset] = {"small": SMALL, "paper": PAPER}


def preset_for(name: PresetName, genes: int) -> Preset:
    """A preset for a gene list of that length.

    A panel that is a single fragment has no other to lean on: in ``small`` it drops fewer genes and learns longer.
    """
    preset = PRESETS[name]
    if name == "paper" or not 0 < genes < 1.5 * preset.model.fragment_genes:
        return preset
    longer = replace(preset.training, epochs_genes=2 * preset.training.epochs_genes)
    return replace(preset, model=replace(preset.model, gene_dropout=0.3), training=longer)


def suggest_preset(slides: int, patches: float, genes: int) -> tuple[PresetName, str]:
    """The preset that suits a cohort, and a sentence that says why.

    Parameters
    ----------
    slides, patches, genes
        Slides of the cohort, the median number of patches of one, genes of its expression table (0: none).
    """
    lacks = []
    if slides < PAPER_SLIDES:
        lacks.append(f"{slides} slides (fewer than {PAPER_SLIDES})")
    if patches < PAPER_PATCHES:
        lacks.append(f"a median of {patches:.0f} patches (fewer than {PAPER_PATCHES})")
    if 0 < genes < PAPER_GENES:
        lacks.append(f"{genes} genes (fewer than {PAPER_GENES})")
    if not lacks:
        return "paper", "Preset paper: the cohort is large enough for the paper's sizes."
    return "small", f"Preset small: the cohort has {' and '.join(lacks)}; --preset paper uses the paper's sizes."
