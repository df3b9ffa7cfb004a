"""Bag + genes -> Prediction."""

from __future__ import annotations

import platform
from collections.abc import Generator
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from napari_gimp.gimp.checkpoint import LoadedModel
from napari_gimp.gimp.compatible import check_bag
from napari_gimp.gimp.ensemble import EnsembleOutput
from napari_gimp.gimp.explain import gene_attention, gene_groups
from napari_gimp.gimp.model import GiMPOutput, patch_attention
from napari_gimp.gimp.reconstruct import reconstruction_error
from napari_gimp.pipeline.explanations import explain
from napari_gimp.pipeline.notes import bag_notes, training_notes
from napari_gimp.pipeline.pace import Pace
from napari_gimp.settings import InputError
from napari_gimp.types import (
    MODALITIES,
    AlignedGenes,
    Bag,
    CheckpointFacts,
    GeneGroup,
    MapSettings,
    Modality,
    Prediction,
    Progress,
    SlideFacts,
)


def predict(
    bag: Bag,
    facts: SlideFacts,
    loaded: LoadedModel,
    genes: AlignedGenes | None = None,
    maps: MapSettings | None = None,
    group_maps: int = 0,
) -> Generator[Progress, None, Prediction]:
    """GiMP on one bag and, where given, one aligned profile: probabilities, attention, explanations, reconstruction.

    Without a profile the result is image-only and says so.

    Parameters
    ----------
    group_maps
        For so many gene groups, those with most attention, also how each patch's class support hangs on the group.

    Raises
    ------
    InputError
        A bag of another encoder than the checkpoint's, or without coordinates.
    """
    maps = maps or MapSettings()
    notes = (*check_bag(loaded.facts, bag), *training_notes(bag, loaded.facts), *_compare_names(bag, facts))
    yield Progress("GiMP forward pass", 0, 1, "step")
    outputs, prediction = _forward_prediction(bag, facts, loaded, genes)
    yield Progress("GiMP forward pass", 1, 1, "step", grid=prediction.grid)
    prediction = yield from explain(prediction, bag, loaded, genes, outputs, group_maps)
    error = (yield from _reconstruct(bag, loaded, maps)) if loaded.facts.reconstructs else None
    provenance = {
        "checkpoint": loaded.facts.name,
        "checkpoint_id": loaded.id,
        "calibrated": loaded.calibrated,
        "bag": {"fingerprint": bag.fingerprint, **bag.provenance},
        "maps": asdict(maps),
        "versions": versions(),
    }
    notes = (*prediction.notes, *notes)
    return replace(prediction, reconstruction_error=error, notes=notes, provenance=provenance)


def _compare_names(bag: Bag, facts: SlideFacts) -> tuple[str, ...]:
    """A warning where a bag says that it is of another slide: slides of one size are told apart by nothing else."""
    if facts.name in (bag.slide, Path(bag.slide).stem):
        return ()
    return (f"Warning: the embeddings say that they are of slide {bag.slide}, not {facts.name}: is it the same slide?",)


def _reconstruct(bag: Bag, loaded: LoadedModel, maps: MapSettings) -> Generator[Progress, None, np.ndarray]:
    work = reconstruction_error(
        loaded.model, bag.features, bag.cells, repeats=maps.repeats, error=maps.error, seed=maps.seed
    )
    pace: Pace | None = None
    while True:
        try:
            done, total = next(work)
        except StopIteration as end:
            return np.asarray(end.value)
        pace = pace or Pace(total)
        yield Progress("masked reconstruction", done, total, "patches", pace.remaining_s(done))


def forward_prediction(
    bag: Bag, facts: SlideFacts, loaded: LoadedModel, genes: AlignedGenes | None, partial: float = 1.0
) -> Prediction:
    """One forward pass for each modality the inputs allow; nothing more. ``partial``: share of the patches."""
    return _forward_prediction(bag, facts, loaded, genes, partial)[1]


def _forward_prediction(
    bag: Bag, facts: SlideFacts, loaded: LoadedModel, genes: AlignedGenes | None, partial: float = 1.0
) -> tuple[tuple[GiMPOutput, ...], Prediction]:
    """The members' outputs, without what grows with the patches, and what they say."""
    if bag.grid is None:
        raise InputError(f"{bag.slide}: expected coordinates for a map, found a bag without; embed the slide itself.")
    output, probabilities, spread = _forward(bag, loaded, genes)
    attention, attended = output.rows("class_attention"), gene_attention(output.members)
    assert attention is not None  # the bag is there
    slim = tuple(replace(each, projected=None, patch_tokens=None, class_attention=None) for each in output.members)
    return slim, Prediction(
        facts,
        loaded.facts.classes,
        bag.grid,
        probabilities,
        patch_attention(attention)[:, 0].float().cpu().numpy(),
        groups=() if attended is None else _groups(loaded),
        group_attention=None if attended is None else attended[0],
        fragment_attention=None if attended is None else attended[1],
        spread=spread,
        unlike_training=_unlike(bag, loaded),
        missing_yx=bag.missing_yx,
        sample=None if genes is None else genes.sample,
        coverage=None if genes is None else genes.coverage,
        partial=partial,
        synthetic=loaded.facts.synthetic,
        notes=_notes(bag, loaded.facts, genes),
    )


@torch.inference_mode()
def _unlike(bag: Bag, loaded: LoadedModel) -> float | None:
    """Share of the training cases that are nearer to the others than this bag's mean embedding."""
    if loaded.typical is None or not len(bag.features):
        return None
    mean = torch.from_numpy(bag.features.mean(axis=0, dtype=np.float64).astype(np.float32)).to(loaded.model.device)
    return loaded.typical.share_nearer(loaded.model.members[0].standardised(mean).cpu().numpy())


def _groups(loaded: LoadedModel) -> tuple[GeneGroup, ...]:
    return gene_groups(loaded.model.members[0], loaded.facts.genes, loaded.facts.group_names)


@torch.inference_mode()
def _forward(
    bag: Bag, loaded: LoadedModel, genes: AlignedGenes | None
) -> tuple[EnsembleOutput, dict[Modality, Float[np.ndarray, " C"]], Float[np.ndarray, " C"] | None]:
    """What the members say, its probabilities by modality, and their spread (None from a single member)."""
    device = loaded.model.device
    output = loaded.model(
        torch.from_numpy(bag.features)[None].to(device),
        torch.from_numpy(bag.cells)[None].to(device),
        genes=None if genes is None else torch.from_numpy(genes.values)[None].to(device),
    )
    return output, *opinions(output, genes is not None)


def opinions(
    output: EnsembleOutput, has_genes: bool
) -> tuple[dict[Modality, Float[np.ndarray, " C"]], Float[np.ndarray, " C"] | None]:
    """Probabilities by modality of the first case, and their spread over the members (None from a single one)."""
    kept: tuple[Modality, ...] = MODALITIES if has_genes else ("image",)
    probabilities = {name: torch.softmax(output.answers[name][0].float(), 0).cpu().numpy() for name in kept}
    each = output.probabilities("both" if has_genes else "image")[:, 0]
    return probabilities, each.std(0).cpu().numpy() if len(each) > 1 else None


def _notes(bag: Bag, facts: CheckpointFacts, genes: AlignedGenes | None) -> tuple[str, ...]:
    notes = list(genes.notes) if genes is not None else ["No gene profile: the result is image-only."]
    notes += bag_notes(bag, facts.patch_px)
    if not facts.reconstructs:
        notes.append(
            "The checkpoint was not trained to rebuild masked patches: there is no map of how surprising they are."
        )
    if facts.synthetic:
        notes.append(f"The checkpoint was trained on {facts.synthetic} cases: it says nothing about real patients.")
    return tuple(notes)


def versions() -> dict[str, str]:
    """Versions of what a result depends on."""
    packages = ("napari-gimp", "torch", "numpy", "zarr", "tiffslide")
    return {"python": platform.python_version()} | {name: version(name) for name in packages}
