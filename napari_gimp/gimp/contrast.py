"""Telling slides of one hospital apart, beside their labels: what helps for that cannot be the hospital's signature.

InfoNCE (van den Oord et al. 2018, arXiv 1807.03748) between two halves of each bag, in which only bags of the same
site and class compete: the signature of a site is the same for all of them, so what tells them apart is tissue.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Generator, Tensor, nn

from napari_gimp.gimp.batches import pad_samples
from napari_gimp.gimp.model import GiMP
from napari_gimp.gimp.pretraining import LabelsStage
from napari_gimp.gimp.stages import Group, cross_entropy, run, split
from napari_gimp.gimp.trainconfig import TrainConfig
from napari_gimp.types import Sample

Half = Int[np.ndarray, " _"]


def two_halves(patches: int, limit: int | None, generator: Generator) -> tuple[Half, Half]:
    """Two disjoint random halves of at most ``limit`` random patches, each in scan order; a single patch is in both."""
    order = torch.randperm(patches, generator=generator).numpy()[:limit]
    middle = (len(order) + 1) // 2
    first, second = order[:middle], order[middle:]
    return np.sort(first), np.sort(second if len(second) else first)


def within_groups(
    one: Float[Tensor, "B F"], two: Float[Tensor, "B F"], groups: Int[Tensor, " B"], temperature: float
) -> Float[Tensor, " B"]:
    """InfoNCE of each case, both ways: its own other half among those of its group, by cosine."""
    similar = F.normalize(one, dim=1) @ F.normalize(two, dim=1).T / temperature
    similar = similar.masked_fill(groups[:, None] != groups, -torch.inf)
    own = torch.arange(len(groups), device=groups.device)
    there, back = (F.cross_entropy(s, own, reduction="none") for s in (similar, similar.T))
    return (there + back) / 2


class ContrastStage(LabelsStage):
    """Labels from both halves of each bag, and which half belongs to which among bags of the same site and class.

    Parameters
    ----------
    groups
        Case -> number of its site and class.
    """

    def __init__(
        self,
        model: GiMP,
        config: TrainConfig,
        classes: int,
        shifts: Float[Tensor, "A D"] | None,
        groups: Mapping[str, int],
    ) -> None:
        super().__init__(model, config, classes, shifts)
        self.group_of, d = groups, model.config.d
        self.compared = nn.Sequential(nn.Linear(d, d), nn.GELU(), nn.Linear(d, d // 2))

    def groups(self) -> list[Group]:
        return [Group((self.model.aggregator, self.head, self.compared))]

    def batch(self, samples: Sequence[Sample], generator: Generator) -> dict[str, Any]:
        limit = self.config.patches_pretrain or None
        sizes = [0 if sample.embeddings is None else len(sample.embeddings) for sample in samples]
        halves = [two_halves(size, limit, generator) for size in sizes]
        first, second = (self._view(samples, [pair[side] for pair in halves], generator) for side in (0, 1))
        others = {f"second_{name}": second[name] for name in ("embeddings", "cells", "padding")}
        groups = torch.tensor([self.group_of[sample.case_id] for sample in samples])
        return {**first, **others, "site_groups": groups}

    def _view(self, samples: Sequence[Sample], places: Sequence[Half], generator: Generator) -> dict[str, Any]:
        turn = iter(places)
        found = dict(vars(pad_samples(samples, "image", lambda _: next(turn))))
        if self.shifts is not None:
            found["embeddings"] += self._shift(len(samples), generator)
        return found

    def forward(self, **tensors: Any) -> dict[str, Tensor]:
        batch, more = split(tensors)
        weights = more.get("weights")
        weights = torch.full((len(batch),), 1 / len(batch), device=batch.labels.device) if weights is None else weights
        second = self.model.aggregator(more["second_embeddings"], more["second_cells"], more["second_padding"]).cls
        tokens = run(self.model, batch).cls_image, second
        named = [cross_entropy(self.head(cls), batch.labels, weights) for cls in tokens]
        labels = (named[0]["loss"] + named[1]["loss"]) / 2
        contrast = self._contrast([self.compared(cls) for cls in tokens], weights, more)
        return {
            "loss": labels + self.config.contrast_weight * contrast,
            "labels": labels,
            "contrast": contrast,
            "accuracy": named[0]["accuracy"],
        }

    def _contrast(self, halves: Sequence[Tensor], weights: Tensor, more: dict[str, Any]) -> Float[Tensor, ""]:
        """InfoNCE over the whole batch, whoever computed its rows."""
        cases = more.get("cases", len(weights))
        one, two, groups = (self.share.gather(rows, cases) for rows in (*halves, more["site_groups"]))
        counts = self.share.gather(weights, cases) / self.share.world
        return (within_groups(one, two, groups, self.config.contrast_t) * counts).sum()
