"""Whose tissue the next run takes: detected, or a layer that the user drew on the chosen slide."""

from __future__ import annotations

import napari.viewer
from napari.layers import Layer

from napari_gimp.plugin import layers
from napari_gimp.plugin.canvas import Canvas
from napari_gimp.plugin.host import drawn_names
from napari_gimp.plugin.panel.panel import Panel
from napari_gimp.plugin.regions.drawn import belongs, not_of, tissue_from
from napari_gimp.plugin.session import Session
from napari_gimp.settings import InputError
from napari_gimp.types import Tissue


class TissueChoice:
    """The chosen drawing, None for detection, and what the panel shows of it."""

    def __init__(self, viewer: napari.viewer.Viewer, canvas: Canvas, panel: Panel, session: Session) -> None:
        self.viewer, self.canvas, self.panel, self.session = viewer, canvas, panel, session
        self._layer: Layer | None = None
        panel.slide.tissue_chosen.connect(self.choose)

    def choose(self, name: str) -> None:
        """Take the drawing of this name; an empty name is detection."""
        self.panel.error.clear()
        self._layer = next((layer for layer in self.viewer.layers if layer.name == name), None)
        self.let_go_of_another()

    def let_go_of_another(self) -> None:
        """A drawing stays with the slide it was drawn on: for another one it is not used, and that is said."""
        facts, layer = self.session.choices.slide, self._layer
        if layer is not None and facts is not None and not belongs(layer, facts):
            self._layer = None
            self.panel.error.show_error(not_of(layer, facts), "")
        self.show()

    def show(self) -> None:
        """The drawings that there are, and the chosen one while it is among them."""
        if self._layer not in self.viewer.layers:
            self._layer = None
        self.panel.slide.set_tissue_layers(drawn_names(self.viewer), "" if self._layer is None else self._layer.name)

    def edit(self) -> None:
        """Turn the tissue found last into labels to paint on, and take those from now on.

        Raises
        ------
        InputError
            None was found yet.
        """
        facts = self.session.choices.slide
        found = None if facts is None else self.canvas.find(layers.tag(layers.TISSUE, facts))
        if found is None or facts is None:
            raise InputError("No tissue was found yet: run once, or draw a Shapes or Labels layer and choose it.")
        self._layer = Layer.create(*layers.tissue_labels(found.metadata["tissue"], facts))
        self.viewer.layers.append(self._layer)
        self.show()

    def drawn(self) -> Tissue | None:
        """The chosen drawing as the chosen slide's tissue, None for detection.

        Raises
        ------
        InputError
            Nothing of it is on the slide.
        """
        facts = self.session.choices.slide
        return None if self._layer is None or facts is None else tissue_from(self._layer, facts)
