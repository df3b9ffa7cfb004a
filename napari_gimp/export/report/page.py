"""``report.html``: everything of a case in one file that needs no network and prints on A4."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Mapping
from html import escape
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from napari_gimp.doubt import doubt_sentences
from napari_gimp.export.drawing import view_of
from napari_gimp.export.report import content, pictures
from napari_gimp.export.report.case import ReportCase
from napari_gimp.export.report.content import Table
from napari_gimp.words import RESEARCH_ONLY

DPI = 150
STYLE = """
body { font: 14px/1.45 system-ui, sans-serif; color: #1d2129; max-width: 62rem; margin: 1.5rem auto; padding: 0 1rem; }
header { display: flex; justify-content: space-between; align-items: baseline; flex-wrap: wrap; }
h1 { font-size: 1.5rem; margin: 0; overflow-wrap: anywhere; }
h2 { font-size: 1.1rem; margin: 1.6rem 0 .3rem; } h3 { margin: .2rem 0; }
.notice { border: 2px solid #1d2129; padding: .35rem .8rem; font-weight: 600; margin: .6rem 0; }
.pair { display: grid; grid-template-columns: minmax(0, 3fr) minmax(0, 2fr); gap: 1.2rem; }
.half { grid-template-columns: minmax(0, 1fr) minmax(0, 1fr); }
.call { font-size: 1.25rem; font-weight: 600; margin: 0 0 .3rem; }
img { max-width: 100%; } ul { padding-left: 1.1rem; margin: .3rem 0; }
table { border-collapse: collapse; font-size: .82rem; margin: .4rem 0; font-variant-numeric: tabular-nums; }
th, td { padding: .2rem .55rem; text-align: left; border-bottom: 1px solid #dfe3e8; }
th { border-bottom: 2px solid #aab1ba; } small, figcaption { color: #565d66; }
.patches { display: grid; grid-template-columns: repeat(6, 1fr); gap: .6rem; }
.patches figure { margin: 0; overflow-wrap: anywhere; }
.patches img { width: 100%; display: block; } figcaption { font-size: .75rem; }
.asked { border-left: 4px solid #7a6fb0; padding-left: .8rem; } .wide { overflow-x: auto; }
.fine table { font-size: .7rem; } .fine td { word-break: break-word; } .fine td:first-child { white-space: nowrap; }
.columns { columns: 2; }
@page { size: A4; margin: 12mm; }
@media print {
  body { font-size: 10px; max-width: none; margin: 0; padding: 0; } img { print-color-adjust: exact; }
  section, figure, tr { break-inside: avoid; } .fine { break-inside: auto; } h2 { break-after: avoid; }
}
@media (max-width: 700px) {
  .pair, .half { grid-template-columns: minmax(0, 1fr); } .patches { grid-template-columns: 1fr 1fr; }
}
"""


def page(case: ReportCase) -> str:
    """The whole page of a case whose names are already as the report may show them."""
    title = escape(content.title(case))
    sections = (_slide, _patches, _genes, _regions, _what_ifs, _marks, _record)
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head><body>'
        f"<header><h1>{title}</h1><small>{content.date(case)}</small></header>"
        f'<p class="notice">{escape(" ".join((RESEARCH_ONLY, content.caution(case.prediction))).strip())}</p>'
        f"{_pairs(dict(content.identity_rows(case)))}{''.join(section(case) for section in sections)}</body></html>\n"
    )


def _slide(case: ReportCase) -> str:
    prediction = case.prediction
    doubt = "".join(f"<li>{escape(sentence)}</li>" for sentence in doubt_sentences(prediction))
    rows = len(prediction.classes) * (len(prediction.probabilities) + 1)
    bars = _drawn(lambda axis: pictures.probabilities(axis, prediction), (3.9, 0.5 + 0.17 * rows), "probabilities")
    return (
        f'<section class="pair"><div><h2>Slide</h2>{_overview(case)}</div><div><h2>Answer</h2>'
        f'<p class="call">{escape(content.headline(prediction))}</p>{bars}<div class="wide">'
        f"{_table(content.probabilities(prediction))}</div><h3>Doubt</h3><ul>{doubt}</ul></div></section>"
    )


def _overview(case: ReportCase) -> str:
    left, top, right, bottom = view_of(case.prediction, case.outlines).bounds
    figure = Figure(figsize=(6, min(8.0, max(2.5, 6 * (bottom - top) / (right - left))) + 0.8), layout="constrained")
    slide, bar = figure.subplots(2, 1, height_ratios=(1, 0.03))
    pictures.map_bar(bar, case, pictures.overview(slide, case))
    if entries := pictures.legend(case):
        slide.legend(handles=entries, fontsize=7, loc="lower right")
    return _image(figure, f"slide with the map of {case.map.title}")


def _patches(case: ReportCase) -> str:
    if not case.patches:
        return ""
    by = case.patches_by or f"most {case.map.title}"
    figures = []
    for number, item in enumerate(case.patches):
        value, place, label = content.patch_words(case, number)
        words = "<br>".join(escape(part) for part in (value, place, label) if part)
        figures.append(
            f'<figure><img alt="patch {number + 1}" src="{_png(Image.fromarray(item.pixels))}">'
            f"<figcaption><b>{number + 1}</b> {words}</figcaption></figure>"
        )
    return f'<section><h2>Patches: {escape(by)}</h2><div class="patches">{"".join(figures)}</div></section>'


def _genes(case: ReportCase) -> str:
    prediction = case.prediction
    if prediction.gene_attribution is None:
        return "<section><h2>Genes</h2><p>No gene profile took part.</p></section>"
    drawn = _drawn(lambda axis: pictures.genes(axis, prediction, content.MOST_GENES), (4.6, 4.2), "genes")
    words = f"{content.completeness(prediction)} {content.ATTRIBUTION} {content.GENES_MOVE}"
    return (
        f'<section><h2>Genes</h2><p>{escape(words)}</p><div class="pair half"><div>{drawn}'
        f"{_folded('Genes as a table', content.genes(prediction))}</div><div>{_groups(case)}</div></div></section>"
    )


def _groups(case: ReportCase) -> str:
    prediction = case.prediction
    if prediction.group_attention is None:
        return ""
    most = min(content.MOST_GROUPS, len(prediction.groups))
    bars = _drawn(lambda axis: pictures.groups(axis, prediction, most), (4.6, 0.9 + 0.22 * most), "gene groups")
    return bars + _folded("Gene groups as a table", content.groups(prediction))


def _folded(name: str, table: Table) -> str:
    return f"<details><summary>{escape(name)}</summary>{_table(table)}</details>"


def _regions(case: ReportCase) -> str:
    if not case.regions:
        return ""
    return f'<section><h2>Regions</h2><div class="wide">{_table(content.regions(case))}</div></section>'


def _what_ifs(case: ReportCase) -> str:
    if not case.what_ifs:
        return ""
    return (
        f'<section class="asked"><h2>{escape(content.WHAT_IF)}</h2><div class="wide">'
        f"{_table(content.what_ifs(case))}</div></section>"
    )


def _marks(case: ReportCase) -> str:
    return (
        f'<section><h2>Marks</h2><div class="wide">{_table(content.marks(case))}</div></section>' if case.marks else ""
    )


def _record(case: ReportCase) -> str:
    prediction = case.prediction
    notes = "".join(f"<li>{escape(note)}</li>" for note in content.notes(prediction))
    said = f"<section><h2>Notes of the run</h2><ul>{notes}</ul></section>" if notes else ""
    return (
        f'{said}<section class="fine"><h2>Parameters</h2><div class="columns">{_pairs(content.parameters(case))}</div>'
        f'</section><section class="fine"><h2>Versions</h2>{_pairs(content.versions(prediction))}</section>'
    )


def _table(found: Table) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in found.head)
    rows = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in found.rows)
    return f"<table><tr>{head}</tr>{rows}</table>"


def _pairs(found: Mapping[str, Any]) -> str:
    rows = "".join(
        f"<tr><td><small>{escape(str(name))}</small></td><td>{escape(str(value))}</td></tr>"
        for name, value in found.items()
    )
    return f"<table>{rows}</table>"


def _drawn(draw: Callable[[Axes], object], size: tuple[float, float], alt: str) -> str:
    figure = Figure(figsize=size, layout="constrained")
    draw(figure.subplots())
    return _image(figure, alt)


def _image(figure: Figure, alt: str) -> str:
    figure.set_dpi(DPI)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # type: ignore[no-untyped-call]
    picture = Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3])  # type: ignore[no-untyped-call]
    return f'<img alt="{escape(alt)}" src="{_png(picture)}">'


def _png(picture: Image.Image) -> str:
    sink = io.BytesIO()
    picture.save(sink, "PNG")
    return "data:image/png;base64," + base64.b64encode(sink.getvalue()).decode("ascii")
