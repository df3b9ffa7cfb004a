"""What the rows of the case list say: pure functions from list, standings and queue to words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from napari_gimp.plugin.cases.caselist import CaseSlide, Standing
from napari_gimp.plugin.cases.queue import Queue
from napari_gimp.words import MODALITY_WORDS

LIMITED = (MODALITY_WORDS["image"], MODALITY_WORDS["genes"])


@dataclass(frozen=True)
class CaseRow:
    """What a row says. ``number``: place of the slide in the list; ``starts``: first slide of its case."""

    number: int
    case: str
    slide: str
    label: str = ""
    prediction: str = ""
    state: str = ""
    tip: str = ""
    starts: bool = True


def row_of(
    place: int, order: Sequence[int], slides: Sequence[CaseSlide], all_: Sequence[Standing], queue: Queue
) -> CaseRow:
    """The row at a place of the shown order.

    Parameters
    ----------
    order
        Numbers of the slides that are shown.
    slides, all_
        Every slide of the list and its standing.
    """
    number = order[place]
    slide, standing = slides[number], all_[number]
    starts = place == 0 or slides[order[place - 1]].case_id != slide.case_id
    only = f"\n{standing.inputs}" if standing.inputs in LIMITED else ""
    state = "running…" if number == queue.present else "waits" if number in queue.waiting else standing.state
    said = f"{standing.prediction}, from {standing.inputs}" if standing.called else "no prediction"
    label = f"label {slide.label}" if slide.label else "no label"
    about = f"{slide.case_id}, {slide.slide_id} · {label} · {said} · {standing.state}"
    tip = f"{about}: {standing.reason}" if standing.reason else about
    return CaseRow(number, slide.case_id, slide.slide_id, slide.label, standing.prediction + only, state, tip, starts)
