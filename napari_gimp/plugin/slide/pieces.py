"""Tissue -> its pieces in reading order, and the views that they fill: pure functions."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int
from scipy import ndimage

from napari_gimp.plugin.slide.navigation import Orientation, Pair, Place, world_of
from napari_gimp.slides import Slide
from napari_gimp.slides.tissue import TissueSettings, tissue_of
from napari_gimp.types import Progress, SlideFacts, Tissue

LEAST_PIECE_SHARE, MOST_PIECES = 0.01, 60
"""Pieces of tissue below this share of the largest are crumbs."""
PIECE_GAP_UM = 150.0
"""Tissue closer than this belongs to one piece."""
FILLED = 0.9
"""Share of the window that a piece of tissue fills."""


@dataclass(frozen=True)
class Piece:
    """A piece of tissue: its box in level-0 pixels and its area in mask pixels."""

    top: float
    left: float
    bottom: float
    right: float
    area: int


def tissue_pieces(tissue: Tissue, gap_px: float = 0.0) -> tuple[Piece, ...]:
    """The largest pieces of tissue in reading order: rows from the top, each from the left.

    Parameters
    ----------
    gap_px
        Tissue that is closer than this, in level-0 pixels, is one piece.

    Returns
    -------
    At most ``MOST_PIECES``, each of at least ``LEAST_PIECE_SHARE`` of the largest.
    """
    labels, count = ndimage.label(_joined(tissue.mask, gap_px, tissue.scale_yx_px), np.ones((3, 3)))
    if not count:
        return ()
    areas = np.bincount(labels[tissue.mask], minlength=count + 1)
    boxes = ndimage.find_objects(np.where(tissue.mask, labels, 0))
    kept = [k for k in _largest(areas) if boxes[k - 1] is not None]
    return _reading_order([_piece(boxes[k - 1], int(areas[k]), tissue.scale_yx_px) for k in kept])


def _joined(mask: Bool[np.ndarray, "h w"], gap_px: float, scale_yx_px: Pair) -> Bool[np.ndarray, "h w"]:
    """The mask grown by half of the gap."""
    if gap_px <= 0 or not mask.any():
        return mask
    return np.asarray(ndimage.distance_transform_edt(~mask, sampling=scale_yx_px) <= gap_px / 2)


def _largest(areas: Int[np.ndarray, " n"]) -> list[int]:
    order = np.argsort(-areas, kind="stable")[:MOST_PIECES]
    return [int(k) for k in order if areas[k] >= max(1, LEAST_PIECE_SHARE * areas.max())]


def _piece(box: tuple[slice, slice], area: int, scale_yx_px: Pair) -> Piece:
    (rows, columns), (y, x) = box, scale_yx_px
    return Piece(rows.start * y, columns.start * x, rows.stop * y, columns.stop * x, area)


def _reading_order(pieces: list[Piece]) -> tuple[Piece, ...]:
    """Rows begin with the topmost piece that is left; those whose middle lies beside it follow in its row."""
    left, read = sorted(pieces, key=lambda piece: piece.top), []
    while left:
        first = left[0]
        row = [piece for piece in left if piece.top <= first.bottom and _middle(piece) <= first.bottom]
        left = [piece for piece in left if piece not in row]
        read += sorted(row, key=lambda piece: piece.left)
    return tuple(read)


def _middle(piece: Piece) -> float:
    return (piece.top + piece.bottom) / 2


def next_piece(pieces: tuple[Piece, ...], last: int | None, by: int) -> int:
    """Number of the piece to go to: the largest at first, then around in reading order."""
    if last is None or last >= len(pieces):
        return max(range(len(pieces)), key=lambda k: pieces[k].area)
    return (last + by) % len(pieces)


def place_of(piece: Piece, facts: SlideFacts, window_px: Pair, stands: Orientation) -> Place:
    """The view that a piece of tissue fills."""
    low, high = (
        world_of((y / facts.shape_yx[0], x / facts.shape_yx[1]), facts)
        for y, x in ((piece.top, piece.left), (piece.bottom, piece.right))
    )
    size, window = (high[0] - low[0], high[1] - low[1]), window_px[::-1] if stands.swapped else window_px
    per_px = max(s / (n * FILLED) for s, n in zip(size, window, strict=True))
    return Place(((low[0] + high[0]) / 2, (low[1] + high[1]) / 2), per_px)


def find_pieces(
    slide: Slide, tissue: Tissue | None, settings: TissueSettings
) -> Generator[Progress, None, tuple[Tissue, tuple[Piece, ...]]]:
    """The pieces of this tissue, or of what is detected where there is none yet; for a worker.

    Raises
    ------
    InputError
        No tissue to be found; unknown um per pixel.
    """
    yield Progress("finding tissue", 0, 2, "step")
    found = tissue_of(slide, settings) if tissue is None else tissue
    yield Progress("finding tissue", 1, 2, "step")
    return found, tissue_pieces(found, PIECE_GAP_UM / max(slide.facts.known_mpp_yx()))
