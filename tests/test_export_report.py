"""The report of a case: one page, everything on it, nothing over the edge or over another, nothing from outside."""

import base64
import io
import re
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import shapely
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text
from PIL import Image
from test_export_files import make_prediction
from written_bytes import pdf_text

from napari_gimp.doubt import doubt_sentences
from napari_gimp.export.anonymous import veil_of
from napari_gimp.export.report import (
    Mark,
    PatchPicture,
    RegionRow,
    ReportCase,
    ShownMap,
    WhatIf,
    report_case,
    write_report,
)
from napari_gimp.export.report.content import WHAT_IF, parameters
from napari_gimp.export.report.sheet import draw_sheet
from napari_gimp.regions import Region
from napari_gimp.settings import InputError
from napari_gimp.types import GeneGroup, Prediction
from napari_gimp.words import RESEARCH_ONLY

GENES = tuple(f"ENSG{k:011d}" for k in range(30))
PLACES = [(row, column) for row in range(1, 9) for column in range(1, 14)]


def whole_prediction(**more: object) -> Prediction:
    """Image and genes disagree, members differ, patches are missing: everything that can be said."""
    random = np.random.default_rng(2)
    values = {
        "probabilities": {
            "both": np.array([0.62, 0.38]),
            "image": np.array([0.71, 0.29]),
            "genes": np.array([0.2, 0.8]),
        },
        "class_support": random.normal(size=(2, len(PLACES))),
        "genes": GENES,
        "expression": random.normal(5, 2, 30),
        "gene_z": random.normal(size=30),
        "gene_attribution": random.normal(size=(2, 30)),
        "attribution_error": np.array([0.004, 0.012]),
        "groups": tuple(GeneGroup(f"HALLMARK_{k}", (GENES[k : k + 5],)) for k in range(6)),
        "group_attention": np.full(6, 1 / 6),
        "spread": np.array([0.07, 0.07]),
        "unlike_training": 0.97,
        "coverage": 0.83,
        "sample": "s1",
        "missing_yx": np.array([[0, 486]]),
        "synthetic": "synthetic",
        "notes": ("Versions of Ensembl identifiers are removed.",),
        "provenance": {
            "checkpoint": "demo",
            "calibrated": True,
            "bag": {"encoder": "resnet18-abc", "patch_px": 256, "patch_mpp": 0.5},
            "maps": {"seed": 7},
            "chosen": {"device": "cpu"},
            "versions": {"python": "3.11", "torch": "2.13"},
        },
        **more,
    }
    return make_prediction(PLACES, **values)


def picture(shape: tuple[int, int] = (313, 495), seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(90, 255, (*shape, 3), dtype=np.uint8)


def case_of(prediction: Prediction, **more: object) -> ReportCase:
    values = {
        "patches": tuple(PatchPicture(k, picture((64, 64), k), "mitosis" * (k == 1)) for k in (3, 1, 40)),
        "regions": (RegionRow("tumour centre", "Tumour", 3.204, 18, 0.21, 1.32, 0.412, 0.71),),
        "outlines": (Region(shapely.box(900, 900, 2200, 2200), "tumour centre", "Tumour"),),
        "what_ifs": (WhatIf("KRAS at the cohort mean", "genes", np.array([0.4, 0.6])),),
        "marks": (Mark("necrosis", (1500.0, 2500.0), "ask for another stain"),),
        "allow_names": True,
        "made": datetime(2026, 1, 2, 3, 4, tzinfo=UTC),
        **more,
    }
    return ReportCase(prediction, picture(), **values)


def crowded() -> ReportCase:
    """More of everything than a page holds, in names that are too long and look like formulas."""
    long = "a_very_long_$name$_that_does_not_end_where_it_should " * 4
    classes = tuple(f"class $x_{k}$ with a name of some length" for k in range(9))
    odds = np.linspace(1, 2, 9) / np.linspace(1, 2, 9).sum()
    prediction = replace(
        whole_prediction(),
        classes=classes,
        probabilities={"both": odds, "image": odds[::-1], "genes": odds},
        class_support=np.ones((9, len(PLACES))),
        gene_attribution=np.random.default_rng(0).normal(size=(9, 30)),
        attribution_error=np.full(9, 0.5),
        spread=np.full(9, 0.2),
        groups=tuple(GeneGroup(long, (GENES,)) for _ in range(6)),
    )
    return case_of(
        replace(prediction, slide=replace(prediction.slide, name=long)),
        patches=tuple(PatchPicture(k, picture((40, 40), k), long) for k in range(12)),
        regions=tuple(RegionRow(f"{k} {long}", long, 0.1, k, 0.1, 1.0, 0.1, 0.1) for k in range(40)),
        what_ifs=tuple(WhatIf(f"{k} {long}", "genes", odds) for k in range(20)),
        marks=tuple(Mark(f"{k} {long}", (900.0 + k, 900.0), long) for k in range(20)),
        identifiers={"Case": long, "Patient": long},
    )


def bare() -> ReportCase:
    """As little as a result can hold: one patch, no genes, no pixel size, nothing of the user's."""
    prediction = make_prediction(
        [(3, 4)], mpp=None, reconstruction_error=None, partial=0.5, probabilities={"image": np.array([0.5, 0.5])}
    )
    return ReportCase(prediction, picture(), allow_names=True)


CASES = {"whole": lambda: case_of(whole_prediction()), "crowded": crowded, "bare": bare}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, bytes]:
    html, pdf = write_report(case_of(whole_prediction()), tmp_path_factory.mktemp("report"))
    return html.read_text(encoding="utf-8"), pdf.read_bytes()


@pytest.mark.parametrize("name", CASES)
def test_the_sheet_is_one_page_with_nothing_over_its_edge_or_over_another(name: str):
    figure = draw_sheet(CASES[name]())
    canvas = FigureCanvasAgg(figure)
    figure.set_dpi(60)
    canvas.draw()
    page, boxes = figure.bbox, {}
    for text in figure.findobj(Text):
        if text.get_visible() and text.get_text().strip():
            box = text.get_window_extent()
            assert page.x0 <= box.x0, text.get_text()
            assert box.x1 <= page.x1, text.get_text()
            assert page.y0 <= box.y0, text.get_text()
            assert box.y1 <= page.y1, text.get_text()
            if text in figure.texts:
                boxes[text.get_text()] = box.shrunk(0.9, 0.6)
    for (one, first), (two, second) in combinations(boxes.items(), 2):
        assert not first.overlaps(second), f"{one} | {two}"
    shown = [axis.get_window_extent() for axis in figure.axes]
    for words, box in boxes.items():
        assert not any(box.overlaps(axis) for axis in shown), words
    pixels = np.asarray(canvas.buffer_rgba())[..., :3]
    assert 0.03 < (pixels < 250).any(axis=2).mean() < 0.8, "neither blank nor black"


def test_the_pdf_is_one_a4_page_whose_text_is_text(written: tuple[str, bytes]):
    _, pdf = written
    assert pdf.startswith(b"%PDF")
    assert len(re.findall(rb"/Type /Page\b", pdf)) == 1
    (box,) = re.findall(rb"/MediaBox \[ ([\d. ]+) \]", pdf)
    np.testing.assert_allclose([float(v) for v in box.split()], [0, 0, 595.44, 841.68], atol=0.5)
    text = pdf_text(pdf).replace("\n", " ")
    assert text.count(RESEARCH_ONLY) == 1
    for words in ("GiMP report: slide-1", "2026-01-02 03:04 UTC", "no evidence about patients", "Doubt", "Completeness",
                  "tumour centre", WHAT_IF, "What if: KRAS at the cohort mean", "necrosis", "ENSG0000", "HALLMARK_",
                  "calibrated probability", "resnet18-abc", "torch 2.13", "maps.seed 7"):  # fmt: skip
        assert words in text, words
    for sentence in doubt_sentences(whole_prediction()):
        assert sentence.split()[0] in text
        assert sentence.split()[-1] in text


class Resources(HTMLParser):
    """What a page wants from elsewhere, and its words."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.sources: list[str] = []
        self.words: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag not in ("script", "link", "iframe", "object")
        self.sources += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "data")]

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def test_the_page_needs_nothing_from_elsewhere_and_says_everything(written: tuple[str, bytes]):
    html, _ = written
    found = Resources(html)
    assert all(source.startswith("data:image/png;base64,") for source in found.sources)
    assert "url(" not in html
    assert "@import" not in html
    assert "@media print" in html
    words = " ".join(found.words)
    assert words.count(RESEARCH_ONLY) == 1
    for sentence in doubt_sentences(whole_prediction()):
        assert sentence in words
    for said in ("0.62 ± 0.07", "image alone", "0.71", "genes alone", "0.80", "Patches: most attention", "µm",
                 "attribution", "1.20%", "3.204", WHAT_IF, "What if: KRAS at the cohort mean", "0.40 (-0.22)",
                 "ask for another stain", "resnet18-abc", "maps.seed", "torch", "2026-01-02"):  # fmt: skip
        assert said in words or said == "1.20%", said
    assert "by 0.40%" in words, "the completeness error of the called class"


def test_the_pages_pictures_are_not_blank(written: tuple[str, bytes]):
    html, _ = written
    sources = Resources(html).sources
    assert len(sources) == 1 + 1 + 3 + 2, "slide, probabilities, patches, genes, gene groups"
    for source in sources:
        with Image.open(io.BytesIO(base64.b64decode(source.split(",")[1]))) as shown:
            pixels = np.asarray(shown.convert("RGB"))
        assert pixels.std() > 10


def test_what_the_user_typed_is_text_not_markup(tmp_path: Path):
    case = case_of(whole_prediction(), marks=(Mark("<script>x</script>", (9.0, 9.0), "a & b"),))
    (page,) = write_report(case, tmp_path / "other.html")
    assert page == tmp_path / "other.html"
    assert "<script>" not in page.read_text()
    assert "&lt;script&gt;" in page.read_text()


def test_without_a_profile_or_a_pixel_size_it_says_so(tmp_path: Path):
    html, pdf = write_report(bare(), tmp_path)
    words = " ".join(Resources(html.read_text()).words)
    assert "No gene profile took part" in words
    assert "pixel size unknown" in words
    assert "Partial: it rests on 50%" in words
    assert "none: image only" in words
    assert len(re.findall(rb"/Type /Page\b", pdf.read_bytes())) == 1


def test_what_does_not_fit_on_the_sheet_is_counted_and_stands_in_the_page(tmp_path: Path):
    html, pdf = write_report(crowded(), tmp_path)
    text = pdf_text(pdf.read_bytes())
    assert "rst 2 of 40; all 40 in report.html)" in text, "(its fi is one glyph)"
    assert "Patches: most attention (all 12 in report.html)" in text
    assert "What if: 0 a_" in text
    words = " ".join(Resources(html.read_text()).words)
    assert "39 a_very_long_$name$" in words


def test_identifiers_stand_there_only_when_allowed(tmp_path: Path):
    prediction = whole_prediction()
    named = case_of(prediction, identifiers={"Patient": "Jane"})
    hidden = replace(named, allow_names=False, veil=veil_of(prediction, salt=b""))
    for case, seen in ((named, True), (hidden, False)):
        (html,) = write_report(case, tmp_path / f"{seen}.html")
        assert ("Jane" in html.read_text()) is seen
        assert ("slide-1" in html.read_text()) is seen
    with pytest.raises(InputError, match="expected a veil"):
        replace(named, allow_names=False)


def test_pieces_of_another_result_are_refused():
    prediction = whole_prediction()
    with pytest.raises(InputError, match=f"expected {len(PLACES)} patches, found 3"):
        case_of(prediction, shown=ShownMap("x", "", np.zeros(3)))
    with pytest.raises(InputError, match=f"expected numbers below {len(PLACES)}, found 999"):
        case_of(prediction, patches=(PatchPicture(999, picture()),))
    with pytest.raises(InputError, match="expected 2 probabilities"):
        case_of(prediction, what_ifs=(WhatIf("x", "genes", np.ones(3)),))


def test_a_signed_map_names_its_unit_and_the_patches_that_stand_highest(tiny, tmp_path: Path):
    from napari_gimp.slides import open_slide

    prediction = whole_prediction()
    shown = ShownMap("support for A", "logit", np.arange(len(PLACES)) - 50.0, "PiYG", True)
    with open_slide(tiny.slide) as slide:
        inside = replace(prediction, grid=replace(prediction.grid, coords_yx=prediction.grid.coords_yx // 8))
        case = report_case(slide, inside, count=2, shown=shown, allow_names=True)
    assert [item.patch for item in case.patches] == [len(PLACES) - 1, len(PLACES) - 2]
    assert case.patches[0].pixels.shape == (256, 256, 3)
    (page,) = write_report(case, tmp_path / "p.html")
    assert "+53.000 logit" in page.read_text()
    assert "Patches: most support for A" in page.read_text()


def test_parameters_are_flat_and_without_folders():
    case = case_of(whole_prediction(), settings={"file": Path("/home/a/b.tsv"), "grain": {"stride": 0.5}, "none": None})
    found = parameters(case)
    assert found["file"] == "b.tsv"
    assert found["grain.stride"] == "0.5"
    assert found["chosen.device"] == "cpu"
    assert not any("none" in name or "versions" in name for name in found)
