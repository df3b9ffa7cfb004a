"""Every row of docs/bad-input.md through the command line: its sentence, its exit code, and nothing half-written."""

from __future__ import annotations

import os
from contextlib import ExitStack, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import pytest
from bad_input_lab import ROWS, Desk, Lab
from bad_input_page import Promise, make_desk, make_lab, promises  # noqa: F401 fixtures

from napari_gimp.cli import main
from napari_gimp.synthetic.slide import write_pyramid

EXIT_CODES = {"refused": 2, "works, warns": 0, "the others are done": 2, "refused, goes on later": 2}


@dataclass(frozen=True)
class Outcome:
    """What a command left behind."""

    code: int
    out: str
    err: str


def run(args: list[str | Path]) -> Outcome:
    """``napari-gimp ARGS`` in this process."""
    out, err = StringIO(), StringIO()
    with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as end:
        main([str(item) for item in args])
    return Outcome(int(end.value.code or 0), out.getvalue(), err.getvalue())


def files_below(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_the_table_and_the_tests_have_the_same_rows() -> None:
    assert sorted(promises()) == sorted(ROWS)


@pytest.mark.parametrize("name", ROWS)
def test_row(name: str, lab: Lab, desk: Desk) -> None:
    promise = promises()[name]
    args = ROWS[name](lab, desk)
    before = files_below(desk.out)
    with ExitStack() as during:
        for state in desk.during:
            during.enter_context(state)
        outcome = run(args)
    assert outcome.code == EXIT_CODES[promise.happens], outcome.err
    assert "Traceback" not in outcome.err
    check_words(promise, outcome)
    after = files_below(desk.out)
    assert not [path for path in after if path.name.startswith(".") or path.suffix in {".part", ".tmp", ".old"}]
    fresh = {path for path in after if after[path] != before.get(path)}
    if promise.happens == "refused":
        assert after == before
    elif promise.happens == "refused, goes on later":
        assert {path.suffix for path in fresh} == {".npz", ".geojson"}
        assert run(args).code == 0
        assert not list(desk.out.rglob("*.npz"))
    else:
        assert fresh


def check_words(promise: Promise, outcome: Outcome) -> None:
    """The sentence stands on stderr: as the one line of reason where the input is refused."""
    lines = outcome.err.splitlines()
    reasons = [line for line in lines if line.startswith("napari-gimp: ")]
    if promise.happens.startswith("refused"):
        assert reasons == lines[-1:]
        assert promise.sentence.fullmatch(reasons[0].removeprefix("napari-gimp: ")), reasons[0]
        return
    assert not reasons
    assert any(promise.sentence.fullmatch(line) for line in lines), outcome.err


@pytest.mark.parametrize("kept", [0.00005, 0.001, 0.02, 0.2, 0.5, 0.85, 0.97, 0.999])
def test_a_slide_cut_anywhere_is_refused_or_says_what_it_lost(kept: float, lab: Lab, desk: Desk) -> None:
    path = desk.folder / "slide.tif"
    write_pyramid(path, lab.tissue, "synthetic")
    os.truncate(path, int(kept * path.stat().st_size))
    outcome = run(lab.embed(path, out=desk.out))
    assert "Traceback" not in outcome.err
    if outcome.code == 2:
        assert [line[:12] for line in outcome.err.splitlines()].count("napari-gimp:") == 1
        assert not files_below(desk.out)
        return
    assert outcome.code == 0
    assert "could not be read" in outcome.err or kept > 0.7  # only levels that are made again from the finest


def test_a_batch_tells_each_slide_its_fate(lab: Lab, desk: Desk) -> None:
    good = desk.folder / "good.tif"
    write_pyramid(good, lab.tissue[:512, :512], "synthetic")
    outcome = run(lab.embed(desk.folder / "none.svs", good, out=desk.out))
    assert outcome.code == 2
    table = outcome.out.splitlines()
    assert table[0].startswith("none.svs  failed: Expected a slide")
    assert table[1].startswith("good.tif  4 patches")
    assert (desk.out / "good.h5").exists()
