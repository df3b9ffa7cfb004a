"""What a training depends on beside its cases."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from napari_gimp.gimp.card import CARD
from napari_gimp.gimp.config import ModelConfig
from napari_gimp.gimp.trainconfig import TrainConfig
from napari_gimp.settings import InputError

AGGREGATOR = (
    "d", "heads", "layers", "ffn", "attention", "landmarks", "pinv_iterations", "exact_up_to", "position",
    "standardise_embeddings", "site_directions", "mask", "mask_ratio", "window",
)  # fmt: skip
"""Settings that a pre-trained aggregator brings along."""


@dataclass(frozen=True)
class Plan:
    """Sizes, schedule and sources of a training.

    Parameters
    ----------
    preset
        Name of the preset that ``model`` and ``training`` were made from, for the record.
    val_fraction
        Share of the training cases that choose the epoch of fine-tuning; 0: the last weights.
    init
        A pre-trained checkpoint whose aggregator and decoder are taken over, instead of pre-training.
    directions_from
        Table of slide means with site and type from which site directions are fitted; without it and with sites:
        the training cases.
    choose_directions
        Choose their number in inner folds, instead of ``model.site_directions``.
    groups
        GMT file of gene sets: a gene group is a pathway.
    maps
        Fit the decoder of the masked reconstruction (a cross-validation needs none).
    tensorboard
        Folder for TensorBoard's log of every step.
    """

    model: ModelConfig = field(default_factory=ModelConfig)
    training: TrainConfig = field(default_factory=TrainConfig)
    preset: str = "custom"
    seed: int = 0
    device: str = "auto"
    val_fraction: float = 0.2
    init: Path | None = None
    directions_from: Path | None = None
    choose_directions: bool = False
    groups: Path | None = None
    maps: bool = True
    tensorboard: Path | None = None

    def __post_init__(self) -> None:
        if self.training.linear_heads and self.model.fusion != "sum":
            raise InputError(
                f"linear_heads: expected fusion=sum, whose heads can be fitted whole, found fusion={self.model.fusion};"
                " set linear_heads=false (and epochs_finetune) to fine-tune instead."
            )

    def with_aggregator(self, config: ModelConfig) -> Plan:
        """The plan with the settings of a pre-trained aggregator."""
        return replace(self, model=replace(self.model, **{name: getattr(config, name) for name in AGGREGATOR}))

    def to_json(self) -> Mapping[str, Any]:
        """For a record: settings as numbers and words, files by name and content."""
        files = {name: getattr(self, name) for name in ("init", "directions_from", "groups")}
        return {
            "preset": self.preset,
            "model": asdict(self.model),
            "training": asdict(self.training),
            "seed": self.seed,
            "val_fraction": self.val_fraction,
            "choose_directions": self.choose_directions,
            **{name: None if path is None else named_by_content(path) for name, path in files.items()},
        }


def named_by_content(path: Path) -> str:
    """Name and hash of a file, or of the card of a checkpoint (which holds the hash of its weights)."""
    file = path / CARD if path.is_dir() else path
    return f"{path.name} {hashlib.sha256(file.read_bytes()).hexdigest()[:16]}" if file.is_file() else path.name
