"""[CLS_img; CLS_ge] -> classes: the paper's concatenation, or weighted logits added (METHOD sections 5 and 9).

A head answers three questions of one forward pass, for the branches meet only here: what do both inputs say, what does
the image alone, what do the genes alone? Calibration divides an answer by a temperature, or weighs what is added.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

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


Part = Literal["image", "genes", "wide"]
PARTS: tuple[Part, ...] = get_args(Part)
"""Of a `SumHead`: the image head, GroupMSA's head, the linear path from the genes."""
OF_ANSWER: Mapping[Modality, tuple[Part, ...]] = {"both": PARTS, "image": ("image",), "genes": ("genes", "wide")}

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

    def calibrate(self, calibration: Mapping[str, Any]) -> None:
        """Take over the temperatures of a checkpoint's card."""
        self.temperatures.set(calibration.get("temperatures", {}))

    def forward(self, pair: Float[Tensor, "B d2"]) -> Float[Tensor, "B C"]:
        """The MLP itself: the temperatures are no layer."""
        for layer in list(self)[:4]:
            pair = layer(pair)
        return pair

    def parts(self, image: Branch, genes: Branch, expression: Float[Tensor, "B G"] | None) -> None:
        """It has none."""

    def answers(self, image: Branch, genes: Branch, expression: Float[Tensor, "B G"] | None) -> ModalityLogits:
        """Logits of both inputs and of either alone; ``expression`` takes no part here."""
        pairs: dict[Modality, tuple[Tensor, Tensor]] = {
            "both": (image.cls, genes.cls), "image": (image.cls, genes.nothing), "genes": (image.nothing, genes.cls)
        }  # fmt: skip
        return {name: self(torch.cat(pair, dim=1)) / self.temperatures[name] for name, pair in pairs.items()}


class Weights(nn.Module):
    """How much each part counts in each answer of a `SumHead`; written into a checkpoint's card, not its weights."""

    values: Tensor

    def __init__(self) -> None:
        super().__init__()
        plain = [[float(part in OF_ANSWER[name]) for part in PARTS] for name in MODALITIES]
        self.register_buffer("values", torch.tensor(plain), persistent=False)

    def set(self, weights: Mapping[Modality, Mapping[Part, float]]) -> None:
        """Take over weights; an answer or part that is not named keeps its own."""
        for name, parts in weights.items():
            for part, weight in parts.items():
                self.values[MODALITIES.index(name), PARTS.index(part)] = weight

    def __getitem__(self, modality: Modality) -> Float[Tensor, " P"]:
        return self.values[MODALITIES.index(modality)]


class SumHead(nn.Module):
    """Linear heads on each class token, and with ``wide`` one on the genes themselves; weighted logits are added.

    A case without an input is answered from what it has: an absent part is left out, never imputed.
    """

    weights: Weights

    def __init__(self, config: ModelConfig, genes: int, classes: int) -> None:
        super().__init__()
        self.image = nn.Linear(config.d, classes)
        self.genes = nn.Linear(config.d, classes) if genes else None
        self.wide = nn.Linear(genes, classes) if genes and config.wide else None
        for unused in () if self.wide is None else self.wide.parameters():
            nn.init.zeros_(unused)  # says nothing until it is fitted
        self.weights = Weights()

    def calibrate(self, calibration: Mapping[str, Any]) -> None:
        """Take over the weights of a checkpoint's card."""
        self.weights.set(calibration.get("weights", {}))

    def answers(self, image: Branch, genes: Branch, expression: Float[Tensor, "B G"] | None) -> ModalityLogits:
        """Logits of both inputs and of either alone; ``expression`` is standardised."""
        parts = torch.stack(list(self.parts(image, genes, expression).values()))
        found = {name: torch.einsum("pbc,p->bc", parts, self.weights[name].to(parts)) for name in MODALITIES}
        lacks_genes, lacks_image = (~branch.present[:, None] for branch in (genes, image))
        both = found["both"].where(~lacks_genes, found["image"]).where(~lacks_image | lacks_genes, found["genes"])
        return {**found, "both": both}

    def parts(
        self, image: Branch, genes: Branch, expression: Float[Tensor, "B G"] | None
    ) -> dict[Part, Float[Tensor, "B C"]]:
        """What each part says, 0 where its input is absent."""
        from_image: Tensor = self.image(image.cls)
        nothing = torch.zeros_like(from_image)
        deep = nothing if self.genes is None else self.genes(genes.cls)
        wide = nothing if self.wide is None or expression is None else self.wide(expression)
        there = genes.present[:, None]
        return {"image": from_image * image.present[:, None], "genes": deep * there, "wide": wide * there}
