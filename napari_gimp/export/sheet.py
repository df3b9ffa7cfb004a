"""A picture sheet: patches of a slide side by side with rank, value, label, scale bar, and what it is worth."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from napari_gimp.export.drawing import round_length
from napari_gimp.export.plain import NOTICE
from napari_gimp.files import appearing

DPI = 200
TILE, GAP, BELOW = 1.5, 0.12, 0.34
"""Inches: side of a patch, room between two, room for the words below one."""
MARGIN, HEAD, FOOT = 0.25, 0.6, 0.85
BAR_SHARE = 0.4


@dataclass(frozen=True, eq=False)
class Tile:
    """One patch: its pixels (None where they cannot be read), lines below it, label (empty where it has none)."""

    pixels: UInt8[np.ndarray, "s s 3"] | None
    lines: tuple[str, ...]
    label: str = ""


def write_sheet(
    path: Path,
    tiles: Sequence[Tile],
    title: str,
    patch_um: float | None,
    colours: Mapping[str, str],
    notes: Sequence[str] = (),
) -> None:
    """Draw the sheet as PNG with 200 dots per inch; whole or not at all. Nothing but what is given stands in it.

    Parameters
    ----------
    tiles
        In the order of their ranks, row by row.
    patch_um
        Side of a patch in um, None where it is unknown: then there are no scale bars.
    colours
        Label -> colour of its frame, for the legend as well.
    notes
        Sentences below the patches; that it is model output for research is always said.
    """
    columns = max(3, math.ceil(math.sqrt(1.4 * len(tiles))))
    rows = max(1, math.ceil(len(tiles) / columns))
    size = (2 * MARGIN + columns * (TILE + GAP) - GAP, HEAD + rows * (TILE + BELOW) + FOOT)
    figure = Figure(figsize=size, dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    for k, tile in enumerate(tiles):
        left = MARGIN + (k % columns) * (TILE + GAP)
        top = HEAD + (k // columns) * (TILE + BELOW)
        bounds = (left / size[0], 1 - (top + TILE) / size[1], TILE / size[0], TILE / size[1])
        _tile(figure.add_axes(bounds), tile, patch_um, colours)
    _words(figure, title, [NOTICE, *notes], size[0])
    _legend(figure, tiles, colours)
    with appearing(path) as part:
        figure.savefig(part, format="png", dpi=DPI, metadata={"Description": NOTICE, "Software": "napari-gimp"})


def _tile(axis: Axes, tile: Tile, patch_um: float | None, colours: Mapping[str, str]) -> None:
    axis.set(xlim=(0, 1), ylim=(0, 1), xticks=[], yticks=[])
    if tile.pixels is None:
        axis.text(0.5, 0.5, "not readable", ha="center", va="center", fontsize=7)
    else:
        axis.imshow(tile.pixels, extent=(0, 1, 0, 1), interpolation="antialiased", aspect="auto")
    for spine in axis.spines.values():
        spine.set(color=colours.get(tile.label, "#9e9e9e"), linewidth=3 if tile.label else 0.5)
    words = (*tile.lines, *([tile.label] if tile.label else []))
    axis.text(0, -0.03, "\n".join(words[:2] if len(words) < 3 else [words[0], " · ".join(words[1:])]),
              va="top", fontsize=6, transform=axis.transAxes)  # fmt: skip
    if patch_um is not None and tile.pixels is not None:
        _bar(axis, patch_um)


def _bar(axis: Axes, patch_um: float) -> None:
    length = round_length(BAR_SHARE * patch_um)
    axis.add_patch(Rectangle((0.03, 0.03), max(length / patch_um, 0.3) + 0.06, 0.16, facecolor="white", alpha=0.8))
    axis.add_patch(Rectangle((0.06, 0.06), length / patch_um, 0.025, facecolor="black"))
    axis.text(0.06, 0.1, f"{length:g} µm", fontsize=5.5, va="bottom")


def _words(figure: Figure, title: str, notes: Sequence[str], width: float) -> None:
    wide = int(width * 15)
    figure.text(0.5, 1 - 0.1 / figure.get_figheight(), "\n".join(textwrap.wrap(title, int(width * 11))),
                ha="center", va="top", fontsize=10)  # fmt: skip
    lines = textwrap.wrap("; ".join(notes), wide)
    figure.text(
        0.5, 0.08 / figure.get_figheight(), "\n".join(lines), ha="center", va="bottom", fontsize=7, color="#b00020"
    )


def _legend(figure: Figure, tiles: Sequence[Tile], colours: Mapping[str, str]) -> None:
    """Labels that occur, with how many patches have them."""
    used = {label: sum(tile.label == label for tile in tiles) for label in colours}
    handles = [
        Patch(facecolor=colours[label], edgecolor="black", label=f"{textwrap.shorten(label, 28)} ({count})")
        for label, count in used.items()
        if count
    ]
    if handles:
        place = (0.5, 0.42 / figure.get_figheight())
        figure.legend(
            handles=handles, loc="lower center", bbox_to_anchor=place, ncols=len(handles), fontsize=7, frameon=False
        )
