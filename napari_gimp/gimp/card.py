"""``checkpoint.json``: what a checkpoint says of itself. Knows nothing of weights."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from napari_gimp.gimp.config import ModelConfig
from napari_gimp.settings import InputError
from napari_gimp.types import CheckpointFacts

FORMAT = "napari-gimp checkpoint"
FORMAT_VERSION = 2
"""2: several members, temperatures. Version 1 (one member) is read too."""
WEIGHTS, CARD = "model.safetensors", "checkpoint.json"
AGAIN = "the checkpoint is damaged, get or train it again."


class CheckpointError(InputError):
    """A folder that is no checkpoint, a damaged or a newer one."""


def write_card(folder: Path, card: Mapping[str, Any]) -> None:
    """Write a checkpoint's card in a folder."""
    whole = _plain({"format": FORMAT, "format_version": FORMAT_VERSION, **card})
    text = json.dumps(whole, indent=1, ensure_ascii=False, allow_nan=False)
    (folder / CARD).write_text(text + "\n", encoding="utf-8")


def read_card(folder: Path) -> dict[str, Any]:
    """The card of a checkpoint, or the sentence that says why it is none."""
    if not (folder / CARD).is_file():
        raise CheckpointError(f"{folder}: expected a checkpoint (a folder with {CARD} and {WEIGHTS}), found no {CARD}.")
    try:
        card = json.loads((folder / CARD).read_text(encoding="utf-8"))
    except ValueError as error:
        raise CheckpointError(f"{folder}: {CARD} is not readable as JSON; {AGAIN}") from error
    if not isinstance(card, dict) or card.get("format") != FORMAT:
        raise CheckpointError(f"{folder}: expected a checkpoint of napari-gimp, found a {CARD} of another program.")
    version = card.get("format_version")
    if not isinstance(version, int):
        raise CheckpointError(f"{folder}: expected format version {FORMAT_VERSION}, found {version!r}; {AGAIN}")
    if version > FORMAT_VERSION:
        raise CheckpointError(
            f"{folder}: expected format version {FORMAT_VERSION} or older, found {version}; update napari-gimp."
        )
    return card


def facts_of(card: dict[str, Any], folder: Path) -> CheckpointFacts:
    """What a card says of the training."""
    try:
        said = dict(card["facts"])
        lists = {key: tuple(said.get(key, ())) for key in ("classes", "genes", "group_names")}
        return CheckpointFacts(**said | lists)
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{folder}: {CARD} does not say what the model was trained on; {AGAIN}") from error


def config_of(card: dict[str, Any], folder: Path) -> ModelConfig:
    """The sizes and choices on a card."""
    try:
        return ModelConfig(**card["model"])
    except (KeyError, TypeError, InputError) as error:
        raise CheckpointError(f"{folder}: {CARD} does not describe a model of this version; {AGAIN}") from error


def _plain(value: Any) -> Any:
    """The same in JSON's types; what is not a finite number becomes null."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return str(value) if isinstance(value, Path) else value
