"""What a step of training did, and what the steps of an epoch did on average."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from napari_gimp.types import Modality

StageName = Literal["genes", "pretrain", "labels", "finetune", "decoder"]
Validation = Mapping[Modality, float]


@dataclass(frozen=True)
class Step:
    """What one optimiser step did.

    Parameters
    ----------
    step, steps
        Counted from 1 over the whole stage.
    losses
        By name; of pre-training also ``active``, the share of triplets with a loss above 0 (NaN without a triplet),
        and ``image_margin``: how much farther other labels are than the same one, by CLS_img alone.
    validation
        Cross-entropy by modality, after the last step of an epoch of fine-tuning.
    """

    stage: StageName
    epoch: int
    step: int
    steps: int
    total: float
    losses: Mapping[str, float] = field(default_factory=dict)
    validation: Validation | None = None
    best: bool = False


def mean_step(steps: Sequence[Step]) -> Step:
    """The last of an epoch's steps with the mean losses of all (NaN left out)."""
    losses = {name: _mean([step.losses[name] for step in steps]) for name in steps[-1].losses}
    return replace(steps[-1], total=_mean([step.total for step in steps]), losses=losses)


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")
