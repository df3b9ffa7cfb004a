"""An area of a slide with a name and a class, and what makes one out of an outline that was drawn by hand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from jaxtyping import Bool, Float
from shapely.geometry import MultiPolygon, Polygon

from napari_gimp.settings import InputError

Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Region:
    """An area of a slide that somebody named.

    Parameters
    ----------
    polygon
        Valid shapely ``Polygon`` or ``MultiPolygon``, holes allowed; ``(x, y)``, level-0 pixels, y down.
    name
        What the user calls it; may be empty.
    classification
        QuPath's class, say ``"Tumor"``.
    colour
        Red, green, blue, 0 to 255; None leaves the choice to the viewer.

    Raises
    ------
    InputError
        The polygon is no area, is empty or crosses itself; the colour is out of range.
    """

    polygon: Polygon | MultiPolygon
    name: str = ""
    classification: str | None = None
    colour: Colour | None = None

    def __post_init__(self) -> None:
        if not self.polygon.area > 0:
            raise InputError(f"Region {self.name!r}: expected a polygon with an area, found one without.")
        if not self.polygon.is_valid:
            reason = shapely.is_valid_reason(self.polygon)
            raise InputError(f"Region {self.name!r}: expected an outline that does not cross itself, found {reason}.")
        if self.colour is not None and not all(0 <= value <= 255 for value in self.colour):
            raise InputError(f"Region {self.name!r}: expected colours from 0 to 255, found {self.colour}.")


@dataclass(frozen=True)
class RegionFile:
    """What a file of regions holds.

    Parameters
    ----------
    notes
        Sentences for the user: what was left out, and why.
    mpp
        um per pixel that the file gives, None where it does not.
    """

    regions: tuple[Region, ...]
    notes: tuple[str, ...] = ()
    mpp: float | None = None


def repaired(polygon: Any) -> Polygon | MultiPolygon:
    """The area of an outline drawn by hand: where it crosses itself, both lobes are kept; a valid one is unchanged.

    Raises
    ------
    InputError
        Nothing with an area is left.
    """
    if polygon.is_valid and isinstance(polygon, Polygon | MultiPolygon):
        return polygon
    parts = [part for part in shapely.get_parts(shapely.make_valid(polygon)) if part.area > 0]
    if not parts:
        raise InputError(f"Expected an outline that encloses an area, found {polygon.geom_type} without one.")
    return shapely.union_all(parts)


def even_odd(ring_xy: Float[np.ndarray, "n 2"]) -> Polygon | MultiPolygon:
    """The area that one closed outline encloses by the even-odd rule: what a viewer fills.

    An outline may cross itself, and may go forth and back along the same edge to a hole or to another part: edges that
    it passes an even number of times count for nothing.

    Raises
    ------
    InputError
        It encloses nothing.
    """
    plain = Polygon(ring_xy) if len(ring_xy) > 2 else Polygon()
    if plain.area > 0 and plain.is_valid:
        return plain
    edges = _odd_edges(ring_xy)
    faces = shapely.get_parts(shapely.polygonize([shapely.union_all(shapely.linestrings(edges))]))
    inside = _parity(edges, shapely.get_coordinates(shapely.point_on_surface(faces)))
    area = shapely.union_all(faces[inside])
    if not area.area > 0:
        raise InputError("Expected an outline that encloses an area, found one without.")
    return area


def _odd_edges(ring_xy: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "e 2 2"]:
    """The edges of a closed ring that it passes an odd number of times, each once, whichever way round."""
    edges = np.stack([ring_xy, np.roll(ring_xy, -1, axis=0)], axis=1)
    turned = (edges[:, 0, 0] > edges[:, 1, 0]) | (
        (edges[:, 0, 0] == edges[:, 1, 0]) & (edges[:, 0, 1] > edges[:, 1, 1])
    )
    edges = np.where(turned[:, None, None], edges[:, ::-1], edges)
    unique, counts = np.unique(edges.reshape(-1, 4), axis=0, return_counts=True)
    kept = unique[counts % 2 == 1].reshape(-1, 2, 2)
    return np.asarray(kept[(kept[:, 0] != kept[:, 1]).any(axis=1)])


def _parity(edges: Float[np.ndarray, "e 2 2"], points: Float[np.ndarray, "m 2"]) -> Bool[np.ndarray, " m"]:
    """Whether a ray to the right of each point crosses an odd number of edges."""
    (ax, ay), (bx, by) = edges[:, 0].T, edges[:, 1].T
    odd = np.zeros(len(points), bool)
    for k, (x, y) in enumerate(points):
        spans = (ay > y) != (by > y)
        crossing = ax[spans] + (y - ay[spans]) * (bx[spans] - ax[spans]) / (by[spans] - ay[spans])
        odd[k] = np.count_nonzero(crossing > x) % 2
    return odd
