"""What is no expression table is refused in one sentence; what can be used works and says what was wrong."""

import gzip
import io
import re
import sys
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

from napari_gimp.genes import Expression, read_expression
from napari_gimp.settings import InputError
from napari_gimp.types import Profile

sys.path.insert(0, str(Path(__file__).parent / "data"))
import make_expression as make

FACTS = make.truth()
TEXT = FACTS.frame().rename_axis("case_id").to_csv()


def zipped(**files: str) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return stream.getvalue()


def with_cell(cell: str) -> str:
    lines = TEXT.splitlines()
    cells = lines[3].split(",")
    return "\n".join([*lines[:3], ",".join([*cells[:4], cell, *cells[5:]]), *lines[4:]])


REFUSED = {
    "empty": ("a.csv", b"", "empty file"),
    "blank": ("a.csv", b"\n \n", "empty file"),
    "header only": ("a.csv", b"case_id,TP53,EGFR\n", "a single line"),
    "one column": ("a.txt", b"TP53\nEGFR\n", "a single column"),
    "prose": ("a.txt", b"These are\nnotes of the ward.\n", "expression table|equal length|single"),
    "binary": ("a.csv", bytes(range(256)), "binary data"),
    "slide": ("a.svs", b"II*\0" + bytes(100), "binary data"),
    "no numbers": ("a.csv", b"case_id,TP53,EGFR\na,high,low\nb,low,low\n", "columns of numbers"),
    "only clinic": ("a.csv", b"case_id,age,label\na,61,LUAD\nb,70,LUSC\n", "columns of numbers"),
    "text in values": ("a.csv", with_cell("n.d.").encode(), r"'HLA-A', found 'n.d.' in row 'TCGA-22-4591'"),
    "infinite": ("a.csv", with_cell("inf").encode(), "1 infinite"),
    "no values": ("a.csv", b"case_id,TP53,EGFR\na,,\nb,,\n", "found none|columns of numbers"),
    "ragged": ("a.csv", (TEXT + "x,1,2,3,4,5,6,7,8,9,10,11,12,13,14\n").encode(), "equal length"),
    "cut gzip": ("a.csv.gz", gzip.compress(TEXT.encode())[:-40], "cut-off"),
    "broken gzip": ("a.csv.gz", b"\x1f\x8bnonsense nonsense", "cut-off"),
    "broken zip": ("a.zip", b"PK\x03\x04nonsense", "cut-off"),
    "spreadsheet": ("a.xlsx", zipped(**{"xl/workbook.xml": "<x/>"}), "save it as CSV"),
    "two in a zip": ("a.zip", zipped(**{"a.csv": TEXT, "b.csv": TEXT}), "found 2"),
    "sample sheet": ("a.tsv", b"File ID\tFile Name\tSample ID\nx\ty\tz\n", "folder that holds"),
    "sample twice": (
        "a.csv",
        (TEXT + TEXT.splitlines()[1].replace(".", "1.") + "\n").encode(),
        "again with other values",
    ),
    "mcat nameless": ("a.csv", b"TP53_rnaseq,EGFR_rnaseq\n0.5,-1\n", "case_id or slide_id"),
    "not h5ad": ("a.h5ad", b"no hdf5", "AnnData"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_in_one_sentence(tmp_path, case):
    name, content, words = REFUSED[case]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=words) as refusal:
        read_expression(tmp_path / name)
    message = str(refusal.value)
    assert "xpected" in message
    assert message.endswith(".")
    assert "\n" not in message
    assert not re.search(r"\. [A-Z]", message), "one sentence"


def test_nothing_there(tmp_path):
    with pytest.raises(InputError, match=r"found nothing at .*none\.csv"):
        read_expression(tmp_path / "none.csv")
    with pytest.raises(InputError, match="found nothing at"):
        read_expression(tmp_path / "none.h5ad")


def test_folder_without_gdc_files(tmp_path):
    (tmp_path / "a.csv").write_text(TEXT)
    with pytest.raises(InputError, match="give the file itself"):
        read_expression(tmp_path)


def test_other_hdf5_is_no_anndata(tmp_path):
    with h5py.File(tmp_path / "a.h5ad", "w") as file:
        file["features"] = np.zeros((3, 2))
    with pytest.raises(InputError, match=r"AnnData|matrix X"):
        read_expression(tmp_path / "a.h5ad")


def test_gdc_file_without_the_column(tmp_path):
    (tmp_path / "a.tsv").write_text("gene_id\tgene_name\tunstranded\nENSG00000141510.1\tTP53\t7\n")
    with pytest.raises(InputError, match="fpkm_unstranded"):
        read_expression(tmp_path / "a.tsv")
    assert read_expression(tmp_path / "a.tsv", scale="counts").values == 7


@pytest.mark.parametrize(
    ("write", "declared", "words"),
    [
        (lambda p: make.write_cbioportal(p, FACTS), "log", "values up to"),
        (lambda p: make.write_cbioportal(p, FACTS), "zscore", "declare linear or counts"),
        (lambda p: make.write_xena(p, FACTS, centred=True), "log", "negative values"),
        (lambda p: make.write_xena(p, FACTS, centred=True), "linear", "negative values"),
        (lambda p: make.write_xena(p, FACTS, centred=True), "counts", "declare zscore"),
    ],
)
def test_declared_scale_that_the_numbers_contradict(tmp_path, write, declared, words):
    with pytest.raises(InputError, match=words):
        read_expression(write(tmp_path / "a.tsv"), scale=declared)


def test_declared_scale_that_may_be_is_taken(tmp_path):
    expression = read_expression(make.write_xena(tmp_path / "a.tsv", FACTS), scale="linear")
    assert expression.scale == "linear"
    assert "Scale: linear (as declared)." in expression.notes
    assert any("Warning: linear was declared, the numbers look like log" in note for note in expression.notes)


def test_scale_of_few_small_values_is_said_to_be_uncertain(tmp_path):
    (tmp_path / "a.csv").write_text("gene,TCGA-05-4249-01A\nTP53,3.5\nEGFR,8.25\n")
    expression = read_expression(tmp_path / "a.csv")
    assert (expression.scale, expression.samples) == ("log", ("TCGA-05-4249-01A",))
    assert any("cannot be verified" in note for note in expression.notes)


def test_few_negative_values_among_large_ones_are_noise(tmp_path):
    """As in the batch-corrected PanCanAtlas matrix."""
    frame = pd.DataFrame(np.random.default_rng(0).uniform(0, 900, (20, 30)), index=[f"S{k}" for k in range(20)])
    frame.iloc[3, 4] = -0.7
    frame.columns = [f"GENE{k}A" for k in range(30)]
    expression = read_expression(make.write_plain(tmp_path / "a.csv", frame, corner="sample_id"))
    assert expression.scale == "linear"
    assert expression.values.min() == 0
    assert "Negative values, set to 0: 1." in expression.notes


@pytest.mark.parametrize("cell", ["", "NA", "nan", "#N/A"])
def test_missing_values_are_missing_genes(tmp_path, cell):
    (tmp_path / "a.csv").write_text(with_cell(cell))
    expression = read_expression(tmp_path / "a.csv")
    assert np.isnan(expression.values).sum() == 1
    assert np.isnan(expression.values[2, 3])


def test_same_sample_again_is_merged(tmp_path):
    (tmp_path / "a.csv").write_text(TEXT + TEXT.splitlines()[2] + "\n")
    expression = read_expression(tmp_path / "a.csv")
    np.testing.assert_allclose(expression.values, FACTS.linear)
    assert any("merged: 1" in note for note in expression.notes)


def test_nameless_rows_and_columns_are_left_out(tmp_path):
    lines = [line + "," for line in TEXT.splitlines()]
    (tmp_path / "a.csv").write_text("\n".join([*lines, "," + "1.5," * 12]) + "\n")
    expression = read_expression(tmp_path / "a.csv")
    assert (expression.samples, expression.genes) == (make.CASES, make.SYMBOLS)
    np.testing.assert_allclose(expression.values, FACTS.linear)
    assert "Rows without a sample's name, left out: 1." in expression.notes


def test_comments_and_blank_lines_above_the_header(tmp_path):
    (tmp_path / "a.csv").write_text("# made by hand\n\n#version 2\n" + TEXT.replace("\n", "\r\n"), newline="")
    np.testing.assert_allclose(read_expression(tmp_path / "a.csv").values, FACTS.linear)


def test_clinic_beside_the_genes_is_left_out_and_said(tmp_path):
    frame = FACTS.frame()
    frame.insert(0, "age", 61)
    frame.insert(3, "diagnosis", "adenocarcinoma")
    expression = read_expression(make.write_plain(tmp_path / "a.csv", frame, corner="case_id"))
    assert expression.genes == make.SYMBOLS
    assert any("age, diagnosis" in note for note in expression.notes)


def test_dates_of_a_spreadsheet_are_pointed_out(tmp_path):
    frame = FACTS.frame().rename(columns={"TP53": "1-Mar", "EGFR": "Sep-02"})
    expression = read_expression(make.write_plain(tmp_path / "a.csv", frame, corner="case_id"))
    assert any("into dates (1-Mar, Sep-02)" in note for note in expression.notes)


def test_one_sample_matrix_gives_its_profile(tmp_path):
    expression = read_expression(make.write_plain(tmp_path / "a.csv", FACTS.frame().iloc[[1]], corner="case_id"))
    profile = expression.profile(make.CASES[1])
    assert isinstance(profile, Profile)
    np.testing.assert_allclose(profile.values, FACTS.linear[1])
    assert any("Samples: 1. Genes: 12" in note for note in profile.notes)


def test_unknown_sample_lists_the_others():
    expression = Expression(("a", "b"), ("A",), np.ones((2, 1)), "log")
    with pytest.raises(InputError, match=r"2 samples of this file \(a, b\), found 'c'"):
        expression.profile("c")


def test_matrix_refuses_nonsense():
    with pytest.raises(InputError, match="shape"):
        Expression(("a",), ("A", "B"), np.ones((2, 2)), "log")
