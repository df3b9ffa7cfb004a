"""Files that appear whole or not at all: written beside, brought to the disk, renamed."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from contextlib import suppress
from glob import escape
from io import FileIO
from pathlib import Path
from typing import Any

from napari_gimp.settings import InputError


def write_whole(path: Path, fill: Callable[[Path], None]) -> None:
    """Let ``fill`` write a file beside ``path``, bring it to the disk, then rename it.

    A reader sees the old file, the new one or none, even if the process is killed at any moment; what a killed process
    left beside goes with the next write.

    Parameters
    ----------
    path
        The file; its folder is made.
    fill
        Writes the file at the path that it is given.

    Raises
    ------
    InputError
        The file cannot be written: no permission, a full disk.
    """
    beside = path.with_name(f".{path.name}.{platform.node()}-{os.getpid()}.writing")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _clear_left_behind(path)
        fill(beside)
        with open(beside, "r+b") as written:
            os.fsync(written.fileno())
        os.replace(beside, path)
        _sync_folder(path.parent)
    except (OSError, RuntimeError) as error:  # h5py reports a full disk as either
        raise InputError(
            f"{path}: expected to write a file there, found: {error}; free some space or choose another folder."
        ) from error
    finally:
        with suppress(OSError):
            beside.unlink()


def _clear_left_behind(path: Path) -> None:
    """Remove what processes of this machine that are no more left beside."""
    for left in path.parent.glob(f".{escape(path.name)}.{escape(platform.node())}-*.writing"):
        process = left.name.removesuffix(".writing").rpartition("-")[2]
        if process.isdecimal() and not _is_alive(int(process)):
            left.unlink(missing_ok=True)


def _is_alive(process: int) -> bool:
    if os.name != "posix":
        return True  # signal 0 would end a process of Windows
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


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
