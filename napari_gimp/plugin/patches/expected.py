"""What did the model expect at a patch? What workers do to tell."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

from napari_gimp.plugin import job
from napari_gimp.plugin.patches.patchpixels import NativePatch, SlideHandle, read_native
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


def expect(
    questions: Any, origin: Request, handle: SlideHandle, grid: PatchGrid, patch: int
) -> Generator[Progress, None, Expected]:
    """What the model of a run expected at a patch of its grid, as real patches with their pixels.

    Parameters
    ----------
    questions
        The pipeline's ``Questions`` to this run.

    Raises
    ------
    InputError
        The checkpoint does not rebuild masked patches, or the slide is gone.
    """
    job.step_back()
    yield Progress("asking the model", 0, 1, "patches")
    nearest = int(questions.nearest_expected(patch))
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
