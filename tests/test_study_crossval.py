"""Cross-validation with a model that is not GiMP: what is run, kept, resumed, refused, and the numbers."""

import json
from collections.abc import Generator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from study_lab import make_cohort

from napari_gimp.settings import InputError
from napari_gimp.study import abmil, crossval, rivals
from napari_gimp.study.baselines import BASELINES, REMOVED, in_words, needs_of
from napari_gimp.study.crossval import FoldResult, cross_validate
from napari_gimp.study.folds import make_folds
from napari_gimp.types import Progress


class Oracle:
    """Says the true class with a confidence that depends on the case, and counts its calls."""

    def __init__(self, wrong: set[int] = frozenset(), fail_at: int | None = None) -> None:  # type: ignore[assignment]
        self.calls, self.wrong, self.fail_at = [], wrong, fail_at

    def __call__(self, cohort, train, test, folder: Path, seed: int) -> Generator[Progress, None, FoldResult]:
        assert not set(train) & set(test)
        assert folder.is_dir()
        self.calls.append(tuple(test))
        yield Progress("learning", 1, 1, "steps")
        if len(self.calls) == self.fail_at:
            raise RuntimeError("killed")
        sure = 0.6 + 0.3 * np.random.default_rng(test[0]).random(len(test))
        said = np.where([i in self.wrong for i in test], 1 - cohort.labels[test], cohort.labels[test])
        rows = np.where(np.arange(2) == said[:, None], sure[:, None], 1 - sure[:, None])
        lacking = ~cohort.has_genes[test][:, None]
        raw = np.clip(rows * 2 - 0.5, 0.01, 0.99)
        return FoldResult(
            {"both": np.where(lacking, np.nan, rows), "image": rows, "genes": np.where(lacking, np.nan, rows)},
            {"epochs": np.int64(3)},
            {"image": raw / raw.sum(axis=1, keepdims=True)},
        )


def drain(work):
    steps = []
    while True:
        try:
            steps.append(next(work))
        except StopIteration as end:
            return end.value, steps


def cohort_of(n=60, seed=0, image=1.5, genes=1.5, sites=10, missing=()):
    """Two classes; image and genes carry the label with the given strength, every site holds one class."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 2
    bags = [rng.normal(size=(6, 5)) + image * labels[i] for i in range(n)]
    values = 5 + rng.normal(size=(n, 8)) + genes * labels[:, None]
    values[list(missing)] = np.nan
    names = [f"s{2 * (i // 2 % (sites // 2)) + labels[i]}" for i in range(n)]
    return make_cohort(labels, values, bags, names)


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A run with baselines over 3 site folds; cases 0 and 1 have no profile, the oracle is wrong in 2, 3 and 4."""
    out = tmp_path_factory.mktemp("run") / "out"
    cohort = cohort_of(missing=(0, 1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(abmil, "EPOCHS", 6)
        result, steps = drain(cross_validate(cohort, make_folds(cohort, "site", 3), Oracle({2, 3, 4}), out, seed=1))
    return cohort, out, result, steps


def test_figures_of_known_predictions(done):
    _, _, result, _ = done
    text = result.to_json()
    wrong = np.isin(np.arange(60), [2, 3, 4])
    folds = result.tested.fold_of
    rows = np.arange(60) >= 2
    accuracy = [1 - wrong[(folds == k) & rows].mean() for k in range(3)]
    assert text["modality"] == "both"
    assert text["accuracy"] == pytest.approx(np.mean(accuracy))
    assert [fold["accuracy"] for fold in text["per_fold"]] == pytest.approx(accuracy)
    assert text["n"] == 58
    assert text["by_modality"]["image"]["n"] == 60
    assert text["pooled"]["accuracy"] == pytest.approx(55 / 58)
    assert text["ece"] == text["pooled"]["ece"]
    assert set(text["ci95"]) == {"accuracy", "balanced_accuracy", "auc", "f1", "brier", "ece"}
    for name, (low, high) in text["ci95"].items():
        assert low <= text[name] <= high, name
    assert set(text["ece_before_calibration"]) == {"image"}
    assert text["folds"][0]["epochs"] == 3


def test_every_baseline_ran_with_and_without_directions(done):
    _, _, result, _ = done
    expected = {b.name for b in BASELINES} | {b.name + REMOVED for b in BASELINES if b.needs != "genes"}
    assert set(result.baselines) == expected
    text = result.to_json()["baselines"]
    assert all(found["accuracy"] > 0.75 for found in text.values()), {n: f["accuracy"] for n, f in text.items()}
    assert {name: found["n"] for name, found in text.items()} == {
        name: 60 if needs_of(name) == "image" else 58 for name in expected
    }
    assert result.to_json()["complete_cases"]["gimp_image"]["n"] == 58
    assert in_words("mean_image_directions") == "ridge on the mean-pooled image, site directions removed"


def test_hard_cases_are_those_that_all_models_get_wrong(done):
    _, _, result, _ = done
    everyone = [result.model["both"], *result.baselines.values()]
    by_hand = {
        case
        for i, case in enumerate(result.cases["case"])
        if not np.isnan(everyone[0][i]).any()
        and all(np.isnan(rows[i]).any() or rows[i].argmax() != result.tested.labels[i] for rows in everyone)
    }
    assert {case["case"] for case in result.hard_cases} == by_hand <= {"case002", "case003", "case004"}


def test_confusion_by_site_adds_up(done):
    _, _, result, _ = done
    table = result.confusion_by_site
    assert sum(site["n"] for site in table) == 58
    assert sum(site["right"] for site in table) == 55
    total = np.sum([site["confusion"] for site in table], axis=0)
    assert total.sum() == 58
    assert np.trace(total) == 55


def test_files_hold_what_the_json_says(done, tmp_path):
    _, out, result, _ = done
    result.write(out, tmp_path / "elsewhere.json")
    text = json.loads((tmp_path / "elsewhere.json").read_text())
    assert text == json.loads((out / "crossval.json").read_text())
    table = pd.read_csv(out / "predictions.csv")
    assert list(table.columns[:6]) == ["case", "fold", "label", "site", "both_LUAD", "both_LUSC"]
    assert table["case"].tolist() == [f"case{i:03d}" for i in range(60)]
    assert table["both_LUAD"].isna().sum() == 2
    called = np.where(table["image_LUSC"] > 0.5, "LUSC", "LUAD")
    assert (called == table["label"]).mean() == text["by_modality"]["image"]["pooled"]["accuracy"]
    others = pd.read_csv(out / "baselines.csv")
    assert {"lasso_genes_LUAD", "abmil_image_directions_LUSC"} <= set(others.columns)


def test_leak_checks_and_progress_come_along(done):
    _, _, result, steps = done
    assert [w.partition(":")[0] for w in result.warnings] == ["leak check (sites)"]
    assert {"fold 1 of 3: learning", "fold 2 of 3: baselines", "folds"} <= {step.stage for step in steps}


def test_an_interrupted_run_goes_on_where_it_stopped(tmp_path):
    cohort = cohort_of()
    folds = make_folds(cohort, "patient", 3)
    killed = Oracle(fail_at=3)
    with pytest.raises(RuntimeError, match="killed"):
        drain(cross_validate(cohort, folds, killed, tmp_path / "a", baselines=False))
    after = Oracle()
    resumed, _ = drain(cross_validate(cohort, folds, after, tmp_path / "a", baselines=False, resume=True))
    assert after.calls == [tuple(folds[2].test)]
    whole, _ = drain(cross_validate(cohort, folds, Oracle(), tmp_path / "b", baselines=False))
    pd.testing.assert_frame_equal(resumed.predictions, whole.predictions, check_exact=True)
    strip = {"seconds", "folds"}
    one, other = ({k: v for k, v in r.to_json().items() if k not in strip} for r in (resumed, whole))
    assert one == other


def test_a_folder_of_another_run_is_refused(tmp_path):
    cohort = cohort_of()
    folds = make_folds(cohort, "patient", 3)

    def run(cohort=cohort, folds=folds, **more):
        return drain(cross_validate(cohort, folds, Oracle(), tmp_path / "out", baselines=False, **more))[0]

    run(settings={"d": 128})
    with pytest.raises(InputError, match="holds this run already: --resume"):
        run(settings={"d": 128})
    with pytest.raises(InputError, match=r"another run \(its settings differ\)"):
        run(settings={"d": 64}, resume=True)
    with pytest.raises(InputError, match=r"its folds differ"):
        run(settings={"d": 128}, folds=make_folds(cohort, "patient", 4), resume=True)
    with pytest.raises(InputError, match=r"its cohort differ"):
        run(cohort_of(seed=1), settings={"d": 128}, resume=True)
    assert run(settings={"d": 64}, overwrite=True).settings["d"] == 64
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    with pytest.raises(InputError, match="found other files"):
        drain(cross_validate(cohort, folds, Oracle(), tmp_path / "mine", overwrite=True))


def test_a_damaged_fold_is_named(tmp_path):
    cohort = cohort_of()
    folds = make_folds(cohort, "patient", 3)
    drain(cross_validate(cohort, folds, Oracle(), tmp_path, baselines=False))
    (tmp_path / "folds" / "2" / "predictions.csv").write_text("case,fold\n")
    with pytest.raises(InputError, match=r"folds/2: expected the finished fold"):
        drain(cross_validate(cohort, folds, Oracle(), tmp_path, baselines=False, resume=True))


def test_a_model_that_answers_for_other_cases_is_a_defect(tmp_path):
    def strange(cohort, train, test, folder, seed):
        yield Progress("learning", 1, 1)
        return FoldResult({"both": np.full((3, 2), 0.5)})

    cohort = cohort_of()
    with pytest.raises(ValueError, match="probabilities for both"):
        drain(cross_validate(cohort, make_folds(cohort, "patient", 3), strange, tmp_path, baselines=False))


def slide_means(path: Path, width=5, names=("x",)) -> Path:
    rng = np.random.default_rng(0)
    sites = np.repeat(np.arange(8), 6).astype(str)
    slides = np.array([names[i] if i < len(names) else f"other{i}" for i in range(48)])
    means = rng.normal(size=(48, width)) + rng.normal(size=(8, width)).repeat(6, axis=0)
    np.savez(path, mean=means, site=sites, cancer_type=np.repeat(["A", "B"], 24), slide_id=slides)
    return path


def test_directions_of_a_table_never_come_from_the_cohorts_own_slides(tmp_path, monkeypatch):
    monkeypatch.setattr(abmil, "EPOCHS", 1)
    cohort = cohort_of(30)
    folds = make_folds(cohort, "patient", 2)
    seen = []
    fit = rivals.fit_directions
    monkeypatch.setattr(rivals, "fit_directions", lambda means, *a, **k: seen.append(len(means)) or fit(means, *a, **k))
    table = slide_means(tmp_path / "means.npz", names=("case003-slide", "case004"))
    result, _ = drain(cross_validate(cohort, folds, Oracle(), tmp_path / "a", directions_from=table, directions=3))
    assert seen == [46]  # fitted once, without the slide of case 3 and another slide of case 4
    assert result.folds[0]["baseline_directions"] == "3 from a table of other slides"
    assert result.settings["directions_from"].startswith("means.npz ")
    wide = slide_means(tmp_path / "wide.npz", width=7)
    with pytest.raises(InputError, match="7-d"):
        drain(cross_validate(cohort, folds, Oracle(), tmp_path / "b", directions_from=wide))


def test_without_genes_the_headline_is_the_image(tmp_path):
    cohort = cohort_of(missing=range(60))
    result, _ = drain(cross_validate(cohort, make_folds(cohort, "site", 3), Oracle(), tmp_path, baselines=False))
    text = result.to_json()
    assert (text["modality"], set(text["by_modality"]), text["n"]) == ("image", {"image"}, 60)
    assert (text["baselines"], text["comparison"]) == ({}, {})


def test_a_small_table_gives_what_it_can_show_and_is_fitted_before_training(tmp_path, monkeypatch):
    monkeypatch.setattr(abmil, "EPOCHS", 1)
    cohort = cohort_of(30)
    folds, table = make_folds(cohort, "patient", 2), slide_means(tmp_path / "means.npz")
    run = {"directions_from": table}
    result, _ = drain(cross_validate(cohort, folds, Oracle(), tmp_path / "a", **run))
    shown = [fold["baseline_directions"] for fold in result.folds]
    assert shown == ["5 from a table of other slides"] * 2  # 8 sites of 2 types span 6, embeddings are 5 wide
    assert set(result.baselines) > {"mean_image_directions"}
    bare = slide_means(tmp_path / "own.npz", names=[case.case_id for case in cohort.cases] + ["case000"] * 18)
    result, _ = drain(cross_validate(cohort, folds, Oracle(), tmp_path / "b", directions_from=bare))
    assert [fold["baseline_directions"] for fold in result.folds] == ["none"] * 2  # all slides are the cohort's own
    model, broken = Oracle(), lambda *a, **k: (_ for _ in ()).throw(InputError("no table"))
    monkeypatch.setattr(rivals, "fit_directions", broken)
    with pytest.raises(InputError, match="no table"):
        drain(cross_validate(cohort, folds, model, tmp_path / "c", **run))
    assert model.calls == []


@pytest.mark.parametrize("modality", ["both", "genes"])
def test_a_headline_that_no_case_allows_is_refused_before_training(tmp_path, modality):
    cohort, model = cohort_of(missing=range(60)), Oracle()
    with pytest.raises(InputError, match=f"what modality {modality} needs, found none"):
        drain(cross_validate(cohort, make_folds(cohort, "site", 3), model, tmp_path / "out", modality=modality))
    assert model.calls == []
    assert not (tmp_path / "out").exists()


def test_leaks_that_were_looked_for_before_are_not_looked_for_again(tmp_path, monkeypatch):
    cohort = cohort_of()
    folds = make_folds(cohort, "patient", 3)
    monkeypatch.setattr(crossval, "check_leaks", lambda *_: pytest.fail("asked again"))
    run = {"baselines": False, "warnings": ("leak check (sites): known",)}
    result, _ = drain(cross_validate(cohort, folds, Oracle(), tmp_path, **run))
    assert result.warnings == run["warnings"]
