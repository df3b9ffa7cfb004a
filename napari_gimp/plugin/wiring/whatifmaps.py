"""Class support of the original and of a what-if, side by side in the same colours; the what-if's on the slide too."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from psygnal import Signal

from napari_gimp import words
from napari_gimp.plugin import layers
from napari_gimp.plugin.desk import Desk
from napari_gimp.plugin.docks.whatif_answer import AnswerView
from napari_gimp.plugin.genes import whatif, whatifwork
from napari_gimp.plugin.genes.whatifwork import Answered
from napari_gimp.plugin.maps import SUPPORT, PatchMap
from napari_gimp.plugin.newest import Newest
from napari_gimp.plugin.palette import contrast
from napari_gimp.plugin.patches.pictures import qimage
from napari_gimp.plugin.session import ViewSettings
from napari_gimp.types import WHAT_IF, Prediction, Progress

TITLE = "Support for {of} (logit), in the same colours: blue speaks for it, orange against it."
OPACITY = 0.6
COMPUTING = f"{WHAT_IF}being computed …"


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
        self._hid = False
        desk.map_shown.connect(self._map_shown)
        view.on_slide.toggled.connect(lambda _: self._arrange())

    def end(self) -> None:
        """Nothing is shown any more, and the slide is as it was."""
        self._clear_slide()
        self._desk.map_shown.disconnect(self._map_shown, missing_ok=True)
        self._asked.end()

    def want(self, found: Answered | None) -> None:
        """Compare this what-if; None: none."""
        self.outdate()
        if found is None:
            self.forget()
            return
        if found.rerun is None and not found.questions.genes_move_support:
            self.forget()
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
        """Both maps of the chosen class; the original's on the slide first, whose colours both have."""
        result, of = self._desk.result, self._of
        if result is None or self._found is None or self.support is None or not of:
            return
        self._desk.map_wanted.emit(f"{SUPPORT}/{of}")
        self._desk.canvas.soon(self._lay)

    @property
    def _of(self) -> str:
        return str(self._view.classes.currentText())

    def _map_shown(self, shown: PatchMap | None) -> None:
        """Another map on the slide: the same class again with other colours, or something else altogether."""
        if self.support is None or shown is None:
            return
        if shown.key == f"{SUPPORT}/{self._of}":
            self._desk.canvas.soon(self._lay)
        else:
            self._view.on_slide.setChecked(False)

    def _lay(self) -> None:
        found, result, support, of = self._found, self._desk.result, self.support, self._of
        if found is None or result is None or support is None or result.class_support is None or not of:
            return
        row, patches = result.classes.index(of), slice(None) if found.rerun is None else found.rerun.patches
        limits, before = self._limits(result, of), result.class_support[row]
        for layer in whatif.support_layers(result, found.asked, of, support[row], patches, limits, OPACITY):
            self._desk.canvas.put(layer)
        pictures = ((before, slice(None)), (support[row], patches))
        self._view.set_pictures(*(qimage(whatif.map_picture(result, *each, limits)) for each in pictures))
        self._view.maps.setText(TITLE.format(of=of))
        self._desk.canvas.soon(self._arrange)

    def _arrange(self) -> None:
        """One of the two maps is in sight: one over the other would show neither. They share a colour bar."""
        wanted = self._view.on_slide.isChecked()
        for layer in self._layers(whatif.ROLE):
            for part in (layer, layer.colorbar):
                if part.visible != wanted:  # napari draws again whatever is set
                    part.visible = wanted
        for layer in self._layers(layers.MAP) if self.support is not None else ():
            self._hid = wanted
            if layer.visible == wanted:
                layer.visible = not wanted

    def _layers(self, role: str) -> list[Any]:
        """Those of this role on the slide of the result."""
        result = self._desk.result
        named = [(layer, layer.metadata.get(layers.TAG, {})) for layer in self._desk.viewer.layers]
        return [
            layer
            for layer, tag in named
            if result is not None and tag.get("role") == role and tag["slide"] == result.slide.identity
        ]

    def _limits(self, result: Prediction, of: str) -> tuple[float, float]:
        """Those of the original's map on the slide where it is in sight."""
        shown = self._desk.canvas.find(layers.tag(layers.MAP, result.slide))
        if shown is not None and shown.metadata.get("key") == f"{SUPPORT}/{of}" and shown.metadata["scale"] != "rank":
            low, high = shown.contrast_limits
            return float(low), float(high)
        assert result.class_support is not None  # it is compared with
        return contrast(result.class_support[result.classes.index(of)], ViewSettings(), signed=True)[1]

    def outdate(self) -> None:
        """What is in sight is of an earlier question: it stays until the next map comes, and says so."""
        self._asked.drop()
        self.support = self._found = None
        self._view.set_outdated()
        for layer in self._layers(whatif.ROLE):
            layer.name = COMPUTING

    def forget(self) -> None:
        """No map of a what-if is in sight."""
        self._asked.drop()
        self.support = self._found = None
        self._view.set_pictures(None, None)
        self._view.maps.setText("")
        self._clear_slide()

    def _clear_slide(self) -> None:
        """Take the what-if's map off the slide and show the original again."""
        if self._desk.canvas.has(_is_ours) or self._desk.canvas.waiting:
            self._desk.canvas.drop(_is_ours)
            self._desk.canvas.soon(self._unhide)

    def _unhide(self) -> None:
        """The original again, where no other what-if took its place meanwhile."""
        if self.support is None and self._hid:
            self._hid = False
            for layer in self._layers(layers.MAP):
                layer.visible = True


def _is_ours(tag: dict[str, object]) -> bool:
    return tag["role"] == whatif.ROLE
