"""What ``predict`` writes: a folder a slide, with or without names, with or without a report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from napari_gimp.export import export_prediction
from napari_gimp.export.anonymous import neutral_name, user_salt, veil_of
from napari_gimp.export.report import ReportCase, report_case
from napari_gimp.options import NameOptions
from napari_gimp.slides import Slide
from napari_gimp.types import Prediction, SlideFacts


class Outputs:
    """The folders of one call.

    Parameters
    ----------
    out
        Where the folders go: each named by its slide, of anonymous ones by a neutral name.
    hide
        Names and paths that the user gave, besides the slides' own.
    """

    def __init__(self, out: Path, names: NameOptions, hide: Sequence[str | Path] = ()) -> None:
        self._out, self._hide = out, tuple(hide)
        self._anonymous, self._names = names.anonymous, names.report_names
        self._report = names.report or names.report_names
        self._salt = user_salt() if self._anonymous or self._report else b""

    def folder(self, facts: SlideFacts) -> Path:
        """Where the result of a slide goes."""
        return self._out / (neutral_name(facts.identity, self._salt) if self._anonymous else facts.name)

    def write(self, slide: Slide, prediction: Prediction, *, overwrite: bool) -> list[Path]:
        """Write the result of an open slide; returns the files."""
        return export_prediction(
            prediction,
            self.folder(prediction.slide),
            picture=slide.overview(),
            veil=veil_of(prediction, salt=self._salt, hide=[slide.path, *self._hide]) if self._anonymous else None,
            report=self._case(slide, prediction) if self._report else None,
            overwrite=overwrite,
        )

    def _case(self, slide: Slide, prediction: Prediction) -> ReportCase:
        veil = veil_of(prediction, salt=self._salt, hide=[slide.path, *self._hide])
        return report_case(slide, prediction, allow_names=self._names, veil=veil)
