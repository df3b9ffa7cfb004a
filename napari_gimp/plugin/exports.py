"""What leaves the window: the folder of a result and the page a case; without names unless the user allows them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from napari_gimp.plugin import job
from napari_gimp.plugin.desk import Desk
from napari_gimp.plugin.errands import Errands
from napari_gimp.plugin.maps import PatchMap
from napari_gimp.plugin.palette import matplotlib_name
from napari_gimp.plugin.panel.results import ResultSection
from napari_gimp.plugin.patches.marks import Mark
from napari_gimp.plugin.regions.regionkeeper import keeper_of
from napari_gimp.plugin.regions.regionrows import RegionMemory, Row
from napari_gimp.plugin.regions.regionshapes import outlines
from napari_gimp.plugin.session import Request
from napari_gimp.settings import InputError
from napari_gimp.types import WHAT_IF, Prediction, Progress

NOTHING_YET = "There is no result to export yet: expected a finished run; run GiMP first."


class Exports:
    """Writes the whole result in sight to where the user says.

    Parameters
    ----------
    chosen_map
        The map in sight, which the report shows.
    report_progress, errands
        What to do with progress; the panel's workers.
    """

    def __init__(
        self,
        desk: Desk,
        result: ResultSection,
        chosen_map: Callable[[], PatchMap | None],
        report_progress: Callable[[Progress | None], None],
        errands: Errands,
    ) -> None:
        self.desk, self.result, self.errands = desk, result, errands
        self._chosen_map, self._progress = chosen_map, report_progress
        result.export_to.connect(lambda folder: self.export(Path(folder)))
        result.report_to.connect(lambda folder: self.report(Path(folder)))

    def ask(self) -> None:
        """Let the user choose a folder for the export, once there is a whole result."""
        self._once_whole(self.result.ask_folder)

    def ask_report(self) -> None:
        """Let the user choose a folder for the page, once there is a whole result."""
        self._once_whole(self.result.ask_report)

    def _once_whole(self, act: Callable[[], object]) -> None:
        if self._whole() is None:
            self.desk.fail(InputError(NOTHING_YET))
        else:
            act()

    def _whole(self) -> tuple[Prediction, Request] | None:
        found, origin = self.desk.session.prediction, self.desk.session.origin
        return None if found is None or origin is None or found.partial < 1 else (found, origin)

    def export(self, folder: Path) -> None:
        """Write the last whole result to a folder, with a picture of the slide that it was made of."""
        whole = self._whole()
        if whole is not None:
            prediction, origin = whole
            run = {"device": origin.choices.device, "from": "napari"}
            self._start(job.export, prediction, origin.path, folder, run, allow_names=self.result.allows_names)

    def report(self, folder: Path) -> None:
        """Write report.html and report.pdf of the last whole result to a folder."""
        whole = self._whole()
        if whole is not None:
            prediction, origin = whole
            self._start(job.report, prediction, origin.path, folder, **self._page(prediction, origin))

    def _page(self, prediction: Prediction, origin: Request) -> dict[str, Any]:
        """What the page holds besides the prediction."""
        shown, asked = self._chosen_map(), self.desk.asked()
        keeper = keeper_of(self.desk)
        marks = self.desk.marks.get(prediction.slide.identity, [])
        return {
            "allow_names": self.result.allows_names,
            "hide": [origin.choices.sample] if origin.choices.sample else [],
            "drawn": [outline for layer in keeper.layers(prediction.slide) for outline in outlines(layer)],
            "shown": shown,
            "what_ifs": [] if asked is None else [asked],
            "marks": list(marks),
        }

    def _start(self, make: Callable[..., Any], *args: Any, **more: Any) -> None:

        def work() -> Any:
            return make(*args, **_for_the_page(args[0], more))

        self.errands.start(
            work,
            returned=lambda files: self.desk.say(f"Written to {files[0].parent}."),
            errored=self.desk.fail,
            yielded=self._progress,
        )


def _for_the_page(prediction: Prediction, more: dict[str, Any]) -> dict[str, Any]:
    """The window's nouns as those of the report; made in the worker."""
    if "drawn" not in more:
        return more
    from napari_gimp.export import report

    rows = RegionMemory().rows(more.pop("drawn"), prediction.slide, prediction)
    shown: PatchMap | None = more.pop("shown")
    called = prediction.classes[int(prediction.probabilities[prediction.modality].argmax())]
    return {
        **more,
        "regions": tuple(_region(row, called) for row in rows),
        "outlines": tuple(row.region for row in rows),
        "what_ifs": tuple(_what_if(asked) for asked in more["what_ifs"]),
        "marks": tuple(_mark(mark) for mark in more["marks"]),
        "shown": None
        if shown is None
        else report.ShownMap(shown.title, shown.unit, shown.values, matplotlib_name(shown), shown.signed),
    }


def _region(row: Row, called: str) -> Any:
    from napari_gimp.export.report import RegionRow

    facts = row.facts
    return RegionRow(
        facts.name,
        facts.classification,
        facts.area_mm2,
        facts.patches or 0,
        facts.patch_share or 0.0,
        facts.attention,
        facts.support.get(called),
        facts.error,
    )


def _what_if(asked: Prediction) -> Any:
    from napari_gimp.export.report import WhatIf

    kinds = {edit["edit"] for edit in asked.provenance["what_if"]}
    label = str(asked.provenance["what_if_label"]).removeprefix(WHAT_IF)
    return WhatIf(label, "regions" if kinds == {"region"} else "genes", asked.probabilities[asked.modality])


def _mark(mark: Mark) -> Any:
    from napari_gimp.export.report import Mark as ReportMark

    (y, x), (height, width) = mark["yx"], mark["size_yx"]
    return ReportMark(mark["label"], (y + height / 2, x + width / 2))
