"""``export_prediction``: all files of one result in one folder, whole or not at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from napari_gimp.export.anonymous import Veil, anonymised
from napari_gimp.export.figure import write_figure
from napari_gimp.export.genes import write_gene_figure
from napari_gimp.export.omezarr import write_maps
from napari_gimp.export.overlay import write_overlay
from napari_gimp.export.report import ReportCase, write_report
from napari_gimp.export.tables import write_genes, write_patches, write_prediction, write_run
from napari_gimp.files import appearing
from napari_gimp.regions import Region
from napari_gimp.settings import InputError
from napari_gimp.types import Prediction

FILES = ("prediction.json", "patches.csv", "overlay.geojson", "maps.ome.zarr", "figure.png", "run.json")
GENE_FILES = ("genes.csv", "genes.png")
"""Only where there is a profile."""
REPORT_FILES = ("report.html", "report.pdf")
"""Only where asked for."""


def export_prediction(
    prediction: Prediction,
    folder: Path,
    *,
    picture: UInt8[np.ndarray, "h w 3"],
    regions: Sequence[Region] = (),
    run: Mapping[str, Any] | None = None,
    veil: Veil | None = None,
    report: ReportCase | None = None,
    overwrite: bool = False,
) -> list[Path]:
    """Write everything known of a result: numbers, overlay, maps, figure and record.

    Parameters
    ----------
    folder
        New, or an earlier result with ``overwrite``; that one is only deleted once the new one is whole.
    picture
        The whole slide at any low resolution, for the figure.
    regions
        The user's own regions, for overlay and figure.
    run
        What the caller knows of the run (parameters, timings) besides the prediction's provenance.
    veil
        Leaves every name out (`anonymous.veil_of`); ``folder`` is the caller's to name.
    report
        The case as report.html and report.pdf beside the other files.

    Returns
    -------
    list of Path
        The files, in the order of ``FILES``, then ``GENE_FILES`` where genes took part and ``REPORT_FILES`` where
        asked for.

    Raises
    ------
    InputError
        The folder is taken, is not a result of ours, or cannot be written.
    """
    check_free(folder, overwrite)
    if veil is not None:
        prediction, regions, run = anonymised(prediction, veil), veil.regions(regions), veil.value(run or {})
    with_genes = prediction.gene_attribution is not None
    with appearing(folder) as part:
        part.mkdir(parents=True)
        write_prediction(part / "prediction.json", prediction)
        write_patches(part / "patches.csv", prediction)
        write_overlay(part / "overlay.geojson", prediction, regions)
        write_maps(part / "maps.ome.zarr", prediction)
        write_figure(part / "figure.png", prediction, picture, regions)
        write_run(part / "run.json", prediction, run or {})
        if with_genes:
            write_genes(part / "genes.csv", prediction)
            write_gene_figure(part / "genes.png", prediction)
        if report is not None:
            write_report(report, part)
    names = (*FILES, *(GENE_FILES if with_genes else ()), *(REPORT_FILES if report is not None else ()))
    return [folder / name for name in names]


def check_free(folder: Path, overwrite: bool = False) -> None:
    """Refuse a folder that holds something, unless it is an earlier result and may be replaced.

    Raises
    ------
    InputError
        Also with ``overwrite`` when the folder holds anything that we did not write: it would be lost.
    """
    if not folder.exists():
        return
    if not folder.is_dir():
        raise InputError(f"{folder}: expected a folder for the result, found a file; choose another name.")
    found = sorted(item.name for item in folder.iterdir())
    foreign = [name for name in found if name not in (*FILES, *GENE_FILES, *REPORT_FILES)]
    if foreign:
        raise InputError(
            f"{folder}: expected a new or empty folder for the result, found {foreign[0]} in it; choose another folder."
        )
    if found and not overwrite:
        raise InputError(
            f"{folder}: expected a new folder, found an earlier result; choose another, or --overwrite to replace it."
        )
