"""Gene profile and checkpoint: from a path in the panel to what the session knows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from napari_gimp.bundled import DEMO_CHECKPOINT, resource
from napari_gimp.genes import Expression, choose_sample
from napari_gimp.gimp.checkpoint import read_facts
from napari_gimp.plugin import job
from napari_gimp.plugin.jobs import Jobs
from napari_gimp.plugin.panel import Panel
from napari_gimp.plugin.session import Session
from napari_gimp.settings import InputError
from napari_gimp.types import Progress


class Inputs:
    """Reads what the user points at and puts it into the session; knows no viewer.

    Parameters
    ----------
    report, fail
        What to do with progress and with errors.
    arrived
        Called when a profile has been read and matched.
    """

    def __init__(
        self,
        panel: Panel,
        session: Session,
        jobs: Jobs,
        report: Callable[[Progress], None],
        fail: Callable[[Exception], None],
        arrived: Callable[[], None],
    ) -> None:
        self.panel, self.session, self.jobs = panel, session, jobs
        self._report, self._fail, self._arrived = report, fail, arrived
        panel.profile.file_chosen.connect(self.load_profile)
        panel.profile.sample_chosen.connect(self._choose_sample)
        panel.model.checkpoint_chosen.connect(self._choose_checkpoint)
        panel.model.demo_chosen.connect(lambda: self.load_checkpoint(None))

    def load_profile(self, path: Path | None) -> None:
        """Read an expression file in the background; None takes the profile away."""
        self.panel.error.clear()
        self.panel.profile.file.set_path(path)
        self.session.change(expression=None, sample=None)
        self.panel.profile.set_samples((), "")
        if path is not None:
            self.jobs.start(
                job.read_profiles, path, returned=self._take_expression, errored=self._fail, yielded=self._report
            )

    def _take_expression(self, expression: Expression) -> None:
        """Offer the samples; propose the one whose barcode is the slide's, else ask."""
        self.panel.profile.set_samples(expression.samples, "")
        self.panel.runs.set_progress("", 0, 1)
        self.session.change(expression=expression, sample=None, sample_notes=())
        self.match_sample(None)
        self._arrived()

    def match_sample(self, wished: str | None) -> None:
        """Take the slide's own sample or the one wished for, unless it is another patient's."""
        chosen = self.session.choices
        if chosen.expression is None or chosen.slide is None:
            return
        try:
            match = choose_sample(chosen.expression, chosen.slide.name, wished)
        except InputError as error:
            self.session.change(sample=None, sample_notes=(str(error),))
            return
        self.session.change(sample=match.sample, sample_notes=match.notes)
        self.panel.profile.show_sample(match.sample)

    def _choose_sample(self, sample: str) -> None:
        if sample:
            self.match_sample(sample)

    def _choose_checkpoint(self, path: Path | None) -> None:
        if path is None:
            self.session.change(checkpoint=None, facts=None)
        else:
            self.load_checkpoint(path)

    def load_checkpoint(self, path: Path | None) -> None:
        """Take a checkpoint folder; None is the bundled demo model."""
        self.panel.error.clear()
        try:
            folder = resource(DEMO_CHECKPOINT) if path is None else path
            facts = read_facts(folder)
        except InputError as error:
            self._fail(error)
            self.session.change(checkpoint=None, facts=None)
            return
        if path is not None:
            self.panel.model.set_own_folder(True)
            self.panel.model.folder.set_path(path)
        self.session.change(checkpoint=folder, facts=facts)
