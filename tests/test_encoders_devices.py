"""Device, precision, batch size and identifiers."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from napari_gimp.encoders.base import Encoder, identifier
from napari_gimp.encoders.colour_texture import ColourTexture
from napari_gimp.encoders.devices import Batches, autocast, choose_device, is_out_of_memory
from napari_gimp.encoders.load import encoder_names, load_encoder
from napari_gimp.settings import InputError

PIXELS = np.arange(13, dtype=np.uint8).repeat(4 * 4 * 3).reshape(13, 4, 4, 3)


class Scarce:
    """A network whose device holds so many patches; records the batches it was given."""

    def __init__(self, room: int, error: Exception) -> None:
        self.room, self.error, self.given = room, error, []

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        self.given.append(len(pixels))
        if len(pixels) > self.room:
            raise self.error
        return pixels.reshape(len(pixels), -1)[:, :2].astype(np.float32)


@pytest.mark.parametrize(
    "error",
    [torch.OutOfMemoryError("CUDA"), MemoryError(), RuntimeError("MPS backend out of memory (3.9 GB)")],
    ids=lambda error: type(error).__name__,
)
def test_batch_is_halved_when_memory_runs_out_and_stays_so(error: Exception) -> None:
    network, batches = Scarce(3, error), Batches(8, "cuda:0")
    embeddings = batches.run(network, PIXELS, 2)
    np.testing.assert_array_equal(embeddings[:, 0], np.arange(13))
    assert network.given == [8, 4, 2, 2, 2, 2, 2, 2, 1]
    network.given.clear()
    batches.run(network, PIXELS[:4], 2)
    assert network.given == [2, 2]


def test_one_patch_too_many_is_a_sentence_and_other_errors_pass() -> None:
    with pytest.raises(InputError, match=r"memory of cuda:0.*--device cpu"):
        Batches(4, "cuda:0").run(Scarce(0, torch.OutOfMemoryError("x")), PIXELS, 2)
    with pytest.raises(RuntimeError, match="shape"):
        Batches(4, "cpu").run(Scarce(0, RuntimeError("shape mismatch")), PIXELS, 2)
    assert not is_out_of_memory(ValueError("shape"))
    with pytest.raises(InputError, match="at least 1"):
        Batches(0, "cpu")


@given(st.integers(1, 20), st.integers(0, 13), st.integers(1, 20))
def test_every_patch_once_in_order(size: int, n: int, room: int) -> None:
    embeddings = Batches(size, "cpu").run(Scarce(room, MemoryError()), PIXELS[:n], 2)
    assert embeddings[:, 0].tolist() == list(range(n))


def test_auto_takes_what_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert choose_device("auto").type == "cpu"
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert choose_device("auto").type == "mps"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device().type == "cuda"


@pytest.mark.parametrize("device", ["cuda", "cuda:1", "mps"])
def test_a_gpu_that_is_absent_is_said(monkeypatch: pytest.MonkeyPatch, device: str) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(InputError, match=f"--device {device}: .* found none .* use --device auto or cpu"):
        load_encoder("colour-texture", device=device)


@pytest.mark.parametrize("device", ["gpu", "cuda:x", ""])
def test_a_device_that_is_none_is_said(device: str) -> None:
    with pytest.raises(InputError, match="expected auto, cpu, cuda, cuda:N or mps"):
        choose_device(device)


def test_precision() -> None:
    with autocast(torch.device("cpu"), "full"):
        assert not torch.is_autocast_enabled("cpu")
    layer = torch.nn.Linear(2, 2)
    with torch.inference_mode(), autocast(torch.device("cpu"), "auto"):
        assert layer(torch.ones(1, 2)).dtype in (torch.float32, torch.bfloat16)


def test_identifier_is_safe_and_depends_on_every_part() -> None:
    name = identifier("../my encoder (v2)", "weights", (1, 2))
    assert name.startswith("my-encoder-v2-")
    assert len(name) == len("my-encoder-v2-") + 12
    assert len({name, identifier("../my encoder (v2)", "weights", (1, 3)), identifier("b", "weights", (1, 2))}) == 3


def test_names_load_and_others_are_refused() -> None:
    assert encoder_names() == ("colour-texture", "resnet18", "resnet50")
    assert isinstance(load_encoder("colour-texture"), Encoder)
    assert isinstance(load_encoder("colour-texture"), ColourTexture)
    with pytest.raises(InputError, match="found 'uni'"):
        load_encoder("uni")
    with pytest.raises(InputError, match="--weights fits"):
        load_encoder("colour-texture", weights=Path("x"))


def test_names_are_known_without_torch() -> None:
    script = (
        "import sys; from napari_gimp.encoders.load import encoder_names; encoder_names()\n"
        "assert not {'torch', 'onnxruntime'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
