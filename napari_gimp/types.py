"""The nouns that cross rooms. Frozen, and they refuse nonsense when made.

Coordinates are ``yx``, top-left, in level-0 pixels unless a suffix says otherwise (``_um``, ``_px``).
Axis letters: N patch, D embedding, G gene, K gene group, H head, C class.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal, get_args

import numpy as np
from jaxtyping import Bool, Float, Int

from napari_gimp.settings import InputError, check_settings, setting

Scale = Literal["counts", "linear", "log", "zscore"]
"""Expression scales: raw counts, linear (TPM, FPKM, RSEM), log2(x + 1), z-score."""

Modality = Literal["both", "image", "genes"]
MODALITIES: tuple[Modality, ...] = get_args(Modality)


@dataclass(frozen=True)
class SlideFacts:
    """What is known of a slide without decoding a pixel.

    ``mpp_yx`` is um per level-0 pixel, or None where the file does not (credibly) say: ask, never guess.
    ``identity`` changes when the file changes; ``notes`` are sentences for the user (say, an implausible mpp).
    """

    name: str
    identity: str
    shape_yx: tuple[int, int]
    level_shapes_yx: tuple[tuple[int, int], ...]
    mpp_yx: tuple[float, float] | None
    magnification: float | None = None
    vendor: str = "unknown"
    associated: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if min(self.shape_yx) < 1:
            raise InputError(f"Slide {self.name}: expected at least one pixel a side, found {self.shape_yx}.")
        if self.mpp_yx is not None:
            check_mpp(self.mpp_yx)

    @property
    def downsamples(self) -> tuple[float, ...]:
        """Level-0 pixels per pixel of each level, from the heights."""
        return tuple(self.shape_yx[0] / h for h, _ in self.level_shapes_yx)

    def known_mpp_yx(self) -> tuple[float, float]:
        """The um per pixel, or the sentence that asks for it."""
        if self.mpp_yx is None:
            raise InputError(
                f"{self.name} does not say how large a pixel is: expected um per pixel between {MIN_MPP} and {MAX_MPP},"
                " found none; give it with --mpp, or in the panel's field."
            )
        return self.mpp_yx


MIN_MPP, MAX_MPP = 0.05, 20.0


def check_mpp(mpp_yx: tuple[float, float]) -> None:
    """Refuse a pixel size that no slide has.

    Raises
    ------
    InputError
        Outside 0.05 to 20 um per pixel.
    """
    if not all(MIN_MPP <= value <= MAX_MPP for value in mpp_yx):
        raise InputError(f"Expected {MIN_MPP} to {MAX_MPP} um per pixel, found {mpp_yx[0]:g} x {mpp_yx[1]:g}.")


@dataclass(frozen=True, eq=False)
class Tissue:
    """Where the tissue is: a mask that covers the whole slide.

    ``source`` says how it came about: ``"detected"`` or ``"drawn"`` (the user's own).
    """

    mask: Bool[np.ndarray, "h w"]
    slide_shape_yx: tuple[int, int]
    source: Literal["detected", "drawn"] = "detected"

    @property
    def scale_yx_px(self) -> tuple[float, float]:
        """Level-0 pixels per mask pixel."""
        return self.slide_shape_yx[0] / self.mask.shape[0], self.slide_shape_yx[1] / self.mask.shape[1]


@dataclass(frozen=True)
class PatchSpec:
    """Which patches a slide is cut into; physical, so that 20x and 40x slides give the same patches."""

    patch_px: int = setting(256, "Side of a patch as the encoder sees it.", min=32, max=2048, unit="px")
    patch_mpp: float = setting(0.5, "Resolution at which the encoder sees a patch.", min=0.1, max=10, unit="um/px")
    stride: float = setting(1.0, "Step between patches in patch sides: 1 no overlap, 0.5 half.", min=0.1, max=4)
    min_tissue: float = setting(0.25, "Share of a patch that tissue must cover to keep it.", min=0.0, max=1.0)

    def __post_init__(self) -> None:
        check_settings(self)

    @property
    def patch_um(self) -> float:
        """Side of a patch in um (128 by default)."""
        return self.patch_px * self.patch_mpp


@dataclass(frozen=True)
class MapSettings:
    """How the maps of a finished bag are computed."""

    repeats: int = setting(2, "How often every patch is hidden once and predicted from the others.", min=1, max=16)
    error: str = setting("l1", "Distance between a patch's embedding and what was expected.", choices=("l1", "cosine"))
    seed: int = setting(0, "Seed of the masks of the masked reconstruction.", min=0)
    preview_s: float = setting(3.0, "Shortest time between two partial maps.", min=0.2, max=600, unit="s")

    def __post_init__(self) -> None:
        check_settings(self)


@dataclass(frozen=True, eq=False)
class Lattice:
    """One regular grid of map cells: a heat map is one float32 image over it, placed by scale and translate.

    ``origin_yx_px``: top-left corner of cell (0, 0); ``cell_yx_px``: its size; both exact, in level-0 pixels.
    ``patches`` are the indices (n,) of its patches in the bag, ``cells`` (n, 2) their rows and columns.
    """

    origin_yx_px: tuple[float, float]
    cell_yx_px: tuple[float, float]
    shape: tuple[int, int]
    patches: Int[np.ndarray, " n"]
    cells: Int[np.ndarray, "n 2"]

    def image(self, values: Float[np.ndarray, " N"]) -> Float[np.ndarray, "rows cols"]:
        """Values of all N patches of the bag -> map (rows, cols), NaN where the lattice has no patch."""
        picture = np.full(self.shape, np.nan, np.float32)
        picture[self.cells[:, 0], self.cells[:, 1]] = np.asarray(values)[self.patches]
        return picture


@dataclass(frozen=True, eq=False)
class PatchGrid:
    """The patches of a slide in scan order (row by row): the model's units.

    Parameters
    ----------
    coords_yx
        Top-left corners (N, 2), int64, level-0 pixels.
    size_yx_px, stride_yx_px
        Exact (fractional) side of a patch and step of the grid in level-0 pixels.
    slide_shape_yx
        Level-0 shape.
    mpp_yx
        um per level-0 pixel, None where unknown (a foreign file).
    """

    coords_yx: Int[np.ndarray, "N 2"]
    size_yx_px: tuple[float, float]
    stride_yx_px: tuple[float, float]
    slide_shape_yx: tuple[int, int]
    mpp_yx: tuple[float, float] | None

    def __post_init__(self) -> None:
        if self.coords_yx.dtype != np.int64 or self.coords_yx.ndim != 2 or self.coords_yx.shape[1] != 2:
            raise InputError(f"Expected int64 coordinates (N, 2), found {self.coords_yx.dtype} {self.coords_yx.shape}.")
        if min(*self.size_yx_px, *self.stride_yx_px) <= 0:
            raise InputError(
                f"Expected a positive patch size and stride, found {self.size_yx_px}, {self.stride_yx_px}."
            )

    def __len__(self) -> int:
        return len(self.coords_yx)

    def take(self, patches: Int[np.ndarray, " n"]) -> PatchGrid:
        """The same grid with only these patches, in this order."""
        return replace(self, coords_yx=self.coords_yx[patches])

    @property
    def cells(self) -> Int[np.ndarray, "N 2"]:
        """Grid row and column of each patch, counted from the first tissue patch: what position encoding sees."""
        cells: np.ndarray = np.round(self.coords_yx / np.asarray(self.stride_yx_px)).astype(np.int64)
        return cells - cells.min(axis=0) if len(cells) else cells

    @cached_property
    def lattices(self) -> tuple[Lattice, ...]:
        """The regular grids on which the patches lie: one for ours, several for files that start one per contour.

        Patches share a lattice when their offsets agree to half a level-0 pixel: none is moved further than that.
        A cell is one stride large and has its patch's centre.
        """
        if not len(self):
            return ()
        stride = np.asarray(self.stride_yx_px)
        offset = self.coords_yx - np.round(self.coords_yx / stride) * stride
        if np.abs(offset).max() <= 0.5:
            return (self._lattice(np.arange(len(self)), np.zeros(2)),)
        _, first, member = np.unique(np.round(offset), axis=0, return_index=True, return_inverse=True)
        return tuple(self._lattice(np.flatnonzero(member == k), offset[f]) for k, f in enumerate(first))

    def _lattice(self, patches: Int[np.ndarray, " n"], offset: Float[np.ndarray, " 2"]) -> Lattice:
        stride, size = np.asarray(self.stride_yx_px), np.asarray(self.size_yx_px)
        cells = np.round((self.coords_yx[patches] - offset) / stride).astype(np.int64)
        corner = cells.min(axis=0)
        origin = corner * stride + offset + (size - stride) / 2
        rows, columns = cells.max(axis=0) - corner + 1
        return Lattice(
            (float(origin[0]), float(origin[1])), self.stride_yx_px, (int(rows), int(columns)), patches, cells - corner
        )


@dataclass(frozen=True, eq=False)
class Bag:
    """The embeddings of a slide's patches: only real ones; patches that would not decode stand in ``missing_yx``.

    Parameters
    ----------
    features
        (N, D) float32, finite.
    grid
        Their places, or None for a file without coordinates (it can be trained on, never mapped).
    encoder
        Identifier of what made the features, None where the file does not name it.
    fingerprint
        Hash of everything that the features depend on, None for a foreign file.
    missing_yx
        Corners (M, 2) of the patches that could not be read.
    """

    slide: str
    features: Float[np.ndarray, "N D"]
    grid: PatchGrid | None
    encoder: str | None
    fingerprint: str | None = None
    missing_yx: Int[np.ndarray, "M 2"] = field(default_factory=lambda: np.empty((0, 2), np.int64))
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.features.ndim != 2 or self.features.dtype != np.float32:
            raise InputError(f"{self.slide}: expected float32 features (patches, width), found {self.features.shape}.")
        bad = int((~np.isfinite(self.features).all(axis=1)).sum())
        if bad:
            raise InputError(
                f"{self.slide}: expected finite features, found NaN or infinity in {bad} of {len(self.features)}"
                " patches; embed the slide again."
            )
        if self.grid is not None and len(self.grid) != len(self.features):
            raise InputError(f"{self.slide}: {len(self.features)} features but {len(self.grid)} coordinates.")

    def __len__(self) -> int:
        return len(self.features)

    @property
    def cells(self) -> Int[np.ndarray, "N 2"]:
        """Rows and columns for position encoding; the scan index in one row where there are no coordinates."""
        if self.grid is not None:
            return self.grid.cells
        return np.stack([np.zeros(len(self), np.int64), np.arange(len(self))], axis=1)


@dataclass(frozen=True, eq=False)
class Profile:
    """The gene expression of one sample as its file gives it.

    ``symbols`` maps identifier -> symbol where the file itself knows (GDC); ``notes`` say aloud what was detected.
    """

    sample: str
    genes: tuple[str, ...]
    values: Float[np.ndarray, " G"]
    scale: Scale
    source: str = "unknown"
    symbols: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(self.genes) != len(self.values):
            raise InputError(f"Profile {self.sample}: {len(self.genes)} gene names but {len(self.values)} values.")
        if self.scale not in get_args(Scale):
            raise InputError(f"Profile {self.sample}: expected scale {get_args(Scale)}, found {self.scale!r}.")


@dataclass(frozen=True, eq=False)
class AlignedGenes:
    """A profile in a checkpoint's gene order and working scale.

    ``values`` (G,) float32 hold NaN where the profile lacks the gene: the model puts the training mean there.
    """

    sample: str
    values: Float[np.ndarray, " G"]
    missing: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @property
    def coverage(self) -> float:
        """Share of the checkpoint's genes that the profile has."""
        return 1 - len(self.missing) / max(1, len(self.values))


@dataclass(frozen=True)
class Case:
    """A patient: one or more slides, perhaps a profile, perhaps a label and a site."""

    case_id: str
    slide_ids: tuple[str, ...]
    label: str | None = None
    site: str | None = None


@dataclass(frozen=True, eq=False)
class Sample:
    """What the model learns from: one case in numbers. Either input may be None, not both.

    embeddings (N, D) float32, cells (N, 2) int64, expression (G,) float32 in working scale with NaN = missing gene.
    """

    case_id: str
    embeddings: Float[np.ndarray, "N D"] | None
    cells: Int[np.ndarray, "N 2"] | None
    expression: Float[np.ndarray, " G"] | None
    label: int | None = None

    def __post_init__(self) -> None:
        if self.embeddings is None and self.expression is None:
            raise InputError(f"Case {self.case_id}: expected patches or a profile, found neither.")
        if (self.embeddings is None) != (self.cells is None):
            raise InputError(f"Case {self.case_id}: patches and their cells come together or not at all.")


@dataclass(frozen=True)
class CheckpointFacts:
    """What a checkpoint says of itself without loading its weights.

    ``expression_scale`` is the working scale: "log" (log2(x + 1) of linear values), "counts" (log2(x + 1) of raw
    counts) or "zscore". ``synthetic`` names the kind of training data where it is not real ("synthetic", "pseudo").
    """

    name: str
    classes: tuple[str, ...]
    encoder: str | None
    embedding_dim: int
    genes: tuple[str, ...]
    expression_scale: Scale | None
    patch_px: int | None
    patch_mpp: float | None
    trained_on: str
    synthetic: str = ""
    metrics: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Prediction:
    """Everything GiMP says of one slide and, where given, its profile.

    Parameters
    ----------
    probabilities
        Modality -> (C,); only what the inputs allow ("image" always; "both" and "genes" with a profile).
    attention
        (layer, H, N): class-token row of each aggregator layer and head; over the N patches a row sums to 1.
    reconstruction_error
        (N,) mean absolute error per patch of the masked reconstruction; None in a partial result.
    class_support
        (C, N) signed gradient x input; None where not computed.
    group_attention
        (K,) attention of the gene class token to the groups; None without a profile.
    missing_yx
        (M, 2) corners of patches that could not be read.
    partial
        Share of the slide's patches in it (1.0 = whole).
    """

    slide: SlideFacts
    classes: tuple[str, ...]
    grid: PatchGrid
    probabilities: Mapping[Modality, Float[np.ndarray, " C"]]
    attention: Float[np.ndarray, "L H N"]
    reconstruction_error: Float[np.ndarray, " N"] | None = None
    class_support: Float[np.ndarray, "C N"] | None = None
    group_attention: Float[np.ndarray, " K"] | None = None
    gene_attribution: Float[np.ndarray, " G"] | None = None
    spread: Float[np.ndarray, " C"] | None = None
    missing_yx: Int[np.ndarray, "M 2"] = field(default_factory=lambda: np.empty((0, 2), np.int64))
    sample: str | None = None
    coverage: float | None = None
    partial: float = 1.0
    synthetic: str = ""
    notes: tuple[str, ...] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        n = len(self.grid)
        for name in ("reconstruction_error", "class_support", "attention"):
            values = getattr(self, name)
            if values is not None and values.shape[-1] != n:
                raise InputError(f"Prediction of {self.slide.name}: {name} has {values.shape[-1]} patches, grid {n}.")

    @property
    def modality(self) -> Modality:
        """What the headline probabilities rest on."""
        return "both" if "both" in self.probabilities else "image"

    @property
    def mean_attention(self) -> Float[np.ndarray, " N"]:
        """Last layer, mean over heads (METHOD section 8): the attention map."""
        return np.asarray(self.attention[-1].mean(axis=0))


@dataclass(frozen=True, eq=False)
class Progress:
    """How far long work has come. ``remaining_s`` is None until it can be told honestly.

    ``tissue`` and ``grid`` come once, as soon as they are known; ``partial`` is a whole result on the patches so far.
    """

    stage: str
    done: int
    total: int
    unit: str = "patches"
    remaining_s: float | None = None
    tissue: Tissue | None = None
    grid: PatchGrid | None = None
    partial: Prediction | None = None


def fingerprint(*parts: object) -> str:
    """SHA-256 (hex) of the parts' ``repr``: strings, numbers, tuples and frozen settings only, no arrays."""
    return hashlib.sha256("\x1f".join(map(repr, parts)).encode()).hexdigest()


def array_hash(array: np.ndarray) -> str:
    """SHA-256 (hex) of an array's shape, type and bytes."""
    head = f"{array.shape}{array.dtype}".encode()
    return hashlib.sha256(head + np.ascontiguousarray(array).tobytes()).hexdigest()
