"""Plain JSON of the window's nouns, and how what was written before meets what is written now."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from typing import Any

KEYS = {"slides": "identity", "layers": "tag", "regions": "name"}
"""What an entry of each list is known by."""
OPAQUE = ("marks", "what_if", "features", "grid", "metadata")
"""Whole values of others: replaced, never mixed with older ones."""


def plain(value: Any) -> Any:
    """JSON of dataclasses, arrays and whatever stands in a table of features; a number that is none becomes null."""
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if value is None or isinstance(value, str | bool | int | float) else str(value)


def merged(old: Any, new: Any, name: str = "") -> Any:
    """``new`` with the fields of ``old`` that it does not have; entries of lists meet by what they are known by."""
    if name in OPAQUE:
        return new
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        return {**old, **{key: merged(old.get(key), value, key) for key, value in new.items()}}
    if name in KEYS and isinstance(old, list) and isinstance(new, list):
        key = KEYS[name]
        entries = [each for each in old if isinstance(each, Mapping)]
        return [merged(next((one for one in entries if one.get(key) == each.get(key)), None), each) for each in new]
    return new
