"""Figures: known answers, agreement with scikit-learn, intervals that a seed fixes."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score, brier_score_loss, f1_score, roc_auc_score

from napari_gimp.gimp.evaluate import brier_score, calibration_error, figures, reliability
from napari_gimp.gimp.resampling import draw_weights, weighted_figures
from napari_gimp.settings import InputError


def random_case(seed: int, n: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(classes), rng.integers(classes, size=n)])
    scores = rng.random((len(labels), classes)) + np.eye(classes)[labels] * 0.5
    return scores / scores.sum(axis=1, keepdims=True), labels


def test_four_cases_by_hand():
    probabilities = np.array([[0.9, 0.1], [0.6, 0.4], [0.7, 0.3], [0.2, 0.8]])
    result = figures(probabilities, np.array([0, 0, 1, 1]), resamples=0)
    assert (result.accuracy, result.balanced_accuracy, result.n) == (0.75, 0.75, 4)
    assert result.auc == 0.75  # of the 4 pairs one (0.4 against 0.3) is the wrong way round
    assert result.f1 == pytest.approx((4 / 5 + 2 / 3) / 2)
    assert result.ece == pytest.approx((0.1 + 0.4 + 0.7 + 0.2) / 4)  # four cases: a bin each
    assert result.brier == pytest.approx((0.1**2 + 0.4**2 + 0.7**2 + 0.2**2) / 4)


def test_calibration_error_of_twenty_cases_by_hand():
    confidence = np.repeat([0.55, 0.95], 10)  # ten bins of two: five at .55 (right 3 of 10), five at .95 (all right)
    labels = np.array([1, 1, 1, 1, 1, 1, 1, 0, 0, 0] + [0] * 10)
    probabilities = np.stack([confidence, 1 - confidence], axis=1)
    gaps = [0.55, 0.55, 0.55, 0.05, 0.45] + [0.05] * 5
    assert calibration_error(probabilities, labels) == pytest.approx(np.mean(gaps))
    assert [n for n, _, _ in reliability(probabilities, labels)] == [2] * 10
    thirds = np.full((3, 3), 1 / 3)
    assert brier_score(thirds, np.array([0, 1, 2])) == pytest.approx((2 / 3) ** 2 + 2 * (1 / 3) ** 2)


@given(st.integers(0, 10_000), st.integers(5, 60), st.integers(2, 4))
def test_agrees_with_scikit_learn(seed, n, classes):
    probabilities, labels = random_case(seed, n, classes)
    result = figures(probabilities, labels, resamples=0)
    called = probabilities.argmax(axis=1)
    score = probabilities[:, 1] if classes == 2 else probabilities
    assert result.auc == pytest.approx(roc_auc_score(labels, score, multi_class="ovr"))
    assert result.f1 == pytest.approx(f1_score(labels, called, average="macro"))
    assert result.balanced_accuracy == pytest.approx(balanced_accuracy_score(labels, called))
    assert result.accuracy == (called == labels).mean()
    assert result.brier == pytest.approx(brier_score_loss(labels, score))


@given(st.integers(0, 10_000), st.integers(2, 4))
def test_weights_count_like_repeated_cases(seed, classes):
    probabilities, labels = random_case(seed, 20, classes)
    probabilities[::4] = probabilities[0]  # ties
    weights = np.random.default_rng(seed).integers(0, 3, (3, len(labels)))
    found = weighted_figures(probabilities, labels, weights)
    for r, weight in enumerate(weights):
        rows = np.repeat(np.arange(len(labels)), weight)
        slow = figures(probabilities[rows], labels[rows], resamples=0)
        for name in ("accuracy", "balanced_accuracy", "auc", "f1", "brier"):
            assert found[name][r] == pytest.approx(getattr(slow, name))


def test_the_rows_of_a_patient_are_drawn_together():
    patients = np.array(["a", "b", "a", "c", "b", "a"])
    (weights,) = draw_weights(patients, 0, 50)
    for name in "abc":
        assert (np.ptp(weights[:, patients == name], axis=1) == 0).all()
    assert (weights[:, [0, 1, 3]].sum(axis=1) == 3).all()
    probabilities, labels = random_case(1, 60, 2)
    twice = np.repeat(np.arange(len(labels)), 4)
    apart = figures(probabilities[twice], labels[twice], resamples=300)
    together = figures(probabilities[twice], labels[twice], patients=twice, resamples=300)
    width = [np.ptp(result.ci95["accuracy"]) for result in (apart, together)]
    assert width[1] > 1.5 * width[0]


def test_calibration_error_of_a_calibrated_and_an_overconfident_model():
    labels = np.repeat([0, 1, 0, 1], [80, 20, 80, 20])
    calibrated = np.tile([0.8, 0.2], (200, 1))
    shuffled = np.random.default_rng(0).permutation(labels)
    assert calibration_error(calibrated, shuffled) < 0.1
    assert calibration_error(np.tile([1.0, 0.0], (200, 1)), shuffled) == pytest.approx(0.2)


def test_interval_holds_the_figure_shrinks_with_n_and_repeats_with_the_seed():
    small, large = (figures(*random_case(3, n, 2), seed=5, resamples=300) for n in (40, 640))
    for result in (small, large):
        for name, (low, high) in result.ci95.items():
            assert low <= getattr(result, name) <= high
    width = {r.n: r.ci95["accuracy"][1] - r.ci95["accuracy"][0] for r in (small, large)}
    assert width[642] < 0.5 * width[42]
    assert figures(*random_case(3, 40, 2), seed=5, resamples=300) == small
    assert figures(*random_case(3, 40, 2), seed=6, resamples=300) != small


def test_accuracy_interval_agrees_with_the_binomial():
    labels = np.zeros(400, int)
    probabilities = np.where(np.arange(400)[:, None] < 320, [0.9, 0.1], [0.1, 0.9])
    low, high = figures(probabilities, labels, resamples=2000).ci95["accuracy"]
    half = 1.96 * np.sqrt(0.8 * 0.2 / 400)
    assert (low, high) == pytest.approx((0.8 - half, 0.8 + half), abs=0.006)


def test_one_class_has_no_auc_and_the_result_is_json():
    result = figures(np.array([[0.9, 0.1], [0.4, 0.6]]), np.array([0, 0]), resamples=20)
    assert result.auc is None
    assert "auc" not in result.ci95
    assert json.loads(json.dumps(result.to_json()))["n"] == 2


@pytest.mark.parametrize(
    ("probabilities", "labels", "says"),
    [
        (np.empty((0, 2)), [], "at least one"),
        ([[2.0, -1.0]], [0], "softmax"),
        ([[3.0, 1.0]], [0], "softmax"),
        ([[0.5, 0.5]], [2], "labels 0 to 1"),
        ([[np.nan, np.nan]], [0], "softmax"),
    ],
)
def test_refuses(probabilities, labels, says):
    with pytest.raises(InputError, match=says):
        figures(np.asarray(probabilities), np.asarray(labels, int))
