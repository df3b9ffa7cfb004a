"""Anything we know of a run -> what JSON can hold, without a path of somebody's disk in it."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np

from napari_gimp.files import appearing
from napari_gimp.types import Prediction

NOTICE = "model output, research use only"
FOLDERS = re.compile(r"(?<![\w.~/\\:])(?:file:/{0,2}|~|[A-Za-z]:)?[/\\]{1,2}(?:[^/\\\s\"',;]+[/\\]+)+")
"""The folders of an absolute path inside a sentence: all but the last name."""


def question(prediction: Prediction) -> dict[str, str]:
    """What was asked of a result that is a what-if, to stand in every file of it; nothing for one that is none."""
    asked = str(prediction.provenance.get("what_if_label", ""))
    return {"what_if": asked} if asked else {}


def plain(value: Any) -> Any:
    """Numbers, strings, lists and dicts; NaN and infinity become null, paths lose their folders."""
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, Mapping):
        return {plain_text(str(key)): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, PurePath):
        return value.name
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, bool | int) else plain_text(str(value))


def plain_text(text: str) -> str:
    """The text with absolute paths cut down to their last name."""
    for kind in (PurePosixPath, PureWindowsPath):
        if kind(text).is_absolute() and "\n" not in text:
            return kind(text).name
    return FOLDERS.sub("", text)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a mapping as readable JSON, made ``plain`` first; whole or not at all."""
    text = json.dumps(plain(content), indent=2, ensure_ascii=False, allow_nan=False)
    with appearing(path) as part:
        part.write_text(text + "\n", encoding="utf-8")
