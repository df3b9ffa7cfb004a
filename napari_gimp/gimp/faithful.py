"""Do explanations say what the model uses? Deleting what they point at, and randomising the weights behind them.

Deletion (Samek et al. 2017, arXiv 1509.06321): without the patches or genes that matter the answer falls faster than
without random ones. Randomised weights (Adebayo et al., NeurIPS 2018, arXiv 1810.03292): a map that stays the same does
not show what was learned.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.stats import rankdata
from torch import Tensor

from napari_gimp.gimp.attribution import GeneSide
from napari_gimp.gimp.model import GiMP
from napari_gimp.gimp.output import GiMPOutput, patch_attention
from napari_gimp.types import Sample

SHARES = (0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
"""Shares of the patches or genes that are deleted; the first is the whole case."""


def outputs_of(members: Sequence[GiMP], sample: Sample) -> tuple[GiMPOutput, ...]:
    """Forward pass of every member over one case."""
    device = members[0].device
    inputs = {"embeddings": sample.embeddings, "cells": sample.cells, "genes": sample.expression}
    if not members[0].genes:
        inputs["genes"] = None
    given = {
        name: torch.from_numpy(np.ascontiguousarray(values)).to(device)[None]
        for name, values in inputs.items()
        if values is not None
    }
    with torch.inference_mode():
        return tuple(member(**given) for member in members)


def logits_of(outputs: Sequence[GiMPOutput]) -> Float[np.ndarray, " C"]:
    """Mean over the members."""
    found: np.ndarray = torch.stack([out.logits[0] for out in outputs]).double().mean(0).cpu().numpy()
    return found


def attention_of(outputs: Sequence[GiMPOutput]) -> Float[np.ndarray, " N"]:
    """The attention map: last layer, mean over heads and members."""
    rows = [patch_attention(out.class_attention[-1, 0]) for out in outputs if out.class_attention is not None]
    found: np.ndarray = torch.stack(rows).float().mean((0, 1)).cpu().numpy()
    return found


def without_patches(
    members: Sequence[GiMP], sample: Sample, order: Int[np.ndarray, " N"], shares: Sequence[float] = SHARES
) -> Float[np.ndarray, "S C"]:
    """Logits when the first patches of an order are taken out of the bag, a share at a time; one always stays."""
    assert sample.embeddings is not None
    assert sample.cells is not None
    rows = []
    for share in shares:
        kept = np.sort(order[min(round(share * len(order)), len(order) - 1) :])
        rest = Sample(sample.case_id, sample.embeddings[kept], sample.cells[kept], sample.expression, sample.label)
        rows.append(logits_of(outputs_of(members, rest)))
    return np.stack(rows)


def without_genes(
    sides: Sequence[GeneSide], order: Int[np.ndarray, " g"], shares: Sequence[float] = SHARES
) -> Float[np.ndarray, "S C"]:
    """Logits when the first genes of an order are set to the cohort mean, a share at a time; the image stays."""
    keep = np.ones((len(shares), sides[0].z.shape[0]))
    for row, share in zip(keep, shares, strict=True):
        row[order[: round(share * len(order))]] = 0
    with torch.no_grad():
        logits = [side.logits(torch.from_numpy(keep).to(side.z) * side.z).cpu() for side in sides]
    found: np.ndarray = torch.stack(logits).mean(0).numpy()
    return found


def log_odds(logits: Float[np.ndarray, "*S C"], target: int) -> Float[np.ndarray, "*S"]:
    """log p / (1 - p) of a class: what counts are differences, also where the probability is nearly 1."""
    others = np.delete(logits, target, axis=-1)
    top = others.max(axis=-1, keepdims=True)
    return np.asarray(logits[..., target] - top[..., 0] - np.log(np.exp(others - top).sum(axis=-1)))


# --- randomised weights ---------------------------------------------------------------------------------------------


def cascade(member: GiMP) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Steps from the head down to everything: a name, and the beginnings of the parameters that are random by then."""
    random: tuple[str, ...] = ("classifier.", "absent_")
    yield "head", random
    random = (*random, "gene_encoder.", "aggregator.norm.")
    for k in reversed(range(len(member.aggregator.blocks))):
        random = (*random, f"aggregator.blocks.{k}.")
        yield f"and block {k + 1}", random
    yield "everything", ("",)


def randomised(member: GiMP, seed: int, beginnings: Sequence[str] = ("",)) -> GiMP:
    """The model with new weights, as before training, where a parameter's name begins so; scaling stays."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        fresh = GiMP(
            member.config,
            embedding_dim=member.embedding_dim,
            genes=member.genes,
            classes=member.classes,
            gene_table=member.state_dict().get("gene_encoder.table"),
        )
    fresh = fresh.to(member.device)
    trained: dict[str, Tensor] = dict(member.named_parameters())
    with torch.no_grad():
        for name, parameter in fresh.named_parameters():
            if not name.startswith(tuple(beginnings)):
                parameter.copy_(trained[name])
        for buffer, value in zip(fresh.buffers(), member.buffers(), strict=True):
            buffer.copy_(value)
    return fresh.eval()


def rank_correlation(a: Float[np.ndarray, " n"], b: Float[np.ndarray, " n"]) -> float:
    """Spearman's; NaN where one side is constant."""
    ranks = np.stack([rankdata(a), rankdata(b)])
    spread = ranks.std(axis=1)
    if not spread.all():
        return float("nan")
    centred = ranks - ranks.mean(axis=1, keepdims=True)
    return float((centred[0] * centred[1]).mean() / spread.prod())
