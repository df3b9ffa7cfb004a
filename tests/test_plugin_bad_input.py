"""Every row of docs/bad-input.md that a user of the panel can bring about, in one real window that stays usable."""

from __future__ import annotations

import gc
import json
import os
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

import plugin_cases  # noqa: F401 (the user's napari settings are left alone)
import pytest
from bad_input_lab import ROWS, Args, Desk, Lab, copied_checkpoint
from bad_input_page import Promise, make_desk, make_lab, promises  # noqa: F401 fixtures
from napari.utils.notifications import ErrorNotification, NotificationSeverity, notification_manager
from plugin_room import Room, a_viewer
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QLineEdit

from napari_gimp.plugin import layers
from napari_gimp.plugin.launch import prepare
from napari_gimp.plugin.panel.parts import FileField
from napari_gimp.plugin.panel.sections import CHECKPOINTS_OWN, DETECT
from napari_gimp.types import Prediction

pytestmark = pytest.mark.window

ELSEWHERE = {
    "A path where no file is": "napari asks for files that are there",
    "A folder without slides": "folders are the command line's",
    "A folder with good slides and a bad one": "folders are the command line's",
    "A bag of other settings in the way": "the panel's bags are named after their settings",
    "Files of others in the folder of the results": "the panel makes a folder of its own, numbered where needed",
    "A device that does not exist": "the panel offers those that can exist",
    "`--batch-size` 0": "the panel has no such field",
    "An argument left out": "a command line",
    "An argument that does not exist": "a command line",
    "Text for a number": "the panel's field takes numbers only",
    "A settings file that is no TOML": "training is the command line's",
    "A profile whose scale is declared wrongly": "the panel finds the scale out",
}
"""Rows that only a command line can bring about, and why."""
EXPORTS = {"`--out` below a file", "No permission to write (results)", "A full disk (results)"}
CACHED = {"No permission to write (bag)", "A full disk (bag)", "A full disk (picture of the patches)"}
SAID_HERE = {
    "A tissue file of another slide": "Expected tissue drawn in …, found nothing of it on …; draw it, or detect.",
    "`--out` below a file": "…: expected to write there, found: …; free some space or choose another folder.",
    "No permission to write (bag)": "…: expected to read or write there, found: Permission denied; check the path, its"
    " permissions and the free space.",
}
"""Where the panel writes results, makes a folder of bags or has a layer, and the row's command a bag or a file."""
HERE = [name for name in ROWS if name not in ELSEWHERE]
ROWS_A_RUN = 15
"""After so many rows the good slide is analysed in the same window."""


@dataclass(frozen=True)
class Given:
    """What a command line of a row says, as the panel can take it."""

    slide: Path
    options: dict[str, str] = field(default_factory=dict)


def given(args: Args) -> Given:
    """``COMMAND SLIDE --name value ...`` in parts."""
    _, slide, *rest = args
    return Given(Path(slide), {str(k): str(v) for k, v in zip(rest[::2], rest[1::2], strict=True)})


class Bench(Room):
    """The window, with the good slide and the good checkpoint in it."""

    said_before = rows = 0

    def settle(self) -> None:
        self.until(lambda: not self.widget.jobs.busy and not self.widget.canvas.waiting, 60)

    def enter(self, line: QLineEdit, text: str) -> None:
        """As typed, and Return."""
        line.setText(text)
        QTest.keyClick(line, Qt.Key.Key_Return)

    def type_mpp(self, text: str) -> None:
        box = self.widget.panel.slide.mpp
        box.selectAll()
        QTest.keyClicks(box, text)
        QTest.keyClick(box, Qt.Key.Key_Return)

    def drop(self, path: Path) -> None:
        """What dropping a file does once napari has been told which plugin reads its suffix."""
        self.viewer.window._qt_viewer._qt_open([str(path)], stack=False, plugin="napari-gimp")

    def fill_in(self, options: dict[str, str]) -> None:
        """Every option in its field of the panel."""
        model, profile = self.widget.panel.model, self.widget.panel.profile
        fields: dict[str, FileField] = {"--weights": model.weights, "--bag": model.bag, "--profile": profile.file}
        if options.get("--checkpoint", str(self.widget.session.choices.checkpoint)) != model.folder.line.text():
            self.enter(model.folder.line, options["--checkpoint"])
        if "--encoder" in options and options["--encoder"] != "colour-texture":
            self.enter(model.encoder.lineEdit(), options["--encoder"])
        elif "--checkpoint" in options and "--encoder" in options:
            model.encoder.setCurrentText(options["--encoder"])
        for name, part in fields.items():
            if name in options:
                self.enter(part.line, options[name])
        self.settle()
        if "--sample" in options:
            self.enter(profile.samples.lineEdit(), options["--sample"])
        if "--mpp" in options:
            self.type_mpp(options["--mpp"])
        model.device.setCurrentText(options.get("--device", "cpu"))

    def press_run(self) -> Prediction | None:
        """Run, where that is possible, to its end: its whole result, None where it was refused."""
        before = self.widget.session.prediction
        QTest.mouseClick(self.widget.panel.runs.start, Qt.MouseButton.LeftButton)
        self.settle()
        after = self.widget.session.prediction
        return after if after is not before and after is not None and after.partial == 1 else None

    def said(self) -> list[str]:
        """Every line that the user can read now: in the panel and in napari's notifications."""
        panel = self.widget.panel
        texts = (panel.error.sentence, panel.runs.reason, panel.slide.facts, panel.profile.facts, panel.result.notes)
        seen = [text.text() for text in texts if text.isVisibleTo(self.widget)]
        return "\n".join([*seen, *(str(item.message) for item in self.notifications())]).splitlines()

    def notifications(self) -> list[object]:
        """napari's notifications of errors since the last row; it also says that some units are not known yet."""
        new = notification_manager.records[self.said_before :]
        return [item for item in new if item.severity >= NotificationSeverity.ERROR]

    def clear(self, good: Path, checkpoint: Path, cache: Path) -> None:
        """What a user does after it: closes the bad slide, empties the fields."""
        panel = self.widget.panel
        for layer in list(self.viewer.layers):
            slide = layer.metadata.get("slide")
            if layers.TAG not in layer.metadata or (slide is not None and slide.path != good):
                self.viewer.layers.remove(layer)
        self.settle()
        for line in (panel.model.weights.line, panel.model.bag.line, panel.profile.file.line):
            line.clear()
        panel.model.encoder.setCurrentText(CHECKPOINTS_OWN)
        panel.model.device.setCurrentText("cpu")
        panel.slide.tissue.setCurrentText(DETECT)
        if panel.model.folder.line.text() != str(checkpoint):
            self.enter(panel.model.folder.line, str(checkpoint))
        self.widget.session.change(cache=cache)
        panel.error.clear()
        self.settle()
        self.said_before = len(notification_manager.records)

    def run_well(self, good: Path) -> None:
        """The good slide once more, to its end."""
        again = self.press_run()
        assert again is not None, self.said()
        assert again.slide.name == good.stem
        assert not self.widget.panel.error.isVisibleTo(self.widget)


@pytest.fixture(scope="module", name="opened")
def open_bench(lab: Lab, qapp: QApplication) -> Iterator[Bench]:
    with a_viewer() as viewer:
        viewer.window.resize(800, 600)
        made = Bench(viewer, prepare(viewer, lab.tiny.slide, checkpoint=lab.tiny.checkpoint), lab.cache)
        made.widget.panel.model.device.setCurrentText("cpu")
        made.widget.session.change(cache=lab.cache)
        made.settle()
        made.run_well(lab.tiny.slide)
        gc.freeze()
        yield made


@pytest.fixture
def bench(opened: Bench, lab: Lab) -> Iterator[Bench]:
    """The window for one row: usable again after it, and for a whole result after every few."""
    yield opened
    opened.widget.cancel()
    opened.clear(lab.tiny.slide, lab.tiny.checkpoint, lab.cache)
    assert opened.widget.panel.runs.start.isEnabled()
    assert not opened.widget.jobs.busy
    opened.rows += 1
    if opened.rows % ROWS_A_RUN == 0:
        opened.run_well(lab.tiny.slide)


def test_every_row_is_here_or_said_to_be_elsewhere() -> None:
    assert set(ELSEWHERE) < set(promises())
    assert set(HERE) | set(ELSEWHERE) == set(promises())
    assert set(HERE) > EXPORTS | CACHED | set(SAID_HERE)


@pytest.mark.parametrize("name", HERE)
def test_row(name: str, lab: Lab, desk: Desk, bench: Bench) -> None:
    promise, row = promises()[name], given(ROWS[name](lab, desk))
    if "--patch-mpp" in row.options:  # the panel takes it from the checkpoint
        row.options["--checkpoint"] = str(with_patch_mpp(lab, desk, float(row.options["--patch-mpp"])))
    if name in CACHED:  # where the other user can read it
        row.options["--checkpoint"] = str(copied_checkpoint(lab, desk))
    if name in EXPORTS and row.slide != lab.tiny.slide:
        bench.drop(row.slide)
        assert bench.press_run() is not None
    with ExitStack() as during:
        for state in desk.during:
            during.enter_context(state)
        result = bring_about(name, row, bench, lab)
    check(replace(promise, says=SAID_HERE.get(name, promise.says)), result, bench)


def test_after_all_of_them_a_good_slide_is_analysed(bench: Bench, lab: Lab) -> None:
    bench.run_well(lab.tiny.slide)


def with_patch_mpp(lab: Lab, desk: Desk, mpp: float) -> Path:
    """The good checkpoint for patches of another resolution."""
    folder = copied_checkpoint(lab, desk)
    card = json.loads((folder / "checkpoint.json").read_text())
    (folder / "checkpoint.json").write_text(json.dumps(card | {"facts": card["facts"] | {"patch_mpp": mpp}}))
    return folder


def bring_about(name: str, row: Given, bench: Bench, lab: Lab) -> Prediction | None:
    """The row's input through the window; the result where there is one."""
    if name in EXPORTS:
        bench.widget.panel.result.export_to.emit(row.options["--out"])
        bench.settle()
        return None
    if row.slide != lab.tiny.slide:
        bench.drop(row.slide)
        if bench.notifications():
            return None
    if "--tissue" in row.options:
        bench.drop(Path(row.options["--tissue"]))
        if bench.notifications():
            return None
        bench.widget.panel.slide.tissue.setCurrentIndex(bench.widget.panel.slide.tissue.count() - 1)
    bench.fill_in(row.options)
    if name in CACHED:
        bench.widget.session.change(cache=Path(row.options["--out"]))
    panel = bench.widget.panel
    return bench.press_run() if panel.runs.start.isEnabled() and not panel.error.isVisibleTo(panel) else None


def check(promise: Promise, result: Prediction | None, bench: Bench) -> None:
    """The sentence stands where the user reads; what is refused gave no result, everything else a whole one."""
    said = bench.said()
    found = [promise.sentence.fullmatch(line) or promise.sentence.fullmatch(f" {line}") for line in said]
    assert any(found), said  # the panel needs no name of the slide before a note
    assert (result is None) == promise.happens.startswith("refused"), said
    assert not any(isinstance(item, ErrorNotification) for item in bench.notifications())
    assert not [widget for widget in QApplication.topLevelWidgets() if widget.isVisible() and widget.isModal()]
    assert not bench.widget.session.running
    assert os.geteuid() == os.getuid()
