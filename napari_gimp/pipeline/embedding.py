"""Slide -> Tissue -> PatchGrid -> Bag, stored by fingerprint and resumed after a kill."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from napari_gimp.bags import PartStore, bag_fingerprint, find_bag, write_bag
from napari_gimp.encoders.base import Encoder
from napari_gimp.files import write_whole
from napari_gimp.pipeline.cache import qc_path, tissue_path
from napari_gimp.pipeline.pace import Pace
from napari_gimp.regions import mask_to_regions, read_geojson, regions_to_mask, write_geojson
from napari_gimp.settings import InputError
from napari_gimp.slides import Slide, cut_patches, qc_picture, read_patches, tissue_of
from napari_gimp.slides.tissue import TissueSettings
from napari_gimp.types import (
    Bag,
    PatchGrid,
    PatchSpec,
    Prediction,
    Progress,
    SlideFacts,
    Tissue,
    array_hash,
    fingerprint,
)

PART_PATCHES = 256
"""Patches per part that survives a kill: some seconds of the slowest encoder on a CPU."""
BATCH_PATCHES = 32
"""Patches read, embedded and reported together: half a second of an encoder on a CPU."""


Preview = Callable[[Bag, float], Prediction]
"""The bag of the patches so far and their share of the slide -> a partial result."""


def embed(
    slide: Slide,
    encoder: Encoder,
    out: Path,
    *,
    spec: PatchSpec | None = None,
    tissue_settings: TissueSettings | None = None,
    drawn: Tissue | None = None,
    preview: Preview | None = None,
    preview_s: float = 3.0,
    overwrite: bool = False,
) -> Generator[Progress, None, Bag]:
    """Embed the tissue patches of a slide and store the bag in ``out`` (h5, TRIDENT's layout).

    A bag with the same fingerprint is taken as it is and nothing is read from the slide; an interrupted run goes on
    with its finished parts. Beside the bag stand ``<slide>.tissue.geojson`` and the picture ``<slide>.qc.png``.

    Parameters
    ----------
    spec
        Patch size, resolution, stride; the encoder's own by default.
    drawn
        The user's own tissue mask instead of detection.
    preview
        Called about every ``preview_s`` seconds; its result travels in ``Progress.partial``.

    Raises
    ------
    InputError
        No mpp, no tissue, an output of other settings that may not be overwritten, too many unreadable patches.
    """
    spec = spec or PatchSpec(encoder.patch_px, encoder.patch_mpp)
    tissue_settings = tissue_settings or TissueSettings()
    mark = bag_fingerprint(slide.facts, spec, tissue_key(tissue_settings, drawn), encoder.id)
    stored = find_bag(out, mark)
    parts = PartStore(out.parent, mark)
    if stored is not None and not overwrite:
        parts.clear()  # a kill between writing the bag and clearing leaves them
        yield _stored_progress(stored, slide.facts, out)
        return stored
    if out.exists() and not overwrite:
        raise InputError(f"{out.name} exists and was made with other settings; give another --out, or --overwrite.")
    yield Progress("finding tissue", 0, 1, "step")
    tissue = drawn or tissue_of(slide, tissue_settings)
    grid = cut_patches(tissue, slide.facts, spec)
    yield Progress("finding tissue", 1, 1, "step", tissue=tissue, grid=grid)
    out.parent.mkdir(parents=True, exist_ok=True)
    yield from _embed_missing_parts(slide, encoder, grid, spec, parts, preview, preview_s)
    record = _embedding_record(encoder, spec, tissue, tissue_settings)
    bag = _bag_of(parts, slide.facts, grid, encoder, fingerprint=mark, provenance=record)
    _write_tissue(slide, tissue, grid, out)
    write_bag(out, bag)
    parts.clear()
    return bag


def tissue_key(settings: TissueSettings, drawn: Tissue | None) -> str:
    """What a fingerprint knows of the tissue: the settings of its detection, or the drawn mask itself."""
    return array_hash(drawn.mask) if drawn else fingerprint(settings)


def drawn_tissue(facts: SlideFacts, geojson: Path) -> Tissue:
    """The user's own tissue regions (level-0 pixels) as a mask at the slide's lowest level."""
    mask = regions_to_mask(read_geojson(geojson), facts.shape_yx, facts.level_shapes_yx[-1])
    if not mask.any():
        raise InputError(
            f"{geojson.name}: expected regions on {facts.name}, found none that covers a pixel of it; draw them on this"
            " slide, in level-0 pixels."
        )
    return Tissue(mask, facts.shape_yx, "drawn")


def _stored_progress(bag: Bag, facts: SlideFacts, out: Path) -> Progress:
    outline = tissue_path(out)
    tissue = None
    if outline.exists():
        tissue = Tissue(
            regions_to_mask(read_geojson(outline), facts.shape_yx, facts.level_shapes_yx[-1]), facts.shape_yx
        )
    return Progress("embedding (stored)", len(bag), len(bag), tissue=tissue, grid=bag.grid)


def _embed_missing_parts(
    slide: Slide,
    encoder: Encoder,
    grid: PatchGrid,
    spec: PatchSpec,
    parts: PartStore,
    preview: Preview | None,
    preview_s: float,
) -> Generator[Progress, None, None]:
    """Patches without a finished part -> parts, with a preview of everything so far now and then."""
    done = np.fromiter(parts.done(), np.int64)
    todo = np.setdiff1d(np.arange(len(grid)), done)
    pace, due, count = Pace(len(grid), len(done)), time.monotonic() + preview_s, len(done)
    collector = _PartCollector(parts)
    for batch in read_patches(slide, grid.take(todo), spec.patch_px, batch_size=BATCH_PATCHES, of=len(grid)):
        collector.add(todo[batch.index], encoder(batch.pixels), todo[batch.missing])
        count += len(batch.index) + len(batch.missing)
        partial = None
        if preview is not None and time.monotonic() >= due and len(batch.index):
            collector.flush()
            began = time.monotonic()
            partial = preview(_bag_of(parts, slide.facts, grid, encoder), count / len(grid))
            due = time.monotonic() + max(preview_s, 4 * (time.monotonic() - began))
        yield Progress("embedding", count, len(grid), remaining_s=pace.remaining_s(count), partial=partial)
    collector.flush()


class _PartCollector:
    """Gathers batches until a part is worth a file."""

    def __init__(self, parts: PartStore) -> None:
        self.parts = parts
        self._empty()

    def _empty(self) -> None:
        self.index: list[np.ndarray] = []
        self.features: list[np.ndarray] = []
        self.missing: list[np.ndarray] = []

    def add(self, index: np.ndarray, features: np.ndarray, missing: np.ndarray) -> None:
        self.index.append(index)
        self.features.append(features)
        self.missing.append(missing)
        if sum(map(len, self.index)) + sum(map(len, self.missing)) >= PART_PATCHES:
            self.flush()

    def flush(self) -> None:
        if self.index:
            self.parts.add(np.concatenate(self.index), np.concatenate(self.features), np.concatenate(self.missing))
            self._empty()


def _bag_of(parts: PartStore, facts: SlideFacts, grid: PatchGrid, encoder: Encoder, **known: Any) -> Bag:
    index, features, missing = parts.collect()
    return Bag(facts.name, features, grid.take(index), encoder.id, missing_yx=grid.coords_yx[missing], **known)


def _write_tissue(slide: Slide, tissue: Tissue, grid: PatchGrid, out: Path) -> None:
    write_geojson(tissue_path(out), mask_to_regions(tissue.mask, tissue.slide_shape_yx, "tissue"))
    picture = qc_picture(np.asarray(slide.levels[-1][:]), tissue, grid)
    write_whole(qc_path(out), lambda beside: picture.save(beside, "PNG"))


def _embedding_record(
    encoder: Encoder, spec: PatchSpec, tissue: Tissue, tissue_settings: TissueSettings
) -> dict[str, Any]:
    return {
        "encoder": encoder.id,
        **asdict(spec),
        "tissue": tissue.source if tissue.source == "drawn" else asdict(tissue_settings),
        "napari-gimp": version("napari-gimp"),
    }
