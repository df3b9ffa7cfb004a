"""``colour-texture``: a documented vector without weights, from stain-separated colour and multi-scale texture.

The patch is averaged 2 x 2 (to 1 um per pixel at the default 0.5), turned into optical density and unmixed into
haematoxylin, eosin and residual with the vectors of Ruifrok and Johnston (2001). ``feature_names`` says what each of
the numbers is. Nothing is learned and nothing is random: it serves the demo, the tests, and as the colour and
texture baseline that any learned encoder should beat.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate, max_pool2d

from napari_gimp.encoders.base import check_pixels, identifier
from napari_gimp.encoders.devices import Batches, choose_device, on_device

VERSION = 1
STAINS = ("haematoxylin", "eosin", "residual")
RUIFROK = ((0.65, 0.70, 0.29), (0.07, 0.99, 0.11), (0.27, 0.57, 0.78))
"""Optical density of each stain in red, green and blue."""
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
SCALES_PX = (1, 2, 4, 8, 16)
NUCLEAR = (0.1, 0.2, 0.3)
"""Haematoxylin densities above which a pixel counts as nucleus, from pale to dark."""
PROMINENCE = 0.02
"""How far a nucleus' peak of haematoxylin stands above its surroundings: flat areas hold none."""
GLASS = 0.12
"""Mean optical density below which a pixel counts as lumen or glass."""
LEAST_PX = 64
FLOOR = 1e-4

Named = Iterator[tuple[str, Tensor]]


class ColourTexture:
    """The encoder; see the module for what it measures."""

    patch_px = 256
    patch_mpp = 0.5

    def __init__(self, *, device: str = "auto", batch_size: int | None = None) -> None:
        self.device = choose_device(device)
        self.id = identifier("colour-texture", VERSION, RUIFROK, QUANTILES, SCALES_PX, NUCLEAR, PROMINENCE, GLASS)
        self.width = len(feature_names())
        self._batches = Batches(batch_size or 16, str(self.device))

    def __call__(self, pixels: UInt8[np.ndarray, "n h w 3"]) -> Float[np.ndarray, "n D"]:
        """Embed uint8 RGB patches (n, side, side, 3), side >= 64 -> float32 (n, width)."""
        check_pixels(pixels, "colour-texture", least_px=LEAST_PX)
        return self._batches.run(self._embed, pixels, self.width)

    def _embed(self, pixels: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return measure(on_device(pixels, self.device)).cpu().numpy()


def feature_names() -> tuple[str, ...]:
    """What each number of the vector is, in order."""
    with torch.inference_mode():
        return tuple(name for name, _ in _features(torch.zeros(1, LEAST_PX, LEAST_PX, 3, dtype=torch.uint8)))


def measure(pixels: UInt8[Tensor, "n h w 3"]) -> Float[Tensor, "n D"]:
    """The vector of each patch."""
    return torch.stack([value for _, value in _features(pixels)], dim=1)


def _features(pixels: UInt8[Tensor, "n h w 3"]) -> Named:
    colour = avg_pool2d(pixels.permute(0, 3, 1, 2).to(torch.float32), 2)
    density = colour.add(1).div_(256).log_().neg_()
    vectors = np.array(RUIFROK)
    unmix = np.linalg.inv(vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).T
    stains = torch.einsum("sc,nchw->nshw", torch.tensor(unmix, dtype=torch.float32, device=pixels.device), density)
    yield from _stain_statistics(stains)
    yield from _colour_statistics(colour, density)
    yield from _texture(stains)
    yield from _nuclei(stains[:, 0], density)


def _stain_statistics(stains: Float[Tensor, "n s h w"]) -> Named:
    """Mean, standard deviation and quantiles per stain, correlations between stains."""
    flat = stains.flatten(2)
    mean, sd = flat.mean(dim=2), flat.std(dim=2)
    ordered = avg_pool2d(stains, 2).flatten(2).sort(dim=2).values
    for s, stain in enumerate(STAINS):
        yield f"{stain} mean", mean[:, s]
        yield f"{stain} sd", sd[:, s]
        for q in QUANTILES:
            yield f"{stain} quantile {q}", ordered[:, s, round(q * (ordered.shape[2] - 1))]
    centred = flat - mean[..., None]
    for a, b in ((0, 1), (0, 2), (1, 2)):
        covariance = (centred[:, a] * centred[:, b]).mean(dim=1)
        yield f"{STAINS[a]} {STAINS[b]} correlation", covariance / (sd[:, a] * sd[:, b] + FLOOR)


def _colour_statistics(colour: Float[Tensor, "n 3 h w"], density: Float[Tensor, "n 3 h w"]) -> Named:
    """Saturation, hue (as the mean direction of the colour wheel), density per channel."""
    highest, lowest = colour.amax(dim=1), colour.amin(dim=1)
    saturation = (highest - lowest) / (highest + 1)
    red, green, blue = colour.unbind(dim=1)
    chroma = (highest - lowest).mean(dim=(1, 2)) + 1
    yield "saturation mean", saturation.mean(dim=(1, 2))
    yield "saturation sd", saturation.std(dim=(1, 2))
    yield "hue red to cyan", (red - (green + blue) / 2).mean(dim=(1, 2)) / chroma
    yield "hue green to blue", ((green - blue) * 0.75**0.5).mean(dim=(1, 2)) / chroma
    for c, name in enumerate(("red", "green", "blue")):
        yield f"{name} density mean", density[:, c].mean(dim=(1, 2))
        yield f"{name} density sd", density[:, c].std(dim=(1, 2))


def _texture(stains: Float[Tensor, "n s h w"]) -> Named:
    """Per stain and scale, in log: band energy (difference of means), its skewness and unevenness, gradient."""
    level = stains
    for scale in SCALES_PX:
        coarser = avg_pool2d(level, 2)
        band = level - interpolate(coarser, level.shape[2:], mode="nearest")
        power = band.square()
        energy = power.mean(dim=(2, 3))
        skew = (band * power).mean(dim=(2, 3)) / (energy + FLOOR**2).pow(1.5)
        blocks = avg_pool2d(power, max(1, power.shape[-1] // 4)).flatten(2)
        uneven = blocks.std(dim=2) / (energy + FLOOR**2)
        gradient = (level[..., 1:] - level[..., :-1]).abs().mean(dim=(2, 3)) + (
            level[..., 1:, :] - level[..., :-1, :]
        ).abs().mean(dim=(2, 3))
        for s, stain in enumerate(STAINS):
            yield f"{stain} {scale} px energy", (energy[:, s] + FLOOR**2).log() / 2
            yield f"{stain} {scale} px skewness", skew[:, s]
            yield f"{stain} {scale} px unevenness", uneven[:, s]
            yield f"{stain} {scale} px gradient", (gradient[:, s] + FLOOR).log()
        level = coarser


def _nuclei(haematoxylin: Float[Tensor, "n h w"], density: Float[Tensor, "n 3 h w"]) -> Named:
    """Nuclear area, border per area (small nuclei have more), nuclei per area, crowding, lumen."""
    smooth = _mean(haematoxylin[:, None], 1)
    for threshold in NUCLEAR:
        inside = (smooth > threshold).to(torch.float32)
        area = inside.mean(dim=(1, 2, 3))
        border = (inside[..., 1:] != inside[..., :-1]).float().mean(dim=(1, 2, 3))
        blocks = avg_pool2d(inside, max(1, inside.shape[-1] // 8)).flatten(1)
        yield f"nuclear area above {threshold}", area
        yield f"nuclear border above {threshold}", border / (area + 0.01)
        yield f"nuclear crowding above {threshold}", blocks.std(dim=1)
    smooth = _mean(smooth, 1)
    for radius in (2, 5):
        highest = smooth == _highest(smooth, radius)
        peak = highest & (smooth > NUCLEAR[0]) & (smooth - _mean(smooth, radius) > PROMINENCE)
        yield f"nuclei per area, radius {radius}", peak.float().mean(dim=(1, 2, 3)).sqrt()
    empty = (density.mean(dim=1, keepdim=True) < GLASS).to(torch.float32)
    yield "lumen area", empty.mean(dim=(1, 2, 3))
    yield "lumen unevenness", avg_pool2d(empty, max(1, empty.shape[-1] // 8)).flatten(1).std(dim=1)


def _mean(image: Float[Tensor, "n 1 h w"], radius: int) -> Float[Tensor, "n 1 h w"]:
    """Mean over a square, at the border over what is there of it; rows, then columns."""
    side = 2 * radius + 1
    rows = avg_pool2d(image, (1, side), stride=1, padding=(0, radius), count_include_pad=False)
    return avg_pool2d(rows, (side, 1), stride=1, padding=(radius, 0), count_include_pad=False)


def _highest(image: Float[Tensor, "n 1 h w"], radius: int) -> Float[Tensor, "n 1 h w"]:
    """Maximum over a square; rows, then columns."""
    side = 2 * radius + 1
    rows = max_pool2d(image, (1, side), stride=1, padding=(0, radius))
    return max_pool2d(rows, (side, 1), stride=1, padding=(radius, 0))
