"""Layers that a user drew -> regions and tissue masks in level-0 slide pixels: pure functions on layer tuples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import shapely
from jaxtyping import Bool, Float
from shapely.affinity import translate
from shapely.geometry import MultiPolygon, Polygon

from napari_gimp.plugin.layers import drawn_on, placement
from napari_gimp.regions import Colour, Region, even_odd, mask_to_regions, regions_to_mask
from napari_gimp.settings import InputError
from napari_gimp.types import SlideFacts, Tissue

TISSUE_MASK_UM = 8.0
ELLIPSE_CORNERS = 96
AREAS = ("rectangle", "polygon", "ellipse")
NO_CLASS_COLOUR: Colour = (255, 193, 7)
EDGE_UM = 8
"""Width of an outline (pixels where the size is unknown)."""
NEW_REGION = {"name": "", "classification": ""}
"""Features of a shape that is drawn: without them it would take over those of the last one."""


def world_to_slide(points: Float[np.ndarray, "n 2"], mpp_yx: tuple[float, float] | None) -> Float[np.ndarray, "n 2"]:
    """World (um; pixels where the size is unknown) -> continuous level-0 pixels, 0 = the slide's top-left corner."""
    return np.asarray(points / np.asarray(mpp_yx or (1.0, 1.0)) + 0.5)


def slide_to_world(points: Float[np.ndarray, "n 2"], mpp_yx: tuple[float, float] | None) -> Float[np.ndarray, "n 2"]:
    """The inverse of :func:`world_to_slide`."""
    return np.asarray((points - 0.5) * np.asarray(mpp_yx or (1.0, 1.0)))


def regions_of(data: Any, attributes: Mapping[str, Any], kind: str, facts: SlideFacts) -> list[Region]:
    """A Shapes or Labels layer as regions of the slide.

    Raises
    ------
    InputError
        Lines and paths, which enclose nothing; layers with more than two axes.
    """
    if kind == "shapes":
        return _shape_regions(data, attributes, facts)
    return _label_regions(np.asarray(data), attributes, facts)


def drawn_tissue(data: Any, attributes: Mapping[str, Any], kind: str, facts: SlideFacts) -> Tissue:
    """The user's own tissue: everything inside the shapes, or every label but 0.

    Raises
    ------
    InputError
        An empty layer.
    """
    mask = _shapes_mask(data, attributes, facts) if kind == "shapes" else _labels_mask(data, attributes, facts)
    if not mask.any():
        name = attributes.get("name", "the layer")
        raise InputError(f"Expected tissue drawn in {name!r}, found nothing of it on {facts.name}; draw it, or detect.")
    return Tissue(mask, facts.shape_yx, "drawn")


def mask_shape(facts: SlideFacts) -> tuple[int, int]:
    """Shape of a mask of about 8 um a pixel that covers the slide."""
    mpp_y, mpp_x = facts.known_mpp_yx()
    height, width = facts.shape_yx
    return max(1, round(height * mpp_y / TISSUE_MASK_UM)), max(1, round(width * mpp_x / TISSUE_MASK_UM))


def _shapes_mask(data: Any, attributes: Mapping[str, Any], facts: SlideFacts) -> Bool[np.ndarray, "h w"]:
    return regions_to_mask(_shape_regions(data, attributes, facts), facts.shape_yx, mask_shape(facts))


def _labels_mask(data: Any, attributes: Mapping[str, Any], facts: SlideFacts) -> Bool[np.ndarray, "h w"]:
    """Labels looked up at the centre of every mask pixel."""
    labels, shape = np.asarray(data), mask_shape(facts)
    inside = np.ones(shape, bool)
    index = []
    for axis in range(2):
        centres = (np.arange(shape[axis]) + 0.5) * facts.shape_yx[axis] / shape[axis]
        world = (centres - 0.5) * facts.known_mpp_yx()[axis]
        place = np.round((world - attributes["translate"][axis]) / attributes["scale"][axis]).astype(np.int64)
        fits = (place >= 0) & (place < labels.shape[axis])
        inside &= fits[:, None] if axis == 0 else fits[None, :]
        index.append(np.clip(place, 0, labels.shape[axis] - 1))
    return np.asarray(inside & (labels[np.ix_(*index)] != 0))


def _shape_regions(data: Any, attributes: Mapping[str, Any], facts: SlideFacts) -> list[Region]:
    kinds = attributes.get("shape_type", "polygon")
    kinds = [kinds] * len(data) if isinstance(kinds, str) else list(kinds)
    names, colours = _names(attributes, len(data)), _colours(attributes, len(data))
    bad = sorted(set(kinds) - set(AREAS))
    if bad:
        raise InputError(f"Expected areas ({', '.join(AREAS)}), found {', '.join(bad)}; draw closed shapes.")
    place = (attributes["scale"], attributes["translate"])
    return [
        Region(shape_area(np.asarray(corners, float), kind, place, facts.mpp_yx), *names[k], colours[k])
        for k, (corners, kind) in enumerate(zip(data, kinds, strict=True))
    ]


def shape_area(
    corners: Float[np.ndarray, "n 2"], kind: str, place: tuple[Any, Any], mpp_yx: tuple[float, float] | None
) -> Polygon | MultiPolygon:
    """The area that a rectangle, polygon or ellipse of napari fills, (x, y) in level-0 pixels.

    Parameters
    ----------
    corners
        (y, x) in the layer's own coordinates; those of an ellipse are the corners of its box.
    place
        The layer's scale and translate.

    Raises
    ------
    InputError
        It fills nothing; it has more than two axes.
    """
    if corners.shape[1] != 2:
        raise InputError(f"Expected shapes with two axes (y, x), found {corners.shape[1]}.")
    points = _ellipse(corners) if kind == "ellipse" else corners
    return even_odd(world_to_slide(points * np.asarray(place[0]) + np.asarray(place[1]), mpp_yx)[:, ::-1])


def _names(attributes: Mapping[str, Any], count: int) -> list[tuple[str, str | None]]:
    """Name and class of each shape from the features ``name`` and ``classification``, else the layer's name."""
    features = attributes.get("features", {})
    names = list(features["name"]) if "name" in features else [str(attributes.get("name", ""))] * count
    classes = list(features["classification"]) if "classification" in features else [None] * count
    return [(str(name), None if kind in (None, "") else str(kind)) for name, kind in zip(names, classes, strict=True)]


def _colours(attributes: Mapping[str, Any], count: int) -> list[Colour | None]:
    """Colour of each outline; None for the one of regions that nobody gave a colour."""
    given = attributes.get("edge_color")
    if given is None or isinstance(given, str) or len(given) != count:
        return [None] * count
    found = [_rgb(colour) for colour in given]
    return [None if colour == NO_CLASS_COLOUR else colour for colour in found]


def _rgb(colour: Any) -> Colour:
    if isinstance(colour, str):
        return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)
    red, green, blue = (round(255 * float(value)) for value in colour[:3])
    return red, green, blue


def _ellipse(box: Float[np.ndarray, "4 2"]) -> Float[np.ndarray, "n 2"]:
    centre, along, across = box.mean(axis=0), (box[1] - box[0]) / 2, (box[3] - box[0]) / 2
    turn = np.linspace(0, 2 * np.pi, ELLIPSE_CORNERS, endpoint=False)[:, None]
    return np.asarray(centre + np.cos(turn) * along + np.sin(turn) * across)


def _label_regions(labels: np.ndarray, attributes: Mapping[str, Any], facts: SlideFacts) -> list[Region]:
    """One region per label value: the layer's own pixels, traced."""
    extent = np.asarray(attributes["scale"]) / np.asarray(facts.mpp_yx or (1.0, 1.0)) * labels.shape
    covered = (round(float(extent[0])), round(float(extent[1])))
    start = np.asarray(attributes["translate"]) - np.asarray(attributes["scale"]) / 2
    corner = world_to_slide(start[None], facts.mpp_yx)[0]
    name, found = str(attributes.get("name", "")), []
    for value in np.unique(labels[labels != 0]):
        traced = mask_to_regions(labels == value, covered, f"{name} {value}")
        found += [_moved(region, corner) for region in traced]
    return found


def _moved(region: Region, by_yx_px: Float[np.ndarray, " 2"]) -> Region:
    moved = translate(region.polygon, xoff=float(by_yx_px[1]), yoff=float(by_yx_px[0]))
    return Region(moved, region.name, region.classification, region.colour)


def shapes_layer(regions: Sequence[Region], facts: SlideFacts, name: str) -> tuple[Any, dict[str, Any], str]:
    """Regions as polygons, one each, with the features ``name`` and ``classification``.

    Holes and parts hang together by seams, edges that the outline goes forth and back; napari shows none of them.
    """
    attributes = {
        "name": name,
        "shape_type": "polygon",
        "face_color": "transparent",
        "edge_color": [colour_name(region.colour) for region in regions] or colour_name(None),
        "metadata": drawn_on(facts),
        "edge_width": EDGE_UM / (facts.mpp_yx or (1.0, 1.0))[0],
        "features": {
            "name": np.array([region.name for region in regions], object),
            "classification": np.array([region.classification or "" for region in regions], object),
        },
        "feature_defaults": NEW_REGION,
        **placement((0, 0), (1, 1), facts.mpp_yx),
    }
    return [ring_of(region.polygon) for region in regions], attributes, "shapes"


def ring_of(area: Polygon | MultiPolygon) -> Float[np.ndarray, "n 2"]:
    """One outline (y, x) in slide pixels, 0 in the middle of the first, round all parts and holes of an area."""
    rings = [ring for part in shapely.get_parts(area) for ring in (part.exterior, *part.interiors)]
    if len(rings) == 1:
        return np.asarray(shapely.get_coordinates(area)[:-1, ::-1] - 0.5)
    anchor = shapely.get_coordinates(rings[0])[:1]
    there_and_back = [piece for ring in rings for piece in (shapely.get_coordinates(ring), anchor)]
    return np.asarray(np.concatenate(there_and_back)[:-1, ::-1] - 0.5)


def colour_name(colour: Colour | None) -> str:
    """``#rrggbb`` of a region's colour, or of none."""
    red, green, blue = colour or NO_CLASS_COLOUR
    return f"#{red:02x}{green:02x}{blue:02x}"
