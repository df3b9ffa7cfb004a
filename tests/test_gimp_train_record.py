"""What a training leaves behind: history, its picture, TensorBoard's log, and what a resumed run must share."""

import hashlib
import math
import sys
import types
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from conftest import write_tiny_cohort
from PIL import Image
from study_lab import make_cohort

from napari_gimp.gimp.config import ModelConfig
from napari_gimp.gimp.steps import Step
from napari_gimp.gimp.trainconfig import TrainConfig
from napari_gimp.settings import InputError
from napari_gimp.study import record
from napari_gimp.study.cohort import read_cohort
from napari_gimp.study.folds import Fold
from napari_gimp.study.foldstore import identity
from napari_gimp.study.preparation import split_cases
from napari_gimp.study.record import TensorBoardLog, case_hash, curves, history_table, step_log, was_seen, write_history
from napari_gimp.types import Case

HISTORY = [
    Step("pretrain", 1, 1, 4, 3.0, {"reconstruction": 1.0, "triplet": 2.0, "active": 1.0, "image_margin": 0.1}),
    Step("pretrain", 1, 2, 4, 2.0, {"reconstruction": 1.0, "triplet": 1.0, "active": math.nan, "image_margin": 0.3}),
    Step("pretrain", 2, 3, 4, 1.0, {"reconstruction": 0.5, "triplet": 0.5, "active": 0.5, "image_margin": 0.4}),
    Step("finetune", 1, 1, 3, 0.7, {"accuracy": 0.5}, {"both": 0.6, "image": 0.8}, best=True),
    Step("finetune", 2, 2, 3, 0.6, {"accuracy": 0.75}, {"both": 0.65, "image": 0.9}),
]


def test_history_is_the_mean_of_each_epoch():
    table = history_table(HISTORY).set_index(["stage", "epoch"])
    assert table.loc[("pretrain", 1), ["loss", "active", "image_margin"]].tolist() == pytest.approx([2.5, 1.0, 0.2])
    assert table["best"].tolist() == [False, False, True, False]
    assert table.loc[("finetune", 2), "validation_image"] == 0.9


def test_curves_show_every_figure_and_the_best_epoch():
    figure = curves(HISTORY)
    titles = [axes.get_title() for axes in figure.axes[:2]]
    assert titles == ["pretrain", "finetune"]
    assert [axes.get_ylabel() for axes in figure.axes[::2]] == ["loss", "share", "margin"]
    lines = {line.get_label(): np.asarray(line.get_ydata()) for axes in figure.axes for line in axes.lines}
    np.testing.assert_allclose(lines["reconstruction"], [1.0, 0.5])
    np.testing.assert_allclose(lines["active"], [1.0, 0.5])
    np.testing.assert_allclose(lines["validation both"], [0.6, 0.65])
    (marked,) = (line for line in figure.axes[1].lines if line.get_label().startswith("_"))
    assert list(marked.get_xdata()) == [1, 1]


def test_history_stands_beside_the_checkpoint_as_table_and_picture(tmp_path):
    write_history(tmp_path / "lung", HISTORY)
    assert len(pd.read_csv(tmp_path / "lung.history.csv")) == 4
    with Image.open(tmp_path / "lung.history.png") as picture:
        assert np.ptp(np.asarray(picture.convert("L"))) > 100
    write_history(tmp_path / "none", [])
    assert {path.name for path in tmp_path.iterdir()} == {"lung.history.csv", "lung.history.png", "none.history.csv"}


def test_tensorboard_is_an_option(tmp_path, monkeypatch):
    quiet = TensorBoardLog()
    quiet.add(HISTORY[0])
    quiet.close()
    monkeypatch.setattr(record.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="install it with pip"):
        TensorBoardLog(tmp_path)


def test_tensorboard_gets_a_tag_per_stage_and_figure(tmp_path, monkeypatch):
    noted = []

    class SummaryWriter:
        def __init__(self, folder):
            noted.append(folder)

        def add_scalar(self, *scalar):
            noted.append(scalar)

        def close(self):
            noted.append("closed")

    fake = types.ModuleType("torch.utils.tensorboard")
    fake.SummaryWriter = SummaryWriter
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", fake)
    monkeypatch.setattr(record.importlib.util, "find_spec", lambda name: object())
    log = step_log(tmp_path, 1)
    log.add(HISTORY[3])
    log.close()
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    monkeypatch.setenv("RANK", "1")
    step_log(tmp_path, 1).add(HISTORY[3])  # not the first process: nothing more is noted
    scalars = [("finetune/loss", 0.7, 1), ("finetune/accuracy", 0.5, 1), ("finetune/validation_both", 0.6, 1)]
    assert noted == [str(tmp_path / "member_1"), *scalars, ("finetune/validation_image", 0.8, 1), "closed"]


def test_a_run_is_named_by_settings_cases_and_inputs(tmp_path):
    files = write_tiny_cohort(tmp_path)
    cohort = read_cohort(files.table, files.features, files.expression)
    model, training, split = ModelConfig(d=16), TrainConfig(), split_cases(cohort, 0.3, 0)

    def identity(model=model, training=training, split=split, **more):
        return record.run_identity(cohort, split, model, training, **more)

    def differs(other):
        return {name for name in other if other[name] != identity(seed=0)[name]}

    assert differs(identity(seed=0)) == set()
    assert differs(identity(seed=1)) == {"seed"}
    assert differs(identity(training=replace(training, patches=3), seed=0)) == {"training"}
    assert differs(identity(split=split_cases(cohort, 0.3, 1), seed=0)) == {"training cases", "validation cases"}
    relabelled = replace(cohort, cases=tuple(replace(case, label="solid") for case in cohort.cases))
    assert differs(record.run_identity(relabelled, split, model, training, seed=0)) >= {"training cases"}
    louder = replace(cohort, values=cohort.values + 1)
    assert differs(record.run_identity(louder, split, model, training, seed=0)) == {"genes"}


def test_a_run_is_named_by_what_its_bags_hold():
    bags = [np.full((3, 4), i) for i in range(4)]
    plain = record.features_identity(make_cohort([0, 1, 0, 1], bags=bags))
    assert record.features_identity(make_cohort([0, 1, 0, 1], bags=[bag.copy() for bag in bags])) == plain
    for changed in ([bags[0] + 1, *bags[1:]], [*bags[:1], bags[1][:2], *bags[2:]]):
        cohort = make_cohort([0, 1, 0, 1], bags=changed)
        assert record.features_identity(cohort) != plain
        folds = [Fold("a", np.arange(2)), Fold("b", np.arange(2, 4))]
        assert (
            identity(cohort, folds, {})["cohort"] != identity(make_cohort([0, 1, 0, 1], bags=bags), folds, {})["cohort"]
        )


def test_a_patient_is_known_by_any_name_of_its_slides_and_samples():
    named = [Case(name, (), None, None) for name in ("TCGA-05-4244", "TCGA-05-4244-01Z-00-DX1.svs", "TCGA-05-4245")]
    whole, slide, other = named
    assert case_hash(whole) == case_hash(slide) != case_hash(other)
    assert was_seen(slide, {case_hash(whole)})
    assert not was_seen(other, {case_hash(whole)})
    old = hashlib.sha256(slide.case_id.encode()).hexdigest()[:16]  # as checkpoints named cases before
    assert was_seen(slide, {old})
