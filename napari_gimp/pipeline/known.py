"""The key of a run before it begins: a result that is kept under it need not be computed again. Loads no weights."""

from __future__ import annotations

import hashlib
from pathlib import Path

from napari_gimp.bags import bag_fingerprint
from napari_gimp.gimp.checkpoint import checkpoint_id, read_facts
from napari_gimp.kept import result_key
from napari_gimp.pipeline.analysis import Analysis
from napari_gimp.pipeline.embedding import tissue_key
from napari_gimp.types import CheckpointFacts, PatchSpec, Profile, SlideFacts, Tissue


def request_key(
    slide: SlideFacts, plan: Analysis, *, profile: Profile | None = None, drawn: Tissue | None = None
) -> str | None:
    """Key of what `analyse` returns for the same arguments, for `kept.find_prediction` and `kept.keep_prediction`.

    None where it cannot be told without loading the encoder: the checkpoint does not name its encoder or its patches.

    Raises
    ------
    InputError
        No readable checkpoint, or a slide of unknown um per pixel.
    OSError
        The ready file of embeddings cannot be read.
    """
    embeddings = _embeddings(slide, plan, read_facts(plan.checkpoint), drawn)
    if embeddings is None:
        return None
    return result_key(slide, bag=embeddings, checkpoint=checkpoint_id(plan.checkpoint), profile=profile, maps=plan.maps)


def _embeddings(slide: SlideFacts, plan: Analysis, facts: CheckpointFacts, drawn: Tissue | None) -> str | None:
    if plan.bag is not None:
        return _file_hash(plan.bag)
    if facts.encoder is None or facts.patch_px is None or facts.patch_mpp is None:
        return None
    spec = PatchSpec(facts.patch_px, facts.patch_mpp, plan.stride, plan.min_tissue)
    return bag_fingerprint(slide, spec, tissue_key(plan.tissue, drawn), facts.encoder)


def _file_hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
