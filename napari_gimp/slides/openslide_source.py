"""What only OpenSlide reads (MRXS, DICOM, CZI, ...), behind the same levels: the ``openslide`` extra."""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from napari_gimp.slides.sources import Source
from napari_gimp.slides.tiles import WHITE, Pixels, RawLevel, SlideError, TileError

TILE_PX = 512
SENSIBLE_TILE_PX = range(128, 1025)


def has_openslide() -> bool:
    """Whether the extra is installed."""
    return importlib.util.find_spec("openslide") is not None


class Handles:
    """OpenSlide handles, one for each read at a time. One that has met an error is thrown away, as it stays broken."""

    def __init__(self, path: Path) -> None:
        import openslide

        self._open: Callable[[], Any] = partial(openslide.OpenSlide, str(path))
        self.errors: tuple[type[Exception], ...] = (openslide.OpenSlideError,)
        self._idle = [self._open()]
        self._lock = threading.Lock()
        self._closed = False

    @contextmanager
    def borrow(self) -> Iterator[Any]:
        """A handle that nobody else uses.

        Raises
        ------
        SlideError
            The slide has been closed.
        TileError
            OpenSlide could not do what was asked of the handle.
        """
        with self._lock:
            if self._closed:
                raise SlideError("Expected an open slide, found one that has been closed; open it again.")
            handle = self._idle.pop() if self._idle else None
        sound = False
        try:
            handle = handle or self._open()
            yield handle
            sound = True
        except self.errors as error:
            raise TileError(f"OpenSlide could not read a region: {error}.") from error
        finally:
            self._take_back(handle, sound)

    def close(self) -> None:
        """Close the idle handles now and the others when they come back."""
        with self._lock:
            self._closed, idle = True, self._idle
            self._idle = []
        for handle in idle:
            handle.close()

    def _take_back(self, handle: Any, sound: bool) -> None:
        with self._lock:
            if sound and not self._closed:
                self._idle.append(handle)
                return
        if handle is not None:
            handle.close()


class OpenSlideLevel(RawLevel):
    """One level read by ``read_region``; what the scanner left out is white."""

    def __init__(self, handles: Handles, level: int, shape_yx: tuple[int, int], tile: int, downsample: float) -> None:
        super().__init__(shape_yx, (tile, tile))
        self._handles, self._level, self._downsample = handles, level, downsample

    def decode(self, row: int, column: int) -> Pixels:
        """See :class:`RawLevel`."""
        top, left, height, width = self.box(row, column)
        corner = round(left * self._downsample), round(top * self._downsample)
        with self._handles.borrow() as handle:
            region = handle.read_region(corner, self._level, (width, height))
        white = Image.new("RGB", region.size, (WHITE, WHITE, WHITE))
        white.paste(region, mask=region.getchannel("A"))
        return np.asarray(white)


def open_with_openslide(path: Path, found: str) -> Source:
    """Open through OpenSlide; ``found`` names the format for a refusal.

    Raises
    ------
    SlideError
        OpenSlide does not know the format or finds it damaged.
    """
    import openslide

    try:
        if openslide.OpenSlide.detect_format(str(path)) is None:
            raise SlideError(
                f"Expected a slide or picture, found {found} in {path.name} that OpenSlide does not read either;"
                " convert it to a pyramidal TIFF."
            )
        handles = Handles(path)
    except openslide.OpenSlideError as error:
        raise SlideError(
            f"Expected a slide, found {found} that OpenSlide cannot open in {path.name} ({error}); copy it again"
            " with all the files that belong to it, or convert it to a pyramidal TIFF."
        ) from error
    with handles.borrow() as handle:
        return _source(handle, handles)


def _source(handle: Any, handles: Handles) -> Source:
    properties = dict(handle.properties)
    levels = tuple(_level(handle, handles, k, properties) for k in range(handle.level_count))
    profile = getattr(handle, "color_profile", None)
    return Source(
        format_name=str(properties.get("openslide.vendor", "unknown")),
        levels=levels,
        mpp_yx=_mpp(properties),
        magnification=_number(properties.get("openslide.objective-power")),
        vendor=str(properties.get("openslide.vendor", "unknown")),
        associated={name: partial(_associated, handles, name) for name in handle.associated_images},
        icc_profile=profile.tobytes() if profile is not None else None,
        notes=("Read through OpenSlide.",),
        close=handles.close,
    )


def _level(handle: Any, handles: Handles, level: int, properties: dict[str, str]) -> OpenSlideLevel:
    width, height = handle.level_dimensions[level]
    tile = int(properties.get(f"openslide.level[{level}].tile-width", TILE_PX))
    if tile not in SENSIBLE_TILE_PX or properties.get(f"openslide.level[{level}].tile-height") != str(tile):
        tile = TILE_PX
    downsample = float(handle.level_downsamples[level])
    # read_region wants the corner in level-0 pixels: the nominal step is exact where the shapes were rounded.
    nominal = float(round(downsample))
    exact = nominal if abs(downsample - nominal) < 0.02 * nominal else downsample
    return OpenSlideLevel(handles, level, (height, width), tile, exact)


def _mpp(properties: dict[str, str]) -> tuple[float, float] | None:
    y, x = _number(properties.get("openslide.mpp-y")), _number(properties.get("openslide.mpp-x"))
    return None if y is None or x is None else (y, x)


def _number(value: str | None) -> float | None:
    try:
        return None if value is None else float(value)
    except ValueError:
        return None


def _associated(handles: Handles, name: str) -> np.ndarray:
    with handles.borrow() as handle:
        return np.asarray(handle.associated_images[name].convert("RGB"))
