"""Integrated gradients of the class logits per gene, from the cohort mean to a profile, as exact as is asked for."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from napari_gimp.gimp.heads import Branch, ConcatHead, SumHead
from napari_gimp.gimp.model import GiMP
from napari_gimp.gimp.output import GiMPOutput

TOLERANCE = 0.01
"""Completeness error allowed, as a share of the logit difference."""
LEAST_DIFFERENCE = 0.01
"""A class whose logit moves by less is held to a share of this: its own difference is hardly more than rounding."""
MOST_STEPS = 2048
NODES = 8
"""Steps in a stretch of the path: Gauss-Legendre, exact for polynomials up to degree 15."""


@dataclass(frozen=True, eq=False)
class GeneAttribution:
    """Integrated gradients of the class logits along the straight way from the cohort mean to a profile.

    Parameters
    ----------
    values
        (C, G): what each gene adds to each class logit; 0 for a gene that is missing.
    z
        (G,) standardised expression, where the way ends (mean over the members).
    difference
        (C,) logits of the profile less those of the cohort mean: what the values should add up to.
    error
        (C,) what is missing to that, as a share of it; or of the class's difference against the other classes, where
        that share is larger.
    steps
        Points of the way at which gradients were taken.
    """

    values: Float[np.ndarray, "C G"]
    z: Float[np.ndarray, " G"]
    difference: Float[np.ndarray, " C"]
    error: Float[np.ndarray, " C"]
    steps: int


def gene_attribution(
    members: Sequence[GiMP],
    genes: Float[np.ndarray, " G"],
    outputs: Sequence[GiMPOutput] | None = None,
    *,
    tolerance: float = TOLERANCE,
    most_steps: int = MOST_STEPS,
) -> GeneAttribution:
    """Integrated gradients (Sundararajan et al., ICML 2017, arXiv 1703.01365) per class and gene, the image held fixed.

    The stretch of the way whose gradients are furthest from adding up to its change of the logits is halved, again and
    again, so that steps gather where the model bends.

    Parameters
    ----------
    genes
        Aligned expression (G,), NaN where a gene is missing.
    outputs
        The members' forward pass over the image of the case; None: genes alone.
    tolerance
        Completeness error to reach, as a share of the logit difference.
    most_steps
        Where to stop halving; the error that is left is in the result.
    """
    sides = [GeneSide.of(m, genes, None if outputs is None else outputs[i]) for i, m in enumerate(members)]
    difference = _mean([side.logits(side.z[None]) - side.logits(0 * side.z[None]) for side in sides])[0]
    scale = _and_against_others(difference).abs().clamp(min=LEAST_DIFFERENCE)
    stretches = [_stretch(sides, 0.0, 1.0)]
    steps = NODES
    while _is_off(stretches, tolerance * scale) and steps + 2 * NODES <= most_steps:
        worst = stretches.pop(int(np.argmax([float((each.off / scale).max()) for each in stretches])))
        middle = (worst.start + worst.end) / 2
        stretches += [_stretch(sides, worst.start, middle), _stretch(sides, middle, worst.end)]
        steps += 2 * NODES
    values = torch.stack([each.part for each in stretches]).sum(0)
    error = (_and_against_others(values.sum(1) - difference).abs() / scale).amax(0)
    z = _mean([side.z for side in sides])
    return GeneAttribution(values.numpy(), z.numpy(), difference.numpy(), error.numpy(), steps)


@dataclass(frozen=True, eq=False)
class _Stretch:
    """A stretch of the way: what its gradients say that each gene adds (C, G), and how far off that is (2, C)."""

    start: float
    end: float
    part: Float[Tensor, "C G"]
    off: Float[Tensor, "2 C"]


def _is_off(stretches: Sequence[_Stretch], allowed: Float[Tensor, "2 C"]) -> bool:
    return bool((torch.stack([each.off for each in stretches]).sum(0) > allowed).any())


def _stretch(sides: Sequence[GeneSide], start: float, end: float) -> _Stretch:
    part, change = (_mean(found) for found in zip(*(side.stretch(start, end) for side in sides), strict=True))
    return _Stretch(start, end, part, _and_against_others(part.sum(1) - change).abs())


def _and_against_others(logits: Float[Tensor, " C"]) -> Float[Tensor, "2 C"]:
    """Each class's logit, and what it is more than the mean of the others."""
    others = (logits.sum() - logits) / max(1, len(logits) - 1)
    return torch.stack([logits, logits - others])


def _mean(tensors: Sequence[Tensor]) -> Tensor:
    return torch.stack([tensor.detach().cpu() for tensor in tensors]).mean(0)


@dataclass(frozen=True, eq=False)
class GeneSide:
    """The gene side of one member in float64, the image held fixed; ``z`` is the standardised profile of a case."""

    encoder: nn.Module
    head: ConcatHead | SumHead
    z: Float[Tensor, " G"]
    image: Branch
    absent: Float[Tensor, " d"]

    @classmethod
    def of(cls, member: GiMP, genes: Float[np.ndarray, " G"], output: GiMPOutput | None) -> GeneSide:
        """The image's class token is taken over as it is."""
        device = "cpu" if member.device.type == "mps" else member.device  # mps has no float64
        assert member.gene_encoder is not None  # the model knows genes
        encoder = copy.deepcopy(member.gene_encoder).requires_grad_(False)
        head = copy.deepcopy(member.classifier).requires_grad_(False)
        absent_image, absent_genes = (
            t.detach().to(device).double() for t in (member.absent_image, member.absent_genes)
        )
        token, present = absent_image[None], torch.zeros(1, dtype=torch.bool, device=device)
        if output is not None:
            token, present = output.cls_image[:1].detach().to(device).double(), output.has_image[:1].to(device)
        with torch.no_grad():
            z = member.gene_scaling(torch.from_numpy(genes.astype(np.float32)).to(member.device)).to(device).double()
        image = Branch(token, present, absent_image)
        return cls(encoder.to(device).double(), head.to(device).double(), z, image, absent_genes)

    def logits(self, points: Float[Tensor, "P G"]) -> Float[Tensor, "P C"]:
        """Logits of standardised profiles beside the image."""
        count = len(points)
        here = torch.ones(count, dtype=torch.bool, device=points.device)
        genes = Branch(self.encoder(points).cls, here, self.absent)
        image = Branch(self.image.cls.expand(count, -1), self.image.present.expand(count), self.image.absent)
        return self.head.answers(image, genes, points)["both"]

    def stretch(self, start: float, end: float) -> tuple[Float[Tensor, "C G"], Float[Tensor, " C"]]:
        """What each gene adds between two shares of ``z``, by its gradients, and what the logits change by."""
        nodes, weights = np.polynomial.legendre.leggauss(NODES)
        places = torch.from_numpy(np.concatenate([[-1], nodes, [1]]) + 1).to(self.z) / 2 * (end - start) + start
        weight = torch.from_numpy(np.concatenate([[0], weights, [0]])).to(self.z) / 2 * (end - start)
        with torch.enable_grad():
            points = (places[:, None] * self.z).requires_grad_()
            logits = self.logits(points)
            sums = (weight[:, None] * logits).sum(0)
            found = [torch.autograd.grad(each, points, retain_graph=True)[0].sum(0) * self.z for each in sums]
        return torch.stack(found), logits[-1] - logits[0]
