"""Every ``napari-gimp`` command of the README runs, as written, in a folder of generated files of those names."""

import re
import shlex
import shutil
from pathlib import Path

import pandas as pd
import pytest

from napari_gimp import cli
from napari_gimp.genes import read_expression
from napari_gimp.synthetic import synthetic_cohort

README = Path(__file__).resolve().parents[1] / "README.md"
COMMANDS = list(dict.fromkeys(re.findall(r"^\S*napari-gimp ([^#\n]+?)\s*(?:#.*)?$", README.read_text("utf-8"), re.M)))


def test_the_readme_shows_every_command() -> None:
    shown = {command.split()[0] for command in COMMANDS}
    assert shown == {"demo", "info", "embed", "predict", "view", "train", "evaluate"}


@pytest.fixture(scope="module")
def folder(tiny, tmp_path_factory) -> Path:
    """slide.tif, profile.tsv, checkpoint/, slides/, cohort.csv, test.csv, expression.csv; bags/ and model/ come."""
    folder = tmp_path_factory.mktemp("readme")
    work = synthetic_cohort(folder / "cohort", 8, seed=7, shape_yx=(896, 896), artefacts=False)
    for _ in work:
        pass
    shutil.copytree(folder / "cohort" / "slides", folder / "slides")
    shutil.copy(folder / "cohort" / "cohort.csv", folder / "cohort.csv")
    shutil.copy(folder / "cohort.csv", folder / "test.csv")
    table = read_expression(folder / "cohort" / "expression")
    pd.DataFrame(table.values, table.samples, table.genes).to_csv(folder / "expression.csv", index_label="case_id")
    shutil.copy(tiny.slide, folder / "slide.tif")
    shutil.copy(tiny.profile, folder / "profile.tsv")
    shutil.copytree(tiny.checkpoint, folder / "checkpoint")
    return folder


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
