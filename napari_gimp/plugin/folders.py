"""Dialogs for files and folders that start where the last one ended: napari's history, kept with its settings."""

from __future__ import annotations

from pathlib import Path

from napari.utils.history import get_open_history, get_save_history, update_open_history, update_save_history
from qtpy.QtWidgets import QFileDialog, QWidget


def ask_file(parent: QWidget | None, title: str, filters: str = "", start: str = "") -> str:
    """An existing file, empty when none was chosen; ``start`` is where to look first, else the last folder."""
    answer, _ = QFileDialog.getOpenFileName(parent, title, start or get_open_history()[0], filters)
    if answer:
        update_open_history(answer)
    return str(answer)


def ask_folder(parent: QWidget | None, title: str, *, to_write: bool = False) -> str:
    """An existing folder, empty when none was chosen: to read from, or to write to."""
    history = get_save_history() if to_write else get_open_history()
    answer = QFileDialog.getExistingDirectory(parent, title, history[0])
    if answer:
        (update_save_history if to_write else update_open_history)(str(Path(answer) / "inside"))
    return str(answer)


def ask_new_file(parent: QWidget | None, title: str, name: str, filters: str = "") -> str:
    """A file to write, empty when none was chosen; proposed under ``name`` in the last folder."""
    answer, _ = QFileDialog.getSaveFileName(parent, title, str(Path(get_save_history()[0]) / name), filters)
    if answer:
        update_save_history(answer)
    return str(answer)
