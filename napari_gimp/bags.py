"""Bags on disk: TRIDENT's h5 layout plus our facts; found by fingerprint, whole or not at all.

``features`` (N, D) f4 and ``coords`` (N, 2) i8 (level-0 x, y, top-left) with TRIDENT's attributes, so that its users
read our files; exact fractional sizes, um per pixel, scan order and fingerprint stand in the attributes of the file.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from jaxtyping import Float, Int, Shaped

from napari_gimp.files import Sink, write_whole
from napari_gimp.settings import InputError
from napari_gimp.types import Bag, PatchGrid, PatchSpec, SlideFacts, array_hash, fingerprint

FORMAT_VERSION = 1
SCAN_ORDER = "row by row"
OBJECTIVES = (5, 10, 20, 40, 80)
_DAMAGE = (OSError, RuntimeError, KeyError, ValueError, EOFError, zipfile.BadZipFile)


def bag_fingerprint(facts: SlideFacts, spec: PatchSpec, tissue_key: str, encoder_id: str) -> str:
    """Hash (hex) of everything that a slide's features depend on.

    Raises
    ------
    InputError
        When the slide's um per pixel are unknown.
    """
    mpp_y, mpp_x = facts.known_mpp_yx()
    patches = (int(spec.patch_px), float(spec.patch_mpp), float(spec.stride), float(spec.min_tissue))
    return fingerprint(
        "bag", FORMAT_VERSION, SCAN_ORDER, facts.identity, (float(mpp_y), float(mpp_x)), patches, tissue_key, encoder_id
    )


def find_bag(path: Path, fingerprint: str) -> Bag | None:
    """The bag at ``path`` if it is whole and was made of exactly this, else None."""
    try:
        with h5py.File(path, "r") as file:
            if file.attrs.get("fingerprint") != fingerprint:
                return None
            return _read_ours(file, Path(path))
    except _DAMAGE:
        return None


def read_bag(path: Path, facts: SlideFacts | None = None) -> Bag:
    """Read a bag of ours or of TRIDENT's in scan order (row by row); features alone give a bag without a grid.

    Parameters
    ----------
    path
        An h5 file.
    facts
        The slide it should belong to: its shape is checked, and its um per pixel complete a foreign file.

    Raises
    ------
    InputError
        Not a readable h5 file, no features in it, no patch, or coordinates of another slide.
    """
    path = Path(path)
    try:
        with h5py.File(path, "r") as file:
            ours = "fingerprint" in file.attrs
            bag = _read_ours(file, path) if ours else _read_foreign(file, path, facts)
    except InputError:
        raise
    except _DAMAGE as error:
        found = "nothing there" if not path.exists() else "a folder" if path.is_dir() else f"a damaged file ({error})"
        raise InputError(f"{path}: expected an h5 file with patch features, found {found}; embed the slide.") from error
    if facts is not None and bag.grid is not None:
        _check_place(bag.grid, facts, path)
    return bag


def write_bag(path: Path, bag: Bag) -> None:
    """Write a bag beside ``path`` and rename it: a reader sees the old file, the new one or none, never a part.

    Raises
    ------
    InputError
        For a bag without patches, or where the file cannot be written (permission, full disk).
    """
    if not len(bag):
        raise InputError(f"{bag.slide}: expected at least one patch, found none: no tissue; check the tissue mask.")

    def fill(beside: Path) -> None:
        with Sink(beside, "w+") as sink:
            with h5py.File(sink, "w") as file:
                _write(file, bag)
            sink.check()

    write_whole(Path(path), fill)


def _write(file: h5py.File, bag: Bag) -> None:
    features = _dataset(file, "features", bag.features)
    features.attrs.update({"name": bag.slide, "savetodir": "None", "encoder": bag.encoder or "None"})
    if bag.grid is not None:
        coords = _dataset(file, "coords", bag.grid.coords_yx[:, ::-1])
        coords.attrs.update(_trident_attributes(bag, bag.grid))
        file.attrs["size_yx_px"], file.attrs["stride_yx_px"] = bag.grid.size_yx_px, bag.grid.stride_yx_px
        if bag.grid.mpp_yx is not None:
            file.attrs["mpp_yx"] = bag.grid.mpp_yx
    _dataset(file, "missing_coords", bag.missing_yx[:, ::-1])
    file.create_dataset("provenance", data=json.dumps(dict(bag.provenance)))
    file.attrs.update({"format_version": FORMAT_VERSION, "scan_order": SCAN_ORDER, "slide": bag.slide})
    file.attrs["fingerprint"] = bag.fingerprint or ""


def _dataset(file: h5py.File, name: str, values: Shaped[np.ndarray, "n m"]) -> h5py.Dataset:
    """A dataset whose damage is noticed when it is read (checksum per chunk)."""
    if not values.size:
        return file.create_dataset(name, data=values)
    chunks = (min(len(values), 1024), values.shape[1])
    return file.create_dataset(name, data=np.ascontiguousarray(values), chunks=chunks, fletcher32=True)


def _trident_attributes(bag: Bag, grid: PatchGrid) -> dict[str, Any]:
    size_y, _ = grid.size_yx_px
    patch_px = int(bag.provenance.get("patch_px", round(size_y)))
    mpp = None if grid.mpp_yx is None else grid.mpp_yx[0]
    return {
        "patch_size": patch_px,
        "patch_size_level0": round(size_y),
        "level0_magnification": _objective(mpp),
        "target_magnification": _objective(mpp and mpp * size_y / patch_px),
        "overlap": max(0, round(patch_px * (1 - grid.stride_yx_px[0] / size_y))),
        "name": bag.slide,
        "savetodir": "None",
        "level0_width": grid.slide_shape_yx[1],
        "level0_height": grid.slide_shape_yx[0],
    }


def _objective(mpp: float | None) -> int | str:
    """The nominal objective that TRIDENT wants to read (0.25 um -> 40); it stores None as a string."""
    if mpp is None:
        return "None"
    return min(OBJECTIVES, key=lambda objective: abs(np.log(objective * mpp / 10)))


def _read_ours(file: h5py.File, path: Path) -> Bag:
    version = int(file.attrs["format_version"])
    if version != FORMAT_VERSION:
        raise InputError(f"{path}: expected bag format {FORMAT_VERSION}, found {version}; embed the slide again.")
    features, missing = _features(file, path), np.asarray(file["missing_coords"][()], np.int64)[:, ::-1]
    grid = None
    if "coords" in file:
        height, width = (int(file["coords"].attrs[name]) for name in ("level0_height", "level0_width"))
        coords = np.ascontiguousarray(file["coords"][()][:, ::-1])
        mpp = _pair(file.attrs["mpp_yx"]) if "mpp_yx" in file.attrs else None
        size, stride = _pair(file.attrs["size_yx_px"]), _pair(file.attrs["stride_yx_px"])
        grid = PatchGrid(coords, size, stride, (height, width), mpp)
    return Bag(
        str(file.attrs["slide"]),
        features,
        grid,
        encoder=_attributes(file["features"])["encoder"],
        fingerprint=str(file.attrs["fingerprint"]) or None,
        missing_yx=np.ascontiguousarray(missing),
        provenance=json.loads(file["provenance"].asstr()[()]),
    )


def _read_foreign(file: h5py.File, path: Path, facts: SlideFacts | None) -> Bag:
    features, attributes = _features(file, path), _attributes(file["features"])
    encoder = attributes.get("encoder") or _attributes(file).get("encoder")
    slide = str(attributes.get("name") or path.stem)
    if "coords" not in file:
        return Bag(slide, features, None, encoder)
    grid = _foreign_grid(file["coords"], path, facts)
    order = np.lexsort((grid.coords_yx[:, 1], grid.coords_yx[:, 0]))  # TRIDENT walks column by column
    if len(grid) == len(features):
        grid, features = grid.take(order), features[order]
    return Bag(slide, features, grid, encoder)


def _foreign_grid(coords: h5py.Dataset, path: Path, facts: SlideFacts | None) -> PatchGrid:
    attributes = _attributes(coords)
    side = attributes.get("patch_size_level0")
    if side is None or coords.dtype.kind not in "iu" or coords.shape[1:] != (2,):
        raise InputError(
            f"{path}: expected TRIDENT's coords (N, 2) in whole level-0 pixels with the attribute patch_size_level0,"
            f" found {coords.dtype} {coords.shape} with {sorted(attributes) or 'no attributes'}; embed the slide."
        )
    corners = np.ascontiguousarray(coords[()][:, ::-1].astype(np.int64))
    overlap = float(attributes.get("overlap") or 0) * float(side) / float(attributes.get("patch_size") or side)
    stride = float(side) - round(overlap)
    extent = facts.shape_yx if facts is not None else corners.max(axis=0, initial=0) + int(side)
    shape = int(attributes.get("level0_height") or extent[0]), int(attributes.get("level0_width") or extent[1])
    mpp = None if facts is None else facts.mpp_yx
    return PatchGrid(corners, (float(side), float(side)), (stride, stride), shape, mpp)


def _features(file: h5py.File, path: Path) -> Float[np.ndarray, "N D"]:
    if "features" not in file or file["features"].ndim != 2:
        found = {name: item.shape for name, item in file.items() if isinstance(item, h5py.Dataset)}
        raise InputError(f"{path}: expected a dataset features (patches, width), found {found}; embed the slide.")
    features = np.asarray(file["features"][()], np.float32)
    if not len(features):
        raise InputError(f"{path}: expected at least one patch, found none: the slide had no tissue; check its mask.")
    return features


def _attributes(item: h5py.Dataset | h5py.File) -> dict[str, Any]:
    """Attributes as plain Python values; TRIDENT's string ``"None"`` becomes None."""
    values = {name: value.decode() if isinstance(value, bytes) else value for name, value in item.attrs.items()}
    return {name: None if isinstance(value, str) and value == "None" else value for name, value in values.items()}


def _pair(values: Any) -> tuple[float, float]:
    return float(values[0]), float(values[1])


def _check_place(grid: PatchGrid, facts: SlideFacts, path: Path) -> None:
    low, high = grid.coords_yx.min(axis=0), grid.coords_yx.max(axis=0)
    inside = (low >= 0).all() and (high < facts.shape_yx).all()
    if grid.slide_shape_yx != facts.shape_yx or not inside:
        raise InputError(
            f"{path} is the bag of another slide: expected patches inside {facts.shape_yx} px ({facts.name}), found"
            f" corners up to {tuple(map(int, high))} in a slide of {grid.slide_shape_yx} px; give this slide's bag."
        )


class PartStore:
    """Finished parts of an embedding, so that a killed run goes on where it was.

    One folder per fingerprint; each part is an npz file that appears whole or not at all. A part that was damaged
    later counts as not done: its patches are embedded again.
    """

    def __init__(self, folder: Path, fingerprint: str) -> None:
        self.folder = Path(folder) / f"{fingerprint[:32]}.parts"

    def add(
        self, index: Int[np.ndarray, " n"], features: Float[np.ndarray, "n D"], missing: Int[np.ndarray, " m"]
    ) -> None:
        """Store the features of the patches ``index`` and the indices of those that could not be read."""
        both = np.concatenate([index, missing])

        def fill(beside: Path) -> None:
            with open(beside, "wb") as file:
                np.savez(file, index=index, features=features, missing=missing)

        if len(both):
            write_whole(self.folder / f"part-{both.min():09d}-{array_hash(both)[:8]}.npz", fill)

    def done(self) -> dict[int, Path]:
        """Patch index -> its part, for every patch that is embedded; unreadable ones are tried again by a later run."""
        return {int(i): path for path, part in self._whole() for i in part["index"]}

    def collect(self) -> tuple[Int[np.ndarray, " n"], Float[np.ndarray, "n D"], Int[np.ndarray, " m"]]:
        """All parts as one: patch indices in scan order, their features, indices of unreadable patches."""
        parts = [part for _, part in self._whole()]
        if not parts:
            return np.empty(0, np.int64), np.empty((0, 0), np.float32), np.empty(0, np.int64)
        index, first = np.unique(np.concatenate([part["index"] for part in parts]), return_index=True)
        features = np.concatenate([part["features"] for part in parts])[first]
        return index, features, np.setdiff1d(np.concatenate([part["missing"] for part in parts]), index)

    def clear(self) -> None:
        """Remove the folder with all its parts."""
        for path in self.folder.glob("*") if self.folder.is_dir() else ():
            path.unlink(missing_ok=True)
        with suppress(OSError):
            self.folder.rmdir()

    def _whole(self) -> Iterator[tuple[Path, Mapping[str, Any]]]:
        for path in sorted(self.folder.glob("part-*.npz")):
            try:
                with open(path, "rb") as raw, np.load(raw, allow_pickle=False) as file:
                    part = {name: file[name] for name in ("index", "features", "missing")}
            except _DAMAGE:
                continue
            yield path, part
