"""Time to read expression files of real sizes: ``python tests/benchmarks/bench_expression.py [RNASEQ_TABLE...]``.

Made-up numbers in the layouts of the field; tables given as arguments are timed as well.
"""

import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from napari_gimp.genes import align_matrix, read_expression

sys.path.insert(0, str(Path(__file__).parents[1] / "data"))
import make_expression as make


def measure(name: str, path: Path) -> None:
    start = time.perf_counter()
    expression = read_expression(path)
    read = time.perf_counter() - start
    align_matrix(expression)
    aligned = time.perf_counter() - start - read
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    samples, genes = expression.values.shape
    print(f"{name:34s} {samples:6d} {genes:6d} {expression.scale:7s} {read:8.2f} {aligned:8.2f} {peak:8.0f}")


def plain(folder: Path, samples: int, genes: int, *, genes_in_rows: bool) -> Path:
    values = np.random.default_rng(0).lognormal(3, 2, (samples, genes)).round(3)
    frame = pd.DataFrame(values, [f"TCGA-05-{k:04d}-01A" for k in range(samples)], [f"GENE{k}" for k in range(genes)])
    return make.write_plain(folder / "a.csv", frame.T if genes_in_rows else frame)


def main() -> None:
    print(f"{'file':34s} {'samples':>6s} {'genes':>6s} {'scale':7s} {'read s':>8s} {'align s':>8s} {'peak MB':>8s}")
    for path in map(Path, sys.argv[1:]):
        measure(path.name, path)
    facts = make.truth()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        measure("GDC STAR counts, one file", make.write_gdc(folder / "a.tsv", facts, 0, extra_genes=60_600))
        for k in range(50):
            (folder / "many").mkdir(exist_ok=True)
            make.write_gdc(folder / "many" / f"{k}.tsv", facts, k % 5, extra_genes=60_600)
        measure("GDC STAR counts, 50 files", folder / "many")
        for turned in (False, True):
            where = "genes in rows" if turned else "samples in rows"
            measure(f"CSV, {where}", plain(folder, 1000, 20_000, genes_in_rows=turned))


if __name__ == "__main__":
    main()
