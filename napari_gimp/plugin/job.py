"""What runs in the worker thread: generators without Qt. torch and the pipeline are imported here, on first use."""

from __future__ import annotations

import ctypes
import importlib
import importlib.util
import os
import sys
import threading
from collections.abc import Generator, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any

from napari_gimp.genes import Expression, read_expression
from napari_gimp.plugin.session import Request
from napari_gimp.settings import InputError
from napari_gimp.slides import Slide, open_slide
from napari_gimp.types import Prediction, Progress, SlideFacts

BACKGROUND_NICE = 5
NO_TORCH = (
    "torch could not be loaded ({reason}); expected a working installation of torch."
    " On Windows torch must be loaded before the window: start with `napari-gimp view`."
)


def analyse(request: Request) -> Generator[Progress, None, Prediction]:
    """The run of one request, with a handle on the slide of its own that is closed whatever happens."""
    step_back()
    pipeline = yield from the_pipeline()
    plan, chosen = plan_of(request), request.choices
    with open_slide(request.path) as slide:
        take_given_mpp(slide, request.slide)
        prediction: Prediction = yield from pipeline.analyse(slide, plan, profile=request.profile, drawn=request.drawn)
    if chosen.cache is not None:
        pipeline.trim(chosen.cache, chosen.cache_gb * 1e9)
    return prediction


def the_pipeline() -> Generator[Progress, None, Any]:
    """The pipeline's module, with torch loaded before it.

    Raises
    ------
    InputError
        torch cannot be loaded.
    """
    yield from warm_up()
    try:
        return importlib.import_module("napari_gimp.pipeline")
    except OSError as error:
        raise InputError(NO_TORCH.format(reason=error)) from error


def plan_of(request: Request) -> Any:
    """The request as the pipeline takes it (an ``Analysis``); after :func:`the_pipeline`."""
    from napari_gimp.pipeline import Analysis

    chosen = request.choices
    return Analysis(
        request.checkpoint,
        encoder=chosen.encoder,
        weights=chosen.weights,
        device=chosen.device,
        bag=chosen.bag,
        cache=chosen.cache,
        stride=chosen.grain.stride,
        min_tissue=chosen.grain.min_tissue,
        tissue=chosen.tissue_settings,
        maps=chosen.maps,
    )


def take_given_mpp(slide: Slide, seen: SlideFacts) -> None:
    """um per pixel as the user saw them: the file's own stay, also where they differ along y and x."""
    if slide.facts.mpp_yx != seen.mpp_yx:
        slide.with_mpp(seen.known_mpp_yx()[0])


def warm_up() -> Generator[Progress, None, None]:
    """Load torch before it is needed: it takes seconds, most of them without stopping the window."""
    yield Progress("loading torch", 0, 0, "step")
    spec = None if "torch" in sys.modules else importlib.util.find_spec("torch")
    if spec is not None and spec.origin is not None and sys.platform.startswith("linux"):
        _load_library(Path(spec.origin).parent / "lib" / "libtorch_python.so")
        yield Progress("loading torch", 0, 0, "step")
    if sys.platform != "win32":
        importlib.import_module("napari_gimp.pipeline")
    yield Progress("loading torch", 0, 0, "step")
    importlib.import_module("pandas")  # napari's tables of features: the first layer with one would wait for it


def step_back() -> None:
    """Let the window go first: this thread and those it starts take the processor when it is free (Linux only)."""
    if sys.platform.startswith("linux"):
        window = os.getpriority(os.PRIO_PROCESS, os.getpid())
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), window + BACKGROUND_NICE)


def _load_library(path: Path) -> None:
    """Load a shared library with the interpreter free: ``import`` would hold it, and the window, for half a second."""
    load = ctypes.CDLL(None).dlopen
    load.restype, load.argtypes = ctypes.c_void_p, [ctypes.c_char_p, ctypes.c_int]
    load(str(path).encode(), os.RTLD_NOW | os.RTLD_GLOBAL)


def read_profiles(path: Path) -> Generator[Progress, None, Expression]:
    """The expression file, read beside the window."""
    yield Progress(f"reading {path.name}", 0, 0, "file")
    return read_expression(path)


def export(
    prediction: Prediction, path: Path, folder: Path, run: Mapping[str, Any], *, allow_names: bool = False
) -> Generator[Progress, None, list[Path]]:
    """Write the result of a slide to a new folder in ``folder``: without names under a neutral one, unless allowed."""
    yield Progress("exporting", 0, 0, "files")
    from napari_gimp.export.anonymous import user_salt, veil_of
    from napari_gimp.export.everything import export_prediction

    with open_slide(path) as slide:
        picture = slide.overview()
    veil = None if allow_names else veil_of(prediction, salt=user_salt(), hide=[path])
    named = free_folder(folder, prediction.slide.name if veil is None else veil.name)
    return export_prediction(prediction, named, picture=picture, run=run, veil=veil)


def report(
    prediction: Prediction,
    path: Path,
    where: Path,
    *,
    hide: Sequence[str | Path] = (),
    allow_names: bool = False,
    **more: Any,
) -> Generator[Progress, None, list[Path]]:
    """Write report.html and report.pdf of a result to the folder ``where``, or one file of that name.

    Parameters
    ----------
    path
        The slide, for its overview and patches.
    hide
        Names and paths besides the slide's own that must not be read: those of the case and of the profile.
    more
        What else stands in it: fields of `napari_gimp.export.report.ReportCase` (shown, patches, regions, outlines,
        what_ifs, marks, identifiers, settings).
    """
    yield Progress("writing the report", 0, 0, "files")
    from napari_gimp.export.anonymous import user_salt, veil_of
    from napari_gimp.export.report import report_case, write_report

    veil = veil_of(prediction, salt=user_salt(), hide=[path, *hide])
    with open_slide(path) as slide:
        case = report_case(slide, prediction, allow_names=allow_names, veil=veil, **more)
    yield Progress("writing the report", 0, 0, "files")
    return write_report(case, where)


def free_folder(folder: Path, name: str) -> Path:
    """``folder/name``, numbered when that is taken."""
    names = (folder / (f"{name}-{k}" if k else name) for k in count())
    return next(path for path in names if not path.exists())
