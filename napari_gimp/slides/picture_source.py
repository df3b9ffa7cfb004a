"""Flat PNG, JPEG, JPEG 2000 and BMP pictures: the header when opened, the pixels once on the first read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import imagecodecs
import numpy as np
from PIL import BmpImagePlugin, ImageFile, Jpeg2KImagePlugin, JpegImagePlugin, PngImagePlugin

from napari_gimp.slides.sources import Source
from napari_gimp.slides.spool import WholePicture, room_for
from napari_gimp.slides.tiles import Pixels, SlideError, TileError

# The classes and not PIL.Image.open, which refuses large pictures.
PLUGINS: dict[str, Callable[[Path], ImageFile.ImageFile]] = {
    "PNG picture": PngImagePlugin.PngImageFile,
    "JPEG picture": JpegImagePlugin.JpegImageFile,
    "JPEG 2000 picture": Jpeg2KImagePlugin.Jpeg2KImageFile,
    "BMP picture": BmpImagePlugin.BmpImageFile,
}
EIGHT_BIT_MODES = {"RGB", "RGBA", "RGBX", "L", "LA", "P", "1", "CMYK", "YCbCr"}
UM_PER_INCH = 25400.0


def open_picture(path: Path, format_name: str) -> Source:
    """Open a flat picture: only its header is read.

    Raises
    ------
    SlideError
        A damaged header, or pixels of more than 8 bits.
    """
    try:
        with PLUGINS[format_name](path) as image:
            size, mode, info = image.size, image.mode, dict(image.info)
    except (OSError, SyntaxError, ValueError) as error:
        raise SlideError(
            f"Expected a {format_name}, found a damaged one in {path.name} ({error}); copy or download it again."
        ) from error
    if mode not in EIGHT_BIT_MODES:
        raise SlideError(
            f"Expected 8-bit RGB pixels, found mode {mode} in the {format_name} {path.name}; convert it to 8-bit RGB."
        )
    level = WholePicture((size[1], size[0]), lambda: _load(path, format_name, mode, (size[1], size[0])))
    dpi = info.get("dpi")
    return Source(
        format_name=format_name,
        levels=(level,),
        mpp_yx=(UM_PER_INCH / dpi[1], UM_PER_INCH / dpi[0]) if dpi and min(dpi) > 0 else None,
        mpp_origin="the dots per inch",
        close=level.release,
        icc_profile=info.get("icc_profile"),
        notes=_notes(format_name, mode),
    )


def _notes(format_name: str, mode: str) -> tuple[str, ...]:
    flat = f"Flat {format_name} without levels: it is decoded whole on the first read."
    if mode in {"L", "LA", "1"}:
        return flat, "Grey picture: it has no stain colours, so results of models for H&E mean little."
    return (flat,)


def _load(path: Path, format_name: str, mode: str, shape_yx: tuple[int, int]) -> Pixels:
    try:
        if mode == "RGB" and format_name in {"JPEG picture", "PNG picture"}:
            return _decode_into_room(path, format_name, shape_yx)
        return _decode_with_pillow(path, format_name)
    except (OSError, ValueError, RuntimeError, SyntaxError) as error:
        if isinstance(error, SlideError):
            raise TileError(str(error)) from error
        raise TileError(f"The {format_name} {path.name} will not decode: {error}.") from error


def _decode_into_room(path: Path, format_name: str, shape_yx: tuple[int, int]) -> Pixels:
    decode = imagecodecs.jpeg8_decode if format_name == "JPEG picture" else imagecodecs.png_decode
    picture = room_for(shape_yx)
    decode(path.read_bytes(), out=picture)
    return picture


def _decode_with_pillow(path: Path, format_name: str) -> Pixels:
    with PLUGINS[format_name](path) as image:
        if image.has_transparency_data:
            rgba = image.convert("RGBA")
            white = rgba.copy()
            white.paste((255, 255, 255, 255), (0, 0, *rgba.size))
            white.alpha_composite(rgba)
            return np.asarray(white.convert("RGB"))
        return np.asarray(image.convert("RGB"))
