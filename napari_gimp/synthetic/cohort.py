"""Files of synthetic cases: one sample for the window, or a whole cohort for training and evaluation."""

from __future__ import annotations

import csv
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from napari_gimp.files import write_whole
from napari_gimp.regions import Region, write_geojson
from napari_gimp.synthetic.case import SyntheticCase, TumourType, draw_case
from napari_gimp.synthetic.profile import make_profile
from napari_gimp.synthetic.slide import make_slide
from napari_gimp.types import Progress

SAMPLE_SEED = 20
STAR_SUFFIX = ".rna_seq.augmented_star_gene_counts.tsv"
SHEET = ("File ID", "File Name", "Data Category", "Data Type", "Project ID", "Case ID", "Sample ID", "Sample Type")


@dataclass(frozen=True)
class SamplePaths:
    """The files of one synthetic case."""

    slide: Path
    profile: Path
    regions: Path
    case: SyntheticCase


@dataclass(frozen=True)
class CohortPaths:
    """A synthetic cohort on disk, laid out as the command line takes it (``--cohort``, ``--expression``)."""

    cohort: Path
    expression: Path
    slides: tuple[Path, ...]
    regions: tuple[Path, ...]
    cases: tuple[SyntheticCase, ...]


def make_sample(
    folder: Path, seed: int = SAMPLE_SEED, shape_yx: tuple[int, int] = (6144, 7168), tumour: TumourType | None = None
) -> SamplePaths:
    """Write a synthetic lung slide, its gene profile and its known tumour area into ``folder``.

    Each file appears whole or not at all, and the same arguments give the same files; a finished sample in the folder
    is taken as it is, so keep one folder per version and arguments.
    """
    folder.mkdir(parents=True, exist_ok=True)
    case = draw_case(seed, tumour=tumour)
    paths = SamplePaths(
        folder / "synthetic_lung.tif", folder / f"synthetic_lung{STAR_SUFFIX}", folder / "synthetic_lung.geojson", case
    )
    _write_case(case, paths.slide, paths.profile, paths.regions, shape_yx)
    return paths


def synthetic_cohort(
    folder: Path, n: int, seed: int, shape_yx: tuple[int, int] = (2560, 2560), first: int = 0, artefacts: bool = True
) -> Generator[Progress, None, CohortPaths]:
    """Write ``n`` cases (types alternating) with slides, profiles, tumour areas, sample sheet and ``cohort.csv``.

    Parameters
    ----------
    folder
        Gets ``slides/``, ``regions/``, ``expression/`` and ``cohort.csv``; finished cases of an earlier call are kept.
    seed, first
        Cases ``first … first + n - 1`` of the world ``seed``: other seeds or ranges give unseen cases.
    shape_yx
        Level-0 pixels of each slide at 0.5 um.
    artefacts
        Whether slides have a pen mark and a fold.
    """
    for room in ("slides", "regions", "expression"):
        (folder / room).mkdir(parents=True, exist_ok=True)
    cases = [draw_case(seed, index) for index in range(first, first + n)]
    slides = [folder / "slides" / f"{case.case_id}.tif" for case in cases]
    regions = [folder / "regions" / f"{case.case_id}.geojson" for case in cases]
    start, made = time.monotonic(), 0
    for done, (case, slide, region) in enumerate(zip(cases, slides, regions, strict=True)):
        left = (time.monotonic() - start) / made * (n - done) if made else None
        yield Progress("making synthetic cases", done, n, "cases", left)
        profile = folder / "expression" / f"{case.case_id}{STAR_SUFFIX}"
        made += _write_case(case, slide, profile, region, shape_yx, artefacts)
    _write_sheet(folder / "expression" / "gdc_sample_sheet.tsv", cases)
    rows = [("case_id", "slide_id", "label"), *((case.case_id, case.case_id, case.tumour) for case in cases)]
    _write_rows(folder / "cohort.csv", rows, ",")
    yield Progress("making synthetic cases", n, n, "cases", 0.0)
    return CohortPaths(folder / "cohort.csv", folder / "expression", tuple(slides), tuple(regions), tuple(cases))


def _write_case(
    case: SyntheticCase,
    slide: Path,
    profile: Path,
    regions: Path,
    shape_yx: tuple[int, int],
    artefacts: bool = True,
) -> bool:
    """The three files of a case; False when they are there already. The regions come last: they end the case."""
    if slide.exists() and regions.exists() and profile.exists():
        return False
    make_profile(profile, case)
    area = make_slide(slide, case, shape_yx, artefacts)
    write_geojson(regions, [Region(area, f"tumour (known, synthetic {case.tumour})", "Tumor", (200, 0, 0))])
    return True


def _write_sheet(path: Path, cases: Sequence[SyntheticCase]) -> None:
    """The sample sheet as GDC gives it beside its files."""
    rows = [
        (
            str(UUID(int=case.seed, version=4)),
            f"{case.case_id}{STAR_SUFFIX}",
            "Transcriptome Profiling",
            "Gene Expression Quantification",
            "SYNTHETIC",
            case.case_id,
            case.case_id,
            "Primary Tumor",
        )
        for case in cases
    ]
    _write_rows(path, [SHEET, *rows], "\t")


def _write_rows(path: Path, rows: Sequence[Sequence[str]], delimiter: str) -> None:
    def fill(beside: Path) -> None:
        with beside.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, delimiter=delimiter, lineterminator="\n").writerows(rows)

    write_whole(path, fill)
