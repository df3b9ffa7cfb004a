"""Undo and redo of what is drawn in a Shapes layer: napari has none. A state is copied after every edit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from napari.layers import Shapes

from napari_gimp.plugin.regions.regionshapes import paint

DEPTH = 100
"""How many edits of a layer can be taken back."""


@dataclass(frozen=True, eq=False)
class Drawn:
    """One shape of a layer as it was."""

    kind: str
    corners: np.ndarray
    features: dict[str, Any]
    edge: np.ndarray
    face: np.ndarray
    edge_width: float
    z_index: int

    @property
    def form(self) -> tuple[str, tuple[int, ...], bytes]:
        """What must be drawn anew when it differs."""
        return self.kind, self.corners.shape, self.corners.tobytes()

    def same(self, other: Drawn) -> bool:
        """Whether nothing that the user edits differs."""
        words = (self.features, self.edge.tobytes()) == (other.features, other.edge.tobytes())
        return words and self.form == other.form


State = tuple[Drawn, ...]


def state_of(layer: Shapes) -> State:
    """The shapes of a layer now, copied."""
    rows = layer.features.to_dict("records")
    kinds, widths, depths = layer.shape_type, layer.edge_width, layer.z_index
    return tuple(
        Drawn(
            kinds[k], np.array(corners), rows[k] if k < len(rows) else {}, np.array(layer.edge_color[k]),
            np.array(layer.face_color[k]), widths[k], depths[k],
        )
        for k, corners in enumerate(layer.data)
    )  # fmt: skip


def restore(layer: Shapes, state: State) -> None:
    """Bring a layer back to a state: only what differs is drawn anew, since drawing takes napari long.

    Shapes that come back stand last, wherever they stood.
    """
    wanted: dict[Any, list[Drawn]] = {}
    for shape in state:
        wanted.setdefault(shape.form, []).append(shape)
    kept, gone = [], []
    for k, shape in enumerate(state_of(layer)):
        waiting = wanted.get(shape.form)
        if waiting:
            kept.append(waiting.pop(0))
        else:
            gone.append(k)
    missing = [shape for waiting in wanted.values() for shape in waiting]
    layer.selected_data = set()
    layer.remove(gone)
    if missing:
        _add(layer, missing)
    _dress(layer, [*kept, *missing])


def _add(layer: Shapes, shapes: list[Drawn]) -> None:
    layer.add(
        [shape.corners for shape in shapes],
        shape_type=[shape.kind for shape in shapes],
        edge_width=[shape.edge_width for shape in shapes],
        edge_color=np.stack([shape.edge for shape in shapes]),
        face_color=np.stack([shape.face for shape in shapes]),
    )


def _dress(layer: Shapes, shapes: list[Drawn]) -> None:
    """Names, classes and colours of all shapes, in the layer's order."""
    if not shapes:
        return
    columns = dict.fromkeys(name for shape in shapes for name in shape.features)
    layer.features = {name: [shape.features.get(name) for shape in shapes] for name in columns}
    for k, shape in enumerate(shapes):
        if not np.array_equal(layer.edge_color[k], shape.edge):
            paint(layer, [k], shape.edge)


class History:
    """The states of one layer, oldest first, and which of them is shown."""

    def __init__(self, state: State) -> None:
        self._states = [state]
        self._now = 0

    def push(self, state: State) -> bool:
        """Take in the state after an edit; whether anything was edited. What was taken back is forgotten."""
        before = self._states[self._now]
        if len(before) == len(state) and all(a.same(b) for a, b in zip(before, state, strict=True)):
            return False
        self._states = [*self._states[: self._now + 1], state][-DEPTH - 1 :]
        self._now = len(self._states) - 1
        return True

    def step(self, by: int) -> State | None:
        """The state one edit before (-1) or after (1) the one shown, which it becomes; None where there is none."""
        if not 0 <= self._now + by < len(self._states):
            return None
        self._now += by
        return self._states[self._now]

    def settle(self, state: State) -> None:
        """How the state shown came out: its shapes may stand in another order."""
        self._states[self._now] = state

    @property
    def can_undo(self) -> bool:
        """Whether there is an edit to take back."""
        return self._now > 0

    @property
    def can_redo(self) -> bool:
        """Whether there is an edit that was taken back."""
        return self._now < len(self._states) - 1
