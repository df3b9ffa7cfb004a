"""The window at one moment, copied in its thread in a few milliseconds; a worker turns it into the session file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from napari.layers import Image, Labels, Layer, Points, Shapes

from napari_gimp.bundled import DEMO_CHECKPOINT
from napari_gimp.plugin.desk import Desk
from napari_gimp.plugin.host import slide_layers, slide_of
from napari_gimp.plugin.layers import DRAWN_ON, TAG
from napari_gimp.plugin.session import ViewSettings
from napari_gimp.plugin.sessions.drawings import Drawn
from napari_gimp.plugin.sessions.labelcopies import LabelCopies
from napari_gimp.plugin.sessions.plainjson import plain
from napari_gimp.plugin.sessions.sessionstate import Look, SessionState, SlideEntry, View, parameters_of
from napari_gimp.slides import Slide

KINDS: dict[Any, str] = {Shapes: "shapes", Labels: "labels", Points: "points"}
WORN: dict[str, tuple[str, ...]] = {
    "shapes": ("shape_type", "edge_width", "edge_color", "face_color"),
    "points": ("size",),
    "labels": (),
}
"""What of a drawing is kept beside its data, by kind."""


@dataclass(frozen=True, eq=False)
class Snapshot:
    """Everything but the drawings as the state of a session, and the drawings as they were copied."""

    state: SessionState
    drawn: tuple[Drawn, ...] = ()

    def same(self, other: Snapshot | None) -> bool:
        """Whether nothing was changed between the two."""
        return (
            other is not None
            and self.state == other.state
            and len(self.drawn) == len(other.drawn)
            and all(a is b or a.same(b) for a, b in zip(self.drawn, other.drawn, strict=True))
        )

    def whole(self) -> SessionState:
        """The state with its drawings; for a worker, large drawings take a while."""
        return replace(self.state, regions=tuple(each.drawing for each in self.drawn))


def is_worth_keeping(snapshot: Snapshot) -> bool:
    """Whether there is more than slides that somebody looks at: those alone make no file."""
    state = snapshot.state
    return bool(snapshot.drawn or state.layers or state.profile or state.marks or state.what_if)


@dataclass(frozen=True)
class InPanel:
    """What only the panel knows: the profile's file, the drawing taken as tissue, the map and how maps are shown."""

    profile: Path | None = None
    tissue: str | None = None
    map_key: str | None = None
    view: ViewSettings | None = None


def snapshot_of(desk: Desk, panel: InPanel, copies: LabelCopies, last: Snapshot | None = None) -> Snapshot:
    """The window now; drawings that did not change since the ``last`` snapshot are taken from it."""
    chosen, viewer = desk.session.choices, desk.viewer
    slides = tuple(_entry(slide) for layer in slide_layers(viewer) if (slide := slide_of(layer)) is not None)
    there = {slide.identity for slide in slides}
    state = SessionState(
        slides=slides,
        chosen=None if chosen.slide is None else chosen.slide.identity,
        profile=panel.profile,
        sample=chosen.sample,
        checkpoint=chosen.checkpoint,
        demo=chosen.checkpoint is not None and chosen.checkpoint.name == DEMO_CHECKPOINT,
        parameters=parameters_of(chosen),
        tissue=panel.tissue,
        map_key=panel.map_key,
        map_view=panel.view,
        layers=tuple(_look(layer) for layer in viewer.layers if _has_look(layer)),
        marks=plain({identity: marks for identity, marks in desk.marks.items() if marks and identity in there}) or None,
        labels=tuple(desk.labels),
        what_if=desk.what_if.to_json() or None,
        view=_view(viewer),
    )
    before = {each.name: each for each in last.drawn} if last is not None else {}
    users = [layer for layer in viewer.layers if is_users(layer) and copies.keeps(layer)]
    return Snapshot(state, tuple(_drawn(layer, desk, copies, before) for layer in users))


def is_users(layer: Layer) -> bool:
    """Whether the user drew this layer: shapes, labels or points without a name plate of ours, in the slide's plane."""
    drawn = type(layer) in KINDS and TAG not in layer.metadata
    return drawn and layer.ndim == 2


def _entry(slide: Slide) -> SlideEntry:
    facts = slide.facts
    return SlideEntry(Path(slide.path).absolute(), facts.identity, facts.name, facts.shape_yx, facts.mpp_yx)


def _has_look(layer: Layer) -> bool:
    return TAG in layer.metadata and slide_of(layer) is None


def _look(layer: Layer) -> Look:
    named = plain(layer.metadata[TAG])
    if not isinstance(layer, Image) or layer.rgb:
        return Look(named, layer.visible, float(layer.opacity))
    low, high = layer.contrast_limits
    return Look(
        named, layer.visible, float(layer.opacity), layer.colormap.name, float(layer.gamma), (float(low), float(high))
    )


def _view(viewer: Any) -> View:
    camera = viewer.scene.camera
    centre, angles = (tuple(float(value) for value in values) for values in (camera.center, camera.angles))
    orientation = tuple(str(getattr(side, "value", side)) for side in camera.orientation)
    return View(centre, float(camera.zoom), angles, orientation, tuple(int(axis) for axis in viewer.dims.order))


def _is_ours(name: Any) -> bool:
    return isinstance(name, str) and name.startswith(f"{TAG} ") and name != DRAWN_ON


def _drawn(layer: Layer, desk: Desk, copies: LabelCopies, before: Mapping[str, Drawn]) -> Drawn:
    kind = next(name for made, name in KINDS.items() if isinstance(layer, made))
    owner = layer.metadata.get(DRAWN_ON)
    slides = [slide.facts for other in slide_layers(desk.viewer) if (slide := slide_of(other)) is not None]
    named = None if owner is None else owner["slide"]
    mpp = next((facts.mpp_yx for facts in slides if named in (None, facts.identity)), None)
    features = {name: list(layer.features[name]) for name in layer.features.columns}
    worn = {name: np.array(getattr(layer, name)) for name in WORN[kind]}
    attributes = {
        "visible": bool(layer.visible),
        "metadata": plain({name: layer.metadata[name] for name in layer.metadata if _is_ours(name)}),
        "opacity": float(layer.opacity),
        "scale": tuple(float(v) for v in layer.scale),
        "translate": tuple(float(v) for v in layer.translate),
        "features": features if kind != "labels" else {},
        **worn,
    }
    now = Drawn(layer.name, kind, _data(layer, copies), attributes, named, mpp)
    known = before.get(now.name)
    return known if known is not None and known.same(now) else now


def _data(layer: Layer, copies: LabelCopies) -> Any:
    if isinstance(layer, Labels):
        return copies.of(layer)
    return [np.array(corners) for corners in layer.data] if isinstance(layer, Shapes) else np.array(layer.data)
