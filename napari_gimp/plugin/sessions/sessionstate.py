"""What a session of the window is, as plain data: no file, no window."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from napari_gimp.plugin.session import Choices, ViewSettings
from napari_gimp.settings import InputError
from napari_gimp.types import SlideFacts

PARAMETERS = ("encoder", "weights", "bag", "device", "grain", "tissue_settings", "maps")
"""The fields of `Choices` that are parameters of a run; slide, profile and checkpoint stand beside them."""


@dataclass(frozen=True)
class SlideEntry:
    """A slide of the session: where it lay, and what tells it from another one."""

    path: Path
    identity: str
    name: str = ""
    shape_yx: tuple[int, int] = (0, 0)
    mpp_yx: tuple[float, float] | None = None


@dataclass(frozen=True)
class Look:
    """How a layer of ours looks, by its name plate; what a kind of layer does not have is None."""

    tag: Mapping[str, Any]
    visible: bool = True
    opacity: float = 1.0
    colormap: str | None = None
    gamma: float | None = None
    contrast: tuple[float, float] | None = None


@dataclass(frozen=True)
class Drawing:
    """A layer that the user drew: GeoJSON features in level-0 pixels of the slide (x, y).

    ``kind``: shapes, labels or points. ``grid``: shape, scale and translate of a labels layer. ``metadata``: what ours
    says of the layer, say that its lines are measures.
    """

    name: str
    kind: str
    slide: str | None = None
    features: tuple[Mapping[str, Any], ...] = ()
    grid: Mapping[str, Any] | None = None
    visible: bool = True
    opacity: float = 1.0
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class View:
    """The camera: centre and zoom in the viewer's units (um), angles in degrees; how the slide is turned and mirrored.

    ``orientation``: where each axis points to; ``order``: which axis is shown along which side. Empty: as they are.
    """

    centre: tuple[float, ...]
    zoom: float
    angles: tuple[float, ...] = (0.0, 0.0, 90.0)
    orientation: tuple[str, ...] = ()
    order: tuple[int, ...] = ()


@dataclass(frozen=True)
class SessionState:
    """Everything that a session is, as plain data.

    ``chosen``: identity of the slide that is analysed. ``demo``: the checkpoint is the bundled one. ``parameters``: the
    fields of `PARAMETERS`. ``tissue``: name of the drawing that is taken as tissue. ``marks`` and ``what_if`` are JSON
    of their own rooms; ``labels`` are what a mark can be. ``known``: the file as it was read.
    """

    slides: tuple[SlideEntry, ...] = ()
    chosen: str | None = None
    profile: Path | None = None
    sample: str | None = None
    checkpoint: Path | None = None
    demo: bool = False
    parameters: Mapping[str, Any] = field(default_factory=dict)
    tissue: str | None = None
    map_key: str | None = None
    map_view: ViewSettings | None = None
    layers: tuple[Look, ...] = ()
    regions: tuple[Drawing, ...] = ()
    marks: Any = None
    labels: tuple[str, ...] = ()
    what_if: Any = None
    view: View | None = None
    known: Mapping[str, Any] = field(default_factory=dict, compare=False)


def parameters_of(choices: Choices) -> dict[str, Any]:
    """The fields of `PARAMETERS` of what was chosen."""
    return {name: getattr(choices, name) for name in PARAMETERS}


def carried(now: SessionState, kept: SessionState) -> SessionState:
    """The window now, with what an opened session holds that has not come back yet, or cannot.

    A result that is still being looked for has no layers yet, a checkpoint that is gone cannot be chosen: neither goes
    from the file because of that.
    """
    tags = [dict(look.tag) for look in now.layers]
    names = {drawing.name for drawing in now.regions}
    slides = {slide.identity for slide in now.slides}
    return replace(
        now,
        slides=(*now.slides, *(slide for slide in kept.slides if slide.identity not in slides)),
        chosen=now.chosen or kept.chosen,
        profile=now.profile or kept.profile,
        sample=now.sample or (kept.sample if now.profile in (None, kept.profile) else None),
        checkpoint=now.checkpoint or kept.checkpoint,
        demo=now.demo if now.checkpoint else kept.demo,
        tissue=now.tissue or kept.tissue,
        map_key=now.map_key or kept.map_key,
        map_view=now.map_view or kept.map_view,
        layers=(*now.layers, *(look for look in kept.layers if dict(look.tag) not in tags)),
        regions=(*now.regions, *(drawing for drawing in kept.regions if drawing.name not in names)),
        marks=_both(now.marks, kept.marks),
        labels=now.labels or kept.labels,
        what_if=now.what_if or kept.what_if,
        view=kept.view or now.view,
        known=kept.known,
    )


def _both(now: Any, kept: Any) -> Any:
    """Marks by slide: those of slides that are not in the window stay."""
    if isinstance(now, Mapping) and isinstance(kept, Mapping):
        return {**kept, **now}
    return now or kept


def renamed(state: SessionState, old: str, new: str) -> SessionState:
    """The state with a slide under another identity: its file was copied."""
    if old == new:
        return state
    marks = state.marks
    if isinstance(marks, Mapping):
        marks = {new if name == old else name: each for name, each in marks.items()}
    return replace(
        state,
        slides=tuple(replace(slide, identity=new) if slide.identity == old else slide for slide in state.slides),
        chosen=new if state.chosen == old else state.chosen,
        layers=tuple(
            replace(look, tag={**look.tag, "slide": new}) if look.tag.get("slide") == old else look
            for look in state.layers
        ),
        regions=tuple(replace(drawing, slide=new) if drawing.slide == old else drawing for drawing in state.regions),
        marks=marks,
    )


def is_same_slide(entry: SlideEntry, facts: SlideFacts) -> tuple[str, ...]:
    """Whether a file is the session's slide; what is to be said where it is a copy with another date.

    Raises
    ------
    InputError
        It is another slide.
    """
    if facts.identity == entry.identity:
        return ()
    if facts.shape_yx != entry.shape_yx:
        (height, width), (found_height, found_width) = entry.shape_yx, facts.shape_yx
        raise InputError(
            f"{facts.name}: expected the slide of the session, {entry.name} of {width} x {height} px, found another one"
            f" of {found_width} x {found_height} px; point at the slide itself."
        )
    return (
        f"{facts.name} is as large as the slide of the session, but its file was copied or changed since: regions and"
        " marks are put back, results are computed again.",
    )
