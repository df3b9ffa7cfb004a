"""Gene order and working scale: by name, by mapping, with what is missing counted."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_gimp.genes import Expression, align, align_matrix, read_expression
from napari_gimp.settings import InputError
from napari_gimp.types import Profile

sys.path.insert(0, str(Path(__file__).parent / "data"))
import make_expression as make

FACTS = make.truth()


def profile(genes, values, scale="linear", **known) -> Profile:
    return Profile("p", tuple(genes), np.asarray(values, float), scale, **known)


def test_linear_becomes_log2_in_the_wanted_order():
    aligned = align(profile("ABC", [0, 1, 7]), ["C", "A", "B"], "log")
    np.testing.assert_array_equal(aligned.values, np.float32([3, 0, 1]))
    assert aligned.values.dtype == np.float32
    assert (aligned.missing, aligned.coverage, aligned.notes) == ((), 1.0, ())


@pytest.mark.parametrize(
    ("have", "wanted", "value"),
    [("log", "log", 7), ("counts", "counts", 3), ("zscore", "zscore", 7), ("linear", "log", 3)],
)
def test_scales_that_fit(have, wanted, value):
    assert align(profile("A", [7], have), ["A"], wanted).values[0] == value


@pytest.mark.parametrize(
    ("have", "wanted"),
    [
        *(("counts", "log"), ("zscore", "log"), ("linear", "counts"), ("log", "counts")),
        *(("zscore", "counts"), ("linear", "zscore"), ("log", "zscore"), ("counts", "zscore")),
    ],
)
def test_scales_that_do_not_fit_name_both(have, wanted):
    with pytest.raises(InputError, match=rf"scale {wanted}.*found scale {have}"):
        align(profile("A", [7], have), ["A"], wanted)


def test_linear_is_no_working_scale():
    with pytest.raises(InputError, match="log, counts or zscore, found 'linear'"):
        align(profile("A", [7]), ["A"], "linear")


def test_versions_do_not_matter():
    names = [f"{gene}.3" for gene in make.ENSEMBL]
    aligned = align(profile(names, FACTS.linear[0]), [f"{gene}.12" for gene in make.ENSEMBL], "log")
    np.testing.assert_allclose(aligned.values, np.log2(FACTS.linear[0] + 1), rtol=1e-6)


def test_missing_genes_are_nan_and_counted():
    genes = [f"G{k}" for k in range(10)]
    aligned = align(profile(genes[:8], range(8)), genes, "log")
    assert aligned.missing == ("G8", "G9")
    assert aligned.coverage == pytest.approx(0.8)
    assert np.isnan(aligned.values[8:]).all()
    assert not np.isnan(aligned.values[:8]).any()
    assert "Warning: only 8 of 10" in aligned.notes[-1]


def test_a_gene_without_value_is_missing_too():
    aligned = align(profile("ABC", [1, np.nan, 3]), ["A", "B", "C"], "log")
    assert aligned.missing == ("B",)


def test_coverage_of_half_passes_and_less_is_refused():
    genes = [f"G{k}" for k in range(10)]
    assert align(profile(genes[:5], range(5)), genes, "log").coverage == pytest.approx(0.5)
    with pytest.raises(InputError, match=r"found 4 of 10 \(40 %\)"):
        align(profile(genes[:4], range(4)), genes, "log")


def test_few_missing_are_said_without_a_warning():
    genes = [f"G{k}" for k in range(20)]
    note = align(profile(genes[:19], range(19)), genes, "log").notes[-1]
    assert note.startswith("Only 19 of 20")


def test_symbols_and_ensembl_meet_through_the_gdc_file_both_ways(tmp_path):
    gdc = read_expression(make.write_gdc(tmp_path / "a.tsv", FACTS, 0))
    wanted = np.log2(FACTS.linear[0] + 1)
    np.testing.assert_allclose(align(gdc.profile("a"), make.SYMBOLS, "log").values, wanted, rtol=1e-6)
    plain = make.write_plain(tmp_path / "b.csv", FACTS.frame(), corner="case_id")
    by_file = read_expression(plain, gene_map=tmp_path / "a.tsv").profile(make.CASES[0])
    np.testing.assert_allclose(align(by_file, make.ENSEMBL, "log").values, wanted, rtol=1e-6)


def test_without_a_mapping_nothing_is_guessed(tmp_path):
    plain = read_expression(make.write_plain(tmp_path / "b.csv", FACTS.frame(), corner="case_id"))
    with pytest.raises(InputError, match="gene map"):
        align(plain.profile(make.CASES[0]), make.ENSEMBL, "log")


@pytest.mark.parametrize("header", ["ensembl,symbol\n", ""])
@pytest.mark.parametrize("turned", [False, True])
def test_gene_map_of_the_user(tmp_path, header, turned):
    pairs = list(zip(make.ENSEMBL, make.SYMBOLS, strict=True))
    lines = [",".join((symbol, f"{gene}.2") if turned else (f"{gene}.2", symbol)) for gene, symbol in pairs]
    header = "symbol,ensembl\n" if header and turned else header
    (tmp_path / "map.csv").write_text(header + "\n".join(lines) + "\n")
    path = make.write_plain(tmp_path / "b.csv", FACTS.frame(), corner="case_id")
    expression = read_expression(path, gene_map=tmp_path / "map.csv")
    aligned = align(expression.profile(make.CASES[1]), make.ENSEMBL, "log")
    np.testing.assert_allclose(aligned.values, np.log2(FACTS.linear[1] + 1), rtol=1e-6)


def test_old_symbols_meet_new_ones_through_the_users_map(tmp_path):
    (tmp_path / "map.tsv").write_text("old\tnew\nSEPP1\tSELENOP\nPKM2\tPKM\n")
    frame = FACTS.frame().rename(columns={"TP53": "SEPP1", "EGFR": "PKM"})
    path = make.write_plain(tmp_path / "a.csv", frame, corner="case_id")
    aligned = align(
        read_expression(path, gene_map=tmp_path / "map.tsv").profile(make.CASES[0]), ["SELENOP", "PKM2"], "log"
    )
    np.testing.assert_allclose(aligned.values, np.log2(FACTS.linear[0, :2] + 1), rtol=1e-6)


def test_several_identifiers_of_one_symbol_give_the_highest():
    known = {"ENSG00000000001": "A", "ENSG00000000002": "A"}
    aligned = align(profile(known, [1, 3], symbols=known), ["A"], "log")
    assert aligned.values[0] == 2


def test_repeated_gene_keeps_the_highest_mean(tmp_path):
    frame = FACTS.frame()
    doubled = pd.concat([frame[["EGFR"]] * 0.5, frame, frame[["EGFR"]] * 0.1], axis=1)
    expression = read_expression(make.write_plain(tmp_path / "a.csv", doubled, corner="case_id"))
    assert sorted(expression.genes) == sorted(make.SYMBOLS)
    np.testing.assert_allclose(expression.values[:, expression.genes.index("EGFR")], frame["EGFR"])
    assert any("Gene names that occur again: 1 (EGFR)" in note for note in expression.notes)


def test_whole_matrix_and_a_gene_list(tmp_path):
    expression = read_expression(make.write_plain(tmp_path / "a.csv", FACTS.frame(), corner="case_id"))
    whole = align_matrix(expression)
    assert (whole.genes, whole.scale, whole.values.dtype) == (make.SYMBOLS, "log", np.float32)
    np.testing.assert_allclose(whole.values, np.log2(FACTS.linear + 1), rtol=1e-6)
    some = align_matrix(expression, ["KRT5", "NONE", "TP53"])
    assert some.missing == ("NONE",)
    assert np.isnan(some.values[:, 1]).all()
    np.testing.assert_array_equal(some.values[:, [0, 2]], whole.values[:, [5, 0]])
    with pytest.raises(InputError, match="found 1 of 3"):
        align_matrix(expression, ["KRT5", "NO", "NONE"])
    with pytest.raises(InputError, match="scale counts"):
        align_matrix(expression, scale="counts")


def test_matrix_without_list_leaves_empty_genes_out():
    expression = Expression(("a", "b"), ("A", "B"), np.array([[1, np.nan], [np.nan, np.nan]]), "log")
    aligned = align_matrix(expression)
    assert aligned.genes == ("A",)
    np.testing.assert_array_equal(aligned.values, np.float32([[1], [np.nan]]))


def test_matrix_and_profile_agree(tmp_path):
    expression = read_expression(make.write_pancanatlas(tmp_path / "a.tsv", FACTS))
    genes = [*make.SYMBOLS[::-1], "NONE"]
    whole = align_matrix(expression, genes)
    for row, sample in enumerate(whole.samples):
        np.testing.assert_array_equal(align(expression.profile(sample), genes, "log").values, whole.values[row])


@given(
    rows=st.permutations(range(5)),
    columns=st.permutations(range(12)),
    turned=st.booleans(),
    wanted=st.permutations(make.SYMBOLS),
)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_order_and_orientation_of_the_file_change_nothing(tmp_path, rows, columns, turned, wanted):
    frame = FACTS.frame().iloc[list(rows), list(columns)]
    expression = read_expression(make.write_plain(tmp_path / "a.csv", frame.T if turned else frame))
    aligned = align_matrix(expression, wanted)
    expected = np.log2(FACTS.frame()[list(wanted)] + 1).loc[list(aligned.samples)]
    np.testing.assert_allclose(aligned.values, expected, rtol=1e-6)
    assert aligned.missing == ()


def test_real_panel_of_a_real_patient(shared):
    expression = read_expression(shared / "tcga_nsclc" / "expression.csv.gz")
    panel = (shared / "tcga_nsclc" / "panel_25.txt").read_text().split()
    aligned = align(expression.profile("TCGA-05-4250"), panel, "log")
    frame = pd.read_csv(shared / "tcga_nsclc" / "expression.csv.gz", index_col=0)
    np.testing.assert_allclose(aligned.values, np.log2(frame.loc["TCGA-05-4250", panel] + 1), rtol=1e-6)
    with pytest.raises(InputError, match="found 25 of 258"):
        align(align_panel(expression, panel), expression.genes, "log")


def align_panel(expression: Expression, panel: list[str]) -> Profile:
    aligned = align(expression.profile("TCGA-05-4250"), panel, "log")
    return Profile("panel", tuple(panel), aligned.values.astype(float), "log")
