"""The command line as a user meets it: words, files, exit codes."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import ImageCms

from napari_gimp import cli
from napari_gimp.bags import read_bag
from napari_gimp.export.everything import FILES, GENE_FILES


@pytest.fixture
def gimp(capsys):
    """Run a command in this process: exit code, stdout, stderr."""

    def call(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as end:
            cli.main([*map(str, arguments)])
        said = capsys.readouterr()
        return int(end.value.code or 0), said.out, said.err

    return call


def test_info_in_words_and_for_programs(gimp, tiny) -> None:
    code, out, _ = gimp("info", tiny.slide)
    assert code == 0
    assert "mpp yx" in out
    assert "0.5 × 0.5" in out
    kinds = {}
    for path in (tiny.slide, tiny.profile, tiny.checkpoint):
        code, out, _ = gimp("info", path, "--json")
        assert code == 0
        kinds[path] = json.loads(out)
    assert [facts["kind"] for facts in kinds.values()] == ["slide", "expression", "checkpoint"]
    assert kinds[tiny.profile]["scale"] == "linear"
    assert kinds[tiny.checkpoint]["classes"] == ["glandular", "solid"]


def test_embed_then_predict_writes_a_folder_per_slide(gimp, tiny, tmp_path) -> None:
    code, out, err = gimp("embed", tiny.slide, "--encoder", "colour-texture", "--out", tmp_path / "bags")
    assert code == 0, err
    bag = tmp_path / "bags" / "synthetic_lung.h5"
    assert bag.exists()
    assert "patches x" in out
    code, out, _ = gimp("info", bag, "--json")
    assert json.loads(out)["kind"] == "bag"
    options = ("--checkpoint", tiny.checkpoint, "--profile", tiny.profile, "--bag", bag, "--out", tmp_path / "out")
    code, out, err = gimp("predict", tiny.slide, *options)
    assert code == 0, err
    assert "from image and genes" in out
    assert "synthetic" in err
    names = {path.name for path in (tmp_path / "out" / "synthetic_lung").iterdir()}
    assert names == {*FILES, *GENE_FILES}
    written = (tmp_path / "out" / "synthetic_lung" / "run.json").read_text(encoding="utf-8")
    record = json.loads(written)["provenance"]
    assert min(record["seconds"].values()) >= 0
    assert record["seconds"]["prediction"] > 0
    assert record["chosen"]["ready_bag"] == "synthetic_lung.h5"
    assert record["profile"]["scale"] == "linear"
    assert str(tmp_path) not in written
    code, _, err = gimp("predict", tiny.slide, *options)
    assert code == 2
    assert "--overwrite" in err
    code, _, err = gimp("predict", tiny.slide, *options, "--overwrite")
    assert code == 0, err


def test_colours_are_corrected_when_asked_and_the_bag_is_another(gimp, tiny, tmp_path) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    with tifffile.TiffFile(tiny.slide) as file:
        pixels = file.pages[0].asarray()
    slide = tmp_path / "profiled.tif"
    size = {"resolution": (2e4, 2e4), "resolutionunit": "CENTIMETER"}
    tifffile.imwrite(slide, pixels, tile=(256, 256), photometric="rgb", iccprofile=profile, **size)
    for folder, asked in (("plain", ()), ("icc", ("--icc",))):
        code, _, err = gimp("embed", slide, "--encoder", "colour-texture", "--out", tmp_path / folder, *asked)
        assert code == 0, err
    plain, corrected = (read_bag(tmp_path / folder / "profiled.h5") for folder in ("plain", "icc"))
    assert plain.fingerprint != corrected.fingerprint
    np.testing.assert_allclose(plain.features, corrected.features, atol=0.2)  # sRGB to sRGB
    code, _, err = gimp("embed", tiny.slide, "--encoder", "colour-texture", "--out", tmp_path / "none", "--icc")
    assert code == 0
    assert "no ICC profile: its colours are taken as they are" in err


def test_a_bad_slide_does_not_end_the_batch(gimp, tiny, tmp_path) -> None:
    bad = tmp_path / "slides" / "bad.svs"
    bad.parent.mkdir()
    bad.write_text("no slide")
    (bad.parent / "good.tif").symlink_to(tiny.slide)
    code, out, err = gimp("embed", bad.parent, "--encoder", "colour-texture", "--out", tmp_path / "bags")
    assert code == 2
    assert "failed" in out
    assert "patches x" in out
    assert "Traceback" not in err
    assert (tmp_path / "bags" / "good.h5").exists()


def test_train_and_evaluate_from_the_command_line(gimp, tmp_path) -> None:
    from conftest import write_tiny_cohort

    cohort = write_tiny_cohort(tmp_path)
    options = ["--cohort", cohort.table, "--features", cohort.features, "--expression", cohort.expression]
    (tmp_path / "small.toml").write_text(
        "d = 16\nheads = 2\nhead_hidden = 8\nwindow = 16\nfragment_genes = 5\ngroups = 2\n"
    )
    small = ["--config", tmp_path / "small.toml", "--set", "epochs_pretrain=1", "--set", "epochs_genes=1"]
    code, out, err = gimp(
        "train", *options, "--out", tmp_path / "model", *small, "--set", "epochs_finetune=2", "--device", "cpu",
        "--case-kind", "synthetic",
    )  # fmt: skip
    assert code == 0, err
    assert "validation" in out
    code, out, err = gimp("info", tmp_path / "model", "--json")
    assert json.loads(out)["synthetic"] == "synthetic"
    figures = tmp_path / "figures.json"
    code, out, err = gimp(
        "evaluate", tmp_path / "model", *options, "--json", figures, "--out", tmp_path / "evaluation", "--device", "cpu"
    )
    assert code == 0, err
    found = json.loads(figures.read_text())
    assert {"accuracy", "auc", "f1", "ece", "ci95", "n", "modality", "by_modality", "seed", "seconds"} <= found.keys()
    assert set(found["by_modality"]) == {"both", "image", "genes"}
    header = (tmp_path / "evaluation" / "predictions.csv").read_text().splitlines()[0]
    assert header.startswith("case,fold,label,both_")
    code, _, err = gimp("evaluate", "nowhere", *options, "--out", tmp_path / "evaluation")
    assert code == 2
    assert "exists already" in err  # said before the work: not even the checkpoint was looked for
    code, _, err = gimp("train", *options, "--out", tmp_path / "other", "--set", "no_such=1")
    assert code == 2
    assert "no setting no_such; known: " in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["info", "nowhere.svs"], "found nothing at nowhere.svs"),
        (["embed", "nowhere.svs", "--encoder", "colour-texture", "--out", "x"], "nowhere.svs"),
        (["embed", "nowhere.svs", "--encoder", "magic", "--out", "x"], "found 'magic'"),
        (
            ["predict", "a.svs", "b.svs", "--checkpoint", "c", "--bag", "b.h5", "--out", "x"],
            "--bag belongs to one slide",
        ),
        (
            ["predict", "a.svs", "b.svs", "--checkpoint", "c", "--tissue", "t.geojson", "--out", "x"],
            "--tissue belongs to one slide",
        ),
        (
            ["embed", "a.svs", "b.svs", "--encoder", "colour-texture", "--tissue", "t.geojson", "--out", "x"],
            "--tissue belongs to one slide",
        ),
        (["predict", "a.svs", "--checkpoint", "nowhere", "--out", "x"], "nowhere"),
    ],
)
def test_bad_arguments_end_with_two_and_one_line(gimp, tmp_path, monkeypatch, arguments, words) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = gimp(*arguments)
    assert code == 2
    assert words in err
    assert err.count("\n") == 1
    assert not out
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("arguments", [["embed"], ["fly"], ["embed", "a.svs", "--encoder"]])
def test_wrong_usage_ends_with_two(gimp, arguments) -> None:
    code, _, err = gimp(*arguments)
    assert code == 2
    assert err


def test_interrupted_ends_with_130(gimp, monkeypatch, tiny) -> None:
    def interrupt(_: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("napari_gimp.describe.describe_path", interrupt)
    code, _, err = gimp("info", tiny.slide)
    assert code == 130
    assert "interrupted" in err


def test_the_window_without_a_display_or_a_file_is_one_sentence(gimp, monkeypatch, tiny) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    code, _, err = gimp("view", tiny.slide)
    assert code == 2
    assert "needs a display" in err
    code, _, err = gimp("view", "nowhere.svs")
    assert code == 2
    assert "nowhere.svs" in err


def test_the_window_without_napari_is_one_sentence(gimp, monkeypatch, tiny) -> None:
    monkeypatch.setitem(sys.modules, "napari_gimp.plugin.launch", None)
    code, _, err = gimp("view", tiny.slide)
    assert code == 2
    assert "pip install 'napari-gimp[all]'" in err
