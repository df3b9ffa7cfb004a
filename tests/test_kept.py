"""Kept results: every bit comes back, by the key of its request; damaged, newer and foreign files are refused."""

import json
import os
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import fields, is_dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from napari_gimp.kept import (
    FACTS,
    find_prediction,
    keep_prediction,
    prediction_path,
    profile_hash,
    read_prediction,
    result_key,
    trim_kept,
    write_prediction,
)
from napari_gimp.settings import InputError
from napari_gimp.types import GeneGroup, MapSettings, PatchGrid, Prediction, Profile, SlideFacts

UNHURRIED = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


def same(one: object, two: object) -> bool:
    """Equal in type and to the last bit, NaN and -0 included."""
    if isinstance(one, np.ndarray | np.generic):
        return type(one) is type(two) and (one.dtype, one.shape) == (two.dtype, two.shape) and bits(one) == bits(two)
    if is_dataclass(one):
        return type(one) is type(two) and all(same(getattr(one, f.name), getattr(two, f.name)) for f in fields(one))
    if isinstance(one, dict):
        return isinstance(two, dict) and list(one) == list(two) and all(same(one[key], two[key]) for key in one)
    if isinstance(one, tuple | list):
        return type(one) is type(two) and len(one) == len(two) and all(map(same, one, two))
    if isinstance(one, float):
        return isinstance(two, float) and np.float64(one).tobytes() == np.float64(two).tobytes()
    return type(one) is type(two) and one == two


def bits(array: np.ndarray | np.generic) -> bytes:
    return np.ascontiguousarray(array).tobytes()


texts = st.text(max_size=12)
plain = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts
anything = st.recursive(
    plain
    | hnp.arrays(np.float64, (2,))
    | st.builds(Path, st.sampled_from(["/a/b", "c"]))
    | st.builds(np.float32, st.floats(width=32)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3) | st.tuples(inner, inner),
    max_leaves=6,
)


def array(draw: st.DrawFn, *shape: int, dtype: str = "float32") -> np.ndarray:
    values = draw(hnp.arrays(np.dtype(dtype), shape))
    return np.asfortranarray(values) if draw(st.booleans()) else values


def maybe(draw: st.DrawFn, *shape: int, dtype: str = "float32") -> np.ndarray | None:
    return array(draw, *shape, dtype=dtype) if draw(st.booleans()) else None


@st.composite
def predictions(draw: st.DrawFn) -> Callable[[], Prediction]:
    """What makes any prediction that the type allows, down to one without patches.

    It is made outside: the checks of types draw random numbers, which a strategy must not.
    """
    n, c, g, k = (draw(st.integers(low, 4)) for low in (0, 1, 0, 0))
    mpp = draw(st.none() | st.tuples(*[st.floats(0.05, 20)] * 2))
    positive = st.floats(1e-3, 1e4)
    corners = draw(hnp.arrays(np.int64, (n, 2), elements=st.integers(-(2**40), 2**40)))
    grid = partial(PatchGrid, corners, (draw(positive), draw(positive)), (draw(positive), draw(positive)), (7, 9), mpp)
    facts = partial(
        SlideFacts,
        draw(texts),
        draw(texts),
        (7, 9),
        ((7, 9), (3, 4)),
        mpp,
        draw(st.none() | st.just(20.0)),
        notes=draw(st.tuples(texts)),
    )
    fragment = st.lists(texts, max_size=3).map(tuple)
    genes = tuple(f"G{i}" for i in range(g))
    values = (
        tuple(f"class {i}" for i in range(c)),
        {name: array(draw, c) for name in draw(st.sampled_from([("image",), ("both", "image", "genes")]))},
        array(draw, 2, 3, n, dtype=draw(st.sampled_from(["float16", "float32", ">f8"]))),
        maybe(draw, n),
        maybe(draw, c, n),
        genes,
        maybe(draw, g),
        maybe(draw, g),
        maybe(draw, c, g, dtype="float64"),
        maybe(draw, c),
        [(draw(texts), draw(st.lists(fragment, max_size=2).map(tuple))) for _ in range(k)],
        maybe(draw, k),
        maybe(draw, k, 2),
        {name: array(draw, c, n) for name in draw(st.lists(texts, max_size=2, unique=True))},
        maybe(draw, c),
        draw(st.none() | st.floats(0, 1)),
        draw(hnp.arrays(np.int64, (draw(st.integers(0, 3)), 2))),
        draw(st.none() | texts),
        draw(st.none() | st.floats(0, 1)),
        draw(st.floats(0.01, 1)),
        draw(texts),
        tuple(draw(st.lists(texts, max_size=3))),
        draw(st.dictionaries(texts, anything, max_size=3)),
    )
    return lambda: made(facts(), grid(), *values)


def made(facts: SlideFacts, grid: PatchGrid, *values: Any) -> Prediction:
    groups = tuple(GeneGroup(*group) for group in values[10])
    return Prediction(facts, values[0], grid, *values[1:10], groups, *values[11:])


@UNHURRIED
@given(make=predictions())
def test_every_field_of_any_prediction_comes_back_bit_for_bit(make: Callable[[], Prediction], tmp_path: Path):
    prediction = make()
    write_prediction(tmp_path / "p.result", prediction)
    assert same(read_prediction(tmp_path / "p.result"), prediction)


def small(**more: object) -> Prediction:
    grid = PatchGrid(np.array([[0, 0], [0, 512]]), (512.0, 512.0), (512.0, 512.0), (600, 1100), (0.25, 0.25))
    facts = SlideFacts("slide-1", "identity", (600, 1100), ((600, 1100),), (0.25, 0.25))
    values = {"image": np.array([0.25, 0.75], np.float32)}
    return Prediction(facts, ("A", "B"), grid, values, np.full((1, 1, 2), 0.5, np.float32), **more)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("kept") / "p.result"
    write_prediction(path, small(provenance={"checkpoint": "demo"}))
    return path.read_bytes()


@UNHURRIED
@given(data=st.data())
def test_a_damaged_file_is_refused_or_read_as_it_was_never_otherwise(whole: bytes, tmp_path: Path, data: st.DataObject):
    content = bytearray(whole)
    place = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        content[place] ^= 1 << data.draw(st.integers(0, 7))
    else:
        del content[place:]
    path = tmp_path / "p.result"
    path.write_bytes(content)
    with suppress(InputError):
        assert same(read_prediction(path), small(provenance={"checkpoint": "demo"}))


def rewritten(whole: bytes, path: Path, change) -> Path:
    """The file with other facts."""
    path.write_bytes(whole)
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    facts = json.loads(parts[FACTS])
    change(facts)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in (parts | {FACTS: json.dumps(facts).encode()}).items():
            archive.writestr(name, content)
    return path


def test_a_newer_file_says_so_and_an_older_one_lacks_what_came_later(whole: bytes, tmp_path: Path):
    newer = rewritten(whole, tmp_path / "newer", lambda facts: facts.update(format=2))
    with pytest.raises(InputError, match="expected a kept result of format 1, found 2, of a newer napari-gimp; update"):
        read_prediction(newer)
    older = rewritten(whole, tmp_path / "older", lambda facts: facts["prediction"]["Prediction"].pop("unlike_training"))
    assert read_prediction(older).unlike_training is None


def test_nothing_is_unpickled(whole: bytes, tmp_path: Path):
    path = tmp_path / "evil"
    with zipfile.ZipFile(rewritten(whole, path, lambda facts: None)) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content) if name == FACTS else None
        for name in set(parts) - {FACTS}:
            with archive.open(name, "w") as file:
                np.lib.format.write_array(file, np.array([{"a": 1}], object), allow_pickle=True)
    with pytest.raises(InputError, match="damaged or other file"):
        read_prediction(path)
    with pytest.raises(ValueError, match="Object arrays"):
        write_prediction(path, small(provenance={"x": np.array([print], object)}))


def test_other_things_are_refused_in_a_sentence(tmp_path: Path):
    for name, words in (
        ("none", "found nothing there"),
        ("text", "damaged or other file"),
        ("folder", "damaged|found: "),
    ):
        path = tmp_path / name
        if name == "text":
            path.write_text("SLIDE")
        if name == "folder":
            path.mkdir()
        with pytest.raises(InputError, match=words):
            read_prediction(path)
    with pytest.raises(TypeError, match="cannot hold a set"):
        write_prediction(tmp_path / "x", small(provenance={"x": {1}}))
    assert not (tmp_path / "x").exists()


def test_the_same_request_finds_its_result_and_no_other_does(tmp_path: Path):
    prediction, profile = small(), Profile("S1", ("A", "B"), np.array([1.0, 2.0]), "log")
    request = {"bag": "b", "checkpoint": "c", "profile": profile, "maps": MapSettings(seed=1)}
    key = result_key(prediction.slide, **request)
    keep_prediction(tmp_path, key, prediction)
    again = {**request, "profile": Profile("S1", ("A", "B"), np.array([1.0, 2.0]), "log", "elsewhere")}
    assert same(find_prediction(tmp_path, result_key(prediction.slide, **again)), prediction)
    assert result_key(prediction.slide, **request | {"maps": MapSettings(seed=1, preview_s=9.0)}) == key
    others = [
        {"bag": "B"},
        {"checkpoint": "C"},
        {"profile": None},
        {"profile": replace(profile, values=np.array([1.0, 2.5]))},
        {"profile": replace(profile, scale="zscore")},
        {"maps": MapSettings(seed=2)},
        {"maps": MapSettings(seed=1, error="cosine")},
        {"more": (4,)},
    ]
    keys = [result_key(prediction.slide, **{**request, **other}) for other in others]
    keys.append(result_key(replace(prediction.slide, mpp_yx=(0.5, 0.5)), **request))
    keys.append(result_key(replace(prediction.slide, identity="changed"), **request))
    assert len({*keys, key}) == len(keys) + 1
    assert all(find_prediction(tmp_path, other) is None for other in keys)


def test_a_file_of_another_key_a_damaged_or_a_newer_one_is_not_found(whole: bytes, tmp_path: Path):
    key = "a" * 64
    keep_prediction(tmp_path, key, small())
    assert find_prediction(tmp_path, key[:32] + "b" * 32) is None, "its name is the same, its key is not"
    path = prediction_path(tmp_path, key)
    rewritten(whole, path, lambda facts: facts.update(key=key, format=2))
    assert find_prediction(tmp_path, key) is None
    path.write_bytes(b"")
    assert find_prediction(tmp_path, key) is None
    with pytest.raises(InputError, match="expected a whole result to keep, found 50%"):
        keep_prediction(tmp_path, key, small(partial=0.5))


def test_the_results_used_longest_ago_go_first(tmp_path: Path):
    keys = [f"{k:x}" * 64 for k in range(3)]
    paths = [keep_prediction(tmp_path, key, small()) for key in keys]
    for k, path in enumerate(paths):
        os.utime(path, (k, k))
    (tmp_path / "mine.result").write_text("somebody's")
    find_prediction(tmp_path, keys[0])
    size = paths[0].stat().st_size
    assert trim_kept(tmp_path, 2.5 * size) == [paths[1]]
    assert trim_kept(tmp_path, 2.5 * size) == []
    assert trim_kept(tmp_path, 0.0) == [paths[2], paths[0]]
    assert [path.name for path in tmp_path.iterdir()] == ["mine.result"]
    assert trim_kept(tmp_path / "absent", 0.0) == []


def test_profiles_of_other_symbols_differ():
    profile = Profile("S", ("A",), np.array([1.0]), "log")
    assert profile_hash(profile) != profile_hash(replace(profile, symbols={"A": "TP53"}))
    assert profile_hash(None) == ""


def test_a_kill_while_writing_leaves_the_old_or_the_new(tmp_path: Path):
    path = tmp_path / "p.result"
    write_prediction(path, small(provenance={"run": 0}))
    code = (
        "import sys, pathlib; sys.path.insert(0, sys.argv[2])\n"
        "from test_kept import small, write_prediction\n"
        "print('ready', flush=True)\n"
        "for run in range(1, 10**6): write_prediction(pathlib.Path(sys.argv[1]), small(provenance={'run': run}))"
    )
    command = [sys.executable, "-c", code, str(path), str(Path(__file__).parent)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        process.stdout.readline()
        while read_prediction(path).provenance["run"] < 3:
            pass
        os.kill(process.pid, signal.SIGKILL)
    assert read_prediction(path).provenance["run"] >= 3
    write_prediction(path, small())
    assert [item.name for item in tmp_path.iterdir()] == ["p.result"]


def test_a_request_knows_the_key_of_its_result_before_it_runs(tiny, tmp_path: Path):
    from napari_gimp import pipeline
    from napari_gimp.console import drain
    from napari_gimp.slides import open_slide

    profile = pipeline.read_profile(tiny.profile, tiny.slide.stem)
    plan = pipeline.Analysis(tiny.checkpoint, cache=tmp_path / "bags")
    with open_slide(tiny.slide) as slide:
        key = pipeline.request_key(slide.facts, plan, profile=profile)
        assert find_prediction(tmp_path, key) is None
        prediction = drain(pipeline.analyse(slide, plan, profile=profile), "")
        assert prediction.provenance["calibrated"] is False, "nobody calibrated random weights"
        keep_prediction(tmp_path, key, prediction)
        again = pipeline.request_key(slide.facts, replace(plan, device="cpu", batch_size=3), profile=profile)
        assert same(find_prediction(tmp_path, again), prediction)
        others = [
            pipeline.request_key(slide.facts, plan),
            pipeline.request_key(slide.facts, replace(plan, stride=0.5), profile=profile),
        ]
        (ready,) = (tmp_path / "bags").rglob("*.h5")
        others.append(pipeline.request_key(slide.facts, replace(plan, bag=ready), profile=profile))
    assert len({key, *others}) == 4
