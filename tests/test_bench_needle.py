"""Needle-in-haystack bags as the benchmark makes them, and a small GiMP that must find the needles."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from bench_needle import Bags, Effort, Haystack, evaluate, fit_gimp, make_bag, pooled_auc, scores_of_gimp

from napari_gimp.gimp.model import ModelConfig
from napari_gimp.types import Sample

SMALL = Haystack(width=8, patches=(300, 400), share=0.05, tissues=2, spread=1.0, strength=8.0)
MODEL = ModelConfig(d=32, heads=2, landmarks=16, exact_up_to=0, dropout=0.0, head_hidden=16)


def test_a_bag_is_a_function_of_its_number() -> None:
    make_bag.cache_clear()
    first, needles = make_bag(SMALL, 7)
    make_bag.cache_clear()
    again, _ = make_bag(SMALL, 7)
    other, _ = make_bag(SMALL, 9)
    np.testing.assert_array_equal(first.embeddings, again.embeddings)
    assert first.embeddings is not None
    assert 300 <= len(first.embeddings) <= 400
    assert not np.array_equal(first.embeddings[:300], other.embeddings[:300])
    assert first.label == 1
    assert needles.sum() == round(0.05 * len(needles))


def test_only_bags_of_the_one_class_hold_needles_and_they_lie_off() -> None:
    bags = Bags(SMALL, 0, 10)
    assert bags.labels.tolist() == [0, 1] * 5
    assert [bool(bags.needles(i).any()) for i in range(10)] == [False, True] * 5
    middle = bags[1].embeddings[~bags.needles(1)].mean(0)
    offset = bags[1].embeddings[bags.needles(1)].mean(0) - middle
    assert 5 < np.linalg.norm(offset) < 9  # strength 8, its direction blurred by noise


def test_mean_pooling_finds_a_needle_of_a_haystack_without_shifts_only() -> None:
    """In the benchmark it must fail because bags differ, not because of how it is fitted."""
    easy = replace(SMALL, shift=0.0, tissues=1, patches=(2000, 2100), share=0.05)
    hard = replace(easy, shift=0.5)
    found = [
        pooled_auc(Bags(bags, 0, 40), Bags(bags, 40, 40), lambda bag: bag.mean(axis=0))["bags"] for bags in (easy, hard)
    ]
    assert found[0] > 0.95
    assert found[1] < 0.9


@pytest.fixture(scope="module")
def figures() -> tuple[dict[str, float], dict[str, float]]:
    """On unseen bags: of a trained GiMP, and of one that was not trained."""
    seen, unseen = Bags(SMALL, 0, 32), Bags(SMALL, 32, 16)
    effort = Effort(epochs=12, patches=200, whole=16, rate=2e-3)
    models = fit_gimp(seen, MODEL, effort), fit_gimp(seen, MODEL, replace(effort, epochs=0, whole=0))
    return tuple(evaluate(unseen, scores_of_gimp(model)) for model in models)  # type: ignore[return-value]


def test_gimp_finds_the_bags_and_the_needles(figures: tuple[dict[str, float], dict[str, float]]) -> None:
    trained, untrained = figures
    for name in ("bags", "attention", "support"):
        assert trained[name] >= 0.95
    for name in ("bags", "attention"):
        assert untrained[name] < 0.8


def test_patch_scores_are_judged_on_bags_with_needles_alone() -> None:
    """Scores that are the needles themselves: every area is 1, and so is that of the bags by their number."""
    bags = Bags(SMALL, 0, 4)

    def scores(_bag: torch.Tensor, sample: Sample) -> tuple[torch.Tensor, dict[str, np.ndarray]]:
        needles = bags.needles(int(sample.case_id.removeprefix("bag")))
        return torch.tensor(needles.sum()), {"attention": needles, "inverted": ~needles}

    assert evaluate(bags, scores) == {"bags": 1.0, "attention": 1.0, "inverted": 0.0}
