"""Regions: what goes into a GeoJSON file comes out unchanged; masks and polygons agree."""

import json
import uuid
from pathlib import Path

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from shapely.geometry import MultiPolygon, Polygon, box
from skimage.draw import polygon2mask

from napari_gimp.regions import (
    Region,
    even_odd,
    geojson_file,
    mask_to_regions,
    read_geojson,
    regions_to_mask,
    repaired,
    to_feature,
    write_geojson,
)
from napari_gimp.settings import InputError

HOLED = Polygon(box(0, 0, 40, 30).exterior, [box(5, 5, 10, 10).exterior, box(20, 8, 30, 22).exterior])

coordinates = st.floats(-1e5, 2e5, allow_nan=False).map(lambda value: value + 0.0)
sides = st.floats(1.5, 5e4, allow_nan=False)
colours = st.none() | st.tuples(*[st.integers(0, 255)] * 3)


@st.composite
def polygons(draw: st.DrawFn) -> Polygon:
    """A box, star or box with a hole at any place."""
    x, y, width, height = draw(coordinates), draw(coordinates), draw(sides), draw(sides)
    frame = box(x, y, x + width, y + height)
    if draw(st.booleans()):
        hole = box(x + width / 4, y + height / 4, x + width / 2, y + height / 2)
        return Polygon(frame.exterior, [hole.exterior])
    corners = draw(st.integers(3, 12))
    radius = [draw(st.floats(0.3, 1.0)) for _ in range(corners)]
    angle = np.arange(corners) * 2 * np.pi / corners
    return Polygon(np.stack([x + width * np.cos(angle) * radius, y + width * np.sin(angle) * radius], axis=1))


@st.composite
def regions(draw: st.DrawFn) -> Region:
    first = draw(polygons())
    beyond = shapely.transform(first, lambda xy: xy + np.array([first.bounds[2] - first.bounds[0] + 1, 0]))
    area = draw(st.sampled_from([first, MultiPolygon([first, beyond])]))
    label = draw(st.none() | st.text(min_size=1, max_size=12))
    return Region(area, draw(st.text(max_size=12)), label, draw(colours))


@settings(max_examples=60, deadline=None)
@given(st.lists(regions(), min_size=1, max_size=4))
def test_regions_come_back_unchanged(tmp_path_factory: pytest.TempPathFactory, drawn: list[Region]) -> None:
    path = tmp_path_factory.mktemp("regions") / "a.geojson"
    write_geojson(path, drawn)
    assert read_geojson(path) == drawn
    features = json.loads(path.read_text(encoding="utf-8"))["features"]
    assert len({feature["id"] for feature in features}) == len(drawn)
    assert all(shapely.geometry.shape(feature["geometry"]).is_valid for feature in features)
    assert [item.name for item in path.parent.iterdir()] == ["a.geojson"]


def test_feature_has_qupaths_layout() -> None:
    feature = to_feature(Region(HOLED, "nest", "Tumor", (200, 0, 0)), "tile", {"attention": 0.25})
    assert feature["type"] == "Feature"
    assert uuid.UUID(feature["id"])
    assert feature["properties"] == {
        "objectType": "tile",
        "name": "nest",
        "color": [200, 0, 0],
        "classification": {"name": "Tumor", "color": [200, 0, 0]},
        "isLocked": False,
        "measurements": {"attention": 0.25},
        "metadata": {},
    }
    assert len(feature["geometry"]["coordinates"]) == 3
    assert all(tuple(ring[0]) == tuple(ring[-1]) for ring in feature["geometry"]["coordinates"])


def test_classification_without_colour_is_a_plain_string() -> None:
    properties = to_feature(Region(HOLED, "", "Stroma"))["properties"]
    assert properties["classification"] == "Stroma"
    assert "color" not in properties


def test_same_regions_give_the_same_file(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_geojson(tmp_path / name, [Region(HOLED, "x"), Region(HOLED, "x")])
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_reads_what_qupath_writes(tmp_path: Path) -> None:
    path = tmp_path / "qupath.geojson"
    ring = [[10, 10], [20, 10], [20, 30.5], [10, 10]]
    path.write_text(
        json.dumps(
            [
                {
                    "type": "Feature",
                    "id": "PathAnnotationObject",
                    "geometry": {"type": "Polygon", "coordinates": [ring]},
                    "properties": {"classification": {"name": "Tumor", "colorRGB": -3670016}, "isLocked": True},
                },
                {
                    "type": "Feature",
                    "geometry": {"type": "MultiPolygon", "coordinates": [[ring]], "isEllipse": False},
                    "properties": {"objectType": "annotation", "color": [1, 2, 3]},
                },
                {
                    "type": "Feature",
                    "geometry": {"type": "Polygon", "coordinates": [ring]},
                    "properties": {"objectType": "tile", "measurements": {"attention": 1}},
                },
            ]
        ),
        encoding="utf-8",
    )
    assert read_geojson(path) == [
        Region(Polygon(ring), "", "Tumor", (200, 0, 0)),
        Region(MultiPolygon([Polygon(ring)]), "", None, (1, 2, 3)),
    ]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "not JSON"),
        ("no json", "not JSON"),
        ("3", "other JSON"),
        ("[1, 2]", "other JSON"),
        ("{}", "found None"),
        ('{"type": "FeatureCollection", "features": []}', "at least one polygon"),
        ('{"type": "Feature", "geometry": null}', "found None"),
        ('{"type": "Point", "coordinates": [1, 2]}', "found Point"),
        ('{"type": "Polygon"}', "closed outline"),
        ('{"type": "Polygon", "coordinates": [[[1, 2], [3, 4]]]}', "closed outline"),
        ('{"type": "Polygon", "coordinates": [[["a", 2], [3, 4], [5, 9]]]}', "closed outline"),
        ('{"type": "Polygon", "coordinates": [[[0, 0], [1, 1], [2, 2], [0, 0]]]}', "encloses an area"),
        (
            '{"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [[[0, 0], [9, 0], [9, 9], [0, 0]]]},'
            ' "properties": {"color": "red"}}',
            "a colour",
        ),
    ],
)
def test_a_bad_file_is_one_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    path = tmp_path / "bad.geojson"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=sentence) as caught:
        read_geojson(path)
    assert "bad.geojson" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_binary_missing_and_folder_are_refused(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(bytes(range(256)))
    for name, sentence in (("binary", "not JSON"), ("missing", "No such file"), (".", "directory")):
        with pytest.raises(InputError, match=sentence):
            read_geojson(tmp_path / name)


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.geojson"
    write_geojson(path, [Region(HOLED, "old")])
    with pytest.raises(InputError, match=r"no\.geojson: expected to write"):
        write_geojson(path / "no.geojson", [Region(HOLED)])
    assert read_geojson(path)[0].name == "old"


def test_points_and_lines_beside_areas_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "mixed.geojson"
    point = {"type": "Feature", "geometry": {"type": "Point", "coordinates": [1, 2]}}
    path.write_text(json.dumps([point, to_feature(Region(HOLED, "kept"))]), encoding="utf-8")
    found = geojson_file(path)
    assert [region.name for region in found.regions] == ["kept"]
    assert found.notes == ("mixed.geojson: 1 of 2 features are points or lines, not areas, and were left out.",)
    with pytest.raises(InputError, match="feature 1: expected a Polygon"):
        read_geojson(path)


@st.composite
def seamed(draw: st.DrawFn) -> tuple[np.ndarray, Polygon | MultiPolygon]:
    """An area and one outline that goes along seams to its holes and parts."""
    area = draw(regions()).polygon
    rings = [ring for part in shapely.get_parts(area) for ring in (part.exterior, *part.interiors)]
    anchor = np.asarray(rings[0].coords)[:1]
    pieces = [np.concatenate([np.asarray(ring.coords), anchor]) for ring in rings]
    return np.concatenate(pieces), area


@given(seamed())
def test_seams_to_holes_and_parts_enclose_nothing(drawn: tuple[np.ndarray, Polygon | MultiPolygon]) -> None:
    ring, area = drawn
    found = even_odd(ring)
    assert found.is_valid
    assert found.symmetric_difference(area).area <= 1e-9 * area.area
    assert shapely.get_num_geometries(found) == shapely.get_num_geometries(area)


def test_the_middle_of_a_pentagram_is_not_in_it() -> None:
    angle = np.arange(5) * 4 * np.pi / 5
    star = even_odd(np.stack([np.cos(angle), np.sin(angle)], axis=1))
    assert not star.contains(shapely.Point(0, 0))
    assert star.contains(shapely.Point(0.8, 0))


@pytest.mark.parametrize("ring", [[], [(0, 0)], [(0, 0), (1, 1)], [(0, 0), (1, 1), (2, 2)], [(0, 0), (1, 1), (0, 0)]])
def test_outlines_without_an_area_are_refused(ring: list[tuple[float, float]]) -> None:
    with pytest.raises(InputError, match="encloses an area"):
        even_odd(np.array(ring, float).reshape(-1, 2))


@pytest.mark.parametrize(
    ("polygon", "colour", "sentence"),
    [
        (Polygon(), None, "with an area"),
        (Polygon([(0, 0), (4, 4), (4, 0), (0, 2)]), None, "does not cross itself"),
        (HOLED, (0, 0, 256), "colours from 0 to 255"),
    ],
)
def test_regions_refuse_nonsense(polygon: Polygon, colour: tuple | None, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        Region(polygon, colour=colour)


def test_a_bow_tie_keeps_both_lobes() -> None:
    tie = repaired(Polygon([(0, 0), (4, 4), (4, 0), (0, 4)]))
    assert tie.is_valid
    assert tie.area == 8


@settings(max_examples=60, deadline=None)
@given(
    arrays(bool, st.tuples(st.integers(1, 13), st.integers(1, 13))),
    st.tuples(st.integers(13, 999), st.integers(13, 999)),
)
def test_masks_come_back_unchanged(mask: np.ndarray, slide_shape: tuple[int, int]) -> None:
    outlined = mask_to_regions(mask, slide_shape, "tissue")
    assert np.array_equal(regions_to_mask(outlined, slide_shape, mask.shape), mask)
    covered = sum(region.polygon.area for region in outlined) / (slide_shape[0] * slide_shape[1])
    assert covered == pytest.approx(mask.mean())


def test_a_mask_with_a_hole_is_one_region_with_few_corners() -> None:
    mask = np.zeros((60, 80), bool)
    mask[10:50, 10:70] = True
    mask[20:30, 30:40] = False
    (region,) = mask_to_regions(mask, (600, 1600), "tissue", "Tissue")
    assert region.polygon.bounds == (200, 100, 1400, 500)
    assert len(region.polygon.interiors) == 1
    assert len(region.polygon.exterior.coords) <= 6
    assert (region.name, region.classification) == ("tissue", "Tissue")


def test_nothing_has_no_regions_and_no_mask() -> None:
    assert mask_to_regions(np.zeros((5, 5), bool), (50, 50), "tissue") == []
    assert not regions_to_mask([], (50, 50), (5, 5)).any()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_scan_conversion_agrees_with_skimage_and_area(seed: int) -> None:
    rng = np.random.default_rng(seed)
    angle = np.sort(rng.random(9)) * 2 * np.pi
    radius = rng.uniform(40, 130, 9)
    outline = repaired(Polygon(np.stack([150 + radius * np.cos(angle), 100 + radius * np.sin(angle)], axis=1)))
    region = Region(outline)
    mask = regions_to_mask([region], (200, 300), (200, 300))
    parts = [np.asarray(part.exterior.coords)[:, ::-1] - 0.5 for part in shapely.get_parts(outline)]
    reference = np.any([polygon2mask((200, 300), part) for part in parts], axis=0)
    assert (mask != reference).sum() <= 2  # skimage counts centres that lie exactly on an outline
    again = shapely.union_all([r.polygon for r in mask_to_regions(mask, (200, 300), "again")])
    inside = outline.intersection(box(0, 0, 300, 200))
    assert again.intersection(inside).area / again.union(inside).area > 0.93


def test_holes_overlaps_and_parts_beyond_the_slide() -> None:
    overlapping = [
        Region(HOLED),
        Region(box(35, 0, 60, 30)),
        Region(box(-20, -20, 2, 2)),
        Region(box(500, 500, 600, 600)),
    ]
    mask = regions_to_mask(overlapping, (30, 50), (30, 50))
    expected = np.ones((30, 50), bool)
    expected[5:10, 5:10] = expected[8:22, 20:30] = False
    assert np.array_equal(mask, expected)
