"""``report.pdf``: one A4 page of a case, text as text; what does not fit is counted and stands in ``report.html``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib import rc_context
from matplotlib.figure import Figure

from napari_gimp.doubt import doubt_sentences
from napari_gimp.export.drawing import view_of
from napari_gimp.export.plain import NOTICE
from napari_gimp.export.report import content, pictures
from napari_gimp.export.report.case import ReportCase
from napari_gimp.export.report.content import Table
from napari_gimp.export.report.paper import HEIGHT, INNER, MARGIN, PER_INCH, Number, Sheet, cut, leading, wrapped
from napari_gimp.export.report.pictures import SMALL
from napari_gimp.words import RESEARCH_ONLY

LEFT, GAP = 4.3, 0.25
RIGHT = INNER - LEFT - GAP
LEAST_SLIDE = 2.7
HEAD_ONLY = 0.25
PATCHES, PATCH_ROW, IN_ROW = 1.58, 1.38, 6
TRIES = (
    (6, 2.2, PATCHES),
    (4, 1.9, PATCHES),
    (3, 1.7, 1.4),
    (2, 1.5, 1.3),
    (2, 1.5, HEAD_ONLY),
    (2, HEAD_ONLY, HEAD_ONLY),
)
"""Rows of a table, heights of genes and patches, roomiest first: the answer and its doubt are never left out."""
BELOW_SLIDE = 0.62
MOST_CLASSES = 4
TINY = 5.5


@dataclass(frozen=True)
class Plan:
    """Heights of the parts in inches: what a page of this many rows a table leaves for the slide."""

    rows: int
    genes: Number
    patches: Number
    tables: tuple[float, ...]
    foot: float
    slide: float


def _plan(sheet: Sheet, case: ReportCase) -> Plan:
    """The roomiest page on which slide and answer still have the room that they need."""
    plans = [_planned(sheet, case, *heights) for heights in TRIES]
    needed = max(min(LEAST_SLIDE, _overview_height(case)), _answer_height(case))
    return next((plan for plan in plans if plan.slide >= needed), plans[-1])


def _planned(sheet: Sheet, case: ReportCase, rows: int, genes: Number, patches: Number) -> Plan:
    genes = genes if case.prediction.gene_attribution is not None else 0.0
    patches, foot = patches if case.patches else 0.0, _foot_height(case)
    tables = tuple(max(_table_height(table, rows) for _, table, *_ in row) for row in _tables(case))
    left = HEIGHT - MARGIN - sheet.top - patches - foot - genes - sum(tables)
    slide = min(left, max(_overview_height(case), _answer_height(case)))
    more_rows = min((len(case.patches) - 1) // IN_ROW, int((left - slide) / PATCH_ROW)) if patches > HEAD_ONLY else 0
    return Plan(rows, genes, patches + more_rows * PATCH_ROW, tables, foot, slide)


def write_sheet(path: Path, case: ReportCase) -> None:
    """Write the page of a case whose names are already as the report may show them."""
    about = {"Title": content.title(case), "Subject": NOTICE, "Creator": "napari-gimp", "Producer": "matplotlib"}
    with rc_context({"pdf.fonttype": 42}):
        draw_sheet(case).savefig(path, format="pdf", metadata=about)


def draw_sheet(case: ReportCase) -> Figure:
    """The page as a figure."""
    sheet = Sheet()
    _head(sheet, case)
    plan = _plan(sheet, case)
    _answer(sheet, case, plan.slide)
    if plan.patches:
        _patches(sheet, case, plan.patches)
    if plan.genes:
        _genes(sheet, case, plan.genes)
    for row, height in zip(_tables(case), plan.tables, strict=True):
        for name, table, left, width in row:
            _table(sheet, name, table, plan.rows, left, width)
        sheet.top += height
    _foot(sheet, case, plan.foot)
    return sheet.figure


def _head(sheet: Sheet, case: ReportCase) -> None:
    """Title, date, the line of research use, who and what."""
    sheet.title(0, 0, content.title(case), INNER - 1.6, 14)
    sheet.text(INNER, 0.06, content.date(case), 7.5, ha="right")
    frame = {"facecolor": "white", "edgecolor": "black", "boxstyle": "square,pad=0.35", "linewidth": 1.2}
    sheet.text(0.05, 0.36, RESEARCH_ONLY, 9, weight="bold", bbox=frame)
    caution = content.caution(case.prediction)
    sheet.text(0, 0.66, caution, 7.5, weight="bold")
    top = 0.86 if caution else 0.68
    rows = [cut(f"{name}: {value}", 7.5, INNER) for name, value in content.identity_rows(case)]
    sheet.top += top + sheet.lines(0, top, rows, 7.5, INNER) + 0.08


def _bars_height(case: ReportCase) -> float:
    shown = min(MOST_CLASSES, len(case.prediction.classes))
    return 0.125 * shown * (1 + len(case.prediction.probabilities))


def _doubt_lines(case: ReportCase) -> list[str]:
    return [f"• {line}" for line in doubt_sentences(case.prediction)]


def _answer_height(case: ReportCase) -> float:
    lines = sum(len(wrapped(line, 7, RIGHT)) for line in _doubt_lines(case))
    return 1.15 + _bars_height(case) + lines * leading(7)


def _overview_height(case: ReportCase) -> float:
    """Height of the slide at its full width, with its colour bar."""
    view = view_of(case.prediction, case.outlines)
    (left, top, right, bottom), (y, x) = view.bounds, view.unit_yx
    return min(5.2, LEFT * (bottom - top) * y / ((right - left) * x)) + BELOW_SLIDE


def _answer(sheet: Sheet, case: ReportCase, height: Number) -> None:
    """The slide with its map at the left, the answer and what speaks against it at the right."""
    tall = min(height, _overview_height(case)) - BELOW_SLIDE
    axis = sheet.box(0, 0, LEFT, tall)
    axis.set_anchor("N")
    colour = pictures.overview(axis, case)
    pictures.map_bar(sheet.box(0.3, tall + 0.07, LEFT - 0.6, 0.09), case, colour)
    if entries := pictures.legend(case):
        axis.legend(handles=entries, fontsize=SMALL, loc="lower right", framealpha=0.85)
    left, bars = LEFT + GAP, _bars_height(case)
    called, _, probability = content.headline(case.prediction).rpartition(": ")
    sheet.title(left, 0, called, RIGHT, 11)
    sheet.title(left, leading(11), probability, RIGHT, 9)
    pictures.probabilities(sheet.box(left + 0.78, 0.4, RIGHT - 0.78, bars), case.prediction, MOST_CLASSES)
    sheet.title(left, 0.4 + bars + 0.38, "Doubt")
    sheet.lines(left, 0.4 + bars + 0.55, _doubt_lines(case), 7, RIGHT)
    sheet.top += height


def _patches(sheet: Sheet, case: ReportCase, height: Number) -> None:
    """Pictures in a row, each with its number on the slide, its value and its place."""
    rows = 1 + int((height - PATCHES + 0.01) / PATCH_ROW) if height > HEAD_ONLY else 0
    most = rows * IN_ROW
    sheet.title(0, 0, f"Patches: {case.patches_by or f'most {case.map.title}'}{_rest(len(case.patches), most)}")
    step = (INNER + 0.1) / IN_ROW
    side = min(PATCH_ROW, height - 0.2) - 0.42
    for number, item in enumerate(case.patches[:most]):
        left, below = number % IN_ROW * step, 0.2 + number // IN_ROW * PATCH_ROW
        axis = sheet.box(left, below, side, side)
        axis.imshow(item.pixels, interpolation="antialiased")
        axis.set(xticks=[], yticks=[])
        value, place, label = content.patch_words(case, number)
        for line, part in enumerate(filter(None, (f"{number + 1}: {value}", place, label))):
            sheet.text(left, below + 0.04 + side + line * leading(SMALL), cut(part, SMALL, step), SMALL)
    sheet.top += height


def _genes(sheet: Sheet, case: ReportCase, height: Number) -> None:
    """Genes at the left, gene groups at the right, what they are worth below."""
    if height <= HEAD_ONLY:
        sheet.title(0, 0, "Genes (in report.html)")
        sheet.top += height
        return
    tall, half = height - 0.94, INNER / 2
    most = int(tall / 0.125)
    pictures.genes(sheet.box(1.35, 0.2, half - 1.5, tall), case.prediction, most)
    if case.prediction.group_attention is not None:
        pictures.groups(sheet.box(half + 1.5, 0.2, half - 1.5, tall), case.prediction, most)
    words = f"{content.completeness(case.prediction)} {content.ATTRIBUTION} {content.GENES_MOVE}"
    sheet.lines(0, height - 0.33, wrapped(words, SMALL, INNER)[:2], SMALL, INNER)
    sheet.top += height


def _tables(case: ReportCase) -> list[list[tuple[str, Table, float, float]]]:
    """Rows of tables, each with its title, left edge and width: regions; what-ifs beside marks."""
    rows = [[("Regions", content.regions(case), 0.0, INNER)]] if case.regions else []
    half = INNER / 2 if case.what_ifs and case.marks else INNER
    second = [(content.WHAT_IF, content.what_ifs(case, MOST_CLASSES), 0.0, half + 0.4)] if case.what_ifs else []
    if case.marks:
        second.append(("Marks", content.marks(case), INNER - half + 0.6 if second else 0.0, half - 0.6))
    return [*rows, second] if second else rows


def _table_height(table: Table, rows: int) -> float:
    return 0.36 + 0.13 * (1 + min(rows, len(table.rows)))


def _rest(count: int, most: int) -> str:
    shown = f"the first {most} of {count}; " if most else ""
    return f" ({shown}all {count} in report.html)" if count > most else ""


def _table(sheet: Sheet, name: str, table: Table, most: int, left: Number, width: Number) -> None:
    """Columns as wide as their longest cell needs."""
    sheet.title(left, 0, f"{name}{_rest(len(table.rows), most)}", width)
    rows = [table.head, *table.rows[:most]]
    columns = _columns(rows, width)
    for column, characters in enumerate(columns):
        for number, row in enumerate(rows):
            cell = row[column] if len(row[column]) < characters else f"{row[column][: characters - 2]}…"
            sheet.text(left, 0.2 + 0.13 * number, cell, SMALL, weight="normal" if number else "bold")
        left += characters * SMALL / PER_INCH


def _columns(rows: Sequence[Sequence[str]], width: Number) -> list[int]:
    """Characters of each column: as many as it needs, the widest ones cut until all fit; heads are bold, so wider."""
    wide = [
        max(len(cell) * (1.0 if number else 1.12) for number, cell in enumerate(column))
        for column in zip(*rows, strict=True)
    ]
    found = [round(each) + 2 for each in wide]
    while sum(found) * SMALL / PER_INCH > width and max(found) > 5:
        found[found.index(max(found))] -= 1
    return found


def _foot_lines(case: ReportCase) -> list[str]:
    parameters = "; ".join(f"{name} {_brief(value)}" for name, value in content.parameters(case).items())
    found = ", ".join(f"{name} {value}" for name, value in content.versions(case.prediction).items())
    return [f"Parameters: {parameters}.", f"Versions: {found or 'not recorded'}."]


def _brief(value: str) -> str:
    """Hashes by their first characters: the whole ones stand in report.html."""
    return value if len(value) <= 40 else f"{value[:12]}…"


def _foot_height(case: ReportCase) -> float:
    lines = [part for line in _foot_lines(case) for part in wrapped(line, TINY, INNER)]
    return 0.15 + len(lines) * leading(TINY)


def _foot(sheet: Sheet, case: ReportCase, height: Number) -> None:
    """Parameters and versions at the end of the page, whatever stands above."""
    sheet.top = HEIGHT - MARGIN - height + 0.12
    sheet.lines(0, 0, _foot_lines(case), TINY, INNER)
