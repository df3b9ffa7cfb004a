"""[CLS_img; CLS_ge] -> classes: the paper's concatenation, or calibrated logits added (METHOD sections 5 and 9).

A head answers three questions of one forward pass, for the branches meet only here: what do both inputs say, what does
the image alone, what do the genes alone? Each answer is divided by its temperature (1 until calibrated).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from napari_gimp.gimp.config import ModelConfig
from napari_gimp.types import MODALITIES, Modality


@dataclass(frozen=True, eq=False)
class Branch:
    """What a branch gives to the head: its class token (B, d), in which cases it is real, what stands in elsewhere."""

    cls: Float[Tensor, "B d"]
    present: Bool[Tensor, " B"]
    absent: Float[Tensor, " d"]

    @property
    def nothing(self) -> Float[Tensor, "B d"]:
        """The stand-in for every case."""
        return self.absent.expand(len(self.cls), -1)


ModalityLogits = Mapping[Modality, Float[Tensor, "B C"]]


class Temperatures(nn.Module):
    """One temperature per modality; written into a checkpoint's card, not among its weights."""

    values: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("values", torch.ones(len(MODALITIES)), persistent=False)

    def set(self, temperatures: Mapping[Modality, float]) -> None:
        """Take over temperatures; a modality that is not named keeps its own."""
        for i, name in enumerate(MODALITIES):
            self.values[i] = temperatures.get(name, float(self.values[i]))

    def __getitem__(self, modality: Modality) -> Float[Tensor, ""]:
        return self.values[MODALITIES.index(modality)]


class ConcatHead(nn.Sequential):
    """The paper's head: MLP([CLS_img; CLS_ge]); a learned token stands in for an input that is absent."""

    temperatures: Temperatures

    def __init__(self, config: ModelConfig, genes: int, classes: int) -> None:
        super().__init__(
            nn.Linear(2 * config.d, config.head_hidden), nn.GELU(), nn.Dropout(config.dropout),
            nn.Linear(config.head_hidden, classes),
        )  # fmt: skip
        self.temperatures = Temperatures()

    def forward(self, pair: Float[Tensor, "B d2"]) -> Float[Tensor, "B C"]:
        """The MLP itself: the temperatures are no layer."""
        for layer in list(self)[:4]:
            pair = layer(pair)
        return pair

    def answers(self, image: Branch, genes: Branch, expression: Float[Tensor, "B G"] | None) -> ModalityLogits:
        """Logits of both inputs and of either alone; ``expression`` takes no part here."""
        pairs: dict[Modality, tuple[Tensor, Tensor]] = {
            "both": (image.cls, genes.cls), "image": (image.cls, genes.nothing), "genes": (image.nothing, genes.cls)
        }  # fmt: skip
        return {name: self(torch.cat(pair, dim=1)) / self.temperatures[name] for name, pair in pairs.items()}


class SumHead(nn.Module):
    """A linear head on each class token, and with ``wide`` one on the genes themselves; calibrated logits are added.

    A case without an input gets nothing from it: logits of 0.
    """

    temperatures: Temperatures

    def __init__(self, config: ModelConfig, genes: int, classes: int) -> None:
        super().__init__()
        self.image = nn.Linear(config.d, classes)
        self.genes = nn.Linear(config.d, classes) if genes else None
        self.wide = nn.Linear(genes, classes, bias=False) if genes and config.wide else None
        self.temperatures = Temperatures()

    def answers(self, image: Branch, genes: Branch, expression: Float[Tensor, "B G"] | None) -> ModalityLogits:
        """Logits of both inputs and of either alone; ``expression`` is standardised."""
        from_image = self.image(image.cls) * image.present[:, None] / self.temperatures["image"]
        from_genes = self.of_genes(genes, expression) * genes.present[:, None] / self.temperatures["genes"]
        return {
            "both": (from_image + from_genes) / self.temperatures["both"],
            "image": from_image,
            "genes": from_genes,
        }

    def of_genes(self, genes: Branch, expression: Float[Tensor, "B G"] | None) -> Float[Tensor, "B C"]:
        """What GroupMSA and the wide path say together."""
        if self.genes is None:
            return genes.cls.new_zeros(len(genes.cls), self.image.out_features)
        logits: Tensor = self.genes(genes.cls)
        if self.wide is not None and expression is not None:
            logits = logits + self.wide(expression)
        return logits
