"""The cache of embeddings: what is ours goes, least recently used first; what is not ours stays."""

import os
from pathlib import Path

import h5py
import numpy as np
import pytest

from napari_gimp import pipeline
from napari_gimp.bags import write_bag
from napari_gimp.pipeline.cache import cached_bag, qc_path, tissue_path
from napari_gimp.slides import open_slide
from napari_gimp.types import Bag

MARKS = [f"{k:x}" * 64 for k in range(4)]


@pytest.fixture
def bags(tmp_path: Path) -> list[Path]:
    """Four bags of one size, used one after the other, with their companions."""
    made = [cached_bag(tmp_path, f"encoder{k % 2}", f"slide{k}", mark) for k, mark in enumerate(MARKS)]
    for k, path in enumerate(made):
        write_bag(path, Bag(f"slide{k}", np.zeros((9, 4), np.float32), None, "x", MARKS[k]))
        tissue_path(path).write_text("{}")
        qc_path(path).write_bytes(b"png")
        os.utime(path, (k, k))
    return made


def test_the_bags_used_longest_ago_go_with_what_stands_beside(bags: list[Path], tmp_path: Path) -> None:
    size = bags[0].stat().st_size
    assert pipeline.trim(tmp_path, 2.5 * size) == bags[:2]
    assert pipeline.trim(tmp_path, 2.5 * size) == []
    for k, path in enumerate(bags):
        assert [part.exists() for part in (path, tissue_path(path), qc_path(path))] == [k > 1] * 3
    assert pipeline.trim(tmp_path / "absent", 0.0) == []


def test_nobody_elses_file_is_removed(bags: list[Path], tmp_path: Path) -> None:
    foreign = [tmp_path / "mine.h5", tmp_path / "uni" / "slide.h5", tmp_path / "uni" / f"slide.{'a' * 12}.h5"]
    foreign[1].parent.mkdir()
    for path in foreign:
        with h5py.File(path, "w") as file:
            file["features"] = np.zeros((2, 2), np.float32)
    renamed = bags[3].rename(tmp_path / "uni" / f"copy.{'b' * 12}.h5")
    damaged = tmp_path / "uni" / f"damaged.{'c' * 12}.h5"
    damaged.write_bytes(bytes(100))
    assert pipeline.trim(tmp_path, 0.0) == bags[:3]
    assert all(path.exists() for path in (*foreign, renamed, damaged))


def test_a_hit_counts_as_use(tiny, tmp_path: Path) -> None:
    def run() -> None:
        plan = pipeline.Analysis(tiny.checkpoint, device="cpu", cache=tmp_path)
        with open_slide(tiny.slide) as slide:
            for _ in pipeline.analyse(slide, plan):
                pass

    run()
    (bag,) = tmp_path.rglob("*.h5")
    os.utime(bag, (1, 1))
    run()
    assert bag.stat().st_mtime > 1e9
