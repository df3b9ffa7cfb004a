"""What a forward pass returns: everything the model knows, by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from napari_gimp.gimp.heads import Part
from napari_gimp.types import Modality


@dataclass(frozen=True, eq=False)
class GiMPOutput:
    """Everything the model knows, by name. L layers, B cases, H heads, N patches, K gene groups, C classes.

    Parameters
    ----------
    answers
        Modality -> (B, C) logits of one pass: from both inputs, from the image alone, from the genes alone. ``both``
        uses what a case has.
    cls_image, cls_genes
        (B, d), what enters the classifier: the learned 'absent' embedding where a case lacks that input.
    has_image, has_genes
        (B,), which inputs took part.
    projected
        (B, N, d) patch tokens before position and attention; gradient x input is taken here.
    patch_tokens
        (B, N, d) patch tokens behind the last layer.
    class_attention
        (L, B, H, N) the class token's row, patches only, as computed: the rest to 1 is what it gives itself, and
        Nystrom rows may be slightly negative. `patch_attention` makes shares of it. No gradient.
    parts
        Part -> (B, C) of a head that adds (`SumHead`), before its weights; None of another.
    predicted
        (B, N, D) standardised embeddings as the decoder expects them; None without ``masked``.
    group_attention
        (B, H, K) attention of CLS_ge to the gene groups in the last block. No gradient.
    fragment_attention
        (B, K, H, F) attention of each group token to the fragments of its group. No gradient.
    """

    answers: Mapping[Modality, Float[Tensor, "B C"]]
    cls_image: Float[Tensor, "B d"]
    cls_genes: Float[Tensor, "B d"]
    has_image: Bool[Tensor, " B"]
    has_genes: Bool[Tensor, " B"]
    projected: Float[Tensor, "B N d"] | None = None
    patch_tokens: Float[Tensor, "B N d"] | None = None
    class_attention: Float[Tensor, "L B H N"] | None = None
    parts: Mapping[Part, Float[Tensor, "B C"]] | None = None
    predicted: Float[Tensor, "B N D"] | None = None
    group_attention: Float[Tensor, "B H K"] | None = None
    fragment_attention: Float[Tensor, "B K H F"] | None = None

    @property
    def logits(self) -> Float[Tensor, "B C"]:
        """(B, C) from what each case has."""
        return self.answers["both"]


def patch_attention(rows: Float[Tensor, "*L H N"]) -> Float[Tensor, "*L H N"]:
    """Rows of ``class_attention`` -> shares of attention over the patches: every row sums to 1.

    What the class token gives itself is left out, and the small negative values of a Nystrom row (an approximation's
    error, no attention) are set to 0 first. A row without any attention stays 0.
    """
    shares = rows.clamp(min=0)
    return shares / shares.sum(-1, keepdim=True).clamp(min=torch.finfo(shares.dtype).tiny)
