"""A session of the window as a readable file ``<slide>.gimp.json``: state -> JSON -> state, as far as it can be read.

Fields that this version does not know are kept when the file is written again. A damaged file is read field by
field, a file of a newer version as far as its fields are known.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from napari_gimp.files import write_text_whole
from napari_gimp.plugin.session import Grain, ViewSettings
from napari_gimp.plugin.sessions.plainjson import merged, plain
from napari_gimp.plugin.sessions.sessionstate import Drawing, Look, SessionState, SlideEntry, View
from napari_gimp.settings import InputError, with_overrides
from napari_gimp.slides.tissue import TissueSettings
from napari_gimp.types import MapSettings

FORMAT, VERSION, SUFFIX = "napari-gimp session", 1, ".gimp.json"
INDENT, NEXT_FIELD = 1, '\n "'
"""The outermost fields alone begin in the second column."""


@dataclass(frozen=True)
class Opened:
    """A session file as far as it could be read; ``notes`` say what could not."""

    path: Path
    state: SessionState
    notes: tuple[str, ...] = ()
    damaged: bool = False
    newer: bool = False


def to_json(state: SessionState, beside: Path | None = None) -> dict[str, Any]:
    """The state as plain JSON.

    Parameters
    ----------
    beside
        The session file: paths are stored from its folder as well, so that both can move together.
    """
    made = {
        "format": FORMAT,
        "version": VERSION,
        "program": f"napari-gimp {version('napari-gimp')}",
        "written": datetime.now().astimezone().isoformat(timespec="seconds"),
        "slides": [{**plain(asdict(slide)), **_places(slide.path, beside)} for slide in state.slides],
        "chosen": state.chosen,
        "profile": None if state.profile is None else {**_places(state.profile, beside), "sample": state.sample},
        "checkpoint": None if state.checkpoint is None else {**_places(state.checkpoint, beside), "demo": state.demo},
        "parameters": {name: plain(value) for name, value in state.parameters.items()},
        "tissue": state.tissue,
        "map": {"key": state.map_key, "view": plain(state.map_view)},
        "layers": [plain(asdict(look)) for look in state.layers],
        "regions": [{"type": "FeatureCollection", **plain(asdict(drawing))} for drawing in state.regions],
        "marks": plain(state.marks),
        "labels": list(state.labels),
        "what_if": plain(state.what_if),
        "view": None if state.view is None else plain(asdict(state.view)),
    }
    kept: dict[str, Any] = merged(state.known, made)
    return kept


def _places(path: Path, beside: Path | None) -> dict[str, str | None]:
    relative = None
    if beside is not None and path.is_absolute() and path.drive == beside.drive:
        relative = os.path.relpath(path, beside.parent)
    return {"path": str(path), "relative": relative}


def is_session(path: Path) -> bool:
    """Whether a file is a session by its name."""
    return path.name.lower().endswith(SUFFIX)


def write_session(path: Path, state: SessionState) -> None:
    """Write the file, whole or not at all.

    Raises
    ------
    InputError
        It cannot be written there.
    """
    write_text_whole(path, json.dumps(to_json(state, path), indent=INDENT, ensure_ascii=False, allow_nan=False))


def read_session(path: Path) -> Opened:
    """Read a session as far as it goes.

    Raises
    ------
    InputError
        No such file, or nothing of a session in it.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig", errors="replace")
    except OSError as error:
        raise InputError(
            f"Session {path}: expected a readable file, found: {error.strerror or error}; check the path."
        ) from error
    known, whole = _read_pairs(text)
    if known.get("format") != FORMAT:
        raise InputError(
            f"{path.name}: expected a session of napari-gimp, found none in it; give a file that ends in {SUFFIX}."
        )
    return _opened(path, known, whole)


def _opened(path: Path, known: Mapping[str, Any], whole: bool) -> Opened:
    state, lost = _state(known, path)
    newer = isinstance(known.get("version"), int | float) and known["version"] > VERSION
    lost = lost if whole else [*lost, "what stands where it breaks"]
    notes = []
    if newer:
        notes.append(
            f"{path.name} is of version {known['version']}, this program knows {VERSION}: opened as far as it is known"
            " and left as it is; a newer napari-gimp opens all of it."
        )
    if lost:
        notes.append(f"{path.name} is damaged: {', '.join(lost)} could not be read; everything else is here.")
    return Opened(path, state, tuple(notes), bool(lost) and not newer, newer)


def _read_pairs(text: str) -> tuple[dict[str, Any], bool]:
    """The outermost fields of a JSON object that read; whether all of it does."""
    try:
        found = json.loads(text)
        return (found, True) if isinstance(found, dict) else ({}, False)
    except (ValueError, RecursionError):
        return _pairs_that_read(text), False


def _pairs_that_read(text: str) -> dict[str, Any]:
    """Field by field; behind a break it goes on with the next line that begins a field of the outermost object."""
    found: dict[str, Any] = {}
    at = text.find("{") + 1
    while at > 0:
        try:
            at = _pair(text, at, found)
        except (ValueError, IndexError, RecursionError):
            at = text.find(NEXT_FIELD, at + 1)
    return found


def _pair(text: str, at: int, found: dict[str, Any]) -> int:
    decoder = json.JSONDecoder()
    name, at = decoder.raw_decode(text, _skip(text, at, " \t\r\n,"))
    value, at = decoder.raw_decode(text, _skip(text, at, " \t\r\n:"))
    found[str(name)] = value
    return at


def _skip(text: str, at: int, what: str) -> int:
    while text[at] in what:
        at += 1
    return at


def _state(known: Mapping[str, Any], path: Path) -> tuple[SessionState, list[str]]:
    """Each field, and each entry of a list, on its own: one that does not read takes its default and is named."""
    made: dict[str, Any] = {"known": known}
    lost = []
    for name, read_one in _lists(path).items():
        entries = known.get(name)
        read = [_tried(read_one, entry) for entry in entries] if isinstance(entries, list) else []
        made[name] = tuple(each for each in read if each is not None)
        missed = len(read) - len(made[name])
        if missed or not isinstance(entries, list | None):
            lost.append(f"{missed} of {len(read)} {name}" if missed else name)
    for name, read_it in _fields(path).items():
        found = {} if known.get(name) is None else _tried(read_it, known[name])
        made |= found or {}
        lost += [name] if found is None else []
    made["parameters"], missing = _parameters({} if known.get("parameters") is None else known["parameters"])
    return SessionState(**made), [*lost, *missing]


def _lists(path: Path) -> dict[str, Callable[[Any], Any]]:
    return {"slides": lambda one: _slide(one, path), "layers": _look, "regions": _drawing}


def _fields(path: Path) -> dict[str, Callable[[Any], dict[str, Any]]]:
    return {
        "chosen": lambda one: {"chosen": _said(one)},
        "tissue": lambda one: {"tissue": _said(one)},
        "profile": lambda one: {"profile": _place(one, path), "sample": _text(one.get("sample"))},
        "checkpoint": lambda one: {"checkpoint": _place(one, path), "demo": bool(one.get("demo"))},
        "map": lambda one: {"map_key": _text(one.get("key")), "map_view": _settings(ViewSettings(), one.get("view"))},
        "marks": lambda one: {"marks": one},
        "what_if": lambda one: {"what_if": one},
        "labels": lambda all_: {"labels": tuple(_said(one) for one in all_)},
        "view": lambda one: {"view": _view(one)},
    }


def _tried(read: Callable[[Any], Any], value: Any) -> Any:
    """What was read, None where it is not what it should be."""
    try:
        return read(value)
    except (TypeError, ValueError, KeyError, AttributeError, IndexError, OverflowError):
        return None


def _parameters(given: Any) -> tuple[dict[str, Any], list[str]]:
    """The parameters that read, and the names of those that do not."""
    forms = {"grain": Grain(), "tissue_settings": TissueSettings(), "maps": MapSettings()}
    read: dict[str, Callable[[Any], Any]] = {
        "encoder": _said,
        "device": _said,
        "weights": lambda text: Path(_said(text)),
        "bag": lambda text: Path(_said(text)),
        **{name: partial(_settings, default) for name, default in forms.items()},
    }
    if not isinstance(given, Mapping):
        return {}, ["parameters"]
    there = {name: _tried(read[name], given[name]) for name in read if given.get(name) is not None}
    return {name: there.get(name) for name in read if name in given}, [n for n, v in there.items() if v is None]


def _slide(one: Mapping[str, Any], path: Path) -> SlideEntry:
    mpp = one.get("mpp_yx")
    height, width = one.get("shape_yx") or (0, 0)
    place = _place(one, path)
    return SlideEntry(
        place, str(one["identity"]), str(one.get("name", place.stem)), (int(height), int(width)),
        None if mpp is None else (float(mpp[0]), float(mpp[1])),
    )  # fmt: skip


def _place(one: Mapping[str, Any], session: Path) -> Path:
    """Where it lay; where nothing is there any more, the same place seen from the session file."""
    path = Path(_said(one["path"]))
    if not path.exists() and one.get("relative") and (near := session.parent / _said(one["relative"])).exists():
        return Path(os.path.normpath(near))
    return path


def _settings(default: Any, given: Any) -> Any:
    """The dataclass with the fields that are known."""
    known = {item.name for item in fields(default)}
    return with_overrides(default, {name: value for name, value in (given or {}).items() if name in known})


def _look(one: Mapping[str, Any]) -> Look:
    contrast = one.get("contrast")
    return Look(
        {"role": str(one["tag"]["role"]), **one["tag"]},
        bool(one["visible"]),
        float(one["opacity"]),
        _text(one.get("colormap")),
        None if one.get("gamma") is None else float(one["gamma"]),
        None if contrast is None else (float(contrast[0]), float(contrast[1])),
    )


def _drawing(one: Mapping[str, Any]) -> Drawing:
    return Drawing(
        str(one["name"]),
        str(one["kind"]),
        _text(one.get("slide")),
        tuple(dict(each) for each in one["features"]),
        None if one.get("grid") is None else dict(one["grid"]),
        bool(one.get("visible", True)),
        float(one.get("opacity", 1.0)),
        dict(one.get("metadata") or {}),
    )


def _view(one: Mapping[str, Any]) -> View:
    orientation = tuple(_said(each) for each in one.get("orientation") or ())
    order = tuple(int(each) for each in one.get("order") or ())
    return View(_numbers(one["centre"]), float(one["zoom"]), _numbers(one["angles"]), orientation, order)


def _text(value: Any) -> str | None:
    return None if value is None else _said(value)


def _said(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"expected text, found {value!r}")
    return value


def _numbers(values: Any) -> tuple[float, ...]:
    return tuple(float(value) for value in values)
