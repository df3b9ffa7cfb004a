"""What a user should know of a bag before believing what is made of it."""

from __future__ import annotations

from napari_gimp.types import Bag, CheckpointFacts

FEW_PATCHES = 16
USUAL_STRIDE = 1.0
SAME_STRIDE = 0.02
ENLARGED = 1.25


def bag_notes(bag: Bag, patch_px: int | None = None) -> tuple[str, ...]:
    """Sentences on patches that are missing, few, or enlarged to the encoder's size.

    Parameters
    ----------
    patch_px
        Side of the encoder's patches in pixels; None: not compared.
    """
    notes = []
    if len(bag.missing_yx):
        notes.append(f"{len(bag.missing_yx)} of {len(bag) + len(bag.missing_yx)} patches could not be read.")
    if len(bag) < FEW_PATCHES:
        notes.append(
            f"Few patches ({len(bag)}): attention and masked reconstruction have hardly any neighbours to go by."
        )
    times = 1.0 if bag.grid is None or patch_px is None else patch_px / min(bag.grid.size_yx_px)
    if times > ENLARGED:
        notes.append(
            f"The slide is coarser than the encoder's patches: they are enlarged {times:.1f} times, and their"
            " embeddings are unlike those of sharp ones."
        )
    return tuple(notes)


def training_notes(bag: Bag, facts: CheckpointFacts) -> tuple[str, ...]:
    """Sentences on patches that are cut otherwise than those of the training, or of which that cannot be told."""
    if bag.grid is None:
        return ()
    return (*_size_note(bag, facts), *_stride_note(bag.grid.stride_yx_px[0] / bag.grid.size_yx_px[0], facts))


def _size_note(bag: Bag, facts: CheckpointFacts) -> tuple[str, ...]:
    if facts.patch_px is not None and facts.patch_mpp is not None:
        return ()  # compared where the bag is checked
    said = bag.provenance.get("patch_px"), bag.provenance.get("patch_mpp")
    found = "patches of unknown size" if None in said else f"patches of {said[0]} px at {said[1]:g} um per pixel"
    return (f"{facts.name} does not name the patches it was trained on; taken are {found}: are they the same?",)


def _stride_note(stride: float, facts: CheckpointFacts) -> tuple[str, ...]:
    trained = facts.provenance.get("stride")
    if abs(stride / (trained or USUAL_STRIDE) - 1) <= SAME_STRIDE:
        return ()
    training = f"was trained on {trained:g}" if trained else f"does not name its own stride ({USUAL_STRIDE:g} is usual)"
    return (
        f"Warning: patches every {stride:.2g} patch sides; {facts.name} {training}: position encoding and masked"
        " reconstruction see other distances between neighbours.",
    )
