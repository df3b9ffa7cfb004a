"""The last result where the user sees it: words and tables in the panel, maps and patches on its own slide."""

from __future__ import annotations

from napari_gimp import words
from napari_gimp.plugin import layers
from napari_gimp.plugin.canvas import Canvas
from napari_gimp.plugin.panel import Panel
from napari_gimp.plugin.session import Request, Session, heads_of
from napari_gimp.types import Prediction, SlideFacts, Tissue


class Shown:
    """Puts the session's result into panel and canvas, and takes it away again; keeps each slide's last whole one."""

    def __init__(self, panel: Panel, canvas: Canvas, session: Session) -> None:
        self.panel, self.canvas, self.session = panel, canvas, session
        self._whole: dict[str, tuple[Prediction, Request]] = {}
        self._tissue: dict[str, Tissue] = {}
        self._whole_tissue: dict[str, Tissue] = {}

    def take_tissue(self, tissue: Tissue, facts: SlideFacts) -> None:
        """Show the tissue that was found on a slide."""
        self._tissue[facts.identity] = tissue
        self.canvas.put(layers.tissue_layer(tissue, facts))

    def take(self, prediction: Prediction, origin: Request) -> None:
        """Show a result, partial or whole, of this request."""
        self.session.accept(prediction, origin)
        identity = prediction.slide.identity
        if prediction.partial >= 1:
            self._whole[identity] = prediction, origin
            if identity in self._tissue:
                self._whole_tissue[identity] = self._tissue[identity]
        headline, classes, rows, count, notes = words.result_words(prediction)
        heads = heads_of(count, origin.choices.members)
        self.panel.result.show_result(prediction.slide.name, headline, classes, rows, heads, notes)
        self.panel.result.export.setEnabled(prediction.partial >= 1)
        self.show_maps()

    def restore(self, identity: str) -> None:
        """Show a slide's last whole result again: after a run that did not end, or when the slide is chosen again."""
        if self.session.running or identity not in self._whole:
            return
        prediction, origin = self._whole[identity]
        tissue = self._whole_tissue.get(identity)
        if tissue is not None and self._tissue[identity] is not tissue:
            self.take_tissue(tissue, prediction.slide)
        if self.session.prediction is not prediction:
            self.take(prediction, origin)

    def show_maps(self) -> None:
        """The result as the view settings want it; the most attended patches once it is whole."""
        prediction, result = self.session.prediction, self.panel.result
        if prediction is None:
            return
        view, head = result.view.value(), result.chosen_head
        for layer in layers.map_layers(prediction, view, head):
            self.canvas.put(layer, opacity=view.opacity)
        self.canvas.drop(lambda tag: layers.is_left_over(tag, prediction))
        if prediction.partial >= 1:
            self.canvas.put(layers.top_layer(prediction, view, head))
            result.set_patches(*layers.patch_rows(prediction, view.top_patches, head))

    def go_to_patch(self, row: int) -> None:
        """Look at a patch of the table of the most attended ones."""
        prediction, result = self.session.prediction, self.panel.result
        if prediction is not None:
            patch = layers.top_patches(prediction, row + 1, result.chosen_head)[row]
            self.canvas.go_to(*layers.patch_place(prediction, int(patch)))

    def forget(self, identity: str) -> bool:
        """Remove every result of a slide; whether there was any."""
        for kept in (self._whole, self._tissue, self._whole_tissue):
            kept.pop(identity, None)
        shown = self.session.prediction
        of_slide = shown is not None and shown.slide.identity == identity
        if of_slide:
            self.session.drop_result()
            self.panel.result.setVisible(False)
        there = self.canvas.has(lambda tag: layers.is_result(tag, identity))
        self.canvas.drop(lambda tag: layers.is_result(tag, identity))
        return of_slide or there
