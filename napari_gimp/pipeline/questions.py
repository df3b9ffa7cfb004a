"""What if? The parts of a result that do not depend on the genes, kept, so that other genes are answered at once.

A patient's image goes through the model once; each member's class token of it stays. A question then costs the gene
branch and the head. Regions are another image: the model runs again on the patches that are left, each in its place.
Genes never move attention or masked reconstruction (METHOD section 8): no question here asks for them.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from napari_gimp.genes import GeneReference
from napari_gimp.gimp.beside import BesideImage
from napari_gimp.gimp.checkpoint import LoadedModel
from napari_gimp.gimp.ensemble import EnsembleOutput
from napari_gimp.gimp.explain import gene_groups
from napari_gimp.gimp.output import GiMPOutput, patch_attention
from napari_gimp.gimp.reconstruct import nearest_expected
from napari_gimp.pipeline.analysis import Prepared
from napari_gimp.pipeline.explanations import support
from napari_gimp.pipeline.prediction import opinions
from napari_gimp.settings import InputError
from napari_gimp.types import AlignedGenes, Bag, GeneEdit, MapSettings, Modality, Progress


@dataclass(frozen=True, eq=False)
class Answer:
    """Class probabilities and logits by modality (C,), as a prediction has them, and the spread over the members."""

    probabilities: Mapping[Modality, Float[np.ndarray, " C"]]
    logits: Mapping[Modality, Float[np.ndarray, " C"]]
    spread: Float[np.ndarray, " C"] | None = None


@dataclass(frozen=True, eq=False)
class Rerun:
    """Questions to the patches that were kept, and how long the model took to look at them.

    ``patches`` (n,) are their indices among all patches of the slide; ``attention`` as of a `Prediction`, over them.
    """

    questions: Questions
    patches: Int[np.ndarray, " n"]
    attention: Float[np.ndarray, "L H n"]
    seconds: float


class Questions:
    """Asks a model about one slide.

    Parameters
    ----------
    loaded, bag, genes
        Model, embeddings and aligned profile (None: image alone).
    cells
        (N, 2) grid row and column of each patch.
    seen
        Each member's pass over the image, without what grows with the patches.
    maps
        How masked patches were drawn for the slide's own map.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        bag: Bag,
        genes: AlignedGenes | None,
        cells: Int[np.ndarray, "N 2"],
        seen: Sequence[GiMPOutput],
        maps: MapSettings | None = None,
    ) -> None:
        self.loaded, self.bag, self.genes, self.cells = loaded, bag, genes, cells
        self.maps = maps or MapSettings()
        self._alone = threading.Lock()
        self._beside = [BesideImage(member, each) for member, each in zip(loaded.model.members, seen, strict=True)]
        self._supports: dict[bytes, Float[np.ndarray, "C N"]] = {}
        self._group_maps: dict[tuple[str, bytes], Float[np.ndarray, "C N"]] = {}
        self.reference = reference_of(loaded) if loaded.facts.genes else None

    @classmethod
    def of(cls, prepared: Prepared, maps: MapSettings | None = None) -> Generator[Progress, None, Questions]:
        """Let every member look at the image once."""
        cells = prepared.bag.cells
        seen = yield from _look(prepared.loaded, prepared.bag, cells)
        return cls(prepared.loaded, prepared.bag, prepared.genes, cells, [_slim(each) for each in seen], maps)

    @property
    def genes_move_support(self) -> bool:
        """Whether other genes can move class support: not where logits of image and genes are only added."""
        return bool(self.loaded.model.genes) and self.loaded.model.config.fusion == "concat"

    @torch.inference_mode()
    def answer(self, genes: AlignedGenes | None) -> Answer:
        """What the model says of this image beside other genes: equal to a whole pass; None: of the image alone.

        Raises
        ------
        InputError
            Another number of genes than the model's.
        """
        values = None if genes is None else torch.from_numpy(genes.values)[None].to(self.loaded.model.device)
        with self._alone:  # what a member keeps is of one question at a time
            output = EnsembleOutput(tuple(each.answer(values) for each in self._beside))
        probabilities, spread = opinions(output, genes is not None)
        logits = {name: output.answers[name][0].float().cpu().numpy() for name in probabilities}
        return Answer(probabilities, logits, spread)

    def changed(self, genes: AlignedGenes | None, edits: Sequence[GeneEdit]) -> AlignedGenes | None:
        """The profile with the edits.

        Raises
        ------
        InputError
            No profile to change, or an edit that does not fit the model.
        """
        if not edits:
            return genes
        if genes is None or self.reference is None:
            raise InputError(
                f"{self.bag.slide}: expected a gene profile for a what-if on {edits[0].target}, found none: the result"
                " is image-only; choose a profile and run again."
            )
        return self.reference.changed(genes, edits)

    def support(self, genes: AlignedGenes | None) -> Generator[Progress, None, Float[np.ndarray, "C N"]]:
        """Class support of each patch beside other genes; the last few are kept."""
        key = b"" if genes is None else genes.values.tobytes()
        if key not in self._supports:
            self._supports[key] = yield from support(self.bag, self.loaded, genes, self.cells)
            _forget_all_but(self._supports, KEPT_SUPPORTS)
        return self._supports[key]

    def group_map(self, group: str, genes: AlignedGenes | None) -> Generator[Progress, None, Float[np.ndarray, "C N"]]:
        """How class support changes when a group's genes are set to the training mean; kept.

        Raises
        ------
        InputError
            No such group, or no profile.
        """
        silent = self.changed(genes, [GeneEdit(group, "mean", is_group=True)])
        assert genes is not None  # else refused
        key = group, genes.values.tobytes()
        if key not in self._group_maps:
            before = yield from self.support(genes)
            after = before if not self.genes_move_support else (yield from self.support(silent))
            self._group_maps[key] = after - before
        return self._group_maps[key]

    def regions(self, keep: Bool[np.ndarray, " N"]) -> Generator[Progress, None, Rerun]:
        """The model on these patches alone, each in its place: questions to what is left.

        Raises
        ------
        InputError
            No patch is left.
        """
        patches = np.flatnonzero(keep)
        if not len(patches):
            raise InputError(f"{self.bag.slide}: expected patches that are left, found none; draw other regions.")
        began = time.monotonic()
        grid = None if self.bag.grid is None else self.bag.grid.take(patches)
        bag = replace(self.bag, features=self.bag.features[patches], grid=grid, fingerprint=None)
        seen = yield from _look(self.loaded, bag, self.cells[patches])
        slim = [_slim(each) for each in seen]
        asked = Questions(self.loaded, bag, self.genes, self.cells[patches], slim, self.maps)
        attention = EnsembleOutput(tuple(seen)).rows("class_attention")
        assert attention is not None  # the image was there
        rows = patch_attention(attention)[:, 0].float().cpu().numpy()
        return Rerun(asked, patches, rows, time.monotonic() - began)

    def nearest_expected(self, patch: int) -> int:
        """The slide's real patch that is most like what the model expects at a hidden one: one pass a repeat.

        Raises
        ------
        InputError
            No such patch, or a checkpoint that was not trained to rebuild masked patches.
        """
        if not self.loaded.facts.reconstructs:
            raise InputError(
                f"{self.loaded.facts.name}: expected a checkpoint that rebuilds masked patches, found one that was not"
                " trained to; nothing can be said of what it expects."
            )
        model, features = self.loaded.model, self.bag.features
        return nearest_expected(model, features, self.cells, patch, repeats=self.maps.repeats, seed=self.maps.seed)


KEPT_SUPPORTS = 6
"""Class supports that are kept, the newest ones: (C, N) float32 each."""


def _forget_all_but(kept: dict[bytes, Float[np.ndarray, "C N"]], count: int) -> None:
    for key in list(kept)[:-count]:
        del kept[key]


@torch.inference_mode()
def _seen_by(member: torch.nn.Module, features: np.ndarray, cells: np.ndarray, device: torch.device) -> GiMPOutput:
    found: GiMPOutput = member(
        torch.from_numpy(features)[None].to(device), torch.from_numpy(np.ascontiguousarray(cells))[None].to(device)
    )
    return replace(found, projected=None, patch_tokens=None)


def _slim(seen: GiMPOutput) -> GiMPOutput:
    """Without the last of what grows with the patches."""
    return replace(seen, class_attention=None)


def _look(loaded: LoadedModel, bag: Bag, cells: Int[np.ndarray, "N 2"]) -> Generator[Progress, None, list[GiMPOutput]]:
    """Each member's pass over the image, without tokens."""
    members, seen = loaded.model.members, []
    for done, member in enumerate(members):
        yield Progress("looking at the image", done, len(members), "members")
        seen.append(_seen_by(member, bag.features, cells, loaded.model.device))
    yield Progress("looking at the image", len(members), len(members), "members")
    return seen


def reference_of(loaded: LoadedModel) -> GeneReference:
    """What a checkpoint remembers of its training profiles: the mean over its members."""
    facts, members = loaded.facts, loaded.model.members
    mean, sd = (
        torch.stack([getattr(member.gene_scaling, name).cpu() for member in members]).mean(0).numpy()
        for name in ("mean", "sd")
    )
    assert facts.expression_scale is not None  # it has genes
    groups = gene_groups(members[0], facts.genes, facts.group_names)
    return GeneReference(facts.name, facts.genes, mean, sd, facts.expression_scale, groups)
