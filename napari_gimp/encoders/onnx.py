"""Any ONNX file with a JSON sidecar (WSInfer's ``config.json`` fields), run by onnxruntime (extra ``onnx``)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8

from napari_gimp.encoders.base import check_pixels, file_hash, identifier
from napari_gimp.encoders.devices import Batches, choose_device, is_out_of_memory
from napari_gimp.encoders.transforms import read_transforms
from napari_gimp.settings import InputError

CPU = torch.device("cpu")


class OnnxEncoder:
    """An ONNX network with one image input (n, 3, side, side) and an output (n, D) or (n, D, h, w), averaged.

    Parameters
    ----------
    path
        The ``.onnx`` file; its sidecar is ``<stem>.json`` beside it, else ``config.json`` in the same folder.
    device
        ``auto``, ``cpu`` or ``cuda``.
    batch_size
        Patches a batch (8 by default: the fastest on a CPU).
    threads
        Threads of the CPU, all that the process may use by default.

    Raises
    ------
    InputError
        No onnxruntime, no readable file or sidecar, a transform or an output that is not understood.
    """

    def __init__(
        self, path: Path, *, device: str = "auto", batch_size: int | None = None, threads: int | None = None
    ) -> None:
        self.sidecar, sidecar_path = _read_sidecar(path)
        self.transforms = read_transforms(self.sidecar["transform"], str(sidecar_path))
        self.patch_px = int(self.sidecar["patch_size_pixels"])
        self.patch_mpp = float(self.sidecar["spacing_um_px"])
        self._session = _open_session(path, device, threads)
        self._input = self._session.get_inputs()[0]
        self._fixed = self._input.shape[0] if isinstance(self._input.shape[0], int) else None
        self._side = _fixed_side(self._input.shape, path)
        self._check_sidecar(path)
        self._batches = Batches(self._fixed or batch_size or 8, self._session.get_providers()[0])
        self.id = identifier(path.stem, file_hash(path), self.transforms)
        self.width = self._embed(np.zeros((1, self.patch_px, self.patch_px, 3), np.uint8)).shape[1]

    def __call__(self, pixels: UInt8[np.ndarray, "n h w 3"]) -> Float[np.ndarray, "n D"]:
        """Embed uint8 RGB patches (n, side, side, 3) -> float32 (n, width)."""
        resized = self.transforms.crop_px or self.transforms.resize_px
        check_pixels(pixels, self.id, None if resized else self._side)
        return self._batches.run(self._embed, pixels, self.width)

    def _check_sidecar(self, path: Path) -> None:
        made = self.transforms.crop_px or self.transforms.resize_px or self.patch_px
        if self._side is not None and made != self._side:
            raise InputError(
                f"{path}: its sidecar makes patches of {made} px, the network takes {self._side} px; correct"
                " patch_size_pixels or add a Resize."
            )

    def _embed(self, pixels: np.ndarray) -> np.ndarray:
        image = self.transforms(pixels, CPU).contiguous().numpy()
        if self._fixed is not None and len(image) < self._fixed:
            image = np.concatenate([image, np.repeat(image[-1:], self._fixed - len(image), axis=0)])
        try:
            features = np.asarray(self._session.run(None, {self._input.name: image})[0], np.float32)
        except _errors() as error:
            if is_out_of_memory(error):
                raise MemoryError(str(error)) from error
            raise InputError(f"{self.id}: the network refuses patches of {image.shape}: {error}.") from error
        return _flat(features, self.id)[: len(pixels)]


def _flat(features: np.ndarray, name: str) -> np.ndarray:
    if features.ndim == 4:
        return np.asarray(features.mean(axis=(2, 3)))
    if features.ndim != 2:
        raise InputError(
            f"{name}: expected an output (patches, width) or (patches, width, h, w), found {features.shape}."
        )
    return features


def _read_sidecar(path: Path) -> tuple[Mapping[str, Any], Path]:
    if not path.is_file():
        raise InputError(f"{path}: expected an ONNX file, found {'a folder' if path.is_dir() else 'nothing there'}.")
    beside = [path.with_suffix(".json"), path.parent / "config.json"]
    found = next((candidate for candidate in beside if candidate.is_file()), None)
    needed = ("patch_size_pixels", "spacing_um_px", "transform")
    if found is None:
        raise InputError(f"{path}: expected a sidecar {beside[0].name} with {', '.join(needed)}, found none; write it.")
    try:
        sidecar = json.loads(found.read_text("utf-8"))
        missing = [name for name in needed if name not in sidecar]
    except (ValueError, TypeError) as error:
        raise InputError(f"{found}: expected a JSON object with {', '.join(needed)}, found {error}.") from error
    if missing:
        raise InputError(f"{found}: expected the fields {', '.join(needed)}, found no {', '.join(missing)}; add them.")
    return sidecar, found


def _open_session(path: Path, device: str, threads: int | None) -> Any:
    try:
        ort = import_module("onnxruntime")
    except ImportError as error:
        raise InputError(
            f"{path}: ONNX encoders need onnxruntime, which is not installed; pip install 'napari-gimp[onnx]'."
        ) from error
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads or torch.get_num_threads()
    options.log_severity_level = 3
    try:
        return ort.InferenceSession(str(path), options, providers=_providers(ort.get_available_providers(), device))
    except _errors() as error:
        raise InputError(f"{path}: expected an ONNX model, found one that does not load: {error}.") from error


def _errors() -> tuple[type[Exception], ...]:
    """onnxruntime's errors, which share no base class."""
    state = import_module("onnxruntime.capi.onnxruntime_pybind11_state")
    names = ("Fail", "InvalidArgument", "InvalidGraph", "InvalidProtobuf", "NotImplemented", "RuntimeException")
    return tuple(getattr(state, name) for name in names)


def _providers(available: list[str], device: str) -> list[str]:
    cuda = "CUDAExecutionProvider"
    if device == "auto":
        return [name for name in (cuda, "CPUExecutionProvider") if name in available]
    kind = choose_device(device).type
    if kind == "cuda" and cuda in available:
        return [cuda, "CPUExecutionProvider"]
    if kind == "cuda":
        raise InputError(
            f"--device {device}: expected an onnxruntime with CUDA, found {available};"
            " pip install onnxruntime-gpu, or use --device cpu."
        )
    return ["CPUExecutionProvider"]


def _fixed_side(shape: list[Any], path: Path) -> int | None:
    if len(shape) != 4 or (isinstance(shape[1], int) and shape[1] != 3):
        raise InputError(f"{path}: expected an input (patches, 3, side, side), found {shape}.")
    return shape[3] if isinstance(shape[3], int) else None
