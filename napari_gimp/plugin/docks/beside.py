"""A second canvas and the box that says which map it shows."""

from __future__ import annotations

from collections.abc import Mapping

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_gimp.plugin.panel.forms import combo
from napari_gimp.plugin.panel.parts import Words, silently

NARROWEST_PX = 240


class BesideFace(QWidget):
    """Says ``map_chosen`` with a key; the canvas is given."""

    map_chosen = Signal(str)

    def __init__(self, canvas: QWidget) -> None:
        super().__init__()
        self.map = combo("beside.map", "Which map this second canvas shows; it moves with the first.")
        self.said = Words("beside.said")
        self.setMinimumWidth(NARROWEST_PX)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.map)
        layout.addWidget(self.said)
        layout.addWidget(canvas, 1)
        self.map.currentIndexChanged.connect(lambda _: self.map_chosen.emit(self.chosen))

    @property
    def chosen(self) -> str:
        """Key of the chosen map; empty while there is none."""
        return str(self.map.currentData() or "")

    def set_maps(self, titles: Mapping[str, str], first: str = "") -> None:
        """Offer these maps, key -> title; the choice stays where it can, else ``first`` is taken."""
        keep = self.chosen if self.chosen in titles else first
        silently(self.map, lambda: self._fill(titles, keep))
        self.said.setText("" if titles else "No result yet: run GiMP on the slide first.")

    def _fill(self, titles: Mapping[str, str], chosen: str) -> None:
        self.map.clear()
        for key, title in titles.items():
            self.map.addItem(title, key)
        self.map.setCurrentIndex(max(0, self.map.findData(chosen)))
