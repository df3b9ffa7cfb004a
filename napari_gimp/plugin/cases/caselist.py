"""A list of cases: slides of a folder or of a cohort table, what is known of each, filtered and sorted. No window."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

from napari_gimp.genes.barcodes import case_of
from napari_gimp.settings import InputError
from napari_gimp.slides import find_slides
from napari_gimp.words import share

State = Literal["new", "embedded", "predicted", "failed"]
STATES: tuple[State, ...] = get_args(State)
COLUMNS = ("case", "label", "prediction", "state")
REQUIRED = ("case_id", "slide_id")
NAMED = 3
"""How many names a sentence lists."""


@dataclass(frozen=True)
class CaseSlide:
    """One slide of a case; ``path`` is None where its file was not found."""

    case_id: str
    slide_id: str
    path: Path | None
    label: str = ""
    site: str = ""


@dataclass(frozen=True)
class Standing:
    """What is known of a slide: its state, why it failed, the most probable class and what that rests on."""

    state: State = "new"
    reason: str = ""
    called: str = ""
    probability: float | None = None
    inputs: str = ""

    @property
    def prediction(self) -> str:
        """Class and probability, as in the panel; empty without one."""
        return "" if self.probability is None else f"{self.called} {share(self.probability)}"


@dataclass(frozen=True)
class CaseList:
    """The slides of a folder or table in its order, those of a case together; ``notes`` are sentences for the user."""

    source: Path
    slides: tuple[CaseSlide, ...]
    notes: tuple[str, ...] = ()

    @property
    def missing(self) -> tuple[CaseSlide, ...]:
        """Those whose file was not found."""
        return tuple(slide for slide in self.slides if slide.path is None)


def read_list(source: Path, slides: Path | None = None) -> CaseList:
    """The cases of a folder of slides, or of a cohort table (``case_id, slide_id[, label, site]``).

    Parameters
    ----------
    slides
        Folder of the table's slides; else its own folder. Subfolders are looked through, one level deep.

    Raises
    ------
    InputError
        A folder without slides; a table that cannot be read, without the columns, or without a slide.
    """
    return read_folder(source) if source.is_dir() else read_table(source, slides or source.parent)


def read_folder(folder: Path) -> CaseList:
    """Every slide of a folder; TCGA's barcodes say which belong to one patient, other names are a case each.

    Raises
    ------
    InputError
        No such folder, or no slide in it.
    """
    try:
        paths = find_slides(folder)
    except OSError as error:
        raise InputError(
            f"{folder}: expected a folder of slides, found: {error.strerror or error}; choose another one."
        ) from error
    if not paths:
        raise InputError(f"{folder}: expected slides in this folder, found none; choose the folder that holds them.")
    stems = Counter(path.stem for path in paths)
    names = [path.stem if stems[path.stem] == 1 else path.name for path in paths]
    twice = [name for name, count in stems.items() if count > 1]
    notes = (f"{_count(len(twice), 'name')} in {folder.name} {_are(twice)} that of several files: {_some(twice)}; each"
             " is listed with its ending.",) if twice else ()  # fmt: skip
    slides = [CaseSlide(case_of(name), name, path) for name, path in zip(names, paths, strict=True)]
    return CaseList(folder, _together(slides), notes)


def read_table(table: Path, folder: Path) -> CaseList:
    """The slides of a cohort table; labels may be missing, for they are not needed to predict.

    Raises
    ------
    InputError
        It cannot be read, lacks a column, or holds no slide.
    """
    rows = _rows(table)
    nameless = sum(not row["case_id"] for row in rows)
    named = [row for row in rows if row["case_id"] and row["slide_id"]]
    if not named:
        raise InputError(
            f"{table.name}: expected rows with case_id and slide_id, found none in {_count(len(rows), 'row')}; fill"
            " them in."
        )
    kept, twice = _each_once(named)
    places = _places(folder)
    slides = [
        CaseSlide(row["case_id"], row["slide_id"], _file_of(row["slide_id"], places), row["label"], row["site"])
        for row in kept
    ]
    made = CaseList(table, _together(slides))
    return replace(made, notes=tuple(_table_notes(made, folder, nameless, twice)))


def _rows(table: Path) -> list[dict[str, str]]:
    try:
        text = table.read_bytes().decode("utf-8-sig")
        first = text.splitlines()[0] if text.strip() else ""
        separator = max(",;\t", key=first.count)
        read = list(csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        said = error.strerror if isinstance(error, OSError) and error.strerror else " ".join(str(error).split())
        raise InputError(
            f"{table.name}: expected a cohort table (CSV with case_id, slide_id and perhaps label, site), found:"
            f" {said}; save it as CSV again."
        ) from error
    columns = [name.strip() for name in read[0]] if read else []
    lacking = [name for name in REQUIRED if name not in columns]
    if lacking:
        raise InputError(
            f"{table.name}: expected the columns {' and '.join(REQUIRED)} and perhaps label and site, found"
            f" {', '.join(columns) or 'nothing'}; add {' and '.join(lacking)}."
        )
    wanted = (*REQUIRED, "label", "site")
    dictionaries = [dict(zip(columns, (cell.strip() for cell in row), strict=False)) for row in read[1:] if any(row)]
    return [{name: row.get(name, "") for name in wanted} for row in dictionaries]


def _each_once(rows: Sequence[dict[str, str]]) -> tuple[list[dict[str, str]], list[str]]:
    """The first row of each slide, and the slides that have more."""
    first: dict[str, dict[str, str]] = {}
    for row in rows:
        first.setdefault(row["slide_id"], row)
    counts = Counter(row["slide_id"] for row in rows)
    return list(first.values()), [name for name, count in counts.items() if count > 1]


def _table_notes(made: CaseList, folder: Path, nameless: int, twice: list[str]) -> list[str]:
    notes = []
    if twice:
        notes.append(
            f"{made.source.name} has more than one row of {_count(len(twice), 'slide')} ({_some(twice)}): the first row"
            " counts."
        )
    if nameless:
        notes.append(
            f"{_count(nameless, 'row')} of {made.source.name} without a case_id {_are([''] * nameless)} left out."
        )
    missing = [slide.slide_id for slide in made.missing]
    if missing:
        counted = f"{len(missing)} of {_count(len(made.slides), 'slide')} {_are(missing)}"
        notes.append(
            f"{counted} not in {folder.name} or the folders in it ({_some(missing)}): put them there, or choose the"
            " folder of the slides."
        )
    return notes


def _together(slides: Sequence[CaseSlide]) -> tuple[CaseSlide, ...]:
    """The slides of a case one after the other, where its first one stands."""
    cases = {case: number for number, case in enumerate(dict.fromkeys(slide.case_id for slide in slides))}
    return tuple(sorted(slides, key=lambda slide: cases[slide.case_id]))


def _places(folder: Path) -> dict[str, Path]:
    """File names, and what slides are called by, to their files in a folder and in its subfolders."""
    try:
        inner = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    except OSError:
        return {}
    found: dict[str, Path] = {}
    for place in (folder, *inner):
        for path in _slides_in(place):
            for name in (path.name, path.stem, path.name.split(".")[0]):
                found.setdefault(name, path)
    return found


def _slides_in(folder: Path) -> list[Path]:
    try:
        return find_slides(folder)
    except OSError:  # a folder that may not be looked into holds none for us
        return []


def _file_of(slide_id: str, places: Mapping[str, Path]) -> Path | None:
    given = Path(slide_id)
    if given.is_absolute() and given.is_file():
        return given
    return places.get(given.name) or places.get(slide_id)


def arranged(
    slides: Sequence[CaseSlide],
    standings: Sequence[Standing],
    *,
    text: str = "",
    state: State | None = None,
    column: str = "",
    falling: bool = False,
) -> list[int]:
    """Which slides are shown, in which order; those of a case stay together, where its first one comes.

    Parameters
    ----------
    text
        What stands in case, slide, label, site, prediction or reason; several words must all be there.
    state
        Only slides in this state.
    column
        One of `COLUMNS` to sort by; the list's own order by default.
    """
    words = text.casefold().split()
    shown = [
        k
        for k, (slide, standing) in enumerate(zip(slides, standings, strict=True))
        if state in (None, standing.state) and all(word in _said(slide, standing) for word in words)
    ]
    if not column:
        return shown
    keys = {k: _key(slides[k], standings[k], column) for k in shown}
    order = sorted(shown, key=lambda k: keys[k], reverse=falling)
    cases = {case: number for number, case in enumerate(dict.fromkeys(slides[k].case_id for k in order))}
    return sorted(order, key=lambda k: cases[slides[k].case_id])


def _said(slide: CaseSlide, standing: Standing) -> str:
    parts = (slide.case_id, slide.slide_id, slide.label, slide.site, standing.prediction, standing.reason)
    return " ".join(parts).casefold()


def _key(slide: CaseSlide, standing: Standing, column: str) -> tuple[object, ...]:
    if column == "prediction":
        return standing.called.casefold(), -1.0 if standing.probability is None else standing.probability
    if column == "state":
        return (STATES.index(standing.state), standing.reason.casefold())
    if column == "label":
        return (slide.label.casefold(),)
    return slide.case_id.casefold(), slide.slide_id.casefold()


def census(standings: Iterable[Standing]) -> str:
    """How many slides are in which state, in words."""
    counts = Counter(standing.state for standing in standings)
    total = sum(counts.values())
    said = ", ".join(f"{counts[state]} {state}" for state in STATES if counts[state])
    return f"{_count(total, 'slide')}: {said}" if total else "no slides"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"


def _are(those: Sequence[object]) -> str:
    return "is" if len(those) == 1 else "are"


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
