"""The report's tables as HTML. Every text from outside is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from napari_gimp.gimp.evaluate import Figures
from napari_gimp.study.baselines import in_words, needs_of
from napari_gimp.study.comparison import Comparison, Summary
from napari_gimp.study.crossvalidation import CrossValidation
from napari_gimp.study.report.pictures import INPUTS

MOST_CHARACTERS = 120
COLUMNS: Mapping[str, str] = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "auc": "AUC",
    "f1": "F1",
    "ece": "ECE (pooled)",
    "brier": "Brier",
}


def table(head: Sequence[str], rows: Iterable[Sequence[str]], marked: Sequence[int] = ()) -> str:
    """Cells are HTML already; rows of the given places stand out."""
    body = "".join(
        f"<tr{' class=gimp' if place in marked else ''}>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>"
        for place, row in enumerate(rows)
    )
    return f"<table><tr>{''.join(f'<th>{name}</th>' for name in head)}</tr>{body}</table>"


def models(result: CrossValidation) -> str:
    """GiMP by modality, then the baselines, with intervals."""
    mine = [(f"GiMP, {INPUTS[name]}", INPUTS[name], found) for name, found in result.by_modality.items()]
    others = [(in_words(name), INPUTS[needs_of(name)], found) for name, found in result.by_baseline.items()]
    rows = [[escape(words), inputs, str(found.n), *_cells(found)] for words, inputs, found in mine + others]
    return table(["model", "sees", "cases", *COLUMNS.values()], rows, range(len(mine)))


def _cells(found: Summary) -> list[str]:
    return [_with_interval(found.figures[name], found.ci95.get(name)) for name in COLUMNS]


def _with_interval(value: float | None, interval: tuple[float, float] | None) -> str:
    if value is None:
        return "-"
    return f"{value:.3f}" + ("" if interval is None else f" <small>{interval[0]:.3f}-{interval[1]:.3f}</small>")


def shared_cases(result: CrossValidation) -> str:
    """All models on the cases that every one of them predicted."""
    rows = [
        [escape(_any_name(name)), str(found.n), *(_with_interval(found.figures[key], None) for key in COLUMNS)]
        for name, found in result.complete.items()
    ]
    marked = [place for place, name in enumerate(result.complete) if name.startswith("gimp_")]
    return table(["model", "cases", *COLUMNS.values()], rows, marked)


def _any_name(name: str) -> str:
    modality = {f"gimp_{key}": words for key, words in INPUTS.items()}.get(name)
    return in_words(name) if modality is None else f"GiMP, {modality}"


def comparisons(found: Mapping[Any, Comparison]) -> str:
    """Differences to the best baseline of the same inputs."""
    rows = [
        [
            INPUTS[name],
            escape(in_words(c.baseline)),
            str(c.n),
            *(_difference(c, figure) for figure in ("accuracy", "auc")),
            f"{c.only_model_right} : {c.only_baseline_right} <small>p = {c.mcnemar_p:.2g}</small>",
        ]
        for name, c in found.items()
    ]
    head = ["GiMP sees", "best baseline", "cases", "accuracy difference", "AUC difference", "right alone (McNemar)"]
    return table(head, rows)


def _difference(c: Comparison, figure: str) -> str:
    d = c.differences.get(figure)
    if d is None:
        return "-"
    return f"{d.difference:+.3f} <small>{d.ci95[0]:+.3f} to {d.ci95[1]:+.3f}, p = {d.p:.2g}</small>"


def per_fold(result: CrossValidation) -> str:
    """The headline's figures in every fold."""
    summary = result.by_modality[result.modality]
    rows = [[escape(name), *_plain_cells(found)] for name, found in summary.per_fold.items()]
    return table(["fold", "cases", *(name.replace(" (pooled)", "") for name in COLUMNS.values())], rows)


def _plain_cells(found: Figures | None) -> list[str]:
    if found is None:
        return ["0", *["-"] * len(COLUMNS)]
    return [str(found.n), *(_with_interval(getattr(found, name), None) for name in COLUMNS)]


def by_site(result: CrossValidation) -> str:
    """Who is called what, site by site."""
    kinds = [f"{true} called {said}" for true in result.classes for said in result.classes]
    rows = [
        [escape(row["site"] or "unknown"), str(row["n"]), str(row["right"])]
        + [str(count) if count else "" for line in row["confusion"] for count in line]
        for row in result.confusion_by_site
    ]
    return table(["site", "cases", "right", *map(escape, kinds)], rows)


def hard(result: CrossValidation) -> str:
    """The patients whom no model calls right."""
    rows = [
        [
            escape(str(case["case"])),
            escape(str(case["site"])),
            escape(str(case["fold"])),
            escape(str(case["label"])),
            f"{case['probability']:.3f}",
            str(case["models"]),
        ]
        for case in result.hard_cases
    ]
    return table(["case", "site", "fold", "label", "GiMP's probability of the label", "models that miss it"], rows)


def pairs(found: Mapping[str, Any]) -> str:
    """Names and values, say of settings."""
    return table(["name", "value"], [[escape(name), escape(_brief(value))] for name, value in _flat(found).items()])


def _brief(value: Any) -> str:
    """Long lists are in the JSON; a page shows how they begin."""
    text = str(value)
    return text if len(text) <= MOST_CHARACTERS else f"{text[:MOST_CHARACTERS]} ..."


def _flat(found: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in found.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return flat
