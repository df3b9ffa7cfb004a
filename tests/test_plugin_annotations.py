"""What a user draws -> regions and masks of the slide and back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from napari.layers import Layer
from plugin_cases import MPP
from shapely.geometry import MultiPolygon, Polygon, box
from test_regions import regions

from napari_gimp.plugin.layers import placement
from napari_gimp.plugin.regions.annotations import (
    NO_CLASS_COLOUR,
    drawn_tissue,
    regions_of,
    shapes_layer,
    slide_to_world,
    world_to_slide,
)
from napari_gimp.regions import Region, read_geojson, write_geojson
from napari_gimp.settings import InputError
from napari_gimp.types import SlideFacts

FACTS = SlideFacts("HE3", "id", (4000, 5000), ((4000, 5000),), (MPP, MPP))
UM = {"scale": (1.0, 1.0), "translate": (0.0, 0.0), "name": "mine"}
SQUARE = np.array([[100, 50], [100, 450], [300, 450], [300, 50]], float)


def test_world_and_slide_are_each_others_inverse() -> None:
    points = np.array([[0, 0], [17.3, 4000.1]])
    np.testing.assert_allclose(slide_to_world(world_to_slide(points, (MPP, 0.3)), (MPP, 0.3)), points)
    np.testing.assert_allclose(world_to_slide(np.array([[-0.5 * MPP, -0.5 * MPP]]), (MPP, MPP)), [[0, 0]], atol=1e-9)


def test_a_rectangle_in_um_is_its_area_on_the_slide() -> None:
    (region,) = regions_of([SQUARE], {**UM, "shape_type": ["rectangle"]}, "shapes", FACTS)
    assert region.name == "mine"
    assert region.polygon.area == pytest.approx(200 * 400 / MPP**2)
    assert region.polygon.bounds[0] == pytest.approx(50 / MPP + 0.5)


def test_an_ellipse_has_its_area() -> None:
    (region,) = regions_of([SQUARE], {**UM, "shape_type": ["ellipse"]}, "shapes", FACTS)
    assert region.polygon.area == pytest.approx(np.pi * 100 * 200 / MPP**2, rel=2e-3)


def test_lines_are_refused() -> None:
    with pytest.raises(InputError, match="areas"):
        regions_of([SQUARE], {**UM, "shape_type": ["path"]}, "shapes", FACTS)


def test_a_crossing_outline_becomes_its_parts() -> None:
    bow = np.array([[0, 0], [100, 100], [100, 0], [0, 100]], float)
    (region,) = regions_of([bow], {**UM, "shape_type": ["polygon"]}, "shapes", FACTS)
    assert region.polygon.is_valid
    assert region.polygon.area == pytest.approx(5000 / MPP**2)


@settings(deadline=None, max_examples=25)
@given(
    st.lists(
        st.tuples(st.integers(0, 4000), st.integers(0, 3000), st.integers(5, 900), st.integers(5, 900)),
        min_size=1,
        max_size=5,
    ),
    st.sampled_from(["", "Tumor", "Stroma"]),
)
def test_annotations_go_out_to_geojson_and_come_back_unchanged(
    tmp_path_factory: pytest.TempPathFactory, boxes: list[tuple[int, int, int, int]], kind: str
) -> None:
    path = tmp_path_factory.mktemp("out") / "a.geojson"
    data = [np.array([[y, x], [y, x + w], [y + h, x + w], [y + h, x]], float) * MPP for x, y, w, h in boxes]
    features = {"name": [f"r{k}" for k in range(len(data))], "classification": [kind] * len(data)}
    drawn = regions_of(data, {**UM, "shape_type": "polygon", "features": features}, "shapes", FACTS)
    write_geojson(path, drawn)
    shapes, attributes, _ = shapes_layer(read_geojson(path), FACTS, "back")
    back = regions_of(shapes, attributes, "shapes", FACTS)
    assert [(r.name, r.classification) for r in back] == [(r.name, r.classification) for r in drawn]
    for before, after, world in zip(drawn, back, data, strict=True):
        assert before.polygon.symmetric_difference(after.polygon).area < 1e-3 * before.polygon.area
        np.testing.assert_allclose(np.asarray(attributes["scale"]) * shapes[0], data[0], atol=1e-3)
        assert after.polygon.area == pytest.approx(Polygon(world).area / MPP**2, rel=1e-4)


@settings(max_examples=25)
@given(st.lists(regions(), min_size=1, max_size=4))
def test_holes_and_parts_survive_the_way_through_a_shapes_layer(drawn: list[Region]) -> None:
    """Through napari's own layer, which keeps corners in single precision."""
    drawn = [Region(near_the_slide(r.polygon), r.name, r.classification, r.colour) for r in drawn]
    back = regions_of(*Layer.create(*shapes_layer(drawn, FACTS, "back")).as_layer_data_tuple(), FACTS)
    assert len(back) == len(drawn)
    for after, before in zip(back, drawn, strict=True):
        names = [text.rstrip("\0") for text in (before.name, before.classification or "")]  # numpy's texts end there
        assert [after.name, after.classification or ""] == names
        assert after.colour == (None if before.colour == NO_CLASS_COLOUR else before.colour)
        assert shapely.get_num_geometries(after.polygon) == shapely.get_num_geometries(before.polygon)
        assert holes(after) == holes(before)
        assert after.polygon.symmetric_difference(before.polygon).area < 1e-3 * before.polygon.length


def near_the_slide(area: Polygon | MultiPolygon) -> Polygon | MultiPolygon:
    """The same form, 1000 pixels large, 9000 from the corner."""
    low, size = np.array(area.bounds[:2]), max(area.bounds[2] - area.bounds[0], area.bounds[3] - area.bounds[1])
    return shapely.transform(area, lambda xy: (xy - low) * 1000 / size + 9000)


def holes(region: Region) -> int:
    return sum(len(part.interiors) for part in shapely.get_parts(region.polygon))


def test_seams_may_lead_through_other_holes_and_out_of_the_area() -> None:
    hook = box(0, 0, 100, 100).difference(box(20, -1, 80, 90))
    holed = hook.difference(box(85, 10, 95, 20)).difference(box(85, 40, 95, 50)).difference(box(5, 93, 95, 98))
    (back,) = regions_of(*shapes_layer([Region(holed, "hook")], FACTS, "back"), FACTS)
    assert back.polygon.equals(holed)


def test_a_new_shape_takes_nothing_over_from_the_last() -> None:
    layer = Layer.create(*shapes_layer([Region(box(0, 0, 9, 9), "old", "Tumor")], FACTS, "mine"))
    layer.add_rectangles([[[20, 20], [30, 30]]])
    assert list(layer.features["name"]) == ["old", ""]
    assert list(layer.features["classification"]) == ["Tumor", ""]


def test_painted_labels_become_one_region_per_value_on_their_pixels() -> None:
    labels = np.zeros((40, 50), np.uint8)
    labels[10:20, 5:25] = 1
    labels[30:35, 30:40] = 2
    attributes = {"name": "paint", **placement((0, 0), (100, 100), (MPP, MPP))}
    one, two = regions_of(labels, attributes, "labels", FACTS)
    assert one.polygon.bounds == pytest.approx((500, 1000, 2500, 2000))
    assert two.polygon.bounds == pytest.approx((3000, 3000, 4000, 3500))


def test_drawn_tissue_is_the_mask_of_shapes_or_labels() -> None:
    shapes = drawn_tissue([SQUARE], {**UM, "shape_type": ["rectangle"]}, "shapes", FACTS)
    labels = np.zeros((40, 50), np.uint8)
    labels[10:20, 5:25] = 3
    painted = drawn_tissue(labels, {"name": "p", **placement((0, 0), (100, 100), (MPP, MPP))}, "labels", FACTS)
    assert shapes.source == painted.source == "drawn"
    for tissue, area in ((shapes, 200 * 400 / MPP**2), (painted, 10 * 20 * 100**2)):
        assert tissue.mask.sum() * np.prod(tissue.scale_yx_px) == pytest.approx(area, rel=0.05)
    rows = np.flatnonzero(painted.mask.any(axis=1)) * painted.scale_yx_px[0]
    assert rows.min() == pytest.approx(1000, abs=40)


def test_nothing_drawn_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="found nothing"):
        drawn_tissue(
            np.zeros((4, 4), np.uint8), {"name": "p", **placement((0, 0), (9, 9), (MPP, MPP))}, "labels", FACTS
        )
