"""``overlay.geojson``: patches as QuPath tiles with measurements, top regions and the user's own as annotations."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from jaxtyping import Int

from napari_gimp.export.omezarr import channels_of
from napari_gimp.export.plain import NOTICE, question
from napari_gimp.files import appearing
from napari_gimp.regions import Region, to_feature
from napari_gimp.types import Prediction

MOST_TILES = 30_000
"""QuPath stays usable up to some tens of thousands of objects."""
TOP_SHARE, MOST_REGIONS = 0.05, 20
TOP_CLASS, TOP_COLOUR = "High attention", (255, 140, 0)


def write_overlay(path: Path, prediction: Prediction, regions: Sequence[Region] = ()) -> None:
    """Write a FeatureCollection that QuPath opens: whole or not at all.

    Tiles carry ``attention``, ``attention_x_mean`` and, where known, ``error`` and ``support_<class>`` for QuPath's
    measurement maps. Of more than 30,000 patches those with most attention are written, and the collection's ``note``
    says so.
    """
    shown = top_patches(prediction, min(len(prediction.grid), MOST_TILES))
    collection: dict[str, Any] = {
        "type": "FeatureCollection",
        "notice": NOTICE,
        "synthetic": prediction.synthetic,
        **question(prediction),
        "features": [
            *_tiles(prediction, np.sort(shown)),
            *(_annotation(prediction, region, number) for number, region in enumerate(top_regions(prediction))),
            *(to_feature(region, number=number) for number, region in enumerate(regions)),
        ],
    }
    if len(shown) < len(prediction.grid):
        collection["note"] = f"the {len(shown)} of {len(prediction.grid)} patches with most attention"
    with appearing(path) as part:
        part.write_text(json.dumps(collection, allow_nan=False), encoding="utf-8")


def top_patches(prediction: Prediction, count: int) -> Int[np.ndarray, " n"]:
    """The ``count`` patches with most attention, most first; of equals, the first in scan order."""
    return np.argsort(-prediction.mean_attention, kind="stable")[:count].astype(np.int64)


def top_regions(prediction: Prediction, share: float = TOP_SHARE) -> list[Region]:
    """The patches with most attention (5 % of them), neighbours merged; at most 20 regions, most attention first."""
    top = top_patches(prediction, int(np.ceil(share * len(prediction.grid))))
    squares = _squares(prediction, top)
    # corners are rounded to a pixel: neighbours may miss each other by one
    grown = shapely.union_all(shapely.buffer(squares, 1, join_style="mitre"))
    parts = [part for part in shapely.get_parts(shapely.buffer(grown, -1, join_style="mitre")) if part.area > 0]
    tree = shapely.STRtree(parts)
    part_of, square = tree.query(shapely.centroid(squares), predicate="intersects")[::-1]
    weight = np.bincount(part_of, prediction.mean_attention[top[square]], minlength=len(parts))
    order = np.argsort(-weight, kind="stable")[:MOST_REGIONS]
    return [Region(parts[k], f"top attention {n}", TOP_CLASS, TOP_COLOUR) for n, k in enumerate(order, start=1)]


def _squares(prediction: Prediction, patches: Int[np.ndarray, " n"]) -> np.ndarray:
    y, x = prediction.grid.coords_yx[patches].T.astype(float)
    height, width = prediction.grid.size_yx_px
    return np.asarray(shapely.box(x, y, x + width, y + height))


def _tiles(prediction: Prediction, patches: Int[np.ndarray, " n"]) -> list[dict[str, Any]]:
    values = {"attention": prediction.mean_attention, **channels_of(prediction)}
    tiles = []
    for patch, square in zip(patches.tolist(), _squares(prediction, patches), strict=True):
        numbers = {name: float(channel[patch]) for name, channel in values.items()}
        tiles.append(to_feature(Region(square, f"patch {patch}"), "tile", numbers, number=patch))
    return tiles


def _annotation(prediction: Prediction, region: Region, number: int) -> dict[str, Any]:
    feature = to_feature(region, number=number)
    feature["properties"]["metadata"] = {"source": f"napari-gimp: {NOTICE}", "trained on": prediction.synthetic or "-"}
    return feature
