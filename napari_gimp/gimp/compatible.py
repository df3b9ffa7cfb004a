"""Does a bag belong to a checkpoint? Loads no torch."""

from __future__ import annotations

from napari_gimp.settings import InputError
from napari_gimp.types import Bag, CheckpointFacts

SAME_SIZE = 0.02
"""Patches may differ by this share: the nominal magnifications of files are no better."""


def check_bag(facts: CheckpointFacts, bag: Bag) -> tuple[str, ...]:
    """Refuse a bag that another encoder made; warn where it cannot be told, and of patches of another size.

    Returns
    -------
    Notes for the user.

    Raises
    ------
    InputError
        Another encoder, or embeddings of another width.
    """
    if bag.encoder is not None:
        check_encoder(facts, bag.encoder, bag.slide)
    width = bag.features.shape[1]
    if width != facts.embedding_dim:
        raise InputError(
            f"{bag.slide}: expected embeddings {facts.embedding_dim} wide, found {width}; embed the slide with the"
            f" encoder of the checkpoint ({facts.encoder or 'unnamed'})."
        )
    notes = (*_compare_patches(facts, bag), *_compare_places(facts, bag))
    if facts.encoder is None or bag.encoder is None:
        unnamed = "the checkpoint" if facts.encoder is None else "the bag"
        return (
            f"{bag.slide}: {unnamed} does not name its encoder; only the width of the embeddings ({width}) was"
            " compared. The result means nothing if the encoders differ.",
            *notes,
        )
    return notes


def _compare_patches(facts: CheckpointFacts, bag: Bag) -> tuple[str, ...]:
    """A warning where patches cover another stretch of tissue than those of the training."""
    if bag.grid is None or bag.grid.mpp_yx is None or facts.patch_px is None or facts.patch_mpp is None:
        return ()
    trained_um, found_um = facts.patch_px * facts.patch_mpp, bag.grid.size_yx_px[0] * bag.grid.mpp_yx[0]
    if abs(found_um / trained_um - 1) <= SAME_SIZE:
        return ()
    return (
        f"Warning: {bag.slide}: patches of {found_um:.4g} um a side, {facts.name} was trained on {trained_um:.4g} um;"
        " embed the slide as for the training.",
    )


def _compare_places(facts: CheckpointFacts, bag: Bag) -> tuple[str, ...]:
    """A warning where position encoding sees grid cells here and saw scan indices in training, or the other way."""
    trained = facts.provenance.get("has_places")
    if trained is None or trained == (bag.grid is not None):
        return ()
    words = {True: "with coordinates", False: "without coordinates"}
    return (
        f"Warning: {facts.name} was trained on bags {words[trained]}, {bag.slide} is one {words[not trained]}: its"
        " positions mean something else to the model.",
    )


def check_encoder(facts: CheckpointFacts, encoder: str, slide: str = "GiMP") -> None:
    """Refuse another encoder than the one that a checkpoint names; one that names none is not compared.

    Raises
    ------
    InputError
        Names both encoders.
    """
    if facts.encoder is not None and facts.encoder != encoder:
        raise InputError(
            f"{slide}: expected embeddings of encoder {facts.encoder}, which {facts.name} was trained with, found"
            f" {encoder}; embed the slide with that encoder or choose another checkpoint."
        )
