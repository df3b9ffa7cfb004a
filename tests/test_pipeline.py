"""Slide -> bag -> prediction: stored, resumed, partial on the way, honest about what is missing."""

from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_gimp import pipeline
from napari_gimp.bags import read_bag
from napari_gimp.encoders.load import load_encoder
from napari_gimp.gimp.checkpoint import load_model
from napari_gimp.pipeline import embedding
from napari_gimp.settings import InputError
from napari_gimp.slides import open_slide, reading
from napari_gimp.slides.reading import PatchBatch
from napari_gimp.slides.tiles import TileError
from napari_gimp.types import Bag, MapSettings, Prediction, Progress, Tissue


def run(work: Generator[Progress, None, Any]) -> tuple[Any, list[Progress]]:
    seen = []
    while True:
        try:
            seen.append(next(work))
        except StopIteration as end:
            return end.value, seen


@pytest.fixture(scope="module")
def encoder() -> Any:
    return load_encoder("colour-texture")


@pytest.fixture(scope="module")
def bag_path(tiny, encoder, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("bags") / "synthetic_lung.h5"
    with open_slide(tiny.slide) as slide:
        run(pipeline.embed(slide, encoder, out))
    return out


def predict(tiny, bag: Bag, genes: bool = True) -> Prediction:
    loaded = load_model(tiny.checkpoint)
    with open_slide(tiny.slide) as slide:
        profile = pipeline.read_profile(tiny.profile, slide.facts.name) if genes else None
        from napari_gimp.pipeline.analysis import _aligned

        prediction, _ = run(pipeline.predict(bag, slide.facts, loaded, _aligned(profile, loaded.facts)))
    return prediction


def test_a_second_run_reads_nothing_from_the_slide(tiny, encoder, bag_path, monkeypatch) -> None:
    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("the slide was read")

    monkeypatch.setattr(embedding, "read_patches", forbidden)
    monkeypatch.setattr(embedding, "tissue_of", forbidden)
    with open_slide(tiny.slide) as slide:
        bag, seen = run(pipeline.embed(slide, encoder, bag_path))
    assert len(bag) == seen[-1].done == seen[-1].total > 4
    assert seen[-1].tissue is not None
    assert seen[-1].grid is not None


def test_the_bag_stands_beside_its_tissue_and_a_picture(bag_path) -> None:
    names = {path.name for path in bag_path.parent.iterdir()}
    assert names == {"synthetic_lung.h5", "synthetic_lung.qc.png", "synthetic_lung.tissue.geojson"}


def test_other_settings_do_not_overwrite_a_bag_unasked(tiny, encoder, bag_path) -> None:
    with open_slide(tiny.slide) as slide, pytest.raises(InputError, match="--overwrite"):
        run(pipeline.embed(slide, encoder, bag_path, spec=embedding.PatchSpec(stride=0.5)))


def test_an_interrupted_run_goes_on_and_ends_with_the_same_bag(tiny, encoder, bag_path, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(embedding, "PART_PATCHES", 4)
    monkeypatch.setattr(embedding, "BATCH_PATCHES", 3)
    calls: list[int] = []

    class Counting:
        id, width, patch_px, patch_mpp = encoder.id, encoder.width, encoder.patch_px, encoder.patch_mpp

        def __call__(self, pixels: np.ndarray) -> np.ndarray:
            calls.append(len(pixels))
            return np.asarray(encoder(pixels))

    out = tmp_path / "bag.h5"
    with open_slide(tiny.slide) as slide:
        work = pipeline.embed(slide, Counting(), out)
        while next(work).done < 8:
            pass
        work.close()
        assert not out.exists()
        before, whole = sum(calls), run(pipeline.embed(slide, encoder, bag_path))[0]
        resumed, _ = run(pipeline.embed(slide, Counting(), out))
    assert before < len(whole) <= sum(calls) < len(whole) + before
    np.testing.assert_allclose(resumed.features, whole.features, rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(resumed.grid.coords_yx, whole.grid.coords_yx)
    assert not list(tmp_path.glob("*.parts"))


def test_unreadable_patches_are_counted_and_never_embedded(tiny, encoder, tmp_path, monkeypatch) -> None:
    real = embedding.read_patches

    def spoiled(*args: Any, **kwargs: Any) -> Generator[PatchBatch, None, None]:
        for number, batch in enumerate(real(*args, **kwargs)):
            lost = batch.index[:1] if number == 0 else batch.index[:0]
            keep = ~np.isin(batch.index, lost)
            yield replace(batch, index=batch.index[keep], pixels=batch.pixels[keep], missing=lost)

    monkeypatch.setattr(embedding, "read_patches", spoiled)
    with open_slide(tiny.slide) as slide:
        bag, seen = run(pipeline.embed(slide, encoder, tmp_path / "bag.h5"))
    assert len(bag.missing_yx) == 1
    assert len(bag) + 1 == seen[-1].total
    assert not (bag.grid.coords_yx == bag.missing_yx[0]).all(axis=1).any()
    prediction = predict(tiny, bag)
    assert len(prediction.missing_yx) == 1
    assert any("could not be read" in note for note in prediction.notes)


class Scratched:
    """Patches that will not decode: their places in the order in which the slide's patches are read."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, corners: np.ndarray) -> None:
        self.lost: set[int] = set()
        self.place = {tuple(corner): k for k, corner in enumerate(corners.tolist())}
        self.read = reading.read_patch
        monkeypatch.setattr(reading, "read_patch", self)
        monkeypatch.setattr(embedding, "PART_PATCHES", 1)
        monkeypatch.setattr(embedding, "BATCH_PATCHES", 1)

    def __call__(self, slide: Any, corner: tuple[int, int], *more: Any) -> np.ndarray:
        if self.place[corner] in self.lost:
            raise TileError("scratched")
        return self.read(slide, corner, *more)


def test_the_limit_of_unreadable_patches_is_of_the_slide_not_of_what_a_stopped_run_left(
    tiny, encoder, bag_path, tmp_path, monkeypatch
) -> None:
    out, corners = tmp_path / "bag.h5", read_bag(bag_path).grid.coords_yx
    count = len(corners)
    scratched = Scratched(monkeypatch, corners)
    scratched.lost = set(range(0, count, 3))
    with open_slide(tiny.slide) as slide:
        for _ in range(3):  # running again does not get around it
            with pytest.raises(InputError, match="at least 80%"):
                run(pipeline.embed(slide, encoder, out))
        scratched.lost = {count - 1, count - 2}  # two of the slide, most of what is left to read
        work = pipeline.embed(slide, encoder, out)
        while next(work).done < count - 3:
            pass
        work.close()
        bag, _ = run(pipeline.embed(slide, encoder, out))
    assert len(bag.missing_yx) == 2
    assert len(bag) == count - 2


def test_patches_that_were_unreadable_are_tried_again(tiny, encoder, bag_path, tmp_path, monkeypatch) -> None:
    out, whole = tmp_path / "bag.h5", read_bag(bag_path)
    scratched = Scratched(monkeypatch, whole.grid.coords_yx)
    scratched.lost = {0, 1}
    with open_slide(tiny.slide) as slide:
        work = pipeline.embed(slide, encoder, out)
        while next(work).done < len(whole) - 2:
            pass
        work.close()
        scratched.lost = set()
        bag, _ = run(pipeline.embed(slide, encoder, out))
    assert len(bag.missing_yx) == 0
    np.testing.assert_array_equal(bag.grid.coords_yx, whole.grid.coords_yx)


def test_the_main_job_shows_tissue_first_then_partial_maps_then_the_whole(tiny, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(embedding, "BATCH_PATCHES", 4)
    plan = pipeline.Analysis(tiny.checkpoint, device="cpu", cache=tmp_path, maps=MapSettings(preview_s=0.0))
    with open_slide(tiny.slide) as slide:
        profile = pipeline.read_profile(tiny.profile, slide.facts.name)
        prediction, seen = run(pipeline.analyse(slide, plan, profile=profile))
        again, second = run(pipeline.analyse(slide, plan, profile=profile))
    first_tissue = next(i for i, step in enumerate(seen) if step.tissue is not None)
    partial = [(i, step.partial) for i, step in enumerate(seen) if step.partial is not None]
    assert partial
    assert first_tissue < partial[0][0]
    assert all(0 < part.partial < 1 and part.reconstruction_error is None for _, part in partial[:-1])
    assert len(partial[0][1].grid) < len(prediction.grid)
    assert prediction.partial == 1
    assert (prediction.reconstruction_error > 0).all()
    assert set(prediction.probabilities) == {"both", "image", "genes"}
    np.testing.assert_allclose(prediction.attention.sum(axis=-1), 1, atol=1e-5)
    assert not any(step.stage == "embedding" for step in second)
    np.testing.assert_array_equal(again.attention, prediction.attention)
    assert prediction.synthetic == "synthetic"
    assert any("says nothing about real patients" in note for note in prediction.notes)


def test_a_damaged_bag_of_the_cache_is_made_again(tiny, tmp_path) -> None:
    plan = pipeline.Analysis(tiny.checkpoint, device="cpu", cache=tmp_path)
    with open_slide(tiny.slide) as slide:
        first, _ = run(pipeline.analyse(slide, plan))
        (stored,) = tmp_path.rglob("*.h5")
        stored.write_bytes(stored.read_bytes()[:5000])
        again, seen = run(pipeline.analyse(slide, plan))
    assert any(step.stage == "embedding" for step in seen)
    np.testing.assert_allclose(again.attention, first.attention, atol=1e-5)
    assert len(read_bag(stored)) == len(first.grid)


def test_genes_move_probabilities_never_attention_or_reconstruction(tiny, bag_path, encoder) -> None:
    with open_slide(tiny.slide) as slide:
        bag, _ = run(pipeline.embed(slide, encoder, bag_path))
    both, image = predict(tiny, bag), predict(tiny, bag, genes=False)
    np.testing.assert_array_equal(both.attention, image.attention)
    np.testing.assert_array_equal(both.reconstruction_error, image.reconstruction_error)
    np.testing.assert_allclose(both.probabilities["image"], image.probabilities["image"], atol=1e-6)
    assert not np.allclose(both.probabilities["both"], image.probabilities["image"])
    assert image.modality == "image"
    assert any("image-only" in note for note in image.notes)


def test_a_drawn_tissue_replaces_detection(tiny, encoder, tmp_path) -> None:
    with open_slide(tiny.slide) as slide:
        mask = np.zeros((10, 10), bool)
        mask[4:6, 4:6] = True
        drawn = Tissue(mask, slide.facts.shape_yx, "drawn")
        bag, _ = run(pipeline.embed(slide, encoder, tmp_path / "bag.h5", drawn=drawn))
        assert bag.provenance["tissue"] == "drawn"
        assert len(bag) <= 9
        centre = bag.grid.coords_yx.mean(axis=0) + 128
        np.testing.assert_allclose(centre, [640, 640], atol=128)


def test_a_ready_bag_of_another_encoder_is_refused(tiny, bag_path, encoder) -> None:
    with open_slide(tiny.slide) as slide:
        bag, _ = run(pipeline.embed(slide, encoder, bag_path))
    with pytest.raises(InputError, match="other-encoder"):
        predict(tiny, replace(bag, encoder="other-encoder"))


def test_a_ready_bag_that_names_another_slide_is_warned_about(tiny, bag_path) -> None:
    bag = read_bag(bag_path)
    assert not any(
        "not synthetic_lung" in note for note in predict(tiny, replace(bag, slide="synthetic_lung.tif")).notes
    )
    (note,) = (note for note in predict(tiny, replace(bag, slide="other")).notes if "not synthetic_lung" in note)
    assert "of slide other" in note


def test_a_checkpoint_of_a_file_encoder_asks_for_the_file(tiny, tmp_path) -> None:
    from conftest import untrained_checkpoint

    class Foreign:
        id, width = "uni-0123456789ab", 4

    plan = pipeline.Analysis(untrained_checkpoint(tmp_path / "foreign", Foreign(), ()), device="cpu", cache=tmp_path)
    with open_slide(tiny.slide) as slide:
        with pytest.raises(InputError, match="--encoder"):
            run(pipeline.analyse(slide, plan))
        profile = pipeline.read_profile(tiny.profile, slide.facts.name)
        with pytest.raises(InputError, match="images alone"):
            run(pipeline.analyse(slide, plan, profile=profile))


def test_remaining_time_is_not_told_before_it_can_be_known(monkeypatch) -> None:
    from napari_gimp.pipeline import pace

    now = [100.0]
    monkeypatch.setattr(pace.time, "monotonic", lambda: now[0])
    clock = pace.Pace(total=100, done=20)
    now[0] += 1
    assert clock.remaining_s(30) is None
    now[0] += 3
    assert clock.remaining_s(20) is None
    assert clock.remaining_s(40) == pytest.approx(4 * 60 / 20)
