"""Class support of the original and of a what-if, side by side in the same colours; the what-if's on the slide too."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from psygnal import Signal

from napari_gimp import words
from napari_gimp.plugin import layers, whatif, whatifwork
from napari_gimp.plugin.desk import Desk
from napari_gimp.plugin.docks.whatif import AnswerView
from napari_gimp.plugin.maps import SUPPORT
from napari_gimp.plugin.newest import Newest
from napari_gimp.plugin.palette import contrast
from napari_gimp.plugin.pictures import qimage
from napari_gimp.plugin.session import ViewSettings
from napari_gimp.plugin.whatifwork import Answered
from napari_gimp.types import Prediction, Progress

TITLE = "Support for {of} (logit), in the same colours: blue speaks for it, orange against it."
OPACITY = 0.6


class SupportComparison:
    """Computes the support of an answered what-if beside the window and shows it beside the original's.

    Attributes
    ----------
    support
        (C, n) of the what-if in sight, None while there is none.
    """

    said = Signal(str, bool)
    failed = Signal(object)

    def __init__(self, desk: Desk, view: AnswerView) -> None:
        self._desk, self._view, self._asked = desk, view, Newest()
        self.support: np.ndarray | None = None
        self._found: Answered | None = None

    def end(self) -> None:
        """Nothing is shown any more."""
        self._asked.end()

    def want(self, found: Answered | None) -> None:
        """Compare this what-if; None: none."""
        self.forget()
        if found is None:
            return
        if found.rerun is None and not found.questions.genes_move_support:
            self._view.maps.setText(whatif.GENES_ONLY_ADD)
            return
        self._found = found
        self._asked.ask(partial(self._start, found))

    def _start(self, found: Answered, number: int) -> Callable[[], None]:
        then = self._asked.then
        return self._desk.jobs.start(
            whatifwork.support,
            found,
            returned=then(number, self._take),
            errored=then(number, self.failed.emit),
            yielded=then(number, self._progress),
        )

    def _progress(self, progress: Progress) -> None:
        self.said.emit(f"{words.progress_words(progress)} …", True)

    def _take(self, support: np.ndarray | None) -> None:
        if support is None or self._found is None:
            return
        self.support = support
        self.said.emit(self._found.words, False)
        self.show()

    def show(self) -> None:
        """Both maps of the chosen class."""
        found, result, support = self._found, self._desk.result, self.support
        of = self._view.classes.currentText()
        if found is None or result is None or support is None or result.class_support is None or not of:
            return
        row, patches = result.classes.index(of), slice(None) if found.rerun is None else found.rerun.patches
        limits, before = self._limits(result, of), result.class_support[row]
        for layer in whatif.support_layers(result, found.asked, of, support[row], patches, limits, OPACITY):
            self._desk.canvas.put(layer)
        self._desk.canvas.soon(self._move_legend)
        pictures = ((before, slice(None)), (support[row], patches))
        self._view.set_pictures(*(qimage(whatif.map_picture(result, *each, limits)) for each in pictures))
        self._view.maps.setText(TITLE.format(of=of))
        self._desk.map_wanted.emit(f"{SUPPORT}/{of}")

    def _move_legend(self) -> None:
        """The colour bar of the original stands for both; the names stand in two corners."""
        for layer in self._desk.viewer.layers:
            if layer.metadata.get(layers.TAG, {}).get("role") == whatif.ROLE:
                layer.colorbar.visible = False
                layer.name_overlay.position = "top_left"

    def _limits(self, result: Prediction, of: str) -> tuple[float, float]:
        """Those of the original's map on the slide where it is in sight."""
        shown = self._desk.canvas.find(layers.tag(layers.MAP, result.slide))
        if shown is not None and shown.metadata.get("key") == f"{SUPPORT}/{of}" and shown.metadata["scale"] != "rank":
            low, high = shown.contrast_limits
            return float(low), float(high)
        assert result.class_support is not None  # it is compared with
        return contrast(result.class_support[result.classes.index(of)], ViewSettings(), signed=True)[1]

    def forget(self) -> None:
        """No map of a what-if is in sight."""
        self._asked.drop()
        self.support = self._found = None
        self._view.set_pictures(None, None)
        self._view.maps.setText("")
        if self._desk.canvas.has(_is_ours) or self._desk.canvas.waiting:
            self._desk.canvas.drop(_is_ours)


def _is_ours(tag: dict[str, object]) -> bool:
    return tag["role"] == whatif.ROLE
