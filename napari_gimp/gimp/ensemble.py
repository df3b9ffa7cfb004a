"""Several trained members (seeds) of one shape as one model: logits averaged, everything else kept side by side."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from napari_gimp.gimp.config import ModelConfig
from napari_gimp.gimp.model import GiMP
from napari_gimp.gimp.output import GiMPOutput
from napari_gimp.types import Modality


class Ensemble(nn.Module):
    """Members of one configuration, trained from different seeds; one member is an ordinary model.

    Parameters
    ----------
    members
        At least one; all with the same sizes, genes and classes.
    """

    def __init__(self, members: Sequence[GiMP]) -> None:
        super().__init__()
        if not members:
            raise ValueError("Expected at least one member, found none.")
        self._members = nn.ModuleList(members)

    @property
    def members(self) -> tuple[GiMP, ...]:
        """The models."""
        return tuple(self._members)  # type: ignore[arg-type]

    @property
    def config(self) -> ModelConfig:
        """Sizes and choices, the same for all members."""
        return self.members[0].config

    @property
    def genes(self) -> int:
        """Length of the expression vector; 0 without a gene branch."""
        return self.members[0].genes

    @property
    def classes(self) -> int:
        """Number of classes."""
        return self.members[0].classes

    @property
    def embedding_dim(self) -> int:
        """D, width of the patch embeddings."""
        return self.members[0].embedding_dim

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.members[0].device

    def forward(
        self,
        embeddings: Float[Tensor, "B N D"] | None = None,
        cells: Int[Tensor, "B N 2"] | None = None,
        padding: Bool[Tensor, "B N"] | None = None,
        genes: Float[Tensor, "B G"] | None = None,
        masked: Bool[Tensor, "B N"] | None = None,
        has_image: Bool[Tensor, " B"] | None = None,
        has_genes: Bool[Tensor, " B"] | None = None,
    ) -> EnsembleOutput:
        """Each member's forward pass; arguments as of `GiMP`."""
        given = (embeddings, cells, padding, genes, masked, has_image, has_genes)
        return EnsembleOutput(tuple(member(*given) for member in self.members))


class EnsembleOutput:
    """What M members say of the same cases.

    Parameters
    ----------
    members
        One forward pass each.
    """

    def __init__(self, members: tuple[GiMPOutput, ...]) -> None:
        self.members = members

    @property
    def answers(self) -> dict[Modality, Float[Tensor, "B C"]]:
        """Logits by modality, mean over the members."""
        return {name: torch.stack([m.answers[name] for m in self.members]).mean(0) for name in self.members[0].answers}

    def probabilities(self, modality: Modality) -> Float[Tensor, "M B C"]:
        """Each member's own class probabilities; their spread is the doubt that seeds leave."""
        return torch.stack([member.answers[modality].float().softmax(-1) for member in self.members])

    def rows(self, name: str) -> Float[Tensor, ...] | None:
        """Attention rows of all members, heads side by side: M x H of them.

        ``name`` is one of the attention fields of `GiMPOutput`; its head axis is the one before the last.
        """
        found = [getattr(member, name) for member in self.members]
        return None if found[0] is None else torch.cat(found, dim=-2)
