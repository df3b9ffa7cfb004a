"""The page's rows on cohorts and trainings through the command line: sentence, exit code, nothing half-written."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from bad_input_cohorts import COHORT_ROWS, Args, Stand, stops_after
from bad_input_page import Promise, promises
from made_cohort import write_cohort
from test_bad_input import EXIT_CODES, Outcome, files_below, run

from napari_gimp.settings import InputError
from napari_gimp.study.foldstore import claim

CODES = EXIT_CODES | {"works": 0, "stops, goes on later": 2, "interrupted, goes on later": 130}
WHOLE = ("model.safetensors", "predictions.csv")
"""What must come out as of a run that nothing stopped."""


@pytest.fixture(scope="module", name="good")
def make_good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A good cohort, and what `train`, `pretrain`, `crossval` and an interrupted `train` of it leave behind."""
    folder = tmp_path_factory.mktemp("good")
    write_cohort(folder / "cohort", 24, 0)
    with pytest.MonkeyPatch.context() as patch:
        stand = Stand(folder, folder, patch)
        assert run(stand.train(out=stand.trained)).code == 0
        assert run(stand.pretrain(out=stand.pretrained)).code == 0
        assert run(stand.crossval(out=stand.validated)).code == 0
        stops_after(patch, 2, KeyboardInterrupt())
        assert run(stand.train(out=folder / "stopped")).code == 130
    return folder


@pytest.fixture(name="stand")
def make_stand(good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stand]:
    shutil.copytree(good / "cohort", tmp_path / "cohort")
    with monkeypatch.context() as patch:
        yield Stand(tmp_path, good, patch)


def test_the_page_and_the_tests_have_the_same_rows() -> None:
    assert sorted(promises(cohorts=True)) == sorted(COHORT_ROWS)


@pytest.mark.parametrize("name", COHORT_ROWS)
def test_row(name: str, stand: Stand) -> None:
    promise = promises(cohorts=True)[name]
    args = COHORT_ROWS[name](stand)
    before = files_below(stand.folder)
    outcome = run(args)
    assert outcome.code == CODES[promise.happens], outcome.err
    assert "Traceback" not in outcome.err
    check_reason(promise, outcome)
    after = files_below(stand.folder)
    assert not [path for path in after if path.name.startswith(".") or path.suffix in {".part", ".tmp", ".old"}]
    assert not before.keys() - after.keys()
    fresh = {path.relative_to(stand.folder) for path in after if after[path] != before.get(path)}
    if promise.happens == "refused":
        assert fresh <= {Path("out/run.json")}  # says whose the folder is, of a cross-validation without a fold
    elif promise.happens.startswith("works"):
        assert fresh
    else:
        check_goes_on(args, stand, fresh)


def check_reason(promise: Promise, outcome: Outcome) -> None:
    """The sentence is the one line of reason, at the end; where the work is done it stands among the notes."""
    lines = outcome.err.splitlines()
    reasons = [line for line in lines if line.startswith("napari-gimp:")]
    if CODES[promise.happens]:
        assert reasons == lines[-1:]
        assert promise.sentence.fullmatch(reasons[0].removeprefix("napari-gimp: ")), reasons[0]
    else:
        assert not reasons
        assert promise.happens == "works" or any(promise.sentence.fullmatch(line) for line in lines), outcome.err


def check_goes_on(args: Args, stand: Stand, fresh: set[Path]) -> None:
    """Nothing that looks finished is there; once the cause is gone, --resume ends as an untroubled run did."""
    assert fresh
    assert all("running" in path.parts[0] or path.parts[1] in ("run.json", "folds") for path in fresh)
    stand.monkeypatch.undo()
    shutil.copytree(stand.good / "cohort", stand.cohort, dirs_exist_ok=True)
    outcome = run([*args, "--resume"])
    assert outcome.code == 0, outcome.err
    whole = stand.good / {"train": "trained", "pretrain": "pretrained", "crossval": "validated"}[str(args[0])]
    found = [name for name in WHOLE if (whole / name).exists()]
    assert found
    for name in found:
        assert (stand.out / name).read_bytes() == (whole / name).read_bytes()


def test_a_run_that_ended_before_its_first_fold_does_not_keep_the_folder(tmp_path: Path) -> None:
    claim(tmp_path, {"settings": "a"}, {}, resume=False, overwrite=False)
    (tmp_path / "folds" / "1" / "model").mkdir(parents=True)
    claim(tmp_path, {"settings": "b"}, {}, resume=False, overwrite=False)
    (tmp_path / "folds" / "1" / "model").mkdir(parents=True)
    (tmp_path / "folds" / "1" / "model" / "member_0.safetensors").write_bytes(b"state")
    with pytest.raises(InputError, match="its settings differ"):
        claim(tmp_path, {"settings": "c"}, {}, resume=False, overwrite=False)
