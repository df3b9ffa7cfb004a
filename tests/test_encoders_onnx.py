"""ONNX encoders: sidecars read or refused, outputs pooled, batches of any kind."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from napari_gimp.encoders.load import load_encoder
from napari_gimp.encoders.onnx import OnnxEncoder
from napari_gimp.encoders.transforms import Transforms, read_transforms
from napari_gimp.settings import InputError

pytest.importorskip("onnxruntime")
STEPS = [{"name": "ToTensor"}, {"name": "Normalize", "arguments": {"mean": [0.5] * 3, "std": [0.25] * 3}}]
SIDECAR = {"patch_size_pixels": 8, "spacing_um_px": 1.0, "transform": STEPS}
PIXELS = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3), dtype=np.uint8)


def model(path: Path, *, batch: int | str = "n", side: int | str = "s", kind: str = "mean") -> Path:
    """A network that gives the mean colour (2-D), the picture itself (4-D) or its rows (3-D)."""
    onnx = pytest.importorskip("onnx")
    helper, FLOAT = onnx.helper, onnx.TensorProto.FLOAT
    node = {
        "mean": helper.make_node("ReduceMean", ["x"], ["y"], axes=[2, 3], keepdims=0),
        "picture": helper.make_node("Relu", ["x"], ["y"]),
        "rows": helper.make_node("ReduceMean", ["x"], ["y"], axes=[3], keepdims=0),
    }[kind]
    shape = {"mean": [batch, 3], "picture": [batch, 3, side, side], "rows": [batch, 3, side]}[kind]
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("x", FLOAT, [batch, 3, side, side])],
        [helper.make_tensor_value_info("y", FLOAT, shape)],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path


def with_sidecar(path: Path, **changes: Any) -> Path:
    path.with_suffix(".json").write_text(json.dumps({**SIDECAR, **changes}))
    return path


def mean_colour(pixels: np.ndarray) -> np.ndarray:
    return ((pixels / 255 - 0.5) / 0.25).mean(axis=(1, 2))


@pytest.mark.parametrize("batch", ["n", 1, 3])
@pytest.mark.parametrize("side", ["s", 8])
def test_fixed_and_free_shapes_give_the_same(tmp_path: Path, batch: int | str, side: int | str) -> None:
    path = with_sidecar(model(tmp_path / "m.onnx", batch=batch, side=side))
    encoder = load_encoder(str(path), device="cpu", batch_size=2)
    assert (encoder.width, encoder.patch_px, encoder.patch_mpp) == (3, 8, 1.0)
    embeddings = encoder(PIXELS)
    assert embeddings.dtype == np.float32
    np.testing.assert_allclose(embeddings, mean_colour(PIXELS), atol=1e-5)


def test_four_axes_are_averaged_and_three_refused(tmp_path: Path) -> None:
    picture = OnnxEncoder(with_sidecar(model(tmp_path / "p.onnx", kind="picture")))
    expected = np.maximum((PIXELS / 255 - 0.5) / 0.25, 0).mean(axis=(1, 2))
    np.testing.assert_allclose(picture(PIXELS), expected, atol=1e-5)
    with pytest.raises(InputError, match="expected an output"):
        OnnxEncoder(with_sidecar(model(tmp_path / "r.onnx", kind="rows")))


def test_config_json_of_wsinfer_is_found(tmp_path: Path) -> None:
    path = model(tmp_path / "torchscript_model.onnx")
    (tmp_path / "config.json").write_text(
        json.dumps(
            {
                "spec_version": "1.0",
                "architecture": "resnet34",
                "num_classes": 2,
                "class_names": ["a", "b"],
                "patch_size_pixels": 16,
                "spacing_um_px": 0.88,
                "transform": [{"name": "Resize", "arguments": {"size": 8}}, *STEPS],
            }
        )
    )
    encoder = OnnxEncoder(path)
    assert (encoder.patch_px, encoder.patch_mpp) == (16, 0.88)
    flat = np.full((1, 16, 16, 3), 200, np.uint8)
    np.testing.assert_allclose(encoder(flat), mean_colour(flat), atol=1e-5)


def test_identifier_changes_with_weights_and_transforms(tmp_path: Path) -> None:
    path = with_sidecar(model(tmp_path / "my model.onnx"))
    first = OnnxEncoder(path).id
    assert first.startswith("my-model-")
    with_sidecar(path, spacing_um_px=0.5)
    assert OnnxEncoder(path).id == first
    with_sidecar(path, transform=STEPS[:1])
    assert OnnxEncoder(path).id != first
    with_sidecar(model(path, kind="picture"))
    assert OnnxEncoder(path).id != first


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ([*STEPS, {"name": "Solarize"}], "Solarize"),
        ([*reversed(STEPS)], "in this order"),
        ([STEPS[1]], "in this order"),
        ([STEPS[0], {"name": "Normalize", "arguments": {"mean": [0.5], "std": [0.5]}}], "three numbers"),
        ([{"name": "Resize", "arguments": {"size": [8, 9]}}, *STEPS], "square sizes"),
        ([{"name": "Resize", "arguments": {"size": 8, "interpolation": "lanczos"}}, *STEPS], "bilinear or bicubic"),
        ([{"name": "Resize", "arguments": {"size": 9}}, *STEPS], "takes 8 px"),
    ],
)
def test_transforms_that_cannot_be_honoured_are_refused(tmp_path: Path, steps: list[Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        OnnxEncoder(with_sidecar(model(tmp_path / "m.onnx", side=8), transform=steps))


def test_files_that_are_wrong_are_refused(tmp_path: Path) -> None:
    path = model(tmp_path / "m.onnx", side=8)
    with pytest.raises(InputError, match=r"sidecar m\.json"):
        OnnxEncoder(path)
    for text, said in (
        ("{", "JSON object"),
        ('{"transform": []}', "no patch_size_pixels, spacing_um_px"),
        ("[]", "no"),
    ):
        path.with_suffix(".json").write_text(text)
        with pytest.raises(InputError, match=said):
            OnnxEncoder(path)
    with_sidecar(path)
    with pytest.raises(InputError, match="square patches of 8 px, found 9 x 9"):
        OnnxEncoder(path)(np.zeros((1, 9, 9, 3), np.uint8))
    path.write_bytes(b"not a network")
    with pytest.raises(InputError, match="does not load"):
        OnnxEncoder(path)
    with pytest.raises(InputError, match="nothing there"):
        load_encoder(str(tmp_path / "none.onnx"))


def test_missing_extra_and_missing_gpu_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = with_sidecar(model(tmp_path / "m.onnx"))
    if not torch.cuda.is_available():
        with pytest.raises(InputError, match="--device cuda"):
            OnnxEncoder(path, device="cuda")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(InputError, match=r"pip install 'napari-gimp\[onnx\]'"):
        OnnxEncoder(path)


def test_resize_and_crop_follow_pillow() -> None:
    """torchvision's Resize on a picture is Pillow's; ours agrees to one grey level."""
    smooth = np.asarray(Image.fromarray(PIXELS[0]).resize((90, 90), Image.Resampling.BICUBIC))
    for name, method in (("bilinear", Image.Resampling.BILINEAR), ("bicubic", Image.Resampling.BICUBIC)):
        ours = Transforms((0.0,) * 3, (1 / 255,) * 3, resize_px=32, crop_px=24, interpolation=name)
        expected = np.asarray(Image.fromarray(smooth).resize((32, 32), method))[4:28, 4:28]
        found = ours(smooth[None], torch.device("cpu"))[0].permute(1, 2, 0).numpy()
        assert np.abs(found - expected).max() <= 1.01


def test_sizes_and_numbers_are_understood() -> None:
    steps = [
        {"name": "Resize", "arguments": {"size": [64, 64], "interpolation": 3}},
        {"name": "CenterCrop", "arguments": {"size": 48}},
        *STEPS,
    ]
    assert read_transforms(steps, "x") == Transforms((0.5,) * 3, (0.25,) * 3, 64, 48, "bicubic")


def test_real_networks_load_and_tell_patches_apart(shared: Path) -> None:
    tiles = sorted((shared / "lung_patches" / "normal").iterdir())[:2]
    pixels = np.stack([np.asarray(Image.open(tile).convert("RGB").resize((256, 256))) for tile in tiles])
    encoder = load_encoder(str(shared / "weights" / "resnet18_imagenet_layer3.onnx"))
    embeddings = encoder(pixels)
    assert embeddings.shape == (2, 256)
    assert np.abs(embeddings[0] - embeddings[1]).max() > 0.05
    np.testing.assert_allclose(encoder(pixels[1:]), embeddings[1:], atol=1e-5)
