"""Joins the regions' face with the layers that the user draws in, and with the result."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import napari.viewer
import numpy as np
from napari.layers import Shapes
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QVBoxLayout

from napari_gimp.plugin.desk import Dock
from napari_gimp.plugin.docks.regions import RegionsFace
from napari_gimp.plugin.docks.regiontable import Line
from napari_gimp.plugin.errands import Errands
from napari_gimp.plugin.newest import ends_with
from napari_gimp.plugin.regions.annotations import shapes_layer, slide_to_world
from napari_gimp.plugin.regions.regionclasses import PALETTE
from napari_gimp.plugin.regions.regionfiles import Imported, export_regions, import_regions
from napari_gimp.plugin.regions.regionkeeper import keeper_of
from napari_gimp.plugin.regions.regionrows import Outline, RegionMemory, Row, cells, columns, sentence, summary
from napari_gimp.plugin.regions.regionshapes import draw_lines, outlines
from napari_gimp.plugin.wiring.regionclasses import ClassEdits
from napari_gimp.settings import InputError
from napari_gimp.types import Prediction, SlideFacts

EVERY_MS = 80
"""The table follows the mouse this often."""
AT_ONCE_MS = 12
"""What is expected to take longer is computed in a worker."""
CLOSE = 1.5
"""A region that is gone to fills half of the window: this times the third that `Canvas.go_to` gives to a width."""


class Regions(Dock):
    """Areas that the user draws on the chosen slide, in numbers that follow the mouse."""

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__(viewer)
        self.face, self.keeper, self.memory = RegionsFace(PALETTE), keeper_of(self.desk), RegionMemory()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.face)
        self.classes = ClassEdits(self.face, self.keeper, lambda sentence: self._say([sentence]))
        self.errands, self.files = Errands(self.desk), Errands(self.desk)
        self.rows: list[Row] = []
        self._places: list[tuple[Shapes, int]] = []
        self._late = False
        self._timer = QTimer(self, singleShot=True, interval=EVERY_MS)
        self._timer.timeout.connect(self.refresh)
        self._connect()
        self.refresh()

    def _connect(self) -> None:
        face, session = self.face, self.desk.session
        self.hear(self.keeper.changed, self._soon)
        self.hear(session.changed, self._soon)
        self.hear(session.result_changed, self._soon)
        self.hear(self.desk.viewer.scene.camera.events.zoom, self._soon)
        self.hear(self.keeper.viewer_layers.selection.events.active, self._soon)
        face.draw.connect(self.draw)
        face.new_layer.connect(lambda: self._new_layer())
        face.imported.connect(self.load)
        face.exported.connect(self.save)
        face.deleted.connect(self._delete)
        face.stepped.connect(self._step)
        face.table.chosen.connect(self.go_to)
        face.table.named.connect(self._name)
        face.table.classed.connect(self._class)
        ends_with(self, self.errands.end, self.files.end)

    @property
    def _slide(self) -> SlideFacts | None:
        return self.keeper.slide

    @property
    def _result(self) -> Prediction | None:
        """The result of the slide that regions are drawn on."""
        found, facts = self.desk.session.prediction, self._slide
        return found if found is not None and facts is not None and found.slide.identity == facts.identity else None

    def _soon(self, _: object = None) -> None:
        """Follow what changed, at most every ``EVERY_MS``."""
        if not self._timer.isActive():
            self._timer.start()

    def refresh(self) -> None:
        """Show the regions as they are drawn now."""
        facts, result = self._slide, self._result
        if self.errands.busy:
            self._late = True
            return
        drawn, places = self._drawn(facts)
        if facts is None or self.memory.cost_ms(drawn, facts, result) <= AT_ONCE_MS:
            self._show([] if facts is None else self.memory.rows(drawn, facts, result), places, result, facts)
            return
        self.errands.start(
            self.memory.work,
            drawn,
            facts,
            result,
            returned=lambda rows: self._arrived(rows, places, result, facts),
            errored=self.desk.fail,
        )

    def _drawn(self, facts: SlideFacts | None) -> tuple[list[Outline], list[tuple[Shapes, int]]]:
        """The outlines on a slide and where each of them is; their lines keep their width on the screen."""
        drawn: list[Outline] = []
        places: list[tuple[Shapes, int]] = []
        for layer in self.keeper.layers(facts):
            found = outlines(layer)
            drawn += found
            places += [(layer, shape) for shape in range(len(found))]
            draw_lines(layer, 1 / self.desk.viewer.scene.camera.zoom)
        return drawn, places

    def _arrived(self, rows: list[Row], places: list[Any], result: Prediction | None, facts: SlideFacts) -> None:
        if self._slide is facts and self._result is result:
            self._show(rows, places, result, facts)
        if self._late:
            self._late = False
            self._soon()

    def _show(
        self, rows: list[Row], places: list[tuple[Shapes, int]], result: Prediction | None, facts: SlideFacts | None
    ) -> None:
        face = self.face
        self.rows, self._places = rows, [places[row.outline] for row in rows]
        self.classes.show()
        face.table.set_columns([(column.heading, column.tip) for column in columns(result)])
        face.table.set_lines([_line(row, result) for row in rows])
        face.table.select_rows([k for k, (layer, shape) in enumerate(self._places) if self._is_selected(layer, shape)])
        marked = face.table.chosen_rows()
        face.chosen.setText(sentence(rows[marked[0]].facts, result) if len(marked) == 1 else "")
        face.words.setText(summary(rows, result, facts))
        face.set_lines(facts is not None, bool(rows))
        history = self.keeper.history(self._edited_layer())
        face.set_steps(history is not None and history.can_undo, history is not None and history.can_redo)

    def _is_selected(self, layer: Shapes, shape: int) -> bool:
        return layer is self.keeper.viewer_layers.selection.active and shape in layer.selected_data

    def _edited_layer(self) -> Shapes | None:
        """The layer that Undo is about: the one worked on, else the one edited last."""
        active = self.keeper.viewer_layers.selection.active
        return active if active in self.keeper.layers(self._slide) else self.keeper.last_edited(self._slide)

    def draw(self, tool: str) -> None:
        """Take up a tool in the region layer that is worked on; one is made where there is none."""
        layers = self.keeper.layers(self._slide)
        layer = self._edited_layer() or (layers[-1] if layers else self._new_layer())
        if layer is not None:
            layers_now = self.keeper.viewer_layers
            layers_now.move(layers_now.index(layer), len(layers_now))  # a map would lie over what is drawn
            layers_now.selection.active = layer
            layer.visible, layer.mode = True, tool

    def _new_layer(self) -> Shapes | None:
        facts = self._slide
        if facts is None:
            return None
        data, attributes, _ = shapes_layer([], facts, f"regions · {facts.name}")
        layer = Shapes(data, **attributes)
        self._add(layer)
        return layer

    def _add(self, layer: Shapes) -> None:
        layers = self.keeper.viewer_layers
        layers.append(layer)
        layers.selection.active = layer

    def go_to(self, row: int) -> None:
        """Look at a region and select it on the slide."""
        facts, places = self._slide, self._by_layer([row])
        if facts is None or not places:
            return
        layer, (shape,) = places[0]
        self.keeper.viewer_layers.selection.active = layer
        marked = dict(self._by_layer(self.face.table.chosen_rows()))
        layer.selected_data = {shape, *marked.get(layer, ())}
        x0, y0, x1, y1 = self.rows[row].region.polygon.bounds
        (top, left), (bottom, right) = slide_to_world(np.array([[y0, x0], [y1, x1]]), facts.mpp_yx)
        width = max(right - left, bottom - top) / CLOSE
        self.desk.canvas.go_to(((top + bottom) / 2, (left + right) / 2), width)

    def _name(self, row: int, name: str) -> None:
        for layer, shapes in self._by_layer([row]):
            self.keeper.set_name(layer, shapes[0], name.strip())

    def _class(self, row: int, name: str) -> None:
        """The class of a region, and of all that are marked with it; one that was typed joins the list."""
        rows = self.face.table.chosen_rows()
        rows = rows if row in rows else [row]
        self.keeper.classes.meet([(name, None)])
        for layer, shapes in self._by_layer(rows):
            self.keeper.set_class(layer, shapes, name)

    def _delete(self, rows: Sequence[int]) -> None:
        if not rows:
            self._say(["Mark the regions to delete in the table first."])
        for layer, shapes in self._by_layer(rows):
            self.keeper.remove(layer, shapes)

    def _by_layer(self, rows: Sequence[int]) -> list[tuple[Shapes, list[int]]]:
        """Where regions are; without those that went since the table was filled."""
        places = [self._places[row] for row in rows if row < len(self._places)]
        there = self.keeper.layers(self._slide)
        places = [(layer, shape) for layer, shape in places if layer in there and shape < len(layer.data)]
        layers = list(dict.fromkeys(layer for layer, _ in places))
        return [(layer, [shape for a, shape in places if a is layer]) for layer in layers]

    def _step(self, by: int) -> None:
        layer = self._edited_layer()
        if layer is not None:
            self.keeper.step(layer, by)

    def load(self, path: Path) -> None:
        """Read a file of regions as a layer on the chosen slide."""
        facts = self._slide
        if facts is not None:
            self._say([f"Reading {path.name} …"])
            self.files.start(
                import_regions, path, facts, self.keeper.classes.colours, returned=self._take, errored=self._failed
            )

    def _take(self, imported: Imported) -> None:
        facts = self._slide
        self._add(imported.layer)
        count = len(imported.layer.data)
        elsewhere = facts is None or imported.layer not in self.keeper.layers(facts)
        said = f"{count} region{'s' if count > 1 else ''} imported{' on the slide chosen before' if elsewhere else ''}."
        self._say([said, *imported.notes])

    def save(self, kind: str, path: Path) -> None:
        """Write the regions of the chosen slide, or their table."""
        facts, with_name = self._slide, self.face.named.isChecked()
        if facts is not None and self.rows:
            arguments = (kind, path, self.rows, facts, with_name)
            self.files.start(export_regions, *arguments, returned=self._written, errored=self._failed)

    def _written(self, path: Path) -> None:
        self._say([f"Written to {path}."])

    def _failed(self, error: Exception) -> None:
        if isinstance(error, InputError):
            self._say([str(error)])
        else:
            self.desk.fail(error)

    def _say(self, sentences: Sequence[str]) -> None:
        self.face.notes.setText("\n".join(sentences))


def _line(row: Row, result: Prediction | None) -> Line:
    region = row.region
    return Line(region.name, region.classification or "", region.colour or (0, 0, 0), tuple(cells(row.facts, result)))
