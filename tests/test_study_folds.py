"""Folds: from a file or made, no site or patient divided, and every way in which they can be wrong."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from study_lab import make_cohort

from napari_gimp.settings import InputError
from napari_gimp.study.cohort import read_cohort
from napari_gimp.study.folds import Fold, check_folds, default_grouping, groups_of, make_folds, read_folds
from napari_gimp.study.leaks import check_leaks


@pytest.fixture
def cohort():
    sites = ["a", "a", "b", "b", "c", "c", "d", "d"]
    return make_cohort([0, 0, 1, 1, 0, 0, 1, 1], sites=sites)


def write(folder, rows, head="case_id,one,two"):
    path = folder / "folds.csv"
    path.write_text("\n".join([head, *rows]) + "\n")
    return path


def test_reads_a_column_in_the_order_of_the_numbers(cohort, tmp_path):
    rows = [f"case{i:03d},{[10, 2][i % 2]},x" for i in range(8)]
    path = write(tmp_path, [*rows, "stranger,3,y"])
    folds = read_folds(f"{path}:one", cohort)
    assert [fold.name for fold in folds] == ["2", "10"]
    assert folds[0].test.tolist() == [1, 3, 5, 7]
    assert folds[0].train(cohort).tolist() == [0, 2, 4, 6]


def test_real_folds_divide_neither_site_nor_case(shared):
    folder = shared / "tcga_nsclc"
    cohort = read_cohort(folder / "cohort.csv", folder / "features")
    folds = read_folds(f"{folder / 'folds.csv'}:fold_site", cohort)
    assert [len(fold.test) for fold in folds] == [151, 133, 133, 134, 133]
    splits = [(fold.train(cohort), fold.test) for fold in folds]
    assert not any("(split)" in sentence for sentence in check_leaks(cohort, splits))


@settings(max_examples=30)
@given(st.integers(0, 10_000), st.sampled_from(["site", "patient"]), st.integers(2, 5))
def test_made_folds_hold_each_case_once_and_divide_no_group(seed, by, count):
    rng = np.random.default_rng(seed)
    sites = [f"s{s}" for s in rng.integers(12, size=80)]
    names = [f"TCGA-05-{i // 2:04d}-0{i % 2 + 1}A" for i in range(80)]
    cohort = make_cohort(rng.permutation(np.arange(80) % 2), sites=sites, names=names)
    folds = make_folds(cohort, by, count, seed)
    assert sorted(np.concatenate([fold.test for fold in folds])) == list(range(80))
    groups = np.array(groups_of(cohort, by))
    for fold in folds:
        assert not set(groups[fold.test]) & set(groups[fold.train(cohort)])
    again = make_folds(cohort, by, count, seed)
    assert [fold.test.tolist() for fold in again] == [fold.test.tolist() for fold in folds]


def test_sites_are_the_default_wherever_there_are_any(cohort):
    assert default_grouping(cohort) == "site"
    assert default_grouping(make_cohort([0, 1])) == "patient"


@pytest.mark.parametrize(
    ("rows", "column", "says"),
    [
        (["case000,1,1"], "one", "expected a fold in one for each of the 8 cases, found none for 7: case001, case002"),
        ([f"case{i:03d},{i % 2}," for i in range(8)], "two", "found none for 8"),
        ([f"case{i:03d},{i % 2},0" for i in range(8)], "three", "found the columns one, two"),
        ([f"case{i:03d},0,0" for i in range(8)], "one", "at least two folds"),
        ([f"case{i:03d},{i // 2 % 2},0" for i in range(8)], "one", "Fold 0: .*found none of LUAD"),
        (["case000,1,0", "case000,2,0"], "one", "one fold a case, found several for case000"),
    ],
)
def test_files_that_do_not_fit_are_refused(cohort, tmp_path, rows, column, says):
    with pytest.raises(InputError, match=says):
        read_folds(f"{write(tmp_path, rows)}:{column}", cohort)


def test_other_files_are_refused(cohort, tmp_path):
    with pytest.raises(InputError, match="found nothing there"):
        read_folds(f"{tmp_path / 'no.csv'}:one", cohort)
    with pytest.raises(InputError, match="a column case_id, found name, one"):
        read_folds(f"{write(tmp_path, ['a,1'], 'name,one')}:one", cohort)
    with pytest.raises(InputError, match="COLUMN"):
        read_folds(str(write(tmp_path, [f"case{i:03d},1,1" for i in range(8)])), cohort)


@pytest.mark.parametrize(
    ("labels", "sites", "by", "says"),
    [
        ([0, 0, 0, 0, 1, 1], None, "patient", r"at least 3 cases of each class for 3 folds, found fewer of LUSC \(2\)"),
        ([0, 0, 0, 1, 1, 1], None, "site", "expected a column site"),
        ([0, 0, 0, 1, 1, 1], list("aaabbb"), "site", "at least 3 sites for 3 folds, found 2"),
        ([0, 0, 0, 1, 1, 1], list("abcddd"), "site", "found none of LUSC"),
    ],
)
def test_cohorts_that_cannot_be_divided_are_refused(labels, sites, by, says):
    with pytest.raises(InputError, match=says):
        make_folds(make_cohort(labels, sites=sites), by, 3)


def test_one_class_and_a_case_in_two_folds_are_refused(cohort):
    with pytest.raises(InputError, match="at least two classes, found only LUAD"):
        make_folds(make_cohort([0, 0, 0], classes=("LUAD",)), "patient", 2)
    with pytest.raises(InputError, match="found 1"):
        make_folds(cohort, "patient", 1)
    with pytest.raises(InputError, match="some in several"):
        check_folds([Fold("1", np.array([0, 1])), Fold("2", np.array([1, 2]))], cohort)
