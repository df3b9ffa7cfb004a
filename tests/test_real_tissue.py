"""The real-tissue benchmark at a small size: on held-out tiles a trained checkpoint beats its untrained twin."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnxruntime")
from bench_real_tissue import ENCODER, NAME, Sizes, run_seed
from pseudo_lung import Tiles, load_tiles, mosaics, single_tiles, split_tiles

from napari_gimp.gimp.checkpoint import read_facts

SMALL = Sizes(
    train_mosaics=16,
    test_mosaics=12,
    settings=("d=32", "heads=2", "layers=1", "ffn=2", "head_hidden=32", "window=32", "epochs_pretrain=2",
              "lr_pretrain=0.001", "epochs_finetune=10", "lr_finetune=0.001", "epochs_decoder=1",
              "batch_size=8"),
)  # fmt: skip


@pytest.fixture(scope="module")
def tiles(shared, tmp_path_factory) -> Tiles:
    cache = tmp_path_factory.mktemp("tiles") / "tiles.npz"
    return load_tiles(shared / "lung_patches", shared / "weights" / ENCODER, cache, limit=24, turns=1)


def test_trained_beats_its_untrained_twin_on_held_out_pseudo_cases(tiles, tmp_path: Path) -> None:
    results = run_seed(tiles, tmp_path, 0, SMALL).set_index(["method", "kind", "figure"])["value"]
    for kind in ("mosaics", "tiles"):
        assert results["GiMP", kind, "accuracy"] > max(0.7, results["untrained twin", kind, "accuracy"]), kind
    assert results["GiMP", "attention", "auc"] > results["untrained twin", "attention", "auc"] + 0.15
    facts = read_facts(tmp_path / NAME)
    assert facts.synthetic == "pseudo"
    assert "pseudo" in facts.trained_on
    assert facts.encoder == tiles.encoder
    assert not facts.genes


def test_train_and_test_tiles_are_apart_and_each_is_in_one_part(tiles) -> None:
    train, test = split_tiles(tiles, seed=3)
    assert sorted([*train, *test]) == list(range(len(tiles.names)))
    cases = [*single_tiles(tiles, train), *mosaics("train", tiles, train, 6, np.random.default_rng(0))]
    assert not {int(tile) for case in cases for tile in case.tiles} & set(test.tolist())
    shares = [np.mean(tiles.classes[part] == "squamous") for part in (train, test)]
    np.testing.assert_allclose(shares, 1 / 3, atol=0.02)
