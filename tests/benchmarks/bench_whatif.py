"""What if: time of an answer beside other genes, next to the whole pass that it equals.

Run ``python tests/benchmarks/bench_whatif.py [patches]`` (15,000 by default). Goal: 100 ms for 15,000 patches on CPU.

Random weights and numbers: times depend on neither. Rows: sizes of the demo-like preset (d 128) and of the paper
(d 512), 25, 258 and 20,000 genes, 1 and 5 members. *gene* changes one gene, *group* the genes of one group, *all* every
gene: medians of 15 after one that is not counted, by the clock and by the processor (with OMP_NUM_THREADS=1 that is
what a quiet machine takes). *whole* is one pass of all members over image and genes, the same way.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Generator
from dataclasses import replace
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
GENES, MEMBERS, WIDTH, TIMES = (25, 258, 20_000), (1, 5), 1024, 15


def drain(work: Generator[Any, None, Any]) -> Any:
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value


def taken_ms(act: Callable[[], Any]) -> tuple[float, float]:
    """Milliseconds by the clock and by the processor."""
    start, busy = time.perf_counter(), time.process_time()
    act()
    return 1000 * (time.perf_counter() - start), 1000 * (time.process_time() - busy)


def asked(config: ModelConfig, patches: int, genes: int, members: int) -> tuple[Questions, str]:
    """Questions to a model of that size, and the milliseconds of a whole pass."""
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
        whole = taken_ms(lambda: model(*given, genes=torch.from_numpy(profile.values)[None]))
    return questions, f"{whole[0]:.0f} / {whole[1]:.0f}"


def answers_ms(questions: Questions, what: str) -> str:
    """Median milliseconds of an answer to another value each time."""
    genes, taken = questions.genes, []
    assert genes is not None
    for k in range(TIMES + 1):
        if what == "all":
            changed = replace(genes, values=genes.values + k)
        else:
            edit = GeneEdit("G3" if what == "gene" else "group 1", "value", float(k), is_group=what == "group")
            changed = questions.changed(genes, [edit])
        taken.append(taken_ms(lambda changed=changed: questions.answer(changed)))
    clock, processor = (median(each) for each in zip(*taken[1:], strict=True))
    return f"{clock:.1f} / {processor:.1f}"


def main(patches: int) -> None:
    print(f"{patches} patches of {WIDTH}, {torch.get_num_threads()} threads")
    print(f"{'size':>6} {'genes':>7} {'members':>8} {'gene ms':>15} {'group ms':>15} {'all ms':>15} {'whole ms':>15}")
    for name, config in SIZES.items():
        for genes in GENES:
            for members in MEMBERS:
                questions, whole = asked(config, patches, genes, members)
                taken = " ".join(f"{answers_ms(questions, what):>15}" for what in ("gene", "group", "all"))
                print(f"{name:>6} {genes:>7} {members:>8} {taken} {whole:>15}", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 15_000)
