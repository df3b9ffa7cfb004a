"""From one piece of tissue to the next: the tissue of the last run, or else what is detected on demand."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from napari_gimp.plugin.desk import Desk
from napari_gimp.plugin.errands import Errands
from napari_gimp.plugin.host import shows
from napari_gimp.plugin.slide.eye import Eye
from napari_gimp.plugin.slide.following import Known, tissue_shown
from napari_gimp.plugin.slide.pieces import Piece, find_pieces, next_piece, place_of
from napari_gimp.slides import Slide
from napari_gimp.types import SlideFacts, Tissue

SEEKING = "Looking for pieces of tissue…"


class PieceWalk:
    """Goes from piece to piece; looks for them beside the window.

    Parameters
    ----------
    say
        Takes a sentence for the user; empty when there is nothing to say.
    """

    def __init__(self, desk: Desk, eye: Eye, errands: Errands, say: Callable[[str], None]) -> None:
        self.desk, self.eye, self.errands, self.say = desk, eye, errands, say
        self._now: Known | None = None

    def seek(self, known: Known, slide: Slide, by: int) -> None:
        """Go to the next (1) or previous (-1) piece of a slide, at once or when they have been found."""
        self._now, tissue = known, tissue_shown(self.desk.viewer, slide.facts)
        if known.pieces and (tissue is None or tissue is known.tissue):
            self._go(known, slide.facts, by)
        elif not known.seeking:
            known.seeking = True
            self.say(SEEKING)
            self.errands.start(
                find_pieces,
                slide,
                tissue,
                self.desk.session.choices.tissue_settings,
                returned=partial(self._take, known, slide.facts, by),
                errored=partial(self._fail, known, slide.facts),
            )

    def _take(self, known: Known, facts: SlideFacts, by: int, found: tuple[Tissue, tuple[Piece, ...]]) -> None:
        known.tissue, known.pieces = found
        known.piece, known.seeking = None, False
        if known is self._now and shows(self.desk.viewer, facts):
            self._go(known, facts, by)

    def _fail(self, known: Known, facts: SlideFacts, error: Exception) -> None:
        known.seeking = False
        if shows(self.desk.viewer, facts):
            self.say("")
            self.desk.fail(error)

    def _go(self, known: Known, facts: SlideFacts, by: int) -> None:
        known.piece = next_piece(known.pieces, known.piece, by)
        self.eye.go(place_of(known.pieces[known.piece], facts, self.eye.window_px, self.eye.stands))
        self.say(f"Piece {known.piece + 1} of {len(known.pieces)}.")
