"""Regions with names and classes: polygons <-> GeoJSON in QuPath's layout, polygons <-> masks."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import shapely
from jaxtyping import Bool, Float
from shapely.geometry import MultiPolygon, Polygon, mapping, shape

from napari_gimp.settings import InputError

Colour = tuple[int, int, int]
ObjectType = Literal["annotation", "tile", "detection", "cell"]
NOT_REGIONS = ("tile", "detection", "cell")


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


def read_geojson(path: str | Path) -> list[Region]:
    """Read the regions of a GeoJSON file: QuPath's, ours or any other in level-0 pixels.

    Accepts a FeatureCollection, a list of features, one feature or a bare geometry. Tiles, detections and cells carry
    measurements rather than regions and are left out. Outlines that cross themselves are repaired.

    Raises
    ------
    InputError
        The file is missing, no GeoJSON, holds something other than areas, or no region at all.
    """
    path = Path(path)
    regions = [
        _region(feature, f"{path.name}, feature {number}")
        for number, feature in enumerate(_features(path), start=1)
        if _properties(feature).get("objectType") not in NOT_REGIONS
    ]
    if not regions:
        raise InputError(f"{path.name}: expected at least one polygon, found none; draw a region and save it again.")
    return regions


def write_geojson(path: str | Path, regions: Sequence[Region]) -> None:
    """Write regions as annotations of a FeatureCollection that QuPath opens; whole or not at all."""
    path = Path(path)
    features = [to_feature(region, number=number) for number, region in enumerate(regions)]
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        beside.write_text(
            json.dumps({"type": "FeatureCollection", "features": features}, allow_nan=False), encoding="utf-8"
        )
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def to_feature(
    region: Region,
    object_type: ObjectType = "annotation",
    measurements: Mapping[str, float] | None = None,
    *,
    number: int = 0,
) -> dict[str, Any]:
    """One GeoJSON feature as QuPath reads it.

    ``objectType`` stands inside ``properties`` (elsewhere QuPath takes the object for an annotation); a classification
    without a colour is a plain string (as an object it makes QuPath throw). The identifier is made from the content
    and ``number``, so that the same regions give the same file.
    """
    return {
        "type": "Feature",
        "id": str(uuid.uuid5(uuid.NAMESPACE_OID, repr((number, object_type, region.name, region.polygon.wkt)))),
        "geometry": mapping(region.polygon),
        "properties": {
            "objectType": object_type,
            "name": region.name,
            **({} if region.colour is None else {"color": list(region.colour)}),
            **({} if region.classification is None else {"classification": _classification(region)}),
            "isLocked": False,
            "measurements": dict(measurements or {}),
            "metadata": {},
        },
    }


def regions_to_mask(
    regions: Sequence[Region], slide_shape_yx: tuple[int, int], mask_shape: tuple[int, int]
) -> Bool[np.ndarray, "h w"]:
    """Draw regions into a mask that covers the slide: a mask pixel is in when its centre is.

    Parameters
    ----------
    slide_shape_yx, mask_shape
        Height and width of the slide in level-0 pixels and of the mask.

    Notes
    -----
    Scan conversion by parity: every outline that crosses a row of pixel centres flips what lies right of it.
    """
    height, width = mask_shape
    scale_xy = np.array([width / slide_shape_yx[1], height / slide_shape_yx[0]])
    rings = _rings(shapely.union_all([region.polygon for region in regions])) if regions else []
    flips = np.zeros((height, width + 1), np.int64)
    for ring in rings:
        _add_crossings(flips, ring * scale_xy - 0.5)
    return np.asarray(np.cumsum(flips, axis=1)[:, :width] % 2 == 1)


def mask_to_regions(
    mask: Bool[np.ndarray, "h w"], slide_shape_yx: tuple[int, int], name: str, classification: str | None = None
) -> list[Region]:
    """Outline the connected parts of a mask exactly along its pixel edges, holes included.

    ``regions_to_mask`` gives the mask back unchanged. Pixels that touch only at a corner are separate regions.
    """
    rows, starts, stops = _runs(mask)
    area = shapely.union_all(shapely.box(starts, rows, stops, rows + 1)).simplify(0)
    scale_xy = np.array([slide_shape_yx[1] / mask.shape[1], slide_shape_yx[0] / mask.shape[0]])
    placed = shapely.transform(area, lambda xy: xy * scale_xy)
    return [Region(part, name, classification) for part in shapely.get_parts(placed) if part.area > 0]


def _features(path: Path) -> list[dict[str, Any]]:
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise InputError(f"{path}: expected a readable GeoJSON file, found {error.strerror or error}.") from error
    except ValueError as error:
        raise InputError(
            f"{path.name}: expected GeoJSON, found text that is not JSON ({error}); save it as GeoJSON again."
        ) from error
    if isinstance(content, dict):
        content = content["features"] if isinstance(content.get("features"), list) else [content]
    if not isinstance(content, list) or not all(isinstance(item, dict) for item in content):
        raise InputError(f"{path.name}: expected GeoJSON features, found other JSON; export the regions as GeoJSON.")
    return content


def _properties(feature: Mapping[str, Any]) -> Mapping[str, Any]:
    properties = feature.get("properties")
    return properties if isinstance(properties, dict) else {}


def _region(feature: Mapping[str, Any], where: str) -> Region:
    geometry = feature.get("geometry") if feature.get("type") == "Feature" else feature
    kind = geometry.get("type") if isinstance(geometry, dict) else None
    if kind not in ("Polygon", "MultiPolygon"):
        raise InputError(f"{where}: expected a Polygon or MultiPolygon, found {kind}; keep only areas in the file.")
    properties = _properties(feature)
    label = properties.get("classification")
    named = label if isinstance(label, dict) else {"name": label}
    try:
        polygon = repaired(shapely.force_2d(shape(geometry)))
        colour = _colour(properties) or _colour(named)
        return Region(polygon, str(properties.get("name") or ""), named.get("name") or None, colour)
    except (TypeError, ValueError, IndexError, AttributeError, KeyError, shapely.errors.ShapelyError) as error:
        raise InputError(f"{where}: expected a closed outline of x, y pairs and a colour, found: {error}") from error


def _colour(properties: Mapping[str, Any]) -> Colour | None:
    if "color" in properties:
        red, green, blue = (int(value) for value in properties["color"])
        return red, green, blue
    if "colorRGB" in properties:  # QuPath before 0.4: one signed 32-bit number
        packed = int(properties["colorRGB"])
        return packed >> 16 & 255, packed >> 8 & 255, packed & 255
    return None


def _classification(region: Region) -> str | dict[str, Any] | None:
    if region.colour is None:
        return region.classification
    return {"name": region.classification, "color": list(region.colour)}


def _rings(area: Any) -> list[Float[np.ndarray, "n 2"]]:
    polygons = [part for part in shapely.get_parts(area) if isinstance(part, Polygon)]
    return [shapely.get_coordinates(ring) for part in polygons for ring in (part.exterior, *part.interiors)]


def _add_crossings(flips: np.ndarray, ring_xy: Float[np.ndarray, "n 2"]) -> None:
    """Count, per row of pixel centres (integers here), the first pixel right of each crossing with the ring."""
    height, width = flips.shape
    a, b = ring_xy[:-1], ring_xy[1:]
    up = (a[:, 1] > b[:, 1])[:, None]
    top, bottom = np.where(up, b, a), np.where(up, a, b)
    first = np.ceil(np.clip(top[:, 1], 0, height)).astype(np.int64)
    count = np.ceil(np.clip(bottom[:, 1], 0, height)).astype(np.int64) - first
    edge = np.repeat(np.arange(len(a)), count)
    row = np.arange(len(edge)) - np.repeat(np.cumsum(count) - count, count) + first[edge]
    slope = (bottom[edge] - top[edge])[:, 0] / (bottom[edge] - top[edge])[:, 1]
    x = top[edge, 0] + slope * (row - top[edge, 1])
    np.add.at(flips, (row, np.ceil(np.clip(x, 0, width - 1)).astype(np.int64)), 1)


def _runs(mask: Bool[np.ndarray, "h w"]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Row, first column and column after the last of every horizontal run of True."""
    steps = np.diff(np.pad(mask, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    rows, starts = np.nonzero(steps == 1)
    return rows, starts, np.nonzero(steps == -1)[1]
