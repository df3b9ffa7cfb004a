"""What if: time of an answer beside other genes, next to the whole pass that it equals.

Run ``python tests/benchmarks/bench_whatif.py [patches]`` (15,000 by default). Goal: 100 ms for 15,000 patches on CPU.

Random weights and numbers: times depend on neither. Rows: sizes of the demo-like preset (d 128) and of the paper
(d 512), 25, 258 and 20,000 genes, 1 and 5 members. *gene* changes one gene, *all* every gene; the median of 9 after one
that is not counted. *whole* is one pass of all members over image and genes, *group map* two class supports.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Generator
from statistics import median
from typing import Any

import numpy as np
import torch

from napari_gimp.gimp.checkpoint import LoadedModel
from napari_gimp.gimp.ensemble import Ensemble
from napari_gimp.gimp.model import GiMP, ModelConfig
from napari_gimp.pipeline import Prepared, Questions
from napari_gimp.types import AlignedGenes, Bag, CheckpointFacts, GeneEdit, PatchGrid, SlideFacts

SIZES = {"d 128": ModelConfig(d=128, heads=4), "d 512": ModelConfig()}
GENES, MEMBERS, WIDTH, TIMES = (25, 258, 20_000), (1, 5), 1024, 9


def drain(work: Generator[Any, None, Any]) -> Any:
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value


def seconds(act: Callable[[], Any]) -> float:
    start = time.perf_counter()
    act()
    return time.perf_counter() - start


def asked(config: ModelConfig, patches: int, genes: int, members: int) -> tuple[Questions, float]:
    """Questions to a model of that size, and the seconds of a whole pass."""
    torch.manual_seed(0)
    made = [GiMP(config, embedding_dim=WIDTH, genes=genes, classes=2) for _ in range(members)]
    names = tuple(f"G{k}" for k in range(genes))
    facts = CheckpointFacts("bench", ("a", "b"), None, WIDTH, names, "log", 256, 0.5, "nothing", "synthetic")
    random, index = np.random.default_rng(0), np.arange(patches)
    corners = np.stack([index // 150, index % 150], 1) * 256
    grid = PatchGrid(corners, (256.0, 256.0), (256.0, 256.0), (40_000, 40_000), (0.5, 0.5))
    bag = Bag("bench", random.normal(size=(patches, WIDTH)).astype(np.float32), grid, None)
    slide = SlideFacts("bench", "bench", (40_000, 40_000), ((40_000, 40_000),), (0.5, 0.5))
    profile = AlignedGenes("S", random.normal(size=genes).astype(np.float32), ())
    model = Ensemble(made).eval()
    questions = drain(Questions.of(Prepared(slide, LoadedModel(model, facts, "bench"), bag, profile)))
    given = (torch.from_numpy(bag.features)[None], torch.from_numpy(bag.cells)[None])
    with torch.inference_mode():
        whole = seconds(lambda: model(*given, genes=torch.from_numpy(profile.values)[None]))
    return questions, whole


def answers_ms(questions: Questions, all_genes: bool) -> float:
    """Median milliseconds of an answer to another value each time."""
    genes = questions.genes
    assert genes is not None
    taken = []
    for k in range(TIMES + 1):
        edits = [GeneEdit(name, "value", float(k)) for name in (genes_of(questions) if all_genes else ("G3",))]
        changed = questions.changed(genes, edits)
        taken.append(1000 * seconds(lambda changed=changed: questions.answer(changed)))
    return median(taken[1:])


def genes_of(questions: Questions) -> tuple[str, ...]:
    assert questions.reference is not None
    return questions.reference.genes


def main(patches: int) -> None:
    print(f"{patches} patches of {WIDTH}, {torch.get_num_threads()} threads")
    print(f"{'size':>6} {'genes':>7} {'members':>8} {'gene ms':>9} {'all ms':>9} {'whole ms':>10}")
    for name, config in SIZES.items():
        for genes in GENES:
            for members in MEMBERS:
                questions, whole = asked(config, patches, genes, members)
                one, every = answers_ms(questions, False), answers_ms(questions, True)
                print(f"{name:>6} {genes:>7} {members:>8} {one:>9.1f} {every:>9.1f} {whole * 1000:>10.0f}", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 15_000)
