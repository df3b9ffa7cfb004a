"""The losses of pre-training: masked patches and triplets, labels of other cohorts, and the decoder by itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Generator, Tensor, nn

from napari_gimp.gimp.batches import Batch, Places, pad_samples, random_patches
from napari_gimp.gimp.heads import SumHead
from napari_gimp.gimp.model import GiMP, GiMPOutput
from napari_gimp.gimp.objectives import (
    Triplets,
    crop_window,
    draw_partners,
    mask_patches,
    reconstruction_loss,
    repeat_window,
    tie_copies,
    triplet_loss,
    triplet_margin,
)
from napari_gimp.gimp.stages import Group, Stage, cross_entropy, run, split
from napari_gimp.gimp.trainconfig import TrainConfig
from napari_gimp.types import Sample


class PretrainStage(Stage):
    """Masked patch modelling and gene-induced triplets from one forward pass; CLS_ge is frozen (METHOD 3 and 4).

    With a reconstruction weight of 0 nothing is masked.
    """

    @property
    def masks(self) -> bool:
        """Whether patches are hidden and rebuilt."""
        return self.config.reconstruction_weight > 0

    def groups(self) -> list[Group]:
        model = self.model
        frozen = [] if model.gene_encoder is None else [Group((model.gene_encoder,), 0.0)]
        return [Group((model.aggregator, model.decoder)), *frozen]

    def batch(self, samples: Sequence[Sample], generator: Generator) -> dict[str, Any]:
        batch = pad_samples(samples, choose=self._window(generator))
        found = {**vars(batch), **self._triplets_of(batch, generator)}
        if not self.masks:
            return found
        lengths = torch.tensor([0 if s.embeddings is None else len(s.embeddings) for s in samples])
        return {**found, "masked": self._mask(batch, lengths, generator)}

    def _triplets_of(self, batch: Batch, generator: Generator) -> dict[str, Tensor]:
        """Labels of the cases that take part in triplets (-1: none), and random partners."""
        paired = batch.labels
        if self.model.gene_encoder is not None:
            without = batch.genes is None or batch.genes.isnan().all(1)
            paired = paired.masked_fill(~batch.has_genes | without, -1)
        drawn = {} if self.config.triplets == "hard" else {"partners": draw_partners(paired, generator)}
        return {"paired": paired, **drawn}

    def _window(self, generator: Generator) -> Callable[[int], Places]:
        length = self.model.config.window

        def choose(patches: int) -> Places:
            repeat = self.config.short_bags == "repeat" and patches < length
            taken = repeat_window(patches, length) if repeat else crop_window(patches, length, generator)
            return np.asarray(taken)

        return choose

    def _mask(self, batch: Batch, lengths: Int[Tensor, " B"], generator: Generator) -> Bool[Tensor, "B N"]:
        config = self.model.config
        assert batch.padding is not None  # every case of this step has patches
        if not self.config.tie_masks or self.config.short_bags == "pad":
            return mask_patches(batch.padding, config.mask, config.mask_ratio, generator)
        own = lengths.clamp(max=config.window)
        places = torch.arange(batch.padding.shape[1])
        hidden = mask_patches(places >= own[:, None], config.mask, config.mask_ratio, generator)
        return tie_copies(hidden, places % own[:, None]) & ~batch.padding

    def forward(self, **tensors: Any) -> dict[str, Tensor]:
        batch, more = split(tensors)
        output = run(self.model, batch, more.get("masked"))
        triplets, margin = self._triplets(output, batch, more)
        loss, losses = self.config.triplet_weight * triplets.loss, dict[str, Tensor]()
        if self.masks:
            losses["reconstruction"] = self._reconstruction(output, batch, more)
            loss = loss + self.config.reconstruction_weight * losses["reconstruction"]
        return {
            "loss": loss,
            **losses,
            "triplet": triplets.loss,
            "active": triplets.active,
            "image_margin": margin,
        }

    def _reconstruction(self, output: GiMPOutput, batch: Batch, more: dict[str, Any]) -> Float[Tensor, ""]:
        assert output.predicted is not None
        assert batch.embeddings is not None
        target = self.model.standardised(batch.embeddings)
        return reconstruction_loss(output.predicted, target, more["masked"], more.get("hidden"))

    def _triplets(self, output: GiMPOutput, batch: Batch, more: dict[str, Any]) -> tuple[Triplets, Tensor]:
        """Triplets of the whole batch, whoever computed its rows; the margin of CLS_img alone."""
        cases, partners = more.get("cases", len(batch)), more.get("partners")
        pairs = self.share.gather(torch.cat([output.cls_image, output.cls_genes], dim=1), cases)
        paired, labels = (self.share.gather(rows, cases) for rows in (more["paired"], batch.labels))
        partners = None if partners is None else self.share.gather(partners, cases)
        triplets = triplet_loss(pairs, paired, partners, margin=self.config.margin, normalise=self.config.normalise)
        return triplets, triplet_margin(pairs[:, : output.cls_image.shape[1]], labels)


class DecoderStage(PretrainStage):
    """Masked patch modelling by the decoder (and mask token) alone: fine-tuning moved the tokens that it reads.

    What classifies stays as it is to the bit; without this step the reconstruction reads tokens it was not fitted to.
    """

    masks = True

    def groups(self) -> list[Group]:
        model = self.model
        frozen = [module for module in (model.aggregator, model.gene_encoder) if module is not None]
        return [Group(tuple(frozen), 0.0), Group((model.decoder,), tokens=(model.aggregator.mask_token,))]

    def batch(self, samples: Sequence[Sample], generator: Generator) -> dict[str, Any]:
        return super().batch([replace(sample, expression=None) for sample in samples], generator)

    def forward(self, **tensors: Any) -> dict[str, Tensor]:
        batch, more = split(tensors)
        rebuilt = self._reconstruction(run(self.model, batch, more["masked"]), batch, more)
        return {"loss": rebuilt, "reconstruction": rebuilt}


class LabelsStage(PretrainStage):
    """The aggregator learns to name the classes of a cohort, to rebuild masked patches, or both (METHOD section 9).

    Classes are read from CLS_img by the model's own linear head where it has one for them, else by one that nobody
    keeps. ``shifts`` (A, D) augment: N(0, 1) times one of them is added to all patches of a bag.
    """

    shifts: Tensor | None
    masks = True

    def __init__(
        self, model: GiMP, config: TrainConfig, classes: int, shifts: Float[Tensor, "A D"] | None = None
    ) -> None:
        super().__init__(model, config)
        self.register_buffer("shifts", None if shifts is None else shifts.float(), persistent=False)
        own = isinstance(model.classifier, SumHead) and model.classes == classes
        head = model.classifier.image if own else nn.Linear(model.config.d, classes)
        self.head: nn.Module = head  # type: ignore[assignment]

    def groups(self) -> list[Group]:
        head = () if self.config.objective == "mpm" else (self.head,)
        decoder = () if self.config.objective == "labels" else (self.model.decoder,)
        return [Group((self.model.aggregator, *head, *decoder))]

    def batch(self, samples: Sequence[Sample], generator: Generator) -> dict[str, Any]:
        if self.config.objective == "labels":
            limit = self.config.patches_pretrain or None
            found = dict(vars(pad_samples(samples, "image", random_patches(limit, generator))))
        else:
            found = super().batch([replace(sample, expression=None) for sample in samples], generator)
        if self.shifts is not None:
            found["embeddings"] += self._shift(len(samples), generator)
        return found

    def _shift(self, cases: int, generator: Generator) -> Float[Tensor, "B 1 D"]:
        assert self.shifts is not None
        rows = torch.randint(len(self.shifts), (cases,), generator=generator)
        size = torch.randn(cases, 1, generator=generator) * self.config.shift_scale
        return (size * self.shifts.cpu()[rows])[:, None]

    def forward(self, **tensors: Any) -> dict[str, Tensor]:
        batch, more = split(tensors)
        output = run(self.model, batch, more.get("masked"))
        losses: dict[str, Tensor] = {}
        total = output.cls_image.new_zeros(())
        if self.config.objective != "mpm":
            named = cross_entropy(self.head(output.cls_image), batch.labels, more.get("weights"))
            losses |= {"labels": named["loss"], "accuracy": named["accuracy"]}
            total = total + named["loss"]
        if self.config.objective != "labels":
            losses["reconstruction"] = self._reconstruction(output, batch, more)
            total = total + self.config.reconstruction_weight * losses["reconstruction"]
        return {"loss": total, **losses}
