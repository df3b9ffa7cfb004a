"""The numbers of a prediction: ``prediction.json``, ``patches.csv``, ``genes.csv`` and ``run.json``."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from napari_gimp.doubt import doubt_sentences
from napari_gimp.export.plain import NOTICE, question, write_json
from napari_gimp.files import appearing
from napari_gimp.types import Prediction, against_others

FORMAT_VERSION = 1
TOP_GENES = 50
WRITERS = ("napari-gimp", "matplotlib", "numpy", "ome-zarr", "shapely", "zarr")


def write_prediction(path: Path, prediction: Prediction) -> None:
    """Write what the model says of the slide: probabilities per modality, coverage, notes, and what it is worth."""
    headline = np.asarray(prediction.probabilities[prediction.modality])
    write_json(
        path,
        {
            "notice": NOTICE,
            "synthetic": prediction.synthetic,
            **question(prediction),
            "slide": prediction.slide.name,
            "sample": prediction.sample,
            "classes": prediction.classes,
            "modality": prediction.modality,
            "predicted": prediction.classes[int(headline.argmax())],
            "probabilities": {name: _by_class(prediction, row) for name, row in prediction.probabilities.items()},
            "spread": None if prediction.spread is None else _by_class(prediction, prediction.spread),
            "unlike_training": prediction.unlike_training,
            "gene_coverage": prediction.coverage,
            "gene_groups": _groups(prediction),
            "gene_attribution": _attribution(prediction),
            "patches": len(prediction.grid),
            "missing_patches": len(prediction.missing_yx),
            "partial": prediction.partial,
            "checkpoint": prediction.provenance.get("checkpoint"),
            "doubt": doubt_sentences(prediction),
            "notes": prediction.notes,
        },
    )


def _by_class(prediction: Prediction, values: np.ndarray) -> dict[str, float]:
    return dict(zip(prediction.classes, np.asarray(values, float).tolist(), strict=True))


def _groups(prediction: Prediction) -> list[dict[str, Any]] | None:
    """Name, size and attention of each gene group, most attended first."""
    if prediction.group_attention is None:
        return None
    order = np.argsort(-prediction.group_attention, kind="stable")
    attention, groups = prediction.group_attention, prediction.groups
    return [
        {"group": groups[k].name, "genes": len(groups[k].genes), "attention": float(attention[k])}
        for k in order.tolist()
    ]


def _attribution(prediction: Prediction) -> dict[str, Any] | None:
    """By class: completeness error, sum, and the genes that speak most for or against it, less the other classes'."""
    if prediction.gene_attribution is None or prediction.attribution_error is None:
        return None
    by_class = {
        name: {
            "completeness_error": float(error),
            "sum": float(values.sum()),
            "top_genes": {prediction.genes[g]: float(values[g]) for g in top_genes(values, TOP_GENES)},
        }
        for name, values, error in zip(
            prediction.classes,
            against_others(prediction.gene_attribution),
            prediction.attribution_error,
            strict=True,
        )
    }
    return {
        "method": "integrated gradients from the cohort mean, of the class logit less the mean of the others",
        "by_class": by_class,
    }


def top_genes(values: Float[np.ndarray, " G"], count: int) -> list[int]:
    """Indices of the genes whose attribution is largest, whatever its sign; none that is 0."""
    order = np.argsort(-np.abs(values), kind="stable")[:count]
    return [g for g in order.tolist() if values[g] != 0]


def gene_table(prediction: Prediction) -> pd.DataFrame:
    """One row a gene of the model: its value in working scale (empty: missing), z, attribution per class, its groups.

    ``missing`` 1: the profile lacks the gene, the cohort mean stands in for it. A gene of several groups names them
    all, with " | " between. Without a profile the table is empty.
    """
    genes, groups = prediction.genes, _groups_of(prediction)
    values: dict[str, Any] = {
        "gene": genes,
        "value": np.array([]) if prediction.expression is None else prediction.expression,
        "z": np.array([]) if prediction.gene_z is None else prediction.gene_z,
    }
    attribution = np.empty((len(prediction.classes), 0))
    attribution = attribution if prediction.gene_attribution is None else prediction.gene_attribution
    values |= {f"attribution_{name}": row for name, row in zip(prediction.classes, attribution, strict=True)}
    values["group"] = [" | ".join(groups.get(gene, ())) for gene in genes]
    values["missing"] = np.isnan(np.asarray(values["value"], float)).astype(int)
    return pd.DataFrame(values)


def _groups_of(prediction: Prediction) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for group in prediction.groups:
        for gene in dict.fromkeys(group.genes):
            found.setdefault(gene, []).append(group.name)
    return found


def write_genes(path: Path, prediction: Prediction) -> None:
    """Write ``gene_table`` as CSV; empty fields are unknown values."""
    with appearing(path) as part:
        gene_table(prediction).to_csv(part, index=False, float_format="%.9g", lineterminator="\n")


def patch_table(prediction: Prediction) -> pd.DataFrame:
    """One row a patch in scan order, then one a patch that could not be read (``missing`` 1, no values).

    ``x_px … height_px``: corner and size in level-0 pixels; ``…_um``: the same in um, empty where the slide's um per
    pixel is unknown. ``attention`` sums to 1 over the slide, ``attention_x_mean`` is 1 for the average patch;
    ``support_<class>`` is what a patch adds to that class logit, where it was computed; ``support_<class>_without_<gene
    group>`` how that changes when the group is set to the cohort mean.
    """
    grid, read, missing = prediction.grid, len(prediction.grid), len(prediction.missing_yx)
    corners = np.concatenate([grid.coords_yx, prediction.missing_yx]).astype(float)
    values: dict[str, Any] = {
        "patch": _filled(np.arange(read), missing),
        "row": _filled(grid.cells[:, 0], missing),
        "column": _filled(grid.cells[:, 1], missing),
        **_places(prediction, corners),
        "attention": _filled(prediction.mean_attention, missing),
        "attention_x_mean": _filled(prediction.mean_attention * read, missing),
        "error": np.full(read + missing, np.nan),
        "missing": np.repeat([0, 1], [read, missing]),
    }
    if prediction.reconstruction_error is not None:
        values["error"] = _filled(prediction.reconstruction_error, missing)
    if prediction.class_support is not None:
        rows = zip(prediction.classes, prediction.class_support, strict=True)
        values.update({f"support_{name}": _filled(row, missing) for name, row in rows})
    for group, change in prediction.group_support.items():
        rows = zip(prediction.classes, change, strict=True)
        values.update({f"support_{name}_without_{group}": _filled(row, missing) for name, row in rows})
    return pd.DataFrame(values).astype(dict.fromkeys(("patch", "row", "column"), "Int64"))


def _places(prediction: Prediction, corners: np.ndarray) -> dict[str, Any]:
    height, width = prediction.grid.size_yx_px
    mpp = prediction.slide.mpp_yx or (np.nan, np.nan)
    return {
        "x_px": corners[:, 1].astype(np.int64),
        "y_px": corners[:, 0].astype(np.int64),
        "width_px": width,
        "height_px": height,
        "x_um": corners[:, 1] * mpp[1],
        "y_um": corners[:, 0] * mpp[0],
        "width_um": width * mpp[1],
        "height_um": height * mpp[0],
    }


def _filled(values: np.ndarray, missing: int) -> np.ndarray:
    return np.concatenate([np.asarray(values, float), np.full(missing, np.nan)])


def write_patches(path: Path, prediction: Prediction) -> None:
    """Write ``patch_table`` as CSV; empty fields are unknown values."""
    with appearing(path) as part:
        patch_table(prediction).to_csv(part, index=False, float_format="%.9g", lineterminator="\n")


def write_run(path: Path, prediction: Prediction, run: Mapping[str, Any]) -> None:
    """Write the record of the run: slide, parameters, fingerprints, timings and versions; file names, no folders."""
    slide = prediction.slide
    write_json(
        path,
        {
            "notice": NOTICE,
            "format": FORMAT_VERSION,
            "synthetic": prediction.synthetic,
            **question(prediction),
            "slide": {
                "name": slide.name,
                "identity": slide.identity,
                "shape_yx": slide.shape_yx,
                "mpp_yx": slide.mpp_yx,
                "vendor": slide.vendor,
                "notes": slide.notes,
            },
            "grid": {
                "patches": len(prediction.grid),
                "size_yx_px": prediction.grid.size_yx_px,
                "stride_yx_px": prediction.grid.stride_yx_px,
                "lattices": len(prediction.grid.lattices),
            },
            "provenance": prediction.provenance,
            "run": run,
            "written_with": {"python": platform.python_version()} | {name: version(name) for name in WRITERS},
        },
    )
