"""Weights of torch networks: read without unpickling code, filled in whole, hashed."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from napari_gimp.settings import InputError

COUNTER = "num_batches_tracked"
"""Batch norm's count of training steps: it changes nothing, and old files lack it."""

_NO_WEIGHTS = (
    OSError, RuntimeError, ValueError, EOFError, LookupError, AssertionError, pickle.UnpicklingError, SafetensorError
)  # fmt: skip
"""What torch and safetensors raise on files that are something else."""


def fill_weights(network: nn.Module, path: Path) -> None:
    """Fill a network from a safetensors file or a torch state dict; weights of other layers are ignored.

    Raises
    ------
    InputError
        Not a file of weights; else names the first of the network's weights that is missing or has another shape.
    """
    state = read_weights(path)
    needed = {key: value for key, value in network.state_dict().items() if not key.endswith(COUNTER)}
    misfits = [key for key, value in needed.items() if key not in state or state[key].shape != value.shape]
    if misfits:
        raise InputError(
            f"{path}: expected the {len(needed)} weights of {type(network).__name__}, found {len(misfits)} of them"
            f" missing or of another shape (first: {misfits[0]}); give another --weights file."
        )
    network.load_state_dict({key: state[key] for key in needed}, strict=False)


def read_weights(path: Path) -> dict[str, Tensor]:
    """A safetensors file or a torch state dict -> name -> tensor.

    Raises
    ------
    InputError
        Neither of the two.
    """
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except _NO_WEIGHTS as error:
        found = "a file that is neither or damaged" if path.is_file() else "no such file"
        raise InputError(
            f"{path}: expected weights (safetensors or torch state dict), found {found}; give another --weights file."
        ) from error
    state = state.get("state_dict", state) if isinstance(state, dict) else state
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise InputError(f"{path}: expected a torch state dict of tensors, found another {type(state).__name__}.")
    return {key.removeprefix("module."): value for key, value in state.items()}


def weights_hash(state: Mapping[str, Tensor]) -> str:
    """SHA-256 (hex) of names, shapes and values: the same weights in another file format hash alike."""
    digest = hashlib.sha256()
    for name in sorted(key for key in state if not key.endswith(COUNTER)):
        value = state[name].detach().cpu().contiguous()
        digest.update(f"{name}{tuple(value.shape)}{value.dtype}".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
