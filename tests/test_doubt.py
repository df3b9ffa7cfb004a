"""Doubt in numbers and in the sentences that panel and report share."""

from dataclasses import replace

import numpy as np
import pytest

from napari_gimp.doubt import doubt_of, doubt_sentences, probability_name
from napari_gimp.types import PatchGrid, Prediction, SlideFacts


def prediction_of(image: float, genes: float | None = None, both: float | None = None, **more) -> Prediction:
    """Two classes; the given numbers are those of the first."""
    grid = PatchGrid(np.array([[0, 0], [0, 512], [512, 0]]), (512.0, 512.0), (512.0, 512.0), (1100, 1100), (0.25, 0.25))
    facts = SlideFacts("s", "i", (1100, 1100), ((1100, 1100),), (0.25, 0.25))
    given = {"both": both, "image": image, "genes": genes}
    rows = {name: np.array([value, 1 - value], np.float32) for name, value in given.items() if value is not None}
    return Prediction(facts, ("LUAD", "LUSC"), grid, rows, np.full((1, 1, 3), 1 / 3, np.float32), **more)


def test_agreement_and_disagreement_are_said_in_words():
    agree = doubt_sentences(prediction_of(0.8, 0.999, 0.95, coverage=1.0))
    assert "Image alone (LUAD 0.80) and genes alone (LUAD >0.99) agree." in agree
    against = prediction_of(0.7, 0.2, 0.3, coverage=1.0)
    assert doubt_of(against).disagree
    assert doubt_of(against).opinions == {
        "both": ("LUSC", pytest.approx(0.7)),
        "image": ("LUAD", pytest.approx(0.7)),
        "genes": ("LUSC", pytest.approx(0.8)),
    }
    assert (
        "Image and genes disagree: the image alone says LUAD 0.70, the genes alone LUSC 0.80; "
        "together it follows the genes." in doubt_sentences(against)
    )
    assert "Image only: no gene profile took part." in doubt_sentences(prediction_of(0.7))


def test_a_close_call_a_part_of_the_slide_and_lost_patches_are_said():
    sentences = doubt_sentences(prediction_of(0.54, partial=0.25, missing_yx=np.array([[512, 512]])))
    assert sentences[0].startswith("Partial: it rests on 25%")
    assert sentences[1] == "Undecided: LUAD (0.54) and LUSC (0.46) are close."
    assert sentences[-1] == "Of the patches, 25% could not be read."
    whole = doubt_sentences(prediction_of(0.56))
    assert not any(word in sentence for sentence in whole for word in ("Partial", "Undecided", "could not be read"))


def test_spread_likeness_and_coverage_are_numbers_in_sentences():
    prediction = prediction_of(0.9, 0.9, 0.9, spread=np.array([0.04, 0.04]), unlike_training=0.97, coverage=0.83)
    text = "\n".join(doubt_sentences(prediction))
    assert "differ by 0.04 (standard deviation of the probability of LUAD)" in text
    assert "Unlike the training cases: 97% of them are more typical" in text
    assert "Low coverage: the gene profile has 83% of the model's genes; the cohort mean stands in" in text
    usual = "\n".join(doubt_sentences(replace(prediction, unlike_training=0.4, spread=None, coverage=0.9999)))
    assert "Like the training cases: 40%" in usual
    assert "A single model was trained" in usual
    assert "has 99% of the model's genes" in usual, "what is not all is never called 100 %"
    assert "cannot say" in "\n".join(doubt_sentences(prediction_of(0.9)))


def test_probabilities_are_called_calibrated_only_where_they_are():
    plain = prediction_of(0.9)
    called = {known: replace(plain, provenance={"calibrated": known}) for known in (True, False)}
    assert probability_name(plain) == "probability"
    assert probability_name(called[True]) == "calibrated probability"
    assert probability_name(called[False]) == "probability, not calibrated"
    warned = [any("Not calibrated" in line for line in doubt_sentences(one)) for one in (plain, *called.values())]
    assert warned == [False, False, True]


def test_one_class_and_nearly_nothing_lost():
    grid = PatchGrid(np.zeros((200, 2), np.int64), (9.0, 9.0), (9.0, 9.0), (99, 99), None)
    facts = SlideFacts("s", "i", (99, 99), ((99, 99),), None)
    lone = Prediction(facts, ("A",), grid, {"image": np.array([1.0])}, np.full((1, 1, 200), 1 / 200))
    lone = replace(lone, missing_yx=np.zeros((1, 2), np.int64))
    assert doubt_of(lone).runner_up is None
    assert doubt_sentences(lone)[-1] == "Of the patches, less than 1% could not be read."
