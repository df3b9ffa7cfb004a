"""ResNet-18 and ResNet-50 (He et al. 2016) cut after layer3, with torchvision's parameter names.

The ResNet-50 cut (1024-d) is the paper's and CLAM's encoder; ResNet-18 (256-d) is several times faster.
Weights: torchvision's IMAGENET1K_V1, fetched from the official address, or a file.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import relu_
from torch.nn.utils.fusion import fuse_conv_bn_eval

from napari_gimp.encoders.base import file_hash
from napari_gimp.encoders.devices import Precision, choose_device
from napari_gimp.encoders.torch_encoder import TorchEncoder, torch_identifier
from napari_gimp.encoders.transforms import Transforms
from napari_gimp.encoders.weights import fill_weights
from napari_gimp.settings import InputError

ADDRESS = "https://download.pytorch.org/models/"


@dataclass(frozen=True)
class Architecture:
    """Blocks per layer, whether they are bottlenecks, and the official file with its SHA-256."""

    blocks: tuple[int, int, int]
    bottleneck: bool
    file: str
    sha256: str

    @property
    def width(self) -> int:
        """Size of the embedding."""
        return 1024 if self.bottleneck else 256


ARCHITECTURES = {
    "resnet18": Architecture(
        (2, 2, 2),
        False,
        "resnet18-f37072fd.pth",
        "f37072fd47e89c5e827621c5baffa7500819f7896bbacec160b1a16c560e07ec",
    ),
    "resnet50": Architecture(
        (3, 4, 6),
        True,
        "resnet50-0676ba61.pth",
        "0676ba61b6795bbe1773cffd859882e5e297624d384b6993f7c9e683e722fb8a",
    ),
}


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions and a shortcut."""

    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.downsample = _shortcut(channels_in, channels, stride)

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d h2 w2"]:
        y = relu_(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return relu_(y + (x if self.downsample is None else self.downsample(x)))


class Bottleneck(nn.Module):
    """1 x 1, 3 x 3 (strided, as in torchvision) and 1 x 1 convolution to four times the channels, and a shortcut."""

    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv3 = nn.Conv2d(channels, 4 * channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * channels)
        self.downsample = _shortcut(channels_in, 4 * channels, stride)

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d h2 w2"]:
        y = relu_(self.bn1(self.conv1(x)))
        y = relu_(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return relu_(y + (x if self.downsample is None else self.downsample(x)))


def _shortcut(channels_in: int, channels_out: int, stride: int) -> nn.Sequential | None:
    if stride == 1 and channels_in == channels_out:
        return None
    return nn.Sequential(nn.Conv2d(channels_in, channels_out, 1, stride, bias=False), nn.BatchNorm2d(channels_out))


class ResNetToLayer3(nn.Module):
    """Stem, layer1 to layer3, mean over the picture."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        one, two, three = architecture.blocks
        widths = (64, 256, 512, 1024) if architecture.bottleneck else (64, 64, 128, 256)
        block = Bottleneck if architecture.bottleneck else BasicBlock
        self.layer1 = _layer(block, widths[0], widths[1], 64, one, stride=1)
        self.layer2 = _layer(block, widths[1], widths[2], 128, two, stride=2)
        self.layer3 = _layer(block, widths[2], widths[3], 256, three, stride=2)

    def forward(self, image: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n D"]:
        x = self.maxpool(relu_(self.bn1(self.conv1(image))))
        x = self.layer3(self.layer2(self.layer1(x)))
        return torch.mean(x, dim=(2, 3))


def _layer(
    block: type[BasicBlock] | type[Bottleneck],
    channels_in: int,
    channels_out: int,
    channels: int,
    blocks: int,
    *,
    stride: int,
) -> nn.Sequential:
    first = block(channels_in, channels, stride)
    return nn.Sequential(first, *(block(channels_out, channels, 1) for _ in range(blocks - 1)))


def load_resnet(
    name: str,
    *,
    weights: Path | None = None,
    device: str = "auto",
    batch_size: int | None = None,
    precision: Precision = "auto",
) -> TorchEncoder:
    """``resnet18`` or ``resnet50`` with weights from a file or, without one, from the official address.

    Raises
    ------
    InputError
        The weights cannot be had, or are not this network's.
    """
    choose_device(device)  # before anything is fetched
    network = ResNetToLayer3(ARCHITECTURES[name])
    fill_weights(network, _fetch(name) if weights is None else weights)
    transforms = Transforms()
    key = torch_identifier(f"{name}-l3", network, transforms)
    folded = fold_batch_norms(network.eval())
    return TorchEncoder(key, folded, transforms, device=device, batch_size=batch_size, precision=precision)


def fold_batch_norms(network: nn.Module) -> nn.Module:
    """Fold every batch norm into the convolution before it: the same function to rounding, about 1.4 times as fast."""
    for module in network.modules():
        for conv, norm in (("conv1", "bn1"), ("conv2", "bn2"), ("conv3", "bn3"), ("0", "1")):
            if isinstance(getattr(module, norm, None), nn.BatchNorm2d):
                setattr(module, conv, fuse_conv_bn_eval(getattr(module, conv), getattr(module, norm)))
                setattr(module, norm, nn.Identity())
    return network


def _fetch(name: str) -> Path:
    """The official weights in torch's cache, checked by their SHA-256."""
    file, sha256 = ARCHITECTURES[name].file, ARCHITECTURES[name].sha256
    path = Path(torch.hub.get_dir()) / "checkpoints" / file
    if path.is_file() and file_hash(path) == sha256:
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(ADDRESS + file, str(path), hash_prefix=sha256, progress=False)
    except (OSError, RuntimeError) as error:
        raise InputError(
            f"Encoder {name}: its weights could not be fetched ({error}); fetch {ADDRESS}{file} on another machine"
            " and give the file with --weights."
        ) from error
    return path
