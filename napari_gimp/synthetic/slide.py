"""Paint a synthetic case and write it as a tiled pyramidal TIFF."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tifffile
from jaxtyping import Float, UInt8
from PIL import Image
from shapely import Polygon

from napari_gimp.files import write_whole
from napari_gimp.synthetic.case import Stain, SyntheticCase
from napari_gimp.synthetic.layout import DOWN, MPP, Layout, lay_out
from napari_gimp.synthetic.noise import TILE_PX, enlarge, fibre_tile, grain_tile, step
from napari_gimp.synthetic.nuclei import CAPSULE_PX, HALF_PX, UNIT, stamp

BLOCK_PX = 512
INK = {"green": (0.12, 0.42, 0.28), "blue": (0.13, 0.2, 0.55), "black": (0.13, 0.13, 0.16)}

Field = Float[np.ndarray, "h w"]
Picture = UInt8[np.ndarray, "H W 3"]


def make_slide(
    path: Path, case: SyntheticCase, shape_yx: tuple[int, int] = (6144, 7168), artefacts: bool = True
) -> Polygon:
    """Write the case's slide: a tiled JPEG TIFF with levels of 1/2 and 0.5 um per pixel, called synthetic inside.

    Parameters
    ----------
    path
        The file; it appears whole or not at all.
    shape_yx
        Level-0 pixels.
    artefacts
        Whether there is a pen mark and a fold.

    Returns
    -------
    shapely.Polygon
        The tumour's area in x, y level-0 pixels.
    """
    picture, layout = paint_slide(case, shape_yx, artefacts)
    says = f"synthetic slide, not from a patient; napari-gimp, {case.case_id}, {case.tumour}"
    write_whole(path, lambda beside: write_pyramid(beside, picture, says))
    return layout.tumour_area


def paint_slide(
    case: SyntheticCase, shape_yx: tuple[int, int], artefacts: bool = True
) -> tuple[UInt8[np.ndarray, "H W 3"], Layout]:
    """The slide's pixels (H, W, 3) and its plan, in memory."""
    layout = lay_out(case, shape_yx, artefacts)
    bordered = (shape_yx[0] + 2 * HALF_PX + 1, shape_yx[1] + 2 * HALF_PX + 1)
    haematoxylin, eosin = np.zeros(bordered, np.uint8), np.zeros(shape_yx, np.uint8)
    inner = haematoxylin[HALF_PX : HALF_PX + shape_yx[0], HALF_PX : HALF_PX + shape_yx[1]]
    stamp(haematoxylin, case, layout)
    for rows, columns in _blocks(shape_yx):
        here = _look(layout, rows, columns)
        if here["tissue"].max() > -30:
            background, eosin[rows, columns] = _ground(here, rows, columns)
            np.maximum(inner[rows, columns], background, out=inner[rows, columns])
    _fold(layout, inner, eosin)
    picture = np.empty((*shape_yx, 3), np.uint8)
    table, ink = stain_table(case.stain), INK[("green", "blue", "black")[case.seed % 3]]
    for rows, columns in _blocks(shape_yx):
        picture[rows, columns] = _develop(table, layout, inner, eosin, rows, columns, ink)
    return picture, layout


def _blocks(shape_yx: tuple[int, int]) -> Iterator[tuple[slice, slice]]:
    for top in range(0, shape_yx[0], BLOCK_PX):
        for left in range(0, shape_yx[1], BLOCK_PX):
            yield slice(top, min(top + BLOCK_PX, shape_yx[0])), slice(left, min(left + BLOCK_PX, shape_yx[1]))


def _zoom(field: Float[np.ndarray, "a b"], rows: slice, columns: slice) -> Field:
    box = (rows.start / DOWN, columns.start / DOWN, rows.stop / DOWN, columns.stop / DOWN)
    return enlarge(field, (rows.stop - rows.start, columns.stop - columns.start), box)


def _look(layout: Layout, rows: slice, columns: slice) -> dict[str, Field]:
    """The maps of one block at full size; only those that a block without tissue needs, if it has none."""
    maps = layout.maps()
    tissue = _zoom(layout.tissue, rows, columns)
    names = maps.keys() - {"tissue", "fold", "pen"} if tissue.max() > -30 else ()
    return {"tissue": tissue, **{name: _zoom(maps[name], rows, columns) for name in sorted(names)}}


def _tile(tile: Float[np.ndarray, "t t"], rows: slice, columns: slice) -> Field:
    y, x = np.arange(rows.start, rows.stop) % TILE_PX, np.arange(columns.start, columns.stop) % TILE_PX
    return np.asarray(tile[y[:, None], x[None, :]])


def _ground(
    here: dict[str, Field], rows: slice, columns: slice
) -> tuple[UInt8[np.ndarray, "h w"], UInt8[np.ndarray, "h w"]]:
    """Haematoxylin and eosin of everything but nuclei, 8 bits each."""
    fine, coarse = _tile(grain_tile(1.0, 1), rows, columns), _tile(grain_tile(5.0, 2), rows, columns)
    v = (np.arange(rows.start, rows.stop)[:, None] + here["fibre_y"]).astype(np.int32) % TILE_PX
    u = (np.arange(columns.start, columns.stop)[None, :] + here["fibre_x"]).astype(np.int32) % TILE_PX
    stroma = 0.40 + 0.13 * fibre_tile(3)[v, u]
    tumour = step(here["tumour"], 6.0)
    lung_h, lung_e = _lung(here, stroma, coarse)
    growth_h, growth_e = _tumour(here, stroma, fine, coarse)
    h, e = lung_h + tumour * (growth_h - lung_h), lung_e + tumour * (growth_e - lung_e)
    strength = step(here["tissue"] + 3 * coarse, 4.0) * here["thickness"] * UNIT
    h, e = h + 0.022 * fine, e * (1 + 0.05 * fine)
    return np.clip(h * strength, 0, 255).astype(np.uint8), np.clip(e * strength, 0, 255).astype(np.uint8)


def _lung(here: dict[str, Field], stroma: Field, coarse: Field) -> tuple[Field, Field]:
    """Alveoli with their walls, filled where the lung is dense, and vessels with red cells."""
    pleura = 26 + 0.5 * here["wall"] - here["tissue"]
    wall = step(np.maximum(here["wall"] - here["alveoli"], pleura), 2.5)
    crowd = step(here["crowd"] - 0.33, 0.1)
    solid = np.maximum(wall, crowd)
    ring = step(here["vessel"] + 26, 4.0)
    open_ = step(here["vessel"], 3.0)
    blood = open_ * step(coarse + 0.1, 0.6) * 0.85
    h = solid * (0.07 + 0.12 * crowd) * (1 - ring) + 0.06 * ring * (1 - open_)
    e = solid * (0.8 * stroma + 0.05) * (1 - ring) + ring * (1.15 * stroma + 0.08) * (1 - open_) + blood
    return h, e


def _tumour(here: dict[str, Field], stroma: Field, fine: Field, coarse: Field) -> tuple[Field, Field]:
    """Glands round a lumen or solid nests with pearls, in a stroma of their own."""
    epithelium = step(here["glands"] - 10, 3.0)
    lumen = step(here["glands"] - here["lumen"], 3.0)
    gland_h = epithelium * (0.15 + 0.02 * coarse) * (1 - lumen) + 0.04 * lumen
    gland_e = stroma + epithelium * (0.33 + 0.03 * coarse - stroma) - lumen * (0.27 + 0.03 * coarse)
    nest = step(here["nests"] - 14, 3.0)
    pearl = step(here["pearl"] - 0.8, 0.02) * step(here["nests"] - 60, 20.0)
    whorl = 0.72 + 0.14 * np.sin(here["nests"] * 0.45) + 0.05 * fine
    nest_h = nest * (0.17 + 0.03 * coarse) * (1 - 0.8 * pearl)
    nest_e = stroma + nest * (0.42 + 0.05 * coarse - stroma)
    nest_e = nest_e + pearl * (whorl - nest_e)
    as_gland = step(here["glandular"], 0.05)
    h, e = nest_h + as_gland * (gland_h - nest_h), nest_e + as_gland * (gland_e - nest_e)
    inner = step(here["tumour"] - CAPSULE_PX, 4.0)
    return h * inner, stroma + inner * (e - stroma)


def _fold(layout: Layout, haematoxylin: UInt8[np.ndarray, "H W"], eosin: UInt8[np.ndarray, "H W"]) -> None:
    """Lay a strip of the neighbouring tissue over the tissue, in place."""
    for rows, columns in _blocks(layout.shape_yx):
        shifted = slice(rows.start + 70, rows.stop + 70)
        if shifted.stop > layout.shape_yx[0] or not (cover := _zoom(layout.fold, rows, columns)).any():
            continue
        for stain in (haematoxylin, eosin):
            layered = stain[rows, columns] * (1 + 0.3 * cover) + 1.2 * cover * stain[shifted, columns]
            stain[rows, columns] = np.clip(layered, 0, 255).astype(np.uint8)


def stain_table(stain: Stain) -> UInt8[np.ndarray, "65536 3"]:
    """Colour of every pair (haematoxylin * 256 + eosin) by Beer-Lambert; eosin hardly enters nuclei."""
    h, e = (levels.astype(np.float32) / UNIT for levels in np.divmod(np.arange(65536), 256))
    e = e * (1 - 0.5 * np.clip(h, 0, 1))
    density = h[:, None] * np.asarray(stain.haematoxylin) + e[:, None] * np.asarray(stain.eosin)
    return np.asarray(np.round(np.asarray(stain.glass) * 10 ** (-0.62 * density)), np.uint8)


def _develop(
    table: UInt8[np.ndarray, "65536 3"],
    layout: Layout,
    haematoxylin: UInt8[np.ndarray, "H W"],
    eosin: UInt8[np.ndarray, "H W"],
    rows: slice,
    columns: slice,
    ink: tuple[float, float, float],
) -> UInt8[np.ndarray, "h w 3"]:
    """Stains of one block -> RGB, with ink where the pen went."""
    picture = table[haematoxylin[rows, columns].astype(np.uint16) * 256 + eosin[rows, columns]]
    pen = _zoom(layout.pen, rows, columns)
    if not pen.any():
        return np.asarray(picture)
    streaks = 1 + 0.06 * _tile(fibre_tile(4), rows, columns)
    through = 1 + pen[..., None] * (np.clip(np.asarray(ink, np.float32) * streaks[..., None], 0, 1) - 1)
    return np.asarray(np.rint(picture * through), np.uint8)


def write_pyramid(path: Path, picture: Picture, description: str, mpp: float = MPP, smallest_px: int = 512) -> None:
    """Write (H, W, 3) uint8 as a tiled JPEG TIFF with levels of 1/2 down to ``smallest_px``."""
    image, level = Image.fromarray(picture), 0
    with tifffile.TiffWriter(path) as file:
        while level == 0 or max(image.size) > smallest_px // 2:
            file.write(
                np.asarray(image),
                tile=(256, 256),
                compression="jpeg",
                compressionargs={"level": 88},
                photometric="rgb",
                subfiletype=int(level > 0),
                resolution=(1e4 / mpp / 2**level, 1e4 / mpp / 2**level),
                resolutionunit="CENTIMETER",
                description=description if level == 0 else None,
                software="napari-gimp" if level == 0 else False,
                metadata=None,
                maxworkers=1,
            )
            image, level = image.reduce(2), level + 1
