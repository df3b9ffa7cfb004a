"""Site directions: a hand-set case, a generalised eigenproblem as the slow reference, properties, real slides."""

import csv

import numpy as np
import pytest
import scipy.linalg
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from napari_gimp.gimp.sites import SlideMeans, fit_directions, read_slide_means, remove_directions, site_shifts
from napari_gimp.settings import InputError

MANY = st.integers(0, 10_000)


def table(seed: int, slides: int = 240, width: int = 8) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Slides of 4 types and up to 6 sites each, some sites with fewer than five slides."""
    rng = np.random.default_rng(seed)
    types, sites = rng.integers(4, size=slides), rng.choice(6, size=slides, p=[0.4, 0.25, 0.15, 0.1, 0.07, 0.03])
    shift = rng.standard_normal((4, 6, width)) * np.linspace(0.2, 2, width)
    means = rng.standard_normal((slides, width)) + shift[types, sites] + 3 * rng.standard_normal((4, width))[types]
    return means * np.geomspace(0.1, 30, width) + 5, sites.astype(str), types.astype(str)


def scatter_by_loops(means: np.ndarray, sites: np.ndarray, types: np.ndarray, min_slides: int) -> np.ndarray:
    """Between-site, within-type scatter of unscaled means, one slide at a time."""
    scatter = np.zeros((means.shape[1],) * 2)
    for kind in set(types):
        kept = [
            i for i in range(len(means)) if types[i] == kind
            and sum(types[j] == kind and sites[j] == sites[i] for j in range(len(means))) >= min_slides
        ]  # fmt: skip
        for i in kept:
            same = [j for j in kept if sites[j] == sites[i]]
            shift = means[same].mean(axis=0) - means[kept].mean(axis=0)
            scatter += np.outer(shift, shift)
    return scatter


def test_two_sites_that_differ_along_one_axis_by_hand():
    noise = np.array([[-1.0, 1, 0], [1, -1, 0], [0, 0, -1], [0, 0, 1], [0, 0, 0]])
    means = np.concatenate([noise, noise + np.array([0, 4, 0])])
    sites, types = np.repeat(["a", "b"], 5), np.repeat("X", 10)
    directions = fit_directions(means, sites, types, 1)
    assert np.abs(directions.vectors) == pytest.approx(np.array([[0, 1, 0]]), abs=1e-6)
    assert directions.scale == pytest.approx([np.sqrt(0.4), np.sqrt(4.4), np.sqrt(0.4)])
    assert remove_directions(np.array([2.0, 9.0, 1.0]), directions) == pytest.approx(
        [2 / np.sqrt(0.4), 0, 1 / np.sqrt(0.4)], abs=1e-5
    )


@given(MANY, st.integers(1, 3), st.sampled_from([1, 2, 4]))
def test_agrees_with_the_generalised_eigenproblem(seed, k, min_slides):
    means, sites, types = table(seed, slides=120)
    directions = fit_directions(means, sites, types, k, min_slides=min_slides)
    scatter = scatter_by_loops(means, sites, types, min_slides)
    _, vectors = scipy.linalg.eigh(scatter, np.diag(means.var(axis=0)))  # B u = lambda S u, and v = S^(1/2) u
    expected = (vectors[:, ::-1][:, :k] * means.std(axis=0)[:, None]).T
    assert np.abs(np.sum(expected * directions.vectors, axis=1)) == pytest.approx(np.ones(k), abs=1e-4)


@given(MANY, st.integers(1, 6))
def test_nothing_remains_along_the_directions_and_removing_twice_changes_nothing(seed, k):
    means, sites, types = table(seed)
    directions = fit_directions(means, sites, types, k)
    cleaned = remove_directions(means, directions)
    assert directions.vectors @ directions.vectors.T == pytest.approx(np.eye(k), abs=1e-5)
    assert np.abs(cleaned @ directions.vectors.T).max() < 1e-3 * np.abs(means / directions.scale).max()
    again = remove_directions(cleaned * directions.scale, directions)
    assert again == pytest.approx(cleaned, abs=1e-3)
    bags = means.reshape(4, -1, means.shape[1])
    assert remove_directions(bags, directions).reshape(cleaned.shape) == pytest.approx(cleaned)


@given(MANY)
def test_all_directions_make_the_sites_of_a_type_alike(seed):
    means, sites, types = table(seed, width=30)
    shifts, count = site_shifts(means, sites, types)
    k = len(shifts) - 4
    cleaned = remove_directions(means, fit_directions(means, sites, types, k))
    after, again = site_shifts(cleaned, sites, types)
    assert (count == again).all()
    assert np.abs(after).max() < 1e-3 < np.abs(shifts).max()


@given(MANY, MANY)
def test_order_of_slides_names_units_and_place_of_zero_change_nothing(seed, order):
    means, sites, types = table(seed)
    rng = np.random.default_rng(order)
    turn, units, zero = rng.permutation(len(means)), rng.uniform(0.5, 20, means.shape[1]), rng.normal(size=8)
    first = fit_directions(means, sites, types, 4)
    renamed = np.array([f"site {s}" for s in sites[turn]])
    second = fit_directions((means * units + zero)[turn], renamed, types[turn], 4)
    assert np.abs(np.sum(first.vectors * second.vectors, axis=1)) == pytest.approx(np.ones(4), abs=1e-3)


@given(MANY)
def test_small_sites_and_types_with_one_site_contribute_nothing(seed):
    means, sites, types = table(seed)
    rng = np.random.default_rng(seed)
    lonely = np.concatenate([rng.permutation(means), rng.permutation(means)[:4]])
    more_sites = np.concatenate([sites, np.repeat("only", len(means)), np.repeat("tiny", 4)])
    more_types = np.concatenate([types, np.repeat("lonely", len(means)), np.repeat("0", 4)])
    shifts, count = site_shifts(means, sites, types)
    more, counts = site_shifts(np.concatenate([means, lonely]), more_sites, more_types)
    assert np.abs(more[counts == len(means)]).max() < 1e-9
    assert more[counts < len(means)] == pytest.approx(shifts)
    assert counts[counts < len(means)].tolist() == count.tolist()
    assert count.min() >= 5


def test_no_direction_is_the_identity_and_a_constant_dimension_is_left_alone():
    means, sites, types = table(1)
    assert remove_directions(means, fit_directions(means, sites, types, 0)) is means
    means[:, 3] = 7.0
    directions = fit_directions(means, sites, types, 5)
    assert directions.scale[3] == 1
    assert np.abs(directions.vectors[:, 3]).max() < 1e-6


def test_more_directions_than_sites_can_span_are_refused_with_the_number_that_is_possible():
    means, sites, types = table(1, width=40)
    shifts, _ = site_shifts(means, sites, types)
    most = len(shifts) - 4
    assert fit_directions(means, sites, types, most).k == most
    with pytest.raises(InputError, match=rf"0 to {most} site directions.*found {most + 1}"):
        fit_directions(means, sites, types, most + 1)
    with pytest.raises(InputError, match="0 to 0 site directions, as 0 sites"):
        fit_directions(means, np.arange(len(means)).astype(str), types, 1)


def test_refuses_what_does_not_fit_together(tmp_path):
    means, sites, types = table(1)
    with pytest.raises(InputError, match="expected embeddings 8 wide, found 7"):
        remove_directions(means[:, 1:], fit_directions(means, sites, types, 2))
    means[5, 2] = np.nan
    with pytest.raises(InputError, match="NaN or infinity in 1 slides"):
        fit_directions(means, sites, types, 2)
    with pytest.raises(InputError, match="nothing there"):
        read_slide_means(tmp_path / "none.npz")
    slides = {"mean": means, "site": sites[1:], "cancer_type": types, "slide_id": sites}
    np.savez(tmp_path / "short.npz", **slides)
    with pytest.raises(InputError, match="one site, type and name for each"):
        read_slide_means(tmp_path / "short.npz")
    np.savez(tmp_path / "other.npz", mean=means, site=sites)
    with pytest.raises(InputError, match="found no cancer_type, slide_id"):
        read_slide_means(tmp_path / "other.npz")


def test_a_table_is_read_back(tmp_path):
    means, sites, types = table(2)
    slides = np.array([f"slide {i}" for i in range(len(means))])
    np.savez(tmp_path / "means.npz", mean=means.astype(np.float16), site=sites, type=types, slide_id=slides)
    found = read_slide_means(tmp_path / "means.npz")
    assert isinstance(found, SlideMeans)
    assert found.mean.dtype == np.float32
    assert found.mean == pytest.approx(means, rel=1e-3)
    assert (found.site == sites).all()
    assert (found.type == types).all()
    assert (found.regions, found.encoder) == (None, None)


def test_removing_them_helps_logistic_regression_on_real_sites_never_seen(shared):
    """DATA's table: image side, whole sites held out, 656 patients that have both inputs."""
    from napari_gimp.study.cohort import read_cohort

    cohort = read_cohort(
        shared / "tcga_nsclc/cohort.csv", shared / "tcga_nsclc/features", shared / "tcga_nsclc/expression.csv.gz"
    )
    kept = np.flatnonzero(cohort.has("both"))
    with open(shared / "tcga_nsclc/folds.csv", newline="") as file:
        fold_of = {row["case_id"]: int(row["fold_site"]) for row in csv.DictReader(file)}
    folds = np.array([fold_of[cohort.cases[i].case_id] for i in kept])
    labels = np.array([cohort.classes.index(str(cohort.cases[i].label)) for i in kept])
    means = np.stack([np.asarray(cohort.sample(int(i), "image").embeddings).mean(axis=0) for i in kept])
    slides = read_slide_means(shared / "pancancer/slide_means.npz")
    directions = fit_directions(slides.mean, slides.site, slides.type, 20)
    before, after = (
        site_fold_figures(x, labels, folds) for x in (means, remove_directions(means, directions))
    )  # fmt: skip
    assert before == pytest.approx((0.691, 0.768), abs=0.006)
    assert after == pytest.approx((0.804, 0.876), abs=0.006)


def site_fold_figures(values: np.ndarray, labels: np.ndarray, folds: np.ndarray) -> tuple[float, float]:
    """Accuracy and AUC of logistic regression, mean of the folds."""
    found = []
    for fold in range(5):
        train, test = folds != fold, folds == fold
        mean, sd = values[train].mean(axis=0), values[train].std(axis=0)
        model = LogisticRegression(C=0.01, max_iter=1000).fit((values[train] - mean) / sd, labels[train])
        score = model.decision_function((values[test] - mean) / sd)
        found.append((((score > 0) == labels[test]).mean(), roc_auc_score(labels[test], score)))
    return tuple(np.mean(found, axis=0))
