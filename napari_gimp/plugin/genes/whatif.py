"""What-ifs as the window keeps them: steps that can be undone, patches inside regions, the answer as a result."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import shapely
from jaxtyping import Bool, Float, UInt8

from napari_gimp.genes import GeneReference
from napari_gimp.plugin.layers import LayerTuple, placement, tag
from napari_gimp.plugin.palette import clear_at_0
from napari_gimp.regions import Region
from napari_gimp.settings import InputError
from napari_gimp.types import WHAT_IF, AlignedGenes, GeneEdit, PatchGrid, Prediction, RegionEdit, WhatIf
from napari_gimp.words import share

ROLE = "what-if support"
GENES_MOVE = "Genes move class support and probabilities, never attention: it is computed from the image alone."
GENES_ONLY_ADD = (
    "In this checkpoint the logits of genes and image are only added: genes move the probabilities, never a map."
)


@dataclass
class History:
    """The what-if asked now and what was asked before it; a drag of a slider is one step."""

    now: WhatIf = field(default_factory=WhatIf)
    _before: list[WhatIf] = field(default_factory=list)

    def add(self, edit: GeneEdit | RegionEdit, same_step: bool = False) -> None:
        """Ask for one edit more; ``same_step``: instead of the last one, where that is of the same kind and target."""
        last = self.now.edits[-1] if self.now.edits else None
        if same_step and isinstance(last, GeneEdit) and isinstance(edit, GeneEdit) and _alike(last, edit):
            self.now = WhatIf((*self.now.edits[:-1], edit))
        else:
            self.ask(WhatIf((*self.now.edits, edit)))

    def ask(self, asked: WhatIf) -> None:
        """Another what-if, as one step."""
        if asked != self.now:
            self._before.append(self.now)
            self.now = asked

    def remove(self, row: int) -> None:
        """Without one edit."""
        self.ask(WhatIf(tuple(edit for k, edit in enumerate(self.now.edits) if k != row)))

    @property
    def can_undo(self) -> bool:
        """Whether there is a step to take back."""
        return bool(self._before)

    def undo(self) -> None:
        """Take the last step back."""
        if self._before:
            self.now = self._before.pop()

    def reset(self) -> None:
        """The original again; that can be undone too."""
        self.ask(WhatIf())


def _alike(a: GeneEdit, b: GeneEdit) -> bool:
    return (a.target, a.is_group, a.kind) == (b.target, b.is_group, b.kind)


def region_edit(regions: Sequence[Region], layer: str, keep: bool, grid: PatchGrid) -> RegionEdit:
    """Leave out, or keep alone, the patches whose centre is in a layer's regions.

    Raises
    ------
    InputError
        No region, no patch in them, or none outside where the inside is left out.
    """
    if not regions:
        raise InputError(f"{layer}: expected regions drawn on the slide, found none; draw one and ask again.")
    area = shapely.union_all([region.polygon for region in regions])
    inside = int(inside_of(area, grid).sum())
    kept = inside if keep else len(grid) - inside
    if inside == 0 or kept == 0:
        where = "no patch's centre inside" if inside == 0 else "all patches inside"
        raise InputError(f"{layer}: expected some patches inside the regions, found {where}; draw other regions.")
    return RegionEdit(layer, keep, kept, len(grid), shapely.to_wkt(area, rounding_precision=3))


def inside_of(area: Any, grid: PatchGrid) -> Bool[np.ndarray, " N"]:
    """Patches whose centre is in an area (level-0 pixels, x and y)."""
    centres = grid.coords_yx + np.asarray(grid.size_yx_px) / 2
    return np.asarray(shapely.contains_xy(area, centres[:, 1], centres[:, 0]))


def kept_by(edit: RegionEdit, grid: PatchGrid) -> Bool[np.ndarray, " N"]:
    """The patches that a region edit leaves.

    Raises
    ------
    InputError
        A stored edit without readable regions.
    """
    try:
        inside = inside_of(shapely.from_wkt(edit.area), grid)
    except shapely.errors.ShapelyError as error:
        raise InputError(f"{edit.layer}: expected stored regions, found something else; draw them again.") from error
    return inside if edit.keep else ~inside


def answer_words(
    classes: Sequence[str], before: Float[np.ndarray, " C"], after: Float[np.ndarray, " C"], name: str
) -> str:
    """``LUAD: 0.91 → 0.34, log-odds -2.98``, and whether the most probable class changes."""
    k = classes.index(name)
    moved = _log_odds(float(after[k])) - _log_odds(float(before[k]))
    said = f"{name}: {share(float(before[k]))} → {share(float(after[k]))}, log-odds {moved:+.2f}"
    best, now = int(np.argmax(before)), int(np.argmax(after))
    turned = f" Most probable would be {classes[now]} instead of {classes[best]}." if best != now else ""
    return f"{said}.{turned}"


def _log_odds(probability: float) -> float:
    kept = min(max(probability, 1e-7), 1 - 1e-7)
    return math.log(kept / (1 - kept))


def support_layers(
    prediction: Prediction,
    asked: WhatIf,
    name: str,
    values: Float[np.ndarray, " n"],
    patches: Any,
    limits: tuple[float, float],
    opacity: float,
) -> list[LayerTuple]:
    """The support map of a what-if, a picture per lattice, in the colours of the original; left-out patches are clear.

    Parameters
    ----------
    patches
        Indices (n,) of the patches that ``values`` stand for.
    """
    whole = np.full(len(prediction.grid), np.nan, np.float32)
    whole[patches] = values
    return [
        (
            lattice.image(whole),
            {
                "name": f"{WHAT_IF}support for {name} (logit) · {prediction.slide.name}"
                + (f" · grid {number + 1}" if number else ""),
                "rgb": False,
                "colormap": {"name": "orange-blue", "colors": clear_at_0()},
                "contrast_limits": limits,
                "opacity": opacity,
                "interpolation2d": "nearest",
                "blending": "translucent",
                "metadata": {
                    "napari-gimp": tag(ROLE, prediction.slide, number),
                    "what_if": asked.to_json(),
                    "label": asked.label,
                    "unit": "logit",
                },
                **placement(lattice.origin_yx_px, lattice.cell_yx_px, prediction.slide.mpp_yx),
            },
            "image",
        )
        for number, lattice in enumerate(prediction.grid.lattices)
    ]


def as_prediction(
    original: Prediction, asked: WhatIf, answer: Any, genes: Any, rerun: Any, support: Float[np.ndarray, "C n"] | None
) -> Prediction:
    """A what-if as a result to export: noted so, recorded so; what was not computed for it is left out.

    Parameters
    ----------
    answer, genes
        The pipeline's ``Answer`` and the changed ``AlignedGenes`` (None: image alone).
    rerun
        The pipeline's ``Rerun`` on the patches that were kept, None where all were.
    """
    grid = original.grid if rerun is None else original.grid.take(rerun.patches)
    remarks = () if genes is None else tuple(note for note in genes.notes if note not in original.notes)
    return replace(
        original,
        grid=grid,
        probabilities=dict(answer.probabilities),
        spread=answer.spread,
        attention=original.attention if rerun is None else rerun.attention,
        reconstruction_error=original.reconstruction_error if rerun is None else None,
        class_support=support,
        genes=() if genes is None else original.genes,
        expression=None if genes is None else genes.values,
        gene_z=None,
        gene_attribution=None,
        attribution_error=None,
        group_attention=None,
        fragment_attention=None,
        group_support={},
        unlike_training=original.unlike_training if rerun is None else None,
        notes=(f"Warning: {asked.label}. Nobody measured this.", *remarks, *original.notes),
        provenance={**original.provenance, "what_if": asked.to_json(), "what_if_label": asked.label},
    )


def map_picture(
    prediction: Prediction, values: Float[np.ndarray, " n"], patches: Any, limits: tuple[float, float]
) -> UInt8[np.ndarray, "h w 3"]:
    """A support map as a small picture: patches grey where they say nothing, white where there is none."""
    whole = np.full(len(prediction.grid), np.nan, np.float32)
    whole[patches] = values
    image = prediction.grid.lattices[0].image(whole)
    known = np.isfinite(image)
    place = np.clip((np.where(known, image, 0) - limits[0]) / (limits[1] - limits[0]), 0, 1)
    colour = clear_at_0()[np.round(place * 256).astype(int)]
    mixed = colour[..., :3] * colour[..., 3:] + 0.86 * (1 - colour[..., 3:])
    return np.asarray(255 * np.where(known[..., None], mixed, 1), np.uint8)


@dataclass(frozen=True, eq=False)
class Targets:
    """What can be changed: genes and groups by any of their names, in upper or lower case.

    Parameters
    ----------
    symbols
        Gene -> what readers call it, where that is something else.
    """

    reference: GeneReference
    symbols: Mapping[str, str]

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Everything to choose from: groups, then genes as readers call them."""
        groups, genes = self.reference.groups, self.reference.genes
        return (*(group.name for group in groups), *(self.symbols.get(gene, gene) for gene in genes))

    @cached_property
    def _known(self) -> dict[str, tuple[str, bool]]:
        """An exact name first, then a symbol, then a group, then any of them in other letters."""
        groups = {group.name: (group.name, True) for group in self.reference.groups}
        symbols = {symbol: (gene, False) for gene, symbol in self.symbols.items()}
        exact = {**groups, **symbols, **{gene: (gene, False) for gene in self.reference.genes}}
        return {**{name.casefold(): found for name, found in exact.items()}, **exact}

    def find(self, typed: str) -> tuple[str, bool] | None:
        """Gene or group, and whether it is a group; None where there is none of this name."""
        return self._known.get(typed) or self._known.get(typed.casefold())

    def now(self, genes: AlignedGenes, name: str, is_group: bool) -> str:
        """How a gene or group is in the profile."""
        return now_words(self.reference, genes, name, is_group, self.symbols.get(name, name))


def now_words(reference: GeneReference, genes: AlignedGenes, name: str, is_group: bool, called: str) -> str:
    """How a gene or group is in the profile: ``TP53 is 4.21 log2(x + 1) here, z +1.30; group 2``."""
    index = reference.index(GeneEdit(name, "mean", is_group=is_group))
    values, mean = genes.values[index], reference.mean[index]
    if is_group:
        lacks = int(np.isnan(values).sum())
        return f"{name}: {len(index)} genes" + (f", {lacks} of them missing in the profile" if lacks else "")
    groups = ", ".join(reference.groups_of.get(name, ()))
    training = f"training mean {mean[0]:.2f}" + (f"; {groups}" if groups else "")
    if np.isnan(values[0]):
        return f"{called} is missing in the profile; the model takes the {training}."
    return f"{called} is {values[0]:.2f} {reference.unit} here; {training}."
