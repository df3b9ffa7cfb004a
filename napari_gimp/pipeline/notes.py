"""What a user should know of a bag before believing what is made of it."""

from __future__ import annotations

from napari_gimp.types import Bag

FEW_PATCHES = 16
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
