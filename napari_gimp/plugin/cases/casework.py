"""What a worker does for a list of cases: find what is known of each slide, run GiMP on one. Generators, no Qt."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Generator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from napari_gimp import words
from napari_gimp.files import write_text_whole
from napari_gimp.genes.matching import match_case
from napari_gimp.plugin import job
from napari_gimp.plugin.cases import keeping
from napari_gimp.plugin.cases.caselist import CaseList, CaseSlide, Standing, read_list
from napari_gimp.plugin.cases.keeping import Kept
from napari_gimp.plugin.session import Choices, Request, why_not
from napari_gimp.settings import InputError
from napari_gimp.slides import Slide, open_slide
from napari_gimp.types import Prediction, Progress

THUMBNAIL_PX = (72, 54)
"""Largest width and height of a thumbnail; it is made of the slide's own pixels, never of its label."""
NOT_FOUND = "The file of the slide was not found."


@dataclass(frozen=True, eq=False)
class Known:
    """What was found of one slide of the list; ``partial``, so that no report is held back."""

    number: int
    standing: Standing
    thumbnail: UInt8[np.ndarray, "h w 3"] | None = None
    tissue: None = None
    grid: None = None
    partial: bool = True


def request_for(slide: CaseSlide, facts_of: Slide, choices: Choices) -> Request:
    """The run of one slide of a list as the panel would begin it: its own sample, or image only where it has none.

    Raises
    ------
    InputError
        Something does not fit: no checkpoint, no um per pixel, another scale of the profile.
    """
    chosen = replace(choices, path=slide.path, slide=facts_of.facts, bag=None, reading=None, unread=None)
    chosen = _with_sample(slide, chosen)
    reason = why_not(chosen)
    if reason or chosen.path is None or chosen.slide is None or chosen.checkpoint is None:
        raise InputError(reason or NOT_FOUND)
    return Request(1, chosen.path, chosen.slide, chosen.checkpoint, chosen, None)


def _with_sample(slide: CaseSlide, chosen: Choices) -> Choices:
    table, facts = chosen.expression, chosen.facts
    if table is None or facts is None or not facts.genes or chosen.slide is None:
        return replace(chosen, expression=None, sample=None, sample_notes=())
    for name in (chosen.slide.name, slide.case_id):
        found = match_case(table, name)
        if found is not None:
            return replace(chosen, sample=found.sample, sample_notes=found.notes)
    return replace(chosen, expression=None, sample=None, sample_notes=())


def what_counts(chosen: Choices) -> tuple[Any, ...]:
    """What the result of a slide hangs on beside the slide."""
    return (
        chosen.checkpoint, chosen.facts, chosen.encoder, chosen.weights, chosen.grain, chosen.tissue_settings,
        chosen.maps, chosen.expression, chosen.reading, chosen.cache,
    )  # fmt: skip


def look_up(
    slides: Sequence[CaseSlide], choices: Choices, failures: Mapping[str, str], pictures: bool = True
) -> Generator[Any, None, None]:
    """What the disk knows of each slide: yields a `Known` for each, and another one with its thumbnail.

    Parameters
    ----------
    failures
        Slide -> why it failed last; counts where nothing else is known.
    """
    job.step_back()
    yield from job.the_pipeline()
    for number, slide in enumerate(slides):
        yield Known(number, _standing(slide, choices, failures.get(slide.slide_id, "")))
    for number, slide in enumerate(slides if pictures else ()):
        picture = yield from _thumbnail(slide, keeping.base_folder(choices) / "thumbnails")
        if picture is not None:
            yield Known(number, Standing(), picture)


def _standing(slide: CaseSlide, choices: Choices, failed: str) -> Standing:
    if slide.path is None:
        return Standing("failed", NOT_FOUND)
    try:
        with open_slide(slide.path) as opened:
            if choices.facts is None:
                return Standing("failed", failed) if failed else Standing()
            request = request_for(slide, opened, choices)
        found = keeping.found(request)
        if found is not None:
            return standing_of(found)
        state = Standing("embedded" if is_embedded(request) else "new")
    except (InputError, OSError) as error:
        return Standing("failed", failed or words.error_words(error))
    return replace(state, state="failed", reason=failed) if failed else state


def standing_of(prediction: Prediction) -> Standing:
    """A finished slide in the list's words."""
    values = prediction.probabilities[prediction.modality]
    best = int(np.argmax(values))
    inputs = words.MODALITY_WORDS[prediction.modality]
    return Standing("predicted", "", prediction.classes[best], float(values[best]), inputs)


def is_embedded(request: Request) -> bool:
    """Whether the embeddings of a request lie in the cache."""
    bag = keeping.bag_of(request)
    return bag is not None and bag.exists()


def _thumbnail(slide: CaseSlide, folder: Path) -> Generator[Progress, None, UInt8[np.ndarray, "h w 3"] | None]:
    """A small picture of the slide's own pixels, kept for the next time."""
    if slide.path is None:
        return None
    try:
        with open_slide(slide.path) as opened:
            kept = folder / f"{opened.facts.identity[:32]}.png"
            if not kept.exists():
                overview = yield from opened.read_overview()
                picture = Image.fromarray(overview)
                picture.thumbnail(THUMBNAIL_PX)
                folder.mkdir(parents=True, exist_ok=True)
                picture.save(kept)
        with Image.open(kept) as stored:
            return np.asarray(stored.convert("RGB"))
    except (InputError, OSError):
        return None  # its state says what is wrong with it


def run_slide(slide: CaseSlide, choices: Choices) -> Generator[Progress, None, Prediction]:
    """Run GiMP on a slide of the list and keep the result; one that is kept is taken as it is.

    Raises
    ------
    InputError
        Whatever does not fit.
    """
    if slide.path is None:
        raise InputError(NOT_FOUND)
    yield from job.the_pipeline()
    with open_slide(slide.path) as opened:
        request = request_for(slide, opened, choices)
    prediction = keeping.found(request)
    if prediction is None:
        prediction = yield from job.analyse(request)
        yield from keeping.keep(request, prediction)
    return prediction


def listing(source: Path, slides: Path | None) -> Generator[Progress, None, CaseList]:
    """The list of a folder or a table; raises as `caselist.read_list`."""
    yield Progress(f"reading {source.name}", 0, 0, "file")
    return read_list(source, slides)


def kept_of(slide: CaseSlide, choices: Choices) -> Generator[Progress, None, tuple[Request, Kept] | None]:
    """What a run of this slide would give, where it is kept; None where it is not, or nothing can be run."""
    yield from job.the_pipeline()
    try:
        with open_slide(slide.path or slide.slide_id) as opened:
            request = request_for(slide, opened, choices)
        prediction = keeping.found(request)
    except InputError:
        return None  # the panel says below Run what is missing
    return None if prediction is None else (request, Kept(prediction, keeping.tissue_of(request)))


class Failures:
    """Why slides of a list failed, kept on disk beside the other results; a success takes its reason away."""

    def __init__(self, source: Path, choices: Choices) -> None:
        mark = hashlib.sha256(str(source.absolute()).encode()).hexdigest()[:16]
        self._file = keeping.base_folder(choices) / "cases" / f"{mark}.json"
        self.reasons: dict[str, str] = {}
        with suppress(OSError, ValueError, AttributeError):
            stored = json.loads(self._file.read_text(encoding="utf-8"))
            self.reasons = {str(name): str(reason) for name, reason in stored["failed"].items()}

    def note(self, slide_id: str, reason: str) -> None:
        """A slide failed, or (an empty reason) succeeded.

        Raises
        ------
        InputError
            It cannot be written.
        """
        before = dict(self.reasons)
        self.reasons.pop(slide_id, None)
        if reason:
            self.reasons[slide_id] = reason
        if before != self.reasons:
            write_text_whole(self._file, json.dumps({"failed": self.reasons}, indent=1, ensure_ascii=False))
