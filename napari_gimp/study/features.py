"""The bags of a cohort on disk: a folder of h5 files or one packed npz, read when asked for."""

from __future__ import annotations

import zipfile
import zlib
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import h5py
import numpy as np
from jaxtyping import Float, Int, Shaped

from napari_gimp.bags import read_bag
from napari_gimp.settings import InputError
from napari_gimp.types import Bag

CACHE_BYTES = 2 * 1024**3


@dataclass(frozen=True)
class BagHead:
    """What a slide's bag says of itself without its features being read."""

    encoder: str | None
    rows: int
    width: int


@runtime_checkable
class FeatureStore(Protocol):
    """Where the bags of many slides lie."""

    @property
    def source(self) -> str:
        """Name for messages."""

    def head(self, slide_id: str) -> BagHead | None:
        """Encoder and shape of a slide's bag, None where there is no such slide."""

    def read(self, slide_id: str) -> Bag:
        """The bag of a slide that ``head`` knows."""


def open_features(path: Path, cache_bytes: int = CACHE_BYTES) -> FeatureFolder | PackedFeatures:
    """A folder of ``<slide_id>.h5`` files, or one packed ``.npz`` (``x, rows, slide_id, encoder``).

    Parameters
    ----------
    cache_bytes
        How much of a folder stays in memory between epochs; the least recently used bags go first.

    Raises
    ------
    InputError
        Neither of the two.
    """
    if path.is_dir():
        return FeatureFolder(path, cache_bytes)
    if path.is_file() and zipfile.is_zipfile(path):
        return PackedFeatures(path)
    found = "a file of another kind" if path.exists() else "nothing there"
    raise InputError(
        f"Features {path}: expected a folder of <slide_id>.h5 files or a packed .npz, found {found}; check it."
    )


class FeatureFolder:
    """One h5 file a slide; a bag is read when first needed and kept while the cache has room."""

    def __init__(self, folder: Path, cache_bytes: int = CACHE_BYTES) -> None:
        self.folder, self.cache_bytes = folder, cache_bytes
        self._kept: OrderedDict[str, Bag] = OrderedDict()

    @property
    def source(self) -> str:
        """The folder's name."""
        return self.folder.name

    @property
    def slides(self) -> tuple[str, ...]:
        """All slides that it has a file of."""
        return tuple(path.stem for path in self.folder.glob("*.h5"))

    @property
    def kept_bytes(self) -> int:
        """Size of the features in memory now."""
        return sum(bag.features.nbytes for bag in self._kept.values())

    def _path(self, slide_id: str) -> Path:
        return self.folder / f"{slide_id}.h5"

    def head(self, slide_id: str) -> BagHead | None:
        """Encoder and shape from the file's attributes, no feature read.

        Raises
        ------
        InputError
            The file is no feature file.
        """
        path = self._path(slide_id)
        if not path.is_file():
            return None
        try:
            with h5py.File(path) as file:
                features = file["features"]
                rows, width = features.shape
                return BagHead(_name(features.attrs.get("encoder")), rows, width)
        except (OSError, KeyError, ValueError, AttributeError) as error:
            raise InputError(
                f"{path.name}: expected an h5 file with features (patches, width), found none readable; embed it again."
            ) from error

    def read(self, slide_id: str) -> Bag:
        """The bag of a slide, from the cache where it is still there."""
        if slide_id in self._kept:
            self._kept.move_to_end(slide_id)
            return self._kept[slide_id]
        bag = read_bag(self._path(slide_id))
        self._kept[slide_id] = bag
        while self.kept_bytes > self.cache_bytes:
            self._kept.popitem(last=False)
        return bag


def _name(attribute: object) -> str | None:
    text = attribute.decode() if isinstance(attribute, bytes) else attribute
    return None if text is None or str(text) in {"", "None"} else str(text)


def _unpacked(
    path: Path,
) -> tuple[Float[np.ndarray, "R D"], Int[np.ndarray, " s"], Shaped[np.ndarray, " s2"], str | None]:
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in ("x", "rows", "slide_id", "encoder") if name in file.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(
            f"{path.name}: expected an npz of x, rows, slide_id, encoder, found a damaged one ({error});"
            " copy or make it again."
        ) from error
    lacking = [name for name in ("x", "rows", "slide_id") if name not in arrays]
    if lacking:
        raise InputError(
            f"{path.name}: expected arrays x, rows, slide_id, encoder, found no {', '.join(lacking)}; pack it again."
        )
    encoder = _name(str(arrays["encoder"])) if "encoder" in arrays else None
    return arrays["x"], arrays["rows"].astype(np.int64), arrays["slide_id"], encoder


class PackedFeatures:
    """All bags in one npz: ``x`` (rows, width), ``rows`` per slide, ``slide_id`` in the same order, ``encoder``.

    The rows have no coordinates: they can be trained on, never mapped.

    Raises
    ------
    InputError
        Damaged, arrays missing, or their lengths do not agree.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._x, rows, slides, self._encoder = _unpacked(path)
        if self._x.ndim != 2 or len(rows) != len(slides) or rows.sum() != len(self._x):
            raise InputError(
                f"{path.name}: expected rows for each slide that add up to x, found {len(slides)} slides,"
                f" {len(rows)} row counts with sum {rows.sum()} and x {self._x.shape}; pack it again."
            )
        ends = np.cumsum(rows)
        self._place = {str(s): slice(int(end - n), int(end)) for s, n, end in zip(slides, rows, ends, strict=True)}

    @property
    def source(self) -> str:
        """The file's name."""
        return self.path.name

    @property
    def slides(self) -> tuple[str, ...]:
        """All slides that it has."""
        return tuple(self._place)

    def head(self, slide_id: str) -> BagHead | None:
        """Encoder and shape of a slide's rows."""
        place = self._place.get(slide_id)
        return None if place is None else BagHead(self._encoder, place.stop - place.start, self._x.shape[1])

    def read(self, slide_id: str) -> Bag:
        """The rows of a slide as a bag without coordinates."""
        return Bag(slide_id, self._x[self._place[slide_id]].astype(np.float32), None, self._encoder)
