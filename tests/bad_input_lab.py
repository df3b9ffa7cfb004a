"""Bad input: what the rows of docs/bad-input.md start from, and their register."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import TinyCase

from napari_gimp.synthetic.slide import write_pyramid

Args = list[str | Path]
TILE_PX = 256


@dataclass(frozen=True)
class Lab:
    """What every row starts from: a good slide, profile, checkpoint and bag, and pixels to make worse slides of."""

    tiny: TinyCase
    tissue: np.ndarray
    bag: Path
    cache: Path

    def embed(self, *slides: Path, out: Path, more: Args | None = None) -> Args:
        return ["embed", *slides, "--encoder", "colour-texture", "--device", "cpu", "--out", out, *(more or [])]

    def predict(self, out: Path, **options: Any) -> Args:
        known = {"slide": self.tiny.slide, "checkpoint": self.tiny.checkpoint, "device": "cpu", "cache": self.cache}
        options = known | options
        args: Args = ["predict", options.pop("slide"), "--out", out]
        for name, value in options.items():
            args += [f"--{name}", value]
        return args


@dataclass(frozen=True)
class Desk:
    """One row's own folder; its output; what must hold while the command runs (a full disk, say)."""

    folder: Path
    monkeypatch: pytest.MonkeyPatch
    during: list[AbstractContextManager[Any]] = field(default_factory=list)

    @property
    def out(self) -> Path:
        return self.folder / "out"


Row = Callable[[Lab, Desk], Args]
ROWS: dict[str, Row] = {}


def row(name: str) -> Callable[[Row], Row]:
    """Register the maker of a row; its name is the first cell in the table."""

    def register(make: Row) -> Row:
        assert name not in ROWS
        ROWS[name] = make
        return make

    return register


def painted(desk: Desk, pixels: np.ndarray, name: str = "slide.tif", **options: Any) -> Path:
    path = desk.folder / name
    write_pyramid(path, np.ascontiguousarray(pixels), "synthetic", **options)
    return path


def copied_checkpoint(lab: Lab, desk: Desk) -> Path:
    return Path(shutil.copytree(lab.tiny.checkpoint, desk.folder / "checkpoint"))
