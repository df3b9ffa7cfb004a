"""Layers that the user drew <-> GeoJSON features of a session, in level-0 pixels: nothing is lost on the way.

Polygons are GeoJSON as they are. What GeoJSON has no word for (ellipses, seams to holes, colours of napari) stands in
the property ``napari-gimp`` of its feature; labels are outlined pixel by pixel and filled again exactly.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import shapely
from jaxtyping import Float
from shapely.errors import ShapelyError
from shapely.geometry import LineString, Point, Polygon, mapping, shape

from napari_gimp.plugin.layers import LayerTuple, drawn_on, placement
from napari_gimp.plugin.regions.annotations import regions_of, shapes_layer, slide_to_world, world_to_slide
from napari_gimp.plugin.sessions.labelcells import blank, boxes, fill
from napari_gimp.plugin.sessions.sessionstate import Drawing
from napari_gimp.regions import Region, mask_to_regions, repaired
from napari_gimp.settings import InputError
from napari_gimp.types import SlideFacts

OURS = "napari-gimp"
LINES = ("line", "path")
NAMED = ("name", "classification")


@dataclass(frozen=True, eq=False)
class Drawn:
    """A drawn layer at one moment, copied from the window: ``data`` and ``attributes`` as in a layer tuple."""

    name: str
    kind: str
    data: Any
    attributes: Mapping[str, Any]
    slide: str | None
    mpp_yx: tuple[float, float] | None

    @cached_property
    def drawing(self) -> Drawing:
        """As it stands in the session file; made once, for thousands of shapes take a while."""
        return drawing_of(self)

    def same(self, other: Drawn) -> bool:
        """Whether nothing was changed since."""
        mine, others = ((d.name, d.kind, d.slide, d.mpp_yx) for d in (self, other))
        alike = _alike(self.data, other.data) and _alike(dict(self.attributes), dict(other.attributes))
        return mine == others and alike


def _alike(a: Any, b: Any) -> bool:
    """Whether two values are the same; a number that is none is like another one."""
    if a is b:
        return True
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return a.shape == b.shape and bool(np.all((a == b) | ((a != a) & (b != b))))
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and (_all_alike(a, b) if a and isinstance(a[0], np.ndarray) else _same_words(a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_alike(a[key], b[key]) for key in a)
    return bool(a == b or (a != a and b != b))


def _all_alike(a: list[np.ndarray], b: list[np.ndarray]) -> bool:
    """Thousands of outlines at once."""
    return [len(each) for each in a] == [len(each) for each in b] and _alike(np.concatenate(a), np.concatenate(b))


def _same_words(a: list[Any], b: list[Any]) -> bool:
    return a == b or all(map(_alike, a, b))


def drawing_of(drawn: Drawn) -> Drawing:
    """A drawn layer as it stands in the session file."""
    features, grid = {"shapes": _shapes, "labels": _labels, "points": _points}[drawn.kind](drawn)
    look = drawn.attributes
    return Drawing(
        drawn.name,
        drawn.kind,
        drawn.slide,
        tuple(features),
        grid,
        bool(look["visible"]),
        float(look["opacity"]),
        dict(look.get("metadata", {})),
    )


def _to_slide(points: Any, drawn: Drawn) -> Float[np.ndarray, "n 2"]:
    """Data of a layer -> level-0 pixels (x, y)."""
    attributes = drawn.attributes
    world = np.asarray(points, float) * np.asarray(attributes["scale"]) + np.asarray(attributes["translate"])
    return world_to_slide(world, drawn.mpp_yx)[:, ::-1]


def _px(drawn: Drawn) -> float:
    """Level-0 pixels per step of a layer's data."""
    return float(drawn.attributes["scale"][0] / (drawn.mpp_yx or (1.0, 1.0))[0])


def _shapes(drawn: Drawn) -> tuple[list[dict[str, Any]], None]:
    return [_shape(k, corners, drawn) for k, corners in enumerate(drawn.data)], None


def _shape(k: int, corners: np.ndarray, drawn: Drawn) -> dict[str, Any]:
    kind, columns = drawn.attributes["shape_type"][k], drawn.attributes.get("features", {})
    xy = _to_slide(corners, drawn)
    ours: dict[str, Any] = {"shape_type": kind, "edge_width": drawn.attributes["edge_width"][k] * _px(drawn)}
    for part in ("edge_color", "face_color"):
        ours[part] = np.round(drawn.attributes[part][k], 4).tolist()
    geometry, exact = _geometry(k, kind, xy, drawn)
    if not exact:
        ours["corners"] = xy.tolist()
    others = {name: column[k] for name, column in columns.items() if name not in NAMED}
    properties = {
        "objectType": "annotation",
        "name": _word(columns, "name", k),
        "color": [round(255 * value) for value in ours["edge_color"][:3]],
        OURS: {**ours, "features": others},
    }
    if classification := _word(columns, "classification", k):
        properties["classification"] = {"name": classification, "color": properties["color"]}
    return {"type": "Feature", "geometry": mapping(geometry), "properties": properties}


def _geometry(k: int, kind: str, xy: Float[np.ndarray, "n 2"], drawn: Drawn) -> tuple[Any, bool]:
    """What a reader of GeoJSON sees of a shape, and whether its corners can be had from it again."""
    if kind in LINES:
        return LineString(xy), True
    if kind != "ellipse":
        ring = Polygon(xy)
        return (ring, True) if ring.is_valid else (_area(ring), False)
    one = {**drawn.attributes, "shape_type": [kind], "features": {}, "name": drawn.name}
    facts = SlideFacts("drawn", "", (1, 1), ((1, 1),), drawn.mpp_yx)
    return regions_of([drawn.data[k]], one, "shapes", facts)[0].polygon, False


def _area(ring: Polygon) -> Any:
    try:
        return repaired(ring)
    except InputError:  # nothing is enclosed yet: a drawing under way
        return LineString(ring.exterior.coords)


def _word(columns: Mapping[str, Any], name: str, k: int) -> str:
    value = columns[name][k] if name in columns else ""
    return str(value) if isinstance(value, str) else ""


def _labels(drawn: Drawn) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    labels = np.asarray(drawn.data)
    features = []
    for value, box in boxes(labels).items():
        part, corner_yx = labels[box] == value, np.array([side.start for side in box])
        for region in mask_to_regions(part, part.shape, f"{drawn.name} {value}"):
            placed = shapely.transform(
                region.polygon, lambda xy, yx=corner_yx: _to_slide(xy[:, ::-1] + yx - 0.5, drawn)
            )
            properties = {"objectType": "annotation", "name": region.name, OURS: {"value": int(value)}}
            features.append({"type": "Feature", "geometry": mapping(placed), "properties": properties})
    place = {name: tuple(float(v) for v in drawn.attributes[name]) for name in ("scale", "translate")}
    return features, {"shape": labels.shape, "dtype": str(labels.dtype), **place, "mpp_yx": drawn.mpp_yx}


def _points(drawn: Drawn) -> tuple[list[dict[str, Any]], None]:
    columns = drawn.attributes.get("features", {})
    features = []
    for k, xy in enumerate(_to_slide(drawn.data, drawn) if len(drawn.data) else ()):
        own = {
            "size": float(drawn.attributes["size"][k]) * _px(drawn),
            "features": {n: c[k] for n, c in columns.items()},
        }
        properties = {"objectType": "annotation", "name": _word(columns, "name", k), OURS: own}
        features.append({"type": "Feature", "geometry": mapping(Point(xy)), "properties": properties})
    return features, None


def layer_of(drawing: Drawing, facts: SlideFacts) -> LayerTuple:
    """A drawing of the session as a layer on its slide.

    Raises
    ------
    InputError
        A feature that is not what a session writes.
    """
    try:
        data, attributes = {"shapes": _shapes_back, "labels": _labels_back, "points": _points_back}[drawing.kind](
            drawing, facts
        )
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError, ShapelyError) as error:
        raise InputError(
            f"{drawing.name}: expected a drawing as a session stores it, found: {error}; draw it again."
        ) from error
    owner = {**drawing.metadata, **({} if drawing.slide is None else drawn_on(facts))}
    look = {"name": drawing.name, "visible": drawing.visible, "opacity": drawing.opacity, "metadata": owner}
    return data, {**attributes, **look}, drawing.kind


def _ours(feature: Mapping[str, Any]) -> Mapping[str, Any]:
    own = feature["properties"].get(OURS)
    return own if isinstance(own, Mapping) else {}


def _shapes_back(drawing: Drawing, facts: SlideFacts) -> tuple[list[np.ndarray], dict[str, Any]]:
    parts = [(corners, feature) for feature in drawing.features for corners in _corners(feature, facts)]
    owns = [_ours(feature) for _, feature in parts]
    attributes = {
        "shape_type": [own.get("shape_type", "polygon") for own in owns],
        "edge_width": [float(own.get("edge_width", 1)) for own in owns],
        "edge_color": [
            own.get("edge_color") or _colour(feature) for own, (_, feature) in zip(owns, parts, strict=True)
        ],
        "face_color": [own.get("face_color", [0, 0, 0, 0]) for own in owns],
        "features": _columns([feature for _, feature in parts]),
        **placement((0, 0), (1, 1), facts.mpp_yx),
    }
    if not parts:
        attributes |= {"edge_width": 1, "edge_color": "#ffc107", "face_color": "transparent", "shape_type": "polygon"}
    return [corners for corners, _ in parts], attributes


def _corners(feature: Mapping[str, Any], facts: SlideFacts) -> list[np.ndarray]:
    """Corners of a feature in layer data: slide pixels (y, x), 0 in the middle of the first."""
    stored = _ours(feature).get("corners")
    geometry = shape(feature["geometry"])
    if stored is not None:
        xy = np.asarray(stored, float)
    elif isinstance(geometry, LineString):
        xy = np.asarray(geometry.coords)
    elif isinstance(geometry, Polygon) and not geometry.interiors:
        xy = np.asarray(geometry.exterior.coords)[:-1]
    else:
        return list(shapes_layer([Region(repaired(geometry))], facts, "")[0])
    return [xy[:, ::-1] - 0.5]


def _colour(feature: Mapping[str, Any]) -> list[float]:
    return [*(value / 255 for value in feature["properties"].get("color", (255, 193, 7))), 1.0]


def _columns(features: list[Mapping[str, Any]]) -> dict[str, Any]:
    def classes(feature: Mapping[str, Any]) -> str:
        said = feature["properties"].get("classification") or ""
        return str(said.get("name", "")) if isinstance(said, Mapping) else str(said)

    own = [_ours(feature).get("features") or {} for feature in features]
    others = dict.fromkeys(name for each in own for name in each)
    return {
        "name": np.array([str(feature["properties"].get("name") or "") for feature in features], object),
        "classification": np.array([classes(feature) for feature in features], object),
        **{name: [each.get(name) for each in own] for name in others},
    }


def _labels_back(drawing: Drawing, facts: SlideFacts) -> tuple[np.ndarray, dict[str, Any]]:
    grid = drawing.grid
    if grid is None:
        raise ValueError("no grid of its labels")
    height, width = (int(n) for n in grid["shape"])
    mpp = None if grid["mpp_yx"] is None else np.asarray(grid["mpp_yx"], float)
    scale, translate = (np.asarray(grid[name], float) for name in ("scale", "translate"))

    def to_labels(xy: np.ndarray) -> np.ndarray:
        world = slide_to_world(xy[:, ::-1], None if mpp is None else (mpp[0], mpp[1]))
        return np.asarray((world - translate) / scale + 0.5)[:, ::-1]

    labels = blank((height, width), np.dtype(grid["dtype"]), drawing.name)
    for feature in drawing.features:
        fill(labels, shapely.transform(shape(feature["geometry"]), to_labels), int(_ours(feature)["value"]))
    ratio = 1.0 if mpp is None else np.asarray(facts.mpp_yx or (1.0, 1.0)) / mpp
    placed = placement((0, 0), (1, 1), facts.mpp_yx)
    return labels, {**placed, "scale": tuple(scale * ratio), "translate": tuple(translate * ratio)}


def _points_back(drawing: Drawing, facts: SlideFacts) -> tuple[np.ndarray, dict[str, Any]]:
    xy = np.array([shape(feature["geometry"]).coords[0] for feature in drawing.features], float).reshape(-1, 2)
    size = [float(_ours(feature).get("size", 10)) for feature in drawing.features]
    attributes: dict[str, Any] = {**placement((0, 0), (1, 1), facts.mpp_yx)}
    if len(xy):
        attributes |= {"size": size, "features": _columns(list(drawing.features))}
    return xy[:, ::-1] - 0.5, attributes
