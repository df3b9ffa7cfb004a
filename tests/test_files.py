"""Files and folders appear whole or not at all, also when a process dies in between."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from napari_gimp.files import appearing, write_whole
from napari_gimp.settings import InputError


def dead_process() -> int:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "result.csv"
    target.write_text("old")

    def fill(beside: Path) -> None:
        beside.write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(InputError, match="No space left on device"):
        write_whole(target, fill)
    assert [path.name for path in tmp_path.iterdir()] == ["result.csv"]
    assert target.read_text() == "old"


def test_a_folder_that_a_killed_process_moved_aside_comes_back(tmp_path: Path) -> None:
    target, process = tmp_path / "maps.zarr", dead_process()
    for end in ("old", "writing"):
        left = tmp_path / f".maps.zarr.{platform.node()}-{process}.{end}"
        left.mkdir()
        (left / end).touch()
    with pytest.raises(InputError), appearing(target):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["maps.zarr"]
    assert (target / "old").exists()


def test_what_a_living_process_writes_is_left_alone(tmp_path: Path) -> None:
    theirs = tmp_path / f".a.txt.{platform.node()}-{os.getppid()}.writing"
    theirs.write_text("theirs")
    write_whole(tmp_path / "a.txt", lambda beside: beside.touch())
    assert theirs.read_text() == "theirs"
    assert (tmp_path / "a.txt").exists()
