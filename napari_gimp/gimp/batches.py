"""Samples -> padded tensors, and the order in which training sees them. Every draw comes from the given generator."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from napari_gimp.types import Modality, Sample

Places = Int[np.ndarray, " n"]


@dataclass(frozen=True, eq=False)
class Batch:
    """B cases, padded to the longest bag. ``padding`` is True where a patch is not real.

    Parameters
    ----------
    embeddings, cells, padding
        None where no case of the batch has patches.
    genes
        (B, G) working scale, NaN = missing; None where no case of the batch has a profile.
    has_image, has_genes
        Which cases have which input.
    labels
        Class index, -1 where unknown.
    """

    embeddings: Float[Tensor, "B N D"] | None
    cells: Int[Tensor, "B N 2"] | None
    padding: Bool[Tensor, "B N"] | None
    genes: Float[Tensor, "B G"] | None
    has_image: Bool[Tensor, " B"]
    has_genes: Bool[Tensor, " B"]
    labels: Int[Tensor, " B"]

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def inputs(self) -> tuple[Tensor | None, ...]:
        """What the model's forward pass takes, nothing masked."""
        return self.embeddings, self.cells, self.padding, self.genes, None, self.has_image, self.has_genes

    def to(self, device: torch.device) -> Batch:
        """The same batch on a device."""
        moved: dict[str, Any] = {name: None if x is None else x.to(device) for name, x in vars(self).items()}
        return Batch(**moved)


def pad_samples(
    samples: Sequence[Sample],
    modality: Modality = "both",
    choose: Callable[[int], Places] | None = None,
) -> Batch:
    """Samples -> batch; with a single modality the other input is left out.

    Parameters
    ----------
    choose
        Number of patches N -> indices of those to take, in the order to take them; all by default.
    """
    images = [None if modality == "genes" else _patches(sample, choose) for sample in samples]
    profiles = [None if modality == "image" else sample.expression for sample in samples]
    labels = torch.tensor([-1 if sample.label is None else sample.label for sample in samples])
    return Batch(
        *_pad(images),
        _stack(profiles),
        torch.tensor([image is not None for image in images]),
        torch.tensor([profile is not None for profile in profiles]),
        labels,
    )


def _patches(sample: Sample, choose: Callable[[int], Places] | None) -> tuple[Tensor, Tensor] | None:
    if sample.embeddings is None or sample.cells is None:
        return None
    embeddings, cells = sample.embeddings, sample.cells
    if choose is not None:
        taken = choose(len(embeddings))
        embeddings, cells = embeddings[taken], cells[taken]
    return torch.from_numpy(embeddings), torch.from_numpy(cells)


def _pad(images: Sequence[tuple[Tensor, Tensor] | None]) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    present = [image for image in images if image is not None]
    if not present:
        return None, None, None
    longest, width = max(len(e) for e, _ in present), present[0][0].shape[1]
    embeddings = torch.zeros(len(images), longest, width)
    cells = torch.zeros(len(images), longest, 2, dtype=torch.int64)
    padding = torch.ones(len(images), longest, dtype=torch.bool)
    for b, image in enumerate(images):
        if image is not None:
            n = len(image[0])
            embeddings[b, :n], cells[b, :n], padding[b, :n] = image[0], image[1], False
    return embeddings, cells, padding


def _stack(profiles: Sequence[Float[np.ndarray, " G"] | None]) -> Float[Tensor, "B G"] | None:
    present = [profile for profile in profiles if profile is not None]
    if not present:
        return None
    missing = np.full_like(present[0], np.nan)
    return torch.from_numpy(np.stack([missing if profile is None else profile for profile in profiles]))


def epoch_batches(
    labels: Places,
    batch_size: int,
    generator: torch.Generator,
    weights: Float[np.ndarray, " n"] | None = None,
    balance: bool = True,
) -> Iterator[list[int]]:
    """One epoch of index lists: as many draws as there are cases, in batches.

    With ``weights`` each draw takes a case with that chance, again and again; else every class is drawn equally
    often, or with ``balance`` off every case once.
    """
    if weights is None and balance:
        yield from balanced_batches(labels, batch_size, generator)
        return
    if weights is None:
        order = torch.randperm(len(labels), generator=generator)
    else:
        chances = torch.from_numpy(weights.astype(np.float64))
        order = torch.multinomial(chances, len(labels), replacement=True, generator=generator)
    for start in range(0, len(order), batch_size):
        yield order[start : start + batch_size].tolist()


def sampling_weights(types: Places, sites: Places) -> Float[np.ndarray, " n"]:
    """n_type^-1/2 (n_site,type / n_type)^-1/2 of each case: neither a type nor a site rules (METHOD section 9)."""
    pairs = np.stack([types, sites], axis=1)
    of_type = np.unique(types, return_inverse=True, return_counts=True)
    of_pair = np.unique(pairs, axis=0, return_inverse=True, return_counts=True)
    n_type, n_pair = (found[2][found[1].ravel()].astype(np.float64) for found in (of_type, of_pair))
    weights: Float[np.ndarray, " n"] = n_type**-0.5 * (n_pair / n_type) ** -0.5
    return weights


def balanced_batches(labels: Places, batch_size: int, generator: torch.Generator) -> Iterator[list[int]]:
    """One epoch of index lists in which every class is drawn equally often, the rarer ones more than once.

    Every batch but a last, shorter one has ``batch_size`` cases; an epoch has as many as there are cases.
    """
    queues = [_endless(np.flatnonzero(labels == k), generator) for k in np.unique(labels)]
    turns = [int(k) for k in torch.randperm(len(queues), generator=generator)]
    order = [next(queues[turns[i % len(turns)]]) for i in range(len(labels))]
    for start in range(0, len(order), batch_size):
        yield order[start : start + batch_size]


def _endless(members: Places, generator: torch.Generator) -> Iterator[int]:
    while True:
        for place in torch.randperm(len(members), generator=generator).tolist():
            yield int(members[place])


def random_patches(limit: int | None, generator: torch.Generator) -> Callable[[int], Places]:
    """A choice of at most ``limit`` random patches in scan order (None: all)."""

    def choose(patches: int) -> Places:
        if limit is None or patches <= limit:
            return np.arange(patches)
        return np.sort(torch.randperm(patches, generator=generator)[:limit].numpy())

    return choose


def drop_modalities(batch: Batch, share: float, generator: torch.Generator) -> Batch:
    """Hide one input, image or genes with equal chance, of this share of the cases that have both."""
    both = (batch.has_image & batch.has_genes).cpu()
    dropped = both & (torch.rand(len(batch), generator=generator) < share)
    image = torch.rand(len(batch), generator=generator) < 0.5
    device = batch.has_image.device
    return replace(
        batch,
        has_image=batch.has_image & ~(dropped & image).to(device),
        has_genes=batch.has_genes & ~(dropped & ~image).to(device),
    )


def symmetric_beta(shape: float, count: int, generator: torch.Generator) -> Float[Tensor, " n"]:
    """Draws from Beta(shape, shape)."""
    seed = int(torch.randint(2**62, (), generator=generator))
    drawn = np.random.default_rng(seed).beta(shape, shape, count)
    return torch.from_numpy(drawn.astype(np.float32))


def grouped_batches(
    groups: Places, weights: Float[np.ndarray, " n"], batch_size: int, group_size: int, generator: torch.Generator
) -> Iterator[list[int]]:
    """One epoch of index lists: up to ``group_size`` cases of each of several groups, no case twice in a batch.

    A smaller group is drawn whole. Groups are drawn such that a case comes as often as its weight says, whatever the
    size of its group, as far as there are more groups than a batch holds; where there are fewer, they give more cases.
    """
    members = [m for m in (np.flatnonzero(groups == group) for group in np.unique(groups)) if weights[m].sum() > 0]
    chances = torch.tensor(
        [float(weights[m].sum()) * max(1.0, group_size / len(m)) for m in members], dtype=torch.float64
    )
    for _ in range(-(-len(groups) // batch_size)):
        drawn = torch.multinomial(chances, len(members), generator=generator).tolist()
        yield list(islice(_in_turns([members[k] for k in drawn], group_size, generator), batch_size))


def large_groups(labels: Places, groups: Places, group_size: int) -> tuple[int, int, int]:
    """How many groups there are, how many have ``group_size`` cases, and of how many classes the latter are."""
    counts = np.unique(groups, return_inverse=True, return_counts=True)
    large = counts[2] >= group_size
    return len(large), int(large.sum()), len(np.unique(labels[large[counts[1].ravel()]]))


def _in_turns(groups: Sequence[Int[np.ndarray, " _"]], group_size: int, generator: torch.Generator) -> Iterator[int]:
    """Random cases of each group, then more of each, until all were named."""
    left: list[list[int]] = []
    for members in groups:
        mixed = members[torch.randperm(len(members), generator=generator).numpy()].tolist()
        yield from mixed[:group_size]
        left.append(mixed[group_size:])
    while any(left):
        for rest in left:
            yield from rest[:group_size]
        left = [rest[group_size:] for rest in left]
