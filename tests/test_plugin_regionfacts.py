"""Regions of the window without one: rows that are remembered, classes, undo, files without the slide's name."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from napari.layers import Layer, Shapes
from plugin_cases import MPP, grid_of, prediction_of
from shapely.geometry import box

from napari_gimp.plugin.regions import regionrows
from napari_gimp.plugin.regions.annotations import NO_CLASS_COLOUR, shapes_layer
from napari_gimp.plugin.regions.regionclasses import PALETTE, RegionClasses
from napari_gimp.plugin.regions.regionfiles import export_regions, import_regions, nameless
from napari_gimp.plugin.regions.regionhistory import DEPTH, History, restore, state_of
from napari_gimp.plugin.regions.regionrows import Outline, RegionMemory, cells, columns, sentence, summary
from napari_gimp.plugin.regions.regionshapes import arm, draw_lines, mend, name_all, outlines, paint, words, write
from napari_gimp.regions import Region, read_geojson, write_geojson
from napari_gimp.settings import InputError
from napari_gimp.types import SlideFacts

SHAPE = (1600, 2100)
FACTS = SlideFacts("TCGA-05-4249-01Z-00-DX1.9fce", "id", SHAPE, (SHAPE,), (MPP, MPP))
RESULT = prediction_of(FACTS, grid_of(SHAPE))
PLACE = ((MPP, MPP), (0.0, 0.0))


def square(x: float, y: float, side: float, name: str = "", kind: str = "rectangle") -> Outline:
    corners = np.array([[y, x], [y, x + side], [y + side, x + side], [y + side, x]], np.float32)
    return Outline(name, "", NO_CLASS_COLOUR, kind, corners, PLACE)


def layer_with(*regions: Region) -> Shapes:
    made = Layer.create(*shapes_layer(regions, FACTS, "mine"))
    assert isinstance(made, Shapes)
    return made


def result_of(work: Generator[Any, None, Any]) -> Any:
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value


# ---- rows


def test_only_what_was_changed_is_measured_again(monkeypatch: pytest.MonkeyPatch) -> None:
    measured = []

    def measure(regions: list[Region], *args: Any) -> Any:
        measured.append(regions[0].name)
        return original(regions, *args)

    original = regionrows.region_facts
    monkeypatch.setattr(regionrows, "region_facts", measure)
    memory, drawn = RegionMemory(), [square(10, 20, 300, "a"), square(900, 20, 600, "b")]
    first = memory.rows(drawn, FACTS, RESULT)
    again = memory.rows([drawn[0]._replace(name="A"), square(901, 20, 600, "b")], FACTS, RESULT)
    assert measured == ["a", "b", "b"]
    assert [row.facts.name for row in again] == ["A", "b"]
    assert again[0].facts.area_mm2 == first[0].facts.area_mm2
    memory.rows(drawn, FACTS, None)
    assert measured == ["a", "b", "b", "a", "b"]


def test_lines_and_outlines_without_area_are_no_rows_and_keep_the_numbers_of_the_others() -> None:
    drawn = [
        square(0, 0, 9, kind="path"),
        square(5, 5, 50, "a"),
        square(7, 7, 0, "flat"),
        square(1, 1, 9, "b", "polygon"),
    ]
    assert [(row.outline, row.region.name) for row in RegionMemory().rows(drawn, FACTS, None)] == [(1, "a"), (3, "b")]


def test_the_cost_is_that_of_what_is_unknown() -> None:
    memory, drawn = RegionMemory(), [square(10, 20, 300), square(900, 20, 600)]
    both = memory.cost_ms(drawn, FACTS, RESULT)
    memory.rows(drawn, FACTS, RESULT)
    assert memory.cost_ms(drawn, FACTS, RESULT) == 0
    one = memory.cost_ms([*drawn[:1], square(901, 20, 600)], FACTS, RESULT)
    assert 0 < one < both
    assert memory.cost_ms(drawn, FACTS, None) == 0


def test_a_worker_says_the_same() -> None:
    drawn = [square(10, 20, 300, "a")]
    assert result_of(RegionMemory().work(drawn, FACTS, RESULT)) == RegionMemory().rows(drawn, FACTS, RESULT)


def test_cells_stand_under_their_headings_and_say_what_is_unknown() -> None:
    (row,) = RegionMemory().rows([square(10, 20, 300, "a")], FACTS, None)
    assert len(columns(None)) == len(cells(row.facts, None)) == 1
    (row,) = RegionMemory().rows([square(5000, 20, 300, "a")], FACTS, RESULT)
    found = dict(zip([c.heading for c in columns(RESULT)], cells(row.facts, RESULT), strict=True))
    assert found["patches"] == "0"
    assert found["attention\n× slide mean"] == "–"
    assert found["attention\n% of slide"] == "0.0"
    assert all(c.tip for c in columns(RESULT))


def test_a_region_in_words_says_what_its_columns_say() -> None:
    (row,) = RegionMemory().rows([square(10, 20, 300, "nest")._replace(classification="Tumor")], FACTS, RESULT)
    said = sentence(row.facts, RESULT)
    assert said.startswith("nest (Tumor): 0.00623 mm², ")
    assert all(cell in said for cell in cells(row.facts, RESULT) if cell != "–")
    assert "–" not in said


def test_the_summary_says_what_is_missing_and_what_lies_outside() -> None:
    rows = RegionMemory().rows([square(10, 20, 300), square(2000, 20, 200)], FACTS, None)
    assert summary([], None, None).startswith("Open a slide")
    said = summary(rows, None, FACTS)
    assert said.startswith("2 regions. 1 of them beyond the slide, with up to 50 % of the area.")
    assert "run GiMP" in said
    assert "synthetic data" in summary(rows, RESULT, FACTS)
    silent = SlideFacts("s", "id", SHAPE, (SHAPE,), None)
    assert "pixel size" in summary(RegionMemory().rows([square(1, 1, 9)], silent, None), None, silent)


# ---- classes


def test_classes_keep_their_colours_through_new_names() -> None:
    classes = RegionClasses()
    assert len({classes.colour(name) for name in classes.names}) == len(classes.names)
    assert classes.meet([("Lepidic", (9, 8, 7)), ("Tumor", (1, 1, 1)), (None, None)])
    assert not classes.meet([("Lepidic", None)])
    assert (classes.colour("Lepidic"), classes.colour("Tumor")) == ((9, 8, 7), PALETTE["blue"])
    classes.rename("Tumor", " Carcinoma ")
    assert classes.names[0] == "Carcinoma"
    assert classes.colour("Carcinoma") == PALETTE["blue"]
    new = classes.colour(classes.add("Mucus"))
    assert new in PALETTE.values()
    assert new not in [classes.colour(name) for name in classes.names[:-1]]
    classes.remove("Mucus")
    assert classes.colour("Mucus") == NO_CLASS_COLOUR


@pytest.mark.parametrize(("name", "sentence"), [("  ", "found none"), ("Stroma", "not in the list yet")])
def test_classes_refuse_names_that_say_nothing(name: str, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        RegionClasses().rename("Tumor", name)
    with pytest.raises(InputError, match=sentence):
        RegionClasses().add(name)


# ---- shapes


def test_names_are_given_and_none_twice() -> None:
    layer = layer_with(Region(box(0, 0, 9, 9), "region 2"), Region(box(0, 0, 9, 9)), Region(box(0, 0, 9, 9)))
    name_all(layer)
    assert words(layer, "name") == ["region 2", "region 1", "region 3"]
    arm(layer, "Stroma", PALETTE["yellow"])
    layer.add_rectangles([[[0, 0], [5, 5]]])
    assert (words(layer, "name")[-1], words(layer, "classification")[-1]) == ("", "Stroma")
    assert outlines(layer)[-1].colour == PALETTE["yellow"]


def test_what_napari_forgets_is_mended() -> None:
    layer = layer_with(*(Region(box(k, 0, k + 9, 9), f"r{k}", None, (k, 0, 0)) for k in range(3)))
    layer._data_view.remove(1)  # as napari does where the last corners of a polygon are taken away
    mend(layer, 1)
    assert words(layer, "name") == ["r0", "r2"]
    assert [outline.colour for outline in outlines(layer)] == [(0, 0, 0), (2, 0, 0)]
    mend(layer, None)
    assert len(layer.data) == 2


def test_a_lasso_under_way_is_an_outline() -> None:
    layer = layer_with()
    layer.add_paths([np.array([[0, 0], [0, 50], [50, 50]])])
    assert outlines(layer)[0].kind == "path"
    layer.mode = "add_polygon_lasso"
    assert outlines(layer)[0].kind == "polygon"


def test_lines_are_as_wide_on_the_screen_at_every_magnification() -> None:
    layer = layer_with(Region(box(0, 0, 900, 900)))
    for per_px in (8.0, 0.25):
        draw_lines(layer, per_px)
        assert layer.edge_width[0] * layer.scale[0] / per_px == pytest.approx(2.5)
        assert layer.current_edge_width == pytest.approx(layer.edge_width[0])


# ---- undo


EDITS = st.lists(st.tuples(st.sampled_from("admnc"), st.integers(0, 5), st.integers(1, 60)), min_size=1, max_size=7)


def edit(layer: Shapes, act: str, which: int, size: int) -> None:
    """Add, delete, move, name or colour a region."""
    k = which % max(1, len(layer.data))
    if act == "a" or not len(layer.data):
        corners = np.array([[size, which], [size, which + size], [2 * size, which + size]])
        layer.add_polygons([corners]) if size % 2 else layer.add_ellipses([np.array([[0, 0], [size, size]])])
    elif act == "d":
        layer.remove([k])
    elif act == "m":
        data, kinds = layer.data, list(layer.shape_type)
        data[k] = data[k] + size
        layer.data = list(zip(data, kinds, strict=True))
    elif act == "n":
        write(layer, "name", [*words(layer, "name")[:k], f"n{size}", *words(layer, "name")[k + 1 :]])
    else:
        paint(layer, [k], np.array([size / 60, 0, 0, 1]))


def as_set(layer: Shapes) -> list[str]:
    """What a user sees of a layer, in no order."""
    shapes = state_of(layer)
    return sorted(f"{s.kind}{s.corners.tolist()}{s.features}{np.round(s.edge, 3).tolist()}" for s in shapes)


@settings(max_examples=25)
@given(EDITS)
def test_every_edit_is_taken_back_and_done_again(edits: list[tuple[str, int, int]]) -> None:
    layer = layer_with(Region(box(0, 0, 99, 99), "first", "Tumor", (1, 2, 3)))
    history, seen = History(state_of(layer)), [as_set(layer)]
    for act in edits:
        edit(layer, *act)
        if history.push(state_of(layer)):
            seen.append(as_set(layer))
    for place in range(len(seen) - 2, -1, -1):
        state = history.step(-1)
        assert state is not None
        restore(layer, state)
        history.settle(state_of(layer))
        assert as_set(layer) == seen[place]
    assert history.step(-1) is None
    for expected in seen[1:]:
        state = history.step(1)
        assert state is not None
        restore(layer, state)
        history.settle(state_of(layer))
        assert as_set(layer) == expected
    assert not history.can_redo


def test_what_did_not_change_is_not_remembered_and_the_memory_is_bounded() -> None:
    layer = layer_with(Region(box(0, 0, 99, 99), "first"))
    history = History(state_of(layer))
    assert not history.push(state_of(layer))
    assert not history.can_undo
    for k in range(DEPTH + 20):
        write(layer, "name", [f"n{k}"])
        assert history.push(state_of(layer))
    steps = 0
    while history.step(-1) is not None:
        steps += 1
    assert steps == DEPTH
    write(layer, "name", ["other"])
    history.push(state_of(layer))
    assert not history.can_redo


def test_only_what_differs_is_drawn_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = layer_with(*(Region(box(9 * k, 0, 9 * k + 8, 8), f"r{k}") for k in range(5)))
    before, added = state_of(layer), []
    layer.remove([1])
    original = layer.add
    monkeypatch.setattr(layer, "add", lambda data, **look: added.append(len(data)) or original(data, **look))
    restore(layer, before)
    assert added == [1]
    assert sorted(words(layer, "name")) == [f"r{k}" for k in range(5)]


# ---- files


@pytest.mark.parametrize(
    ("slide", "text", "expected"),
    [
        (FACTS.name, "regions · TCGA-05-4249-01Z-00-DX1.9fce", "regions · slide"),
        (FACTS.name, "tcga-05-4249-01z-00-dx1 tumour", "slide tumour"),
        (FACTS.name, "nest 1", "nest 1"),
        (FACTS.name, "", ""),
        ("TCGA-05-4244-01Z-00-DX1.svs", "TCGA-05-4244 tumour", "slide tumour"),
        ("Smith_H12-3_HE.svs", "Smith nest", "slide nest"),
        ("Smith_H12-3_HE.svs", "stroma of h12-3", "stroma of slide"),
    ],
)
def test_names_of_slide_and_case_are_taken_out_of_names(slide: str, text: str, expected: str) -> None:
    (clean,) = nameless([Region(box(0, 0, 9, 9), text, text or None)], replace(FACTS, name=slide))
    assert (clean.name, clean.classification or "") == (expected, expected)


def test_regions_called_after_their_layer_go_out_without_the_slides_name(tmp_path: Path) -> None:
    region = Region(box(0, 0, 9, 9), f"Shapes · {FACTS.name}", f"Tumor {FACTS.name}")
    (clean,) = nameless([region], FACTS)
    assert (clean.name, clean.classification) == ("Shapes · slide", "Tumor slide")
    rows = RegionMemory().rows([square(10, 20, 300, region.name)], FACTS, RESULT)
    for kind in ("geojson", "xml", "csv"):
        path = result_of(export_regions(kind, tmp_path / f"a.{kind}", rows, FACTS, False))
        assert "TCGA" not in path.read_text(encoding="utf-8")
        named = result_of(export_regions(kind, tmp_path / f"b.{kind}", rows, FACTS, True))
        assert FACTS.name in named.read_text(encoding="utf-8")


def test_an_import_is_a_layer_of_the_slide_with_notes(tmp_path: Path) -> None:
    write_geojson(tmp_path / "x.geojson", [Region(box(-50, 0, 50, 100), "half out", "Stroma")])
    imported = result_of(import_regions(tmp_path / "x.geojson", FACTS, {"Stroma": (1, 2, 3)}))
    assert imported.layer.name == "x"
    assert words(imported.layer, "classification") == ["Stroma"]
    assert outlines(imported.layer)[0].colour == (1, 2, 3)
    assert "at most 50 %" in imported.notes[0]
    (row,) = RegionMemory().rows(outlines(imported.layer), FACTS, RESULT)
    assert row.region.polygon.equals(read_geojson(tmp_path / "x.geojson")[0].polygon)
    assert row.facts.outside == pytest.approx(0.5)
