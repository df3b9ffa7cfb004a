"""``hub:NAME``: timm and Hugging Face models, pathology foundation models among them (extra ``hub``).

Architectures, pooling and patch sizes are those of the models' own cards.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from napari_gimp.encoders.devices import Precision, choose_device
from napari_gimp.encoders.torch_encoder import TorchEncoder, torch_identifier
from napari_gimp.encoders.transforms import Transforms
from napari_gimp.encoders.weights import fill_weights
from napari_gimp.settings import InputError

HUB_EXTRA = "napari-gimp[hub]"
OPENAI = Transforms(
    (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711), resize_px=448, interpolation="bicubic"
)
OPTIMUS = Transforms((0.707223, 0.578729, 0.703617), (0.211883, 0.230117, 0.177517))
SWIGLU = {"mlp_layer": "SwiGLUPacked", "act_layer": "SiLU"}
VIT = {"img_size": 224, "init_values": 1e-5, "num_classes": 0}


@dataclass(frozen=True)
class HubModel:
    """A known model.

    ``architecture`` and ``options`` are timm's; ``class_and_mean`` models give all tokens, of which the class token
    and the mean of the patch tokens (after ``registers`` others) are concatenated, as their authors advise.
    """

    repository: str
    architecture: str
    options: Mapping[str, Any] = field(default_factory=dict)
    transforms: Transforms = field(default_factory=Transforms)
    patch_px: int = 224
    patch_mpp: float = 0.5
    class_and_mean: bool = False
    registers: int = 0


UNI2 = {"patch_size": 14, "depth": 24, "num_heads": 24, "embed_dim": 1536, "mlp_ratio": 2.66667 * 2, "reg_tokens": 8}
VIRCHOW = {**VIT, **SWIGLU, "mlp_ratio": 5.3375, "global_pool": "", "dynamic_img_size": True}
OPTIMUS_VIT = {**VIT, "global_pool": "token", "dynamic_img_size": False}
GIGAPATH = {"patch_size": 16, "embed_dim": 1536, "depth": 40, "num_heads": 24, "mlp_ratio": 5.33334}
KNOWN = {
    "uni": HubModel("MahmoodLab/UNI", "vit_large_patch16_224", {**VIT, "patch_size": 16, "dynamic_img_size": True}),
    "uni2-h": HubModel(
        "MahmoodLab/UNI2-h",
        "vit_giant_patch14_224",
        {**VIT, **SWIGLU, **UNI2, "no_embed_class": True, "dynamic_img_size": True},
    ),
    "virchow": HubModel("paige-ai/Virchow", "vit_huge_patch14_224", VIRCHOW, class_and_mean=True),
    "virchow2": HubModel(
        "paige-ai/Virchow2", "vit_huge_patch14_224", {**VIRCHOW, "reg_tokens": 4}, class_and_mean=True, registers=4
    ),
    "h-optimus-0": HubModel("bioptimus/H-optimus-0", "vit_giant_patch14_reg4_dinov2", OPTIMUS_VIT, OPTIMUS),
    "h-optimus-1": HubModel("bioptimus/H-optimus-1", "vit_giant_patch14_reg4_dinov2", OPTIMUS_VIT, OPTIMUS),
    "prov-gigapath": HubModel(
        "prov-gigapath/prov-gigapath",
        "vit_giant_patch14_dinov2",
        {"img_size": 224, "num_classes": 0, **GIGAPATH},
        Transforms(resize_px=256, crop_px=224, interpolation="bicubic"),
        patch_px=256,
    ),
    "conch": HubModel(
        "MahmoodLab/CONCH",
        "conch",
        transforms=OPENAI,
        patch_px=512,
    ),
    "phikon-v2": HubModel("owkin/phikon-v2", "transformers"),
}
ALIASES = {"gigapath": "prov-gigapath", "uni2": "uni2-h", "h-optimus": "h-optimus-1"}


class ClassAndMean(nn.Module):
    """Tokens (n, 1 + registers + patches, D) -> class token and mean patch token (n, 2 D)."""

    def __init__(self, network: nn.Module, registers: int) -> None:
        super().__init__()
        self.network = network
        self.registers = registers

    def forward(self, image: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n D2"]:
        tokens = self.network(image)
        return torch.cat([tokens[:, 0], tokens[:, 1 + self.registers :].mean(dim=1)], dim=1)


class Conch(nn.Module):
    """CONCH's image tower without projection and normalisation: what its authors use for slides."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n D"]:
        features: Tensor = self.network.encode_image(image, proj_contrast=False, normalize=False)
        return features


class ClassToken(nn.Module):
    """The class token of a transformers vision model."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n D"]:
        token: Tensor = self.network(pixel_values=image).last_hidden_state[:, 0]
        return token


def load_hub(
    name: str,
    *,
    weights: Path | None = None,
    device: str = "auto",
    batch_size: int | None = None,
    precision: Precision = "auto",
) -> TorchEncoder:
    """Load a known pathology model, or any timm model by its timm or ``owner/name`` name.

    Parameters
    ----------
    name
        ``UNI``, ``UNI2-h``, ``CONCH``, ``Virchow``, ``Virchow2``, ``H-optimus-0``, ``H-optimus-1``, ``GigaPath``,
        ``Phikon-v2``, or a timm name. A model outside this table gets patches of its own input size at 0.5 um.
    weights
        A downloaded file (for Phikon-v2 a folder) in place of the hub, for machines without network.
    device, batch_size, precision
        As in ``load_encoder``.

    Raises
    ------
    InputError
        The extra is not installed, the model does not exist, is gated, cannot be reached, or is not in the file.
    """
    choose_device(device)  # before gigabytes are fetched
    known = find_known(name)
    with _said(name, known.repository if known else name):
        network, model = (_known(known, weights), known) if known else _unknown(name, weights)
    return TorchEncoder(
        torch_identifier(model.repository.rsplit("/", 1)[-1], network, model.transforms),
        network,
        model.transforms,
        patch_px=model.patch_px,
        patch_mpp=model.patch_mpp,
        device=device,
        batch_size=batch_size,
        precision=precision,
    )


def find_known(name: str) -> HubModel | None:
    """The model of this short name or repository, in any case of letters."""
    wanted = name.removeprefix("hf-hub:").lower()
    by_repository = {model.repository.lower(): model for model in KNOWN.values()}
    return KNOWN.get(ALIASES.get(wanted, wanted)) or by_repository.get(wanted)


def _known(model: HubModel, weights: Path | None) -> nn.Module:
    if model.architecture == "conch":
        source = f"hf_hub:{model.repository}" if weights is None else str(weights)
        factory = _need("conch.open_clip_custom", "git+https://github.com/mahmoodlab/CONCH.git")
        return Conch(factory.create_model_from_pretrained("conch_ViT-B-16", source, return_transform=False))
    if model.architecture == "transformers":
        source = model.repository if weights is None else str(weights)
        return ClassToken(_need("transformers", "transformers").AutoModel.from_pretrained(source))
    timm = _need("timm", HUB_EXTRA)
    layers = {"SwiGLUPacked": timm.layers.SwiGLUPacked, "SiLU": nn.SiLU}
    options = {key: layers[value] if key in SWIGLU else value for key, value in model.options.items()}
    if weights is None:
        network = timm.create_model(f"hf-hub:{model.repository}", pretrained=True, **options)
    else:
        network = timm.create_model(model.architecture, pretrained=False, **options)
        fill_weights(network, weights)
    return ClassAndMean(network, model.registers) if model.class_and_mean else cast(nn.Module, network)


def _unknown(name: str, weights: Path | None) -> tuple[nn.Module, HubModel]:
    """Any timm model: mean, standard deviation and input size from its own data config."""
    timm = _need("timm", HUB_EXTRA)
    full = f"hf-hub:{name}" if "/" in name and not name.startswith("hf-hub:") else name
    network = timm.create_model(full, pretrained=weights is None, num_classes=0)
    if weights is not None:
        fill_weights(network, weights)
    config = timm.data.resolve_model_data_config(network)
    transforms = Transforms(tuple(config["mean"]), tuple(config["std"]))
    return network, HubModel(name, full, transforms=transforms, patch_px=int(config["input_size"][-1]))


def _need(module: str, package: str) -> Any:
    try:
        return import_module(module)
    except (ImportError, RuntimeError) as error:  # RuntimeError: a torchvision that does not fit torch
        raise InputError(
            f"This hub model needs {module.partition('.')[0]}, which does not import here ({error});"
            f" pip install '{package}', or export the model to ONNX and give the .onnx file."
        ) from error


@contextmanager
def _said(name: str, repository: str) -> Iterator[None]:
    """Turn what the hub refuses into one sentence."""
    errors = _need("huggingface_hub", HUB_EXTRA).errors
    page = f"https://huggingface.co/{repository.removeprefix('hf-hub:')}"
    try:
        yield
    except errors.GatedRepoError as error:
        raise InputError(
            f"hub:{name} is gated: ask for access at {page}, log in with `hf auth login` (or set HF_TOKEN), run again."
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise InputError(
            f"hub:{name}: expected a model of timm or Hugging Face, found none of this name for you;"
            f" check the name at {page}, and log in with `hf auth login` if it is private."
        ) from error
    except (errors.HfHubHTTPError, OSError, RuntimeError) as error:
        raise InputError(
            f"hub:{name} could not be loaded ({_first_line(error)}); without network, fetch the weights from {page} on"
            " another machine and give them with --weights."
        ) from error


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
