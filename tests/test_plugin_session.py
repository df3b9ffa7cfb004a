"""The session without a window: why Run is not possible, stale runs, what a request holds."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from napari_gimp import words
from napari_gimp.genes import Expression
from napari_gimp.plugin.session import Choices, Session, ViewSettings, aligned, why_not
from napari_gimp.settings import InputError
from napari_gimp.types import CheckpointFacts, PatchGrid, Prediction, Progress, SlideFacts

SLIDE = SlideFacts("HE3", "id", (1600, 1800), ((1600, 1800),), (0.263018, 0.263018), 40.0)
GENES = tuple(f"G{k}" for k in range(10))
FACTS = CheckpointFacts("demo", ("LUAD", "LUSC"), "colour-texture-1", 32, GENES, "log", 256, 0.5, "synthetic slides")
READY = Choices(path=Path("HE3.tif"), slide=SLIDE, checkpoint=Path("demo"), facts=FACTS)


def expression(genes: tuple[str, ...] = GENES, samples: tuple[str, ...] = ("S1",), scale: str = "linear") -> Expression:
    values = np.arange(len(samples) * len(genes), dtype=float).reshape(len(samples), len(genes)) + 1
    return Expression(samples, genes, values, scale, "csv")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"slide": None, "path": None}, "Open a slide"),
        ({"slide": replace(SLIDE, mpp_yx=None)}, "um per pixel"),
        ({"facts": None, "checkpoint": None}, "Choose a checkpoint"),
        ({"facts": replace(FACTS, encoder=None)}, "does not name its encoder"),
        ({"facts": replace(FACTS, encoder="uni-0123456789ab")}, "expected that encoder's .onnx file"),
        ({"expression": expression()}, "Choose the sample"),
        (
            {"expression": expression(), "sample": "S1", "facts": replace(FACTS, genes=(), expression_scale=None)},
            "trained on images alone",
        ),
        ({"expression": expression(scale="zscore"), "sample": "S1"}, "scale"),
        ({"expression": expression(genes=GENES[:3]), "sample": "S1"}, "3"),
    ],
)
def test_run_is_refused_in_words(changes: dict, said: str) -> None:
    assert said in why_not(replace(READY, **changes))


def test_everything_there_gives_no_reason() -> None:
    assert why_not(READY) == ""
    assert why_not(replace(READY, expression=expression(), sample="S1")) == ""
    assert why_not(replace(READY, facts=replace(FACTS, encoder=None), encoder="resnet18")) == ""


def test_profile_is_aligned_to_the_checkpoint() -> None:
    genes = aligned(replace(READY, expression=expression(), sample="S1"))
    assert genes is not None
    np.testing.assert_allclose(genes.values, np.log2(np.arange(1, 11) + 1), rtol=1e-6)


def test_only_the_newest_run_counts() -> None:
    heard: list[int] = []
    session = Session(READY, lambda: heard.append(1))
    first = session.begin()
    assert session.is_current(first.number)
    assert session.why_not == "A run is in progress."
    with pytest.raises(InputError, match="in progress"):
        session.begin()
    session.end()
    second = session.begin()
    assert not session.is_current(first.number)
    assert session.is_current(second.number)
    session.end()
    assert not session.is_current(second.number)
    assert len(heard) == 4


def test_a_request_does_not_change_with_the_choices() -> None:
    session = Session(replace(READY, expression=expression(samples=("A", "B")), sample="B"))
    request = session.begin()
    session.change(sample="A")
    assert request.profile is not None
    assert request.profile.sample == "B"
    assert session.choices.sample == "A"


def test_run_without_choices_says_why() -> None:
    with pytest.raises(InputError, match="Open a slide"):
        Session().begin()


def test_view_settings_refuse_nonsense() -> None:
    with pytest.raises(InputError, match="opacity"):
        ViewSettings(opacity=1.5)
    with pytest.raises(InputError, match="contrast"):
        ViewSettings(contrast="rainbow")


def prediction(**changes: object) -> Prediction:
    grid = PatchGrid(np.array([[0, 0], [0, 487]], np.int64), (486.7, 486.7), (486.7, 486.7), (1600, 1800), SLIDE.mpp_yx)
    attention = np.full((2, 4, 2), 0.5, np.float32)
    facts = {"both": np.array([0.07, 0.93]), "image": np.array([0.3, 0.7])}
    return replace(Prediction(SLIDE, FACTS.classes, grid, facts, attention, sample="S1", coverage=0.9), **changes)


def test_verdict_names_class_probability_and_inputs() -> None:
    assert words.verdict(prediction()) == "LUSC: probability 0.93, from image and genes"
    alone = prediction(probabilities={"image": np.array([0.7, 0.3])}, sample=None, coverage=None, partial=0.4)
    assert words.verdict(alone) == "LUAD: probability 0.70, from image only (partial: 40% of the patches)"
    assert "No gene profile: image only." in words.result_notes(alone)
    sure = prediction(probabilities={"image": np.array([0.9997, 0.0003])}, sample=None, coverage=None)
    assert words.verdict(sure) == "LUAD: probability >0.99, from image only"
    said = ("No gene profile: the result is image-only.",)
    assert sum("No gene profile" in note for note in words.result_notes(replace(sure, notes=said))) == 1


def test_the_first_note_says_that_the_model_saw_no_patients() -> None:
    said = ("Read from synthetic_lung.tsv.", "The checkpoint was trained on synthetic cases: no patients.")
    notes = words.result_notes(prediction(synthetic="synthetic", notes=said))
    assert notes[0] == said[1]
    assert notes.count(said[1]) == notes.count(said[0]) == 1
    assert "no evidence" in words.result_notes(prediction(synthetic="synthetic", notes=said[:1]))[0]


def test_notes_say_synthetic_and_missing() -> None:
    notes = words.result_notes(prediction(synthetic="synthetic", missing_yx=np.zeros((3, 2), np.int64)))
    assert "HE3: 3 of 5 patches could not be read." in notes
    assert any("no evidence about patients" in note for note in notes)


def test_slide_and_progress_in_words() -> None:
    assert words.slide_words(SLIDE) == "1800 × 1600 px\n0.5 × 0.4 mm · 0.263 µm/px · 40×"
    assert "pixel size unknown" in words.slide_words(replace(SLIDE, mpp_yx=None))
    assert (
        words.progress_words(Progress("embedding", 3, 9, remaining_s=75.2))
        == "embedding: 3 of 9 patches, about 75 s left"
    )
    assert words.duration(7200) == "2.0 h"


def test_errors_are_one_sentence() -> None:
    assert words.error_words(InputError("No tissue.")) == "No tissue."
    assert words.error_words(OSError(28, "No space left on device", "x.h5")).startswith("x.h5: expected")
    assert words.error_words(KeyError("a")).startswith("A defect of napari-gimp")
