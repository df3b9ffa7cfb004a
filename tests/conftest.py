"""Shared by all tests: shapes of annotated arrays are checked; real data is found or the test skips with a reason."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from jaxtyping import install_import_hook

os.environ.setdefault("OMP_NUM_THREADS", "1")  # tiny networks: threads that wait for each other cost more than they do

hypothesis.settings.register_profile("untimed", deadline=None)  # these machines are noisy: no test is a timing
hypothesis.settings.load_profile("untimed")

CHECKED_ROOMS = [
    "types",
    "slides",
    "encoders",
    "genes",
    "regions",
    "bags",
    "gimp",
    "pipeline",
    "study",
    "export",
    "synthetic",
]
install_import_hook([f"napari_gimp.{room}" for room in CHECKED_ROOMS], "beartype.beartype")

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data beside the checkout (never part of the project)."""
    if not SHARED.is_dir():
        pytest.skip(f"real data not present: no folder {SHARED.name} beside the checkout")
    return SHARED


@pytest.fixture(scope="session", autouse=True)
def _data_folder_of_the_tests(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What the programs keep for their user lies apart from what they keep for the one who runs the tests."""
    os.environ["XDG_DATA_HOME"] = str(tmp_path_factory.mktemp("data"))


@dataclass(frozen=True)
class TinyCase:
    """A synthetic slide of 1280 x 1280 px (0.5 um) with its profile, and an untrained checkpoint that fits both."""

    slide: Path
    profile: Path
    checkpoint: Path


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> TinyCase:
    from napari_gimp.encoders.load import load_encoder
    from napari_gimp.genes import read_expression
    from napari_gimp.synthetic import make_sample

    folder = tmp_path_factory.mktemp("tiny")
    sample = make_sample(folder, seed=3, shape_yx=(1280, 1280))
    genes = read_expression(sample.profile).genes[:60]
    checkpoint = untrained_checkpoint(folder / "untrained", load_encoder("colour-texture"), genes)
    return TinyCase(sample.slide, sample.profile, checkpoint)


def untrained_checkpoint(folder: Path, encoder: Any, genes: tuple[str, ...]) -> Path:
    """A checkpoint of random weights (seed 0) for an encoder; without genes an image-only one."""
    import torch

    from napari_gimp.gimp.checkpoint import save_checkpoint
    from napari_gimp.gimp.model import GiMP, ModelConfig
    from napari_gimp.types import CheckpointFacts

    config = ModelConfig(d=16, heads=2, ffn=2, head_hidden=8, landmarks=8, window=32, fragment_genes=5, groups=3)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = GiMP(config, embedding_dim=encoder.width, genes=len(genes), classes=2)
    facts = CheckpointFacts(
        name=folder.name,
        classes=("glandular", "solid"),
        encoder=encoder.id,
        embedding_dim=encoder.width,
        genes=genes,
        expression_scale="log" if genes else None,
        patch_px=256,
        patch_mpp=0.5,
        trained_on="nothing: random weights",
        synthetic="synthetic",
    )
    return save_checkpoint(folder, model, facts)


@dataclass(frozen=True)
class TinyCohort:
    """Twelve generated cases on disk, two classes; image and genes each carry the label."""

    table: Path
    features: Path
    expression: Path


def write_tiny_cohort(folder: Path) -> TinyCohort:
    """Bags of 9 patches x 6 and 10 genes a case, as numbers without any slide."""
    import numpy as np

    from napari_gimp.bags import write_bag
    from napari_gimp.types import Bag, PatchGrid

    random = np.random.default_rng(5)
    corners = np.array([(256 * i, 256 * j) for i in range(3) for j in range(3)], np.int64)
    grid = PatchGrid(corners, (256.0, 256.0), (256.0, 256.0), (768, 768), (0.5, 0.5))
    rows, values = ["case_id,slide_id,label"], ["case_id," + ",".join(f"GENE{k}" for k in range(10))]
    for case in range(12):
        kind = case % 2
        features = random.normal(2 * kind, 1, (9, 6)).astype(np.float32)
        write_bag(folder / "features" / f"case{case}.h5", Bag(f"case{case}", features, grid, "numbers-1"))
        rows.append(f"case{case},case{case},{'solid' if kind else 'glandular'}")
        values.append(f"case{case}," + ",".join(f"{v:.3f}" for v in random.lognormal(5 + 2 * kind, 0.3, 10)))
    (folder / "cohort.csv").write_text("\n".join(rows) + "\n")
    (folder / "expression.csv").write_text("\n".join(values) + "\n")
    return TinyCohort(folder / "cohort.csv", folder / "features", folder / "expression.csv")
