"""Outlines that the user draws -> rows of the regions table: computed again only for what was changed. No window."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from shapely.geometry import MultiPolygon, Polygon

from napari_gimp.plugin.maps import ERROR_UNITS
from napari_gimp.plugin.regions.annotations import AREAS, shape_area
from napari_gimp.regions import Colour, Region
from napari_gimp.regions.table import RegionFacts, region_facts
from napari_gimp.settings import InputError
from napari_gimp.types import Prediction, Progress, SlideFacts

UNKNOWN = "–"
MS_PER_CORNER, MS_PER_PATCH = 1.5e-3, 6e-5
"""What a corner of a new outline, and a patch of the slide for each, costs (bench_regions)."""
Key = tuple[Any, ...]


class Outline(NamedTuple):
    """One shape of a drawn layer: corners (y, x) in its coordinates, ``place`` its scale and translate."""

    name: str
    classification: str
    colour: Colour
    kind: str
    corners: Float[np.ndarray, "n 2"]
    place: tuple[tuple[float, ...], tuple[float, ...]]


class Row(NamedTuple):
    """A region with its numbers, and which of the outlines it is."""

    outline: int
    region: Region
    facts: RegionFacts


class RegionMemory:
    """The areas of outlines, and their numbers in one result, kept while they are drawn."""

    def __init__(self) -> None:
        self._areas: dict[Key, Polygon | MultiPolygon | None] = {}
        self._numbers: dict[Key, RegionFacts] = {}
        self._result: Prediction | None = None

    def cost_ms(self, outlines: Sequence[Outline], facts: SlideFacts, result: Prediction | None) -> float:
        """How long :meth:`rows` will take, about."""
        same, patches = self._result is result, 0 if result is None else len(result.grid)
        cost = 0.0
        for outline in outlines:
            key = _key(outline, facts)
            if key not in self._areas:
                cost += MS_PER_CORNER * len(outline.corners)
            if not same or key not in self._numbers:
                cost += MS_PER_PATCH * patches
        return cost

    def rows(self, outlines: Sequence[Outline], facts: SlideFacts, result: Prediction | None) -> list[Row]:
        """One row for each outline that encloses an area, in their order; what is no longer drawn is forgotten."""
        areas: dict[Key, Polygon | MultiPolygon | None] = {}
        numbers: dict[Key, RegionFacts] = {}
        known = self._numbers if self._result is result else {}
        rows: list[Row] = []
        for place, outline in enumerate(outlines):
            key = _key(outline, facts)
            area = areas[key] = self._areas[key] if key in self._areas else _area(outline, facts)
            if area is None:
                continue
            region = Region(area, outline.name, outline.classification or None, outline.colour)
            found = numbers[key] = known.get(key) or region_facts([region], facts, result)[0]
            rows.append(Row(place, region, replace(found, name=region.name, classification=region.classification)))
        self._areas, self._numbers, self._result = areas, numbers, result
        return rows

    def work(
        self, outlines: Sequence[Outline], facts: SlideFacts, result: Prediction | None
    ) -> Generator[Progress, None, list[Row]]:
        """The same for a worker."""
        yield Progress("measuring regions", 0, len(outlines), "regions")
        return self.rows(outlines, facts, result)


def _key(outline: Outline, facts: SlideFacts) -> Key:
    return outline.kind, outline.place, outline.corners.tobytes(), facts.identity, facts.mpp_yx


def _area(outline: Outline, facts: SlideFacts) -> Polygon | MultiPolygon | None:
    if outline.kind not in AREAS:
        return None
    try:
        return shape_area(np.asarray(outline.corners, float), outline.kind, outline.place, facts.mpp_yx)
    except InputError:
        return None


class Column(NamedTuple):
    """Heading and tooltip of a column of numbers, and the phrase that a number of it stands in."""

    heading: str
    tip: str
    phrase: str


WEIGHT = "Attention is a weight inside the network, no finding."
AREA = Column("area\nmm²", "Area of the outline in mm², its holes left out.", "{} mm²")
OF_PATCHES = (
    Column("patches", "Patches whose centre lies inside.", "{} patches"),
    Column("patches\n% of slide", "Share of the slide's patches that lie inside, in %.", "{} % of the slide's patches"),
    Column(
        "attention\n× slide mean",
        f"Mean attention of its patches: 1 is the slide's average patch.\n{WEIGHT}",
        "attention {} × slide mean",
    ),
    Column(
        "attention\n% of slide",
        f"Share of the slide's attention that lies inside, in %.\n{WEIGHT}",
        "{} % of the slide's attention",
    ),
)
SUPPORT = "Mean of what its patches add to the model's output for {}, logits: + for it, − against it."
ERROR = "Mean masked reconstruction error: how much its patches surprise the model."


def columns(result: Prediction | None) -> list[Column]:
    """The columns of numbers: area alone without a result."""
    if result is None:
        return [AREA]
    found = [AREA, *OF_PATCHES]
    if result.class_support is not None:
        found += [
            Column(f"support\n{name}, logit", SUPPORT.format(name), f"support for {name} {{}} (logit)")
            for name in result.classes
        ]
    if result.reconstruction_error is not None:
        unit = ERROR_UNITS[result.provenance.get("maps", {}).get("error", "l1")]
        found.append(Column(f"error\n{unit}", ERROR, f"reconstruction error {{}} ({unit})"))
    return found


def cells(facts: RegionFacts, result: Prediction | None) -> list[str]:
    """The numbers of a region as they stand in the columns of :func:`columns`."""
    found = [_small(facts.area_mm2)]
    if result is None:
        return found
    found += [
        UNKNOWN if facts.patches is None else str(facts.patches),
        _percent(facts.patch_share), _fixed(facts.attention, ".2f"), _percent(facts.attention_share),
    ]  # fmt: skip
    if result.class_support is not None:
        found += [_fixed(facts.support.get(name), "+.2g").replace("-", "−") for name in result.classes]
    if result.reconstruction_error is not None:
        found.append(_fixed(facts.error, ".3f"))
    return found


def sentence(facts: RegionFacts, result: Prediction | None) -> str:
    """A region in words, for where the table is narrow: everything that stands in its columns."""
    head = f"{facts.name} ({facts.classification})" if facts.classification else facts.name
    pairs = zip(columns(result), cells(facts, result), strict=True)
    said = [column.phrase.replace("{}", cell) for column, cell in pairs if cell != UNKNOWN]
    return f"{head}: {', '.join(said)}."


def _small(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:#.3g}" if 0 < value < 1 else f"{value:.2f}"


def _percent(share: float | None) -> str:
    return UNKNOWN if share is None else f"{100 * share:.1f}"


def _fixed(value: float | None, form: str) -> str:
    return UNKNOWN if value is None else format(value, form)


def summary(rows: Sequence[Row], result: Prediction | None, facts: SlideFacts | None) -> str:
    """What is to be said of the table as a whole."""
    if facts is None:
        return "Open a slide: regions are drawn on it."
    if not rows:
        return "No region on this slide yet: draw one, or import a file."
    said = [f"{len(rows)} region{'s' if len(rows) > 1 else ''}."]
    beyond = [row.facts.outside for row in rows if row.facts.outside > 0]
    if beyond:
        said.append(f"{len(beyond)} of them beyond the slide, with up to {100 * max(beyond):.0f} % of the area.")
    if facts.mpp_yx is None:
        said.append("Areas need the pixel size: give it in the panel.")
    if result is None:
        said.append("Patches, attention and support come with a result: run GiMP.")
    elif result.partial < 1:
        said.append(f"Partial result: {100 * result.partial:.0f} % of the patches.")
    if result is not None and result.synthetic:
        said.append(f"The model was trained on {result.synthetic} data.")
    return " ".join(said)
