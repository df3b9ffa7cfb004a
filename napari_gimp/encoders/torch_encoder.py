"""A torch network as an encoder: transforms, device, precision, batches and identifier around it."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import nn

from napari_gimp.encoders.base import check_pixels, identifier
from napari_gimp.encoders.devices import Batches, Precision, autocast, choose_device
from napari_gimp.encoders.transforms import Transforms
from napari_gimp.encoders.weights import weights_hash
from napari_gimp.settings import InputError

CPU_BATCH, GPU_BATCH = 8, 128


class TorchEncoder:
    """Embeds patches with ``network``.

    Parameters
    ----------
    id
        Identifier: name and hash of weights and transforms (``torch_identifier``).
    network
        Images (n, 3, side, side) -> embeddings (n, width); it is moved to the device.
    transforms, patch_px, patch_mpp
        What the network was made for.
    device, batch_size
        As in ``load_encoder``.
    precision
        ``auto`` (half where the device has it) or ``full`` (float32).
    """

    def __init__(
        self,
        id: str,
        network: nn.Module,
        transforms: Transforms,
        *,
        patch_px: int = 256,
        patch_mpp: float = 0.5,
        device: str = "auto",
        batch_size: int | None = None,
        precision: Precision = "auto",
    ) -> None:
        self.device = choose_device(device)
        self.id = id
        self.transforms = transforms
        self.patch_px, self.patch_mpp = patch_px, patch_mpp
        self.network = _channels_last(network.eval().requires_grad_(False).to(self.device))
        self._precision: Precision = precision
        default = CPU_BATCH if self.device.type == "cpu" else GPU_BATCH
        self._batches = Batches(batch_size or default, str(self.device))
        self.width = self._embed(np.zeros((1, patch_px, patch_px, 3), np.uint8)).shape[1]

    def __call__(self, pixels: UInt8[np.ndarray, "n h w 3"]) -> Float[np.ndarray, "n D"]:
        """Embed uint8 RGB patches (n, side, side, 3) -> float32 (n, width)."""
        check_pixels(pixels, self.id, least_px=32)
        return self._batches.run(self._embed, pixels, self.width)

    def _embed(self, pixels: np.ndarray) -> np.ndarray:
        with torch.inference_mode(), autocast(self.device, self._precision):
            features = self.network(self.transforms(pixels, self.device))
        if features.ndim != 2:
            raise InputError(f"{self.id}: expected embeddings (patches, width), found {tuple(features.shape)}.")
        return np.asarray(features.float().cpu().numpy())


def torch_identifier(name: str, network: nn.Module, transforms: Transforms) -> str:
    """``name`` and a hash of the network's weights and its transforms."""
    return identifier(name, weights_hash(network.state_dict()), transforms)


def _channels_last(network: nn.Module) -> nn.Module:
    for parameter in network.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    return network
