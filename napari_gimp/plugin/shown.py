"""The last result where the user sees it: words and tables in the panel, maps and patches on its own slide."""

from __future__ import annotations

from napari_gimp import words
from napari_gimp.plugin import layers
from napari_gimp.plugin.canvas import Canvas
from napari_gimp.plugin.panel import Panel
from napari_gimp.plugin.session import Request, Session
from napari_gimp.types import Prediction


class Shown:
    """Puts the session's result into panel and canvas, and takes it away again."""

    def __init__(self, panel: Panel, canvas: Canvas, session: Session) -> None:
        self.panel, self.canvas, self.session = panel, canvas, session

    def take(self, prediction: Prediction, origin: Request) -> None:
        """Show a result, partial or whole, of this request."""
        self.session.accept(prediction, origin)
        self.panel.result.show_result(prediction.slide.name, *words.result_words(prediction))
        self.panel.result.export.setEnabled(prediction.partial >= 1)
        self.show_maps()

    def show_maps(self) -> None:
        """The result as the view settings want it; the most attended patches once it is whole."""
        prediction, result = self.session.prediction, self.panel.result
        if prediction is None:
            return
        view, head = result.view.value(), result.head.currentText()
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
            patch = layers.top_patches(prediction, row + 1, result.head.currentText())[row]
            self.canvas.go_to(*layers.patch_place(prediction, int(patch)))

    def forget(self, identity: str) -> bool:
        """Remove every result of a slide; whether there was any."""
        shown = self.session.prediction
        of_slide = shown is not None and shown.slide.identity == identity
        if of_slide:
            self.session.prediction = self.session.origin = None
            self.panel.result.setVisible(False)
        there = self.canvas.has(lambda tag: layers.is_result(tag, identity))
        self.canvas.drop(lambda tag: layers.is_result(tag, identity))
        return of_slide or there
