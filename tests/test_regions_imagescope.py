"""XML of Aperio ImageScope: what goes out comes back, what ImageScope and others write is read, bad files are told."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely.geometry import MultiPolygon, Polygon, box
from test_regions import HOLED, regions

from napari_gimp.regions import (
    Region,
    RegionFile,
    fitting_notes,
    looks_like_imagescope,
    outside_shares,
    read_imagescope,
    read_regions,
    write_geojson,
    write_imagescope,
)
from napari_gimp.settings import InputError

FROM_IMAGESCOPE = """<Annotations MicronsPerPixel="0.2521">
  <Annotation Id="1" Name="Tumor" ReadOnly="0" Type="4" LineColor="65280" Visible="1" MarkupImagePath="">
    <Attributes><Attribute Name="Description" Id="0" Value=""/></Attributes>
    <Regions>
      <RegionAttributeHeaders><AttributeHeader Id="9999" Name="Region" ColumnWidth="-1"/></RegionAttributeHeaders>
      <Region Id="1" Type="0" Text="nest" NegativeROA="0" InputRegionId="0" DisplayId="1"><Attributes/>
        <Vertices><Vertex X="0" Y="0" Z="0"/><Vertex X="100" Y="0"/><Vertex X="100" Y="80"/>
          <Vertex X="0" Y="80"/></Vertices>
      </Region>
      <Region Id="2" Type="0" Text="" NegativeROA="1" InputRegionId="0" DisplayId="2"><Attributes/>
        <Vertices><Vertex X="10" Y="10"/><Vertex X="20" Y="10"/><Vertex X="20" Y="30"/>
          <Vertex X="10" Y="30"/></Vertices>
      </Region>
      <Region Id="3" Type="1" Text="square" NegativeROA="0"><Vertices>
        <Vertex X="200" Y="0"/><Vertex X="300" Y="0"/><Vertex X="300" Y="50"/>
        <Vertex X="200" Y="50"/></Vertices></Region>
      <Region Id="4" Type="2" Text="round" NegativeROA="0"><Vertices>
        <Vertex X="400" Y="100"/><Vertex X="600" Y="200"/></Vertices></Region>
      <Region Id="5" Type="3" Text="look"><Vertices><Vertex X="1" Y="2"/><Vertex X="3" Y="4"/></Vertices></Region>
    </Regions><Plots/>
  </Annotation>
  <Annotation Id="2" Name="" LineColor="255"><Regions>
      <Region Id="1"><Vertices><Vertex X="0" Y="0"/><Vertex X="40" Y="0"/><Vertex X="0" Y="40"/></Vertices></Region>
  </Regions></Annotation>
</Annotations>
"""


def written(folder: Path, text: str, name: str = "a.xml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def layer(regions: str, attributes: str = "") -> str:
    return f"<Annotations><Annotation {attributes}><Regions>{regions}</Regions></Annotation></Annotations>"


def outline(corners: str, attributes: str = "") -> str:
    points = "".join(f'<Vertex X="{x}" Y="{y}"/>' for x, y in (corner.split(",") for corner in corners.split()))
    return f"<Region {attributes}><Vertices>{points}</Vertices></Region>"


@settings(max_examples=60, deadline=None)
@given(st.lists(regions(), min_size=1, max_size=4))
def test_regions_come_back_unchanged(tmp_path_factory: pytest.TempPathFactory, drawn: list[Region]) -> None:
    """All but characters that XML cannot hold, the order between layers, and no colour: ImageScope wants one."""
    path = tmp_path_factory.mktemp("xml") / "a.xml"
    write_imagescope(path, drawn, 0.25)
    found = read_imagescope(path)
    assert found.notes == ()
    assert found.mpp == 0.25
    for before in drawn:
        same = [r for r in found.regions if r.polygon.equals(before.polygon) or _nearly(r, before)]
        names = [(r.name, r.classification, r.colour) for r in same]
        clean = [_readable(before.name), _readable(before.classification or "") or None]
        assert (*clean, before.colour or (255, 193, 7)) in names
    assert len(found.regions) == len(drawn)


def _nearly(a: Region, b: Region) -> bool:
    same_parts = shapely.get_num_geometries(a.polygon) == shapely.get_num_geometries(b.polygon)
    return bool(same_parts and a.polygon.symmetric_difference(b.polygon).area < 1e-9 * b.polygon.area)


def _readable(text: str) -> str:
    """Text as XML carries it."""
    return "".join(c for c in text if c in "\t\n\r" or (c >= " " and c not in "\ufffe\uffff"))


def test_reads_what_imagescope_writes(tmp_path: Path) -> None:
    path = written(tmp_path, FROM_IMAGESCOPE)
    found = read_imagescope(path)
    nest, square, circle, plain = found.regions
    assert nest.polygon.equals(Polygon(box(0, 0, 100, 80).exterior, [box(10, 10, 20, 30).exterior]))
    assert (nest.name, nest.classification, nest.colour) == ("nest", "Tumor", (0, 255, 0))
    assert square.polygon.bounds == (200, 0, 300, 50)
    assert circle.polygon.bounds == pytest.approx((400, 100, 600, 200))
    assert circle.polygon.area == pytest.approx(np.pi * 100 * 50, rel=2e-3)
    assert (plain.name, plain.classification, plain.colour) == ("", None, (255, 0, 0))
    assert found.mpp == 0.2521
    assert found.notes == ("a.xml: arrows, rulers and other marks without an area were left out.",)


def test_line_colour_has_blue_in_its_highest_byte(tmp_path: Path) -> None:
    path = tmp_path / "a.xml"
    write_imagescope(path, [Region(HOLED, colour=(1, 2, 3))])
    assert ElementTree.parse(path).find("Annotation").get("LineColor") == str(1 + 2 * 256 + 3 * 65536)


def test_layers_are_classes_and_holes_name_their_region(tmp_path: Path) -> None:
    path = tmp_path / "a.xml"
    write_imagescope(
        path, [Region(HOLED, "a", "Tumor"), Region(box(0, 0, 50, 50), "b", "Tumor"), Region(HOLED, "c")], 0.5
    )
    first, second = ElementTree.parse(path).findall("Annotation")
    assert (first.get("Name"), second.get("Name")) == ("Tumor", "")
    holes = [r for r in first.iter("Region") if r.get("NegativeROA") == "1"]
    assert [hole.get("InputRegionId") for hole in holes] == ["1", "1"]
    numbers = [r.get("Id") for r in (*first.iter("Region"), *second.iter("Region"))]
    assert len(set(numbers)) == len(numbers) == 7
    whole = next(r for r in first.iter("Region") if r.get("Text") == "b")
    assert whole.get("AreaMicrons") == "625.0"
    assert [r.polygon.area for r in read_imagescope(path).regions] == [HOLED.area, 2500, HOLED.area]


def test_parts_and_islands_in_holes_stay_one_region(tmp_path: Path) -> None:
    island = MultiPolygon([HOLED, box(22, 10, 25, 12), box(90, 0, 95, 5)])
    path = tmp_path / "a.xml"
    write_imagescope(path, [Region(island, "all", "Stroma", (0, 0, 9))])
    (back,) = read_imagescope(path).regions
    assert back.polygon.equals(island)


def test_a_hole_of_nobody_is_cut_out_of_every_region_of_its_layer(tmp_path: Path) -> None:
    text = layer(
        outline("0,0 10,0 10,10 0,10", 'Id="1"')
        + outline("5,0 20,0 20,10 5,10", 'Id="2"')
        + outline("4,4 8,4 8,8 4,8", 'Id="3" NegativeROA="1" InputRegionId="77"')
    )
    found = read_imagescope(written(tmp_path, text)).regions
    assert [region.polygon.area for region in found] == [100 - 16, 150 - 12]


TRIANGLE = outline("0,0 9,0 9,9", 'Id="1"')
ALL_HOLE = outline("0,0 9,0 9,9", 'Id="2" NegativeROA="1"') + outline("20,0 29,0 29,9", 'Id="3"')


@pytest.mark.parametrize(
    ("text", "note"),
    [
        (TRIANGLE + outline("0,0 9,0", 'Id="2"'), "enclose no area"),
        (TRIANGLE + outline("", 'Type="4"'), "rulers"),
        (TRIANGLE + ALL_HOLE, "cover whole"),
    ],
)
def test_what_is_left_out_is_said(tmp_path: Path, text: str, note: str) -> None:
    found = read_imagescope(written(tmp_path, layer(text)))
    assert len(found.regions) == 1
    assert len(found.notes) == 1
    assert note in found.notes[0]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "not \\(no element found"),
        ("no xml", "ImageScope XML"),
        ("<Annotations>", "ImageScope XML"),
        ("<annotation/>", "found <annotation>"),
        ("<Annotations/>", "at least one region"),
        (layer(outline("0,0 9,0", "")), "at least one region"),
        (layer(outline("0,0 x,0 9,9", 'Id="7"')), "region 7: expected vertices with numbers"),
        (layer(outline("0,0 nan,0 9,9", 'Id="7"')), "finite"),
        (layer("<Region><Vertices><Vertex X='1'/></Vertices></Region>"), "vertices with numbers"),
        (layer(outline("0,0 9,0 9,9"), 'LineColor="red"'), "LineColor"),
        ('<?xml version="1.0" encoding="klingon"?><Annotations/>', "ImageScope XML"),
    ],
)
def test_a_bad_file_is_one_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence) as caught:
        read_imagescope(written(tmp_path, text, "bad.xml"))
    assert "bad.xml" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_nothing_outside_the_file_is_read(tmp_path: Path, encoding: str) -> None:
    secret = written(tmp_path, "secret", "secret.txt")
    text = f'<!DOCTYPE a [<!ENTITY x SYSTEM "{secret.as_uri()}">]><Annotations>&x;</Annotations>'
    path = tmp_path / "a.xml"
    path.write_bytes(text.encode(encoding))
    with pytest.raises(InputError, match="document type"):
        read_imagescope(path)


def test_missing_files_and_folders_are_told(tmp_path: Path) -> None:
    for path in (tmp_path / "none.xml", tmp_path):
        assert not looks_like_imagescope(path)
        with pytest.raises(InputError, match="readable XML"):
            read_imagescope(path)


def test_a_file_is_known_by_its_first_bytes(tmp_path: Path) -> None:
    write_imagescope(tmp_path / "a.bin", [Region(HOLED, "x")])
    write_geojson(tmp_path / "b.geojson", [Region(HOLED, "y")])
    assert looks_like_imagescope(tmp_path / "a.bin")
    assert not looks_like_imagescope(tmp_path / "b.geojson")
    assert [read_regions(tmp_path / name).regions[0].name for name in ("a.bin", "b.geojson")] == ["x", "y"]
    with pytest.raises(InputError, match="found <project>"):
        read_regions(written(tmp_path, "<project/>", "pom.xml"))
    with pytest.raises(InputError, match="found neither"):
        read_regions(written(tmp_path, "II*\0 pixels", "slide.tif"))
    with pytest.raises(InputError, match="not JSON"):
        read_regions(written(tmp_path, "", "empty"))
    (tmp_path / "wide.xml").write_bytes(FROM_IMAGESCOPE.encode("utf-16"))
    assert looks_like_imagescope(tmp_path / "wide.xml")
    assert len(read_regions(tmp_path / "wide.xml").regions) == 4


def test_nothing_of_the_slide_is_written_unless_asked_for(tmp_path: Path) -> None:
    write_imagescope(tmp_path / "a.xml", [Region(HOLED, "x")])
    write_imagescope(tmp_path / "b.xml", [Region(HOLED, "x")], attributes=[("slide", "TCGA-1")])
    assert "TCGA" not in (tmp_path / "a.xml").read_text(encoding="utf-8")
    assert 'Value="TCGA-1"' in (tmp_path / "b.xml").read_text(encoding="utf-8")


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.xml"
    write_imagescope(path, [Region(HOLED, "old")])
    with pytest.raises(InputError, match="expected to write"):
        write_imagescope(path / "b.xml", [Region(HOLED)])
    assert read_imagescope(path).regions[0].name == "old"


def test_regions_beyond_the_slide_are_kept_and_told() -> None:
    drawn = (Region(box(0, 0, 10, 10)), Region(box(90, 0, 110, 10)), Region(box(200, 0, 210, 10)))
    np.testing.assert_allclose(outside_shares(drawn, (50, 100)), [0, 0.5, 1])
    (note,) = fitting_notes(RegionFile(drawn), (50, 100), None)
    assert note.startswith("2 of 3 regions lie outside the slide, whole (1) or in part (1, at most 50 %")
    (note,) = fitting_notes(RegionFile(drawn[2:]), (50, 100), (0.25, 0.25))
    assert "drawn on another image" in note
    assert fitting_notes(RegionFile(drawn[:1]), (50, 100), None) == ()
    assert outside_shares([], (50, 100)).shape == (0,)


def test_another_pixel_size_in_the_file_is_told() -> None:
    found = RegionFile((Region(box(0, 0, 10, 10)),), mpp=0.5)
    (note,) = fitting_notes(found, (50, 100), (0.25, 0.25))
    assert "0.5 µm a pixel, the slide 0.25" in note
    assert fitting_notes(found, (50, 100), (0.505, 0.505)) == ()
    assert fitting_notes(found, (50, 100), None) == ()
