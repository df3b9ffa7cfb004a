"""What docs/bad-input.md promises, row by row, and what the tests of its rows start from."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import bad_input_models
import bad_input_outputs
import bad_input_slides
import numpy as np
import pytest
from bad_input_lab import Desk, Lab
from conftest import TinyCase

from napari_gimp import pipeline
from napari_gimp.encoders.load import load_encoder
from napari_gimp.slides import open_slide

MAKERS = (bad_input_slides, bad_input_outputs, bad_input_models)
"""Importing them has filled ROWS."""
TABLE = Path(__file__).parents[1] / "docs" / "bad-input.md"


@dataclass(frozen=True)
class Promise:
    """One row of the table: what a user is told. In its sentence ``…`` stands for anything."""

    input: str
    happens: str
    says: str

    @property
    def sentence(self) -> re.Pattern[str]:
        """What matches the whole sentence."""
        return re.compile(".*".join(re.escape(part.strip("`")) for part in self.says.split("…")))


def promises(cohorts: bool = False) -> dict[str, Promise]:
    """The rows of the page's tables: those on slides and predictions, or those of the last section, on cohorts."""
    parts = TABLE.read_text(encoding="utf-8").partition("\n## Cohorts")
    lines = parts[2 if cohorts else 0].splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    rows = [Promise(*row) for row in cells if row[0] != "Input" and not row[0].startswith("--")]
    assert len({row.input for row in rows}) == len(rows)
    return {row.input: row for row in rows}


@pytest.fixture(scope="module", name="lab")
def make_lab(tiny: TinyCase, tmp_path_factory: pytest.TempPathFactory) -> Lab:
    folder = tmp_path_factory.mktemp("lab")
    bag = folder / "synthetic_lung.h5"
    with open_slide(tiny.slide) as slide:
        pixels = np.asarray(slide.levels[0][:])
        for _ in pipeline.embed(slide, load_encoder("colour-texture", device="cpu"), bag):
            pass
    middle = pixels[384:896, 384:896]
    tissue = np.tile(middle, (3, 3, 1))[:1280, :1280]
    return Lab(tiny, tissue, bag, folder / "cache")


@pytest.fixture(name="desk")
def make_desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    with monkeypatch.context() as patch:
        yield Desk(tmp_path, patch)
