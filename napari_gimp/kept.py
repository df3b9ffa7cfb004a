"""Finished results on disk: a `Prediction` bit for bit, found again by the key of its request, whole or not at all.

One zip file: ``prediction.json`` (every field by its name, a mark where an array belongs) and one npy file per array.
Nothing is unpickled. A field that a later version adds is read from an older file with its default.
"""

from __future__ import annotations

import io
import json
import os
import re
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import fields, is_dataclass
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from napari_gimp.files import write_whole
from napari_gimp.settings import InputError
from napari_gimp.types import (
    GeneGroup,
    MapSettings,
    PatchGrid,
    Prediction,
    Profile,
    SlideFacts,
    array_hash,
    fingerprint,
)

FORMAT_VERSION = 1
FACTS = "prediction.json"
OWN_NAME = re.compile(r"[0-9a-f]{32}\.result")
NOUNS = {noun.__name__: noun for noun in (Prediction, SlideFacts, PatchGrid, GeneGroup)}
DAMAGE = (OSError, RuntimeError, LookupError, TypeError, ValueError, EOFError, zipfile.BadZipFile, zlib.error)
AGAIN = "run GiMP on the slide again"


def result_key(
    slide: SlideFacts,
    *,
    bag: str,
    checkpoint: str,
    profile: Profile | None = None,
    maps: MapSettings | None = None,
    more: Sequence[object] = (),
) -> str:
    """Hash (hex) of everything that a result depends on: the same request finds its result without computing.

    Parameters
    ----------
    bag
        Fingerprint of the embeddings (`bags.bag_fingerprint`), or a hash of a ready file of them.
    checkpoint
        Identity of the checkpoint (`gimp.checkpoint.checkpoint_id`): changes with its weights and its card.
    maps
        ``preview_s`` changes no number and is left out.
    more
        What else was asked for: plain numbers, strings and tuples of them.
    """
    maps = maps or MapSettings()
    numbers = maps.repeats, maps.error, maps.seed
    place = slide.name, slide.identity, slide.shape_yx, slide.mpp_yx
    return fingerprint("result", FORMAT_VERSION, place, bag, checkpoint, profile_hash(profile), numbers, tuple(more))


def profile_hash(profile: Profile | None) -> str:
    """Hash (hex) of a profile's sample, genes, values and scale; empty without one."""
    if profile is None:
        return ""
    symbols = tuple(sorted(profile.symbols.items()))
    return fingerprint(profile.sample, profile.genes, symbols, profile.scale, array_hash(np.asarray(profile.values)))


def prediction_path(folder: Path, key: str) -> Path:
    """The file of a result in a folder of results; it names no slide."""
    return Path(folder) / f"{key[:32]}.result"


def find_prediction(folder: Path, key: str) -> Prediction | None:
    """The result of this key if it is there, whole and of a version that we read, else None; it counts as used now."""
    path = prediction_path(folder, key)
    try:
        with zipfile.ZipFile(path) as archive:
            found = _unpacked(archive) if _facts(archive)["key"] == key else None
    except (InputError, *DAMAGE):
        return None
    with suppress(OSError):
        os.utime(path)
    return found


def trim_kept(folder: Path, limit_bytes: float) -> list[Path]:
    """Remove the results used longest ago while all of them take more than the limit; returns the removed files.

    Other files in the folder stay, and so does a result that cannot be removed.
    """
    files = [path for path in Path(folder).glob("*.result") if OWN_NAME.fullmatch(path.name) and path.is_file()]
    kept, removed = {path: path.stat() for path in files}, []
    total = sum(stat.st_size for stat in kept.values())
    for path in sorted(kept, key=lambda path: kept[path].st_mtime_ns):
        if total <= limit_bytes:
            break
        with suppress(OSError):
            path.unlink()
            total -= kept[path].st_size
            removed.append(path)
    return removed


def keep_prediction(folder: Path, key: str, prediction: Prediction) -> Path:
    """Write a result where `find_prediction` finds it; only whole ones are kept.

    Raises
    ------
    InputError
        A partial result, or it cannot be written there.
    """
    if prediction.partial < 1:
        raise InputError(
            f"{prediction.slide.name}: expected a whole result to keep, found {prediction.partial:.0%} of its patches;"
            " let the run come to its end."
        )
    path = prediction_path(folder, key)
    write_prediction(path, prediction, key=key)
    return path


def write_prediction(path: Path, prediction: Prediction, *, key: str = "") -> None:
    """Write a prediction, partial or whole, with all its fields; the file appears whole or not at all.

    Raises
    ------
    InputError
        It cannot be written there.
    """
    arrays: dict[str, np.ndarray] = {}
    packed = {"format": FORMAT_VERSION, "key": key, "prediction": _pack(prediction, arrays)}

    def fill(beside: Path) -> None:
        with zipfile.ZipFile(beside, "w", zipfile.ZIP_STORED) as archive:
            archive.writestr(FACTS, json.dumps(packed))
            for name, array in arrays.items():
                with archive.open(name, "w", force_zip64=True) as file:
                    np.lib.format.write_array(file, array, allow_pickle=False)

    write_whole(Path(path), fill)


def read_prediction(path: Path) -> Prediction:
    """Read what `write_prediction` wrote: every field as it was, bit for bit.

    Raises
    ------
    InputError
        Nothing there, no permission, damaged, another kind of file, or one of a newer napari-gimp.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return _unpacked(archive)
    except InputError:
        raise
    except FileNotFoundError as error:
        raise InputError(f"{path}: expected a kept result, found nothing there; {AGAIN}.") from error
    except (PermissionError, IsADirectoryError) as error:
        raise InputError(f"{path}: expected a kept result, found: {error.strerror}; choose the file itself.") from error
    except DAMAGE as error:
        raise InputError(f"{path}: expected a kept result, found a damaged or other file; {AGAIN}.") from error


def _facts(archive: zipfile.ZipFile) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads(archive.read(FACTS))
    if int(facts["format"]) > FORMAT_VERSION:
        raise InputError(
            f"{archive.filename}: expected a kept result of format {FORMAT_VERSION}, found {facts['format']}, of a"
            f" newer napari-gimp; update napari-gimp, or {AGAIN}."
        )
    return facts


def _unpacked(archive: zipfile.ZipFile) -> Prediction:
    found = _unpack(_facts(archive)["prediction"], archive)
    if not isinstance(found, Prediction):
        raise TypeError(f"expected a prediction, found {type(found).__name__}")
    return found


def _pack(value: Any, arrays: dict[str, np.ndarray]) -> Any:
    """Anything that a prediction holds as JSON; arrays are put aside under a name of their own."""
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, np.ndarray | np.generic):
        name = f"{len(arrays)}.npy"
        arrays[name] = np.asarray(value)
        return {"array" if isinstance(value, np.ndarray) else "scalar": name}
    if isinstance(value, int | float):
        return value
    if isinstance(value, list):
        return [_pack(item, arrays) for item in value]
    if isinstance(value, tuple):
        return {"tuple": [_pack(item, arrays) for item in value]}
    if isinstance(value, PurePath):
        return {"path": str(value)}
    if isinstance(value, Mapping):
        return {"mapping": [[_pack(key, arrays), _pack(item, arrays)] for key, item in value.items()]}
    if is_dataclass(value) and type(value).__name__ in NOUNS:
        return {type(value).__name__: {f.name: _pack(getattr(value, f.name), arrays) for f in fields(value)}}
    raise TypeError(f"a kept result cannot hold a {type(value).__name__}")


def _unpack(value: Any, archive: zipfile.ZipFile) -> Any:
    if isinstance(value, list):
        return [_unpack(item, archive) for item in value]
    if not isinstance(value, dict):
        return value
    ((kind, held),) = value.items()
    if kind == "tuple":
        return tuple(_unpack(item, archive) for item in held)
    if kind == "path":
        return Path(held)
    if kind == "mapping":
        return {_unpack(key, archive): _unpack(item, archive) for key, item in held}
    if kind in NOUNS:
        return NOUNS[kind](**{name: _unpack(item, archive) for name, item in held.items()})
    array = _array(archive, held)
    return {"array": array, "scalar": array[()]}[kind]


def _array(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    """An array out of bytes that were read to their end: their checksum has been compared."""
    content = archive.read(name)
    array: np.ndarray = np.load(io.BytesIO(content), allow_pickle=False)
    return array
