"""Embedding a slide beside the same encoder on patches that are in memory already: what reading costs.

    python tests/benchmarks/bench_embedding.py [--slide SLIDE] [--encoder ENCODER] [--rounds 3]

The two take turns; the ratio is of the medians. Goal: at most 1.15 with ResNet-18.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from napari_gimp import pipeline
from napari_gimp.encoders.base import Encoder
from napari_gimp.encoders.load import load_encoder
from napari_gimp.slides import cut_patches, open_slide, read_patches, tissue_of
from napari_gimp.slides.tissue import TissueSettings
from napari_gimp.types import PatchSpec

SHARED = Path(__file__).resolve().parents[3] / "shared"


def all_patches(path: Path, encoder: Encoder) -> np.ndarray:
    """The slide's tissue patches, read beforehand."""
    with open_slide(path) as slide:
        spec = PatchSpec(encoder.patch_px, encoder.patch_mpp)
        grid = cut_patches(tissue_of(slide, TissueSettings()), slide.facts, spec)
        return np.concatenate([batch.pixels for batch in read_patches(slide, grid, spec.patch_px)])


def seconds_in_memory(encoder: Encoder, patches: np.ndarray) -> float:
    began = time.perf_counter()
    for start in range(0, len(patches), 32):
        encoder(patches[start : start + 32])
    return time.perf_counter() - began


def seconds_of_slide(encoder: Encoder, path: Path) -> float:
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder, open_slide(path) as slide:
        for _ in pipeline.embed(slide, encoder, Path(folder) / "bag.h5"):
            pass
    return time.perf_counter() - began


def main() -> None:
    """Print the table."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--slide", type=Path, default=SHARED / "slides" / "lung_scc_HE3.tif")
    options.add_argument("--encoder", default=str(SHARED / "weights" / "resnet18_imagenet_layer3.onnx"))
    options.add_argument("--rounds", type=int, default=3)
    given = options.parse_args()
    encoder = load_encoder(given.encoder)
    patches = all_patches(given.slide, encoder)
    seconds_in_memory(encoder, patches[:64])
    rounds = [
        (seconds_in_memory(encoder, patches), seconds_of_slide(encoder, given.slide)) for _ in range(given.rounds)
    ]
    memory, slide = (statistics.median(column) for column in zip(*rounds, strict=True))
    print(f"{given.slide.name}, {len(patches)} patches, {encoder.id}, median of {given.rounds} rounds")
    print(f"in memory {memory:6.1f} s {len(patches) / memory:6.1f} patches/s")
    print(f"slide     {slide:6.1f} s {len(patches) / slide:6.1f} patches/s   ratio {slide / memory:.2f}")


if __name__ == "__main__":
    main()
