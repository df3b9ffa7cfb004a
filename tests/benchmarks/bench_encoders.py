"""Patches/s of each encoder, and how well a linear model tells real lung tiles apart on its embeddings.

    python tests/benchmarks/bench_encoders.py --shared ../shared [--threads 2] [--device cpu] [--patches 64]

The second table needs the folder of real data: every second tile of three kinds is held out. The ResNets are given
random weights of the right shapes where their speed is all that is asked for.
"""

import argparse
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from napari_gimp.encoders.base import Encoder
from napari_gimp.encoders.load import load_encoder
from napari_gimp.encoders.resnet import ARCHITECTURES, ResNetToLayer3


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--patches", type=int, default=64)
    parser.add_argument("--device", default="cpu")
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    onnx = sorted((chosen.shared / "weights").glob("*.onnx")) if chosen.shared else []
    with TemporaryDirectory() as folder:
        encoders = dict(_encoders(Path(folder), onnx, chosen.device))
    print(f"{chosen.threads} threads, {chosen.device}, 256 px\n")
    print(f"{'encoder':34} {'width':>6} {'load s':>7} {'patches/s':>10} {'per core second':>16}")
    for name, (encoder, load_s) in encoders.items():
        wall, cpu = speed(encoder, chosen.patches)
        print(f"{name:34} {encoder.width:6} {load_s:7.2f} {wall:10.0f} {cpu:16.0f}")
    if chosen.shared:
        _print_accuracy(
            {name: encoder for name, (encoder, _) in encoders.items() if "random" not in name}, chosen.shared
        )


def _encoders(folder: Path, onnx: list[Path], device: str) -> list[tuple[str, tuple[Encoder, float]]]:
    found = [("colour-texture", _timed("colour-texture", device))]
    for name, architecture in ARCHITECTURES.items():
        torch.save(ResNetToLayer3(architecture).state_dict(), folder / f"{name}.pth")
        for precision in ("full", "auto"):
            loaded = _timed(name, device, weights=folder / f"{name}.pth", precision=precision)
            found.append((f"{name} {precision} (random weights)", loaded))
    return found + [(path.stem, _timed(str(path), device)) for path in onnx]


def _timed(name: str, device: str, **options: object) -> tuple[Encoder, float]:
    start = time.perf_counter()
    return load_encoder(name, device=device, **options), time.perf_counter() - start


def speed(encoder: Encoder, patches: int) -> tuple[float, float]:
    """Patches per second of the clock and per second of computing (best of three: the machine may be shared)."""
    pixels = np.random.default_rng(0).integers(0, 256, (patches, 256, 256, 3), dtype=np.uint8)
    encoder(pixels[:8])
    wall, cpu = [], []
    for _ in range(3):
        clock, computing = time.perf_counter(), time.process_time()
        encoder(pixels)
        wall.append(time.perf_counter() - clock)
        cpu.append(time.process_time() - computing)
    return patches / min(wall), patches / min(cpu)


def _print_accuracy(encoders: dict[str, Encoder], shared: Path) -> None:
    kinds = ("adenocarcinoma", "squamous", "normal")
    files = [(path, kind) for kind in kinds for path in sorted((shared / "lung_patches" / kind).iterdir())]
    tiles = np.stack([np.asarray(Image.open(path).convert("RGB").resize((256, 256))) for path, _ in files])
    labels = np.array([kind for _, kind in files])
    counts = [[np.histogram(tile[..., c], 16, (0, 256))[0] for c in range(3)] for tile in tiles]
    rows = {"colour histogram (16 bins a channel)": np.array(counts, float).reshape(len(tiles), -1)}
    rows.update({name: encoder(tiles) for name, encoder in encoders.items()})
    print(f"\nLC25000 lung tiles, {len(tiles[::2])} to learn, {len(tiles[1::2])} held out, logistic regression\n")
    print(f"{'features':40} {'3 classes':>10} {'tumour type':>12}")
    for name, features in rows.items():
        print(f"{name:40} {_accuracy(features, labels):10.3f} {_accuracy(*_tumour(features, labels)):12.3f}")


def _tumour(features: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return features[labels != "normal"], labels[labels != "normal"]


def _accuracy(features: np.ndarray, labels: np.ndarray) -> float:
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=5000))
    return float(model.fit(features[::2], labels[::2]).score(features[1::2], labels[1::2]))


if __name__ == "__main__":
    main()
