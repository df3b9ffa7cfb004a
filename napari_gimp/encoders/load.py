"""An encoder by name. Torch and onnxruntime are imported only when one is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from napari_gimp.encoders.base import Encoder
from napari_gimp.settings import InputError

NAMES = ("colour-texture", "resnet18", "resnet50")


def encoder_names() -> tuple[str, ...]:
    """Names that need no file and no extra."""
    return NAMES


def load_encoder(
    name: str,
    *,
    weights: Path | None = None,
    device: str = "auto",
    batch_size: int | None = None,
    precision: Literal["auto", "full"] = "auto",
) -> Encoder:
    """Load an encoder.

    Parameters
    ----------
    name
        ``colour-texture``, ``resnet18``, ``resnet50``, the path of an ``.onnx`` file with a JSON sidecar, or
        ``hub:NAME`` for a timm or Hugging Face model.
    weights
        A file of weights for the ResNets (else they are fetched from the official address) and timm models.
    device
        ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
    batch_size
        Patches a batch; halved when memory runs out.
    precision
        ``auto`` lets torch networks compute in half precision where the device has it, ``full`` keeps float32.

    Raises
    ------
    InputError
        An unknown name, missing weights or extras, an absent device.
    """
    if batch_size is not None and batch_size < 1:
        raise InputError(f"--batch-size: expected at least 1, found {batch_size}; give a larger one or leave it out.")
    if name.startswith("hub:"):
        from napari_gimp.encoders.hub import load_hub

        return load_hub(
            name.removeprefix("hub:"), weights=weights, device=device, batch_size=batch_size, precision=precision
        )
    if name in ("resnet18", "resnet50"):
        from napari_gimp.encoders.resnet import load_resnet

        return load_resnet(name, weights=weights, device=device, batch_size=batch_size, precision=precision)
    if weights is not None:
        raise InputError(f"--weights fits the encoders resnet18, resnet50 and hub:NAME, not {name}; leave it out.")
    if name == "colour-texture":
        from napari_gimp.encoders.colour_texture import ColourTexture

        return ColourTexture(device=device, batch_size=batch_size)
    if name.lower().endswith(".onnx"):
        from napari_gimp.encoders.onnx import OnnxEncoder

        return OnnxEncoder(Path(name).expanduser(), device=device, batch_size=batch_size)
    raise InputError(f"Encoder: expected {', '.join(NAMES)}, an .onnx file or hub:NAME, found {name!r}.")
