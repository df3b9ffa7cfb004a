"""Distances by hand, and shares that are uniform for cases like the training cases."""

import numpy as np
import pytest

from napari_gimp.gimp.typical import Typical, fit_typical


def test_distance_by_hand() -> None:
    typical = Typical(np.array([1.0, 0, 0]), np.array([[0.5, 0, 0]]), 0.1, np.array([1.0, 2, 3, 4]))
    values = np.array([[5.0, 0, 0], [1, 0.3, 0.4], [1, 0, 0]])
    np.testing.assert_allclose(typical.distance(values), [2, 5, 0])
    assert typical.share_nearer(np.array([6.0, 0, 0])) == 0.5
    assert typical.share_nearer(np.array([1.0, 0, 1])) == 1.0


def test_new_cases_of_the_same_kind_are_spread_over_the_shares() -> None:
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(40, 40)) * np.linspace(3, 0.1, 40)[:, None]
    typical = fit_typical(rng.normal(size=(400, 40)) @ mixing)
    shares = [typical.share_nearer(value) for value in rng.normal(size=(400, 40)) @ mixing]
    assert np.mean(shares) == pytest.approx(0.5, abs=0.06)
    np.testing.assert_allclose(np.quantile(shares, [0.25, 0.75]), [0.25, 0.75], atol=0.08)


def test_other_cases_are_unlike_all_along_and_across_the_axes() -> None:
    rng = np.random.default_rng(1)
    values = np.concatenate([rng.normal(size=(300, 3)) * 5, rng.normal(size=(300, 60)) * 0.1], axis=1)
    typical = fit_typical(values)
    far, odd = np.zeros(63), np.zeros(63)
    far[0], odd[50] = 60, 2
    assert typical.share_nearer(far) == 1.0
    assert typical.share_nearer(odd) == 1.0
    assert typical.share_nearer(np.zeros(63)) < 0.05


def test_too_few_cases_say_nothing() -> None:
    assert fit_typical(np.random.default_rng(0).normal(size=(19, 4))) is None
    assert fit_typical(np.ones((30, 4))) is None
