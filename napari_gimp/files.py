"""Files and folders that appear whole or not at all: written beside, brought to the disk, renamed."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from glob import escape
from io import FileIO
from pathlib import Path
from typing import Any

from napari_gimp.settings import InputError


@contextmanager
def appearing(path: Path) -> Iterator[Path]:
    """A path beside ``path`` to write a file or a folder to; on success it takes the place of what was there.

    A reader sees the old, the new or nothing, even if the process is killed at any moment. What a killed process left
    beside goes with the next write, and an old folder that it had moved aside comes back.

    Raises
    ------
    InputError
        It cannot be written: no permission, a full disk. Nothing new is left then, and the old stands as before.
    """
    beside, old = _beside(path, "writing"), _beside(path, "old")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _clear_left_behind(path)
        yield beside
        _to_disk(beside)
        _swap(beside, path, old)
        _sync_folder(path.parent)
    except OSError as error:
        raise InputError(
            f"{path}: expected to write there, found: {error.strerror or error};"
            " free some space or choose another folder."
        ) from error
    finally:
        with suppress(OSError):
            remove(beside)


def write_whole(path: Path, fill: Callable[[Path], object]) -> None:
    """Let ``fill`` write the file at the path that it is given; see `appearing`."""
    with appearing(path) as beside:
        fill(beside)


def write_text_whole(path: Path, text: str) -> None:
    """Write a text file in UTF-8; see `appearing`."""
    write_whole(path, lambda beside: beside.write_text(text, encoding="utf-8"))


def is_first_process() -> bool:
    """Whether this process writes and speaks: of several that ``torchrun`` started one does, a single one always."""
    return "TORCHELASTIC_RUN_ID" not in os.environ or os.environ.get("RANK", "0") == "0"


def is_same_file(one: Path, other: Path) -> bool:
    """Whether two paths are of one file; of files that are gone, whether the paths are the same."""
    try:
        return one.samefile(other)
    except OSError:
        return one.absolute() == other.absolute()


def remove(path: Path) -> None:
    """Delete a file or a folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _beside(path: Path, end: str) -> Path:
    return path.with_name(f".{path.name}.{platform.node()}-{os.getpid()}.{end}")


def _swap(new: Path, path: Path, old: Path) -> None:
    if not path.is_dir() and not new.is_dir():
        os.replace(new, path)
        return
    if not path.exists():
        new.rename(path)
        return
    path.rename(old)
    try:
        new.rename(path)
    except OSError:
        old.rename(path)
        raise
    remove(old)


def _clear_left_behind(path: Path) -> None:
    """Mend what processes of this machine that are no more left beside."""
    for left in path.parent.glob(f".{escape(path.name)}.{escape(platform.node())}-*.*"):
        name, _, end = left.name.rpartition(".")
        process = name.rpartition("-")[2]
        if end not in ("writing", "old") or not process.isdecimal() or is_alive(int(process)):
            continue
        if end == "old" and not path.exists():
            left.rename(path)
        else:
            remove(left)


def is_alive(process: int) -> bool:
    """Whether a process of this machine lives; where that cannot be asked without harm (Windows), it does."""
    if os.name != "posix":
        return True  # signal 0 would end a process of Windows
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _to_disk(path: Path) -> None:
    if path.is_file():
        with open(path, "r+b") as written:
            os.fsync(written.fileno())


def _sync_folder(folder: Path) -> None:
    with suppress(OSError):  # Windows opens no folder; its rename is durable by itself
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


class Sink(FileIO):
    """A file that keeps its first write error for later: HDF5 cannot be closed any more once a write has failed."""

    error: OSError | None = None

    def write(self, data: Any) -> int:
        left = memoryview(data).cast("B")
        while len(left) and self.error is None:
            try:
                left = left[super().write(left) :]
            except OSError as error:
                self.error = error
        return len(memoryview(data).cast("B"))

    def truncate(self, size: int | None = None) -> int:
        return super().truncate(size) if self.error is None else size or 0

    def readinto(self, buffer: Any) -> int:
        if self.error is not None:
            memoryview(buffer).cast("B")[:] = bytes(len(memoryview(buffer).cast("B")))
        return super().readinto(buffer)

    def check(self) -> None:
        """Raise the error that was kept."""
        if self.error is not None:
            raise self.error
