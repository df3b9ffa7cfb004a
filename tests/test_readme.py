"""Every ``napari-gimp`` command of the README runs, as written, in a folder of generated files of those names."""

import re
import shlex
import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from napari_gimp import cli
from napari_gimp.genes import read_expression
from napari_gimp.gimp import presets
from napari_gimp.synthetic import synthetic_cohort

README = Path(__file__).resolve().parents[1] / "README.md"
COMMANDS = list(dict.fromkeys(re.findall(r"^\S*napari-gimp ([^#\n]+?)\s*(?:#.*)?$", README.read_text("utf-8"), re.M)))


def test_the_readme_shows_every_command() -> None:
    shown = {command.split()[0] for command in COMMANDS}
    on_slides, on_cohorts = {"demo", "info", "embed", "predict", "view"}, {"pretrain", "train", "evaluate"}
    assert shown == on_slides | on_cohorts | {"crossval", "ablate", "faithfulness"}


@pytest.fixture(scope="module")
def folder(tiny, tmp_path_factory) -> Path:
    """slide.tif, profile.tsv, checkpoint/, slides/, expression.csv, tables of cases; others come from the commands."""
    folder = tmp_path_factory.mktemp("readme")
    work = synthetic_cohort(folder / "cohort", 12, seed=7, shape_yx=(896, 896), artefacts=False)
    for _ in work:
        pass
    shutil.copytree(folder / "cohort" / "slides", folder / "slides")
    shutil.copy(folder / "cohort" / "cohort.csv", folder / "cohort.csv")
    shutil.copy(folder / "cohort.csv", folder / "test.csv")
    others = pd.read_csv(folder / "cohort.csv", dtype=str)
    others.assign(case_id="other-" + others["case_id"]).to_csv(folder / "other-cancers.csv", index=False)
    table = read_expression(folder / "cohort" / "expression")
    pd.DataFrame(table.values, table.samples, table.genes).to_csv(folder / "expression.csv", index_label="case_id")
    shutil.copy(tiny.slide, folder / "slide.tif")
    shutil.copy(tiny.profile, folder / "profile.tsv")
    shutil.copytree(tiny.checkpoint, folder / "checkpoint")
    return folder


@pytest.fixture
def short_presets(monkeypatch: pytest.MonkeyPatch) -> None:
    """The presets with few epochs and members: what is held here is that the commands work."""
    small = presets.SMALL
    training = replace(small.training, members=2, epochs_genes=2, epochs_pretrain=1, epochs_decoder=1, inner_folds=2)
    pretraining = replace(small.pretraining, members=2, epochs_pretrain=1)
    short = replace(small, training=training, pretraining=pretraining)
    monkeypatch.setattr(presets, "PRESETS", {**presets.PRESETS, "small": short})


@pytest.mark.usefixtures("short_presets")
@pytest.mark.parametrize("command", [command for command in COMMANDS if not command.startswith("view")])
def test_a_command_of_the_readme_ends_well(command: str, folder: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    monkeypatch.setattr(cli.slides, "has_display", lambda: False)
    shutil.rmtree(folder / "bags", ignore_errors=True) if command.startswith("embed slide.tif") else None
    with pytest.raises(SystemExit) as end:
        cli.main(shlex.split(command))
    said = capsys.readouterr()
    assert not end.value.code, said.err
    assert said.out


@pytest.mark.window
@pytest.mark.parametrize("command", [command for command in COMMANDS if command.startswith("view")])
def test_the_window_of_the_readme_opens(command: str, folder: Path, monkeypatch, qtbot) -> None:
    import napari

    monkeypatch.chdir(folder)
    opened: list[napari.Viewer] = []
    monkeypatch.setattr(napari, "run", lambda: opened.append(napari.current_viewer()))
    with pytest.raises(SystemExit) as end:
        cli.main(shlex.split(command))
    assert not end.value.code
    (viewer,) = opened
    assert [layer.name for layer in viewer.layers] == ["slide"]
    viewer.close()
