"""One image, many profiles: what a profile does not change is computed once."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from napari_gimp.gimp.gene_encoder import GeneEncoder, GeneTokens
from napari_gimp.gimp.model import GiMP
from napari_gimp.gimp.output import GiMPOutput


class BesideImage:
    """A member in evaluation mode beside one image: only gene groups whose genes changed since are computed again.

    Parameters
    ----------
    member
        The model.
    image
        Its pass over the image of one case.
    """

    def __init__(self, member: GiMP, image: GiMPOutput) -> None:
        self.member, self.image = member, image
        self._last: tuple[Tensor, Tensor, Tensor] | None = None

    @torch.inference_mode()
    def answer(self, genes: Float[Tensor, "1 G"] | None) -> GiMPOutput:
        """Equal to a whole pass of the member, but for what grows with the patches.

        Raises
        ------
        InputError
            Another number of genes than the model's.
        """
        fits = genes is not None and genes.shape[-1] == self.member.genes > 0
        return self.member.beside_image(self.image, genes, self._profile(genes) if fits and genes is not None else None)

    def _profile(self, genes: Float[Tensor, "1 G"]) -> GeneTokens | None:
        encoder = self.member.gene_encoder
        if not isinstance(encoder, GeneEncoder):
            return None
        fragments = encoder.fragments(self.member.gene_scaling(genes))
        if self._last is None:
            tokens, rows = encoder.within(fragments)
        else:
            before, tokens, rows = self._last
            moved = (fragments != before).flatten(2).any(-1)[0].nonzero()[:, 0]
            if len(moved):
                new = encoder.within(fragments[:, moved], moved)
                tokens, rows = (old.index_copy(1, moved, part) for old, part in zip((tokens, rows), new, strict=True))
        self._last = fragments, tokens, rows
        return encoder.between(tokens, rows)
