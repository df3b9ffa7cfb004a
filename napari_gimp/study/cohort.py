"""A cohort on disk -> cases in numbers: table, bags and expression joined, read when asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import overload

import numpy as np
from jaxtyping import Bool, Float, Int

from napari_gimp.genes import Expression, align_matrix, read_expression
from napari_gimp.settings import InputError
from napari_gimp.study.features import FeatureStore, open_features
from napari_gimp.study.samples import match_samples, match_slides
from napari_gimp.study.table import first_names, read_cases, read_gene_list
from napari_gimp.types import MODALITIES, Bag, Case, Modality, Sample, Scale

SLIDE_GAP = 16
"""Empty grid rows between two slides of a case, so that none of their patches are neighbours."""


@dataclass(frozen=True, eq=False)
class Cohort:
    """Labelled cases with what is known of each: bags, expression or both.

    Parameters
    ----------
    cases
        Cases with at least one input; their ``slide_ids`` are those that have features.
    classes
        Label names; a label's index is its place here.
    encoder, embedding_dim
        Of all bags; the encoder is None where no bag names it.
    table
        The whole expression matrix as read, None without one.
    samples_of
        Per case its sample in ``table`` or None.
    genes, scale, values
        Gene list, working scale and expression (n cases, G): NaN where a gene or the whole profile is missing.
    """

    name: str
    cases: tuple[Case, ...]
    classes: tuple[str, ...]
    features: FeatureStore
    encoder: str | None
    embedding_dim: int
    table: Expression | None
    samples_of: tuple[str | None, ...]
    genes: tuple[str, ...]
    scale: Scale | None
    values: Float[np.ndarray, "n G"]
    remarks: tuple[str, ...] = ()
    gene_remarks: tuple[str, ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences for the user: what was detected, counted or left out."""
        return (*self.remarks, *self.gene_remarks)

    def __len__(self) -> int:
        return len(self.cases)

    @property
    def labels(self) -> Int[np.ndarray, " n"]:
        """Class index of each case.

        Raises
        ------
        InputError
            A label that is none of the classes.
        """
        strange = sorted({str(case.label) for case in self.cases} - set(self.classes))
        if strange:
            raise InputError(
                f"Cohort {self.name}: expected the labels {', '.join(self.classes)}, found {first_names(strange)};"
                " rename them in the cohort table."
            )
        return np.array([self.classes.index(str(case.label)) for case in self.cases], np.int64)

    @property
    def has_image(self) -> Bool[np.ndarray, " n"]:
        """Which cases have patches."""
        return np.array([bool(case.slide_ids) for case in self.cases], bool)

    @property
    def has_genes(self) -> Bool[np.ndarray, " n"]:
        """Which cases have a profile."""
        return np.array([sample is not None for sample in self.samples_of], bool)

    def has(self, modality: Modality) -> Bool[np.ndarray, " n"]:
        """Which cases have what a modality needs."""
        if modality == "both":
            both: np.ndarray = self.has_image & self.has_genes
            return both
        return self.has_image if modality == "image" else self.has_genes

    def subset(self, cases: Int[np.ndarray, " m"]) -> Cohort:
        """The same cohort with only these cases (indices), in this order."""
        return replace(
            self,
            cases=tuple(self.cases[i] for i in cases),
            samples_of=tuple(self.samples_of[i] for i in cases),
            values=self.values[cases],
        )

    def with_classes(self, classes: Sequence[str]) -> Cohort:
        """The same cohort with a checkpoint's classes in its order."""
        return replace(self, classes=tuple(classes))

    def with_genes(self, genes: Sequence[str] | None, scale: Scale | None = None) -> Cohort:
        """The same cohort with its expression aligned to a gene list (None: all of the table's) and working scale.

        Raises
        ------
        InputError
            The scales do not convert, or too few of the genes are there.
        """
        if self.table is None or (genes is not None and not genes):
            wanted = tuple(genes or ())
            values = _nothing(len(self), len(wanted))
            return replace(self, genes=wanted, scale=scale, values=values, gene_remarks=())
        aligned = align_matrix(self.table, genes, scale)
        rows = [None if sample is None else self.table.rows[sample] for sample in self.samples_of]
        values = _nothing(len(self), len(aligned.genes))
        for i, row in enumerate(rows):
            if row is not None:
                values[i] = aligned.values[row]
        return replace(self, genes=aligned.genes, scale=aligned.scale, values=values, gene_remarks=aligned.notes)

    @property
    def slides(self) -> tuple[str, ...]:
        """All slides that have features."""
        return tuple(slide for case in self.cases for slide in case.slide_ids)

    def patches_per_slide(self) -> Int[np.ndarray, " s"]:
        """Patches of each slide that has features, without reading them."""
        heads = [self.features.head(slide) for slide in self.slides]
        return np.array([head.rows for head in heads if head is not None], np.int64)

    def bags(self, index: int) -> list[Bag]:
        """The bags of a case, one a slide."""
        return [self.features.read(slide_id) for slide_id in self.cases[index].slide_ids]

    def sample(self, index: int, modality: Modality = "both") -> Sample:
        """One case in numbers; bags are read here, unless genes alone are asked for.

        Raises
        ------
        InputError
            A bag that cannot be read.
        """
        case = self.cases[index]
        embeddings, cells = (None, None) if modality == "genes" else join_bags(self.bags(index))
        known = modality != "image" and self.samples_of[index] is not None and self.genes
        label = self.classes.index(str(case.label)) if case.label in self.classes else None
        return Sample(case.case_id, embeddings, cells, self.values[index] if known else None, label)

    def samples(self, cases: Int[np.ndarray, " m"] | None = None, modality: Modality = "both") -> LazySamples:
        """Cases (indices; all by default) as a sequence of samples, each read when taken."""
        return LazySamples(self, np.arange(len(self)) if cases is None else cases, modality)


def _nothing(cases: int, genes: int) -> Float[np.ndarray, "n G"]:
    return np.full((cases, genes), np.nan, np.float32)


class LazySamples(Sequence[Sample]):
    """Samples of a cohort, read from disk when taken."""

    def __init__(self, cohort: Cohort, indices: Int[np.ndarray, " m"], modality: Modality = "both") -> None:
        self.cohort, self.indices, self.modality = cohort, indices, modality

    def __len__(self) -> int:
        return len(self.indices)

    @overload
    def __getitem__(self, item: int) -> Sample: ...

    @overload
    def __getitem__(self, item: slice) -> LazySamples: ...

    def __getitem__(self, item: int | slice) -> Sample | LazySamples:
        if isinstance(item, slice):
            return LazySamples(self.cohort, self.indices[item], self.modality)
        return self.cohort.sample(int(self.indices[item]), self.modality)


def join_bags(bags: Sequence[Bag]) -> tuple[Float[np.ndarray, "N D"] | None, Int[np.ndarray, "N 2"] | None]:
    """The slides of a case as one bag: features stacked, rows moved so that slides lie below each other."""
    if not bags:
        return None, None
    cells, row = [], 0
    for bag in bags:
        moved = bag.cells + np.array([row, 0])
        cells.append(moved)
        row = int(moved[:, 0].max()) + 1 + SLIDE_GAP
    return np.concatenate([bag.features for bag in bags]), np.concatenate(cells)


def read_cohort(
    cohort_csv: Path,
    features: Path,
    expression: Path | None = None,
    expression_scale: Scale | None = None,
    genes: Path | None = None,
) -> Cohort:
    """Read a cohort: who has what is known at once, features are read when asked for.

    A case without expression is an image-only case and one without features a genes-only case: counted in ``notes``,
    never an error as long as anything is left.

    Parameters
    ----------
    cohort_csv
        ``case_id, slide_id, label[, site]``.
    features
        Folder of ``<slide_id>.h5`` files or a packed npz.
    expression
        Expression matrix in any format that ``genes`` reads.
    expression_scale
        Scale of the matrix where its detection is wrong.
    genes
        A text file, one gene a line: only these are used.

    Raises
    ------
    InputError
        A table that contradicts itself, no features or expression for any case, bags of two encoders.
    """
    cases, notes = read_cases(cohort_csv)
    store = open_features(features)
    cases, encoder, width, said = match_slides(cases, store)
    table = None if expression is None else read_expression(expression, scale=expression_scale)
    samples_of, heard = ((None,) * len(cases), []) if table is None else match_samples(cases, table)
    classes = tuple(sorted({str(case.label) for case in cases}))
    whole = Cohort(
        _name(cohort_csv), cases, classes, store, encoder, width, table, samples_of, (), None, _nothing(len(cases), 0)
    )
    whole = _without_empty_cases(replace(whole, remarks=(*notes, *said, *heard)))
    whole = replace(whole, remarks=(_census(whole), *whole.remarks))
    return whole.with_genes(None) if genes is None else _with_gene_list(whole, genes)


def _with_gene_list(cohort: Cohort, path: Path) -> Cohort:
    wanted = read_gene_list(path)
    try:
        return cohort.with_genes(wanted)
    except InputError as error:
        have = () if cohort.table is None else cohort.table.genes
        raise InputError(
            f"Gene list {path.name}: expected at least half of its {len(wanted)} genes ({first_names(wanted)}) in the"
            f" expression table, found fewer among its {len(have)} ({first_names(have)}); name them as the table does."
        ) from error


def _name(cohort_csv: Path) -> str:
    """The table's name, or its folder's where the table has the name that they all have."""
    return cohort_csv.resolve().parent.name if cohort_csv.stem == "cohort" else cohort_csv.stem


def _census(cohort: Cohort) -> str:
    """How many cases there are, by class and by what is known of them."""
    counts = Counter(str(case.label) for case in cohort.cases)
    classes = ", ".join(f"{counts[name]} {name}" for name in cohort.classes)
    both, image, genes = (int(cohort.has(modality).sum()) for modality in MODALITIES)
    return (
        f"Cohort {cohort.name}: {len(cohort)} cases ({classes}); {both} with image and genes,"
        f" {image - both} with image only, {genes - both} with genes only."
    )


def _without_empty_cases(cohort: Cohort) -> Cohort:
    keep = cohort.has_image | cohort.has_genes
    if not keep.any():
        raise InputError(
            f"Cohort {cohort.name}: expected cases with features or expression, found none; check the names."
        )
    if keep.all():
        return cohort
    gone = [case.case_id for case, kept in zip(cohort.cases, keep, strict=True) if not kept]
    note = f"{len(gone)} cases have neither features nor expression and are left out: {first_names(gone)}."
    return replace(cohort.subset(np.flatnonzero(keep)), remarks=(*cohort.remarks, note))
