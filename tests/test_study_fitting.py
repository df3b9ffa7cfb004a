"""From pre-training to a cross-validation: what starts from what, what is refused, and what never sees a test case."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from made_cohort import drain, read, write_cohort
from study_lab import make_cohort

from napari_gimp.gimp.checkpoint import load_model, read_facts
from napari_gimp.gimp.model import ModelConfig
from napari_gimp.gimp.train import TrainConfig
from napari_gimp.settings import InputError
from napari_gimp.study.ablation import FULL, ablate, rows_for
from napari_gimp.study.cohort import Cohort
from napari_gimp.study.crossval import cross_validate
from napari_gimp.study.directions import directions_for
from napari_gimp.study.evaluating import evaluate_checkpoint
from napari_gimp.study.fitting import fit
from napari_gimp.study.folds import Fold, make_folds
from napari_gimp.study.gimpfold import GiMPFold
from napari_gimp.study.inner import inner_folds
from napari_gimp.study.plan import Plan
from napari_gimp.study.pretraining import _by_site, _shifts, pretrain_cohort
from napari_gimp.study.record import case_hash
from napari_gimp.study.training import train_cohort

MODEL = ModelConfig(
    d=16, heads=2, layers=1, ffn=2, fragment_genes=4, groups=2, window=12, fusion="sum", wide=True, shared_head=False
)
SMALL = TrainConfig(
    epochs_genes=8, epochs_pretrain=1, epochs_finetune=0, epochs_decoder=1, lr_genes=1e-2, lr_pretrain=1e-3,
    triplet_weight=0.0, linear_heads=True, members=2, head_c=0.1, inner_folds=3, gene_mixup=1.0, warmup=0.1,
)  # fmt: skip
PLAN = Plan(MODEL, SMALL, "small", device="cpu")
AGGREGATOR = TrainConfig(objective="labels", epochs_pretrain=2, lr_pretrain=1e-2, batch_size=16, members=2)


@pytest.fixture(scope="module")
def cohorts(tmp_path_factory: pytest.TempPathFactory) -> tuple[Cohort, Cohort]:
    """60 cases to learn from and 50 others."""
    root = tmp_path_factory.mktemp("cohorts")
    for name in ("lung", "other"):
        (root / name).mkdir()
    return read(write_cohort(root / "lung", 60, 1)), read(write_cohort(root / "other", 50, 2, labels=("A", "B")))


@pytest.fixture(scope="module")
def pretrained(cohorts: tuple[Cohort, Cohort], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("pre") / "aggregator"
    drain(pretrain_cohort(cohorts[1], out, replace(PLAN, training=AGGREGATOR, choose_directions=False)))
    return out


def test_a_pretrained_checkpoint_knows_its_labels_and_no_genes(pretrained: Path) -> None:
    facts = read_facts(pretrained)
    assert facts.classes == ("A", "B")
    assert facts.genes == ()
    assert facts.provenance["members"] == 2
    assert load_model(pretrained).typical is not None
    assert pretrained.with_name("aggregator.history.csv").exists()
    assert not pretrained.with_name("aggregator.running").exists()


def test_training_takes_the_aggregator_over_and_leaves_it_alone(
    cohorts: tuple[Cohort, Cohort], pretrained: Path, tmp_path: Path
) -> None:
    plan = replace(PLAN, init=pretrained)
    facts, _ = drain(train_cohort(cohorts[0], tmp_path / "lung", plan))
    before, after = (load_model(folder).model.members for folder in (pretrained, tmp_path / "lung"))
    for source, member in zip(before, after, strict=True):
        weights = source.aggregator.state_dict()
        for name, weight in member.aggregator.state_dict().items():
            if name != "mask_token":  # the decoder's own
                assert torch.equal(weight, weights[name]), name
    assert "aggregator" in facts.provenance["aggregator"]
    card = json.loads((tmp_path / "lung" / "checkpoint.json").read_text())
    assert set(card["calibration"]["weights"]) == {"both", "image", "genes"}
    assert card["members"] == 2


def test_an_aggregator_that_has_seen_a_held_out_case_is_refused(cohorts: tuple[Cohort, Cohort], tmp_path: Path) -> None:
    cohort, out = cohorts[0], tmp_path / "seen"
    drain(pretrain_cohort(cohort, out, replace(PLAN, training=replace(AGGREGATOR, epochs_pretrain=1, members=1))))
    with pytest.raises(InputError, match="has seen none of the cases held out, found 5"):
        drain(fit(cohort, np.arange(5, 60), replace(PLAN, init=out), held_out=np.arange(5)))


def test_a_checkpoint_remembers_what_its_aggregator_has_seen(
    cohorts: tuple[Cohort, Cohort], pretrained: Path, tmp_path: Path
) -> None:
    """Cases of the pre-training are cases of whatever starts from it, at any remove and by any name of the patient."""
    plan = replace(PLAN, init=pretrained, training=replace(SMALL, members=1, epochs_genes=1), maps=False)
    facts, _ = drain(train_cohort(cohorts[0].subset(np.arange(30)), tmp_path / "lung", plan))
    assert set(facts.provenance["pretrain_cases"]) == {case_hash(case) for case in cohorts[1].cases}
    other = cohorts[1].with_genes(cohorts[0].genes, cohorts[0].scale)
    renamed = {"A": "LUAD", "B": "LUSC"}
    cases = tuple(replace(case, label=renamed[str(case.label)]) for case in other.cases)
    other = replace(other, cases=cases, classes=("LUAD", "LUSC"))
    found, _ = drain(evaluate_checkpoint(tmp_path / "lung", other, "image", device="cpu"))
    assert "Warning: 50 of the 50 cases were seen in pre-training: these figures are no test." in found.notes
    with pytest.raises(InputError, match="found 3 of them among its own"):
        drain(fit(other, np.arange(3, 50), replace(plan, init=tmp_path / "lung"), held_out=np.arange(3)))


def test_no_fold_is_trained_where_a_later_one_would_be_refused(cohorts: tuple[Cohort, Cohort], tmp_path: Path) -> None:
    cohort, out = cohorts[0], tmp_path / "seen"
    few = cohort.subset(np.arange(50, 60))
    drain(pretrain_cohort(few, out, replace(PLAN, training=replace(AGGREGATOR, epochs_pretrain=1, members=1))))
    folds = [Fold("a", np.arange(30)), Fold("b", np.arange(30, 60))]
    with pytest.raises(InputError, match="found 10 of them among its own"):
        next(cross_validate(cohort, folds, GiMPFold(replace(PLAN, init=out)), tmp_path / "run", baselines=False))
    assert not (tmp_path / "run").exists()


def test_cases_without_a_site_share_none() -> None:
    """Nobody knows whether two of them come from one hospital."""
    rng = np.random.default_rng(0)
    sites, labels = ["a"] * 6 + ["b"] * 6 + [None] * 12, np.arange(24) % 2
    bags = [rng.normal(size=(3, 4)) + (site is None) * 50 for site in sites]
    cohort = make_cohort(labels.tolist(), bags=bags, sites=sites)
    weights, groups = _by_site(cohort)
    assert sorted(np.bincount(groups)) == [1] * 12 + [3] * 4
    np.testing.assert_allclose(weights[12:], 1.0)
    cohort = make_cohort(labels.tolist() * 2, bags=bags * 2, sites=sites * 2)  # 6 of each site and class
    shifts, _ = drain(_shifts(cohort, np.arange(48), None))
    assert shifts.shape == (4, 4)
    assert np.abs(shifts).max() < 5  # no pseudo-hospital of the unknown
    nowhere = make_cohort([0, 1])
    assert _by_site(nowhere) == (None, None)
    assert drain(_shifts(nowhere, np.arange(2), None))[0] is None


def test_the_record_says_how_many_groups_are_small(cohorts: tuple[Cohort, Cohort], tmp_path: Path) -> None:
    training = replace(AGGREGATOR, epochs_pretrain=1, members=1, contrast_weight=1.0, contrast_group=5)
    facts, _ = drain(
        pretrain_cohort(cohorts[1].subset(np.arange(48)), tmp_path / "a", replace(PLAN, training=training))
    )
    said = "10 groups of one site and class, 2 of fewer than 5 cases; the large ones are of 2 of 2 classes"
    assert facts.provenance["contrast"] == said


def test_files_of_a_plan_are_named_by_what_they_hold(pretrained: Path, tmp_path: Path) -> None:
    """A run does not go on with another checkpoint or table of the same name."""
    said = []
    for content in ("x", "y"):
        folder = tmp_path / content
        shutil.copytree(pretrained, folder / "aggregator")
        with (folder / "aggregator" / "checkpoint.json").open("a") as card:
            card.write("" if content == "x" else "\n")
        for name in ("sets.gmt", "means.npz"):
            (folder / name).write_text(content)
        plan = replace(
            PLAN, init=folder / "aggregator", groups=folder / "sets.gmt", directions_from=folder / "means.npz"
        )
        said.append(plan.to_json())
    for key, name in {"init": "aggregator", "groups": "sets.gmt", "directions_from": "means.npz"}.items():
        first, second = (str(settings[key]) for settings in said)
        assert first.startswith(f"{name} ")
        assert first != second
    assert said[0]["init"].split()[1] == load_model(pretrained).id[:16]
    assert replace(PLAN, init=tmp_path / "nowhere").to_json()["init"] == "nowhere"


def test_an_aggregator_of_another_encoder_is_refused(pretrained: Path, tmp_path: Path) -> None:
    other = read(write_cohort(tmp_path, 6, 3, encoder="another"))
    with pytest.raises(InputError, match="checkpoint of encoder another"):
        drain(fit(other, np.arange(6), replace(PLAN, init=pretrained)))


def test_inner_folds_divide_no_site_and_lie_inside(cohorts: tuple[Cohort, Cohort]) -> None:
    cohort, cases = cohorts[0], np.arange(7, 55)
    folds = inner_folds(cohort, cases, 4, seed=0)
    assert np.array_equal(np.sort(np.concatenate([fold.test for fold in folds])), cases)
    sites = [{cohort.cases[i].site for i in fold.test} for fold in folds]
    assert sum(len(s) for s in sites) == len(set.union(*sites))
    assert inner_folds(cohort, cases[:1], 4, seed=0) == []


def test_whatever_stands_in_the_test_cases_changes_no_weight(cohorts: tuple[Cohort, Cohort]) -> None:
    """Scaling, directions, heads and calibration of a fold are the same whatever the test cases hold."""
    cohort, train = cohorts[0], np.arange(45)
    spoilt = replace(cohort, values=np.where(np.arange(60)[:, None] < 45, cohort.values, 1e6).astype(np.float32))
    plan = replace(PLAN, training=replace(SMALL, members=1), maps=False, choose_directions=True)
    one, two = (drain(fit(c, train, plan))[0] for c in (cohort, spoilt))
    assert one.calibration == two.calibration
    for name, weight in one.members[0].state_dict().items():
        assert torch.equal(weight, two.members[0].state_dict()[name]), name


def test_cross_validation_of_gimp(cohorts: tuple[Cohort, Cohort], pretrained: Path, tmp_path: Path) -> None:
    cohort, out = cohorts[0], tmp_path / "run"
    plan = replace(PLAN, init=pretrained, training=replace(SMALL, members=1))
    folds = make_folds(cohort, "patient", 3, seed=0)
    found, _ = drain(cross_validate(cohort, folds, GiMPFold(plan), out, baselines=False, settings=plan.to_json()))
    assert found.by_modality["both"].n == int(cohort.has("both").sum())
    assert found.by_modality["image"].n == 60
    assert found.by_modality["both"].figures["accuracy"] > 0.8
    assert not list(out.rglob("member_*.safetensors"))  # running states are gone
    again, progress = drain(
        cross_validate(cohort, folds, GiMPFold(plan), out, baselines=False, resume=True, settings=plan.to_json())
    )
    assert [step.stage for step in progress] == ["folds"] * 3  # nothing is trained again
    assert again.by_modality["both"].figures == found.by_modality["both"].figures


def test_ablation_rows_are_those_that_change_something() -> None:
    names = rows_for(PLAN).names
    assert names[0] == FULL
    assert "without triplets" not in names  # the plan has none
    assert "without MPM" not in names  # nothing would be left to pre-train on
    assert "no position (and no MPM)" not in names
    assert {"without calibrated sum", "genes only", "no wide path", "one member", "image only"} <= set(names)
    both = replace(PLAN, training=replace(SMALL, triplet_weight=0.1))
    losses = {"without MPM", "without triplets", "no position (and no MPM)"}
    assert losses <= set(rows_for(both).names)
    assert not losses & set(rows_for(both, genes=False).names)  # triplets are found by genes
    assert not losses & set(rows_for(replace(both, init=Path("x"))).names)
    assert not {"genes only", "image only", "no wide path"} & set(rows_for(PLAN, genes=False).names)
    with pytest.raises(InputError, match="found 'without luck'"):
        rows_for(PLAN, ["without luck"])
    with pytest.raises(InputError, match="found 'without MPM', which changes nothing here"):
        rows_for(PLAN, ["without MPM"])


def test_an_ablation_is_compared_with_the_full_method(cohorts: tuple[Cohort, Cohort], tmp_path: Path) -> None:
    cohort = cohorts[0].subset(np.arange(40))
    plan = replace(PLAN, training=replace(SMALL, members=1, epochs_genes=2), maps=False)
    folds, rows = (
        make_folds(cohort, "patient", 2, seed=0),
        ["genes only", "without calibrated sum", "no wide path", "image only"],
    )
    found, _ = drain(ablate(cohort, folds, plan, tmp_path / "a", rows=rows))
    table = found.table().set_index("row")
    assert list(table.index) == [FULL, *rows]
    assert table["modality"].tolist() == ["both", "genes", "both", "both", "image"]
    assert table.loc["genes only", "auc"] == found.rows[FULL].by_modality["genes"].figures["auc"]
    assert table.loc["without calibrated sum", "ece"] == found.rows[FULL].ece_before_calibration["both"]
    folders = {path.name for path in (tmp_path / "a").iterdir() if path.is_dir()}
    assert folders == {FULL, "no_wide_path", "image_only"}  # the others are read from the full run
    gap = table.loc["no wide path", "auc"] - table.loc[FULL, "auc"]
    assert table.loc["no wide path", "auc_minus_full"] == pytest.approx(gap)
    assert (tmp_path / "a" / "ablation.csv").exists()


def test_a_checkpoint_says_whether_it_rebuilds_patches(
    cohorts: tuple[Cohort, Cohort], pretrained: Path, tmp_path: Path
) -> None:
    assert not read_facts(pretrained).reconstructs  # it learned labels alone
    part, plan = cohorts[0].subset(np.arange(30)), replace(PLAN, training=replace(SMALL, members=1, epochs_genes=1))
    drain(train_cohort(part, tmp_path / "with", replace(plan, init=pretrained)))
    drain(train_cohort(part, tmp_path / "without", replace(plan, init=pretrained, maps=False)))
    assert read_facts(tmp_path / "with").reconstructs
    assert not read_facts(tmp_path / "without").reconstructs


def test_linear_heads_need_a_sum() -> None:
    with pytest.raises(InputError, match="expected fusion=sum"):
        replace(PLAN, model=replace(MODEL, fusion="concat"))


def test_a_class_without_patches_is_refused_before_training(cohorts: tuple[Cohort, Cohort]) -> None:
    cohort = cohorts[0]
    bare = replace(
        cohort, cases=tuple(replace(c, slide_ids=() if c.label == "LUSC" else c.slide_ids) for c in cohort.cases)
    )
    with pytest.raises(InputError, match="patches of every class, found none of LUSC"):
        next(fit(bare, np.arange(60), PLAN))


def test_directions_see_no_other_patient_of_the_cohort(cohorts: tuple[Cohort, Cohort], tmp_path: Path) -> None:
    """A table that holds the cohort's own slides gives the same directions whatever stands in those held out."""
    cohort, train = cohorts[0], np.arange(40)
    rng, names = np.random.default_rng(0), np.array([case.slide_ids[0] for case in cohort.cases])
    mean, found = rng.normal(size=(60, 6)).astype(np.float32), []
    for spoilt in (False, True):
        values = np.where(spoilt & (np.arange(60)[:, None] >= 40), 100 * mean, mean)
        np.savez(tmp_path / "means.npz", mean=values, site=np.arange(60) % 4, type=np.zeros(60, int), slide_id=names)
        plan = replace(PLAN, model=replace(MODEL, site_directions=2), directions_from=tmp_path / "means.npz")
        found.append(drain(directions_for(cohort, train, plan))[0])
    np.testing.assert_array_equal(found[0].vectors, found[1].vectors)


def test_no_inner_fold_means_no_directions(tmp_path: Path) -> None:
    cohort = read(write_cohort(tmp_path, 6, 4, labels=("one",)))
    found, _ = drain(directions_for(cohort, np.arange(6), replace(PLAN, choose_directions=True)))
    assert found is None
