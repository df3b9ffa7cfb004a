"""The navigator dock: joins its face with the viewer's camera, the chosen slide and the workers."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any
from weakref import ReferenceType, ref

import napari.viewer
import numpy as np
from napari.layers import Layer
from qtpy.QtCore import QTimer
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import QVBoxLayout

from napari_gimp.plugin.desk import Dock
from napari_gimp.plugin.docks.navigator import NavigatorFace
from napari_gimp.plugin.errands import Errands
from napari_gimp.plugin.host import shows, slide_of
from napari_gimp.plugin.slide.eye import Eye
from napari_gimp.plugin.slide.following import STANDS, Known, followed, is_open, stood
from napari_gimp.plugin.slide.navigation import (
    ACTS,
    AS_SCANNED,
    MAGNIFICATIONS,
    History,
    Orientation,
    Place,
    position_words,
    scale_words,
    seen_on_screen,
    um_per_px_at,
    world_of,
)
from napari_gimp.plugin.slide.piecewalk import PieceWalk
from napari_gimp.plugin.slide.ruler import Rulers
from napari_gimp.plugin.slide.srgb import is_corrected, read_thumbnail
from napari_gimp.plugin.staywhole import StayWhole
from napari_gimp.plugin.wiring.scanner import ScannerPictures, named_pictures
from napari_gimp.slides import Slide
from napari_gimp.types import SlideFacts

FRAME_MS, REST_MS = 33, 400
"""Read-outs follow the camera at most 30 times a second; a view that rests this long is a place to come back to."""
THUMBNAIL_PX = 640
RULER_WORDS = "Ruler: press, drag and release on the slide. Press the button or key again to move the slide."


class Navigator(Dock):
    """Move on the chosen slide; works with and without the panel."""

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__(viewer)
        self.viewer, self.eye, self.face = viewer, Eye(viewer), NavigatorFace(ACTS)
        self.errands, self.rulers = Errands(self.desk), Rulers(viewer)
        self.scanner = ScannerPictures(self.desk, self.face, self.errands, self._read_picture)
        self._walk = PieceWalk(self.desk, self.eye, self.errands, self.face.status.setText)
        self._known: dict[str, Known] = {}
        self._layer: Layer | None = None
        self._facts: SlideFacts | None = None
        self._target: Place | None = None
        self._soon, self._rest = self._timer(FRAME_MS, self._show_view), self._timer(REST_MS, self._remember)
        self._moving = self._timer(FRAME_MS, self._move)
        self._acts = self._all_acts()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.face)
        self._connect()
        self._follow()
        self._whole = StayWhole(self, self.eye)
        self._whole.look(self._layer)

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self._whole.start()

    def _timer(self, wait_ms: int, act: Callable[[], object]) -> QTimer:
        timer = QTimer(self)
        timer.setSingleShot(True)
        timer.setInterval(wait_ms)
        timer.timeout.connect(act)
        return timer

    def _all_acts(self) -> dict[str, Callable[[], object]]:
        stands = self._stand
        return {
            **{f"magnify {power:g}": partial(self._magnify, power) for power in MAGNIFICATIONS},
            "fit": self._fit,
            "previous piece": partial(self._seek_piece, -1),
            "next piece": partial(self._seek_piece, 1),
            "back": partial(self._step, -1),
            "forward": partial(self._step, 1),
            "turn": lambda: stands(self.eye.stands.turned()),
            "mirror": lambda: stands(self.eye.stands.mirrored()),
            "upend": lambda: stands(self.eye.stands.upended()),
            "upright": lambda: stands(AS_SCANNED),
            "ruler": self._rule,
        }

    def _connect(self) -> None:
        face, events, me = self.face, self.viewer.layers.events, ref(self)
        face.asked.connect(self.ask)
        face.wanted.connect(self._look)
        face.colours_wanted.connect(lambda wanted: self.scanner.correct(self._layer, wanted))
        face.images_wanted.connect(lambda: self.scanner.offer(self._layer))
        self.hear(self.desk.session.changed, self._follow)
        self.hear(events.inserted, self._layers_changed)
        self.hear(events.removed, self._layers_changed)
        self.hear(self.viewer.layers.selection.events.active, self._follow)
        self.hear(self.viewer.cursor.events.position, self._cursor_moved)
        for signal in self.eye.events:
            self.hear(signal, self._looked)
        for act in ACTS:
            self.destroyed.connect(self.desk.bind(act.key, act.sentence, partial(_ask, me, act.name)))
        self.destroyed.connect(partial(_release, self.errands))

    def ask(self, name: str) -> None:
        """Do what a button or key stands for; nothing while its button is grey."""
        if self.face.buttons[name].isEnabled():
            self._remember()
            self._acts[name]()

    @property
    def slide(self) -> Slide | None:
        """The slide that is followed."""
        return slide_of(self._layer)

    @property
    def _now(self) -> Known | None:
        return None if self._facts is None else self._known.get(self._facts.identity)

    def _layers_changed(self, event: Any = None) -> None:
        for identity in [name for name in self._known if not is_open(self.viewer, name)]:
            del self._known[identity]
        self.rulers.attend()
        self._follow()

    def _follow(self, event: Any = None) -> None:
        """Turn to the chosen slide, if it is another one or its pixel size is."""
        layer = followed(self.viewer, self.desk)
        slide = slide_of(layer)
        if layer is self._layer and (slide is None or slide.facts is self._facts):
            return
        self._layer, self._facts = layer, None if slide is None else slide.facts
        self.face.status.setText("")
        if slide is None or layer is None:
            self.face.show_slide("", measured=False, images=False, profile=False)
            return
        self._meet(layer, slide)

    def _meet(self, layer: Layer, slide: Slide) -> None:
        facts = slide.facts
        known = self._known.setdefault(facts.identity, Known(self._stands_of(layer), facts.mpp_yx))
        if known.mpp_yx != facts.mpp_yx:
            known.mpp_yx, known.history = facts.mpp_yx, History()
        if known.stands != self.eye.stands:
            self.eye.turn(known.stands)
        self.face.show_slide(
            facts.name,
            measured=facts.mpp_yx is not None,
            images=bool(named_pictures(facts)),
            profile=slide.icc_profile is not None,
        )
        self.face.colours.setChecked(is_corrected(layer))
        self._draw_map()
        self._show_view()
        self._rest.start()
        if known.picture is None:
            self._read_picture(layer, slide)

    def _stands_of(self, layer: Layer) -> Orientation:
        """As the slide stood when it was last followed; a first one stands as the viewer does."""
        return stood(layer, AS_SCANNED if self._known else self.eye.stands)

    def _read_picture(self, layer: Layer, slide: Slide) -> None:
        self.errands.start(
            read_thumbnail,
            slide,
            is_corrected(layer),
            THUMBNAIL_PX,
            returned=partial(self._take_picture, slide.facts.identity),
            errored=partial(self._fail, slide.facts),
        )

    def _take_picture(self, identity: str, picture: np.ndarray) -> None:
        if identity in self._known:
            self._known[identity].picture = picture
            self._draw_map()

    def _fail(self, facts: SlideFacts, error: Exception) -> None:
        """Say what went wrong with a slide that is still there."""
        if shows(self.viewer, facts):
            self.face.status.setText("")
            self.desk.fail(error)

    def _draw_map(self) -> None:
        """The minimap as the slide stands."""
        known, facts = self._now, self._facts
        if known is None or facts is None:
            return
        height, width = (n * m for n, m in zip(facts.shape_yx, facts.mpp_yx or (1.0, 1.0), strict=True))
        aspect = height / width if known.stands.swapped else width / height
        self.face.map.show_picture(None if known.picture is None else known.stands.picture(known.picture), aspect)
        self.face.stands.setText(f"The slide is {known.stands.words()}." if known.stands != AS_SCANNED else "")

    def _looked(self, event: Any = None) -> None:
        """The camera moved."""
        if not self._soon.isActive():
            self._soon.start()
        self._rest.start()

    def _cursor_moved(self, event: Any = None) -> None:
        if not self._soon.isActive():
            self._soon.start()

    def _show_view(self) -> None:
        known, facts, eye = self._now, self._facts, self.eye
        if known is None or facts is None or self._layer is None:
            return
        stands = eye.stands
        if known.stands != stands:
            known.stands = stands
            self._layer.metadata[STANDS] = (stands.swapped, stands.up, stands.left)
            self._draw_map()
        place = eye.place
        self.face.map.show_seen(seen_on_screen(place, eye.window_px, facts, stands))
        self.face.scale.setText(scale_words(place.per_px, facts))
        y, x = self.viewer.cursor.position[-2:]
        self.face.cursor.setText(position_words((float(y), float(x)), facts))

    def _remember(self) -> None:
        """The view rests, or is about to be left: a place to come back to."""
        known = self._now
        self._rest.stop()
        if known is not None:
            known.history.visit(self.eye.place, self.eye.window_px)
            self.face.show_ways(known.history.can_go_back, known.history.can_go_forward)
            self.rulers.thin(self.eye.place.per_px, self.eye.stands.above)

    def _look(self, down: float, right: float) -> None:
        """Move to a place of the minimap, at most 30 times a second."""
        facts = self._facts
        if facts is None:
            return
        if not self._moving.isActive():
            self._remember()
        self._target = Place(world_of(self.eye.stands.to_slide((down, right)), facts), self.eye.place.per_px)
        if not self._moving.isActive():
            self._move()

    def _move(self) -> None:
        target, self._target = self._target, None
        if target is not None:
            self.eye.go(target)
            self._moving.start()

    def _magnify(self, power: float) -> None:
        self.eye.go(Place(self.eye.place.centre_yx, um_per_px_at(power)))

    def _fit(self) -> None:
        self.eye.fit(self._layer)

    def _stand(self, stands: Orientation) -> None:
        self.eye.turn(stands)
        self._show_view()

    def _step(self, by: int) -> None:
        known = self._now
        place = None if known is None else known.history.step(by)
        if known is not None and place is not None:
            self.eye.go(place)
            self.face.show_ways(known.history.can_go_back, known.history.can_go_forward)

    def _seek_piece(self, by: int) -> None:
        if self._now is not None and self.slide is not None:
            self._walk.seek(self._now, self.slide, by)

    def _rule(self) -> None:
        if self._facts is not None:
            drawing = self.rulers.toggle(self._facts)
            self.rulers.thin(self.eye.place.per_px, self.eye.stands.above)
            self.face.status.setText(RULER_WORDS if drawing else "")


def _ask(me: ReferenceType[Navigator], name: str) -> None:
    """A key was pressed; the dock may be gone."""
    navigator = me()
    if navigator is not None:
        navigator.ask(name)


def _release(errands: Errands, *_: object) -> None:
    """The dock is gone: so is its waiting for answers."""
    errands.end()
