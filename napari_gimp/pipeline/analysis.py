"""Slide + checkpoint + profile -> Prediction: the whole main job."""

from __future__ import annotations

import time
from collections.abc import Generator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from napari_gimp.bags import bag_fingerprint, find_bag, read_bag
from napari_gimp.bundled import cache_folder
from napari_gimp.encoders.devices import choose_device
from napari_gimp.encoders.load import encoder_names, load_encoder
from napari_gimp.genes import align, choose_sample, read_expression
from napari_gimp.gimp.checkpoint import LoadedModel, load_model
from napari_gimp.gimp.compatible import check_encoder
from napari_gimp.pipeline.cache import cached_bag, mark_used
from napari_gimp.pipeline.embedding import embed, tissue_key
from napari_gimp.pipeline.prediction import forward_prediction, predict
from napari_gimp.settings import InputError
from napari_gimp.slides import Slide
from napari_gimp.slides.tissue import TissueSettings
from napari_gimp.types import (
    AlignedGenes,
    Bag,
    CheckpointFacts,
    MapSettings,
    PatchSpec,
    Prediction,
    Profile,
    Progress,
    Scale,
    SlideFacts,
    Tissue,
)


@dataclass(frozen=True)
class Analysis:
    """What a user chose for one run: everything but the slide, the profile and a drawn tissue mask.

    ``encoder``: the checkpoint's own by default. ``bag``: a ready bag of the slide instead of embedding. Size and
    resolution of the patches are the checkpoint's, the encoder's where it names none; ``stride`` and ``min_tissue`` are
    those of :class:`~napari_gimp.types.PatchSpec`.
    """

    checkpoint: Path
    encoder: str | None = None
    weights: Path | None = None
    device: str = "auto"
    batch_size: int | None = None
    bag: Path | None = None
    cache: Path | None = None
    stride: float = 1.0
    min_tissue: float = 0.25
    tissue: TissueSettings = field(default_factory=TissueSettings)
    maps: MapSettings = field(default_factory=MapSettings)


def analyse(
    slide: Slide, plan: Analysis, *, profile: Profile | None = None, drawn: Tissue | None = None
) -> Generator[Progress, None, Prediction]:
    """Slide -> Prediction: the whole main job, with the tissue at once and partial maps while it embeds.

    Parameters
    ----------
    profile
        The patient's expression as read; aligned here to the checkpoint's genes.
    drawn
        The user's own tissue mask.

    Raises
    ------
    InputError
        Whatever does not fit together, before any long work begins where that can be known.
    """
    began = time.monotonic()
    prepared = yield from prepare(slide, plan, profile=profile, drawn=drawn)
    embedded = time.monotonic()
    prediction = yield from predict(prepared.bag, prepared.facts, prepared.loaded, prepared.genes, plan.maps)
    seconds = {"embedding": embedded - began, "prediction": time.monotonic() - embedded}
    return replace(
        prediction, provenance={**prediction.provenance, **_record(plan, prepared.loaded, profile), "seconds": seconds}
    )


@dataclass(frozen=True, eq=False)
class Prepared:
    """Everything that a prediction of a slide is made from; ``genes`` is None without a profile."""

    facts: SlideFacts
    loaded: LoadedModel
    bag: Bag
    genes: AlignedGenes | None = None


def prepare(
    slide: Slide, plan: Analysis, *, profile: Profile | None = None, drawn: Tissue | None = None
) -> Generator[Progress, None, Prepared]:
    """Slide -> model, embeddings and aligned genes; a slide whose embeddings are stored is not read again.

    Parameters and errors as of `analyse`.
    """
    yield Progress("loading the model", 0, 1, "step")
    loaded = load_model(plan.checkpoint, str(choose_device(plan.device)))
    genes = _aligned(profile, loaded.facts)
    yield Progress("loading the model", 1, 1, "step")
    if plan.bag is not None:
        bag = read_bag(plan.bag, slide.facts)
    else:
        bag = yield from _embed_for(slide, plan, loaded, genes, drawn)
    return Prepared(slide.facts, loaded, bag, genes)


def _record(plan: Analysis, loaded: LoadedModel, profile: Profile | None) -> dict[str, Any]:
    """What was chosen for a run beside what its bag and its maps say."""
    chosen = {
        "device": str(loaded.model.device),
        "batch_size": plan.batch_size,
        "ready_bag": None if plan.bag is None else plan.bag.name,
    }
    genes = None if profile is None else {"sample": profile.sample, "source": profile.source, "scale": profile.scale}
    return {"chosen": chosen, "profile": genes}


def _aligned(profile: Profile | None, facts: CheckpointFacts) -> AlignedGenes | None:
    if profile is None:
        return None
    if not facts.genes or facts.expression_scale is None:
        raise InputError(f"Checkpoint {facts.name} was trained on images alone: leave the gene profile out.")
    return align(profile, facts.genes, facts.expression_scale)


def _embed_for(
    slide: Slide, plan: Analysis, loaded: LoadedModel, genes: AlignedGenes | None, drawn: Tissue | None
) -> Generator[Progress, None, Bag]:
    facts = loaded.facts
    encoder = load_encoder(
        plan.encoder or _encoder_name(facts), weights=plan.weights, device=plan.device, batch_size=plan.batch_size
    )
    check_encoder(facts, encoder.id)
    size = facts.patch_px or encoder.patch_px, facts.patch_mpp or encoder.patch_mpp
    spec = PatchSpec(*size, plan.stride, plan.min_tissue)
    mark = bag_fingerprint(slide.facts, spec, tissue_key(plan.tissue, drawn), encoder.id)
    out = cached_bag(plan.cache or cache_folder() / "bags", encoder.id, slide.facts.name, mark)
    is_damaged = out.exists() and find_bag(out, mark) is None  # its name says that it was made with these settings
    mark_used(out)

    def preview(so_far: Bag, share: float) -> Prediction:
        return forward_prediction(so_far, slide.facts, loaded, genes, share)

    return (
        yield from embed(
            slide,
            encoder,
            out,
            spec=spec,
            tissue_settings=plan.tissue,
            drawn=drawn,
            preview=preview,
            preview_s=plan.maps.preview_s,
            overwrite=is_damaged,
        )
    )


def _encoder_name(facts: CheckpointFacts) -> str:
    """The encoder without a file of its own that a checkpoint names."""
    for name in encoder_names():
        if (facts.encoder or "").startswith(f"{name}-"):
            return name
    raise InputError(
        f"Checkpoint {facts.name} was trained with encoder {facts.encoder or 'unnamed'}: expected that encoder's .onnx"
        " file or hub:NAME, found none; give it with --encoder, or in the panel under Encoder and"
        " embeddings."
    )


def read_profile(
    path: Path,
    slide_name: str,
    sample: str | None = None,
    *,
    scale: Scale | None = None,
    gene_map: Path | None = None,
) -> Profile:
    """The sample of an expression file that belongs to a slide (or is named), its notes with those of the match.

    Parameters
    ----------
    scale
        The file's scale as the user declares it; None finds it out.
    gene_map
        A table of identifier and symbol, for a file that names its genes otherwise than the checkpoint.

    Raises
    ------
    InputError
        Not an expression file, or no (or no single) sample of this slide in it.
    """
    table = read_expression(path, scale=scale, gene_map=gene_map)
    match = choose_sample(table, slide_name, sample)
    profile = table.profile(match.sample)
    return replace(profile, notes=(*profile.notes, *match.notes))
