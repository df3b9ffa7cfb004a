"""Runs on a generated cohort in which image and genes each carry the class, and on a few real patients."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from made_cohort import drain, read, write_cohort

from napari_gimp.bags import write_bag
from napari_gimp.gimp.checkpoint import load_model, read_facts
from napari_gimp.gimp.model import ModelConfig
from napari_gimp.gimp.train import TrainConfig
from napari_gimp.settings import InputError
from napari_gimp.study.cohort import Cohort, read_cohort
from napari_gimp.study.evaluating import evaluate_checkpoint
from napari_gimp.study.plan import Plan
from napari_gimp.study.preparation import fit_scaling, split_cases
from napari_gimp.study.training import train_cohort

MODEL = ModelConfig(d=16, heads=2, layers=1, ffn=2, fragment_genes=4, groups=2, window=12, head_hidden=16)
TRAINING = TrainConfig(
    epochs_genes=6,
    epochs_pretrain=2,
    epochs_finetune=10,
    epochs_decoder=3,
    lr_genes=1e-2,
    lr_pretrain=1e-3,
    lr_finetune=5e-3,
    modality_dropout=0.5,
    patches=12,
)


def train(cohort: Cohort, out: Path, training: TrainConfig = TRAINING, model: ModelConfig = MODEL, **more):
    files = {key: more.pop(key) for key in ("overwrite", "synthetic", "resume") if key in more}
    return drain(train_cohort(cohort, out, Plan(model, training, device="cpu", **more), **files))


def evaluate(checkpoint: Path, cohort: Cohort, **more):
    return drain(evaluate_checkpoint(checkpoint, cohort, device="cpu", **more))[0]


@pytest.fixture(scope="module")
def cohorts(tmp_path_factory) -> tuple[Cohort, Cohort]:
    """70 cases to train on and 63 others."""
    root = tmp_path_factory.mktemp("cohorts")
    (root / "train").mkdir()
    (root / "test").mkdir()
    return read(write_cohort(root / "train", 70, 1)), read(write_cohort(root / "test", 63, 2))


@pytest.fixture(scope="module")
def trained(cohorts, tmp_path_factory):
    """Checkpoint folder, facts and progress of one training."""
    out = tmp_path_factory.mktemp("out") / "lung"
    facts, progress = train(cohorts[0], out, synthetic="synthetic")
    return out, facts, progress


def test_held_out_cases_are_told_apart_by_both_inputs_and_by_either(trained, cohorts):
    found = evaluate(trained[0], cohorts[1])
    assert {name: figures.n for name, figures in found.by_modality.items()} == {"both": 54, "image": 63, "genes": 54}
    for name, figures in found.by_modality.items():
        assert figures.accuracy > 0.8, name
        assert figures.ci95["auc"][1] >= figures.auc > 0.85, name


def test_the_checkpoint_says_what_it_is(trained, cohorts):
    out, facts, _ = trained
    assert read_facts(out).trained_on == facts.trained_on
    assert facts.trained_on.startswith("train: 56 cases (28 LUAD, 28 LUSC), 48 with image and genes; 14 more")
    assert (facts.encoder, facts.embedding_dim, facts.patch_px, facts.patch_mpp) == ("enc", 6, 256, 0.5)
    assert (facts.genes, facts.expression_scale) == (cohorts[0].genes, "log")
    assert facts.classes == ("LUAD", "LUSC")
    assert facts.synthetic == "synthetic"
    assert set(facts.metrics) == {"both", "image", "genes"}
    assert facts.metrics["image"]["n"] == 14
    record = read_facts(out).provenance
    assert len(record["train_cases"]) == 56
    assert record["has_places"] is True
    assert "case-" not in json.dumps([record["train_cases"], record["validation_cases"]])
    assert record["training"]["lr_genes"] == TRAINING.lr_genes
    assert [note.split(":")[0] for note in record["cohort_notes"]] == ["Cohort train", "Format", "Samples", "Scale"]


def test_a_checkpoint_names_no_case_sample_or_slide(cohorts, trained):
    assert "case-1-0" in " ".join(cohorts[0].notes)  # one of those without expression, told to the user
    assert "case-" not in (trained[0] / "checkpoint.json").read_text(encoding="utf-8")


def test_history_and_progress_cover_every_step(trained):
    out, _, progress = trained
    history = pd.read_csv(out.with_name("lung.history.csv"))
    epochs = history.groupby("stage", sort=False).size().to_dict()
    assert epochs == {"genes": 6, "pretrain": 2, "finetune": 10, "decoder": 3}
    tuned = history[history.stage == "finetune"]
    mean = tuned[["validation_both", "validation_image", "validation_genes"]].mean(axis=1)
    assert tuned.loc[mean.idxmin(), "best"]
    assert list(dict.fromkeys(p.stage for p in progress)) == [
        "reading features",
        "training on genes",
        "pre-training",
        "fine-tuning",
        "fitting the decoder",
        "calibrating",
        "validating",
    ]
    for stage in {p.stage for p in progress}:
        done = [p.done for p in progress if p.stage == stage]
        assert done == list(range(1, done[-1] + 1)) * (len(done) // done[-1])
        assert done[-1] == next(p.total for p in progress if p.stage == stage)


def test_scaling_is_fitted_on_the_training_part_alone(trained, cohorts):
    cohort = cohorts[0]
    train_part = split_cases(cohort, 0.2, 0).train
    features = np.concatenate([bag.features for i in train_part for bag in cohort.bags(int(i))])
    model = load_model(trained[0]).model.members[0]
    np.testing.assert_allclose(model.aggregator.scaling.mean, features.mean(axis=0), atol=1e-5)
    np.testing.assert_allclose(model.aggregator.scaling.sd, features.std(axis=0), rtol=1e-4)
    np.testing.assert_allclose(model.gene_scaling.mean, np.nanmean(cohort.values[train_part], axis=0), rtol=1e-5)
    np.testing.assert_allclose(model.gene_scaling.sd, np.nanstd(cohort.values[train_part], axis=0), rtol=1e-4)


def test_training_twice_gives_the_same_weights_and_another_seed_others(cohorts, tmp_path):
    short = replace(TRAINING, epochs_genes=1, epochs_pretrain=1, epochs_finetune=1)
    part = cohorts[0].subset(np.arange(20))
    for name, seed in {"one": 0, "two": 0, "three": 1}.items():
        train(part, tmp_path / name, short, seed=seed)
    one, two, three = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("one", "two", "three"))
    assert one == two != three


def test_shuffled_labels_give_chance(cohorts, tmp_path):
    cohort = cohorts[0]
    swapped = [replace(c, label=cohort.classes[(i // 2) % 2]) for i, c in enumerate(cohort.cases)]
    train(replace(cohort, cases=tuple(swapped)), tmp_path / "ck", replace(TRAINING, epochs_finetune=4))
    found = evaluate(tmp_path / "ck", cohorts[1])
    assert 0.3 < found.by_modality["both"].accuracy < 0.7


def test_a_cohort_without_expression_gives_an_image_only_model(cohorts, tmp_path):
    whole = cohorts[0]
    cohort = replace(whole, table=None, samples_of=(None,) * len(whole)).with_genes(None)
    facts, progress = train(cohort, tmp_path / "ck")
    assert (facts.genes, facts.expression_scale, set(facts.metrics)) == ((), None, {"image"})
    assert "training on genes" not in {p.stage for p in progress}
    found = evaluate(tmp_path / "ck", cohorts[1], modality="image")
    assert set(found.by_modality) == {"image"}
    assert found.headline.accuracy > 0.8
    with pytest.raises(InputError, match="knows no genes"):
        evaluate(tmp_path / "ck", cohorts[1])


def test_the_split_is_stratified_and_no_case_is_on_both_sides(cohorts):
    cohort = cohorts[0]
    split = split_cases(cohort, 0.3, 5)
    held = split.validation
    assert sorted([*split.train, *held]) == list(range(len(cohort)))
    assert abs(cohort.labels[held].mean() - 0.5) < 0.1
    assert cohort.has_genes[held].mean() == pytest.approx(6 / 7, abs=0.08)
    assert not np.array_equal(held, split_cases(cohort, 0.3, 6).validation)
    assert len(split_cases(cohort, 0.0, 5).validation) == 0
    few = split_cases(cohort.subset(np.array([1, 2, 3, 4])), 0.1, 0)
    assert (len(few.train), len(few.validation)) == (2, 2)


def test_without_validation_the_last_weights_stay(cohorts, tmp_path):
    facts, _ = train(cohorts[0], tmp_path / "ck", replace(TRAINING, epochs_finetune=1), val_fraction=0.0)
    assert facts.metrics == {}
    assert facts.trained_on.endswith("; no validation cases")


def test_files_of_an_evaluation(trained, cohorts, tmp_path):
    found = evaluate(trained[0], cohorts[1], modality="genes", seed=3)
    found.write(tmp_path / "figures.json", tmp_path / "out")
    said = json.loads((tmp_path / "figures.json").read_text())
    assert said == json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert {"accuracy", "auc", "f1", "ece", "ci95", "n", "modality", "by_modality", "seed", "seconds"} <= set(said)
    assert (said["modality"], said["n"], said["seed"], said["synthetic"]) == ("genes", 54, 3, "synthetic")
    assert said["by_modality"]["genes"]["accuracy"] == said["accuracy"]
    table = pd.read_csv(tmp_path / "out" / "predictions.csv")
    assert list(table.columns[:5]) == ["case", "fold", "label", "both_LUAD", "both_LUSC"]
    known = table.dropna(subset=["genes_LUAD"])
    right = np.where(known.genes_LUSC > known.genes_LUAD, "LUSC", "LUAD") == known.label
    assert right.mean() == pytest.approx(said["accuracy"])
    assert len(known) == 54
    assert len(table) == 63
    assert "synthetic" in found.table()
    with pytest.raises(InputError, match="exists already"):
        found.write(None, tmp_path / "out")
    found.write(None, tmp_path / "out", overwrite=True)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"evaluation.json", "predictions.csv"}


def test_cases_that_were_trained_on_are_noticed(trained, cohorts):
    assert not any("trained on:" in note or "no test" in note for note in evaluate(trained[0], cohorts[1]).notes)
    notes = evaluate(trained[0], cohorts[0]).notes
    assert any("56 of the 70 cases were trained on" in note for note in notes)
    assert any("14 of the 70 cases were used to choose the epoch" in note for note in notes)


def test_probabilities_do_not_depend_on_the_other_cases(trained, cohorts):
    whole = evaluate(trained[0], cohorts[1]).predictions
    alone = evaluate(trained[0], cohorts[1].subset(np.array([1, 2]))).predictions
    np.testing.assert_allclose(whole.iloc[[1, 2], 3:].to_numpy(float), alone.iloc[:, 3:].to_numpy(float), atol=1e-6)


def test_another_encoder_labels_or_scale_are_refused(trained, cohorts, tmp_path):
    other = read(write_cohort(tmp_path, 6, 9, encoder="another"))
    with pytest.raises(InputError, match=r"expected bags of encoder enc .*found another"):
        evaluate(trained[0], other)
    (tmp_path / "labels").mkdir()
    other = read(write_cohort(tmp_path / "labels", 6, 9, labels=("KIRC", "KIRP")))
    with pytest.raises(InputError, match="expected the labels LUAD, LUSC, found KIRC, KIRP"):
        evaluate(trained[0], other)
    counts = pd.read_csv(tmp_path / "labels" / "expression.csv", index_col=0).round().astype(int)
    counts.to_csv(tmp_path / "labels" / "expression.csv")
    scaled = read(tmp_path / "labels", expression_scale="counts")
    with pytest.raises(InputError, match="scale counts"):
        evaluate(trained[0], scaled.with_classes(("LUAD", "LUSC")))


def test_bags_of_patches_of_another_size_are_said_beside_the_figures(trained, tmp_path):
    cohort = read(write_cohort(tmp_path, 6, 9))
    assert not any("um a side" in note for note in evaluate(trained[0], cohort).notes)
    (bag,) = cohort.bags(0)
    wide = replace(bag.grid, size_yx_px=(1024.0, 1024.0), stride_yx_px=(1024.0, 1024.0))
    write_bag(tmp_path / "features" / f"{bag.slide}.h5", replace(bag, grid=wide))
    (note,) = (note for note in evaluate(trained[0], read(tmp_path)).notes if "um a side" in note)
    assert "256 um a side" in note
    assert "trained on 128 um" in note


def test_a_cohort_without_what_the_modality_needs_is_refused(trained, cohorts):
    cohort = cohorts[1]
    image_only = cohort.subset(np.flatnonzero(~cohort.has_genes))
    with pytest.raises(InputError, match="modality both needs, found none"):
        evaluate(trained[0], image_only)
    assert evaluate(trained[0], image_only, modality="image").headline.n == len(image_only)


def test_training_refuses_one_class_a_taken_place_and_no_patches(cohorts, tmp_path, monkeypatch):
    cohort = cohorts[0]
    one = cohort.subset(np.flatnonzero(cohort.labels == 0)).with_classes(["LUAD"])
    with pytest.raises(InputError, match="at least two classes to train on, found only LUAD"):
        train(one, tmp_path / "ck")
    (tmp_path / "taken").mkdir()
    with pytest.raises(InputError, match="exists already"):
        train(cohort, tmp_path / "taken")
    with pytest.raises(InputError, match="expected a checkpoint"):
        train(cohort, tmp_path / "taken", overwrite=True)
    with pytest.raises(InputError, match="share"):
        train(cohort, tmp_path / "ck", val_fraction=1.0)
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path)
    with pytest.raises(InputError, match="no permission"):
        train(cohort, tmp_path / "new" / "ck")
    monkeypatch.undo()
    bare = replace(cohort, cases=tuple(replace(case, slide_ids=()) for case in cohort.cases))
    with pytest.raises(InputError, match="training cases with patches"):
        train(bare, tmp_path / "ck")
    assert not (tmp_path / "ck").exists()


def test_a_checkpoint_with_files_of_others_in_it_is_refused_before_training(trained, cohorts, tmp_path):
    out = tmp_path / "ck"
    shutil.copytree(trained[0], out)
    (out / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="something else"):
        next(train_cohort(cohorts[0], out, Plan(MODEL, TRAINING, device="cpu"), overwrite=True))


def test_a_bag_without_coordinates_is_remembered(tmp_path):
    cohort = read(write_cohort(tmp_path, 4, 1))
    assert drain(fit_scaling(cohort, np.arange(4)))[0].has_places
    (bag,) = cohort.bags(0)
    write_bag(tmp_path / "features" / f"{bag.slide}.h5", replace(bag, grid=None))
    assert not drain(fit_scaling(read(tmp_path), np.arange(4)))[0].has_places


def test_patches_of_two_sizes_are_refused(tmp_path):
    cohort = read(write_cohort(tmp_path, 4, 1))
    bag = cohort.bags(0)[0]
    write_bag(
        tmp_path / "features" / f"{bag.slide}.h5",
        replace(bag, provenance={"patches": {"patch_px": 224, "patch_mpp": 0.5}}),
    )
    with pytest.raises(InputError, match=r"patches of one size, found 224 px at 0\.5 um/px, 256 px"):
        drain(fit_scaling(read(tmp_path), np.arange(4)))


def test_a_few_real_patients_end_to_end(shared, tmp_path):
    root = shared / "tcga_nsclc"
    cohort = read_cohort(root / "cohort.csv", root / "features", root / "expression.csv.gz")
    chosen = np.random.default_rng(0).permutation(len(cohort))[:120]
    model = ModelConfig(
        d=32, heads=4, layers=1, ffn=2, shared_head=False, fragment_genes=26, groups=5, window=64, head_hidden=32
    )
    training = replace(TRAINING, epochs_genes=3, epochs_pretrain=1, epochs_finetune=2, lr_finetune=1e-3, patches=32)
    part = cohort.subset(chosen[:90])
    facts, _ = train(part, tmp_path / "real", training, model)
    assert facts.patch_mpp is None
    found = evaluate(tmp_path / "real", cohort.subset(chosen[90:]))
    assert found.headline.accuracy > 0.7
    assert torch.isfinite(load_model(tmp_path / "real").model.members[0].gene_scaling.mean).all()
