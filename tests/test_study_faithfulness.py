"""Faithfulness: known answers for deletion and randomised weights, and the whole command on a tiny cohort."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import write_tiny_cohort
from scipy.stats import spearmanr

from napari_gimp.gimp.attribution import GeneSide
from napari_gimp.gimp.checkpoint import save_checkpoint
from napari_gimp.gimp.explain import class_support
from napari_gimp.gimp.faithful import (
    cascade,
    log_odds,
    logits_of,
    outputs_of,
    randomised,
    rank_correlation,
    without_genes,
    without_patches,
)
from napari_gimp.gimp.model import GiMP, ModelConfig
from napari_gimp.settings import InputError
from napari_gimp.study.cohort import read_cohort
from napari_gimp.study.faithfulness import Maps, check_faithfulness
from napari_gimp.study.faithfulness_report import FILES, Faithfulness, interval
from napari_gimp.types import CheckpointFacts, Sample

D, G, N = 6, 10, 12
SMALL = ModelConfig(d=16, heads=2, layers=2, ffn=2, fragment_genes=5, groups=2, head_hidden=8, fusion="sum", wide=True)


def make_model(seed: int = 0, **changes: object) -> GiMP:
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        return GiMP(replace(SMALL, **changes), embedding_dim=D, genes=G, classes=2).eval()


def make_sample(seed: int = 1) -> Sample:
    random = np.random.default_rng(seed)
    cells = np.stack(np.divmod(np.arange(N), 4), axis=1)
    features, genes = (random.normal(size=shape).astype(np.float32) for shape in ((N, D), (G,)))
    return Sample("case", features, cells, genes, 0)


def test_deleting_patches_is_the_model_without_them() -> None:
    member, sample = make_model(), make_sample()
    order = np.random.default_rng(0).permutation(N)
    rows = without_patches([member], sample, order, (0.0, 0.5, 1.0))
    np.testing.assert_allclose(rows[0], logits_of(outputs_of([member], sample)))
    for row, kept in ((rows[1], np.sort(order[6:])), (rows[2], order[-1:])):
        bag, cells = torch.from_numpy(sample.embeddings[kept])[None], torch.from_numpy(sample.cells[kept])[None]
        with torch.inference_mode():
            expected = member(bag, cells, genes=torch.from_numpy(sample.expression)[None]).logits[0]
        np.testing.assert_allclose(row, expected, rtol=1e-5)


def test_deleting_genes_is_the_model_with_them_at_the_mean() -> None:
    member, sample = make_model(), make_sample()
    member.set_scaling(gene_mean=torch.linspace(-1, 1, G), gene_sd=torch.full((G,), 2.0))
    sides = [GeneSide.of(member, sample.expression, outputs_of([member], sample)[0])]
    rows = without_genes(sides, np.array([3, 7, 1, 0, 2, 4, 5, 6, 8, 9]), (0.0, 0.2))
    np.testing.assert_allclose(rows[0], logits_of(outputs_of([member], sample)), rtol=1e-4, atol=1e-6)
    changed = sample.expression.copy()
    changed[[3, 7]] = np.linspace(-1, 1, G)[[3, 7]]
    expected = logits_of(outputs_of([member], replace(sample, expression=changed)))
    np.testing.assert_allclose(rows[1], expected, rtol=1e-4, atol=1e-6)


def test_log_odds_by_hand() -> None:
    logits = np.log(np.array([[0.2, 0.3, 0.5], [0.1, 0.1, 0.8]]))
    np.testing.assert_allclose(log_odds(logits, 2), np.log([0.5 / 0.5, 0.8 / 0.2]))
    assert log_odds(np.array([1000.0, 0.0]), 0) == 1000


def test_the_cascade_ends_with_everything_and_keeps_what_is_not_reached() -> None:
    member = make_model(attention="exact")
    member.set_scaling(gene_mean=torch.ones(G), gene_sd=torch.full((G,), 3.0))
    before = {name: value.clone() for name, value in member.state_dict().items()}
    steps = list(cascade(member))
    assert [name for name, _ in steps] == ["head", "and block 2", "and block 1", "everything"]
    same = []
    for _, beginnings in steps:
        state = randomised(member, 5, beginnings).state_dict()
        torch.testing.assert_close(state["gene_scaling.mean"], before["gene_scaling.mean"])
        same.append({name for name, value in state.items() if torch.equal(value, before[name])})
    assert "classifier.image.weight" not in same[0]
    assert "gene_encoder.cls" in same[0] - same[1]
    assert "aggregator.blocks.1.attention.qkv.weight" in same[0] - same[1]
    assert "aggregator.blocks.0.attention.qkv.weight" in same[1] - same[2]
    assert "aggregator.projection.weight" in same[2] - same[3]
    assert all(torch.equal(value, before[name]) for name, value in member.state_dict().items())


def test_rank_correlation_is_spearmans() -> None:
    a, b = np.random.default_rng(0).integers(0, 9, (2, 31)).astype(float)
    assert rank_correlation(a, b) == pytest.approx(spearmanr(a, b).statistic)
    assert rank_correlation(a, a) == pytest.approx(1)
    assert np.isnan(rank_correlation(a, np.ones(31)))


def test_maps_explain_the_predicted_class_and_leave_out_what_is_not_there() -> None:
    member, sample = make_model(), make_sample()
    maps = Maps.of([member], sample)
    assert maps.target == logits_of(outputs_of([member], sample)).argmax()
    support = class_support([member], sample.embeddings, sample.cells, sample.expression)
    np.testing.assert_allclose(maps.support, support[maps.target] - support[1 - maps.target], rtol=1e-5, atol=1e-8)
    assert set(maps.named()) == {"attention", "class support", "gene attribution"}
    assert set(Maps.of([member], replace(sample, expression=None)).named()) == {"attention", "class support"}
    few = replace(sample, embeddings=sample.embeddings[:2], cells=sample.cells[:2])
    assert set(Maps.of([member], few).named()) == {"gene attribution"}


def test_area_by_hand() -> None:
    """Two cases whose log-odds fall by 1 and by 3 times the share more than at random: areas 0.5 and 1.5."""
    rows = [
        {"case": case, "order": order, "kind": "patches", "share": share, "log_odds": odds, "probability": 0.5}
        for case, slope in (("a", 1), ("b", 3))
        for share in (0.0, 0.5, 1.0)
        for order, odds in (("attention", -slope * share), ("random patches", 0.0))
    ]
    sanity = pd.DataFrame({"case": ["a"], "weights": ["head"], "map": ["attention"], "correlation": [0.25]})
    found = Faithfulness("model", "cohort", "pseudo", 2, 1, 0, pd.DataFrame(rows), sanity)
    (area,) = found.areas().query("unit == 'log_odds'").to_dict("records")
    assert (area["order"], area["area"], area["n"], area["cases_better"]) == ("attention", pytest.approx(1), 2, 1)
    assert area["low"] == pytest.approx(0.5)
    assert area["high"] == pytest.approx(1.5)
    assert found.correlations().to_dict("records")[0]["correlation"] == 0.25
    assert "model (pseudo) on cohort" in found.table()


def test_interval_holds_the_mean_and_shrinks_with_cases() -> None:
    values = np.random.default_rng(0).normal(3, 1, 400)
    low, high = interval(values, 0)
    assert low < values.mean() < high
    assert high - low == pytest.approx(2 * 1.96 / 20, rel=0.15)


# --- the whole ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Faithfulness:
    """A model that reads the mean of the first embedding and one gene, made by hand, on the tiny cohort."""
    folder = tmp_path_factory.mktemp("faithful")
    files = write_tiny_cohort(folder)
    cohort = read_cohort(files.table, files.features, files.expression)
    member = make_model(layers=1, position="none")
    with torch.no_grad():
        member.classifier.wide.weight.zero_()
        member.classifier.wide.weight[:, 3] = torch.tensor([-5.0, 5.0])
    member.set_scaling(gene_mean=torch.tensor(cohort.values.mean(0)), gene_sd=torch.tensor(cohort.values.std(0)))
    facts = CheckpointFacts(
        "hand", cohort.classes, cohort.encoder, D, cohort.genes, cohort.scale, None, None, "nothing", "pseudo"
    )
    save_checkpoint(folder / "hand", [member, make_model(1, layers=1, position="none")], facts)
    work = check_faithfulness(folder / "hand", cohort, most_cases=5, draws=2, device="cpu")
    while True:
        try:
            assert next(work).stage == "checking explanations"
        except StopIteration as end:
            return end.value


def test_the_gene_that_the_model_reads_is_found(found: Faithfulness) -> None:
    areas = found.areas().query("unit == 'log_odds'").set_index("order")
    assert set(areas.index) == {"attention", "class support", "gene attribution", "supporting genes"}
    assert areas.loc["gene attribution", "area"] > 1
    assert areas.loc["gene attribution", "cases_better"] == 1
    assert (areas["n"] == 5).all()
    shares = found.curves.query("order == 'gene attribution'").groupby("share")["log_odds"].mean()
    assert shares[0.1] < 0.5 * shares[0.0]


def test_every_map_is_held_against_random_weights(found: Faithfulness) -> None:
    rows = found.correlations().set_index(["weights", "map"])
    assert rows.loc[("head", "attention"), "correlation"] == pytest.approx(1)
    assert rows.loc[("everything", "gene attribution"), "correlation"] < 0.6
    assert len(rows) == 3 * 3


def test_files_are_whole_and_never_replaced_unasked(found: Faithfulness, tmp_path: Path) -> None:
    written = found.write(tmp_path / "out")
    assert [path.name for path in written] == list(FILES)
    content = json.loads(written[0].read_text())
    assert (content["synthetic"], content["cases"]) == ("pseudo", 5)
    assert len(content["areas"]) == 8
    assert len(pd.read_csv(written[1])) == 5 * 6 * 11
    assert written[3].stat().st_size > 10_000
    with pytest.raises(InputError, match="exists already"):
        found.write(tmp_path / "out")
    found.write(tmp_path / "out", overwrite=True)


def test_a_cohort_with_nothing_to_delete_from_is_refused(tmp_path: Path) -> None:
    files = write_tiny_cohort(tmp_path)
    cohort = read_cohort(files.table, files.features)
    member = GiMP(SMALL, embedding_dim=D, genes=0, classes=2).eval()
    facts = CheckpointFacts("image", cohort.classes, cohort.encoder, D, (), None, None, None, "nothing")
    save_checkpoint(tmp_path / "image", member, facts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("napari_gimp.study.faithfulness.LEAST_PATCHES", 10)
        with pytest.raises(InputError, match="at least 10 patches or 8 genes"):
            list(check_faithfulness(tmp_path / "image", cohort, most_cases=2, device="cpu"))


def test_the_command_writes_the_files_and_says_what_it_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from napari_gimp import cli

    files = write_tiny_cohort(tmp_path)
    cohort = read_cohort(files.table, files.features)
    facts = CheckpointFacts("image", cohort.classes, cohort.encoder, D, (), None, None, None, "nothing", "pseudo")
    save_checkpoint(tmp_path / "image", GiMP(SMALL, embedding_dim=D, genes=0, classes=2).eval(), facts)
    words = ["--cohort", files.table, "--features", files.features, "--out", tmp_path / "out"]
    more = ["--most-cases", 2, "--device", "cpu"]
    cli.app(
        ["faithfulness", str(tmp_path / "image"), *map(str, words + more)],
        exit_on_error=False,
        result_action="return_int_as_exit_code_else_zero",
    )
    assert "image (pseudo) on" in capsys.readouterr().out
    assert {path.name for path in (tmp_path / "out").iterdir()} == set(FILES)
