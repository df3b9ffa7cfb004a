"""Gene profiles of synthetic cases, as files in the layout of GDC's STAR counts.

The genes do not exist (``SYNTH0001``, ``ENSG90000000001.1``). A tenth of them follows the type's hidden strength, some
follow the share of tumour in the sample, and groups of them vary together for no reason that matters.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from napari_gimp.files import write_whole
from napari_gimp.synthetic.case import SyntheticCase

GENES = 600
READS = 2e6
"""Reads of a usual sample in the panel's genes."""
HEADER = (
    "gene_id\tgene_name\tgene_type\tunstranded\tstranded_first\tstranded_second"
    "\ttpm_unstranded\tfpkm_unstranded\tfpkm_uq_unstranded"
)


@dataclass(frozen=True, eq=False)
class Panel:
    """The genes of the synthetic world, the same in every case: log2 levels, lengths and what they respond to.

    ``response`` (G,) to the type, ``purity`` (G,) to the tumour's share, ``modules`` (G, 8) to chance.
    """

    symbols: tuple[str, ...]
    identifiers: tuple[str, ...]
    length_kb: Float[np.ndarray, " G"]
    level: Float[np.ndarray, " G"]
    response: Float[np.ndarray, " G"]
    purity: Float[np.ndarray, " G"]
    modules: Float[np.ndarray, "G 8"]


@cache
def panel() -> Panel:
    """The one panel: drawn from a fixed seed, so that a checkpoint's genes are those of every later case."""
    random = np.random.default_rng(20230902)
    responds = np.zeros(GENES)
    responds[random.permutation(GENES)[: GENES // 10]] = 1
    return Panel(
        tuple(f"SYNTH{k:04d}" for k in range(1, GENES + 1)),
        tuple(f"ENSG9{k:010d}.1" for k in range(1, GENES + 1)),
        length_kb=np.exp(random.normal(0.9, 0.5, GENES)),
        level=random.gamma(4, 1.6, GENES),
        response=responds * random.choice([-1, 1], GENES) * random.uniform(0.25, 0.6, GENES),
        purity=random.normal(0, 1, GENES) * (random.random(GENES) < 0.15),
        modules=random.normal(0, 0.5, (GENES, 8)) * (random.random((GENES, 8)) < 0.15),
    )


def draw_counts(case: SyntheticCase) -> Int[np.ndarray, " G"]:
    """Read counts of the case's sample: the panel moved by type, purity and chance, then counted."""
    random, genes = case.random(2), panel()
    log2 = genes.level + genes.response * case.gene_score + genes.purity * (case.tumour_share - 0.3) * 3
    log2 = log2 + genes.modules @ random.normal(0, 1, 8) + random.normal(0, 0.45, GENES)
    mean = np.exp2(log2) * genes.length_kb
    mean *= READS * random.uniform(0.5, 1.5) / mean.sum()
    return np.asarray(random.poisson(random.gamma(12, mean / 12)), np.int64)


def make_profile(path: Path, case: SyntheticCase) -> None:
    """Write the case's profile as ``…rna_seq.augmented_star_gene_counts.tsv`` (GDC's layout, FORMATS of the field).

    The first line says that it is synthetic; the file appears whole or not at all.
    """
    counts, genes = draw_counts(case), panel()
    rate = counts / genes.length_kb
    tpm = rate / rate.sum() * 1e6
    fpkm = rate / counts.sum() * 1e6
    upper = counts / genes.length_kb / (np.quantile(counts[counts > 0], 0.75) * GENES) * 1e6
    first = case.random(3).binomial(counts, 0.5)
    lines = ["# gene-model: synthetic (napari-gimp), not from a patient", HEADER]
    lines += [f"{name}\t\t\t{n}\t{n}\t{n}\t\t\t" for name, n in _unassigned(int(counts.sum())).items()]
    for k, (identifier, symbol) in enumerate(zip(genes.identifiers, genes.symbols, strict=True)):
        numbers = f"{counts[k]}\t{first[k]}\t{counts[k] - first[k]}\t{tpm[k]:.4f}\t{fpkm[k]:.4f}\t{upper[k]:.4f}"
        lines.append(f"{identifier}\t{symbol}\tprotein_coding\t{numbers}")

    def fill(beside: Path) -> None:
        beside.write_bytes(("\n".join(lines) + "\n").encode())

    write_whole(path, fill)


def _unassigned(total: int) -> dict[str, int]:
    """The four rows of reads that belong to no gene."""
    shares = {"N_unmapped": 0.03, "N_multimapping": 0.06, "N_noFeature": 0.08, "N_ambiguous": 0.02}
    return {name: int(total * share) for name, share in shares.items()}
