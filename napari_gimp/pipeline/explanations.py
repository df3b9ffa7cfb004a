"""Why the model says so: class support of the patches, attribution of the genes, and how the two hang together."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float, Int

from napari_gimp.gimp.checkpoint import LoadedModel
from napari_gimp.gimp.explain import class_support, gene_attribution, group_support
from napari_gimp.gimp.output import GiMPOutput
from napari_gimp.types import AlignedGenes, Bag, Prediction, Progress


def explain(
    prediction: Prediction,
    bag: Bag,
    loaded: LoadedModel,
    genes: AlignedGenes | None,
    outputs: Sequence[GiMPOutput],
    group_maps: int = 0,
) -> Generator[Progress, None, Prediction]:
    """The prediction with class support and, with a profile, gene attribution and the maps of ``group_maps`` groups.

    Parameters
    ----------
    outputs
        The members' forward pass over the bag.
    """
    prediction = replace(prediction, class_support=(yield from support(bag, loaded, genes)))
    if genes is None or not loaded.model.genes:
        return prediction
    yield Progress("gene attribution", 0, 1, "step")
    found = gene_attribution(loaded.model.members, genes.values, outputs)
    yield Progress("gene attribution", 1, 1, "step")
    maps = yield from _group_maps(prediction, bag, loaded, genes, group_maps)
    return replace(
        prediction,
        genes=loaded.facts.genes,
        expression=genes.values,
        gene_z=found.z,
        gene_attribution=found.values,
        attribution_error=found.error,
        group_support=maps,
    )


def support(
    bag: Bag, loaded: LoadedModel, genes: AlignedGenes | None, cells: Int[np.ndarray, "N 2"] | None = None
) -> Generator[Progress, None, Float[np.ndarray, "C N"]]:
    """Class support member by member, so that long work can be left in between; ``cells`` instead of the bag's."""
    members, supports, cells = loaded.model.members, [], bag.cells if cells is None else cells
    for done, member in enumerate(members):
        yield Progress("class support", done, len(members), "members")
        supports.append(class_support([member], bag.features, cells, None if genes is None else genes.values))
    yield Progress("class support", len(members), len(members), "members")
    average: np.ndarray = np.stack(supports).mean(axis=0)
    return average


def _group_maps(
    prediction: Prediction, bag: Bag, loaded: LoadedModel, genes: AlignedGenes, count: int
) -> Generator[Progress, None, dict[str, Float[np.ndarray, "C N"]]]:
    """The groups with most attention first."""
    attention = np.empty(0) if prediction.group_attention is None else prediction.group_attention
    chosen = np.argsort(-attention, kind="stable")[:count].tolist()
    maps = {}
    for done, group in enumerate(chosen):
        yield Progress("gene groups and patches", done, len(chosen), "groups")
        name = prediction.groups[group].name
        maps[name] = group_support(loaded.model.members, bag.features, bag.cells, genes.values, group)
    return maps
