"""Session files, locks and drawings without a window: round trips, damage, newer versions, two windows, a dead one."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import fields, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from napari.layers import Labels

from napari_gimp.plugin.session import Choices, Grain, ViewSettings
from napari_gimp.plugin.sessions.drawings import Drawn, drawing_of, layer_of
from napari_gimp.plugin.sessions.labelcopies import LabelCopies
from napari_gimp.plugin.sessions.plainjson import merged, plain
from napari_gimp.plugin.sessions.sessionfile import VERSION, read_session, to_json, write_session
from napari_gimp.plugin.sessions.sessionlock import (
    STALE_S,
    Lock,
    Taken,
    claim_again,
    claim_for,
    is_held,
    keep_aside,
    latest_session,
    lock_path,
    session_of,
)
from napari_gimp.plugin.sessions.sessionstate import (
    PARAMETERS,
    Drawing,
    Look,
    SessionState,
    SlideEntry,
    View,
    carried,
    is_same_slide,
    parameters_of,
    renamed,
)
from napari_gimp.settings import InputError
from napari_gimp.slides.tissue import TissueSettings
from napari_gimp.types import MapSettings, SlideFacts

FACTS = SlideFacts("s", "one", (1000, 2000), ((1000, 2000),), (0.25, 0.25))


def state_in(folder: Path) -> SessionState:
    slide = folder / "s.tif"
    slide.write_bytes(b"slide")
    return SessionState(
        slides=(SlideEntry(slide, "one", "s", (1000, 2000), (0.25, 0.25)),),
        chosen="one",
        profile=folder / "genes.csv",
        sample="S1",
        checkpoint=folder / "model",
        parameters=parameters_of(Choices(device="cpu", weights=folder / "w.pt", grain=Grain(0.5, 0.4))),
        tissue="my tissue",
        map_key="error",
        map_view=ViewSettings(contrast="rank", opacity=0.3),
        layers=(Look({"role": "map", "slide": "one", "lattice": 0}, False, 0.5, "viridis", 1.5, (0.5, 2.0)),),
        regions=(Drawing("a", "shapes", "one", ({"type": "Feature", "geometry": None, "properties": {}},)),),
        marks={"one": [{"yx": [1, 2], "size_yx": [3.0, 3.0], "label": "tumour"}]},
        what_if=[{"edit": "genes", "target": "TP53"}],
        labels=("tumour", "stroma"),
        view=View((0.0, 12.5, 33.0), 1.75, (0.0, 0.0, 90.0), ("away", "up", "left"), (1, 0)),
    )


def test_a_session_is_read_as_it_was_written(tmp_path: Path) -> None:
    state, path = state_in(tmp_path), tmp_path / "s.gimp.json"
    write_session(path, state)
    opened = read_session(path)
    assert opened.state == state
    assert opened.notes == ()
    assert not opened.damaged


def test_the_file_can_be_read_by_people(tmp_path: Path) -> None:
    path = tmp_path / "s.gimp.json"
    write_session(path, state_in(tmp_path))
    text = path.read_text()
    assert json.loads(text)["parameters"]["grain"] == {"stride": 0.5, "min_tissue": 0.4}
    assert '\n "sample"' not in text
    assert len(text.splitlines()) > 40


def test_every_choice_is_saved_or_knowingly_not() -> None:
    elsewhere = {"path", "slide", "reading", "unread", "expression", "sample", "sample_notes", "checkpoint", "facts"}
    derived_or_preferences = {"members", "cache", "cache_gb"}
    assert {item.name for item in fields(Choices)} == {*PARAMETERS, *elsewhere, *derived_or_preferences}


def test_fields_of_others_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "s.gimp.json"
    write_session(path, state_in(tmp_path))
    content = json.loads(path.read_text())
    content["report"] = {"by": "another program"}
    content["parameters"]["maps"]["colour"] = "blue"
    content["slides"][0]["stain"] = "HE"
    path.write_text(json.dumps(content))
    write_session(path, read_session(path).state)
    again = json.loads(path.read_text())
    assert again["report"] == {"by": "another program"}
    assert again["parameters"]["maps"]["colour"] == "blue"
    assert again["slides"][0]["stain"] == "HE"


def test_a_newer_version_is_read_as_far_as_it_is_known(tmp_path: Path) -> None:
    path, state = tmp_path / "s.gimp.json", state_in(tmp_path)
    write_session(path, replace(state, known={}))
    content = json.loads(path.read_text()) | {"version": VERSION + 1, "view": {"matrix": [1, 2]}}
    path.write_text(json.dumps(content))
    before = path.read_bytes()
    opened = read_session(path)
    assert opened.newer
    assert not opened.damaged
    assert opened.state.slides == state.slides
    assert opened.state.view is None
    assert "newer napari-gimp" in opened.notes[0]
    claim = claim_again(path, tmp_path / "cache", own=not opened.newer)
    write_session(claim.path, opened.state)
    assert claim.path.name == "s (2).gimp.json"
    assert path.read_bytes() == before
    claim.release()


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9, 0.999])
def test_a_file_that_breaks_off_is_read_up_to_the_break(tmp_path: Path, share: float) -> None:
    path, state = tmp_path / "s.gimp.json", state_in(tmp_path)
    write_session(path, state)
    text = path.read_text()
    path.write_text(text[: int(share * len(text))])
    opened = read_session(path)
    assert opened.damaged
    assert "damaged" in opened.notes[0]
    assert opened.state.slides == state.slides
    if share > 0.9:
        assert opened.state.regions == state.regions


def test_what_stands_behind_a_break_is_read_as_well(tmp_path: Path) -> None:
    path, state = tmp_path / "s.gimp.json", state_in(tmp_path)
    write_session(path, state)
    path.write_text(path.read_text().replace('"tissue": "my tissue"', '"tissue": my tissue"'))
    opened = read_session(path)
    assert opened.damaged
    assert opened.state == replace(state, tissue=None)


@given(cut=st.integers(0, 3000), flips=st.lists(st.tuples(st.integers(0, 2999), st.integers(0, 255)), max_size=4))
@settings(max_examples=60)
def test_no_damage_is_more_than_a_sentence(
    tmp_path_factory: pytest.TempPathFactory, cut: int, flips: list[tuple[int, int]]
) -> None:
    folder = tmp_path_factory.getbasetemp()
    path = folder / "damaged.gimp.json"
    write_session(path, state_in(folder))
    content = bytearray(path.read_bytes())
    for place, value in flips:
        content[place % len(content)] = value
    path.write_bytes(content[: cut or len(content)])
    with suppress(InputError):
        opened = read_session(path)
        json.dumps(to_json(opened.state), allow_nan=False)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("slides", [{"path": 5}], "1 of 1 slides"),
        ("slides", "none", "slides"),
        ("layers", [{"tag": "map"}], "1 of 1 layers"),
        ("view", {"centre": ["a"], "zoom": 1, "angles": []}, "view"),
        ("parameters", {"grain": {"stride": 99}, "device": "cpu"}, "grain"),
        ("parameters", [], "parameters"),
        ("map", {"key": 3}, "map"),
        ("profile", "x", "profile"),
    ],
)
def test_a_field_that_does_not_read_is_named_and_the_others_are_there(
    tmp_path: Path, name: str, value: Any, said: str
) -> None:
    path, state = tmp_path / "s.gimp.json", state_in(tmp_path)
    write_session(path, state)
    path.write_text(json.dumps(json.loads(path.read_text()) | {name: value}))
    opened = read_session(path)
    assert opened.damaged
    assert said in opened.notes[0]
    assert opened.state.marks == state.marks
    assert opened.state.regions == state.regions


@pytest.mark.parametrize("text", ["", "[]", "{}", "no json", '{"format": "other"}', "\x00\x01"])
def test_what_is_no_session_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.gimp.json"
    path.write_text(text)
    with pytest.raises(InputError, match="expected a session"):
        read_session(path)


def test_a_missing_session_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="check the path"):
        read_session(tmp_path / "none.gimp.json")


def test_a_damaged_file_is_kept_aside(tmp_path: Path) -> None:
    path = tmp_path / "s.gimp.json"
    path.write_text("{broken")
    aside = keep_aside(path, tmp_path / "cache", datetime(2030, 1, 2, 3, 4, 5))
    assert aside.name == "s.gimp.json.damaged-20300102T030405"
    assert aside.read_text() == "{broken"
    assert keep_aside(path, tmp_path / "cache", datetime(2031, 1, 1)) == aside, "the same bytes are copied once"
    path.write_text("{broken otherwise")
    assert keep_aside(path, tmp_path / "cache", datetime(2031, 1, 1)) != aside


def test_slide_and_session_move_together(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    write_session(old / "s.gimp.json", state_in(old))
    old.rename(new)
    assert read_session(new / "s.gimp.json").state.slides[0].path == new / "s.tif"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=50)
@given(old=st.dictionaries(st.text(max_size=3), JSON), new=st.dictionaries(st.text(max_size=3), JSON))
def test_merging_keeps_what_is_new_and_what_only_the_old_has(old: dict[str, Any], new: dict[str, Any]) -> None:
    both = merged(old, new)
    assert set(both) == set(old) | set(new)
    assert all(both[name] == value for name, value in new.items() if not isinstance(value, dict))
    assert all(both[name] == value for name, value in old.items() if name not in new)


def test_whole_values_of_others_are_not_mixed() -> None:
    assert merged({"marks": {"a": 1}}, {"marks": {"b": 2}}) == {"marks": {"b": 2}}


def test_plain_json_holds_arrays_and_no_number_that_is_none() -> None:
    made = plain({"a": np.float32(0.5), "b": np.arange(2), "c": (Path("x"), float("nan"), np.bool_(True))})
    assert json.loads(json.dumps(made, allow_nan=False)) == {"a": 0.5, "b": [0, 1], "c": ["x", None, True]}


def test_what_has_not_come_back_stays_in_the_file(tmp_path: Path) -> None:
    kept = state_in(tmp_path)
    now = SessionState(slides=kept.slides, layers=(replace(kept.layers[0], opacity=0.9),))
    both = carried(now, kept)
    assert both.layers == now.layers
    assert both.regions == kept.regions
    assert (both.checkpoint, both.map_key, both.sample) == (kept.checkpoint, "error", "S1")
    assert carried(replace(now, profile=Path("other")), kept).sample is None


def test_a_copied_slide_gets_its_new_identity_everywhere(tmp_path: Path) -> None:
    state = renamed(state_in(tmp_path), "one", "two")
    assert "one" not in json.dumps(plain(state))
    assert is_same_slide(state.slides[0], replace(FACTS, identity="two")) == ()
    assert "computed again" in is_same_slide(state.slides[0], replace(FACTS, identity="three"))[0]
    with pytest.raises(InputError, match="another one"):
        is_same_slide(state.slides[0], replace(FACTS, identity="x", shape_yx=(5, 5), level_shapes_yx=((5, 5),)))


def test_two_windows_never_save_to_one_file(tmp_path: Path) -> None:
    slide, cache = tmp_path / "s.svs", tmp_path / "cache"
    first, second = claim_for(slide, cache), claim_for(slide, cache)
    assert first.path == session_of(slide) == tmp_path / "s.gimp.json"
    assert second.path == tmp_path / "s (2).gimp.json"
    first.path.write_text("{}")
    third = claim_again(first.path, cache)
    assert third.path == tmp_path / "s (3).gimp.json"
    assert "open in another window" in third.notes[0]
    first.release()
    assert claim_again(first.path, cache).path == first.path


def test_an_earlier_session_is_not_overwritten_but_gone_on_with(tmp_path: Path) -> None:
    slide = tmp_path / "s.svs"
    write_session(session_of(slide), SessionState())
    fresh = claim_for(slide, tmp_path)
    assert fresh.path.name == "s (2).gimp.json"
    fresh.release()
    again = claim_again(session_of(slide), tmp_path)
    assert again.path == session_of(slide)
    assert again.notes == ()
    assert latest_session(slide, tmp_path) is None
    again.release()
    assert latest_session(slide, tmp_path) == session_of(slide)


def dead_process() -> int:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    return ended.pid


@pytest.mark.parametrize(
    ("mark", "age_s", "held"),
    [
        (lambda: {"pid": dead_process(), "host": platform.node()}, 0, False),
        (lambda: {"pid": os.getpid(), "host": platform.node()}, 0, True),
        (lambda: {"pid": os.getpid(), "host": platform.node()}, 2 * STALE_S, False),
        (lambda: {"pid": 1, "host": "elsewhere"}, 0, True),
        (lambda: {"pid": 1, "host": "elsewhere"}, 2 * STALE_S, False),
        (dict, 0, True),
        (dict, 2 * STALE_S, False),
    ],
)
def test_a_lock_is_held_by_the_living(
    tmp_path: Path, mark: Callable[[], dict[str, Any]], age_s: float, held: bool
) -> None:
    session = tmp_path / "s.gimp.json"
    lock = lock_path(session)
    lock.write_text(json.dumps(mark()))
    os.utime(lock, (time.time() - age_s,) * 2)
    assert is_held(lock) == held
    if held:
        with pytest.raises(Taken):
            Lock(session)
    else:
        assert Lock(session).is_ours()


def test_a_window_notices_that_its_lock_was_taken_over(tmp_path: Path) -> None:
    lock = Lock(tmp_path / "s.gimp.json")
    assert lock.beat()
    lock.path.write_text(json.dumps({"pid": 1, "host": "elsewhere"}))
    assert not lock.beat()
    lock.release()
    assert lock.path.exists()


def test_a_folder_that_cannot_be_written_sends_the_session_to_the_cache(tmp_path: Path) -> None:
    claim = claim_for(Path("/proc/s.svs"), tmp_path / "cache")
    assert claim.path.parent == tmp_path / "cache"
    assert "cannot be written" in claim.notes[0]
    write_session(claim.path, SessionState())
    claim.release()
    assert latest_session(Path("/proc/s.svs"), tmp_path / "cache") == claim.path
    with pytest.raises(InputError, match="free some space"):
        claim_for(Path("/proc/s.svs"), Path("/proc/cache"))


def test_what_ours_says_of_a_layer_comes_back() -> None:
    before = shapes(SQUARE[:2], kinds=("line",), metadata={"napari-gimp ruler": True})
    _, attributes = back(before)
    assert attributes["metadata"]["napari-gimp ruler"] is True
    assert attributes["metadata"]["napari-gimp drawn on"]["slide"] == "one"


def drawn(kind: str, data: Any, mpp: tuple[float, float] | None = (0.25, 0.25), **attributes: Any) -> Drawn:
    look = {"visible": True, "opacity": 0.7, "scale": (0.25, 0.25), "translate": (0.0, 0.0), "features": {}}
    return Drawn("mine", kind, data, look | attributes, "one", mpp)


def shapes(*corners: Any, kinds: tuple[str, ...], **more: Any) -> Drawn:
    n = len(kinds)
    worn = {
        "shape_type": list(kinds),
        "edge_width": np.full(n, 8.0),
        "edge_color": np.tile([1.0, 0.5, 0.0, 1.0], (n, 1)),
        "face_color": np.zeros((n, 4)),
    }
    return drawn("shapes", [np.asarray(each, float) for each in corners], **(worn | more))


SQUARE = [[10, 20], [10, 90], [60, 90], [60, 20]]
BOW = [[0, 0], [40, 40], [0, 40], [40, 0]]


def back(before: Drawn, mpp: tuple[float, float] | None = (0.25, 0.25)) -> tuple[Any, dict[str, Any]]:
    stored = json.loads(json.dumps(plain(drawing_of(before))))
    drawing = Drawing(**{**stored, "features": tuple(stored["features"])})
    data, attributes, kind = layer_of(drawing, replace(FACTS, mpp_yx=mpp))
    assert kind == before.kind
    return data, attributes


def test_shapes_of_every_kind_come_back_where_they_were() -> None:
    columns = {"name": ["a", "b", "c", "d", "e"], "classification": ["Tumor", "", "", "", ""], "n": [1, 2, 3, 4, 5]}
    kinds = ("rectangle", "polygon", "ellipse", "line", "path")
    before = shapes(SQUARE, BOW, SQUARE, SQUARE[:2], SQUARE[:3], kinds=kinds, features=columns)
    data, attributes = back(before)
    assert attributes["shape_type"] == list(kinds)
    for old, new in zip(before.data, data, strict=True):
        np.testing.assert_allclose(new, old, atol=1e-9)
    assert {name: list(values) for name, values in attributes["features"].items()} == columns
    np.testing.assert_allclose(attributes["edge_color"], before.attributes["edge_color"])
    assert attributes["edge_width"] == pytest.approx([8.0] * 5)
    assert (attributes["opacity"], attributes["visible"]) == (0.7, True)


def test_shapes_drawn_in_um_come_back_at_the_same_place_and_width() -> None:
    before = shapes(SQUARE, kinds=("polygon",), scale=(1.0, 1.0))
    data, attributes = back(before)
    np.testing.assert_allclose(data[0] * 0.25, before.data[0])
    assert attributes["edge_width"][0] * 0.25 == pytest.approx(8.0)


def test_an_ellipse_is_an_ellipse_for_other_readers_too() -> None:
    (feature,) = drawing_of(shapes(SQUARE, kinds=("ellipse",))).features
    assert feature["geometry"]["type"] == "Polygon"
    assert len(feature["geometry"]["coordinates"][0]) > 50


def test_an_empty_layer_and_a_point_of_a_drawing_under_way_are_kept() -> None:
    assert back(shapes(kinds=()))[0] == []
    flat = shapes([[1, 1], [1, 1], [1, 1]], kinds=("polygon",))
    np.testing.assert_allclose(back(flat)[0][0], flat.data[0])


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**32 - 1))
@settings(max_examples=30)
def test_labels_come_back_pixel_by_pixel(height: int, width: int, seed: int) -> None:
    labels = np.random.default_rng(seed).integers(0, 3, (height, width)).astype(np.uint8)
    before = drawn("labels", labels, scale=(7.3, 5.1), translate=(3.2, 11.7))
    data, attributes = back(before)
    np.testing.assert_array_equal(data, labels)
    assert data.dtype == labels.dtype
    np.testing.assert_allclose(attributes["scale"], (7.3, 5.1))
    np.testing.assert_allclose(attributes["translate"], (3.2, 11.7))


@pytest.mark.parametrize("values", [[-3, 7], [1, 2**31 - 1]])
def test_labels_of_any_number_come_back(values: list[int]) -> None:
    labels = np.zeros((40, 50), np.int32)
    labels[3:9, 30:44], labels[20:35, 5:9] = values
    labels[5, 33] = 0
    np.testing.assert_array_equal(back(drawn("labels", labels))[0], labels)


def test_labels_of_a_size_that_no_session_writes_are_refused() -> None:
    stored = drawing_of(drawn("labels", np.ones((2, 2), np.uint8)))
    for shape, dtype, said in (((10**9, 10**9), "uint8", "MB"), ((2, 2), "U99", "again"), ((-2, 2), "u1", "again")):
        with pytest.raises(InputError, match=said):
            layer_of(replace(stored, grid={**stored.grid, "shape": shape, "dtype": dtype}), FACTS)


def test_labels_are_copied_after_a_change_alone_and_large_ones_never() -> None:
    copies, layer = LabelCopies(limit_bytes=100), Labels(np.zeros((5, 5), np.uint8), name="cells")
    first = copies.of(layer)
    assert copies.of(layer) is first
    layer.paint((2, 2), 1)
    second = copies.of(layer)
    assert (first.max(), second.max()) == (0, 1)
    layer.undo()
    assert copies.of(layer).max() == 0
    layer.data = np.full((5, 5), 3, np.uint8)
    assert copies.of(layer).max() == 3
    large = Labels(np.zeros((11, 10), np.uint8), name="large")
    assert [copies.keeps(layer), copies.keeps(large), copies.keeps(large)] == [True, False, False]
    (said,) = copies.unsaid
    assert "large" in said


def test_points_come_back() -> None:
    before = drawn("points", np.array([[1.0, 2.0], [3.0, 4.5]]), size=np.array([3.0, 4.0]), features={"n": [1, 2]})
    data, attributes = back(before)
    np.testing.assert_allclose(data, before.data)
    assert attributes["size"] == [3.0, 4.0]
    assert attributes["features"]["n"] == [1, 2]


def test_a_polygon_that_another_program_wrote_is_taken() -> None:
    ring = [[0, 0], [100, 0], [100, 100], [0, 100], [0, 0]]
    hole = [[20, 20], [40, 20], [40, 40], [20, 40], [20, 20]]
    feature = {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": [ring, hole]},
        "properties": {"name": "with a hole", "classification": {"name": "Stroma"}, "color": [255, 0, 0]},
    }
    data, attributes, _ = layer_of(Drawing("q", "shapes", "one", (feature,)), FACTS)
    assert len(data) == 1
    assert list(attributes["features"]["classification"]) == ["Stroma"]


def test_a_drawing_that_is_none_is_refused() -> None:
    with pytest.raises(InputError, match="draw it again"):
        layer_of(Drawing("q", "shapes", "one", ({"type": "Feature"},)), FACTS)
    with pytest.raises(InputError, match="draw it again"):
        layer_of(Drawing("q", "volume", "one"), FACTS)


def test_a_change_of_a_drawing_is_seen() -> None:
    before = shapes(SQUARE, kinds=("polygon",))
    assert before.same(shapes(SQUARE, kinds=("polygon",)))
    moved = np.asarray(SQUARE, float)
    moved[0, 0] += 1
    assert not before.same(shapes(moved, kinds=("polygon",)))
    assert not before.same(shapes(SQUARE, BOW, kinds=("polygon", "polygon")))
    assert not before.same(shapes(SQUARE, kinds=("polygon",), features={"name": ["x"]}))
    odd = {"n": [float("nan"), "a"]}
    assert shapes(SQUARE, kinds=("polygon",), features=odd).same(shapes(SQUARE, kinds=("polygon",), features=odd))


def test_settings_of_all_forms_come_back(tmp_path: Path) -> None:
    path = tmp_path / "s.gimp.json"
    chosen = Choices(maps=MapSettings(repeats=5, error="cosine"), tissue_settings=TissueSettings(), encoder="resnet18")
    write_session(path, SessionState(parameters=parameters_of(chosen)))
    assert read_session(path).state.parameters == parameters_of(chosen)
