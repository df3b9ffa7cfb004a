"""Baselines: what they learn, what they leave out, and that nothing of the test cases reaches the training part."""

from dataclasses import replace

import numpy as np
import pytest
from study_lab import make_cohort

from napari_gimp.gimp.evaluate import area_under_curve
from napari_gimp.gimp.sites import fit_directions
from napari_gimp.study import abmil
from napari_gimp.study.abmil import fit_abmil, predict_abmil
from napari_gimp.study.baselines import (
    BASELINES,
    REMOVED,
    Inputs,
    gather_inputs,
    inner_splits,
    run_baselines,
    standardise,
)
from napari_gimp.study.folds import make_folds
from napari_gimp.study.rivals import training_directions


@pytest.fixture(autouse=True)
def few_epochs(monkeypatch):
    monkeypatch.setattr(abmil, "EPOCHS", 6)


def drain(work):
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value


def inputs_of(seed=0, n=80, classes=2, image=1.0, genes=1.0) -> Inputs:
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    bags = tuple(
        (rng.normal(size=(rng.integers(3, 9), 6)) + image * np.eye(classes, 6)[k] * 3).astype(np.float32)
        for k in labels
    )
    table = 5 + rng.normal(size=(n, 12)) + genes * np.eye(classes, 12)[labels] * 3
    mean = np.stack([bag.mean(axis=0) for bag in bags]).astype(np.float64)
    return Inputs(mean, bags, table, labels, np.array([f"p{i}" for i in range(n)]), classes)


TRAIN, TEST = np.arange(60), np.arange(60, 80)


@pytest.mark.parametrize("classes", [2, 3])
def test_every_baseline_learns_what_there_is(classes):
    inputs = inputs_of(classes=classes)
    found = drain(run_baselines(inputs, TRAIN, TEST, None))
    assert list(found) == [b.name for b in BASELINES]
    for name, rows in found.items():
        np.testing.assert_allclose(rows.sum(axis=1), 1)
        assert area_under_curve(rows, inputs.labels[TEST]) > 0.9, name


def test_nothing_of_the_test_cases_reaches_the_training_part():
    inputs = inputs_of()
    whole = drain(run_baselines(inputs, TRAIN, TEST, None))
    alone = drain(run_baselines(inputs, TRAIN, TEST[:3], None))
    rng = np.random.default_rng(9)
    labels, genes = inputs.labels.copy(), inputs.genes.copy()
    labels[TEST], genes[TEST[3:]] = 1 - labels[TEST], rng.normal(1e4, 1e5, (17, 12))
    other = drain(run_baselines(replace(inputs, labels=labels, genes=genes), TRAIN, TEST, None))
    for name, rows in whole.items():
        np.testing.assert_allclose(alone[name], rows[:3], atol=1e-6, err_msg=name)
        np.testing.assert_allclose(other[name][:3], rows[:3], atol=1e-6, err_msg=name)


def test_the_same_seed_gives_the_same_predictions():
    inputs = inputs_of()
    one, other = (drain(run_baselines(inputs, TRAIN, TEST, None, seed=4)) for _ in range(2))
    for name, rows in one.items():
        np.testing.assert_array_equal(rows, other[name])


def test_a_case_without_an_input_is_left_out():
    inputs = inputs_of()
    genes, mean, bags = inputs.genes.copy(), inputs.mean.copy(), list(inputs.bags)
    genes[[3, 61]] = np.nan
    genes[5, 2] = np.nan  # one gene of a profile: the training mean
    mean[[4, 62]], bags[4], bags[62] = np.nan, None, None
    found = drain(run_baselines(replace(inputs, genes=genes, mean=mean, bags=tuple(bags)), TRAIN, TEST, None))
    gone = {"genes": [1], "image": [2], "both": [1, 2]}
    for baseline in BASELINES:
        lacking = np.flatnonzero(np.isnan(found[baseline.name]).any(axis=1))
        assert lacking.tolist() == gone[baseline.needs], baseline.name


def test_without_genes_or_with_one_class_there_is_no_prediction():
    inputs = inputs_of()
    image_only = replace(inputs, genes=np.empty((80, 0)))
    found = drain(run_baselines(image_only, TRAIN, TEST, None))
    assert np.isnan(found["ridge_genes"]).all()
    assert not np.isnan(found["mean_image"]).any()
    one_class = drain(run_baselines(inputs, np.arange(0, 60, 2), TEST, None))
    assert all(np.isnan(rows).all() for rows in one_class.values())


def test_standardising_by_hand():
    train = np.array([[0.0, 5.0, np.nan], [2.0, 5.0, 1.0], [np.nan, 5.0, 3.0]])
    test = np.array([[1.0, 9.0, np.nan], [1e6, 5.0, 4.0]])
    first, second = standardise(train, test)
    np.testing.assert_allclose(first, [[-1, 0, 0], [1, 0, -1], [0, 0, 1]])
    np.testing.assert_allclose(second, [[0, 0, 0], [10, 0, 2]])


def test_inner_splits_divide_no_group():
    rng = np.random.default_rng(0)
    labels, groups = np.arange(60) % 2, rng.integers(0, 12, 60)
    splits = inner_splits(labels, groups, 0)
    assert len(splits) == 3
    for learned, asked in splits:
        assert not set(groups[learned]) & set(groups[asked])
        assert len(learned) + len(asked) == 60
    assert inner_splits(np.array([0, 0, 1]), np.array(["a", "a", "b"]), 0) == []


def test_abmil_finds_the_few_patches_that_tell():
    rng = np.random.default_rng(0)
    labels = np.arange(120) % 2
    bags = [rng.normal(size=(30, 8)).astype(np.float32) for _ in labels]
    for bag, label in zip(bags, labels, strict=True):
        bag[:2, :4] += 6 * label
    abmil.EPOCHS = 25
    model = fit_abmil(bags[:80], labels[:80], 2, 0)
    rows = predict_abmil(model, bags[80:])
    assert area_under_curve(rows, labels[80:]) > 0.95
    shuffled = [bag[rng.permutation(30)] for bag in bags[80:]]
    np.testing.assert_allclose(predict_abmil(model, shuffled), rows, atol=1e-5)


def site_cohort(seed=0, sites=24, cases=5):
    """Every site holds one class, and its signature in image and genes is all that tells it."""
    rng = np.random.default_rng(seed)
    site = np.repeat(np.arange(sites), cases)
    image, genes = 3 * rng.normal(size=(sites, 6)), 3 * rng.normal(size=(sites, 10))
    bags = [rng.normal(size=(5, 6)) + image[s] for s in site]
    values = 8 + rng.normal(size=(len(site), 10)) + genes[site]
    return make_cohort(site % 2, values, bags, [f"s{s}" for s in site])


@pytest.mark.parametrize("by", ["patient", "site"])
def test_a_label_that_only_the_site_tells_is_at_chance_on_whole_sites(by):
    found: dict[str, list] = {}
    for seed in range(2):
        cohort = site_cohort(seed)
        inputs = drain(gather_inputs(cohort))
        for fold in make_folds(cohort, by, 4, seed):
            rows = drain(run_baselines(inputs, fold.train(cohort), fold.test, None, seed))
            for name, predicted in rows.items():
                right = predicted.argmax(axis=1) == cohort.labels[fold.test]
                found.setdefault(name, []).append(right.mean())
    means = {name: np.mean(shares) for name, shares in found.items()}
    if by == "patient":
        assert max(means.values()) > 0.8, means
    else:
        assert 0.25 < min(means.values()) <= max(means.values()) < 0.65, means


def test_directions_of_the_training_part_see_no_test_case():
    cohort = site_cohort()
    inputs = drain(gather_inputs(cohort))
    fold = make_folds(cohort, "site", 4)[0]
    train = fold.train(cohort)
    found = training_directions(cohort, inputs.mean, train, 20)
    changed = inputs.mean.copy()
    changed[fold.test] = 1e6
    again = training_directions(cohort, changed, train, 20)
    np.testing.assert_array_equal(found.vectors, again.vectors)
    assert found.k == 3  # half of 6 dimensions
    assert training_directions(make_cohort([0, 1] * 5), np.zeros((10, 3)), np.arange(8), 20) is None


def test_what_sees_the_image_is_run_without_site_directions_too():
    cohort = site_cohort()
    inputs = drain(gather_inputs(cohort))
    names = np.array([str(case.site) for case in cohort.cases])
    kinds = np.array([str(case.label) for case in cohort.cases])
    directions = fit_directions(inputs.mean, names, kinds, 2)
    fold = make_folds(cohort, "site", 4)[0]
    found = drain(run_baselines(inputs, fold.train(cohort), fold.test, directions))
    assert {name for name in found if name.endswith(REMOVED)} == {
        b.name + REMOVED for b in BASELINES if b.needs != "genes"
    }
    assert not np.allclose(found["mean_image"], found["mean_image" + REMOVED])
