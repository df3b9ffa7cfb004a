"""Checkpoints: bit-exact round trips, whole or not at all, and a sentence for every folder that is none."""

import json
import pickle
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_gimp.gimp import checkpoint
from napari_gimp.gimp.checkpoint import (
    CheckpointError,
    load_model,
    read_config,
    read_facts,
    save_checkpoint,
)
from napari_gimp.gimp.compatible import check_bag, check_encoder
from napari_gimp.gimp.model import GiMP, ModelConfig
from napari_gimp.settings import InputError
from napari_gimp.types import Bag, CheckpointFacts, PatchGrid

SMALL = ModelConfig(
    d=8, heads=2, layers=1, landmarks=7, fragment_genes=2, groups=2, head_hidden=3, window=17, mask="contiguous"
)
FACTS = CheckpointFacts(
    name="two types",
    classes=("LUAD", "LUSC"),
    encoder="resnet18-abc123",
    embedding_dim=5,
    genes=("TP63", "NKX2-1", "KRT5", "NAPSA", "µ-gene"),
    expression_scale="log",
    patch_px=224,
    patch_mpp=0.5,
    trained_on="13 synthetic cases",
    synthetic="synthetic",
    metrics={"accuracy": 0.9375, "ci95": [0.1 + 0.2, 1.0], "n": 13},
    provenance={"seed": 0, "versions": {"torch": "2"}},
)


def model() -> GiMP:
    torch.manual_seed(4)
    built = GiMP(SMALL, embedding_dim=5, genes=5, classes=2).eval()
    built.set_scaling(
        embedding_mean=torch.randn(5), embedding_sd=torch.rand(5) + 1,
        gene_mean=torch.randn(5), gene_sd=torch.tensor([1.0, 2, 0, 3, 0.01]),
    )  # fmt: skip
    return built


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    return save_checkpoint(tmp_path / "runs" / "ckpt", model(), FACTS)


def bag(encoder: str | None, width: int = 5) -> Bag:
    return Bag("slide7", np.zeros((3, width), np.float32), None, encoder)


def test_round_trip_is_bit_exact(saved: Path) -> None:
    assert {item.name for item in saved.iterdir()} == {"model.safetensors", "checkpoint.json"}
    assert [item.name for item in saved.parent.iterdir()] == ["ckpt"]
    loaded, original = load_model(saved), model()
    assert loaded.facts == FACTS == read_facts(saved)
    assert loaded.model.config == SMALL == read_config(saved)
    assert not loaded.model.training
    for (name, found), (expected_name, expected) in zip(
        loaded.model.members[0].state_dict().items(), original.state_dict().items(), strict=True
    ):
        assert name == expected_name
        assert torch.equal(found, expected)
    embeddings, genes = torch.randn(1, 19, 5), torch.randn(1, 5)
    answers = loaded.model(embeddings, genes=genes).answers
    for name, logits in original(embeddings, genes=genes).answers.items():
        assert torch.equal(answers[name], logits)


def test_identity_follows_weights_and_facts(saved: Path, tmp_path: Path) -> None:
    again = save_checkpoint(tmp_path / "again", model(), FACTS)
    renamed = save_checkpoint(tmp_path / "renamed", model(), replace(FACTS, name="other"))
    changed = model()
    with torch.no_grad():
        changed.absent_image[0] += 1
    other = save_checkpoint(tmp_path / "other", changed, FACTS)
    ids = [load_model(folder).id for folder in (saved, again, renamed, other)]
    assert ids[0] == ids[1]
    assert len(set(ids)) == 3


def test_loading_leaves_the_random_state_alone(saved: Path) -> None:
    state = torch.get_rng_state()
    load_model(saved)
    assert torch.equal(state, torch.get_rng_state())


def test_reading_facts_loads_no_torch(saved: Path) -> None:
    code = "import sys; from napari_gimp.gimp.checkpoint import read_facts, read_config; from pathlib import Path\n"
    code += "read_facts(Path(sys.argv[1])); read_config(Path(sys.argv[1])); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code, str(saved)], check=False).returncode == 0


def test_nothing_is_overwritten_unasked(saved: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="exists already"):
        save_checkpoint(saved, model(), replace(FACTS, name="new"))
    assert read_facts(saved).name == "two types"
    save_checkpoint(saved, model(), replace(FACTS, name="new"), overwrite=True)
    assert load_model(saved).facts.name == "new"
    assert [item.name for item in saved.parent.iterdir()] == ["ckpt"]
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("years of work")
    with pytest.raises(InputError, match="something else"):
        save_checkpoint(tmp_path / "thesis", model(), FACTS, overwrite=True)
    assert (tmp_path / "thesis" / "chapter.txt").exists()


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_failed_write_leaves_nothing_and_keeps_the_old(
    saved: Path, overwrite: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full_disk(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "write_card", full_disk)
    target = saved if overwrite else saved.parent / "new"
    with pytest.raises(InputError, match="No space left"):
        save_checkpoint(target, model(), replace(FACTS, name="new"), overwrite=overwrite)
    assert [item.name for item in saved.parent.iterdir()] == ["ckpt"]
    assert load_model(saved).facts == FACTS


def test_facts_must_fit_the_model(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="5 genes and 2 classes, found 5, 4 and 2"):
        save_checkpoint(tmp_path / "x", model(), replace(FACTS, genes=FACTS.genes[:4]))
    assert not list(tmp_path.iterdir())


def test_what_is_no_number_becomes_null(tmp_path: Path) -> None:
    metrics = {"auc": float("nan"), "n": np.int64(3), "folds": np.array([1.5, np.inf]), "file": Path("a")}
    folder = save_checkpoint(tmp_path / "x", model(), replace(FACTS, metrics=metrics), calibration={"both": 1.25})
    assert read_facts(folder).metrics == {"auc": None, "n": 3, "folds": [1.5, None], "file": "a"}
    card = json.loads((folder / "checkpoint.json").read_text())
    assert card["calibration"] == {"both": 1.25}
    assert card["groups"] == [2, 1, 3]


def edit_card(folder: Path, **changes: object) -> None:
    path = folder / "checkpoint.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def flip_a_byte(folder: Path) -> None:
    data = bytearray((folder / "model.safetensors").read_bytes())
    data[-5] ^= 1
    (folder / "model.safetensors").write_bytes(data)


class Bomb:
    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        return exec, ("raise SystemExit('unpickled')",)


def rehash(folder: Path) -> None:
    edit_card(folder, weights_sha256=checkpoint._hash(folder / "model.safetensors"))


def pickled_weights(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(pickle.dumps(Bomb()))
    rehash(folder)


DAMAGE: list[tuple[Callable[[Path], object], str]] = [
    (lambda folder: (folder / "checkpoint.json").unlink(), "found no checkpoint.json"),
    (lambda folder: (folder / "checkpoint.json").write_text('{"format": "nap'), "not readable as JSON"),
    (lambda folder: (folder / "checkpoint.json").write_bytes(b"\xff\xfe\x00"), "not readable as JSON"),
    (lambda folder: (folder / "checkpoint.json").write_text("[1]"), "another program"),
    (lambda folder: edit_card(folder, format="clam"), "another program"),
    (lambda folder: edit_card(folder, format_version=3), "or older, found 3; update napari-gimp"),
    (lambda folder: edit_card(folder, format_version=None), "found None"),
    (lambda folder: edit_card(folder, facts={"name": "x"}), "what the model was trained on"),
    (lambda folder: edit_card(folder, model={"d": 8, "depth": 3}), "does not describe a model"),
    (lambda folder: edit_card(folder, model={"d": -8}), "does not describe a model"),
    (lambda folder: edit_card(folder, model={"d": 16, "heads": 2}), "do not fit the model"),
    (lambda folder: (folder / "model.safetensors").unlink(), "expected model.safetensors"),
    (flip_a_byte, "is not the file"),
    (pickled_weights, "not readable as safetensors"),
]


@pytest.mark.parametrize(("damage", "sentence"), DAMAGE)
def test_damaged_foreign_and_newer_folders_are_refused(
    saved: Path, damage: Callable[[Path], object], sentence: str
) -> None:
    damage(saved)
    with pytest.raises(CheckpointError, match=sentence) as refused:
        load_model(saved)
    assert str(saved) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_no_such_folder_and_no_such_device(saved: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="expected a checkpoint"):
        read_facts(tmp_path / "nowhere")
    with pytest.raises(InputError, match="'abacus', which is not there"):
        load_model(saved, "abacus")
    if not torch.cuda.is_available():
        with pytest.raises(InputError, match="'cuda', which is not there"):
            load_model(saved, "cuda")


def test_bags_of_another_encoder_are_refused() -> None:
    assert check_bag(FACTS, bag("resnet18-abc123")) == ()
    with pytest.raises(InputError, match=r"resnet18-abc123.* found uni-77"):
        check_bag(FACTS, bag("uni-77"))
    with pytest.raises(InputError, match=r"resnet18-abc123.* found uni-77"):
        check_encoder(FACTS, "uni-77")
    with pytest.raises(InputError, match="expected embeddings 5 wide, found 6"):
        check_bag(FACTS, bag(None, 6))


@pytest.mark.parametrize(
    ("trained", "made", "who"), [("a", None, "the bag"), (None, "b", "the checkpoint"), (None, None, "the checkpoint")]
)
def test_unnamed_encoders_are_warned_about(trained: str | None, made: str | None, who: str) -> None:
    (note,) = check_bag(replace(FACTS, encoder=trained), bag(made))
    assert f"{who} does not name its encoder" in note


@pytest.mark.parametrize(("side_px", "warned"), [(512.0, False), (508.0, False), (1024.0, True), (256.0, True)])
def test_patches_of_another_size_are_warned_about(side_px: float, warned: bool) -> None:
    grid = PatchGrid(np.zeros((3, 2), np.int64), (side_px, side_px), (side_px, side_px), (9000, 9000), (0.25, 0.25))
    facts = replace(FACTS, patch_px=256, patch_mpp=0.5)
    notes = check_bag(facts, replace(bag(facts.encoder), grid=grid))
    assert bool(notes) == warned
    assert all(f"patches of {side_px / 4:.4g} um" in note and "trained on 128 um" in note for note in notes)
    assert check_bag(facts, replace(bag(facts.encoder), grid=replace(grid, mpp_yx=None))) == ()


@pytest.mark.parametrize(("trained", "warned"), [(True, (True, False)), (False, (False, True)), (None, (False, False))])
def test_positions_of_another_kind_are_warned_about(trained: bool | None, warned: tuple[bool, bool]) -> None:
    grid = PatchGrid(np.zeros((3, 2), np.int64), (512.0, 512.0), (512.0, 512.0), (9000, 9000), (0.25, 0.25))
    facts = FACTS if trained is None else replace(FACTS, provenance={"has_places": trained})
    without, with_grid = bag(facts.encoder), replace(bag(facts.encoder), grid=grid)
    said = [any("positions mean something else" in n for n in check_bag(facts, b)) for b in (without, with_grid)]
    assert tuple(said) == warned
