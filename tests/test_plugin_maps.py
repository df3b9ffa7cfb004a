"""Patch maps by key: every number that a prediction holds has a map, and the map holds that number."""

from dataclasses import replace

import numpy as np
import pytest
from plugin_cases import MPP, grid_of, prediction_of

from napari_gimp.plugin.maps import ERROR_UNITS, map_titles, patch_map
from napari_gimp.settings import InputError
from napari_gimp.types import Prediction, SlideFacts

SHAPE = (2048, 3000)
FACTS = SlideFacts("HE3", "id", SHAPE, (SHAPE,), (MPP, MPP))


@pytest.fixture(scope="module")
def prediction() -> Prediction:
    made = prediction_of(FACTS, grid_of(SHAPE))
    signed = np.random.default_rng(1).normal(size=(2, len(made.grid))).astype(np.float32)
    return replace(made, class_support=signed, group_support={"a/b pathway": 2 * signed})


def test_titles_name_every_map_and_each_can_be_made(prediction: Prediction) -> None:
    titles = map_titles(prediction, members=2)
    assert list(titles)[:4] == ["attention", "support/LUAD", "support/LUSC", "error"]
    assert len(set(titles.values())) == len(titles)
    for key, title in titles.items():
        made = patch_map(prediction, key, members=2)
        assert (made.key, made.title, made.values.shape) == (key, title, (len(prediction.grid),))
        assert made.values.dtype == np.float32


def test_attention_is_shown_in_multiples_of_the_average(prediction: Prediction) -> None:
    assert patch_map(prediction, "attention").values.mean() == pytest.approx(1, abs=1e-5)
    n = len(prediction.grid)
    for layer in (1, 2):
        heads = [patch_map(prediction, f"attention/{layer}/{row}").values for row in range(1, 5)]
        np.testing.assert_allclose(heads, prediction.attention[layer - 1] * n, rtol=1e-5)
    np.testing.assert_allclose(
        patch_map(prediction, "attention/1/mean").values, prediction.attention[0].mean(0) * n, rtol=1e-5
    )
    np.testing.assert_allclose(
        patch_map(prediction, "attention/all").values, prediction.attention.mean((0, 1)) * n, rtol=1e-5
    )


def test_support_and_groups_keep_their_sign_and_their_class(prediction: Prediction) -> None:
    difference = prediction.class_support[1] - prediction.class_support[0]
    np.testing.assert_allclose(patch_map(prediction, "support/LUSC").values, difference, atol=1e-6)
    group = patch_map(prediction, "group/a/b pathway/LUAD")
    np.testing.assert_allclose(group.values, -2 * difference, atol=1e-6)
    assert group.signed
    assert not patch_map(prediction, "error").signed
    assert patch_map(prediction, "error").unit == ERROR_UNITS["l1"]


def test_classes_and_groups_may_have_slashes_in_their_names(prediction: Prediction) -> None:
    named = replace(prediction, classes=("HER2+/ER-", "LUSC"))
    support = patch_map(named, "support/HER2+/ER-").values
    np.testing.assert_array_equal(support, patch_map(prediction, "support/LUAD").values)
    group = patch_map(named, "group/a/b pathway/HER2+/ER-")
    assert group.title == "a/b pathway at the training mean: change for HER2+/ER-"


def test_spread_is_between_members_and_only_where_there_are_several(prediction: Prediction) -> None:
    assert "spread" not in map_titles(prediction)
    first, second = prediction.attention[-1, :2].mean(0), prediction.attention[-1, 2:].mean(0)
    found = patch_map(prediction, "spread", members=2).values
    np.testing.assert_allclose(found, np.abs(first - second) / 2 * len(prediction.grid), atol=1e-5)


def test_heads_of_several_members_are_named_by_member(prediction: Prediction) -> None:
    titles = map_titles(prediction, members=2)
    assert titles["attention/2/3"] == "attention, member 2, head 1"
    assert titles["attention/1/2"] == "attention, layer 1, member 1, head 2"


def test_a_map_that_is_not_there_is_refused(prediction: Prediction) -> None:
    with pytest.raises(InputError, match="expected one of its maps"):
        patch_map(replace(prediction, class_support=None), "support/LUAD")
