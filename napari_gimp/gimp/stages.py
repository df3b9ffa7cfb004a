"""The losses of the training steps: modules that hold the model, take a batch and return its losses by name.

Modules, because Lightning Fabric sets precision (and, one day, several devices) up around a module's ``forward``;
a batch enters as its tensors by name, because Fabric maps over what it is given.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Generator, Tensor, nn

from napari_gimp.gimp.batches import Batch, Places, drop_modalities, pad_samples, random_patches
from napari_gimp.gimp.model import GiMP, GiMPOutput
from napari_gimp.gimp.objectives import (
    crop_window,
    mask_patches,
    reconstruction_loss,
    repeat_window,
    tie_copies,
    triplet_loss,
    triplet_margin,
)
from napari_gimp.gimp.trainconfig import TrainConfig
from napari_gimp.types import Sample


@dataclass(frozen=True)
class Group:
    """What a step trains at this multiple of its learning rate (0: frozen, dropout off).

    ``tokens`` stand in for an absent input: without a case that lacks it they keep their value.
    """

    modules: tuple[nn.Module, ...]
    factor: float = 1.0
    tokens: tuple[nn.Parameter, ...] = ()


class Stage(nn.Module):
    """One training step's loss. Subclasses say what is trained, how samples become a batch, and the losses."""

    def __init__(self, model: GiMP, config: TrainConfig) -> None:
        super().__init__()
        self.model, self.config = model, config

    def groups(self) -> list[Group]:
        """What is trained and what is frozen; parameters in no group are left alone."""
        raise NotImplementedError

    def batch(self, samples: Sequence[Sample], generator: Generator) -> dict[str, Any]:
        """Samples -> what ``forward`` takes by name."""
        raise NotImplementedError

    def forward(self, **tensors: Any) -> dict[str, Tensor]:
        """Losses and figures by name; ``loss`` is what is minimised."""
        raise NotImplementedError


class GenesStage(Stage):
    """Supervised on genes alone with the training labels (METHOD section 1)."""

    def groups(self) -> list[Group]:
        model = self.model
        return [Group((_genes_of(model), model.classifier), tokens=(model.absent_image,))]

    def batch(self, samples: Sequence[Sample], generator: Generator) -> dict[str, Any]:
        return dict(vars(pad_samples(samples, "genes")))

    def forward(self, **tensors: Any) -> dict[str, Tensor]:
        return cross_entropy(run(self.model, Batch(**tensors)), tensors["labels"])


class PretrainStage(Stage):
    """Masked patch modelling and gene-induced triplets from one forward pass; CLS_ge is frozen (METHOD 3 and 4)."""

    def groups(self) -> list[Group]:
        model = self.model
        frozen = [] if model.gene_encoder is None else [Group((model.gene_encoder,), 0.0)]
        return [Group((model.aggregator, model.decoder)), *frozen]

    def batch(self, samples: Sequence[Sample], generator: Generator) -> dict[str, Any]:
        batch = pad_samples(samples, choose=self._window(generator))
        lengths = torch.tensor([0 if s.embeddings is None else len(s.embeddings) for s in samples])
        return {**vars(batch), "masked": self._mask(batch, lengths, generator), "generator": generator}

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
        masked, generator = tensors.pop("masked"), tensors.pop("generator")
        batch, config = Batch(**tensors), self.config
        output = run(self.model, batch, masked)
        assert output.predicted is not None
        assert batch.embeddings is not None
        rebuilt = reconstruction_loss(output.predicted, self.model.standardised(batch.embeddings), masked)
        paired = batch.labels if self.model.gene_encoder is None else batch.labels.masked_fill(~output.has_genes, -1)
        triplets = triplet_loss(
            torch.cat([output.cls_image, output.cls_genes], dim=1),
            paired,
            generator,
            margin=config.margin,
            kind=config.triplets,
            normalise=config.normalise,
        )
        return {
            "loss": config.reconstruction_weight * rebuilt + config.triplet_weight * triplets.loss,
            "reconstruction": rebuilt,
            "triplet": triplets.loss,
            "active": torch.tensor(triplets.active if triplets.anchors else torch.nan),
            "image_margin": torch.tensor(triplet_margin(output.cls_image, batch.labels)),
        }


class DecoderStage(PretrainStage):
    """Masked patch modelling by the decoder (and mask token) alone: fine-tuning moved the tokens that it reads.

    What classifies stays as it is to the bit; without this step the reconstruction reads tokens it was not fitted to.
    """

    def groups(self) -> list[Group]:
        model = self.model
        frozen = [module for module in (model.aggregator, model.gene_encoder) if module is not None]
        return [Group(tuple(frozen), 0.0), Group((model.decoder,), tokens=(model.aggregator.mask_token,))]

    def batch(self, samples: Sequence[Sample], generator: Generator) -> dict[str, Any]:
        return super().batch([replace(sample, expression=None) for sample in samples], generator)

    def forward(self, **tensors: Any) -> dict[str, Tensor]:
        rebuilt = super().forward(**tensors)["reconstruction"]
        return {"loss": rebuilt, "reconstruction": rebuilt}


class FinetuneStage(Stage):
    """Cross-entropy on full bags; modality dropout lets one checkpoint serve both inputs or either (METHOD 5)."""

    def groups(self) -> list[Group]:
        model, config = self.model, self.config
        rest = Group((model.aggregator, model.classifier), tokens=(model.absent_image, model.absent_genes))
        if model.gene_encoder is None:
            return [rest]
        return [rest, Group((model.gene_encoder,), 0.0 if config.freeze_genes else config.gene_lr_factor)]

    def batch(self, samples: Sequence[Sample], generator: Generator) -> dict[str, Any]:
        batch = pad_samples(samples, choose=random_patches(self.config.patches or None, generator))
        return dict(vars(drop_modalities(batch, self.config.modality_dropout, generator)))

    def forward(self, **tensors: Any) -> dict[str, Tensor]:
        return cross_entropy(run(self.model, Batch(**tensors)), tensors["labels"])


def _genes_of(model: GiMP) -> nn.Module:
    assert model.gene_encoder is not None  # the caller leaves this step out of a model without genes
    return model.gene_encoder


def run(model: GiMP, batch: Batch, masked: Bool[Tensor, "B N"] | None = None) -> GiMPOutput:
    """A batch through the model."""
    output: GiMPOutput = model(
        batch.embeddings, batch.cells, batch.padding, batch.genes, masked, batch.has_image, batch.has_genes
    )
    return output


def cross_entropy(output: GiMPOutput, labels: Int[Tensor, " B"]) -> dict[str, Float[Tensor, ""]]:
    """Cross-entropy and the share that is right."""
    right = (output.logits.argmax(1) == labels).float().mean()
    return {"loss": F.cross_entropy(output.logits, labels), "accuracy": right}
