"""What if: kept parts give what a whole pass gives; edits do what they say; what does not fit is said in a sentence."""

from collections.abc import Generator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_gimp import pipeline
from napari_gimp.genes import GeneReference
from napari_gimp.gimp.checkpoint import LoadedModel
from napari_gimp.gimp.ensemble import Ensemble
from napari_gimp.gimp.explain import class_support, group_support
from napari_gimp.gimp.gene_encoder import GeneEncoder
from napari_gimp.gimp.model import GiMP, ModelConfig, patch_attention
from napari_gimp.gimp.parts import pathway_table
from napari_gimp.gimp.reconstruct import nearest_expected
from napari_gimp.pipeline import Prepared, Questions, embedding
from napari_gimp.pipeline.prediction import forward_prediction
from napari_gimp.settings import InputError
from napari_gimp.slides import open_slide
from napari_gimp.types import (
    AlignedGenes,
    Bag,
    CheckpointFacts,
    GeneEdit,
    GeneGroup,
    PatchGrid,
    Progress,
    RegionEdit,
    SlideFacts,
    WhatIf,
)

D, G, N = 11, 53, 30
GENES = tuple(f"GENE{k}" for k in range(G))
CLASSES = ("LUAD", "LUSC", "NORM")
SLIDE = SlideFacts("made", "made", (600, 500), ((600, 500),), (0.5, 0.5))
SMALL = ModelConfig(
    d=16, heads=2, layers=2, ffn=2, landmarks=5, exact_up_to=0, fragment_genes=7, groups=3, head_hidden=13, window=29
)


def drain(work: Generator[Progress, None, Any]) -> Any:
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value


def member(seed: int, genes: int, **changes: object) -> GiMP:
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        made = GiMP(replace(SMALL, **changes), embedding_dim=D, genes=genes, classes=3).eval()
        with torch.no_grad():
            for parameter in made.parameters():
                if parameter.ndim > 1:
                    parameter.mul_(2.0)
            if getattr(made.classifier, "wide", None) is not None:
                made.classifier.wide.weight.normal_()
    if genes:
        made.set_scaling(gene_mean=torch.linspace(1, 4, G), gene_sd=torch.linspace(0.5, 2, G))
    return made


def loaded(members: int = 2, genes: int = G, scale: str = "log", **changes: object) -> LoadedModel:
    facts = CheckpointFacts(
        "made", CLASSES, None, D, GENES[:genes], scale if genes else None, 256, 0.5, "nothing", synthetic="synthetic"
    )
    return LoadedModel(Ensemble([member(seed, genes, **changes) for seed in range(members)]).eval(), facts, "id")


def bag() -> Bag:
    corners = np.array([(100 * r, 100 * c) for r in range(6) for c in range(5)], np.int64)
    grid = PatchGrid(corners, (100.0, 100.0), (100.0, 100.0), (600, 500), (0.5, 0.5))
    return Bag("made", np.random.default_rng(1).normal(size=(N, D)).astype(np.float32), grid, None)


def profile(seed: int = 2, missing: int = 0) -> AlignedGenes:
    values = np.random.default_rng(seed).uniform(0, 6, G).astype(np.float32)
    values[:missing] = np.nan
    return AlignedGenes("S1", values, GENES[:missing])


def questions(model: LoadedModel, genes: AlignedGenes | None = None) -> Questions:
    return drain(Questions.of(Prepared(SLIDE, model, bag(), genes)))


# --- answers --------------------------------------------------------------------------------------------------------

HEADS = [{"fusion": "concat"}, {"fusion": "sum"}, {"fusion": "sum", "wide": True}, {"gene_encoder": "snn"}]


@pytest.mark.parametrize("changes", HEADS, ids=str)
@pytest.mark.parametrize("members", [1, 3])
@pytest.mark.parametrize("missing", [0, 20, G], ids=["whole", "some missing", "all missing"])
def test_an_answer_is_what_a_whole_pass_says(changes: dict[str, Any], members: int, missing: int) -> None:
    model, genes = loaded(members, **changes), profile(missing=missing)
    asked = questions(model, profile(9))  # kept beside other genes: they must not matter
    answer = asked.answer(genes)
    whole = forward_prediction(bag(), SLIDE, model, genes)
    assert set(answer.probabilities) == set(whole.probabilities) == {"both", "image", "genes"}
    for name, values in whole.probabilities.items():
        np.testing.assert_allclose(answer.probabilities[name], values, atol=1e-5)
    assert (answer.spread is None) == (whole.spread is None) == (members == 1)
    if whole.spread is not None:
        np.testing.assert_allclose(answer.spread, whole.spread, atol=1e-5)
    output = model.model(torch.from_numpy(bag().features)[None], torch.from_numpy(bag().cells)[None],
                         genes=torch.from_numpy(genes.values)[None])  # fmt: skip
    np.testing.assert_allclose(answer.logits["both"], output.answers["both"][0].detach(), rtol=1e-5, atol=1e-5)


@settings(max_examples=10)
@given(st.lists(st.tuples(st.sampled_from(GENES), st.floats(0, 9, width=32)), min_size=1, max_size=6), st.booleans())
def test_one_answer_after_the_other_is_what_whole_passes_say(edits: list[tuple[str, float]], shared: bool) -> None:
    """Only groups that changed are computed again: whatever was asked before must not show."""
    model = loaded(1, shared_head=shared)
    asked, genes = questions(model, profile()), profile()
    for gene, value in edits:
        genes = asked.changed(genes, [GeneEdit(gene, "value", value)])
        whole = forward_prediction(bag(), SLIDE, model, genes)
        np.testing.assert_allclose(asked.answer(genes).probabilities["both"], whole.probabilities["both"], atol=1e-5)
    np.testing.assert_allclose(
        asked.answer(profile()).probabilities["both"],
        forward_prediction(bag(), SLIDE, model, profile()).probabilities["both"],
        atol=1e-5,
    )


def test_a_group_knows_nothing_of_the_others_also_where_they_are_of_many_lengths() -> None:
    table, _ = pathway_table([("a", [[0, 1], [2]]), ("b", [[3, 4, 5]]), ("c", [[6], [7], [0, 8]])], 9)
    encoder = GeneEncoder(replace(SMALL, shared_head=False), 9, table).eval()
    fragments, some = encoder.fragments(torch.randn(1, 9)), torch.tensor([2, 0])
    for whole, part in zip(encoder.within(fragments), encoder.within(fragments[:, some], some), strict=True):
        torch.testing.assert_close(part, whole[:, some])


def test_genes_do_move_the_answer() -> None:
    asked = questions(loaded(), profile())
    silent = asked.changed(profile(), [GeneEdit("group 1", "silence", is_group=True)])
    assert np.abs(asked.answer(silent).logits["both"] - asked.answer(profile()).logits["both"]).max() > 0.01


@pytest.mark.parametrize("genes", [G, 0], ids=["no profile", "no gene branch"])
def test_image_alone(genes: int) -> None:
    model = loaded(genes=genes)
    asked = questions(model)
    answer, whole = asked.answer(None), forward_prediction(bag(), SLIDE, model, None)
    assert set(answer.probabilities) == {"image"}
    np.testing.assert_allclose(answer.probabilities["image"], whole.probabilities["image"], atol=1e-5)
    np.testing.assert_allclose(answer.spread, whole.spread, atol=1e-5)
    with pytest.raises(InputError, match=r"expected a gene profile for a what-if on GENE3, found none"):
        asked.changed(None, [GeneEdit("GENE3", "silence")])


def test_a_profile_of_another_length_is_refused() -> None:
    with pytest.raises(InputError, match="expected 53 genes, found 3"):
        questions(loaded()).answer(AlignedGenes("S", np.zeros(3, np.float32), ()))


# --- edits ----------------------------------------------------------------------------------------------------------


def reference(scale: str = "log") -> GeneReference:
    mean, sd = np.linspace(1, 4, G, dtype=np.float32), np.linspace(0.5, 2, G, dtype=np.float32)
    sd[7] = np.inf
    groups = (GeneGroup("cycle", (("GENE1", "GENE2"), ("GENE2", "GENE5"))), GeneGroup("rest", (("GENE5", "GENE7"),)))
    return GeneReference("made", GENES, mean, sd, scale, groups)


def test_edits_by_hand() -> None:
    known, genes = reference(), profile()
    edits = {
        GeneEdit("GENE1", "silence"): {1: 0.0},
        GeneEdit("GENE1", "mean"): {1: known.mean[1]},
        GeneEdit("GENE1", "value", 2.5): {1: 2.5},
        GeneEdit("GENE9", "percentile", 97.5): {9: known.mean[9] + 1.959964 * known.sd[9]},
        GeneEdit("GENE9", "percentile", 1e-9): {9: 0.0},
        GeneEdit("GENE7", "percentile", 99.0): {7: known.mean[7]},
        GeneEdit("cycle", "mean", is_group=True): {k: known.mean[k] for k in (1, 2, 5)},
    }
    for edit, expected in edits.items():
        changed = known.changed(genes, [edit]).values
        moved = genes.values.copy()
        moved[list(expected)] = list(expected.values())
        np.testing.assert_allclose(changed, moved, rtol=1e-6)


def test_later_edits_count_and_the_measured_coverage_stays() -> None:
    known, genes = reference(), profile(missing=3)
    changed = known.changed(genes, [GeneEdit("cycle", "silence", is_group=True), GeneEdit("GENE2", "value", 3.0)])
    assert changed.values[[1, 2, 5]].tolist() == [0, 3, 0]
    assert np.isnan(changed.values[0])
    assert changed.coverage == genes.coverage
    assert genes.values[5] != 0


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (GeneEdit("TP53", "silence"), "made does not know gene 'TP53': expected one of its 53 genes"),
        (GeneEdit("sleep", "mean", is_group=True), "made has no gene group 'sleep': expected one of its 2 groups"),
    ],
)
def test_unknown_targets_are_refused_in_one_sentence(edit: GeneEdit, said: str) -> None:
    with pytest.raises(InputError, match=said) as refused:
        reference().changed(profile(), [edit])
    assert str(refused.value).count(". ") == 0


def test_z_scores_know_no_silence() -> None:
    with pytest.raises(InputError, match="no value means 'not expressed'"):
        reference("zscore").changed(profile(), [GeneEdit("GENE1", "silence")])
    low = reference("zscore").changed(profile(), [GeneEdit("GENE1", "percentile", 0.1)])
    assert low.values[1] < 0


def test_what_nobody_measured_and_what_cannot_move_is_said() -> None:
    said = reference().changed(profile(missing=2), [GeneEdit("cycle", "silence", is_group=True)]).notes
    assert said == (
        "1 of 3 genes of cycle are missing in profile S1: the model takes the training mean there, and this what-if a"
        " number that nobody measured.",
    )
    assert "GENE7: constant in the training profiles" in reference().remarks(profile(), [GeneEdit("GENE7", "mean")])[0]


def test_a_gene_that_is_missing_stands_at_the_mean() -> None:
    asked = questions(loaded(), profile(missing=1))
    at_mean = asked.changed(profile(missing=1), [GeneEdit("GENE0", "mean")])
    np.testing.assert_allclose(
        asked.answer(at_mean).logits["both"], asked.answer(profile(missing=1)).logits["both"], atol=1e-5
    )


@pytest.mark.parametrize(
    ("kind", "amount"),
    [
        ("silence", 1.0),
        ("value", None),
        ("percentile", None),
        ("percentile", 0.0),
        ("percentile", 100.0),
    ],
)
def test_edits_that_say_nothing_are_refused(kind: str, amount: float | None) -> None:
    with pytest.raises(InputError, match="What-if on GENE1"):
        GeneEdit("GENE1", kind, amount)


edits_of_a_gene = st.builds(
    GeneEdit, st.sampled_from(GENES), st.sampled_from(["silence", "mean"]), st.none()
) | st.builds(
    GeneEdit, st.sampled_from(GENES), st.sampled_from(["percentile", "value"]), st.floats(1, 99), st.booleans()
)
edits_of_a_region = st.builds(RegionEdit, st.text(), st.booleans(), st.integers(0, 9), st.integers(9, 99))


@given(st.lists(edits_of_a_gene | edits_of_a_region, max_size=6))
def test_a_what_if_survives_json(edits: list[Any]) -> None:
    import json

    asked = WhatIf(tuple(edits))
    assert WhatIf.from_json(json.loads(json.dumps(asked.to_json()))) == asked
    assert asked.label.startswith("what-if: ") == bool(edits)
    assert sum(isinstance(edit, RegionEdit) for edit in asked.effective) <= 1


@pytest.mark.parametrize("stored", [[{"edit": "genes"}], [{"target": "A"}], [3], 3])
def test_a_damaged_what_if_is_refused(stored: Any) -> None:
    with pytest.raises(InputError, match="stored what-if"):
        WhatIf.from_json(stored)


# --- support --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fusion", ["concat", "sum"])
def test_support_and_group_maps_are_those_of_explain(fusion: str) -> None:
    model, genes = loaded(fusion=fusion), profile()
    asked = questions(model, genes)
    expected = class_support(model.model.members, bag().features, bag().cells, genes.values)
    np.testing.assert_allclose(drain(asked.support(genes)), expected, rtol=1e-4, atol=1e-6)
    change = group_support(model.model.members, bag().features, bag().cells, genes.values, 1)
    np.testing.assert_allclose(drain(asked.group_map("group 2", genes)), change, rtol=1e-3, atol=1e-5)
    assert asked.genes_move_support == bool(np.abs(change).max() > 1e-4) == (fusion == "concat")


def test_maps_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, genes = questions(loaded(), profile()), profile()
    first = drain(asked.group_map("group 1", genes))
    monkeypatch.setattr("napari_gimp.pipeline.questions.support", None)
    assert drain(asked.group_map("group 1", genes)) is first
    drain(asked.support(genes))
    with pytest.raises(InputError, match="no gene group 'group 9'"):
        drain(asked.group_map("group 9", genes))


# --- regions --------------------------------------------------------------------------------------------------------


@settings(max_examples=8)
@given(st.lists(st.booleans(), min_size=N, max_size=N).filter(any))
def test_regions_are_the_model_on_what_is_left_each_patch_in_its_place(keep: list[bool]) -> None:
    model, genes, kept = loaded(1), profile(), np.array(keep)
    rerun = drain(questions(model, genes).regions(kept))
    output = model.model(torch.from_numpy(bag().features[kept])[None], torch.from_numpy(bag().cells[kept])[None],
                         genes=torch.from_numpy(genes.values)[None])  # fmt: skip
    answer = rerun.questions.answer(genes)
    np.testing.assert_allclose(answer.logits["both"], output.answers["both"][0].detach(), rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(rerun.patches, np.flatnonzero(kept))
    np.testing.assert_allclose(
        rerun.attention, patch_attention(output.rows("class_attention"))[:, 0].detach(), atol=1e-6
    )
    assert rerun.seconds > 0
    assert drain(rerun.questions.support(genes)).shape == (3, kept.sum())


def test_nothing_left_is_refused() -> None:
    with pytest.raises(InputError, match="expected patches that are left, found none"):
        drain(questions(loaded()).regions(np.zeros(N, bool)))


# --- masked reconstruction ------------------------------------------------------------------------------------------


def test_nearest_expected_is_that_of_the_map() -> None:
    model = loaded()
    asked = questions(model)
    assert [asked.nearest_expected(k) for k in (0, 17)] == [
        nearest_expected(model.model, bag().features, bag().cells, k) for k in (0, 17)
    ]
    with pytest.raises(InputError, match="0 to 29, found 30"):
        asked.nearest_expected(30)
    blind = replace(model, facts=replace(model.facts, reconstructs=False))
    with pytest.raises(InputError, match="rebuilds masked patches"):
        questions(blind).nearest_expected(0)


# --- from a slide ---------------------------------------------------------------------------------------------------


def test_prepared_again_nothing_is_read_and_the_answer_is_the_run_s(tiny, tmp_path, monkeypatch) -> None:
    plan = pipeline.Analysis(tiny.checkpoint, device="cpu", cache=tmp_path)
    with open_slide(tiny.slide) as slide:
        genes = pipeline.read_profile(tiny.profile, slide.facts.name)
        result = drain(pipeline.analyse(slide, plan, profile=genes))
        monkeypatch.setattr(embedding, "read_patches", None)
        asked = drain(Questions.of(drain(pipeline.prepare(slide, plan, profile=genes))))
    answer = asked.answer(asked.genes)
    for name, values in result.probabilities.items():
        np.testing.assert_allclose(answer.probabilities[name], values, atol=1e-5)
    np.testing.assert_allclose(drain(asked.support(asked.genes)), result.class_support, rtol=1e-4, atol=1e-6)
    assert [group.name for group in asked.reference.groups] == [group.name for group in result.groups]
