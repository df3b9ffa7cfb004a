"""Barcodes, and which sample belongs to which slide."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_gimp.genes import Expression, case_of, choose_sample, match_case, read_expression, site_of
from napari_gimp.genes.barcodes import parse_barcode
from napari_gimp.settings import InputError

SLIDE = "TCGA-05-4249-01Z-00-DX1.9fce0297-cc19-4c04-872c-4466ee4024db.svs"


def matrix(*samples: str) -> Expression:
    return Expression(samples, ("TP53",), np.ones((len(samples), 1)), "log")


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        (SLIDE, ("TCGA-05-4249", "05", "01", "Z", "00")),
        ("TCGA-05-4249-01A-11R-1755-07", ("TCGA-05-4249", "05", "01", "A", "11")),
        ("TCGA-CR-7395-01A-01-TS1.svs", ("TCGA-CR-7395", "CR", "01", "A", "01")),
        ("TCGA-05-4249-11", ("TCGA-05-4249", "05", "11", None, None)),
        ("TCGA-05-4249", ("TCGA-05-4249", "05", None, None, None)),
        ("TCGA.05.4249.01A.11R", ("TCGA-05-4249", "05", "01", "A", "11")),
        ("tcga-05-4249-01a", ("TCGA-05-4249", "05", "01", "A", None)),
    ],
)
def test_barcode_parts(name, parts):
    found = parse_barcode(name)
    assert (found.case, found.site, found.sample_type, found.vial, found.portion) == parts
    assert (case_of(name), site_of(name)) == parts[:2]


@pytest.mark.parametrize("name", ["TCGA-05-42491", "TCGA-05", "patient_7", "xTCGA-05-4249", ""])
def test_other_names_are_no_barcodes(name):
    assert parse_barcode(name) is None
    assert site_of(name) is None


def test_case_of_other_names_is_the_name_without_ending():
    assert case_of("case_7.ome.tiff") == "case_7"
    assert case_of("a.b.c") == "a.b.c"


def test_slide_and_rna_join_on_case_and_type_not_vial():
    match = choose_sample(matrix("TCGA-05-4250-01A-11R", "TCGA-05-4249-01A-11R-1755-07"), SLIDE)
    assert match.sample == "TCGA-05-4249-01A-11R-1755-07"
    assert match.notes == ()


def test_case_level_sample_fits():
    assert choose_sample(matrix("TCGA-05-4249", "TCGA-05-4250"), SLIDE).sample == "TCGA-05-4249"


@given(
    st.permutations(["TCGA-05-4249-01B-11R", "TCGA-05-4249-01A-21R", "TCGA-05-4249-01A-11R", "TCGA-05-4249-11A-01R"])
)
def test_lowest_vial_then_portion_whatever_the_order(samples):
    match = choose_sample(matrix(*samples), SLIDE)
    assert match.sample == "TCGA-05-4249-01A-11R"
    assert "3 samples" in match.notes[0]


def test_normal_never_stands_for_a_tumour_silently():
    samples = matrix("TCGA-05-4249-11A-01R", "TCGA-05-4250-01A")
    with pytest.raises(InputError, match=r"found only TCGA-05-4249-11A-01R \(normal, type 11\)"):
        choose_sample(samples, SLIDE)
    with pytest.raises(InputError, match="normal, type 11"):
        choose_sample(matrix("TCGA-05-4249-11A"), "TCGA-05-4249")
    asked = choose_sample(samples, SLIDE, "TCGA-05-4249-11A-01R")
    assert "another tissue (normal, type 11)" in asked.notes[0]


def test_a_normal_slide_takes_a_sample_of_no_said_tissue_only_with_a_note():
    found = choose_sample(matrix("TCGA-05-4249", "TCGA-05-4250"), "TCGA-05-4249-11A-01-TS1")
    assert found.sample == "TCGA-05-4249"
    assert "does not say" in found.notes[0]
    assert choose_sample(matrix("TCGA-05-4249", "TCGA-05-4250"), "TCGA-05-4249-01A-01-TS1").notes == ()


def test_normal_slide_takes_the_normal():
    samples = matrix("TCGA-05-4249-11A", "TCGA-05-4249-01A")
    assert choose_sample(samples, "TCGA-05-4249-11A-01-TS1").sample == "TCGA-05-4249-11A"


def test_bare_case_takes_its_tumour_and_asks_between_two_kinds():
    assert choose_sample(matrix("TCGA-05-4249-01A", "TCGA-05-4249-11A"), "TCGA-05-4249").sample == "TCGA-05-4249-01A"
    with pytest.raises(InputError, match="found TCGA-05-4249-01A, TCGA-05-4249-06A"):
        choose_sample(matrix("TCGA-05-4249-01A", "TCGA-05-4249-06A"), "TCGA-05-4249")


@pytest.mark.parametrize("samples", [("TCGA-05-4250-01A",), ("TCGA-05-4250-01A", "TCGA-22-4591-01A")])
@pytest.mark.parametrize("asked", [None, "TCGA-05-4250-01A"])
def test_another_patient_is_refused_also_when_asked_for(samples, asked):
    with pytest.raises(InputError, match="TCGA-05-4250-01A") as refusal:
        choose_sample(matrix(*samples), SLIDE, asked)
    assert "patient" in str(refusal.value)


def test_other_names_must_be_equal():
    samples = matrix("Slide_1", "slide_2", "slide_22")
    assert choose_sample(samples, "slide_2.svs").sample == "slide_2"
    assert choose_sample(samples, "SLIDE_1.tif").sample == "Slide_1"
    with pytest.raises(InputError, match="Slide_1"):
        choose_sample(samples, "slide_3")
    with pytest.raises(InputError, match="one sample named like A"):
        choose_sample(matrix("a.svs", "A.tif"), "A")


def test_single_sample_without_a_telling_name_is_accepted_with_a_note():
    for slide, sample in (("slide_9.svs", "value7"), (SLIDE, "rna"), ("x.svs", "TCGA-05-4249-01A")):
        match = choose_sample(matrix(sample), slide)
        assert match.sample == sample
        assert "do not match" in match.notes[0]
    assert choose_sample(matrix("slide_9"), "slide_9.svs").notes == ()


def test_choice_by_beginning_and_unknown_choice():
    samples = matrix("TCGA-05-4249-01A-11R-1755-07", "TCGA-05-4250-01A-11R")
    assert choose_sample(samples, SLIDE, "TCGA-05-4249").sample == "TCGA-05-4249-01A-11R-1755-07"
    with pytest.raises(InputError, match="choose among"):
        choose_sample(samples, SLIDE, "TCGA-05")
    with pytest.raises(InputError, match="choose among"):
        choose_sample(samples, SLIDE, "nobody")


def test_cohorts_get_none_for_a_case_without_expression():
    assert match_case(matrix("only"), "case_1") is None
    assert match_case(matrix("TCGA-05-4249-01A"), "TCGA-05-4250") is None
    assert match_case(matrix("case_1"), "case_1").sample == "case_1"


def test_every_real_slide_finds_its_own_patient(shared):
    expression = read_expression(shared / "tcga_nsclc" / "expression.csv.gz")
    lines = (shared / "tcga_nsclc" / "cohort.csv").read_text().splitlines()[1:]
    pairs = [line.split(",")[:2] for line in lines]
    matches = [(case, match_case(expression, slide)) for case, slide in pairs]
    assert all(match is None or match.sample == case for case, match in matches)
    assert len({match.sample for _, match in matches if match is not None}) == 656
