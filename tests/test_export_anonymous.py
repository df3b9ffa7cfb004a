"""Exports without names: not a byte of what is written, drawn or zipped says whose slide it was."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import shapely
from test_export_files import CELLS, make_prediction
from written_bytes import drawn_text, where_read

from napari_gimp import cli
from napari_gimp.export import check_free, export_prediction
from napari_gimp.export.anonymous import Veil, anonymised, neutral_name, user_salt, veil_of
from napari_gimp.export.report import Mark, PatchPicture, RegionRow, ReportCase, WhatIf
from napari_gimp.regions import Region
from napari_gimp.types import GeneGroup, Prediction

SECRET = "SMITH"
FOLDERS = Path("/home/smith/Dr SMITH")


def telltale(**more: object) -> Prediction:
    """A result that names the patient wherever a result can hold a word."""
    random = np.random.default_rng(4)
    genes = ("TP53", "KRAS", "NKX2-1")
    made = make_prediction(
        CELLS,
        sample="SMITH.John-01A",
        coverage=0.97,
        class_support=random.normal(size=(2, 6)),
        genes=genes,
        expression=random.normal(size=3),
        gene_z=random.normal(size=3),
        gene_attribution=random.normal(size=(2, 3)),
        attribution_error=np.array([0.01, 0.02]),
        groups=(GeneGroup("HALLMARK", (genes,)),),
        group_attention=np.array([1.0]),
        notes=(
            "Read /home/smith/Johann Miller/SMITH_rna.tsv as GDC.",
            "Smith has 2 samples of this type (SMITH.John-01A, SMITH.John-01B): the lowest is used.",
            r"Warning: the embeddings say that they are of slide C:\SMITH\SMITH_12-3.h5, not smith_12-3.",
            "TCGA-05-4244 has 1 sample; pid1234567 has none.",
        ),
        provenance={
            "checkpoint": "demo",
            "bag": {"encoder": "resnet18-x", "slide": "SMITH_12-3", "file": FOLDERS / "SMITH_12-3.h5"},
            "chosen": {"ready_bag": "SMITH_12-3.h5", "device": "cpu"},
            "profile": {"sample": "SMITH.John-01A", "source": "GDC", "files": ["SMITH_rna.tsv"]},
            "SMITH": {"SMITH_12-3": 1},
            "versions": {"python": "3.11"},
        },
        **more,
    )
    notes = ("um per pixel of the file: SMITH_12-3.svs says none.",)
    return replace(made, slide=replace(made.slide, name="SMITH_12-3", identity="SMITH-identity", notes=notes))


REGIONS = (Region(shapely.box(500, 500, 1500, 1100), "Smith's tumour", "SMITH class", (1, 2, 3)),)
RUN = {"from": "napari", "slide": FOLDERS / "SMITH_12-3.svs", "said": "of SMITH_12-3"}
PICTURE = np.random.default_rng(1).integers(0, 255, (313, 495, 3), dtype=np.uint8)


def case_of(prediction: Prediction, veil: Veil, *, allow_names: bool) -> ReportCase:
    return ReportCase(
        prediction,
        PICTURE,
        patches=(PatchPicture(2, PICTURE[:64, :64], "mitosis of Smith"),),
        patches_by="most attention",
        regions=(RegionRow("Smith's tumour", "SMITH class", 0.3, 4, 0.5, 1.2, 0.1, 0.4),),
        outlines=REGIONS,
        what_ifs=(WhatIf("without region Smith's tumour", "regions", np.array([0.5, 0.5])),),
        marks=(Mark("SMITH?", (900.0, 900.0), "ask Dr Smith"),),
        identifiers={"Patient": "John SMITH"},
        settings={"cohort": FOLDERS / "cohort.csv", "file": "smith_rna.tsv"},
        allow_names=allow_names,
        veil=veil,
    )


def test_no_written_or_drawn_byte_holds_a_name(tmp_path: Path):
    prediction = telltale()
    veil = veil_of(prediction, salt=b"salt", hide=[FOLDERS / "SMITH_12-3.svs", FOLDERS / "pid1234567.tsv"])
    case = case_of(prediction, veil, allow_names=False)
    with drawn_text() as drawn:
        files = export_prediction(
            prediction, tmp_path / veil.name, picture=PICTURE, regions=REGIONS, run=RUN, veil=veil, report=case
        )
    assert len(files) == 10
    assert where_read(tmp_path, SECRET) == []
    assert [text for text in drawn if SECRET.lower() in text.lower()] == []
    for other in ("TCGA", "4244", "pid1234567", "12-3", "John", "Miller"):
        assert where_read(tmp_path, other) == [], other
    record = json.loads((tmp_path / veil.name / "run.json").read_text())
    assert record["slide"]["name"] == record["slide"]["identity"] == veil.name
    assert record["provenance"]["bag"]["encoder"] == "resnet18-x"
    assert any(veil.name in text for text in drawn), "the neutral name stands in the figures"


def test_the_same_result_with_names_does_hold_them(tmp_path: Path):
    """The search above finds what is there."""
    prediction = telltale()
    with drawn_text() as drawn:
        export_prediction(
            prediction, tmp_path / "named", picture=PICTURE, regions=REGIONS, run=RUN,
            report=case_of(prediction, veil_of(prediction, salt=b"salt"), allow_names=True),
        )  # fmt: skip
    found = set(where_read(tmp_path, SECRET))
    names = ("prediction.json", "run.json", "overlay.geojson", "report.html", "report.pdf", "maps.ome.zarr/zarr.json")
    assert {f"named/{name}" for name in names} <= found
    assert any("John SMITH" in text for text in drawn)
    assert any("SMITH_12-3" in text for text in drawn)


def test_numbers_classes_and_warnings_stay():
    prediction = telltale(synthetic="synthetic")
    prediction = replace(prediction, notes=(*prediction.notes, "The checkpoint was trained on synthetic cases."))
    prediction = replace(prediction, slide=replace(prediction.slide, name="synthetic_lung_SMITH"))
    shown = anonymised(prediction, veil_of(prediction, salt=b""))
    assert shown.notes[-1] == prediction.notes[-1]
    assert shown.notes[0] == "Read file as GDC."
    assert shown.synthetic == "synthetic"
    assert shown.classes == prediction.classes
    assert shown.attention is prediction.attention
    assert shown.probabilities is prediction.probabilities
    assert shown.sample == shown.slide.name
    assert anonymised(replace(prediction, sample=None), veil_of(prediction, salt=b"")).sample is None


def test_a_class_is_never_taken_for_a_name():
    prediction = replace(telltale(), classes=("LUAD", "LUSC"))
    prediction = replace(prediction, slide=replace(prediction.slide, name="LUAD_SMITH"), notes=("LUAD is near.",))
    assert anonymised(prediction, veil_of(prediction, salt=b"")).notes == ("LUAD is near.",)


def test_short_and_ordinary_names():
    prediction = replace(telltale(), sample="S1", notes=("The lowest, S1, is used, not S12.", "The slide is coarse."))
    prediction = replace(prediction, slide=replace(prediction.slide, name="slide"))
    veil = veil_of(prediction, salt=b"")
    assert anonymised(prediction, veil).notes == (f"The lowest, {veil.name}, is used, not S12.", "The slide is coarse.")


def test_neutral_names_are_the_same_for_one_user_and_tell_nothing(tmp_path: Path):
    salt = user_salt(tmp_path / "user")
    assert user_salt(tmp_path / "user") == salt
    assert neutral_name("slide", salt) == neutral_name("slide", salt)
    assert neutral_name("slide", salt) != neutral_name("slide", user_salt(tmp_path / "other"))
    assert neutral_name("slide", salt) != neutral_name("slide 2", salt)
    assert neutral_name("slide", salt).startswith("case-")
    (tmp_path / "taken").write_text("no folder")
    assert user_salt(tmp_path / "taken") != user_salt(tmp_path / "taken"), "not kept: another one each time"
    (tmp_path / "user" / "neutral-names.salt").write_bytes(b"\xff damaged")
    assert user_salt(tmp_path / "user") != salt


@pytest.fixture
def gimp(monkeypatch, tmp_path, capsys):
    """Run the command line with a cache and a salt of its own."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def call(*arguments: object) -> tuple[int, str]:
        monkeypatch.setattr("sys.argv", ["napari-gimp", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return ended.value.code, capsys.readouterr().err

    return call


def test_predict_anonymous_names_nothing_and_predict_keeps_its_contract(gimp, tiny, tmp_path: Path):
    given = tmp_path / "SMITH"
    given.mkdir()
    slide = Path(shutil.copy(tiny.slide, given / "SMITH_JOHN.tif"))
    profile = Path(shutil.copy(tiny.profile, given / "SMITH_JOHN.tsv"))
    options = (slide, "--checkpoint", tiny.checkpoint, "--profile", profile, "--report")
    with drawn_text() as drawn:
        code, err = gimp("predict", *options, "--anonymous", "--out", tmp_path / "out")
    assert code == 0, err
    (folder,) = (tmp_path / "out").iterdir()
    assert folder.name.startswith("case-")
    assert {"report.html", "report.pdf", "run.json"} <= {path.name for path in folder.iterdir()}
    check_free(folder, overwrite=True)
    assert where_read(tmp_path / "out", SECRET) == []
    assert [text for text in drawn if SECRET in text] == []
    code, err = gimp("predict", *options, "--anonymous", "--out", tmp_path / "out")
    assert code == 2
    assert "earlier result" in err, "the same slide has the same neutral name"
    code, err = gimp("predict", *options, "--out", tmp_path / "named")
    assert code == 0, err
    assert [path.name for path in (tmp_path / "named").iterdir()] == ["SMITH_JOHN"]
    named = where_read(tmp_path / "named", SECRET)
    assert "SMITH_JOHN/prediction.json" in named
    assert not any("report" in path for path in named), "the report is without names unless they are asked for"
    code, err = gimp("predict", *options, "--out", tmp_path / "both", "--anonymous", "--report-names")
    assert code == 2
    assert "found both; leave one out" in err


def test_the_windows_export_and_report_name_nothing(tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from napari_gimp.console import drain
    from napari_gimp.plugin import job, writer

    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    (tmp_path / SECRET).mkdir()
    slide = Path(shutil.copy(tiny.slide, tmp_path / SECRET / "SMITH_12-3.tif"))
    prediction, out = telltale(), tmp_path / "out"
    files = drain(job.export(prediction, slide, out, RUN), "")
    assert files[0].parent.name.startswith("case-")
    again = drain(job.export(prediction, slide, out, RUN), "")
    assert again[0].parent.name == f"{files[0].parent.name}-1"
    with drawn_text() as drawn:
        more = {"marks": (Mark("of Smith", (1.0, 1.0)),), "identifiers": {"Patient": "SMITH"}}
        written = drain(job.report(prediction, slide, out / "report", **more), "")
    assert [path.name for path in written] == ["report.html", "report.pdf"]
    assert where_read(out, SECRET) == []
    assert [text for text in drawn if SECRET.lower() in text.lower()] == []
    maps = [(np.zeros((4, 4)), {"metadata": {"prediction": prediction}}, "image")]
    assert writer.write_maps(str(out / "maps.ome.zarr"), maps) == [str(out / "maps.ome.zarr")]
    assert where_read(out, SECRET) == []
    named = drain(job.export(prediction, slide, out, RUN, allow_names=True), "")
    assert named[0].parent.name == "SMITH_12-3"
    (single,) = drain(job.report(prediction, slide, out / "one.pdf", allow_names=True), "")
    assert single == out / "one.pdf"
    assert "one.pdf" in where_read(out, SECRET)
