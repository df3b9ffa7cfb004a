"""The losses of the training steps: modules that hold the model, take a batch and return its losses by name.

Modules, because Lightning Fabric sets precision and several devices up around a module's ``forward``;
a batch enters as its tensors by name, because Fabric maps over what it is given. Beside the tensors of `Batch` come
``weights`` of the cases (they sum to 1 over the batch), ``cases`` and ``hidden``: see `napari_gimp.gimp.devices`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Generator, Tensor, nn

from napari_gimp.gimp.batches import Batch, drop_modalities, pad_samples, random_patches, symmetric_beta
from napari_gimp.gimp.devices import Share
from napari_gimp.gimp.heads import SumHead
from napari_gimp.gimp.model import GiMP, GiMPOutput
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
        self.share = Share()

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
    """Supervised on genes alone with the training labels (METHOD section 1).

    With ``gene_mixup`` from mixed profiles and their mixed labels (Zhang et al., ICLR 2018).
    """

    def groups(self) -> list[Group]:
        model, head = self.model, self.model.classifier
        deep = head.genes if isinstance(head, SumHead) and self.config.linear_heads else head
        assert deep is not None  # a model with genes
        return [Group((_genes_of(model), deep), tokens=(model.absent_image,))]

    def batch(self, samples: Sequence[Sample], generator: Generator) -> dict[str, Any]:
        batch = dict(vars(pad_samples(samples, "genes")))
        return batch | self._mixed(batch, generator) if self.config.gene_mixup else batch

    def _mixed(self, batch: dict[str, Any], generator: Generator) -> dict[str, Any]:
        """Each profile with another one of the batch; its own share is at least half."""
        genes, labels = batch["genes"], batch["labels"]
        other = torch.randperm(len(genes), generator=generator)
        share = symmetric_beta(self.config.gene_mixup, len(genes), generator)
        share = torch.maximum(share, 1 - share)
        mixed = share[:, None] * genes + (1 - share[:, None]) * genes[other]
        return {"genes": mixed, "other_labels": labels[other], "own_share": share}

    def forward(self, **tensors: Any) -> dict[str, Tensor]:
        batch, more = split(tensors)
        logits, weights = run(self.model, batch).logits, more.get("weights")
        if "own_share" not in more:
            return cross_entropy(logits, batch.labels, weights)
        even = torch.full_like(more["own_share"], 1 / len(batch)) if weights is None else weights
        own = cross_entropy(logits, batch.labels, even * more["own_share"])["loss"]
        other = cross_entropy(logits, more["other_labels"], even * (1 - more["own_share"]))["loss"]
        return {"loss": own + other, "accuracy": cross_entropy(logits, batch.labels, even)["accuracy"]}


class FinetuneStage(Stage):
    """Cross-entropy on full bags; modality dropout lets one checkpoint serve both inputs or either (METHOD 5)."""

    def groups(self) -> list[Group]:
        model, config = self.model, self.config
        rest = Group((model.classifier,), tokens=(model.absent_image, model.absent_genes))
        image = Group((model.aggregator,), 0.0 if config.freeze_image else config.image_lr_factor)
        if model.gene_encoder is None:
            return [image, rest]
        return [image, rest, Group((model.gene_encoder,), 0.0 if config.freeze_genes else config.gene_lr_factor)]

    def batch(self, samples: Sequence[Sample], generator: Generator) -> dict[str, Any]:
        batch = pad_samples(samples, choose=random_patches(self.config.patches or None, generator))
        return dict(vars(drop_modalities(batch, self.config.modality_dropout, generator)))

    def forward(self, **tensors: Any) -> dict[str, Tensor]:
        batch, more = split(tensors)
        output = run(self.model, batch)
        found = cross_entropy(output.logits, batch.labels, more.get("weights"))
        if self.config.separate_weight:
            alone = self._separate(output, batch.labels, more.get("weights"))
            found = found | {"loss": found["loss"] + self.config.separate_weight * alone, "separate": alone}
        return found

    def _separate(self, output: GiMPOutput, labels: Tensor, weights: Tensor | None) -> Float[Tensor, ""]:
        """Cross-entropy of either input alone, over the cases that have it."""
        uniform = torch.full_like(labels, 1 / len(labels), dtype=torch.float32) if weights is None else weights
        image = cross_entropy(output.answers["image"], labels, uniform * output.has_image)["loss"]
        return image + cross_entropy(output.answers["genes"], labels, uniform * output.has_genes)["loss"]


def split(tensors: dict[str, Any]) -> tuple[Batch, dict[str, Any]]:
    """What `Batch` holds, and the rest."""
    names = [field.name for field in fields(Batch)]
    return Batch(**{name: tensors[name] for name in names}), {k: x for k, x in tensors.items() if k not in names}


def _genes_of(model: GiMP) -> nn.Module:
    assert model.gene_encoder is not None  # the caller leaves this step out of a model without genes
    return model.gene_encoder


def run(model: GiMP, batch: Batch, masked: Bool[Tensor, "B N"] | None = None) -> GiMPOutput:
    """A batch through the model."""
    output: GiMPOutput = model(
        batch.embeddings, batch.cells, batch.padding, batch.genes, masked, batch.has_image, batch.has_genes
    )
    return output


def cross_entropy(
    logits: Float[Tensor, "B C"], labels: Int[Tensor, " B"], weights: Float[Tensor, " B"] | None = None
) -> dict[str, Float[Tensor, ""]]:
    """Cross-entropy and the share that is right: means, or sums with the ``weights`` given."""
    losses, right = F.cross_entropy(logits, labels, reduction="none"), (logits.argmax(1) == labels).float()
    if weights is None:
        return {"loss": losses.mean(), "accuracy": right.mean()}
    return {"loss": (losses * weights).sum(), "accuracy": (right * weights).sum()}
