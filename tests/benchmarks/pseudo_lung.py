"""Pseudo lung cases: mosaics and single tiles of real H&E tiles, cut apart into training and test tiles.

*Pseudo* everywhere: the tiles are real, the cases are not. Nobody says of which patient a tile is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from napari_gimp.bags import write_bag
from napari_gimp.encoders.base import Encoder
from napari_gimp.encoders.load import load_encoder
from napari_gimp.types import Bag, PatchGrid

TUMOURS = ("adenocarcinoma", "squamous")
TILE_UM = 128.0
"""Assumed side of a tile, which says nothing of its scale: what a patch of 256 px at 0.5 um shows."""
TURNS = 4
"""Training sees every tile in four orientations, testing as it is."""
TEST_SHARE = 0.4
SIDES, BLOCK_SIDES = (6, 7), (2, 3, 4)
"""Rows and columns of a mosaic, and of the tumour block in it."""


@dataclass(frozen=True, eq=False)
class Tiles:
    """All tiles: names, classes, embeddings (turns, n, D), colour histograms (n, 512), mean darkness (n,)."""

    names: np.ndarray
    classes: np.ndarray
    features: np.ndarray
    colours: np.ndarray
    darkness: np.ndarray
    encoder: str

    def of(self, name: str, among: np.ndarray) -> np.ndarray:
        """Those of the indices ``among`` that are of one class."""
        found: np.ndarray = among[self.classes[among] == name]
        return found


@dataclass(frozen=True, eq=False)
class PseudoCase:
    """Tiles (n,) and their turns (n,), rows and columns (n, 2), and which of them are of the tumour block."""

    name: str
    label: str
    tiles: np.ndarray
    turns: np.ndarray
    cells: np.ndarray
    tumour: np.ndarray


def load_tiles(folder: Path, weights: Path, cache: Path, limit: int | None = None, turns: int = TURNS) -> Tiles:
    """Embed each tile once per turn; ``cache`` (npz) is used again while encoder and tiles are the same."""
    encoder = load_encoder(str(weights), device="cpu")
    classes = sorted(path for path in folder.iterdir() if path.is_dir())
    files = [file for kind in classes for file in sorted(kind.glob("*.jpeg"))[:limit]]
    names = np.array([file.stem for file in files])
    if cache.exists():
        with np.load(cache) as stored:
            if (
                str(stored["encoder"]) == encoder.id
                and np.array_equal(stored["names"], names)
                and len(stored["features"]) == turns
            ):
                return Tiles(**{key: stored[key] for key in stored.files if key != "encoder"}, encoder=encoder.id)
    pixels = np.stack([_pixels(file, encoder) for file in files])
    colours = np.stack([colour_histogram(picture) for picture in pixels])
    tiles = Tiles(
        names,
        np.array([file.parent.name for file in files]),
        np.stack([encoder(np.ascontiguousarray(np.rot90(pixels, turn, (1, 2)))) for turn in range(turns)]),
        colours,
        255 - pixels.mean(axis=(1, 2, 3)),
        encoder.id,
    )
    cache.parent.mkdir(parents=True, exist_ok=True)
    np.savez(cache, **vars(tiles))
    return tiles


def _pixels(file: Path, encoder: Encoder) -> np.ndarray:
    side = encoder.patch_px
    with Image.open(file) as picture:
        return np.asarray(picture.convert("RGB").resize((side, side), Image.Resampling.BICUBIC))


def colour_histogram(pixels: np.ndarray) -> np.ndarray:
    """Square root of the shares of 8 x 8 x 8 colours (512,)."""
    bins = (pixels.reshape(-1, 3) // 32).astype(np.int64) @ (64, 8, 1)
    return np.sqrt(np.bincount(bins, minlength=512) / len(bins))


def split_tiles(tiles: Tiles, seed: int, among: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Train and test tiles (indices), apart, the same share of each class."""
    rng = np.random.default_rng(seed)
    among = np.arange(len(tiles.names)) if among is None else among
    groups = [rng.permutation(tiles.of(name, among)) for name in np.unique(tiles.classes)]
    test = np.concatenate([group[: round(TEST_SHARE * len(group))] for group in groups])
    return np.setdiff1d(among, test), np.sort(test)


def mosaics(
    part: str, tiles: Tiles, among: np.ndarray, count: int, rng: np.random.Generator, turns: int = 1
) -> list[PseudoCase]:
    """Pseudo slides: normal tiles with a block of tumour tiles of one class, the classes by turns."""
    return [_mosaic(f"pseudo_{part}_mosaic_{i:03d}", TUMOURS[i % 2], tiles, among, rng, turns) for i in range(count)]


def _mosaic(name: str, label: str, tiles: Tiles, among: np.ndarray, rng: np.random.Generator, turns: int) -> PseudoCase:
    shape, block = rng.choice(SIDES, 2), rng.choice(BLOCK_SIDES, 2)
    corner = rng.integers(shape - block + 1)
    cells = np.argwhere(np.ones(shape, bool))
    tumour = ((cells >= corner) & (cells < corner + block)).all(axis=1)
    chosen = np.empty(len(cells), np.int64)
    chosen[tumour] = _draw(tiles.of(label, among), int(tumour.sum()), rng)
    chosen[~tumour] = _draw(tiles.of("normal", among), int((~tumour).sum()), rng)
    return PseudoCase(name, label, chosen, rng.integers(turns, size=len(cells)), cells, tumour)


def _draw(pool: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """No tile twice in a case while there are enough."""
    return rng.choice(pool, count, replace=count > len(pool))


def single_tiles(tiles: Tiles, among: np.ndarray, turns: int = 1) -> list[PseudoCase]:
    """Every tumour tile, in each turn, as a pseudo case of its own."""
    cell, all_of_it = np.zeros((1, 2), np.int64), np.ones(1, bool)
    return [
        PseudoCase(f"pseudo_tile_{tiles.names[i]}_{turn}", label, np.array([i]), np.array([turn]), cell, all_of_it)
        for label in TUMOURS
        for i in tiles.of(label, among)
        for turn in range(turns)
    ]


def write_cohort(folder: Path, cases: Sequence[PseudoCase], tiles: Tiles) -> Path:
    """Bags in ``folder/features`` and ``folder/pseudo_cohort.csv``: a pseudo cohort as the command line takes it."""
    (folder / "features").mkdir(parents=True, exist_ok=True)
    for case in cases:
        grid = PatchGrid(case.cells * 256, (256.0, 256.0), (256.0, 256.0), (7 * 256, 7 * 256), (0.5, 0.5))
        origin = {"kind": "pseudo", "patches": {"patch_px": 256, "patch_mpp": TILE_UM / 256}}
        bag = Bag(case.name, tiles.features[case.turns, case.tiles], grid, tiles.encoder, provenance=origin)
        write_bag(folder / "features" / f"{case.name}.h5", bag)
    rows = [{"case_id": case.name, "slide_id": case.name, "label": case.label} for case in cases]
    path = folder / "pseudo_cohort.csv"
    pd.DataFrame(rows).to_csv(path, index=False)
    return path
