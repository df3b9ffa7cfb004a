"""Pixels -> what a network expects, as WSInfer's sidecars describe it: Resize, CenterCrop, ToTensor, Normalize."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn.functional import interpolate

from napari_gimp.encoders.devices import on_device
from napari_gimp.settings import InputError

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
KNOWN = ("Resize", "CenterCrop", "ToTensor", "Normalize")


@dataclass(frozen=True)
class Transforms:
    """Resize to ``resize_px``, crop the centre to ``crop_px``, scale to 0..1, subtract ``mean``, divide by ``std``."""

    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    resize_px: int | None = None
    crop_px: int | None = None
    interpolation: str = "bilinear"

    def __call__(self, pixels: UInt8[np.ndarray, "n h w 3"], device: torch.device) -> Float[Tensor, "n 3 side side"]:
        """uint8 RGB -> float32 channels-last tensor on the device."""
        image = on_device(pixels, device).permute(0, 3, 1, 2).to(torch.float32)
        if self.resize_px is not None and self.resize_px != image.shape[-1]:
            side = (self.resize_px, self.resize_px)
            image = interpolate(image, side, mode=self.interpolation, antialias=True).clamp_(0, 255).round_()
        if self.crop_px is not None and self.crop_px != image.shape[-1]:
            margin = (image.shape[-1] - self.crop_px) // 2
            image = image[..., margin : margin + self.crop_px, margin : margin + self.crop_px]
        mean, std = (torch.tensor(v, device=device).view(3, 1, 1) * 255 for v in (self.mean, self.std))
        return image.sub(mean).div_(std)


def read_transforms(steps: Sequence[Mapping[str, Any]], source: str) -> Transforms:
    """A sidecar's ``transform`` list -> Transforms.

    Raises
    ------
    InputError
        A step that is not known or stands in an order that we cannot honour.
    """
    names = [str(step.get("name")) for step in steps]
    unknown = [name for name in names if name not in KNOWN]
    if unknown or names != sorted(names, key=KNOWN.index) or "ToTensor" not in names or len(set(names)) < len(names):
        raise InputError(
            f"{source}: expected the transforms {', '.join(KNOWN)} in this order, found {names}; write the sidecar"
            " accordingly or export the other steps into the model."
        )
    arguments = {str(step["name"]): step.get("arguments") or {} for step in steps}
    resize, normalise = arguments.get("Resize", {}), arguments.get("Normalize", {"mean": (0, 0, 0), "std": (1, 1, 1)})
    try:
        return Transforms(
            mean=_three(normalise["mean"]),
            std=_three(normalise["std"]),
            resize_px=_side(resize.get("size")),
            crop_px=_side(arguments.get("CenterCrop", {}).get("size")),
            interpolation=_interpolation(resize.get("interpolation", "bilinear")),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{source}: expected square sizes, mean and std of three numbers, bilinear or bicubic; found {arguments}."
        ) from error


def _three(values: Sequence[Any]) -> tuple[float, ...]:
    red, green, blue = (float(value) for value in values)
    return red, green, blue


def _side(size: int | Sequence[int] | None) -> int | None:
    if size is None or isinstance(size, int):
        return size
    (side,) = set(size)
    return int(side)


def _interpolation(name: object) -> str:
    """torchvision writes the name, PIL and WSInfer the number (2 bilinear, 3 bicubic)."""
    found = {"2": "bilinear", "3": "bicubic"}.get(str(name), str(name).lower())
    if found not in ("bilinear", "bicubic"):
        raise ValueError(name)
    return found
