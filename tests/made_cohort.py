"""A cohort in numbers, without slides: image and genes each carry the class."""

from pathlib import Path

import numpy as np
import pandas as pd

from napari_gimp.bags import write_bag
from napari_gimp.study.cohort import Cohort, read_cohort
from napari_gimp.types import Bag, PatchGrid

GENES = 13


def write_cohort(
    folder: Path, count: int, seed: int, encoder: str = "enc", labels: tuple[str, ...] = ("LUAD", "LUSC")
) -> Path:
    """Embeddings of a third of the patches and three of the genes are shifted by class; every seventh has no genes."""
    rng = np.random.default_rng(seed)
    rows, profiles = [], {}
    for i in range(count):
        case, label = f"case-{seed}-{i}", i % len(labels)
        patches = int(rng.integers(5, 20))
        features = rng.normal(size=(patches, 6)).astype(np.float32)
        features[: patches // 3 + 1, :3] += 4 * label - 2
        write_bag(folder / "features" / f"{case}-s.h5", make_bag(f"{case}-s", features, encoder))
        rows.append((case, f"{case}-s", labels[label], f"site{i % 5}"))
        if i % 7:
            level = rng.normal(6, 1, size=GENES)
            level[:3] += 3 * label - 1.5
            profiles[case] = 2.0**level
    pd.DataFrame(rows, columns=["case_id", "slide_id", "label", "site"]).to_csv(folder / "cohort.csv", index=False)
    genes = [f"GENE{k}" for k in range(GENES)]
    pd.DataFrame.from_dict(profiles, orient="index", columns=genes).rename_axis("case_id").to_csv(
        folder / "expression.csv"
    )
    return folder


def make_bag(slide: str, features: np.ndarray, encoder: str) -> Bag:
    corners = np.stack([np.arange(len(features)) // 4, np.arange(len(features)) % 4], axis=1) * 512
    grid = PatchGrid(corners.astype(np.int64), (512.0, 512.0), (512.0, 512.0), (20_000, 20_000), (0.25, 0.25))
    return Bag(slide, features, grid, encoder, provenance={"patches": {"patch_px": 256, "patch_mpp": 0.5}})


def read(folder: Path, **more) -> Cohort:
    return read_cohort(folder / "cohort.csv", folder / "features", folder / "expression.csv", **more)


def drain(work):
    progress = []
    while True:
        try:
            progress.append(next(work))
        except StopIteration as end:
            return end.value, progress
