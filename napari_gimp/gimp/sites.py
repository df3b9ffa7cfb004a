"""The directions in which hospitals differ, found in slides whose site and cancer type are known. Imports no torch.

A slide's embedding carries the scanner and the staining of its site. Within a cancer type, sites should look alike
apart from chance: the leading directions of the scatter between them are the sites' signature, and are projected out.
"""

from __future__ import annotations

import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from napari_gimp.settings import InputError

MIN_SLIDES = 5
"""The mean of fewer slides says more of the slides than of their site."""


@dataclass(frozen=True, eq=False)
class SlideMeans:
    """Mean embedding of each of n slides, with where it was made and what it shows.

    ``mean`` (n, D) float32, ``site``, ``type`` and ``slide_id`` (n,) strings, ``regions`` (n,) how many embeddings a
    mean was taken of, None where the table does not say.
    """

    mean: Float[np.ndarray, "n D"]
    site: Shaped[np.ndarray, " n"]
    type: Shaped[np.ndarray, " n"]
    slide_id: Shaped[np.ndarray, " n"]
    regions: Int[np.ndarray, " n"] | None = None
    encoder: str | None = None

    def rows(self, keep: Bool[np.ndarray, " n"]) -> SlideMeans:
        """The slides for which ``keep`` is True."""
        regions = None if self.regions is None else self.regions[keep]
        return SlideMeans(self.mean[keep], self.site[keep], self.type[keep], self.slide_id[keep], regions, self.encoder)


@dataclass(frozen=True, eq=False)
class SiteDirections:
    """k orthonormal directions ``vectors`` (k, D) in the space of embeddings divided by ``scale`` (D,).

    ``source`` says in words where they come from. With k = 0 nothing is changed, not even the scale.
    """

    scale: Float[np.ndarray, " D"]
    vectors: Float[np.ndarray, "k D"]
    source: str

    @property
    def k(self) -> int:
        """How many directions are removed."""
        return len(self.vectors)


def read_slide_means(npz: Path) -> SlideMeans:
    """Read a table of slide means.

    Parameters
    ----------
    npz
        Arrays ``mean`` (n, D), ``site`` (n,), ``cancer_type`` or ``type`` (n,), ``slide_id`` (n,), and where known
        ``regions`` (n,) and ``encoder``.

    Raises
    ------
    InputError
        No npz, arrays missing, lengths that do not agree, or embeddings that are not finite.
    """
    if not npz.is_file() or not zipfile.is_zipfile(npz):
        found = "a file of another kind" if npz.exists() else "nothing there"
        raise InputError(f"Slide means {npz}: expected an npz with mean, site and cancer_type, found {found}.")
    arrays = _arrays(npz)
    kind = "type" if "type" in arrays else "cancer_type"
    lacking = sorted({"mean", "site", kind, "slide_id"} - set(arrays))
    if lacking:
        raise InputError(
            f"{npz.name}: expected arrays mean, site, cancer_type and slide_id, found no {', '.join(lacking)}."
        )
    regions = arrays["regions"].astype(np.int64) if "regions" in arrays else None
    encoder = str(arrays["encoder"]) if "encoder" in arrays else None
    mean = arrays["mean"].astype(np.float32)
    site, types, slides = (arrays[name].astype(str) for name in ("site", kind, "slide_id"))
    _check(npz.name, mean, site, types, slides)
    return SlideMeans(mean, site, types, slides, regions, encoder)


def _arrays(npz: Path) -> dict[str, Shaped[np.ndarray, ...]]:
    try:
        with np.load(npz, allow_pickle=False) as file:
            return dict(file)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(
            f"{npz.name}: expected an npz with mean, site and cancer_type, found a damaged one ({error});"
            " make it again."
        ) from error


def fit_directions(
    means: Float[np.ndarray, "n D"],
    sites: Shaped[np.ndarray, " n"],
    types: Shaped[np.ndarray, " n"],
    k: int,
    *,
    min_slides: int = MIN_SLIDES,
    source: str = "slide means",
) -> SiteDirections:
    """The k leading eigenvectors of the scatter between sites within cancer types.

    Each dimension is first divided by its sd over the table. Sites of a type with ``min_slides`` slides of it count,
    weighted by their slides; their mean is the type's mean. A type with one such site says nothing of sites.

    Parameters
    ----------
    means
        (n, D) mean embedding of each slide.
    sites, types
        (n,) names. The same site counts anew in every type.
    k
        How many directions; 0 gives none.
    min_slides
        Slides of a type that a site needs to count.
    source
        What the table is, for the checkpoint's facts and for messages.

    Raises
    ------
    InputError
        Lengths that do not agree, embeddings that are not finite, or more directions asked for than sites can span.
    """
    _check(source, means, sites, types)
    values = means.astype(np.float64)
    sd = values.std(axis=0)
    scale = np.where(sd > 1e-6 * np.maximum(1, np.abs(values.mean(axis=0))), sd, 1.0)
    shifts, count = site_shifts(values / scale, sites, types, min_slides=min_slides)
    most = min(values.shape[1], len(shifts) - len({kind for kind, _ in _groups(sites, types, min_slides)}))
    if not 0 <= k <= most:
        raise InputError(
            f"{source}: expected 0 to {most} site directions, as {len(shifts)} sites of a type with at least"
            f" {min_slides} slides can show no more, found {k}; ask for fewer or give a larger table."
        )
    _, _, right = np.linalg.svd(np.sqrt(count)[:, None] * shifts, full_matrices=False)
    return SiteDirections(scale.astype(np.float32), right[:k].astype(np.float32), source)


def site_shifts(
    values: Float[np.ndarray, "n D"],
    sites: Shaped[np.ndarray, " n"],
    types: Shaped[np.ndarray, " n"],
    *,
    min_slides: int = MIN_SLIDES,
) -> tuple[Float[np.ndarray, "S D"], Int[np.ndarray, " S"]]:
    """How far the mean of each site lies from the mean of its type, and over how many slides.

    Types that have one site with ``min_slides`` slides give a shift of 0. Also the shifts by which pre-training
    imitates other sites.
    """
    shifts, count = [], []
    groups = _groups(sites, types, min_slides)
    for kind in sorted({kind for kind, _ in groups}):
        members = [chosen for other, chosen in groups if other == kind]
        middle = values[np.any(members, axis=0)].mean(axis=0)
        shifts += [values[chosen].mean(axis=0) - middle for chosen in members]
        count += [int(chosen.sum()) for chosen in members]
    return np.reshape(shifts, (-1, values.shape[1])).astype(values.dtype), np.array(count, int)


def remove_directions(x: Float[np.ndarray, "*B D"], directions: SiteDirections) -> Float[np.ndarray, "*B D"]:
    """Embeddings divided by the scale, without their components along the directions: the reference in numpy.

    Raises
    ------
    InputError
        Embeddings of another width than the directions'.
    """
    if not directions.k:
        return x
    if x.shape[-1] != len(directions.scale):
        raise InputError(
            f"Site directions: expected embeddings {len(directions.scale)} wide, found {x.shape[-1]};"
            " fit them from embeddings of the same encoder."
        )
    scaled = x / directions.scale
    cleaned: np.ndarray = scaled - (scaled @ directions.vectors.T) @ directions.vectors
    return cleaned


def _groups(
    sites: Shaped[np.ndarray, " n"], types: Shaped[np.ndarray, " n"], min_slides: int
) -> list[tuple[str, Bool[np.ndarray, " n"]]]:
    """Type and members of every site of a type that has enough slides, in order of names."""
    pairs = sorted(set(zip(types.tolist(), sites.tolist(), strict=True)))
    members = [(str(kind), (types == kind) & (sites == site)) for kind, site in pairs]
    return [(kind, chosen) for kind, chosen in members if chosen.sum() >= min_slides]


def _check(name: str, means: np.ndarray, *columns: np.ndarray) -> None:
    if means.ndim != 2 or not len(means) or any(column.shape != means.shape[:1] for column in columns):
        found = ", ".join(str(column.shape) for column in columns)
        raise InputError(
            f"{name}: expected means (slides, width) and one site, type and name for each, found {means.shape}"
            f" and {found}."
        )
    if not np.isfinite(means).all():
        bad = int((~np.isfinite(means)).any(axis=1).sum())
        raise InputError(f"{name}: expected finite embeddings, found NaN or infinity in {bad} slides; leave them out.")
