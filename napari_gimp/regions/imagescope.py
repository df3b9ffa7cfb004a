"""Regions <-> XML of Aperio ImageScope.

A layer of ImageScope (``Annotation``) is a class: its ``Name`` and its ``LineColor``, red in the lowest byte. A
``Region`` has a ``Text``, a ``Type`` (0 outline, 1 rectangle, 2 ellipse, 3 arrow, 4 ruler) and ``Vertices`` in level-0
pixels; one with ``NegativeROA`` is a hole: of the region that its ``InputRegionId`` names, else of all of its layer.
ImageScope knows no region of several parts: they are written one by one and found again by an attribute of ours.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import NamedTuple, NoReturn
from xml.etree.ElementTree import Element, SubElement, TreeBuilder, indent, tostring
from xml.parsers import expat

import numpy as np
import shapely
from jaxtyping import Float
from shapely.geometry import MultiPolygon, Polygon

from napari_gimp.files import write_text_whole
from napari_gimp.regions.region import Colour, Region, RegionFile, even_odd
from napari_gimp.settings import InputError

OUTLINE, RECTANGLE, ELLIPSE = "0", "1", "2"
AREA_TYPES = (OUTLINE, RECTANGLE, ELLIPSE)
ELLIPSE_CORNERS = 96
DEFAULT_COLOUR: Colour = (255, 193, 7)
"""ImageScope wants a colour for every layer: that of regions without one."""
PART_OF = "part of region"
HEADERS = {"9999": "Region", "9997": "Length", "9996": "Area", "9998": "Text", "1": PART_OF}
FIRST_BYTES = 2048


class _Drawn(NamedTuple):
    """One ``Region`` of the file."""

    number: str
    name: str
    area: Polygon | MultiPolygon
    hole: bool
    of: str
    part_of: str


def looks_like_imagescope(path: Path) -> bool:
    """Whether the first bytes of a file are those of ImageScope's XML; False for one that cannot be read."""
    try:
        with path.open("rb") as file:
            start = file.read(FIRST_BYTES)
    except OSError:
        return False
    return b"<Annotations" in start.replace(b"\0", b"")  # also in UTF-16


def read_imagescope(path: str | Path) -> RegionFile:
    """Read the regions of an ImageScope file; arrows, rulers and outlines without an area are counted in a note.

    Raises
    ------
    InputError
        The file is missing, no XML, has a document type (which could make it refer to other files, or grow without
        end), is no ImageScope file, has corners that are no numbers, or holds no region at all.
    """
    path = Path(path)
    root = _root(path)
    if root.tag != "Annotations":
        raise InputError(
            f"{path.name}: expected ImageScope's <Annotations>, found <{root.tag}>; export it as XML again."
        )
    notes: list[str] = []
    regions = [region for layer in root.iter("Annotation") for region in _layer(layer, path.name, notes)]
    if not regions:
        raise InputError(f"{path.name}: expected at least one region, found none; draw one and save it again.")
    return RegionFile(tuple(regions), tuple(dict.fromkeys(notes)), _mpp(root))


def write_imagescope(
    path: str | Path,
    regions: Sequence[Region],
    mpp: float | None = None,
    attributes: Sequence[tuple[str, str]] = (),
) -> None:
    """Write regions for ImageScope, one layer per class and colour; whole or not at all.

    Parameters
    ----------
    mpp
        um per pixel: where it is known, ImageScope shows um.
    attributes
        Name and value of what every layer is given along. Nothing unless it is asked for.

    Raises
    ------
    InputError
        It cannot be written there; an older file is left as it was.
    """
    root = Element("Annotations", {} if mpp is None else {"MicronsPerPixel": f"{mpp:.6g}"})
    numbers = count(1)
    for number, ((name, colour), members) in enumerate(_by_layer(regions).items(), start=1):
        inner = _add_layer(root, number, name, colour, attributes)
        for region in members:
            _add_region(inner, region, numbers, mpp)
    indent(root)
    write_text_whole(Path(path), tostring(root, encoding="unicode") + "\n")


def _root(path: Path) -> Element:
    """The document, read without following anything that it refers to."""
    builder, parser = TreeBuilder(), expat.ParserCreate()

    def refuse(*_: object) -> NoReturn:
        raise InputError(
            f"{path.name}: expected plain ImageScope XML, found one with a document type, which is not read because it"
            " may refer to other files; remove the <!DOCTYPE> line."
        )

    parser.StartDoctypeDeclHandler = refuse
    parser.StartElementHandler, parser.EndElementHandler = builder.start, builder.end
    try:
        parser.Parse(path.read_bytes(), True)
    except OSError as error:
        raise InputError(f"{path}: expected a readable XML file, found {error.strerror or error}.") from error
    except (expat.ExpatError, LookupError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"{path.name}: expected ImageScope XML, found a file that is not ({error}); export it again."
        ) from error
    return builder.close()


def _layer(layer: Element, file: str, notes: list[str]) -> Iterator[Region]:
    """The regions of one layer, holes cut out, parts put together."""
    drawn = [found for element in layer.iter("Region") if (found := _drawn(element, file, notes)) is not None]
    holes = [item for item in drawn if item.hole]
    parts: dict[object, list[_Drawn]] = defaultdict(list)
    for number, item in enumerate(drawn):
        if not item.hole:
            parts[item.part_of or number].append(item)
    known = {item.number for item in drawn if not item.hole}
    for members in parts.values():
        area = shapely.union_all([_cut(item, holes, known) for item in members])
        if area.area > 0:
            yield Region(area, members[0].name, layer.get("Name") or None, _colour(layer, file))
        else:
            notes.append(f"{file}: a region that its holes cover whole was left out.")
    if holes and not parts:
        notes.append(f"{file}: a layer with nothing but holes was left out.")


def _cut(item: _Drawn, holes: Sequence[_Drawn], known: set[str]) -> Polygon | MultiPolygon:
    """The area less its holes; a hole whose region is not named, or not in this layer, is one of every region."""
    own = [hole.area for hole in holes if hole.of == item.number or hole.of not in known]
    cut = [hole for hole in own if shapely.intersects(hole, item.area)]
    return shapely.difference(item.area, shapely.union_all(cut)) if cut else item.area


def _drawn(element: Element, file: str, notes: list[str]) -> _Drawn | None:
    kind, number = element.get("Type", OUTLINE), element.get("Id", "")
    if kind not in AREA_TYPES:
        notes.append(f"{file}: arrows, rulers and other marks without an area were left out.")
        return None
    corners = _corners(element, f"{file}, region {number}")
    try:
        area = even_odd(_outline(corners, kind))
    except InputError:
        notes.append(f"{file}: outlines that enclose no area were left out.")
        return None
    attributes = {item.get("Name"): item.get("Value") for item in element.iter("Attribute")}
    return _Drawn(
        number, element.get("Text", ""), area, element.get("NegativeROA") == "1", element.get("InputRegionId", "0"),
        attributes.get(PART_OF) or "",
    )  # fmt: skip


def _corners(element: Element, where: str) -> Float[np.ndarray, "n 2"]:
    try:
        corners = [(float(item.attrib["X"]), float(item.attrib["Y"])) for item in element.iter("Vertex")]
    except (KeyError, ValueError) as error:
        raise InputError(
            f"{where}: expected vertices with numbers X and Y, found: {error}; export it again."
        ) from error
    found = np.array(corners, float).reshape(-1, 2)
    if not np.isfinite(found).all():
        raise InputError(f"{where}: expected finite numbers X and Y, found others; export it again.")
    return found


def _outline(corners: Float[np.ndarray, "n 2"], kind: str) -> Float[np.ndarray, "m 2"]:
    """The corners of the area: a rectangle may be given by two, an ellipse by two or four of its box."""
    if kind == OUTLINE or len(corners) > 4 or not len(corners):
        return corners
    low, high = corners.min(axis=0), corners.max(axis=0)
    if kind == ELLIPSE:
        turn = np.linspace(0, 2 * np.pi, ELLIPSE_CORNERS, endpoint=False)
        return np.asarray((low + high) / 2 + np.stack([np.cos(turn), np.sin(turn)], axis=1) * (high - low) / 2)
    return corners if len(corners) > 2 else np.array([low, (high[0], low[1]), high, (low[0], high[1])])


def _colour(layer: Element, file: str) -> Colour | None:
    packed = layer.get("LineColor")
    if packed is None:
        return None
    try:
        value = int(packed)
    except ValueError as error:
        raise InputError(f"{file}: expected a LineColor that is a number, found {packed!r}.") from error
    return value & 255, value >> 8 & 255, value >> 16 & 255


def _mpp(root: Element) -> float | None:
    try:
        mpp = float(root.get("MicronsPerPixel", "nan"))
    except ValueError:
        return None
    return mpp if math.isfinite(mpp) and mpp > 0 else None


def _by_layer(regions: Sequence[Region]) -> dict[tuple[str, Colour], list[Region]]:
    layers: dict[tuple[str, Colour], list[Region]] = defaultdict(list)
    for region in regions:
        layers[region.classification or "", region.colour or DEFAULT_COLOUR].append(region)
    return layers


def _add_layer(root: Element, number: int, name: str, colour: Colour, attributes: Sequence[tuple[str, str]]) -> Element:
    """An ImageScope layer; returns the element that its regions go into."""
    red, green, blue = colour
    layer = SubElement(
        root, "Annotation", Id=str(number), Name=_plain(name), ReadOnly="0", NameReadOnly="0", LineColorReadOnly="0",
        Incremental="0", Type="4", LineColor=str(red | green << 8 | blue << 16), Visible="1", Selected="0",
        MarkupImagePath="", MacroName="",
    )  # fmt: skip
    given = SubElement(layer, "Attributes")
    for place, (key, value) in enumerate(attributes):
        SubElement(given, "Attribute", Name=_plain(key), Id=str(place), Value=_plain(value))
    regions = SubElement(layer, "Regions")
    headers = SubElement(regions, "RegionAttributeHeaders")
    for header, title in HEADERS.items():
        SubElement(headers, "AttributeHeader", Id=header, Name=title, ColumnWidth="-1")
    SubElement(layer, "Plots")
    return regions


def _add_region(inner: Element, region: Region, numbers: Iterator[int], mpp: float | None) -> None:
    """Every part of a region, each followed by its holes."""
    parts = [part for part in shapely.get_parts(region.polygon) if part.area > 0]
    first = 0
    for part in parts:
        number = next(numbers)
        first = first or number
        outline = _add_outline(inner, number, region.name, Polygon(part.exterior), mpp)
        if len(parts) > 1:
            SubElement(outline, "Attribute", Name=PART_OF, Id="1", Value=str(first))
        for hole in part.interiors:
            _add_outline(inner, next(numbers), region.name, Polygon(hole), mpp, of=number)


def _add_outline(
    inner: Element, number: int, name: str, area: Polygon, mpp: float | None, of: int | None = None
) -> Element:
    """One outline; returns the element that its attributes go into."""
    size = 0.0 if mpp is None else mpp
    element = SubElement(
        inner, "Region", Id=str(number), Type=OUTLINE, Zoom="1", Selected="0", ImageLocation="", ImageFocus="-1",
        Length=f"{area.length:.1f}", Area=f"{area.area:.1f}", LengthMicrons=f"{area.length * size:.1f}",
        AreaMicrons=f"{area.area * size**2:.1f}", Text=_plain(name), NegativeROA="0" if of is None else "1",
        InputRegionId=str(of or 0), Analyze="1", DisplayId=str(number),
    )  # fmt: skip
    attributes, vertices = SubElement(element, "Attributes"), SubElement(element, "Vertices")
    for x, y in shapely.get_coordinates(area)[:-1]:
        SubElement(vertices, "Vertex", X=repr(float(x)), Y=repr(float(y)), Z="0")
    return attributes


def _plain(text: str) -> str:
    """Text without the characters that XML cannot hold."""
    return "".join(
        c for c in text if c in "\t\n\r" or "\x20" <= c <= "\ud7ff" or "\ue000" <= c <= "\ufffd" or c > "\uffff"
    )
