"""Leak checks: they fire on what tells the label without biology, name it, and stay silent on honest tables."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from study_lab import make_cohort

from napari_gimp.study.cohort import Cohort, read_cohort
from napari_gimp.study.leaks import check_leaks


def found(cohort: Cohort, splits=()) -> list[str]:
    return [sentence.removeprefix("leak check (").partition(")")[0] for sentence in check_leaks(cohort, splits)]


def honest_table(seed: int, n: int, genes: int, floors: bool, effect: float) -> tuple[np.ndarray, np.ndarray]:
    """Log expression with correlated genes, class effects and, where asked for, silent cases at 0."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(n) % 2)
    shared = rng.normal(size=(n, 3)) @ rng.normal(size=(3, genes))
    values = 5 + rng.normal(size=genes) + shared + rng.normal(size=(n, genes))
    values += effect * rng.normal(size=genes) * labels[:, None]
    return (np.maximum(values - 4, 0) if floors else values + 20), labels


def per_class_z(values: np.ndarray, labels: np.ndarray) -> np.ndarray:
    scaled = np.empty_like(values)
    for k in np.unique(labels):
        part = values[labels == k]
        scaled[labels == k] = (part - part.mean(axis=0)) / (part.std(axis=0) + 1e-9)
    return scaled


@pytest.fixture(scope="module")
def real(shared):
    folder = shared / "tcga_nsclc"
    return lambda name: read_cohort(folder / "cohort.csv", folder / "features", folder / name)


def test_fires_on_the_table_that_was_scaled_per_cohort(real):
    values, scale, sites = check_leaks(real("expression_cohort_z.csv.gz"))
    assert values.startswith("leak check (values): ")
    assert "GPHB5 (-0.0632 in 338 LUAD and 0 other cases)" in values
    assert "these values alone tell the class of 684 of 684 cases" in values
    assert scale.startswith("leak check (scale): the classes LUAD, LUSC were evidently scaled apart")
    assert "ABCB1" in scale
    assert sites.startswith("leak check (sites): ")


@pytest.mark.parametrize("table", ["expression.csv.gz", "mirna.csv.gz"])
def test_silent_on_values_and_scale_of_tables_on_one_scale(real, table):
    assert found(real(table)) == ["sites"]


@settings(max_examples=40)
@given(
    st.integers(0, 10_000), st.sampled_from([20, 60, 200]), st.sampled_from([1, 8, 60]), st.booleans(),
    st.sampled_from([0.0, 2.0]), st.sampled_from(["log", "joint z", "counts"]),
)  # fmt: skip
def test_honest_tables_are_silent(seed, n, genes, floors, effect, kind):
    values, labels = honest_table(seed, n, genes, floors, effect)
    if kind == "joint z":
        values = (values - values.mean(axis=0)) / (values.std(axis=0) + 1e-9)
    if kind == "counts":
        values = np.log2(np.random.default_rng(seed).poisson(np.exp2(np.minimum(values, 6))) + 1)
    assert found(make_cohort(labels, values)) == []


@settings(max_examples=20)
@given(st.integers(0, 10_000), st.booleans(), st.sampled_from([0.0, 2.0]))
def test_tables_scaled_by_class_are_found(seed, floors, effect):
    values, labels = honest_table(seed, 120, 60, floors, effect)
    names = found(make_cohort(labels, per_class_z(values, labels)))
    assert "scale" in names
    assert ("values" in names) == floors


def test_a_gene_that_only_one_class_silences_is_biology():
    values, labels = honest_table(0, 200, 30, False, 1.0)
    values[labels == 0, 3] = 0.0
    assert found(make_cohort(labels, values)) == []


def test_missing_values_filled_by_class_are_named():
    values, labels = honest_table(1, 200, 30, False, 0.0)
    for k in (0, 1):
        values[np.flatnonzero(labels == k)[:12], 7] = values[labels == k, 7].mean()
    (sentence,) = check_leaks(make_cohort(labels, values))
    assert "of 30 genes repeat differ between the classes: GENE7 (" in sentence
    assert re.search("in 12 (LUAD|LUSC) and 0 other cases", sentence)
    assert "tell the class of 24 of 200 cases" in sentence


def test_missing_values_filled_alike_are_no_leak():
    values, labels = honest_table(1, 200, 30, False, 0.0)
    values[:40, 7] = values[:, 7].mean()
    assert found(make_cohort(labels, values)) == []


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda v, own: v + 2.0 * own, "genes lie (higher .* in LUSC|lower .* in LUAD)"),
        (lambda v, own: np.where(own, np.exp2(v / 4), v), "scaled apart"),
        (
            lambda v, own: np.where(own, v.mean(axis=0) + 3 * (v - v.mean(axis=0)), v),
            "spread (wider .* in LUSC|narrower .* in LUAD)",
        ),
    ],
)
def test_a_class_in_other_units_is_found(change, says):
    values, labels = honest_table(2, 120, 120, False, 0.5)
    (sentence,) = check_leaks(make_cohort(labels, change(values, labels[:, None] == 1)))
    assert sentence.startswith("leak check (scale): ")
    assert re.search(says, sentence)


def test_three_classes_and_cases_without_a_profile():
    values, labels = honest_table(3, 150, 40, False, 1.0)
    labels = np.arange(150) % 3
    apart = per_class_z(values, labels)
    apart[:10] = np.nan
    three = ("A", "B", "C")
    assert found(make_cohort(labels, apart, classes=three)) == ["scale"]
    assert found(make_cohort(labels, values, classes=three)) == []
    assert found(make_cohort(labels, classes=three)) == []


def test_patients_slides_and_sites_on_both_sides_are_named():
    names = ["TCGA-05-4250", "TCGA-05-4250-01A", "b", "c"]
    cohort = make_cohort([0, 1, 0, 1], sites=["s1", "s1", "s2", "s3"], names=names)
    apart = (np.array([0, 1]), np.array([2, 3]))
    assert check_leaks(cohort, [apart]) == ()
    patient, site = check_leaks(cohort, [apart, (np.array([0, 2]), np.array([1, 3]))])
    assert patient.startswith("leak check (split): 1 patients stand on both sides of a split (TCGA-05-4250)")
    assert site.startswith("leak check (split): 1 sites stand on both sides of a split (s1)")
    case, slide = check_leaks(cohort, [(np.array([2]), np.array([2, 3]))])[:2]
    assert "1 patients" in case
    assert "1 slides stand on both sides of a split (b-slide)" in slide


def test_sites_that_give_the_label_away():
    labels = np.repeat([0, 1, 0, 1, 0, 1], 6)
    sites = [f"s{i // 6}" for i in range(36)]
    (sentence,) = check_leaks(make_cohort(labels, sites=sites))
    assert "6 of 6 sites with several cases hold one class" in sentence
    assert "tell the class of 36 of 36 cases" in sentence


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.sampled_from([2, 5, 40]), st.sampled_from([0.5, 0.9]))
def test_sites_that_say_nothing_are_silent(seed, sites, share):
    rng = np.random.default_rng(seed)
    labels = (rng.random(60) > share).astype(int)
    assert found(make_cohort(labels, sites=[f"s{s}" for s in rng.integers(sites, size=60)])) == []
