"""Regions <-> GeoJSON in QuPath's layout."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import shapely
from shapely.geometry import mapping, shape

from napari_gimp.files import write_text_whole
from napari_gimp.regions.region import Colour, Region, RegionFile, repaired
from napari_gimp.settings import InputError

ObjectType = Literal["annotation", "tile", "detection", "cell"]
NOT_REGIONS = ("tile", "detection", "cell")
AREAS = ("Polygon", "MultiPolygon")


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
    return list(_file_of(path, _numbered(path)).regions)


def geojson_file(path: str | Path) -> RegionFile:
    """The regions of a GeoJSON file that may hold points and lines as well: those are counted in a note.

    Raises
    ------
    InputError
        As :func:`read_geojson`, except that lines and points beside areas are no error.
    """
    path = Path(path)
    features = _numbered(path)
    areas = [(number, feature) for number, feature in features if _kind(feature) in AREAS]
    without = len(features) - len(areas)
    if not areas:
        return _file_of(path, features)
    note = f"{path.name}: {without} of {len(features)} features are points or lines, not areas, and were left out."
    return _file_of(path, areas, (note,) if without else ())


def write_geojson(path: str | Path, regions: Sequence[Region], metadata: Mapping[str, str] | None = None) -> None:
    """Write regions as annotations of a FeatureCollection that QuPath opens; whole or not at all.

    Parameters
    ----------
    metadata
        What every region is given along, by name; QuPath shows it. Nothing unless it is asked for.

    Raises
    ------
    InputError
        It cannot be written there; an older file is left as it was.
    """
    features = [to_feature(region, number=number) for number, region in enumerate(regions)]
    for feature in features:
        feature["properties"]["metadata"] = dict(metadata or {})
    write_text_whole(Path(path), json.dumps({"type": "FeatureCollection", "features": features}, allow_nan=False))


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


def _numbered(path: Path) -> list[tuple[int, dict[str, Any]]]:
    """The features that may be regions, with their numbers in the file."""
    features = enumerate(_features(path), start=1)
    return [(n, feature) for n, feature in features if _properties(feature).get("objectType") not in NOT_REGIONS]


def _file_of(path: Path, features: Sequence[tuple[int, dict[str, Any]]], notes: tuple[str, ...] = ()) -> RegionFile:
    regions = [_region(feature, f"{path.name}, feature {number}") for number, feature in features]
    if not regions:
        raise InputError(f"{path.name}: expected at least one polygon, found none; draw a region and save it again.")
    return RegionFile(tuple(regions), notes)


def _features(path: Path) -> list[dict[str, Any]]:
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise InputError(f"{path}: expected a readable GeoJSON file, found {error.strerror or error}.") from error
    except (ValueError, RecursionError) as error:
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


def _geometry(feature: Mapping[str, Any]) -> Any:
    return feature.get("geometry") if feature.get("type") == "Feature" else feature


def _kind(feature: Mapping[str, Any]) -> Any:
    geometry = _geometry(feature)
    return geometry.get("type") if isinstance(geometry, dict) else None


def _region(feature: Mapping[str, Any], where: str) -> Region:
    geometry, kind = _geometry(feature), _kind(feature)
    if kind not in AREAS:
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
