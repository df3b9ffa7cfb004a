"""Slides, predictions and runs for the tests of the plugin: small, known, without a network."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Generator
from dataclasses import replace
from pathlib import Path

import numpy as np
import tifffile

from napari_gimp.plugin.session import Request
from napari_gimp.types import CheckpointFacts, PatchGrid, Prediction, Progress, SlideFacts, Tissue

os.environ["NAPARI_CONFIG"] = ""  # before napari reads it: the tests leave the user's settings alone

MPP = 0.263018
CLASSES = ("LUAD", "LUSC")
GENES = tuple(f"GENE{k}" for k in range(12))
FACTS = CheckpointFacts(
    "tiny", CLASSES, "colour-texture-x", 8, GENES, "log", 256, 0.5, "nothing", synthetic="synthetic"
)


def checker(shape_yx: tuple[int, int], cell_px: int) -> np.ndarray:
    """Black and white squares, RGB."""
    y, x = np.arange(shape_yx[0]) // cell_px, np.arange(shape_yx[1]) // cell_px
    white = ((y[:, None] + x[None, :]) % 2).astype(np.uint8) * 255
    return np.repeat(white[..., None], 3, axis=2)


def write_slide(path: Path, pixels: np.ndarray, mpp: float | tuple[float, float] | None = MPP, levels: int = 3) -> Path:
    """A tiled pyramid at /2 steps; without mpp (one, or y and x) it does not say how large a pixel is."""
    mpp_y, mpp_x = mpp if isinstance(mpp, tuple) else (mpp, mpp)
    size = {} if mpp_y is None else {"resolution": (1e4 / mpp_x, 1e4 / mpp_y), "resolutionunit": "CENTIMETER"}
    with tifffile.TiffWriter(path) as tif:
        options = {"tile": (256, 256), "photometric": "rgb", "compression": "zlib", **size}
        tif.write(pixels, subifds=levels - 1, description="", **options)
        for k in range(1, levels):
            tif.write(pixels[:: 2**k, :: 2**k], subfiletype=1, **options)
    return path


def grid_of(shape_yx: tuple[int, int], mpp: float = MPP, patch_um: float = 128.0) -> PatchGrid:
    """Every whole patch of a slide, scan order, corners rounded from the exact stride."""
    side = patch_um / mpp
    rows, columns = (int(n // side) for n in shape_yx)
    corners = [(round(r * side), round(c * side)) for r in range(rows) for c in range(columns)]
    return PatchGrid(np.array(corners, np.int64).reshape(-1, 2), (side, side), (side, side), shape_yx, (mpp, mpp))


def prediction_of(facts: SlideFacts, grid: PatchGrid, *, partial: float = 1.0, seed: int = 0) -> Prediction:
    """Attention that grows with the patch's number, so that every cell is known."""
    n, heads = len(grid), 4
    attention = np.linspace(1, 2, n, dtype=np.float32) * np.ones((2, heads, 1), np.float32)
    attention[-1, 1] = attention[-1, 1][::-1]
    attention /= attention.sum(axis=-1, keepdims=True)
    error = np.random.default_rng(seed).random(n, np.float32) if partial >= 1 else None
    odds = {"image": np.array([0.25, 0.75])}
    return Prediction(facts, CLASSES, grid, odds, attention, error, partial=partial, synthetic="synthetic")


def fake_analysis(
    gate: threading.Event | None = None, failure: Exception | None = None
) -> Callable[[Request], Generator[Progress, None, Prediction]]:
    """A run that says what the pipeline says; waits for ``gate`` (still yielding) before it is whole."""

    def analyse(request: Request) -> Generator[Progress, None, Prediction]:
        yield Progress("loading the model", 0, 1, "step")
        facts = request.slide
        grid = grid_of(facts.shape_yx, facts.known_mpp_yx()[0])
        mask = np.zeros((max(1, facts.shape_yx[0] // 32), max(1, facts.shape_yx[1] // 32)), bool)
        mask[mask.shape[0] // 8 : -(mask.shape[0] // 8) or None] = True
        yield Progress("finding tissue", 1, 1, "step", tissue=request.drawn or Tissue(mask, facts.shape_yx), grid=grid)
        half = np.arange(max(1, len(grid) // 2))
        yield Progress(
            "embedding",
            len(half),
            len(grid),
            remaining_s=7.0,
            partial=prediction_of(facts, grid.take(half), partial=len(half) / len(grid)),
        )
        while gate is not None and not gate.wait(0.01):
            yield Progress("embedding", len(half), len(grid), remaining_s=7.0)
        if failure is not None:
            raise failure
        return replace(prediction_of(facts, grid), sample=None if request.profile is None else request.profile.sample)

    return analyse


def write_expression(path: Path, samples: tuple[str, ...] = ("S1",)) -> Path:
    """A plain linear table: samples in rows, the genes of ``FACTS`` in columns."""
    rows = [",".join([name, *(f"{100 * (k + 1) + j}.5" for j in range(len(GENES)))]) for k, name in enumerate(samples)]
    path.write_text("\n".join([",".join(["sample", *GENES]), *rows]) + "\n")
    return path
