"""``maps.ome.zarr``: the heat maps as OME-Zarr (NGFF 0.5), one image per lattice, placed in um like the slide."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import zarr
from jaxtyping import Float
from ome_zarr.format import FormatV05
from ome_zarr.writer import add_metadata, write_multiscales_metadata

from napari_gimp.export.plain import NOTICE, question
from napari_gimp.files import appearing
from napari_gimp.types import Lattice, Prediction

COLOURS = {"attention_x_mean": "FDE725", "error": "FFEA46"}
SUPPORT_COLOUR = "B40426"


def write_maps(path: Path, prediction: Prediction) -> None:
    """Write the maps (c, y, x) float32, one value a patch, NaN where there is none; whole or not at all.

    Channels: ``attention_x_mean`` (1 = the average patch) and, where known, ``error`` and ``support_<class>`` (signed:
    what the patch adds to the class logit), then ``attention_x_mean_layer<l>_head<h>``. A cell's centre lies at
    ``translation + index * scale`` in um (pixels where the slide's um per pixel is unknown), the centre of the slide's
    first pixel at 0: the slide itself is placed with scale = um per pixel and no translation.
    Patches on one lattice: the root is the image. On several: images 0, 1, … in the bioformats2raw layout.
    """
    with appearing(path) as part:
        root = zarr.open_group(part, mode="w", zarr_format=3)
        lattices = prediction.grid.lattices
        if len(lattices) == 1:
            _write_image(root, prediction, lattices[0], "maps")
        else:
            _write_series(root, prediction, lattices)


def _write_series(root: zarr.Group, prediction: Prediction, lattices: tuple[Lattice, ...]) -> None:
    names = [str(number) for number in range(len(lattices))]
    add_metadata(root, {"version": "0.5", "bioformats2raw.layout": 3}, fmt=FormatV05())
    add_metadata(root.create_group("OME"), {"version": "0.5", "series": names}, fmt=FormatV05())
    for name, lattice in zip(names, lattices, strict=True):
        _write_image(root.create_group(name), prediction, lattice, f"maps {name}")


def channels_of(prediction: Prediction) -> dict[str, Float[np.ndarray, " N"]]:
    """Name -> value of every patch, of the maps to look at first."""
    channels = {"attention_x_mean": prediction.mean_attention * len(prediction.grid)}
    if prediction.reconstruction_error is not None:
        channels["error"] = prediction.reconstruction_error
    if prediction.class_support is not None:
        rows = zip(prediction.classes, prediction.class_support, strict=True)
        channels |= {f"support_{name}": row for name, row in rows}
    return channels


def heads_of(prediction: Prediction) -> dict[str, Float[np.ndarray, " N"]]:
    """Attention of every layer and head; those of several members stand side by side."""
    return {
        f"attention_x_mean_layer{layer}_head{head}": row * len(prediction.grid)
        for layer, rows in enumerate(prediction.attention, start=1)
        for head, row in enumerate(rows, start=1)
    }


def _write_image(group: zarr.Group, prediction: Prediction, lattice: Lattice, name: str) -> None:
    channels = channels_of(prediction) | heads_of(prediction)
    picture = np.stack([lattice.image(values) for values in channels.values()])
    group.create_array("s0", data=picture, chunks=picture.shape, dimension_names=["c", "y", "x"], fill_value=np.nan)
    units = None if prediction.slide.mpp_yx is None else {"y": "micrometer", "x": "micrometer"}
    write_multiscales_metadata(
        group,
        [{"path": "s0", "coordinateTransformations": _placement(prediction, lattice)}],
        fmt=FormatV05(),
        axes=["c", "y", "x"],
        axes_units=units,
        name=name,
        metadata={"omero": {"channels": [_display(label, values) for label, values in channels.items()]}},
    )
    said = {"notice": NOTICE, "synthetic": prediction.synthetic, "slide": prediction.slide.name}
    group.attrs["napari-gimp"] = {**said, **question(prediction)}


def _placement(prediction: Prediction, lattice: Lattice) -> list[dict[str, Any]]:
    mpp = np.asarray(prediction.slide.mpp_yx or (1.0, 1.0))
    cell = np.asarray(lattice.cell_yx_px)
    first = (np.asarray(lattice.origin_yx_px) + cell / 2 - 0.5) * mpp
    return [
        {"type": "scale", "scale": [1.0, *(cell * mpp).tolist()]},
        {"type": "translation", "translation": [0.0, *first.tolist()]},
    ]


def _display(label: str, values: Float[np.ndarray, " N"]) -> dict[str, Any]:
    low, high = (float(v) for v in np.percentile(values, (1, 99)))
    window = {"min": float(values.min()), "max": float(values.max()), "start": low, "end": high}
    return {
        "label": label,
        "color": COLOURS.get(label, SUPPORT_COLOUR),
        "active": label == "attention_x_mean",
        "window": window,
    }
