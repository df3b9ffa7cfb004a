"""Why a trained model answers as it does (METHOD section 8): class support of patches, attribution of genes.

Every function takes the members of a model (one GiMP or several seeds) and gives the mean over them, as the logits are.
Genes enter as their standardised values, whose 0 is the cohort mean: a missing gene (NaN) stands there and gets 0.

Class support is gradient x input of a class logit at the projected patch tokens, with the gradient of conservative.py.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from napari_gimp.gimp.attribution import GeneAttribution as GeneAttribution
from napari_gimp.gimp.attribution import gene_attribution as gene_attribution
from napari_gimp.gimp.conservative import Rule, differentiable
from napari_gimp.gimp.gene_encoder import GeneEncoder
from napari_gimp.gimp.model import GiMP
from napari_gimp.gimp.output import GiMPOutput
from napari_gimp.settings import InputError
from napari_gimp.types import GeneGroup

# --- patches --------------------------------------------------------------------------------------------------------


def class_support(
    members: Sequence[GiMP],
    embeddings: Float[np.ndarray, "N D"],
    cells: Int[np.ndarray, "N 2"],
    genes: Float[np.ndarray, " G"] | None = None,
    *,
    rule: Rule = "conservative",
) -> Float[np.ndarray, "C N"]:
    """Signed support of each patch for each class, (C, N) float32: gradient x input at the projected patch tokens.

    It depends on the genes as far as the head lets them meet the image. One forward pass and one backward pass per
    class and member. Memory grows linearly with N; in large bags the inside of blocks is computed again, not kept.

    Parameters
    ----------
    embeddings, cells
        Raw embeddings of the whole bag, grid row and column of each patch.
    genes
        Aligned expression, NaN where a gene is missing; None: image alone.
    rule
        ``plain``: the gradient as it is, to compare with.
    """
    return _average([_support(member, embeddings, cells, genes, rule) for member in members])


def group_support(
    members: Sequence[GiMP],
    embeddings: Float[np.ndarray, "N D"],
    cells: Int[np.ndarray, "N 2"],
    genes: Float[np.ndarray, " G"],
    group: int,
) -> Float[np.ndarray, "C N"]:
    """How the class support of each patch changes when the genes of a group are set to the cohort mean, (C, N).

    A gene that stands in several groups is set in all of them. With logits that are only added (``fusion="sum"``)
    genes never change what a patch supports: the change is 0.

    Raises
    ------
    InputError
        No such gene group.
    """
    changes = []
    for member in members:
        before = _support(member, embeddings, cells, genes, "conservative")
        changes.append(_support(member, embeddings, cells, _at_mean(member, genes, group), "conservative") - before)
    return _average(changes)


def _support(
    member: GiMP,
    embeddings: Float[np.ndarray, "N D"],
    cells: Int[np.ndarray, "N 2"],
    genes: Float[np.ndarray, " G"] | None,
    rule: Rule,
) -> Float[np.ndarray, "C N"]:
    model = differentiable(member, rule, len(embeddings))
    bag, places = _batch(embeddings, member), _batch(cells, member)
    with torch.enable_grad():
        output = model(bag, places, genes=None if genes is None else _batch(genes, member))
        rows = [_gradient_x_input(logit, output.projected) for logit in output.logits[0]]
    found: np.ndarray = torch.stack(rows).float().cpu().numpy()
    return found


def _average(maps: Sequence[Float[np.ndarray, "C N"]]) -> Float[np.ndarray, "C N"]:
    average: np.ndarray = np.stack(maps).mean(axis=0, dtype=np.float32)
    return average


def _batch(values: np.ndarray, member: GiMP) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values)).to(member.device)[None]


def _gradient_x_input(logit: Float[Tensor, ""], projected: Float[Tensor, "1 N d"]) -> Float[Tensor, " N"]:
    (gradient,) = torch.autograd.grad(logit, projected, retain_graph=True)
    support: Tensor = torch.einsum("bnd,bnd->bn", gradient, projected.detach())[0]
    return support


def _at_mean(member: GiMP, genes: Float[np.ndarray, " G"], group: int) -> Float[np.ndarray, " G"]:
    encoder = member.gene_encoder
    if not isinstance(encoder, GeneEncoder) or not 0 <= group < len(encoder.table):
        count = len(encoder.table) if isinstance(encoder, GeneEncoder) else 0
        raise InputError(f"Expected one of the model's {count} gene groups, found group {group}.")
    index = encoder.table[group].flatten().cpu().numpy()
    changed, mean = genes.copy(), member.gene_scaling.mean.cpu().numpy()
    index = index[index < len(genes)]
    changed[index] = mean[index].astype(genes.dtype)
    return changed


# --- attention to genes ---------------------------------------------------------------------------------------------


def gene_groups(member: GiMP, genes: Sequence[str], names: Sequence[str] = ()) -> tuple[GeneGroup, ...]:
    """The model's gene groups with the names of their genes, fragment by fragment; none without GroupMSA.

    Parameters
    ----------
    genes
        The model's gene list.
    names
        Names of the groups (pathways); numbers stand in for them.
    """
    if not isinstance(member.gene_encoder, GeneEncoder):
        return ()
    table = member.gene_encoder.table.tolist()
    called = names or [f"group {k}" for k in range(1, len(table) + 1)]
    return tuple(
        GeneGroup(name, tuple(tuple(genes[g] for g in fragment if g < len(genes)) for fragment in group))
        for name, group in zip(called, table, strict=True)
    )


def gene_attention(
    outputs: Sequence[GiMPOutput],
) -> tuple[Float[np.ndarray, " K"], Float[np.ndarray, "K F"]] | None:
    """Attention of CLS_ge to the groups, and to each group's fragments: (K,), and (K, F) where rows add up to (K,).

    Last layers, mean over heads and members. A group attends to its own token too and CLS_ge to itself: shares among
    groups, and among the fragments of a group, are taken of the rest. None without a profile or without GroupMSA.
    """
    rows = [(out.group_attention, out.fragment_attention) for out in outputs]
    if any(group is None or fragment is None for group, fragment in rows):
        return None
    groups = _mean([_shares(group[0].float()).mean(0) for group, _ in rows if group is not None])
    fragments = _mean([_shares(fragment[0].float()).mean(1) for _, fragment in rows if fragment is not None])
    return groups.numpy(), (groups[:, None] * fragments).numpy()


def _mean(tensors: Sequence[Tensor]) -> Tensor:
    return torch.stack([tensor.detach().cpu() for tensor in tensors]).mean(0)


def _shares(rows: Float[Tensor, "*B n"]) -> Float[Tensor, "*B n"]:
    return rows / rows.sum(-1, keepdim=True).clamp(min=torch.finfo(rows.dtype).tiny)
