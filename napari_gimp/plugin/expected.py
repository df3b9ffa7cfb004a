"""What did the model expect at a patch? Asked in workers; the model is kept between questions."""

from __future__ import annotations

import threading
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

from napari_gimp.plugin import job
from napari_gimp.plugin.patchpixels import NativePatch, SlideHandle, read_native
from napari_gimp.plugin.session import Request
from napari_gimp.slides import open_slide
from napari_gimp.types import PatchGrid, Progress


@dataclass(frozen=True, eq=False)
class Expected:
    """A patch, the slide's patch that is nearest to what was expected there, and the pixels of both."""

    patch: int
    nearest: int
    here: NativePatch
    there: NativePatch


class Expecting:
    """Keeps the questions to one run's model and embeddings; made when first asked for, let go of by :meth:`forget`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: tuple[Request, Any] | None = None

    def nearest(self, origin: Request, patch: int) -> Generator[Progress, None, int]:
        """The slide's patch that is nearest to what the model of this run expected at a patch of its grid.

        Raises
        ------
        InputError
            The checkpoint does not rebuild masked patches, or something of the run is gone.
        """
        job.step_back()
        yield Progress("asking the model", 0, 1, "patches")
        kept = self._kept
        questions = kept[1] if kept is not None and kept[0] is origin else (yield from self._prepare(origin))
        return int(questions.nearest_expected(patch))

    def _prepare(self, origin: Request) -> Generator[Progress, None, Any]:
        questions = yield from questions_of(origin)
        with self._lock:
            self._kept = origin, questions
        return questions

    def forget(self) -> None:
        """Let go of model and embeddings."""
        with self._lock:
            self._kept = None


def expect(
    expecting: Expecting, origin: Request, handle: SlideHandle, grid: PatchGrid, patch: int
) -> Generator[Progress, None, Expected]:
    """What the model of a run expected at a patch, as real patches with their pixels; errors of `Expecting.nearest`."""
    nearest = yield from expecting.nearest(origin, patch)
    path, identity = origin.path, origin.slide.identity
    here = yield from read_native(handle, path, identity, grid, patch, False)
    there = yield from read_native(handle, path, identity, grid, nearest, False)
    return Expected(patch, nearest, here, there)


def questions_of(origin: Request) -> Generator[Progress, None, Any]:
    """The pipeline's ``Questions`` to the model and embeddings of a run; embeddings come from the cache."""
    pipeline = yield from job.the_pipeline()
    with open_slide(origin.path) as slide:
        job.take_given_mpp(slide, origin.slide)
        prepared = yield from pipeline.prepare(slide, job.plan_of(origin), profile=origin.profile, drawn=origin.drawn)
    questions = yield from pipeline.Questions.of(prepared, origin.choices.maps)
    return questions
