"""Means of folds, paired differences and McNemar's test against numbers made by hand."""

import numpy as np
import pytest

from napari_gimp.study.comparison import OutOfFold, compare, compare_with_best, summarise


def out_of_fold(labels, folds=()):
    labels = np.asarray(labels)
    folds = np.zeros(len(labels), int) if not len(folds) else np.asarray(folds)
    names = tuple(str(k) for k in range(folds.max() + 1))
    return OutOfFold(labels, folds, np.array([f"p{i}" for i in range(len(labels))]), names)


def rows(called, sure=0.8):
    called = np.asarray(called)
    return np.where(np.arange(2) == called[:, None], sure, 1 - sure)


def test_the_headline_is_the_mean_of_the_folds_and_the_ece_is_pooled():
    labels, folds = np.array([0, 1, 0, 1, 0, 1]), np.array([0, 0, 1, 1, 1, 1])
    found = summarise(rows([0, 0, 0, 1, 0, 1]), out_of_fold(labels, folds))
    assert found.figures["accuracy"] == pytest.approx((0.5 + 1) / 2)
    assert found.pooled.accuracy == pytest.approx(5 / 6)
    assert found.figures["auc"] == pytest.approx((0.5 + 1) / 2)
    assert found.figures["ece"] == found.pooled.ece == pytest.approx((5 * 0.2 + 0.8) / 6)


def test_a_fold_of_one_class_has_no_auc_and_one_without_cases_is_empty():
    predicted = rows([0, 1, 0, 0, 1, 1])
    predicted[4:] = np.nan
    found = summarise(predicted, out_of_fold([0, 1, 0, 0, 1, 1], [0, 0, 1, 1, 2, 2]))
    assert (found.figures["auc"], found.figures["accuracy"], found.n) == (1.0, 1.0, 4)
    assert found.per_fold["1"].auc is None
    assert found.to_json()["per_fold"][2] == {"fold": "2", "n": 0}
    assert summarise(np.full((6, 2), np.nan), out_of_fold([0] * 6)) is None


def test_mcnemar_by_hand():
    labels = np.zeros(30, int)
    model = np.r_[np.zeros(20, int), np.ones(10, int)]  # right in the first 20
    other = np.r_[np.ones(8, int), np.zeros(14, int), np.ones(8, int)]  # right in 8 to 21
    found = compare(rows(model), rows(other), out_of_fold(labels))
    assert (found.only_model_right, found.only_baseline_right) == (8, 2)
    assert found.mcnemar_p == pytest.approx(2 * (45 + 10 + 1) / 2**10)
    assert found.differences["accuracy"].difference == pytest.approx(6 / 30)


def test_a_model_equals_itself_and_beats_a_coin():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 200)
    folds = np.arange(200) % 4
    good, coin = rows(np.where(rng.random(200) < 0.9, labels, 1 - labels)), rows(rng.integers(0, 2, 200))
    same = compare(good, good, out_of_fold(labels, folds))
    assert same.differences["auc"].ci95 == (0.0, 0.0)
    assert same.differences["accuracy"].p == same.mcnemar_p == 1.0
    better = compare(good, coin, out_of_fold(labels, folds))
    assert better.differences["accuracy"].ci95[0] > 0.2
    assert better.differences["accuracy"].p < 0.01


def test_chance_is_called_chance_about_as_often_as_it_should():
    rng = np.random.default_rng(1)
    labels = np.arange(120) % 2
    calls = [(rng.random((2, 120)) < 0.8, labels) for _ in range(40)]
    found = [
        compare(*(rows(np.where(hit, labels, 1 - labels)) for hit in hits), out_of_fold(labels)).differences["accuracy"]
        for hits, _ in calls
    ]
    assert np.mean([d.ci95[0] <= 0 <= d.ci95[1] for d in found]) >= 0.85


def test_the_best_baseline_is_chosen_on_the_shared_cases():
    labels = np.arange(40) % 2
    weak, strong = rows(np.where(np.arange(40) % 3 == 0, 1 - labels, labels)), rows(labels)
    empty = np.full((40, 2), np.nan)
    found = compare_with_best(rows(labels), {"weak": weak, "strong": strong, "none": empty}, out_of_fold(labels))
    assert (found.baseline, found.n) == ("strong", 40)
    assert compare_with_best(rows(labels), {"none": empty}, out_of_fold(labels)) is None
    assert compare_with_best(rows(labels), {}, out_of_fold(labels)) is None
