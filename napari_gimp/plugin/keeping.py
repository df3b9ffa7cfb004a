"""Finished results on disk, and back: generators for a worker. The key of a request is told without computing."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import suppress
from pathlib import Path

from napari_gimp import kept
from napari_gimp.bundled import cache_folder
from napari_gimp.plugin import job
from napari_gimp.plugin.session import Choices, Request
from napari_gimp.types import Prediction, Progress

RESULTS_GB = 2.0
"""The results used longest ago are removed when they take more."""


def base_folder(choices: Choices) -> Path:
    """The cache in which embeddings, results and sessions have a folder each."""
    return cache_folder() if choices.cache is None else choices.cache.parent


def results_folder(choices: Choices) -> Path:
    """Where finished results lie."""
    return base_folder(choices) / "results"


def key_of(request: Request) -> str | None:
    """The key of a request's result, None where it cannot be told before the run. After `job.the_pipeline`.

    Raises
    ------
    InputError, OSError
        A checkpoint or ready embeddings that cannot be read; a slide of unknown um per pixel.
    """
    from napari_gimp.pipeline.known import request_key

    return request_key(request.slide, job.plan_of(request), profile=request.profile, drawn=request.drawn)


def keep(request: Request, prediction: Prediction) -> Generator[Progress, None, None]:
    """Write a whole result to where `find` finds it."""
    yield Progress("keeping the result", 0, 1, "file")
    yield from job.the_pipeline()
    key, folder = key_of(request), results_folder(request.choices)
    if key is not None and not kept.prediction_path(folder, key).exists():
        kept.keep_prediction(folder, key, prediction)
        _trim(folder)


def find(request: Request) -> Generator[Progress, None, Prediction | None]:
    """The kept result of a request, None where there is none."""
    yield Progress("looking for the result", 0, 1, "file")
    yield from job.the_pipeline()
    return found(request)


def found(request: Request) -> Prediction | None:
    """The kept result of a request, None where there is none. After `job.the_pipeline`; raises as `key_of`."""
    key = key_of(request)
    return None if key is None else kept.find_prediction(results_folder(request.choices), key)


def _trim(folder: Path) -> None:
    files = {path: path.stat() for path in folder.glob("*.result")}
    total = sum(stat.st_size for stat in files.values())
    for path in sorted(files, key=lambda path: files[path].st_mtime):
        if total <= RESULTS_GB * 1e9:
            return
        with suppress(OSError):
            path.unlink()
            total -= files[path].st_size
