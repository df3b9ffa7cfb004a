"""Temperatures against what made the data, and linear heads against their own optimum."""

import numpy as np
import pytest
import torch
from scipy.special import softmax
from torch import nn

from napari_gimp.gimp.calibrate import calibrate, calibrate_parts, fit_temperature, is_clearly_better
from napari_gimp.gimp.linear import case_weights, fit_linear


def drawn(temperature: float, n: int = 4000, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits, and labels drawn from softmax(logits / temperature)."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(n, 3)) * 2
    chances = softmax(logits / temperature, axis=1).cumsum(axis=1)
    return logits, (rng.random(n)[:, None] > chances).sum(axis=1)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_temperature_that_made_the_labels_is_found(temperature: float) -> None:
    assert fit_temperature(*drawn(temperature)) == pytest.approx(temperature, rel=0.1)


def test_a_temperature_is_kept_only_where_it_clearly_helps() -> None:
    logits, labels = drawn(3.0)
    assert is_clearly_better(logits, labels, 3.0)
    assert not is_clearly_better(*drawn(1.0, n=300), 1.05)
    found = calibrate({"image": logits, "genes": drawn(1.0)[0]}, labels, "held out")
    assert found.temperatures["image"] == pytest.approx(3, rel=0.1)
    assert found.temperatures["both"] == 1.0
    before, after = found.ece["image"]
    assert after < 0.03 < before
    assert found.n["image"] == 4000


def test_too_few_cases_leave_it_at_one() -> None:
    logits, labels = drawn(4.0, n=19)
    assert calibrate({"image": logits}, labels, "").temperatures["image"] == 1.0


def views(n: int = 6000) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Independent Gaussian views of a class: the log-odds of parts add up, whatever scale each came in."""
    rng = np.random.default_rng(2)
    labels = rng.integers(2, size=n)
    odds = [2 * (2 * labels - 1 + rng.normal(size=n)) for _ in range(2)]
    scaled = {"image": odds[0] * 1.5, "genes": odds[1] / 8, "wide": rng.normal(size=n)}
    return labels, {name: np.stack([-values, values], 1) for name, values in scaled.items()}


def test_parts_are_weighed_as_they_were_made() -> None:
    labels, parts = views()
    parts["genes"][:100] = np.nan
    found = calibrate_parts(parts, labels, "held out")
    assert found.weights["image"]["image"] == pytest.approx(1 / 3, rel=0.1)  # half the odds on each side: 1.5 x 2
    assert found.weights["both"]["image"] == pytest.approx(1 / 3, rel=0.1)
    assert found.weights["genes"]["genes"] == pytest.approx(4, rel=0.1)
    assert found.weights["both"]["genes"] == pytest.approx(4, rel=0.1)
    assert found.weights["both"]["wide"] < 0.05  # noise: hardly any weight, and never a negative one
    assert all(weight >= 0 for weights in found.weights.values() for weight in weights.values())
    assert found.ece["both"][1] < 0.02
    assert found.n == {"image": 6000, "genes": 5900, "both": 5900}


def test_a_single_part_gets_its_temperature() -> None:
    logits, labels = drawn(2.5)
    weight = calibrate_parts({"image": logits}, labels, "").weights["image"]["image"]
    assert weight == pytest.approx(1 / fit_temperature(logits, labels), rel=1e-3)


def test_a_linear_head_has_no_gradient_left_and_fills_its_layer() -> None:
    rng = np.random.default_rng(0)
    x, y, w = rng.normal(3, 5, size=(90, 4)), rng.integers(3, size=90), rng.random(90) + 0.5
    x[:, 1] = 7.0  # constant: no weight of millions
    fit = fit_linear(x, y, w, classes=3, c=0.3)
    sd = np.maximum(x.std(0), 0.1 * x.std(0).mean())
    residual = (softmax(fit.logits(x), axis=1) - np.eye(3)[y]) * w[:, None]
    gradient = residual.T @ ((x - x.mean(0)) / sd) + fit.weight * sd / 0.3
    np.testing.assert_allclose(gradient, 0, atol=0.02)
    assert np.abs(fit.weight[:, 1]).max() < 1e-6
    layer = nn.Linear(4, 3)
    fit.fill(layer)

    np.testing.assert_allclose(layer(torch.from_numpy(x).float()).detach(), fit.logits(x), atol=1e-4)


def test_two_classes_are_opposite_logits() -> None:
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(60, 3)), np.arange(60) % 2
    fit = fit_linear(x, y, np.ones(60), classes=2, c=1.0)
    np.testing.assert_allclose(fit.weight[0], -fit.weight[1])
    residual = (softmax(fit.logits(x), axis=1)[:, 1] - y) @ ((x - x.mean(0)) / x.std(0))
    np.testing.assert_allclose(residual + 2 * fit.weight[1] * x.std(0), 0, atol=0.01)


def test_case_weights_by_hand() -> None:
    weights = case_weights(np.array([0, 0, 0, 0, 1, 1]), ["a", "a", "a", "a", "b", None])
    expected = np.array([0.25, 0.25, 0.25, 0.25, 0.5, 0.5])
    np.testing.assert_allclose(weights, expected / expected.mean())
