"""Files and folders that appear whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from napari_gimp.settings import InputError


@contextmanager
def appearing(path: Path) -> Iterator[Path]:
    """A path beside ``path`` to write a file or folder to; on success it takes the place of what was there.

    What was there is moved aside first and deleted last, so that at no moment both are gone. After an error nothing
    new is left and the old stands as before.

    Raises
    ------
    InputError
        It cannot be written: no permission, a full disk.
    """
    part, old = (path.with_name(f".{path.name}.{os.getpid()}.{end}") for end in ("part", "old"))
    remove(part)
    try:
        yield part
        _swap(part, path, old)
    except OSError as error:
        raise InputError(
            f"{path.name}: expected to write it, found: {error.strerror or error};"
            " free some space or choose another folder."
        ) from error
    finally:
        remove(part)


def remove(path: Path) -> None:
    """Delete a file or a folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _swap(new: Path, path: Path, old: Path) -> None:
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
