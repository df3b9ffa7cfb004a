"""The report: what stands in it, that its pictures are pictures, and that it needs nothing from outside."""

import base64
import io
import re
from functools import cache

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from napari_gimp.study.comparison import OutOfFold
from napari_gimp.study.crossvalidation import CrossValidation
from napari_gimp.study.report import write_report
from napari_gimp.study.report.page import NOTICE, page


@cache
def made(classes=("LUAD", "LUSC"), sites=True, baselines=True, genes=True) -> CrossValidation:
    """Predictions that are right in four of five cases; case<i> is a patient of site s<i mod 6>, fold i mod 3."""
    rng = np.random.default_rng(0)
    n, kinds = 90, len(classes)
    labels = rng.integers(0, kinds, n)
    labels[:12] = np.arange(12) % kinds

    def predictions(strength):
        scores = rng.normal(size=(n, kinds)) + strength * np.eye(kinds)[labels]
        return np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)

    cases = pd.DataFrame(
        {
            "case": [f"case{i}<b>" for i in range(n)],
            "fold": [str(i % 3) for i in range(n)],
            "label": [classes[k] for k in labels],
            "site": [f"s{i % 6}" if sites else "" for i in range(n)],
        }
    )
    modalities = ("both", "image", "genes") if genes else ("image",)
    model = {name: predictions(2.5) for name in modalities}
    model[modalities[0]][3] = np.eye(kinds)[(labels[3] + 1) % kinds]
    names = ("mean_image", "mean_image_directions", *(("ridge_genes",) if genes else ()))
    others = {name: predictions(1.5) for name in names} if baselines else {}
    for rows in others.values():
        rows[3] = np.eye(kinds)[(labels[3] + 1) % kinds]
    if genes:
        model["genes"][5] = np.nan
    tested = OutOfFold(labels, np.arange(n) % 3, np.arange(n).astype(str), ("0", "1", "2"))
    fold = {"fold": "0", "epochs": 7, "hashes": ["a" * 16] * 500}
    return CrossValidation(
        "lab", tuple(classes), modalities[0], cases, tested, model, {"image": predictions(4)}, others,
        (fold,), 0, 12.0, {"model": {"d": 128}}, {"torch": "2"}, ("leak check (sites): a <script>",), ("a note",),
    )  # fmt: skip


def pictures_of(text: str) -> dict[str, Image.Image]:
    found = re.findall(r'<img alt="(\w+)" src="data:image/png;base64,([^"]+)"', text)
    return {name: Image.open(io.BytesIO(base64.b64decode(data))) for name, data in found}


def test_the_page_holds_figures_pictures_warnings_and_the_notice(tmp_path):
    result = made()
    path = write_report(result, tmp_path)
    text = path.read_text()
    found = pictures_of(text)
    assert set(found) == {"forest", "roc", "calibration", "sites"}
    for picture in found.values():
        assert min(picture.size) > 250
        assert np.asarray(picture.convert("L")).std() > 10
    summary = result.by_modality["both"]
    low, high = summary.ci95["accuracy"]
    assert f"accuracy {summary.figures['accuracy']:.3f}, AUC {summary.figures['auc']:.3f}" in text
    assert f"<td>{summary.figures['accuracy']:.3f} <small>{low:.3f}-{high:.3f}</small></td>" in text
    assert text.count(NOTICE) == 2
    assert "ridge on the mean-pooled image, site directions removed" in text
    assert "leak check (sites): a &lt;script&gt;" in text
    assert "model.d" in text
    assert len(text) - sum(len(m) for m in re.findall(r"base64,[^\"]+", text)) < 60_000


def test_the_page_needs_nothing_from_outside_and_escapes_names():
    text = page(made())
    assert not re.search(r'(?:src|href)=(?!"data:)', text)
    assert "http" not in text
    assert "case3&lt;b&gt;" in text
    assert "case3<b>" not in text


def test_hard_patients_are_listed_by_case_and_nothing_more():
    result = made()
    hard = [case["case"] for case in result.hard_cases]
    assert "case3<b>" in hard
    assert f"{len(hard)} patients whom GiMP and every baseline" in page(result)
    assert "patients whom" not in page(made(baselines=False))


@pytest.mark.parametrize(
    "kind",
    [{"classes": ("A", "B", "C")}, {"sites": False}, {"baselines": False}, {"genes": False}],
    ids=lambda kind: next(iter(kind)),
)
def test_other_cohorts_have_a_page_too(kind):
    result = made(**kind)
    text = page(result)
    assert ("sites" in pictures_of(text)) == kind.get("sites", True)
    assert ("best baseline" in text) == kind.get("baselines", True)
    assert result.to_json()["n"] == 90
