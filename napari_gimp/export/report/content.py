"""What the report says, as words and rows for page and sheet alike: nothing is drawn and nothing computed anew."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from napari_gimp.doubt import doubt_of
from napari_gimp.export.plain import plain
from napari_gimp.export.report.case import ReportCase
from napari_gimp.export.tables import top_genes
from napari_gimp.types import Modality, Prediction, against_others
from napari_gimp.words import probability_rows, share

INPUTS: Mapping[Modality, str] = {"both": "image + genes", "image": "image alone", "genes": "genes alone"}
MOST_GENES, MOST_GROUPS = 20, 15
WHAT_IF = "What if (questions, not the case's result)"
GENES_MOVE = "Genes move class support and probabilities, never attention or the reconstruction error."
ATTRIBUTION = "Attribution says what the model used, not what a gene does."


@dataclass(frozen=True)
class Table:
    """Column names and rows of text."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def called(prediction: Prediction) -> int:
    """Index of the most probable class."""
    return int(np.argmax(prediction.probabilities[prediction.modality]))


def title(case: ReportCase) -> str:
    """The case's name, or its neutral one."""
    return f"GiMP report: {case.prediction.slide.name}"


def date(case: ReportCase) -> str:
    """When the report was made, in UTC."""
    made = (case.made or datetime.now(UTC)).astimezone(UTC)
    return f"{made:%Y-%m-%d %H:%M} UTC"


def headline(prediction: Prediction) -> str:
    """The most probable class and its probability."""
    doubt = doubt_of(prediction)
    spread = "" if doubt.spread is None else f" ± {doubt.spread:.2f}"
    return f"{doubt.called}: probability {share(doubt.probability)}{spread}"


def identity_rows(case: ReportCase) -> list[tuple[str, str]]:
    """Who and what: identifiers that the user allows, slide, profile, checkpoint."""
    prediction = case.prediction
    slide, record = prediction.slide, prediction.provenance
    height, width = slide.shape_yx
    size = f"{width} × {height} px"
    if slide.mpp_yx is None:
        size += ", pixel size unknown"
    else:
        mpp_y, mpp_x = slide.mpp_yx
        size += f", {width * mpp_x / 1e3:.1f} × {height * mpp_y / 1e3:.1f} mm, {mpp_x:.4g} µm/px"
    rows = [*case.identifiers.items(), ("Slide", f"{slide.name}, {size}")]
    profile = "none: image only"
    if prediction.sample is not None:
        covered = "" if prediction.coverage is None else f", {prediction.coverage:.1%} of the model's genes"
        profile = f"{prediction.sample}{covered}"
    rows.append(("Gene profile", profile))
    kind = f", trained on {prediction.synthetic} cases" if prediction.synthetic else ""
    return [*rows, ("Model", f"{record.get('checkpoint') or 'not named'}{kind}")]


def caution(prediction: Prediction) -> str:
    """What the model was trained on, where that is no evidence about patients."""
    if not prediction.synthetic:
        return ""
    return f"The model was trained on {prediction.synthetic} cases: no evidence about patients."


def probabilities(prediction: Prediction) -> Table:
    """Probabilities by what the model saw; ± is the standard deviation over models of other seeds."""
    rows = tuple((INPUTS[name], *values) for name, values in probability_rows(prediction))  # type: ignore[index]
    return Table(("the model sees", *prediction.classes), rows)


def what_ifs(case: ReportCase, most: int | None = None) -> Table:
    """Each question with its probabilities, and the case's own as the first row to compare with.

    Parameters
    ----------
    most
        So many classes, likeliest of the case first; None: all in their order.
    """
    prediction = case.prediction
    own = np.asarray(prediction.probabilities[prediction.modality])
    order = np.arange(len(own)) if most is None or len(own) <= most else np.argsort(-own, kind="stable")[:most]
    rows = [("the case as it is", *(share(own[k]) for k in order))]
    for item in case.what_ifs:
        cells = (f"{share(item.probabilities[k])} ({item.probabilities[k] - own[k]:+.2f})" for k in order)
        rows.append((f"What if: {item.question}", *cells))
    return Table(("input", *(prediction.classes[k] for k in order)), tuple(rows))


def regions(case: ReportCase) -> Table:
    """One row a region."""
    support = f"support for {case.prediction.classes[called(case.prediction)]} (logit)"
    head = ("region", "class", "area (mm²)", "patches", "share", "attention (× mean)", support, "error")
    rows = (
        (
            row.name or "-",
            row.classification or "-",
            _number(row.area_mm2, ".3f"),
            str(row.patches),
            f"{row.share:.1%}",
            _number(row.attention, ".2f"),
            _number(row.support, "+.3f"),
            _number(row.error, ".3f"),
        )
        for row in case.regions
    )
    return Table(head, tuple(rows))


def _number(value: float | None, form: str) -> str:
    return "-" if value is None or not np.isfinite(value) else f"{value:{form}}"


def marks(case: ReportCase) -> Table:
    """One row a mark."""
    rows = ((mark.label, place(case.prediction, mark.centre_yx_px), mark.note) for mark in case.marks)
    return Table(("mark", "place", "note"), tuple(rows))


def place(prediction: Prediction, yx_px: tuple[float, float]) -> str:
    """A point in um (pixels where the slide's pixel size is unknown)."""
    mpp = prediction.slide.mpp_yx
    y, x = yx_px
    if mpp is None:
        return f"x {x:.0f}, y {y:.0f} px"
    return f"x {x * mpp[1]:.0f}, y {y * mpp[0]:.0f} µm"


def patch_place(prediction: Prediction, patch: int) -> str:
    """The centre of a patch."""
    (y, x), (height, width) = prediction.grid.coords_yx[patch].tolist(), prediction.grid.size_yx_px
    return place(prediction, (y + height / 2, x + width / 2))


def patch_words(case: ReportCase, number: int) -> tuple[str, str, str]:
    """Value, place and label of the patch of this number (from 0)."""
    item, shown = case.patches[number], case.map
    value = f"{shown.values[item.patch]:{'+.3f' if shown.signed else '.2f'}} {shown.unit}".strip()
    return value, patch_place(case.prediction, item.patch), item.label


def genes(prediction: Prediction) -> Table:
    """The genes with most attribution for or against the most probable class."""
    if prediction.gene_attribution is None or prediction.gene_z is None or prediction.expression is None:
        return Table((), ())
    best = called(prediction)
    values = against_others(prediction.gene_attribution)[best]
    rows = (
        (
            prediction.genes[g],
            _number(float(prediction.expression[g]), ".2f"),
            f"{prediction.gene_z[g]:+.2f}",
            f"{values[g]:+.4f}",
        )
        for g in top_genes(values, MOST_GENES)
    )
    name = prediction.classes[best]
    return Table(("gene", "value (working scale)", "z in the cohort", f"for {name} (logit)"), tuple(rows))


def completeness(prediction: Prediction) -> str:
    """How far the sum of the attributions misses what it should be."""
    if prediction.attribution_error is None:
        return ""
    best = called(prediction)
    return (
        f"Baseline: cohort mean. Completeness error: the attributions miss the logit difference of"
        f" {prediction.classes[best]} by {prediction.attribution_error[best]:.2%}."
    )


def groups(prediction: Prediction) -> Table:
    """The gene groups that were attended to most."""
    if prediction.group_attention is None:
        return Table((), ())
    order = np.argsort(-prediction.group_attention, kind="stable")[:MOST_GROUPS].tolist()
    rows = (
        (prediction.groups[k].name, str(len(prediction.groups[k].genes)), f"{prediction.group_attention[k]:.1%}")
        for k in order
    )
    return Table(("gene group", "genes", "share of attention"), tuple(rows))


def parameters(case: ReportCase) -> dict[str, str]:
    """Everything that the result was made with, flat: checkpoint, encoder, patches, device, seeds, settings."""
    prediction = case.prediction
    record = {key: value for key, value in prediction.provenance.items() if key != "versions"}
    height, _ = prediction.grid.size_yx_px
    known: dict[str, Any] = {
        "patches": len(prediction.grid),
        "missing patches": len(prediction.missing_yx),
        "patch side (level-0 px)": f"{height:.1f}",
        "µm per pixel": prediction.slide.mpp_yx or "unknown",
        "members (seeds)": "one" if prediction.spread is None else "several, averaged",
    }
    return {name: str(value) for name, value in _flat(plain(known | record | dict(case.settings))).items()}


def _flat(found: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in found.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}.")
        elif value is not None:
            flat[f"{prefix}{name}"] = _brief(value)
    return flat


def _brief(value: Any) -> Any:
    """Numbers with six digits, those of a list too."""
    if isinstance(value, list):
        return ", ".join(str(_brief(item)) for item in value)
    return f"{value:.6g}" if isinstance(value, float) else value


def versions(prediction: Prediction) -> dict[str, str]:
    """What the result was computed with."""
    return {name: str(value) for name, value in dict(prediction.provenance.get("versions", {})).items()}


def notes(prediction: Prediction) -> list[str]:
    """Notes of slide and result, each once."""
    return list(dict.fromkeys((*prediction.slide.notes, *prediction.notes)))
