"""colour-texture: documented numbers with known answers, deterministic, and it tells tissues apart."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from napari_gimp.encoders.colour_texture import RUIFROK, ColourTexture, feature_names
from napari_gimp.settings import InputError

NAMES = feature_names()


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Small tensors: threads cost more than they give."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def encoder() -> ColourTexture:
    return ColourTexture(device="cpu", batch_size=4)


def of(encoder: ColourTexture, patch: np.ndarray) -> dict[str, float]:
    return dict(zip(NAMES, encoder(patch[None])[0].tolist(), strict=True))


def stained(*amounts: float, side: int = 64) -> np.ndarray:
    """A flat patch of given haematoxylin, eosin and residual densities."""
    vectors = np.array(RUIFROK)
    density = np.array(amounts) @ (vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
    return np.full((side, side, 3), np.round(256 * np.exp(-density) - 1), np.uint8)


def test_stains_are_separated(encoder: ColourTexture) -> None:
    """A patch mixed of known densities gives them back (to the rounding of 8 bits)."""
    found = of(encoder, stained(0.5, 0.3, 0.1))
    means = [found[f"{stain} mean"] for stain in ("haematoxylin", "eosin", "residual")]
    np.testing.assert_allclose(means, [0.5, 0.3, 0.1], atol=0.01)
    assert found["haematoxylin quantile 0.95"] == pytest.approx(0.5, abs=0.01)
    assert found["nuclear area above 0.3"] == 1
    assert found["haematoxylin sd"] == pytest.approx(0, abs=1e-5)


def test_glass_is_glass(encoder: ColourTexture) -> None:
    found = of(encoder, np.full((64, 64, 3), 250, np.uint8))
    assert found["lumen area"] == 1
    assert found["nuclear area above 0.1"] == 0
    assert found["nuclei per area, radius 2"] == 0
    assert found["saturation mean"] == 0


def test_texture_stands_at_its_scale(encoder: ColourTexture) -> None:
    """Stripes 4 px wide at full resolution are 2 px of the halved: most energy in the band of that scale."""
    stripes = np.where((np.arange(128) // 4 % 2)[None, :, None], stained(0.8, 0, 0, side=128), 255).astype(np.uint8)
    found = of(encoder, stripes)
    energy = [found[f"haematoxylin {scale} px energy"] for scale in (1, 2, 4, 8, 16)]
    assert int(np.argmax(energy)) == 1
    assert found["lumen area"] == pytest.approx(0.5)
    assert found["nuclear area above 0.3"] == pytest.approx(0.5, abs=0.02)


def test_dots_are_counted(encoder: ColourTexture) -> None:
    """16 nuclei in 64 x 64 halved pixels: the root of their share of the pixels is given."""
    patch = stained(0, 0.1, 0, side=128)
    patch[16::32, 16::32] = patch[17::32, 16::32] = patch[16::32, 17::32] = patch[17::32, 17::32] = (60, 50, 120)
    found = of(encoder, patch)
    assert found["nuclei per area, radius 2"] == pytest.approx((16 / 4096) ** 0.5)
    assert found["nuclei per area, radius 5"] == pytest.approx((16 / 4096) ** 0.5)


@settings(max_examples=10, deadline=None)
@given(st.integers(64, 131), st.integers(0, 2**31), st.integers(1, 5))
def test_finite_float32_and_free_of_its_neighbours(side: int, seed: int, batch: int) -> None:
    """Odd sizes too; a patch's numbers do not depend on the batch it is in."""
    patches = np.random.default_rng(seed).integers(0, 256, (5, side, side, 3), dtype=np.uint8)
    together = ColourTexture(device="cpu", batch_size=batch)(patches)
    alone = np.concatenate([ColourTexture(device="cpu")(patch[None]) for patch in patches])
    assert together.dtype == np.float32
    assert together.shape == (5, len(NAMES))
    assert np.isfinite(together).all()
    np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-5)


def test_extremes_are_finite(encoder: ColourTexture) -> None:
    flat = np.stack([np.full((256, 256, 3), value, np.uint8) for value in (0, 1, 128, 254, 255)])
    assert np.isfinite(encoder(flat)).all()
    assert encoder(flat[:0]).shape == (0, encoder.width)


def test_the_same_again(encoder: ColourTexture) -> None:
    patches = np.random.default_rng(0).integers(0, 256, (3, 256, 256, 3), dtype=np.uint8)
    np.testing.assert_array_equal(encoder(patches), ColourTexture(device="cpu", batch_size=4)(patches))
    assert encoder.id == ColourTexture().id
    assert encoder.id.startswith("colour-texture-")
    assert len(set(NAMES)) == len(NAMES) == encoder.width


@pytest.mark.parametrize("shape", [(1, 63, 63, 3), (1, 64, 80, 3)])
def test_refuses_shapes_it_cannot_measure(encoder: ColourTexture, shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="square patches of at least 64 px"):
        encoder(np.zeros(shape, np.uint8))


def test_does_not_leave_torch_changed(encoder: ColourTexture) -> None:
    before = torch.is_grad_enabled(), torch.get_num_threads()
    encoder(np.zeros((1, 64, 64, 3), np.uint8))
    assert (torch.is_grad_enabled(), torch.get_num_threads()) == before


def test_tells_lung_tissues_apart(encoder: ColourTexture, shared: Path) -> None:
    """Three kinds of real tissue, every second tile held out: clearly better than colour histograms."""
    kinds = ("adenocarcinoma", "squamous", "normal")
    files = [(path, kind) for kind in kinds for path in sorted((shared / "lung_patches" / kind).iterdir())]
    pixels = np.stack([np.asarray(Image.open(path).convert("RGB")) for path, _ in files])
    labels = np.array([kind for _, kind in files])
    histogram = np.stack([[np.histogram(p[..., c], 16, (0, 256))[0] for c in range(3)] for p in pixels], dtype=float)
    accuracy = {}
    for name, features in (("histogram", histogram.reshape(len(pixels), -1)), ("ours", encoder(pixels))):
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=5000))
        accuracy[name] = model.fit(features[::2], labels[::2]).score(features[1::2], labels[1::2])
    assert accuracy["ours"] > 0.88
    assert accuracy["ours"] > accuracy["histogram"], accuracy
