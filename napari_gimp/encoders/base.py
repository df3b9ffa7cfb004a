"""What every encoder is, and how it gets an identifier that changes with its weights and transforms."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, UInt8

from napari_gimp.settings import InputError


@runtime_checkable
class Encoder(Protocol):
    """Patches -> embeddings.

    ``id`` is safe in a file name and ends in a hash of weights and transforms; ``width`` is D; ``patch_px`` and
    ``patch_mpp`` (um per pixel) say which patches it was made for.
    """

    @property
    def id(self) -> str: ...
    @property
    def width(self) -> int: ...
    @property
    def patch_px(self) -> int: ...
    @property
    def patch_mpp(self) -> float: ...

    def __call__(self, pixels: UInt8[np.ndarray, "n h w 3"]) -> Float[np.ndarray, "n D"]:
        """Embed uint8 RGB patches (n, patch_px, patch_px, 3) -> float32 (n, width)."""
        ...


def identifier(name: str, *hashed: object) -> str:
    """``name`` in safe characters plus 12 hex digits of the SHA-256 of the parts' ``repr``."""
    digest = hashlib.sha256("\x1f".join(map(repr, hashed)).encode()).hexdigest()
    return f"{re.sub(r'[^A-Za-z0-9._]+', '-', name).strip('-.')}-{digest[:12]}"


def file_hash(path: Path) -> str:
    """SHA-256 (hex) of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_pixels(
    pixels: UInt8[np.ndarray, "n h w 3"], name: str, side_px: int | None = None, least_px: int = 1
) -> None:
    """Hold patches against what an encoder can take.

    Raises
    ------
    InputError
        Not square, smaller than ``least_px``, or not of the one size ``side_px`` that the encoder takes.
    """
    height, width = pixels.shape[1:3]
    if height != width or height < least_px or (side_px is not None and height != side_px):
        expected = f"{side_px} px" if side_px is not None else f"at least {least_px} px"
        raise InputError(
            f"Encoder {name}: expected square patches of {expected}, found {height} x {width};"
            " set --patch-px accordingly."
        )
