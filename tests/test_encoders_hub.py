"""Hub models through fakes of timm, huggingface_hub, conch and transformers: what is asked of them, what is said."""

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from napari_gimp.encoders.hub import KNOWN, ClassAndMean, find_known
from napari_gimp.encoders.load import load_encoder
from napari_gimp.settings import InputError


class Tokens(nn.Module):
    """Gives a class token, registers and two patch tokens per image; or their class token alone."""

    def __init__(self, registers: int, pooled: bool) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))
        self.registers, self.pooled = registers, pooled

    def forward(self, image: Tensor) -> Tensor:
        mean = image.mean(dim=(2, 3)).float()[:, None] * self.scale
        tokens = torch.cat([mean, mean.expand(-1, self.registers, -1) * 100, mean * 2, mean * 4], dim=1)
        return tokens[:, 0] if self.pooled else tokens


class HfHubHTTPError(Exception): ...


class RepositoryNotFoundError(HfHubHTTPError): ...


class GatedRepoError(RepositoryNotFoundError): ...


@pytest.fixture
def timm(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A fake timm that records how models are built, and raises ``timm.refusal`` when set."""
    fake = ModuleType("timm")
    fake.asked, fake.refusal = [], None

    def create_model(name: str, pretrained: bool = False, **options: Any) -> nn.Module:
        fake.asked.append((name, pretrained, options))
        if fake.refusal is not None:
            raise fake.refusal
        return Tokens(options.get("reg_tokens", 0), pooled=options.get("global_pool") != "")

    fake.create_model = create_model
    fake.layers = SimpleNamespace(SwiGLUPacked="swiglu")
    fake.data = SimpleNamespace(
        resolve_model_data_config=lambda network: {"input_size": (3, 64, 64), "mean": (0.5,) * 3, "std": (0.5,) * 3}
    )
    hub = ModuleType("huggingface_hub")
    hub.errors = SimpleNamespace(
        GatedRepoError=GatedRepoError, RepositoryNotFoundError=RepositoryNotFoundError, HfHubHTTPError=HfHubHTTPError
    )
    monkeypatch.setitem(sys.modules, "timm", fake)
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    return fake


WHITE = np.full((2, 224, 224, 3), 255, np.uint8)


@pytest.mark.parametrize("name", ["UNI", "hf-hub:MahmoodLab/UNI", "MahmoodLab/uni"])
def test_a_known_model_is_built_as_its_card_says(timm: Any, name: str) -> None:
    encoder = load_encoder(f"hub:{name}", device="cpu")
    name, pretrained, options = timm.asked[0]
    assert (name, pretrained) == ("hf-hub:MahmoodLab/UNI", True)
    assert options["init_values"] == 1e-5
    assert options["num_classes"] == 0
    assert (encoder.patch_px, encoder.patch_mpp, encoder.width) == (224, 0.5, 3)
    assert encoder.id.startswith("UNI-")
    np.testing.assert_allclose(encoder(WHITE)[0, 0], (1 - 0.485) / 0.229, rtol=1e-2)


def test_virchow2_joins_class_token_and_mean_of_patch_tokens(timm: Any) -> None:
    """Class token 1, registers 100 (left out), patches 2 and 4: the mean is 3."""
    encoder = load_encoder("hub:Virchow2", device="cpu", precision="full")
    options = timm.asked[0][2]
    assert (options["mlp_layer"], options["act_layer"], options["reg_tokens"]) == ("swiglu", nn.SiLU, 4)
    embedding = encoder(WHITE)[0]
    np.testing.assert_allclose(embedding[3:], 3 * embedding[:3], rtol=1e-5)
    assert load_encoder("hub:UNI", device="cpu").id.split("-")[1] != encoder.id.split("-")[1]


def test_class_and_mean_skips_exactly_the_registers() -> None:
    pooled = ClassAndMean(Tokens(3, pooled=False), 3)(torch.ones(1, 3, 2, 2))
    assert pooled.tolist() == [[1, 1, 1, 3, 3, 3]]


def test_gigapath_crops_the_middle(timm: Any) -> None:
    encoder = load_encoder("hub:GigaPath", device="cpu", precision="full")
    assert encoder.patch_px == 256
    framed = np.zeros((1, 256, 256, 3), np.uint8)
    framed[:, 16:240, 16:240] = 255
    np.testing.assert_allclose(encoder(framed)[0, 0], (1 - 0.485) / 0.229, rtol=1e-5)


def test_any_timm_model_by_its_own_config(timm: Any) -> None:
    encoder = load_encoder("hub:resnet50.a1_in1k", device="cpu", precision="full")
    assert timm.asked == [("resnet50.a1_in1k", True, {"num_classes": 0})]
    assert encoder.patch_px == 64
    np.testing.assert_allclose(encoder(WHITE), 1, rtol=1e-6)
    load_encoder("hub:timm/vit_x", device="cpu")
    assert timm.asked[-1][0] == "hf-hub:timm/vit_x"


def test_weights_from_a_file_need_no_hub(timm: Any, tmp_path: Path) -> None:
    torch.save({"scale": torch.tensor([2.0])}, tmp_path / "uni.bin")
    encoder = load_encoder("hub:UNI", weights=tmp_path / "uni.bin", device="cpu", precision="full")
    assert timm.asked[0][:2] == ("vit_large_patch16_224", False)
    np.testing.assert_allclose(encoder(WHITE)[0, 0], 2 * (1 - 0.485) / 0.229, rtol=1e-5)
    torch.save({"other": torch.tensor([2.0])}, tmp_path / "wrong.bin")
    with pytest.raises(InputError, match="first: scale"):
        load_encoder("hub:UNI", weights=tmp_path / "wrong.bin", device="cpu")


@pytest.mark.parametrize(
    ("refusal", "said"),
    [
        (GatedRepoError("403"), r"gated: ask for access at https://huggingface\.co/MahmoodLab/UNI2-h, log in with"),
        (RepositoryNotFoundError("404"), "found none of this name"),
        (HfHubHTTPError("500"), "could not be loaded"),
        (OSError("offline\nlong story"), r"could not be loaded \(offline\); .*--weights"),
        (RuntimeError("Unknown model"), "Unknown model"),
    ],
)
def test_what_the_hub_refuses_is_one_sentence(timm: Any, refusal: Exception, said: str) -> None:
    timm.refusal = refusal
    with pytest.raises(InputError, match=said) as caught:
        load_encoder("hub:UNI2-h", device="cpu")
    assert "\n" not in str(caught.value)


def test_missing_extra_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(InputError, match=r"pip install 'napari-gimp\[hub\]'"):
        load_encoder("hub:UNI", device="cpu")


def test_conch_comes_through_its_own_package(timm: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"needs conch.*mahmoodlab/CONCH\.git"):
        load_encoder("hub:CONCH", device="cpu")
    asked: list[Any] = []

    class Tower(nn.Module):
        def encode_image(self, image: Tensor, proj_contrast: bool, normalize: bool) -> Tensor:
            asked.append((tuple(image.shape[1:]), proj_contrast, normalize))
            return image.mean(dim=(2, 3))

    def create(name: str, source: str, return_transform: bool) -> nn.Module:
        asked.append((name, source, return_transform))
        return Tower()

    factory = ModuleType("conch.open_clip_custom")
    factory.create_model_from_pretrained = create
    monkeypatch.setitem(sys.modules, "conch", ModuleType("conch"))
    monkeypatch.setitem(sys.modules, "conch.open_clip_custom", factory)
    assert load_encoder("hub:CONCH", device="cpu").patch_px == 512
    assert asked[:2] == [("conch_ViT-B-16", "hf_hub:MahmoodLab/CONCH", False), ((3, 448, 448), False, False)]


def test_phikon_comes_through_transformers(timm: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class Vision(nn.Module):
        def forward(self, pixel_values: Tensor) -> Any:
            return SimpleNamespace(last_hidden_state=Tokens(0, pooled=False)(pixel_values))

    module = ModuleType("transformers")
    module.AutoModel = SimpleNamespace(from_pretrained=lambda source: Vision())
    monkeypatch.setitem(sys.modules, "transformers", module)
    encoder = load_encoder("hub:Phikon-v2", device="cpu", precision="full")
    np.testing.assert_allclose(encoder(WHITE)[0, 0], (1 - 0.485) / 0.229, rtol=1e-5)


def test_a_namesake_of_another_owner_is_not_taken_for_it() -> None:
    assert find_known("someone/UNI") is None
    assert find_known("gigapath") is find_known("prov-gigapath/Prov-GigaPath") is KNOWN["prov-gigapath"]


def test_the_table_is_consistent() -> None:
    """Every transform brings the declared patch to the side that the network takes."""
    for name, model in KNOWN.items():
        side = model.transforms.crop_px or model.transforms.resize_px or model.patch_px
        assert side == model.options.get("img_size", side), name
        assert model.class_and_mean == (model.options.get("global_pool") == "")
        assert model.registers == (model.options.get("reg_tokens", 0) if model.class_and_mean else 0)
