"""Files dropped on the canvas: slides are opened without a question, gene profiles, checkpoints and embeddings go to
the panel, the rest to napari."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from napari.qt import QtViewer
from qtpy.QtCore import QEvent, QObject
from qtpy.QtWidgets import QWidget

from napari_gimp.plugin.reader import SUFFIXES

EXPRESSION = (".tsv", ".csv", ".txt", ".tsv.gz", ".csv.gz", ".txt.gz", ".h5ad")
EMBEDDINGS = (".h5", ".hdf5")


def meant_for(path: Path) -> str:
    """What a dropped path is by its name: checkpoint, profile, embeddings, slide; empty for what napari reads."""
    name = path.name.lower()
    if path.is_dir():
        return "checkpoint" if (path / "checkpoint.json").is_file() else ""
    if name.endswith(EMBEDDINGS):
        return "embeddings"
    if name.endswith(SUFFIXES):
        return "slide"
    return "profile" if name.endswith(EXPRESSION) else ""


class Drops(QObject):
    """Watches a window's canvas; takes a drop when every path of it has a taker, else leaves all of it to napari.

    Parameters
    ----------
    takers
        What a path is meant for -> what to do with it.
    """

    def __init__(self, parent: QWidget, takers: dict[str, Callable[[Path], object]]) -> None:
        super().__init__(parent)
        self._takers = takers
        self._canvas: QWidget | None = None

    def watch(self, window: QWidget) -> None:
        """Watch this window's canvas from now on."""
        canvas = window.findChild(QtViewer)
        if canvas is not None and canvas is not self._canvas:
            self._canvas = canvas
            canvas.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() != QEvent.Type.Drop:
            return False
        paths = [Path(url.toLocalFile()) for url in event.mimeData().urls() if url.isLocalFile()]
        meant = [meant_for(path) for path in paths]
        if not paths or not all(kind in self._takers for kind in meant):
            return False
        for kind, path in zip(meant, paths, strict=True):
            self._takers[kind](path)
        event.acceptProposedAction()
        return True
