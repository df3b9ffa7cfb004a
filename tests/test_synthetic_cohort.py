"""Synthetic profiles and cohorts: GDC's layout, made-up genes, informative but not decisive."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from napari_gimp.regions import read_geojson
from napari_gimp.synthetic import draw_case, make_profile, make_sample, synthetic_cohort
from napari_gimp.synthetic.profile import GENES, draw_counts, panel
from napari_gimp.types import Progress


def drain(generator):
    """Run a generator to its end: (what it yielded, what it returned)."""
    steps = []
    while True:
        try:
            steps.append(next(generator))
        except StopIteration as end:
            return steps, end.value


def test_profile_has_the_layout_of_gdc(tmp_path: Path):
    path = tmp_path / "profile.tsv"
    make_profile(path, draw_case(1))
    lines = path.read_text().splitlines()
    assert lines[0].startswith("# gene-model: synthetic")
    assert [line.split("\t")[0] for line in lines[2:6]] == [
        "N_unmapped",
        "N_multimapping",
        "N_noFeature",
        "N_ambiguous",
    ]
    assert {len(line.split("\t")) for line in lines[1:]} == {9}
    table = pd.read_csv(path, sep="\t", comment="#").iloc[4:]
    assert len(table) == GENES
    assert table["gene_name"].str.fullmatch(r"SYNTH\d{4}").all()
    assert table["gene_id"].str.fullmatch(r"ENSG9\d{10}\.1").all()
    assert (table["stranded_first"] + table["stranded_second"] == table["unstranded"]).all()
    assert table["tpm_unstranded"].sum() == pytest.approx(1e6, abs=1)
    kilobases = panel().length_kb
    np.testing.assert_allclose(
        table["fpkm_unstranded"], table["unstranded"] / kilobases / table["unstranded"].sum() * 1e6, atol=1e-3
    )


def test_genes_tell_the_types_apart_but_not_always():
    cases = [draw_case(77, k) for k in range(500)]
    labels = np.array([case.label for case in cases])
    values = np.log2(1 + np.array([draw_counts(case) for case in cases]))
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=1000)).fit(values[:250], labels[:250])
    assert 0.78 < model.score(values[250:], labels[250:]) < 0.97
    stains = np.array([case.stain.haematoxylin + case.stain.eosin + case.stain.glass for case in cases])
    assert LogisticRegression(max_iter=5000).fit(stains[:250], labels[:250]).score(stains[250:], labels[250:]) < 0.6


def test_counts_depend_on_the_case_alone():
    np.testing.assert_array_equal(draw_counts(draw_case(4, 7)), draw_counts(draw_case(4, 7)))
    assert (draw_counts(draw_case(4, 7)) != draw_counts(draw_case(4, 9))).mean() > 0.9


def test_cohort_is_complete_and_kept_by_a_second_call(tmp_path: Path):
    steps, paths = drain(synthetic_cohort(tmp_path, 3, seed=6, shape_yx=(520, 610), first=10))
    assert all(isinstance(step, Progress) for step in steps)
    assert [step.done for step in steps] == [0, 1, 2, 3]
    table = pd.read_csv(paths.cohort)
    assert table["case_id"].tolist() == ["synthetic_0010", "synthetic_0011", "synthetic_0012"]
    assert table["label"].tolist() == ["glandular", "solid", "glandular"]
    sheet = pd.read_csv(paths.expression / "gdc_sample_sheet.tsv", sep="\t")
    assert sheet["Sample ID"].tolist() == table["slide_id"].tolist()
    assert all((paths.expression / name).exists() for name in sheet["File Name"])
    assert [path.stem for path in paths.slides] == table["slide_id"].tolist()
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in paths.slides}
    paths.slides[1].unlink()
    drain(synthetic_cohort(tmp_path, 3, seed=6, shape_yx=(520, 610), first=10))
    assert paths.slides[0].stat().st_mtime_ns == before[paths.slides[0]][0]
    assert paths.slides[1].read_bytes() == before[paths.slides[1]][1]
    assert not list(tmp_path.rglob("*.part"))


def test_sample_files_share_a_name_and_say_synthetic(tmp_path: Path):
    paths = make_sample(tmp_path / "new", shape_yx=(520, 610))
    assert {path.name.split(".")[0] for path in (paths.slide, paths.profile, paths.regions)} == {"synthetic_lung"}
    (region,) = read_geojson(paths.regions)
    assert "synthetic" in region.name
    assert region.classification == "Tumor"
    left, top, right, bottom = region.polygon.bounds
    assert min(left, top) >= 0
    assert right <= 610
    assert bottom <= 520
