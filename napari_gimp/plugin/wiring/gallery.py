"""Joins the gallery's face with the desk: patches picked and read in a worker, marks kept on the desk."""

from __future__ import annotations

from pathlib import Path

import napari.viewer
from qtpy.QtWidgets import QSizePolicy, QVBoxLayout

from napari_gimp.plugin.desk import Dock
from napari_gimp.plugin.docks.gallery import GalleryFace
from napari_gimp.plugin.layers import patch_place
from napari_gimp.plugin.newest import Newest, ends_with
from napari_gimp.plugin.patches.gallerywork import Hung, hang, write_picks
from napari_gimp.plugin.patches.marks import colour_of, marked, relabelled
from napari_gimp.plugin.patches.patchindex import PatchIndex
from napari_gimp.plugin.patches.patchpixels import SlideHandle
from napari_gimp.plugin.patches.picks import Ranking, rankings
from napari_gimp.plugin.patches.pictures import qimage
from napari_gimp.plugin.patches.places import show_places
from napari_gimp.plugin.patches.pointer import point_at_patches
from napari_gimp.settings import InputError

NO_RESULT = "Run GiMP on a slide first: then its first patches by any map hang here."
PARTIAL = "The result is still partial: press Pick again to see the first patches so far."
PICKING = "Picking patches …"


class Gallery(Dock):
    """The first patches by any map: look at them side by side, go there, mark them, write them as a picture."""

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__(viewer)
        self.face = GalleryFace()
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.face)
        self.handle = SlideHandle()
        self._picking = Newest()
        self._rankings: tuple[Ranking, ...] = ()
        self._hung: Hung | None = None
        self._shown: list[tuple[str, str]] = []
        self._connect()
        self._show_labels()
        self._result_changed()

    def _connect(self) -> None:
        desk, face = self.desk, self.face
        point_at_patches(desk)
        show_places(desk)
        self.hear(desk.session.result_changed, self._result_changed)
        self.hear(desk.session.changed, self._slide_changed)
        self.hear(desk.marks_changed, self._marks_changed)
        self.hear(desk.patch_chosen, self._chosen_elsewhere)
        face.ranking_chosen.connect(lambda _: self._pick())
        face.settings_changed.connect(self._pick)
        face.again.connect(self._pick)
        face.picked.connect(self._go_to)
        face.marked.connect(self._mark)
        face.label_renamed.connect(self._rename)
        face.export_to.connect(lambda name: self._export(Path(name)))
        ends_with(self, self._picking.end, self.handle.end)

    @property
    def _identity(self) -> str | None:
        """Of the slide whose patches hang here."""
        return None if self._hung is None else self._hung.picks.prediction.slide.identity

    def _slide_changed(self) -> None:
        """Another slide, or none, is chosen: its file is let go of, its patches are taken down."""
        result = self.desk.result
        if result is None or self.handle.identity not in (None, result.slide.identity):
            self.handle.release()
        if self._identity != (None if result is None else result.slide.identity):
            self._result_changed()

    def _result_changed(self) -> None:
        """A whole result is picked from at once; a partial one when it is asked for."""
        result = self.desk.result
        if result is None:
            self._rankings = ()
            self._take_down(NO_RESULT)
        else:
            self._rankings = rankings(result, self._members)
        self.face.set_rankings([ranking.title for ranking in self._rankings])
        if result is not None and result.partial >= 1:
            if self._hung is None or self._hung.picks.prediction is not result:
                self._pick()
        elif result is not None and (self._hung is None or self._identity != result.slide.identity):
            self._take_down(PARTIAL)

    @property
    def _members(self) -> int:
        origin = self.desk.session.origin
        return 1 if origin is None else origin.choices.members

    def _take_down(self, why: str) -> None:
        self._picking.drop()
        self._hung = None
        self.face.set_items([], [])
        self.face.title.setText(why)

    def _pick(self) -> None:
        """Pick and read beside the window; what was asked for before is given up."""
        result, path, row = self.desk.result, self.desk.session.choices.path, self.face.ranking.currentIndex()
        if result is None or path is None or not 0 <= row < len(self._rankings):
            return
        try:
            settings = self.face.settings.value()
        except InputError as error:
            self.desk.fail(error)
            return
        self.face.title.setText(PICKING)
        asked = (self.handle, path, result, self._rankings[row], settings, self._members)
        self._picking.ask(
            lambda number: self.desk.jobs.start(
                hang,
                *asked,
                returned=self._picking.then(number, self._hang),
                errored=self._picking.then(number, self._failed),
            )
        )

    def _hang(self, hung: Hung) -> None:
        self._hung, self._shown = hung, []
        self.face.title.setText(hung.picks.title)
        self.face.set_items(hung.words, hung.tips)
        self._show_thumbnails()

    def _failed(self, error: Exception) -> None:
        self._take_down("The patches could not be read.")
        self.desk.fail(error)

    def _show_thumbnails(self) -> None:
        """Pictures and labels of the patches whose label is another than it was shown."""
        if self._hung is None:
            return
        labels = self._hung.labels(self.desk.marks.get(self._identity or "", []))
        now = [(label, colour_of(label, self.desk.labels)) for label in labels]
        for row, (patch, shown) in enumerate(zip(self._hung.picks.patches, now, strict=True)):
            if row >= len(self._shown) or self._shown[row] != shown:
                pixels = self._hung.pixels.get(patch)
                self.face.set_thumbnail(row, None if pixels is None else qimage(pixels), *shown)
        self._shown = now

    def _show_labels(self) -> None:
        labels = self.desk.labels
        self.face.labels.set_labels(labels, [colour_of(label, labels) for label in labels])

    def _marks_changed(self, identity: str) -> None:
        self._show_labels()
        if identity == self._identity:
            self._show_thumbnails()

    def _now(self, row: int) -> int | None:
        """A hung patch in the desk's result as it is now, which may be a later one."""
        result, hung = self.desk.result, self._hung
        if result is None or hung is None or row >= len(hung.picks.patches):
            return None
        patch, grid = hung.picks.patches[row], hung.picks.prediction.grid
        if grid is result.grid:
            return patch
        return PatchIndex(result.grid).of_corner((int(grid.coords_yx[patch, 0]), int(grid.coords_yx[patch, 1])))

    def _go_to(self, row: int) -> None:
        """Look at a patch and choose it."""
        patch, result = self._now(row), self.desk.result
        if patch is not None and result is not None:
            self.desk.canvas.go_to(*patch_place(result, patch))
            self.desk.patch_chosen.emit(patch)

    def _chosen_elsewhere(self, patch: int | None) -> None:
        hung, result = self._hung, self.desk.result
        if hung is not None and result is not None and hung.picks.prediction.grid is result.grid:
            self.face.highlight(hung.picks.patches.index(patch) if patch in hung.picks.patches else None)

    def _mark(self, rows: list[int], number: int) -> None:
        """Mark the selected patches with a label, or take theirs away."""
        hung, identity = self._hung, self._identity
        if hung is None or identity is None:
            return
        patches = [hung.picks.patches[row] for row in rows]
        label = self.desk.labels[number - 1] if number else ""
        before = self.desk.marks.get(identity, [])
        self.desk.marks[identity] = marked(before, hung.picks.prediction.grid, patches, label)
        self.desk.marks_changed.emit(identity)

    def _rename(self, number: int, name: str) -> None:
        """Another name for a label: its marks follow, on every slide."""
        old, self.desk.labels[number] = self.desk.labels[number], name
        for identity, marks in list(self.desk.marks.items()):
            self.desk.marks[identity] = relabelled(marks, old, name)
            self.desk.marks_changed.emit(identity)
        self._show_labels()

    def _export(self, path: Path) -> None:
        """Write what hangs here as a picture, beside the window."""
        if self._hung is None:
            return
        marks = self.desk.marks.get(self._identity or "", [])
        self.desk.jobs.start(
            write_picks,
            path,
            self._hung,
            list(marks),
            list(self.desk.labels),
            self.face.named.isChecked(),
            returned=lambda written: self.desk.say(f"Written to {written}."),
            errored=self.desk.fail,
        )
