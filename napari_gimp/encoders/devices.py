"""The device, the precision and the batch size."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from napari_gimp.settings import InputError

Precision = Literal["auto", "full"]
Embed = Callable[[np.ndarray], np.ndarray]


def choose_device(device: str = "auto") -> torch.device:
    """``auto`` takes CUDA, then Apple's MPS, then the CPU.

    Raises
    ------
    InputError
        Not a device, or one that this machine does not have.
    """
    if device == "auto":
        found = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
        return torch.device(found)
    kind, _, number = device.partition(":")
    if kind not in ("cpu", "cuda", "mps") or (number and not number.isdecimal()):
        raise InputError(f"--device: expected auto, cpu, cuda, cuda:N or mps, found {device!r}.")
    count = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}[kind]
    if int(number or 0) >= count:
        raise InputError(
            f"--device {device}: expected a device of this kind, found {count or 'none'} on this machine;"
            " use --device auto or cpu."
        )
    return torch.device(device)


def autocast(device: torch.device, precision: Precision = "auto") -> AbstractContextManager[object]:
    """Half precision where the device computes in it: bf16, on older CUDA cards fp16; ``full`` keeps float32.

    On a CPU with bf16 instructions it doubles the speed and moves embeddings by 2 % of their spread between patches.
    """
    if precision == "full":
        return nullcontext()
    if device.type == "cuda":
        return torch.autocast("cuda", torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16)
    if device.type == "cpu" and _cpu_has_bf16():
        return torch.autocast("cpu", torch.bfloat16)
    return nullcontext()


def _cpu_has_bf16() -> bool:
    asked = getattr(torch.cpu, "_is_avx512_bf16_supported", None)  # private: absent means no
    return bool(asked and asked())


def on_device(pixels: UInt8[np.ndarray, "n h w 3"], device: torch.device) -> UInt8[Tensor, "n h w 3"]:
    """Pixels as a tensor on the device; they travel as bytes."""
    writable = pixels if pixels.flags.writeable else pixels.copy()  # torch warns of arrays that it may not write to
    return torch.from_numpy(writable).to(device, non_blocking=True)


class Batches:
    """Runs an embedding in batches; the size is halved when memory runs out, and stays so.

    Parameters
    ----------
    size
        Patches a batch to begin with.
    where
        Name of the device for the message.
    """

    def __init__(self, size: int, where: str) -> None:
        if size < 1:
            raise InputError(f"--batch-size: expected at least 1, found {size}.")
        self.size = size
        self.where = where

    def run(self, embed: Embed, pixels: UInt8[np.ndarray, "n h w 3"], width: int) -> Float[np.ndarray, "n D"]:
        """Embed all patches.

        Raises
        ------
        InputError
            When not even one patch fits into memory.
        """
        features = np.empty((len(pixels), width), np.float32)
        start = 0
        while start < len(pixels):
            batch = slice(start, start + self.size)
            if _fits(embed, pixels[batch], features[batch]):
                start += self.size
            else:
                self._halve()
        return features

    def _halve(self) -> None:
        if self.size == 1:
            raise InputError(
                f"The encoder does not fit into the memory of {self.where}, not even with one patch at a"
                " time; use --device cpu or a smaller encoder."
            )
        self.size //= 2
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def _fits(embed: Embed, pixels: np.ndarray, into: np.ndarray) -> bool:
    """Embed one batch; False when memory ran out. The error dies here: its traceback would hold the memory."""
    try:
        into[:] = embed(pixels)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        return False
    return True


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error is one of the many ways in which torch and onnxruntime say it."""
    said = ("out of memory", "can't allocate memory", "not enough memory", "failed to allocate")
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or any(s in str(error).lower() for s in said)
