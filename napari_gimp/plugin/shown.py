"""The last result where the user sees it: words and tables in the panel, maps and patches on its own slide."""

from __future__ import annotations

from typing import Any

from napari_gimp import words
from napari_gimp.doubt import doubt_sentences
from napari_gimp.plugin import layers
from napari_gimp.plugin.desk import Desk
from napari_gimp.plugin.maps import PatchMap, map_titles, patch_map
from napari_gimp.plugin.palette import colours
from napari_gimp.plugin.panel.bars import BarRow
from napari_gimp.plugin.panel.panel import Panel
from napari_gimp.plugin.session import Request, ViewSettings
from napari_gimp.types import MODALITIES, Prediction, SlideFacts, Tissue


class Shown:
    """Puts the session's result into panel and canvas, and takes it away again; keeps each slide's last whole one."""

    def __init__(self, panel: Panel, desk: Desk) -> None:
        self.panel, self.desk, self.canvas, self.session = panel, desk, desk.canvas, desk.session
        self._asked = False
        self._top: tuple[object, ...] = ()
        self._limits: dict[tuple[str, str, str], tuple[float, float]] = {}
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
            self._forget_limits_of_another(prediction, origin)
            self._whole[identity] = prediction, origin
            if identity in self._tissue:
                self._whole_tissue[identity] = self._tissue[identity]
        headline, classes, rows, notes = words.result_words(prediction)
        titles = map_titles(prediction, origin.choices.members)
        self.panel.result.show_result(prediction.slide.name, headline, classes, rows, titles, notes)
        self.panel.result.set_doubt(prediction.classes, bar_rows(prediction), doubt_sentences(prediction))
        self.panel.result.set_whole(prediction.partial >= 1)
        self.show_maps()

    def want_map(self, key: str) -> None:
        """Show the map of this key; maps that the result gained since it was taken are offered first."""
        prediction, origin = self.session.prediction, self.session.origin
        if prediction is None or origin is None:
            return
        if prediction.partial >= 1:
            self._whole[prediction.slide.identity] = prediction, origin
        self.panel.result.set_maps(map_titles(prediction, origin.choices.members))
        self.panel.result.choose_map(key)

    def _forget_limits_of_another(self, prediction: Prediction, origin: Request) -> None:
        """Limits that the user moved are of one checkpoint's numbers."""
        identity = prediction.slide.identity
        before = self._whole.get(identity)
        if before is not None and before[1].checkpoint != origin.checkpoint:
            self._limits = {key: limits for key, limits in self._limits.items() if key[0] != identity}

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
        """The chosen map as the view settings want it, in the next turn of the event loop: sliders ask often."""
        if not self._asked:
            self._asked = True
            self.canvas.soon(self._show_maps)

    def _show_maps(self) -> None:
        self._asked = False
        prediction, shown, result = self.session.prediction, self.chosen_map(), self.panel.result
        if prediction is None or shown is None:
            return
        view = result.view.value()
        self._put(prediction, shown, view)
        self.canvas.drop(lambda tag: layers.is_left_over(tag, prediction))
        if prediction.partial >= 1:
            self._put_top(prediction, shown, view)
        self.desk.map_shown.emit(shown)

    def _put_top(self, prediction: Prediction, shown: PatchMap, view: ViewSettings) -> None:
        """The top patches of the map, once: they do not change with its colours."""
        wanted = (prediction, shown.key, view.top_patches)
        if self._top != wanted:
            self._top = wanted
            self.canvas.put(layers.top_layer(prediction, shown, view))
            self.panel.result.set_patches(*layers.patch_rows(prediction, shown, view.top_patches))

    def chosen_map(self) -> PatchMap | None:
        """The map that the panel's box names, None without a result."""
        prediction, origin = self.session.prediction, self.session.origin
        if prediction is None or origin is None:
            return None
        return patch_map(prediction, self.panel.result.chosen_map, origin.choices.members)

    def _put(self, prediction: Prediction, shown: PatchMap, view: ViewSettings) -> None:
        """Swap the picture; colours and, where the user had set them, the limits of this map come with it."""
        present = self.canvas.find(layers.tag(layers.MAP, prediction.slide))
        if present is not None:
            self._remember(present, prediction.slide.identity)
        limits = self._limits.get((prediction.slide.identity, shown.key, view.contrast))
        swapped = present is not None and present.metadata["key"] != shown.key
        always: dict[str, Any] = {"opacity": view.opacity} | (
            {"colormap": colours(shown), "visible": True} if swapped else {}
        )
        for layer in layers.map_layers(prediction, shown, view, limits):
            self.canvas.put(layer, **always)

    def _remember(self, layer: Any, identity: str) -> None:
        """Limits that the user moved stay with the map they were moved for."""
        at = layer.metadata
        if tuple(layer.contrast_limits) != tuple(at["limits"]):
            self._limits[identity, at["key"], at["scale"]] = tuple(layer.contrast_limits)

    def go_to_patch(self, row: int) -> None:
        """Look at a patch of the table of the top ones."""
        prediction, shown = self.session.prediction, self.chosen_map()
        if prediction is not None and shown is not None:
            patch = int(layers.top_patches(shown, row + 1)[row])
            self.canvas.go_to(*layers.patch_place(prediction, patch))
            self.desk.patch_chosen.emit(patch)

    def forget(self, identity: str) -> bool:
        """Remove every result of a slide; whether there was any."""
        for kept in (self._whole, self._tissue, self._whole_tissue):
            kept.pop(identity, None)
        shown = self.session.prediction
        of_slide = shown is not None and shown.slide.identity == identity
        if of_slide:
            self.session.drop_result()
            self._top = ()
            self.desk.map_shown.emit(None)
            self.panel.result.setVisible(False)
        there = self.canvas.has(lambda tag: layers.is_result(tag, identity))
        self.canvas.drop(lambda tag: layers.is_result(tag, identity))
        return of_slide or there


def bar_rows(prediction: Prediction) -> list[BarRow]:
    """Probabilities of all inputs together first, then of each alone; the spread is the headline's."""
    rows = []
    for name in MODALITIES:
        if name in prediction.probabilities:
            spread = None if prediction.spread is None or name != prediction.modality else float(prediction.spread[0])
            values = tuple(float(p) for p in prediction.probabilities[name])
            rows.append(BarRow(words.MODALITY_WORDS[name], values, spread))
    return rows
