"""Gene profile and checkpoint: from a path in the panel to what the session knows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from napari_gimp.bundled import DEMO_CHECKPOINT, resource
from napari_gimp.genes import Expression, choose_sample
from napari_gimp.gimp.card import read_card
from napari_gimp.gimp.checkpoint import read_facts
from napari_gimp.plugin import job
from napari_gimp.plugin.errands import Errands
from napari_gimp.plugin.panel.panel import Panel
from napari_gimp.plugin.session import Session
from napari_gimp.settings import InputError
from napari_gimp.types import Progress


class Inputs:
    """Reads what the user points at and puts it into the session; knows no viewer.

    Parameters
    ----------
    report, fail
        What to do with progress (None: nothing goes on any more) and with errors.
    """

    def __init__(
        self,
        panel: Panel,
        session: Session,
        jobs: Errands,
        report: Callable[[Progress | None], None],
        fail: Callable[[Exception], None],
    ) -> None:
        self.panel, self.session, self.jobs = panel, session, jobs
        self._report, self._fail = report, fail
        self._reads = 0
        self._stop: Callable[[], None] = _nothing
        self._then: Callable[[], None] = _nothing
        panel.profile.file_chosen.connect(self.load_profile)
        panel.profile.sample_chosen.connect(self._choose_sample)
        panel.model.checkpoint_chosen.connect(self._choose_checkpoint)
        panel.model.demo_chosen.connect(lambda: self.load_checkpoint(None))

    def load_profile(self, path: Path | None) -> None:
        """Read an expression file in the background; None takes the profile away. Only the newest choice counts."""
        self._give_up_reading()
        self.panel.error.clear()
        self.panel.profile.file.set_path(path)
        self.panel.profile.set_samples((), "")
        self.session.change(reading=path, unread=None, expression=None, sample=None, sample_notes=())
        if path is not None:
            number = self._reads
            self._stop = self.jobs.start(
                job.read_profiles,
                path,
                yielded=lambda progress: self._if_newest(number, self._report, progress),
                returned=lambda expression: self._if_newest(number, self._take_expression, expression),
                errored=lambda error: self._if_newest(number, self._read_failed, error),
            )

    def when_read(self, act: Callable[[], None]) -> None:
        """Act now, or as soon as the profile that is being read is there; a later choice or an error forgets it."""
        if self.session.choices.reading is None:
            act()
        else:
            self._then = act

    def _give_up_reading(self) -> None:
        self._stop()
        self._reads += 1
        self._stop = self._then = _nothing
        if self.session.choices.reading is not None:
            self._report(None)

    def _if_newest(self, number: int, act: Callable[[Any], None], value: Any) -> None:
        if number == self._reads:
            act(value)

    def _read_failed(self, error: Exception) -> None:
        self._give_up_reading()
        self.session.change(reading=None, unread=self.session.choices.reading)
        self._fail(error)

    def _take_expression(self, expression: Expression) -> None:
        """Offer the samples; propose the one whose barcode is the slide's, else ask."""
        self.panel.profile.set_samples(expression.samples, "")
        self._report(None)
        self.session.change(reading=None, expression=expression, sample=None, sample_notes=())
        self.match_sample(None)
        then, self._then = self._then, _nothing
        then()

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
            facts, members = read_facts(folder), members_of(folder)
        except InputError as error:
            self._fail(error)
            self.session.change(checkpoint=None, facts=None)
            return
        if path is not None:
            self.panel.model.set_own_folder(True)
            self.panel.model.folder.set_path(path)
        self.session.change(checkpoint=folder, facts=facts, members=members)
        if facts.encoder is not None:
            self.panel.model.suit_encoder(facts.encoder)


def members_of(folder: Path) -> int:
    """How many models, trained from other seeds, a checkpoint holds."""
    return int(read_card(folder).get("members", 1))


def _nothing() -> None:
    """Nothing to stop, nothing to do next."""
