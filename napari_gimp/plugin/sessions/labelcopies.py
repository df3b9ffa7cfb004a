"""Copies of the user's labels, made again only after a change: they may be large, and are looked at every second."""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary, WeakSet

import numpy as np
from napari.layers import Labels

from napari_gimp.plugin.sessions.labelcells import LARGEST_LABELS

CHANGES = ("paint", "labels_update", "data", "set_data")
"""napari's events of painting, of a stroke under way, of other data, and of all else that is drawn anew (say, undo)."""


class LabelCopies:
    """The latest copy of each layer of labels.

    Parameters
    ----------
    limit_bytes
        Larger layers are not copied.

    Attributes
    ----------
    unsaid
        Sentences about layers that are too large, one a layer; for the caller to say and to clear.
    """

    def __init__(self, limit_bytes: int = LARGEST_LABELS) -> None:
        self.unsaid: list[str] = []
        self._limit = limit_bytes
        self._copies: WeakKeyDictionary[Labels, np.ndarray] = WeakKeyDictionary()
        self._heard: WeakSet[Labels] = WeakSet()
        self._large: WeakSet[Labels] = WeakSet()

    def keeps(self, layer: Any) -> bool:
        """Whether this layer is none of labels, or small enough."""
        if not isinstance(layer, Labels):
            return True
        data = layer.data[0] if layer.multiscale else layer.data
        size = int(np.prod(data.shape, dtype=float)) * data.dtype.itemsize
        if size > self._limit and layer not in self._large:
            self._large.add(layer)
            self.unsaid.append(
                f"The labels {layer.name} are too large for a session ({size / 1e6:,.0f} MB, at most"
                f" {self._limit / 1e6:,.0f}): save them to a file of their own."
            )
        return bool(size <= self._limit)

    def of(self, layer: Labels) -> np.ndarray:
        """The layer's labels; the very same array until they change."""
        if layer not in self._heard:
            self._heard.add(layer)
            for name in CHANGES:
                getattr(layer.events, name).connect(self._changed)
        if layer not in self._copies:
            self._copies[layer] = np.array(layer.data[0] if layer.multiscale else layer.data)
        return self._copies[layer]

    def _changed(self, event: Any) -> None:
        self._copies.pop(event.source, None)
