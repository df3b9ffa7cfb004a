"""The presets are what METHOD says, and the one that suits a cohort is chosen with its reason."""

from napari_gimp.gimp.config import ModelConfig
from napari_gimp.gimp.presets import PRESETS, suggest_preset
from napari_gimp.gimp.trainconfig import TrainConfig


def test_paper_is_the_papers() -> None:
    assert PRESETS["paper"].model == ModelConfig()
    assert PRESETS["paper"].training == TrainConfig()
    assert (PRESETS["paper"].model.d, PRESETS["paper"].training.epochs_pretrain) == (512, 100)


def test_small_learns_no_label_before_its_linear_heads() -> None:
    small = PRESETS["small"]
    assert small.training.linear_heads
    assert small.training.triplet_weight == 0  # triplets know labels
    assert small.model.fusion == "sum"


def test_the_preset_comes_with_its_reason() -> None:
    assert suggest_preset(946, 15_000.0, 60_480)[0] == "paper"
    assert suggest_preset(946, 15_000.0, 0)[0] == "paper"  # images alone
    name, why = suggest_preset(721, 35.0, 258)
    assert name == "small"
    assert "a median of 35 patches (fewer than 1000) and 258 genes (fewer than 10000)" in why
    assert "480 slides (fewer than 500)" in suggest_preset(480, 15_000.0, 20_000)[1]
