"""What runs beside the window, without one: pacing, stopping, the cache, and one whole run through the pipeline."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from plugin_cases import checker, write_expression, write_slide
from qtpy.QtTest import QTest

from napari_gimp import pipeline
from napari_gimp.encoders.load import load_encoder
from napari_gimp.genes import read_expression
from napari_gimp.gimp.checkpoint import load_model, read_facts, save_checkpoint
from napari_gimp.gimp.config import ModelConfig
from napari_gimp.gimp.model import GiMP
from napari_gimp.plugin import job
from napari_gimp.plugin.jobs import Jobs, paced
from napari_gimp.plugin.session import Choices, Grain, Session
from napari_gimp.slides import Slide, open_slide
from napari_gimp.types import CheckpointFacts, Prediction, Progress, Tissue

SHAPE = (1600, 2100)


def many(count: int) -> Generator[Progress, None, str]:
    for k in range(count):
        news = Tissue(np.ones((2, 2), bool), (2, 2)) if k == count - 1 else None
        yield Progress("work", k, count, tissue=news)
    return "done"


def drained(work: Generator) -> tuple[list[Progress], object]:
    seen = []
    while True:
        try:
            seen.append(next(work))
        except StopIteration as end:
            return seen, end.value


def test_fast_reports_are_held_back_but_never_news() -> None:
    seen, result = drained(paced(many(5000)))
    assert result == "done"
    assert len(seen) < 100
    assert seen[0].done == 0
    assert seen[-1].tissue is not None


def test_a_stopped_worker_runs_its_cleanup_and_is_gone(qapp: object) -> None:
    cleaned = threading.Event()

    def endless() -> Generator[Progress, None, None]:
        try:
            while True:
                time.sleep(0.005)
                yield Progress("endless", 0, 0)
        finally:
            cleaned.set()

    jobs, seen = Jobs(), []
    jobs.start(endless, returned=seen.append, errored=seen.append, yielded=lambda _: None)
    QTest.qWait(100)
    assert jobs.running
    assert jobs.stop()
    QTest.qWait(50)
    assert not jobs.busy
    assert cleaned.is_set()
    assert seen == []


def test_errors_reach_the_caller_not_napari(qapp: object) -> None:
    def failing() -> Generator[Progress, None, None]:
        yield Progress("failing", 0, 0)
        raise ValueError("no")

    jobs, errors = Jobs(), []
    jobs.start(failing, returned=lambda _: None, errored=errors.append)
    QTest.qWait(200)
    assert [str(error) for error in errors] == ["no"]


def test_an_exported_folder_never_overwrites(tmp_path: Path) -> None:
    assert job.free_folder(tmp_path, "s") == tmp_path / "s"
    (tmp_path / "s").mkdir()
    assert job.free_folder(tmp_path, "s") == tmp_path / "s-1"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Untrained, with the plain encoder."""
    encoder, genes = load_encoder("colour-texture"), tuple(f"GENE{k}" for k in range(12))
    torch.manual_seed(0)
    config = ModelConfig(d=16, heads=2, layers=1, fragment_genes=4, groups=2, landmarks=8)
    model = GiMP(config, embedding_dim=encoder.width, genes=len(genes), classes=2).eval()
    facts = CheckpointFacts(
        "untrained", ("a", "b"), encoder.id, encoder.width, genes, "log", encoder.patch_px, encoder.patch_mpp, "nothing"
    )
    folder = tmp_path_factory.mktemp("model") / "checkpoint"
    save_checkpoint(folder, model, facts)
    return folder


def stained(shape_yx: tuple[int, int]) -> np.ndarray:
    """Pink tissue with texture on white glass."""
    pixels = np.full((*shape_yx, 3), 243, np.uint8)
    inside = (slice(200, shape_yx[0] - 200), slice(200, shape_yx[1] - 200))
    texture = checker(shape_yx, 9)[inside] // 4
    pixels[inside] = np.clip(np.array([190, 110, 160]) + texture - 30, 0, 255)
    return pixels


def test_a_request_runs_through_the_pipeline_and_is_exported(tmp_path: Path, checkpoint: Path) -> None:
    path = write_slide(tmp_path / "slide.tif", stained(SHAPE))
    expression = read_expression(write_expression(tmp_path / "one.csv", ("slide",)))
    with open_slide(path) as slide:
        facts = slide.facts
    chosen = Choices(
        path=path,
        slide=facts,
        expression=expression,
        sample="slide",
        checkpoint=checkpoint,
        facts=read_facts(checkpoint),
        device="cpu",
        cache=tmp_path / "cache",
    )
    seen, prediction = drained(job.analyse(Session(chosen).begin()))
    assert isinstance(prediction, Prediction)
    assert prediction.modality == "both"
    assert any(progress.tissue is not None for progress in seen)
    assert len(prediction.grid) > 3
    (folder,) = {file.parent for file in drained(job.export(prediction, path, tmp_path / "out", {}))[1]}
    assert (folder / "figure.png").exists()


@pytest.mark.parametrize(("given", "mpp_yx"), [(None, (0.26, 0.25)), (0.5, (0.5, 0.5))])
def test_um_per_pixel_are_the_users_only_where_given(
    tmp_path: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch, given: float | None, mpp_yx: tuple[float, float]
) -> None:
    seen = []

    def watched(slide: Slide, *_: object, **__: object) -> Generator[Progress, None, None]:
        seen.append(slide.facts)
        yield Progress("nothing", 0, 1)

    monkeypatch.setattr(pipeline, "analyse", watched)
    path = write_slide(tmp_path / "oblong.tif", checker((600, 700), 100), (0.26, 0.25))
    with open_slide(path) as slide:
        facts = slide.facts if given is None else slide.with_mpp(given)
    chosen = Choices(path=path, slide=facts, checkpoint=checkpoint, facts=read_facts(checkpoint))
    drained(job.analyse(Session(chosen).begin()))
    assert seen[0].mpp_yx == pytest.approx(mpp_yx)
    assert any("given by the user" in note for note in seen[0].notes) == (given is not None)


@pytest.mark.parametrize("named", [True, False])
def test_the_panels_patch_numbers_are_taken_and_said(tmp_path: Path, checkpoint: Path, named: bool) -> None:
    loaded = load_model(checkpoint)
    facts = loaded.facts if named else replace(loaded.facts, patch_px=None, patch_mpp=None)
    folder = save_checkpoint(tmp_path / "checkpoint", loaded.model.members, facts)
    path = write_slide(tmp_path / "slide.tif", stained(SHAPE))
    with open_slide(path) as slide:
        chosen = Choices(path=path, slide=slide.facts, checkpoint=folder, facts=facts, cache=tmp_path, device="cpu")
    grain = Grain(stride=0.5, min_tissue=1.0)
    _, fine = drained(job.analyse(Session(replace(chosen, grain=grain)).begin()))
    assert np.divide(fine.grid.stride_yx_px, fine.grid.size_yx_px) == pytest.approx(0.5)
    assert fine.provenance["bag"]["min_tissue"] == 1.0
    assert any("every 0.5 patch sides" in note for note in fine.notes)
    assert any("256 px at 0.5 um" in note for note in fine.notes) != named
    _, usual = drained(job.analyse(Session(chosen).begin()))
    assert not any("patch sides" in note for note in usual.notes)
