"""Time and peak memory of one forward pass at the paper's sizes, each bag length in a process of its own.

Run ``python tests/benchmarks/bench_model.py [lengths...]``. Goal: 150,000 x 1024 within 6 GB on CPU.
"""

import json
import re
import subprocess
import sys
import time
from pathlib import Path

LENGTHS = (1_000, 6_000, 15_000, 50_000, 150_000)


def peak_bytes() -> int:
    """Peak resident memory of this process alone (``ru_maxrss`` would start at the parent's)."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None, "needs Linux's /proc"
    return int(found[1]) * 1024


def forward_once(length: int) -> dict[str, float]:
    """Seconds and peak resident memory (GB) of a forward pass over ``length`` patches of 1024."""
    import torch

    from napari_gimp.gimp.model import GiMP, ModelConfig

    torch.manual_seed(0)
    model = GiMP(ModelConfig(), embedding_dim=1024, genes=60_480, classes=2).eval()
    embeddings, genes = torch.randn(1, length, 1024), torch.randn(1, 60_480)
    index = torch.arange(length)
    cells = torch.stack([index // 400, index % 400], dim=1)[None]
    start = time.perf_counter()
    with torch.inference_mode():
        out = model(embeddings, cells, genes=genes)
    seconds = time.perf_counter() - start
    assert out.class_attention is not None
    assert out.class_attention.shape == (2, 1, 8, length)
    return {"seconds": seconds, "peak_gb": peak_bytes() / 1e9}


def in_new_process(length: int) -> dict[str, float]:
    """The same in a process whose peak memory nothing else has raised."""
    done = subprocess.run([sys.executable, __file__, "--one", str(length)], check=True, capture_output=True, text=True)
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        print(json.dumps(forward_once(int(sys.argv[2]))))
    else:
        print(f"{'patches':>10} {'seconds':>10} {'peak GB':>10}")
        for patches in map(int, sys.argv[1:] or LENGTHS):
            row = in_new_process(patches)
            print(f"{patches:>10} {row['seconds']:>10.2f} {row['peak_gb']:>10.2f}")
