"""Every layout of the field is read back to the numbers that were written, and what it is is said aloud."""

import sys
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from napari_gimp.genes import read_expression
from napari_gimp.settings import InputError

sys.path.insert(0, str(Path(__file__).parent / "data"))
import make_expression as make

FACTS = make.truth()


def said(expression, *words: str) -> None:
    text = "\n".join(expression.notes)
    for word in words:
        assert word in text, text


def ordered(expression, samples, genes) -> np.ndarray:
    """Values in the order of the truth, by name."""
    frame = pd.DataFrame(expression.values, index=list(expression.samples), columns=list(expression.genes))
    return frame.loc[list(samples), list(genes)].to_numpy()


def test_gdc_file_is_fpkm_by_default_counts_when_asked(tmp_path):
    path = make.write_gdc(tmp_path / "ab.rna_seq.augmented_star_gene_counts.tsv", FACTS, 2)
    fpkm, counts = read_expression(path), read_expression(path, scale="counts")
    np.testing.assert_allclose(ordered(fpkm, ["ab"], make.ENSEMBL)[0], FACTS.linear[2])
    np.testing.assert_array_equal(ordered(counts, ["ab"], make.ENSEMBL)[0], FACTS.counts[2])
    assert (fpkm.scale, counts.scale) == ("linear", "counts")
    assert fpkm.symbols[make.ENSEMBL[0]] == "TP53"
    said(
        fpkm,
        "GDC STAR counts, column fpkm_unstranded",
        "named by the file",
        "Ensembl",
        "Gene names that occur again: 1 ",
    )
    with pytest.raises(InputError, match=r"linear \(FPKM\) or counts, found 'log'"):
        read_expression(path, scale="log")


def test_gdc_folder_with_sample_sheet_is_one_matrix(tmp_path):
    expression = read_expression(make.write_gdc_folder(tmp_path, FACTS))
    samples = [f"{case}-01A" for case in make.CASES]
    assert sorted(expression.samples) == sorted(samples)
    np.testing.assert_allclose(ordered(expression, samples, make.ENSEMBL), FACTS.linear)
    said(expression, "Samples: 5. Genes: 12", "sample sheet")


def test_gdc_file_inside_a_download_finds_its_sheet(tmp_path):
    make.write_gdc_folder(tmp_path, FACTS)
    path = next(tmp_path.glob("00000003*/*.tsv"))
    assert read_expression(path).samples == ("TCGA-44-2656-01A",)


def test_second_aliquot_of_a_sample_keeps_its_own_name(tmp_path):
    make.write_gdc_folder(tmp_path, FACTS)
    sheet = next(tmp_path.glob("*.tsv"))
    sheet.write_text(sheet.read_text().replace("TCGA-05-4250-01A", "TCGA-05-4249-01A"))
    names = read_expression(tmp_path).samples
    assert len(set(names)) == 5
    assert sum(name.startswith("TCGA-05-4249-01A") for name in names) == 2


def test_gdc_files_with_other_rows_are_joined_by_gene(tmp_path):
    first = make.write_gdc(tmp_path / "a.tsv", FACTS, 0)
    lines = make.write_gdc(tmp_path / "b.tsv", FACTS, 1).read_text().splitlines()
    (tmp_path / "b.tsv").write_text("\n".join(lines[:6] + lines[:5:-1][:-2]) + "\n")
    expression = read_expression(tmp_path)
    b = expression.values[expression.rows["b"]]
    np.testing.assert_allclose(expression.values[expression.rows["a"]], read_expression(first).values[0])
    assert np.isnan(b).sum() == 2
    known = ~np.isnan(b)
    wanted = [FACTS.linear[1][make.ENSEMBL.index(gene)] for gene in np.array(expression.genes)[known]]
    np.testing.assert_allclose(b[known], wanted)
    said(expression, "Missing values: 2 ")


def test_xena(tmp_path):
    expression = read_expression(make.write_xena(tmp_path / "HiSeqV2", FACTS))
    samples = [f"{case}-01" for case in make.CASES]
    assert (expression.source, expression.scale) == ("Xena", "log")
    np.testing.assert_allclose(ordered(expression, samples, make.SYMBOLS), np.log2(FACTS.linear + 1), atol=1e-6)
    said(expression, "genes in rows (TCGA barcodes in the header)", "gene symbols")


def test_centred_xena_is_never_called_log(tmp_path):
    expression = read_expression(make.write_xena(tmp_path / "HiSeqV2_PANCAN.tsv", FACTS, centred=True))
    assert expression.scale == "zscore"
    said(expression, "negative values", "only centred")


def test_xena_gdc_hub_log_counts_become_counts(tmp_path):
    expression = read_expression(make.write_xena_gdc_hub(tmp_path / "TCGA-LUAD.htseq_counts.tsv.gz", low_counts()))
    samples = [f"{case}-01A" for case in make.CASES]
    assert (expression.source, expression.scale) == ("Xena", "counts")
    np.testing.assert_array_equal(ordered(expression, samples, make.ENSEMBL), low_counts().counts)
    said(expression, "turned back into counts", "left out: 5", "Versions of Ensembl identifiers are removed")


def low_counts() -> make.Truth:
    counts = np.random.default_rng(1).integers(0, 90, FACTS.counts.shape).astype(float)
    return make.Truth(counts, counts / 3)


def test_toil_logs_of_tiny_sums_are_turned_back(tmp_path):
    """``TcgaTargetGtex_rsem_gene_tpm`` of Xena: log2(x + 0.001), whose negative values are neither log nor z-scores."""
    samples = [f"{case}-01" for case in make.CASES]
    frame = pd.DataFrame(np.log2(FACTS.linear.T + 0.001).round(4), index=list(make.ENSEMBL), columns=samples)
    expression = read_expression(make.write_plain(tmp_path / "a.tsv", frame, corner="sample", sep="\t"))
    assert expression.scale == "linear"
    np.testing.assert_allclose(ordered(expression, samples, make.ENSEMBL), FACTS.linear, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("zscores", [False, True])
def test_cbioportal(tmp_path, zscores):
    expression = read_expression(make.write_cbioportal(tmp_path / "data_mrna_seq_v2_rsem.txt", FACTS, zscores=zscores))
    assert (expression.source, expression.scale) == ("cBioPortal", "zscore" if zscores else "linear")
    assert expression.genes == make.SYMBOLS
    if not zscores:
        samples = [f"{case}-01" for case in make.CASES]
        np.testing.assert_allclose(ordered(expression, samples, make.SYMBOLS), FACTS.linear)
    said(expression, "not expression: Entrez_Gene_Id")


def test_pancanatlas(tmp_path):
    expression = read_expression(make.write_pancanatlas(tmp_path / "EBPlusPlus.geneExp.tsv", FACTS))
    samples = [f"{case}-01A-11R-A24H-07" for case in make.CASES]
    assert (expression.source, expression.scale) == ("PanCanAtlas (SYMBOL|ENTREZ)", "linear")
    found = ordered(expression, samples, make.SYMBOLS)
    wanted = FACTS.linear.copy()
    wanted[4, 2] = np.nan
    np.testing.assert_allclose(found, wanted)
    said(expression, "Missing values: 1 ")


def test_mcat_keeps_genes_only_and_one_row_a_case(tmp_path):
    expression = read_expression(make.write_mcat(tmp_path / "tcga_luad_all_clean.csv", FACTS))
    assert expression.samples == make.CASES
    assert expression.genes == make.SYMBOLS
    assert (expression.source, expression.scale) == ("MCAT/PORPOISE", "zscore")
    said(expression, "Columns without '_rnaseq', left out: 11", "merged: 1")


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.csv.gz", "a.csv.zip", "a.txt"])
@pytest.mark.parametrize("genes_in_rows", [False, True])
@pytest.mark.parametrize("corner", ["", "sample_id"])
def test_plain_tables_either_way_round(tmp_path, name, genes_in_rows, corner):
    frame = FACTS.frame()
    corner = "gene_id" if corner and genes_in_rows else corner
    path = make.write_plain(
        tmp_path / name, frame.T if genes_in_rows else frame, corner=corner, sep="," if "csv" in name else "\t"
    )
    expression = read_expression(path)
    assert (expression.samples, expression.genes) == (make.CASES, make.SYMBOLS)
    np.testing.assert_allclose(expression.values, FACTS.linear)
    assert expression.scale == "linear"


ORIENTATIONS = {
    "ENSG in the rows": (("a", "b", "c", "d", "e"), make.ENSEMBL, ""),
    "numbered samples": (("S01", "S02", "S03", "S04", "S05"), make.SYMBOLS, ""),
    "headed sample": (("anna", "bela", "cora", "dora", "emma"), make.SYMBOLS, "sample"),
    "headed gene": (("ANNA", "BELA", "CORA", "DORA", "EMMA"), make.SYMBOLS, "gene"),
    "miRNA": (("x1", "y2", "z3", "w4", "v5"), tuple(f"hsa-mir-{k}" for k in range(12)), ""),
}


@pytest.mark.parametrize("case", ORIENTATIONS)
@pytest.mark.parametrize("genes_in_rows", [False, True])
def test_orientation_of_names_without_barcodes(tmp_path, case, genes_in_rows):
    samples, genes, corner = ORIENTATIONS[case]
    frame = FACTS.frame(samples, genes)
    corner = corner if genes_in_rows == (corner == "gene") else ""
    if case == "headed gene" and not genes_in_rows:
        corner = "patient_id"
    path = make.write_plain(tmp_path / "a.csv", frame.T if genes_in_rows else frame, corner=corner)
    assert read_expression(path).samples == samples


def test_uncertain_orientation_is_said(tmp_path):
    frame = pd.DataFrame(np.full((3, 3), 60.5), index=["aa", "bb", "cc"], columns=["dd", "ee", "ff"])
    expression = read_expression(make.write_plain(tmp_path / "a.csv", frame))
    assert expression.samples == ("aa", "bb", "cc")
    said(expression, "uncertain")


def test_semicolons_with_decimal_comma(tmp_path):
    path = make.write_plain(tmp_path / "a.csv", FACTS.frame(), corner="case_id", sep=";", decimal=",")
    np.testing.assert_allclose(read_expression(path).values, FACTS.linear)


def test_text_of_a_spreadsheet_utf16(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text(FACTS.frame().rename_axis("case_id").to_csv(sep="\t"), encoding="utf-16")
    np.testing.assert_allclose(read_expression(path).values, FACTS.linear)


def test_table_written_by_r(tmp_path):
    """write.table: blanks between, names quoted, the header one cell short, dots in the barcodes."""
    path = tmp_path / "a.txt"
    lines = [" ".join(f'"{case.replace("-", ".")}.01A"' for case in make.CASES)]
    lines += [f'"{g}" ' + " ".join(map(str, FACTS.linear[:, k])) for k, g in enumerate(make.SYMBOLS)]
    path.write_text("\n".join(lines) + "\n")
    expression = read_expression(path)
    np.testing.assert_allclose(expression.values, FACTS.linear)
    assert expression.samples[0] == "TCGA.05.4249.01A"


def test_one_sample_as_gene_and_value_takes_the_files_name(tmp_path):
    pair = FACTS.frame().T.iloc[:, [0]].set_axis(["value"], axis=1)
    expression = read_expression(make.write_plain(tmp_path / "patient7.csv", pair, corner="gene"))
    assert expression.samples == ("patient7",)
    np.testing.assert_allclose(expression.profile("patient7").values, FACTS.linear[0])


def test_old_htseq_file_without_header(tmp_path):
    path = tmp_path / "ab.htseq.counts.txt"
    rows = [f"{g}.3\t{int(c)}" for g, c in zip(make.ENSEMBL, FACTS.counts[0], strict=True)]
    path.write_text("\n".join([*rows, "__no_feature\t100", "__ambiguous\t5"]) + "\n")
    expression = read_expression(path)
    assert (expression.genes, expression.scale) == (make.ENSEMBL, "counts")
    np.testing.assert_array_equal(expression.values[0], FACTS.counts[0])


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_matrix])
def test_h5ad(tmp_path, kind):
    data = anndata.AnnData(
        kind(FACTS.counts),
        obs=pd.DataFrame(index=list(make.CASES)),
        var=pd.DataFrame({"gene_name": list(make.SYMBOLS)}, index=list(make.ENSEMBL)),
    )
    data.write_h5ad(tmp_path / "a.h5ad")
    expression = read_expression(tmp_path / "a.h5ad")
    assert (expression.samples, expression.genes) == (make.CASES, make.ENSEMBL)
    assert (expression.source, expression.scale) == ("h5ad", "counts")
    np.testing.assert_array_equal(expression.values, FACTS.counts)
    assert expression.symbols[make.ENSEMBL[1]] == "EGFR"


def test_h5ad_without_anndata_says_what_to_install(tmp_path, monkeypatch):
    (tmp_path / "a.h5ad").write_bytes(b"\x89HDF")
    monkeypatch.setitem(sys.modules, "anndata", None)
    with pytest.raises(InputError, match=r"pip install 'napari-gimp\[h5ad\]'"):
        read_expression(tmp_path / "a.h5ad")


def test_a_whole_gdc_file(tmp_path):
    """60,000 rows, as real files have: a quadratic step would show."""
    expression = read_expression(make.write_gdc(tmp_path / "a.tsv", FACTS, 0, extra_genes=60_000))
    assert len(expression.genes) == 60_012
    np.testing.assert_allclose(ordered(expression, ["a"], make.ENSEMBL)[0], FACTS.linear[0])


def test_real_tables(shared):
    folder = shared / "tcga_nsclc"
    shapes = {}
    for name in ("expression", "mirna", "expression_cohort_z"):
        expression = read_expression(folder / f"{name}.csv.gz")
        frame = pd.read_csv(folder / f"{name}.csv.gz", index_col=0)
        np.testing.assert_array_equal(expression.values, frame.to_numpy(np.float64))
        assert expression.samples == tuple(frame.index)
        assert expression.genes == tuple(frame.columns)
        shapes[name] = (*expression.values.shape, expression.scale)
    assert shapes == {
        "expression": (656, 258, "linear"),
        "mirna": (664, 334, "linear"),
        "expression_cohort_z": (684, 1554, "zscore"),
    }


@pytest.mark.parametrize("panel", ["panel_10.txt", "panel_25.txt"])
@pytest.mark.parametrize("genes_in_rows", [False, True])
def test_small_real_panels_of_one_patient_are_linear_not_counts(shared, tmp_path, panel, genes_in_rows):
    """Five significant digits make large values look whole; a handful of genes must not pass for counts."""
    genes = (shared / "tcga_nsclc" / panel).read_text().split()
    frame = pd.read_csv(shared / "tcga_nsclc" / "expression.csv.gz", index_col=0)[genes]
    for row in range(0, len(frame), 60):
        one = frame.iloc[[row]]
        path = make.write_plain(tmp_path / "one.csv", one.T if genes_in_rows else one, corner="")
        expression = read_expression(path)
        assert (expression.scale, expression.genes, expression.samples) == ("linear", tuple(genes), (one.index[0],))
