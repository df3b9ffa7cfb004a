"""Cross-validation and ablation through the command line: what is refused and what is said before the work."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_cohort import write_cohort

from napari_gimp import cli
from napari_gimp.gimp.evaluate import figures
from napari_gimp.study import gimpfold

SETTINGS = (
    "d=8", "heads=1", "layers=1", "ffn=1", "fragment_genes=4", "groups=2", "epochs_genes=1", "epochs_pretrain=1",
    "epochs_decoder=1", "members=1", "batch_size=16", "inner_folds=2", "patches_pretrain=8",
)  # fmt: skip
FOLDS = ("--n-folds", "2", "--by-patient")
SMALL = [part for setting in SETTINGS for part in ("--set", setting)]


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_cohort(tmp_path_factory.mktemp("cohort"), 30, 1)


@pytest.fixture
def run(capsys, cohort):
    """Run a command on the cohort: exit code and what it said on stderr."""

    def call(command: str, out: Path, *more: object, table=cohort / "cohort.csv", folds=FOLDS) -> tuple[int, str]:
        files = ["--cohort", table, "--features", cohort / "features", "--out", out, "--preset", "small"]
        with pytest.raises(SystemExit) as end:
            cli.main([*map(str, (command, *files, *SMALL, "--device", "cpu", *folds, *more))])
        return int(end.value.code or 0), capsys.readouterr().err

    return call


@pytest.mark.parametrize("command", ["crossval", "ablate"])
def test_without_expression_the_headline_is_the_image(run, tmp_path, command):
    more = ["--no-baselines"] if command == "crossval" else ["--rows", "without pre-training"]
    code, said = run(command, tmp_path / "out", *more)
    assert code == 0, said
    name = "crossval.json" if command == "crossval" else "ablation.json"
    assert json.loads((tmp_path / "out" / name).read_text())["modality"] == "image"


@pytest.mark.parametrize("command", ["crossval", "ablate"])
def test_an_impossible_headline_is_refused_before_training(run, tmp_path, monkeypatch, command):
    monkeypatch.setattr(gimpfold, "fit", lambda *a, **k: pytest.fail("trained"))
    code, said = run(command, tmp_path / "out", "--modality", "both")
    assert code == 2
    assert "what modality both needs, found none" in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("command", ["crossval", "ablate"])
def test_leaks_are_told_once_and_before_the_work(run, tmp_path, cohort, command):
    """Every hospital has cases of one class alone."""
    table = pd.read_csv(cohort / "cohort.csv")
    table["site"] = [f"{label}{i % 4 // 2}" for i, label in enumerate(table["label"])]
    table.to_csv(tmp_path / "leaky.csv", index=False)
    more = ["--no-baselines"] if command == "crossval" else ["--rows", "full"]
    code, said = run(command, tmp_path / "out", *more, table=tmp_path / "leaky.csv")
    assert code == 0, said
    assert said.count("leak check (sites)") == 1
    assert said.index("leak check (sites)") < said.index("fold 1 of 2")


def test_directions_are_passed_on_to_the_baselines(run, tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    sites, kinds = np.repeat(np.arange(6), 6).astype(str), np.repeat(["A", "B"], 18)
    slides = np.array([f"other{i}" for i in range(36)])
    np.savez(tmp_path / "means.npz", mean=rng.normal(size=(36, 6)), site=sites, cancer_type=kinds, slide_id=slides)
    more = ["--directions-from", tmp_path / "means.npz", "--directions", "3"]
    code, said = run("crossval", tmp_path / "out", *more)
    assert code == 0, said
    folds = json.loads((tmp_path / "out" / "crossval.json").read_text())["folds"]
    assert [fold["baseline_directions"] for fold in folds] == ["3 from a table of other slides"] * 2


def test_the_intervals_of_an_evaluation_draw_whole_patients(run, tmp_path, cohort):
    """Three samples a patient, by barcode: the interval is that of patients, not of samples."""
    table = pd.read_csv(cohort / "cohort.csv").sort_values("label")
    table["case_id"] = [f"TCGA-05-{1000 + i // 3}-0{1 + i % 3}A" for i in range(30)]
    table.to_csv(tmp_path / "samples.csv", index=False)
    code, said = run("train", tmp_path / "model", folds=())
    assert code == 0, said
    files = ["--cohort", tmp_path / "samples.csv", "--features", cohort / "features", "--out", tmp_path / "out"]
    with pytest.raises(SystemExit) as end:
        cli.main([*map(str, ("evaluate", tmp_path / "model", "--modality", "image", *files))])
    assert not end.value.code
    found = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    said = pd.read_csv(tmp_path / "out" / "predictions.csv")
    rows, labels = said[["image_LUAD", "image_LUSC"]].to_numpy(), (said["label"] == "LUSC").to_numpy().astype(int)
    by_patient, by_sample = (figures(rows, labels, patients=p, seed=0).ci95 for p in (np.arange(30) // 3, None))
    assert found["ci95"]["brier"] == pytest.approx(by_patient["brier"])
    assert by_patient["brier"] != by_sample["brier"]
