"""ResNets cut after layer3: equal to others' exports of the same weights, loaded from any honest file."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from napari_gimp.encoders.load import load_encoder
from napari_gimp.encoders.resnet import ARCHITECTURES, ResNetToLayer3, fold_batch_norms
from napari_gimp.encoders.transforms import Transforms
from napari_gimp.encoders.weights import weights_hash
from napari_gimp.settings import InputError

PATCHES = np.random.default_rng(0).integers(0, 256, (3, 96, 96, 3), dtype=np.uint8)


def random_state(name: str) -> dict[str, Tensor]:
    """Weights in which batch norm does something."""
    torch.manual_seed(0)
    state = ResNetToLayer3(ARCHITECTURES[name]).state_dict()
    for key in state:
        if key.endswith("running_mean"):
            state[key] = torch.randn_like(state[key]) * 0.1
        if key.endswith("running_var"):
            state[key] = torch.rand_like(state[key]) + 0.5
    return state


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Small tensors: threads cost more than they give."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "resnet18.pth"
    torch.save({**random_state("resnet18"), "fc.weight": torch.zeros(1000, 512)}, path)
    return path


def test_parameter_names_are_torchvisions() -> None:
    """Names and shapes as in torchvision's own files (a sample of each kind)."""
    shapes = {key: tuple(value.shape) for key, value in ResNetToLayer3(ARCHITECTURES["resnet50"]).state_dict().items()}
    assert shapes["conv1.weight"] == (64, 3, 7, 7)
    assert shapes["layer1.0.downsample.0.weight"] == (256, 64, 1, 1)
    assert shapes["layer2.3.conv2.weight"] == (128, 128, 3, 3)
    assert shapes["layer3.5.bn3.running_var"] == (1024,)
    assert sum(np.prod(shape) for key, shape in shapes.items() if "running" not in key and "num" not in key) == 8543296
    small = ResNetToLayer3(ARCHITECTURES["resnet18"]).state_dict()
    assert sum(value.numel() for key, value in small.items() if "running" not in key and "num" not in key) == 2782784


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_folding_batch_norms_changes_nothing(name: str) -> None:
    network = ResNetToLayer3(ARCHITECTURES[name]).eval()
    network.load_state_dict(random_state(name))
    image = Transforms()(PATCHES, torch.device("cpu"))
    with torch.inference_mode():
        plain = network(image)
        folded = fold_batch_norms(network)(image)
    assert plain.shape == (3, ARCHITECTURES[name].width)
    torch.testing.assert_close(folded, plain, rtol=1e-4, atol=1e-5)


def test_a_hand_set_network_gives_a_computed_answer(tmp_path: Path) -> None:
    """Convolutions zero but one path: the centre tap of red through the stem and the shortcuts; a flat red picture."""
    state = {key: torch.zeros_like(value) for key, value in random_state("resnet18").items()}
    for key in state:
        if ("bn" in key or "downsample.1" in key) and key.endswith(("running_var", "weight")):
            state[key] += 1
    state["conv1.weight"][0, 0, 3, 3] = 2
    state["layer2.0.downsample.0.weight"][5, 0] = 3
    state["layer3.0.downsample.0.weight"][7, 5] = 1
    torch.save(state, tmp_path / "hand.pth")
    encoder = load_encoder("resnet18", weights=tmp_path / "hand.pth", device="cpu", precision="full")
    pixels = np.full((1, 64, 64, 3), 255, np.uint8)
    expected = np.zeros(256)
    expected[7] = (1 - 0.485) / 0.229 * 2 * 3 / (1 + 1e-5) ** 1.5
    np.testing.assert_allclose(encoder(pixels)[0], expected, rtol=1e-5, atol=1e-6)


def test_file_formats_and_other_layers_do_not_matter(weights: Path, tmp_path: Path) -> None:
    save_file(random_state("resnet18"), tmp_path / "same.safetensors")
    torch.save({"state_dict": {f"module.{k}": v for k, v in random_state("resnet18").items()}}, tmp_path / "c.pth")
    encoders = [
        load_encoder("resnet18", weights=path, device="cpu", precision="full")
        for path in (weights, tmp_path / "same.safetensors", tmp_path / "c.pth")
    ]
    assert len({encoder.id for encoder in encoders}) == 1
    assert encoders[0].id.startswith("resnet18-l3-")
    assert (encoders[0].width, encoders[0].patch_px, encoders[0].patch_mpp) == (256, 256, 0.5)
    np.testing.assert_array_equal(encoders[0](PATCHES), encoders[1](PATCHES))


def test_identifier_changes_with_one_weight() -> None:
    state = random_state("resnet18")
    before = weights_hash(state)
    state["layer3.1.bn2.bias"][17] += 1e-6
    assert weights_hash(state) != before
    state["bn1.num_batches_tracked"] += 1
    assert weights_hash(random_state("resnet18")) == before


def test_half_precision_stays_close(weights: Path) -> None:
    full = load_encoder("resnet18", weights=weights, device="cpu", precision="full")(PATCHES)
    auto = load_encoder("resnet18", weights=weights, device="cpu")(PATCHES)
    assert auto.dtype == np.float32
    assert np.linalg.norm(auto - full) < 0.02 * np.linalg.norm(full)


def test_wrong_weights_are_refused_in_a_sentence(weights: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"missing or of another shape \(first: layer1\.0\.conv1"):
        load_encoder("resnet50", weights=weights, device="cpu")
    (tmp_path / "text.pth").write_text("hello")
    (tmp_path / "text.safetensors").write_text("hello")
    torch.save([1, 2], tmp_path / "list.pth")
    for name in ("text.pth", "text.safetensors", "list.pth", "none.pth"):
        with pytest.raises(InputError, match=f"{name}: expected"):
            load_encoder("resnet18", weights=tmp_path / name, device="cpu")


def test_pickled_code_is_not_run(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (exec, (f"open({str(tmp_path / 'ran')!r}, 'w').close()",))

    torch.save({"conv1.weight": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(InputError, match="expected weights"):
        load_encoder("resnet18", weights=tmp_path / "evil.pth", device="cpu")
    assert not (tmp_path / "ran").exists()


def test_without_network_the_sentence_names_address_and_option(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_network(*args: object, **kwargs: object) -> None:
        raise OSError("Name or service not known")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", no_network)
    with pytest.raises(InputError, match=r"download\.pytorch\.org/models/resnet50-0676ba61\.pth .*--weights"):
        load_encoder("resnet50", device="cpu")


def test_fetched_weights_are_checked_by_hash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cached file with another hash is fetched again, with the official hash for torch to check."""
    asked = []

    def fetch(url: str, to: str, hash_prefix: str, progress: bool) -> None:
        asked.append((url.rsplit("/", 1)[1], hash_prefix))
        torch.save(random_state("resnet18"), to)

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", fetch)
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "resnet18-f37072fd.pth").write_text("damaged")
    assert load_encoder("resnet18", device="cpu").width == 256
    assert asked == [("resnet18-f37072fd.pth", ARCHITECTURES["resnet18"].sha256)]
    assert all(f"-{a.sha256[:8]}." in a.file and len(a.sha256) == 64 for a in ARCHITECTURES.values())


@pytest.mark.parametrize(
    ("name", "file", "keras"),
    [("resnet18", "resnet18_imagenet_layer3.onnx", False), ("resnet50", "resnet50_imagenet_conv4.onnx", True)],
)
def test_equals_an_independent_export(shared: Path, name: str, file: str, keras: bool) -> None:
    """The ONNX exports (batch norm folded into biases), run by onnxruntime, give our network's embeddings.

    The export of ResNet-50 is of Keras' kind: blue first, pixels not divided, and stride in the first convolution.
    """
    onnx, ort = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    network = ResNetToLayer3(ARCHITECTURES[name]).eval()
    network.load_state_dict(state_of(onnx.load(shared / "weights" / file), name))
    if keras:
        network.conv1.weight.data = network.conv1.weight.data.flip(1)
        for block in (network.layer2[0], network.layer3[0]):
            block.conv1.stride, block.conv2.stride = (2, 2), (1, 1)
    pixels = np.random.default_rng(1).integers(0, 256, (2, 256, 256, 3), dtype=np.uint8)
    transforms = Transforms(std=(1 / 255,) * 3) if keras else Transforms()
    image = transforms(pixels, torch.device("cpu")).contiguous()
    theirs = ort.InferenceSession(str(shared / "weights" / file)).run(None, {"image": image.numpy()})[0]
    with torch.inference_mode():
        ours = network(image).numpy()
    np.testing.assert_allclose(ours, theirs, atol=1e-4 * np.abs(theirs).max())


def state_of(model: Any, name: str) -> dict[str, Tensor]:
    """An export's convolutions -> a state dict whose batch norms only add the biases."""
    numpy_helper = pytest.importorskip("onnx.numpy_helper")
    arrays = {item.name: torch.from_numpy(numpy_helper.to_array(item).copy()) for item in model.graph.initializer}
    state = ResNetToLayer3(ARCHITECTURES[name]).state_dict()
    for node in (node for node in model.graph.node if node.op_type == "Conv"):
        scopes = node.output[0].split("/")[1:-1]
        conv = ".".join([*(scope for scope in scopes if scope[:5] == "layer" and "." in scope), scopes[-1]])
        norm = conv.replace("downsample.0", "downsample.1").replace("conv", "bn")
        state[f"{conv}.weight"], bias = (arrays[key] for key in node.input[1:])
        state[f"{norm}.weight"], state[f"{norm}.bias"] = torch.ones_like(bias), bias
        state[f"{norm}.running_mean"] = torch.zeros_like(bias)
        state[f"{norm}.running_var"] = torch.ones_like(bias) - 1e-5
    return state
