"""Joins the inspector's face with the desk: numbers at once, pixels and the model's answers from workers."""

from __future__ import annotations

from functools import partial
from typing import Any

import napari.viewer
from qtpy.QtGui import QImage
from qtpy.QtWidgets import QSizePolicy, QVBoxLayout

from napari_gimp import words
from napari_gimp.plugin.desk import Dock
from napari_gimp.plugin.docks.inspector import CHOSEN, CURSOR, InspectorFace
from napari_gimp.plugin.genes.asking import asking_of
from napari_gimp.plugin.layers import patch_place
from napari_gimp.plugin.maps import PatchMap
from napari_gimp.plugin.newest import Newest, ends_with
from napari_gimp.plugin.patches.expected import Expected, expect
from napari_gimp.plugin.patches.patchfacts import PatchFacts, expectation_words
from napari_gimp.plugin.patches.patchindex import PatchIndex
from napari_gimp.plugin.patches.patchpixels import NativePatch, SlideHandle, read_native
from napari_gimp.plugin.patches.pictures import qimage
from napari_gimp.plugin.patches.places import show_places
from napari_gimp.plugin.patches.pointer import point_at_patches
from napari_gimp.plugin.slide.eye import Eye
from napari_gimp.types import Prediction

NO_RESULT = "Run GiMP on a slide first: then the numbers of the patch under the cursor stand here."
HOW = "Move over the slide for numbers; click a patch for its pixels."
CHOOSE = "Click a patch on the slide."
READING, ASKING = "Reading …", "Asking the model …"
NOT_REBUILT = "This checkpoint does not rebuild masked patches: nothing can be said of what it expects."
SURPRISING = 12


class Inspector(Dock):
    """What is known of the patch under the cursor and of the chosen one."""

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__(viewer)
        self.face = InspectorFace()
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.face)
        self.handle = SlideHandle()
        self._pixels, self._answers = Newest(), Newest()
        self._facts: PatchFacts | None = None
        self._in_sight: PatchMap | None = None
        self._hovered: int | None = None
        self._chosen: int | None = None
        self._corner: tuple[int, int] | None = None
        self._surprising: list[int] = []
        self._read_last: NativePatch | None = None
        self._connect()
        self._result_changed()

    def _connect(self) -> None:
        desk, face = self.desk, self.face
        point_at_patches(desk)
        show_places(desk)
        self.hear(desk.patch_hovered, self._hover)
        self.hear(desk.patch_chosen, self._choose)
        self.hear(desk.map_shown, self._map_shown)
        self.hear(desk.session.result_changed, self._result_changed)
        self.hear(desk.session.changed, self._slide_changed)
        self.hear(desk.viewer.scene.camera.events.orientation, self._turned)
        self.hear(desk.viewer.dims.events.order, self._turned)
        face.neighbours_wanted.connect(lambda _: self._read())
        face.expected_wanted.connect(lambda _: self._expect())
        self.hear(asking_of(desk).changed, self._asking_failed)
        face.surprising_chosen.connect(self._go_to)
        ends_with(self, self._pixels.end, self._answers.end, self.handle.end)

    def _slide_changed(self) -> None:
        """Another slide, or none, is chosen: its file is let go of."""
        result = self.desk.result
        if result is None or self.handle.identity not in (None, result.slide.identity):
            self.handle.release()
        if result is not (None if self._facts is None else self._facts.prediction):
            self._result_changed()

    def _result_changed(self) -> None:
        """Numbers of another result; the chosen patch stays where it is one of it."""
        result, origin = self.desk.result, self.desk.session.origin
        self._in_sight, self._hovered, chosen = None, None, None
        if result is None:
            self._facts = self._corner = None
        else:
            self._facts = PatchFacts(result, 1 if origin is None else origin.choices.members)
            chosen = None if self._corner is None else PatchIndex(result.grid).of_corner(self._corner)
        asked = "" if result is None else str(result.provenance.get("what_if_label", ""))
        self.face.notice.setText(NO_RESULT if result is None else f"{asked} {HOW}".strip())
        self._show_surprising()
        self._chosen = chosen
        self._show_lines()
        self._choose(chosen)

    def _map_shown(self, shown: PatchMap | None) -> None:
        """The map in sight has a line of its own."""
        self._in_sight = shown
        self._show_lines()

    def _show_lines(self) -> None:
        """One line for each number, named by those of any patch."""
        there = self._facts is not None and len(self._facts.prediction.grid) > 0
        facts = self._facts.of(0, self._in_sight) if there and self._facts is not None else ()
        self.face.set_lines([fact.heading for fact in facts])
        self._numbers(CURSOR, self._hovered)
        self._numbers(CHOSEN, self._chosen)

    def _numbers(self, column: int, patch: int | None) -> None:
        known = self._facts if self._facts is not None and self._facts.prediction is self.desk.result else None
        facts = () if known is None or patch is None else known.of(patch, self._in_sight)
        self.face.set_numbers(column, [fact.cell for fact in facts])

    def _hover(self, patch: int | None) -> None:
        self._hovered = patch
        self._numbers(CURSOR, patch)

    def _choose(self, patch: int | None) -> None:
        """Numbers of a patch now, its pixels soon."""
        result = self.desk.result
        self._chosen = patch if result is not None else None
        if result is not None and patch is not None:
            self._corner = (int(result.grid.coords_yx[patch, 0]), int(result.grid.coords_yx[patch, 1]))
        self._numbers(CHOSEN, self._chosen)
        self._read()
        self._expect()

    def _read(self) -> None:
        """Read the chosen patch beside the window; what was asked for before is given up."""
        result, path, patch = self.desk.result, self.desk.session.choices.path, self._chosen
        if result is None or path is None or patch is None:
            self._pixels.drop()
            self.face.picture.set_words(CHOOSE)
            self.face.caption.setText("")
            return
        asked = (self.handle, path, result.slide.identity, result.grid, patch, self.face.neighbours.isChecked())
        self._pixels.ask(
            lambda number: self.desk.jobs.start(
                read_native,
                *asked,
                returned=self._pixels.then(number, self._show_pixels),
                errored=self._pixels.then(number, self._pixels_failed),
            )
        )

    def _show_pixels(self, read: NativePatch) -> None:
        self._read_last = read
        self.face.picture.set_picture(self._as_it_stands(read), read.width_um, read.patches)
        self.face.caption.setText(read.words)

    def _as_it_stands(self, read: NativePatch) -> QImage:
        """The pixels turned and mirrored as the slide is on the screen."""
        return qimage(Eye(self.desk.viewer).stands.picture(read.pixels))

    def _turned(self, _: object = None) -> None:
        if self._read_last is not None and self.face.picture.image is not None:
            self._show_pixels(self._read_last)

    def _pixels_failed(self, error: Exception) -> None:
        self.face.picture.set_words(words.error_words(error))
        self.face.caption.setText("")

    def _expect(self) -> None:
        """Ask the model beside the window, where the user wants to know."""
        self._answers.drop()
        asking, result, patch = asking_of(self.desk), self.desk.result, self._chosen
        if result is None or patch is None:
            self.face.expected.set_waiting(CHOOSE)
            return
        why_not = asking.why_not or (NOT_REBUILT if result.reconstruction_error is None else "")
        self.face.expected.set_waiting(why_not or ASKING)
        if not why_not and self.face.asks_expected:
            asking.when_ready(partial(self._ask, result, patch))

    def _ask(self, result: Prediction, patch: int, questions: Any) -> None:
        """The model is there: ask it, if this is still the patch to ask for."""
        origin = self.desk.session.origin
        if self._answers.ended or self.desk.result is not result or self._chosen != patch or origin is None:
            return
        self._answers.ask(
            lambda number: self.desk.jobs.start(
                expect,
                *(questions, origin, self.handle, result.grid, patch),
                returned=self._answers.then(number, self._show_expected),
                errored=self._answers.then(number, self._expectation_failed),
            )
        )

    def _asking_failed(self) -> None:
        error = asking_of(self.desk).error
        if error is not None and self.face.asks_expected:
            self._expectation_failed(error)

    def _show_expected(self, found: Expected) -> None:
        face = self.face.expected
        face.set_here(self._as_it_stands(found.here), found.here.width_um)
        said = "" if self._facts is None else expectation_words(self._facts, found.patch, found.nearest)
        face.set_nearest(self._as_it_stands(found.there), found.there.width_um, said)

    def _expectation_failed(self, error: Exception) -> None:
        self.face.expected.set_waiting(words.error_words(error))

    def _show_surprising(self) -> None:
        found = [] if self._facts is None else self._facts.most_surprising(SURPRISING)
        self._surprising = [patch for patch, _ in found]
        unit = found[0][1].unit if found else ""
        self.face.set_surprising(unit, [(fact.value, fact.percentile) for _, fact in found])

    def _go_to(self, row: int) -> None:
        """Look at one of the most surprising patches, and choose it."""
        result: Any = self.desk.result
        if result is not None and row < len(self._surprising):
            self.desk.canvas.go_to(*patch_place(result, self._surprising[row]))
            self.desk.patch_chosen.emit(self._surprising[row])
