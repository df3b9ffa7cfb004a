"""Finished results on disk, and back: generators for a worker. The key of a request is told without computing."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

from napari_gimp import kept
from napari_gimp.bags import bag_fingerprint
from napari_gimp.bundled import cache_folder
from napari_gimp.plugin import job
from napari_gimp.plugin.session import Choices, Request
from napari_gimp.regions import read_geojson, regions_to_mask
from napari_gimp.types import PatchSpec, Prediction, Progress, Tissue

RESULTS_GB = 2.0
"""The results used longest ago are removed when they take more."""


@dataclass(frozen=True, eq=False)
class Kept:
    """A result from the disk, with the tissue that it was computed on where that is known."""

    prediction: Prediction
    tissue: Tissue | None = None


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
        kept.trim_kept(folder, RESULTS_GB * 1e9)


def find(request: Request) -> Generator[Progress, None, Kept | None]:
    """The kept result of a request, None where there is none."""
    yield Progress("looking for the result", 0, 1, "file")
    yield from job.the_pipeline()
    prediction = found(request)
    return None if prediction is None else Kept(prediction, tissue_of(request))


def found(request: Request) -> Prediction | None:
    """The kept result of a request, None where there is none. After `job.the_pipeline`; raises as `key_of`."""
    key = key_of(request)
    return None if key is None else kept.find_prediction(results_folder(request.choices), key)


def bag_of(request: Request) -> Path | None:
    """Where the embeddings of a request lie in the cache once they are made; None where that cannot be told."""
    from napari_gimp.pipeline.cache import cached_bag
    from napari_gimp.pipeline.embedding import tissue_key

    chosen, facts = request.choices, request.choices.facts
    if facts is None or facts.encoder is None or facts.patch_px is None or facts.patch_mpp is None:
        return None
    spec = PatchSpec(facts.patch_px, facts.patch_mpp, chosen.grain.stride, chosen.grain.min_tissue)
    mark = bag_fingerprint(request.slide, spec, tissue_key(chosen.tissue_settings, request.drawn), facts.encoder)
    return cached_bag(chosen.cache or base_folder(chosen) / "bags", facts.encoder, request.slide.name, mark)


def tissue_of(request: Request) -> Tissue | None:
    """The tissue that a kept result was computed on, from the outline beside its embeddings; None without one."""
    from napari_gimp.pipeline.cache import tissue_path

    if request.drawn is not None:
        return request.drawn
    bag, slide = bag_of(request), request.slide
    if bag is None or not tissue_path(bag).exists():
        return None
    outline = read_geojson(tissue_path(bag))
    return Tissue(regions_to_mask(outline, slide.shape_yx, slide.level_shapes_yx[-1]), slide.shape_yx)
