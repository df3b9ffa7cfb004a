"""What the scanner left beside the pixels, on request: its colour profile, pictures of label and glass."""

from __future__ import annotations

from collections.abc import Callable, Generator
from functools import partial

import numpy as np
from jaxtyping import UInt8
from napari.layers import Layer

from napari_gimp.plugin.desk import Desk
from napari_gimp.plugin.docks.navigator import NavigatorFace
from napari_gimp.plugin.docks.slide_images import SlideImages
from napari_gimp.plugin.errands import Errands
from napari_gimp.plugin.host import FILLING, slide_of
from napari_gimp.plugin.slide.srgb import is_corrected, read_lowest, show_colours
from napari_gimp.settings import InputError
from napari_gimp.slides import Slide
from napari_gimp.types import Progress, SlideFacts


def named_pictures(facts: SlideFacts) -> tuple[str, ...]:
    """Pictures of label and glass; the scanner's thumbnail is neither."""
    return tuple(name for name in facts.associated if name != "thumbnail")


class ScannerPictures:
    """Corrects a layer's colours and shows label and macro, reading beside the window.

    Parameters
    ----------
    changed
        Called with layer and slide once other colours are shown.
    """

    def __init__(
        self, desk: Desk, face: NavigatorFace, errands: Errands, changed: Callable[[Layer, Slide], None]
    ) -> None:
        self.desk, self.face, self.errands, self._changed = desk, face, errands, changed

    def correct(self, layer: Layer | None, wanted: bool) -> None:
        """Show a slide in corrected colours, or as the file has them."""
        slide = slide_of(layer)
        if layer is None or slide is None:
            return
        if FILLING in layer.metadata and layer.metadata[FILLING].busy:
            self._refuse(layer, InputError("The slide is still being read: correct its colours when it is there."))
            return
        self.errands.start(
            read_lowest,
            slide,
            wanted,
            returned=partial(self._show, layer, slide, wanted),
            errored=partial(self._refuse, layer),
        )

    def _show(self, layer: Layer, slide: Slide, wanted: bool, lowest: UInt8[np.ndarray, "h w 3"]) -> None:
        if layer in self.desk.viewer.layers and wanted != is_corrected(layer):
            show_colours(layer, slide, lowest, wanted)
            self._changed(layer, slide)

    def _refuse(self, layer: Layer, error: Exception) -> None:
        if layer in self.desk.viewer.layers:
            self.face.colours.setChecked(is_corrected(layer))
            self.desk.fail(error)

    def offer(self, layer: Layer | None) -> SlideImages | None:
        """A window with a warning and a button for each picture; nothing is read before one is pressed."""
        slide = slide_of(layer)
        if slide is None:
            return None
        window = SlideImages(slide.facts.name, named_pictures(slide.facts), self.face)
        errands = Errands(self.desk)
        window.wanted.connect(
            lambda name: errands.start(
                _read_image, slide, name, returned=window.show_picture, errored=lambda error: _say(window, error)
            )
        )
        window.destroyed.connect(lambda *_: errands.end())
        window.show()
        return window


def _say(window: SlideImages, error: Exception) -> None:
    window.show_reason(str(error))


def _read_image(slide: Slide, name: str) -> Generator[Progress, None, UInt8[np.ndarray, "h w c"]]:
    yield Progress("reading a picture", 0, 1, "picture")
    return slide.associated_image(name)
