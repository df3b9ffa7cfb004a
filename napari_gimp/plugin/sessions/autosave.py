"""The session of one window, saved while it is worked in: looked at every second, written by a thread of its own."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from napari.layers import Image, Layer
from napari.utils.colormaps import AVAILABLE_COLORMAPS
from qtpy.QtCore import QTimer

from napari_gimp.plugin.cases import keeping
from napari_gimp.plugin.desk import Desk
from napari_gimp.plugin.host import slide_layers
from napari_gimp.plugin.layers import TAG
from napari_gimp.plugin.sessions.choices_shown import in_panel
from napari_gimp.plugin.sessions.labelcopies import LabelCopies
from napari_gimp.plugin.sessions.sessionfile import write_session
from napari_gimp.plugin.sessions.sessionlock import Claim, claim_again, claim_for, latest_session
from napari_gimp.plugin.sessions.sessionstate import Look, SessionState, carried
from napari_gimp.plugin.sessions.snapshot import Snapshot, is_worth_keeping, snapshot_of

LOG = logging.getLogger("napari_gimp")
LOOK_MS = 1000
"""How often the window is looked at: with the writing, nothing is older than two seconds."""
BEAT_S, AGAIN_S = 20.0, 10.0
"""How often an idle window shows that it lives; how soon a write that failed is tried again."""


class Scribe:
    """Writes the states of one session, in a thread; knows no window.

    The file is claimed at the first write. A window that lost its file to another one goes on in a file of its own.
    """

    def __init__(self, cache: Path, claim: Claim | None = None) -> None:
        self.claim, self._cache = claim, cache
        self._beat = time.monotonic()

    def write(self, snapshot: Snapshot, kept: SessionState) -> tuple[str, ...]:
        """Write; what is to be said of it.

        Raises
        ------
        InputError
            It can be written nowhere.
        """
        state = carried(snapshot.whole(), kept)
        notes: tuple[str, ...] = ()
        if self.claim is None and state.slides:
            self.claim = claim_for(state.slides[0].path, self._cache)
            notes = self.claim.notes
        if self.claim is not None:
            notes = (*notes, *self._keep_hold())
            write_session(self.claim.path, state)
        return notes

    def _keep_hold(self) -> tuple[str, ...]:
        self._beat = time.monotonic()
        if self.claim is None or self.claim.lock.beat():
            return ()
        self.claim = claim_again(self.claim.path, self._cache)
        return self.claim.notes

    def rest(self) -> tuple[str, ...]:
        """Nothing changed: show now and then that this window lives."""
        return self._keep_hold() if time.monotonic() - self._beat > BEAT_S else ()

    def release(self) -> tuple[str, ...]:
        """The session is closed: another window may go on with it."""
        if self.claim is not None:
            self.claim.release()
        return ()


class Autosave:
    """Saves what a desk shows for as long as a slide is open; `adopt` goes on with a session that was opened.

    Attributes
    ----------
    kept
        What the opened session holds that has not come back into the window (yet): it stays in the file.
    number
        Counts the sessions of this window: another one was begun since when it is another.
    """

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.kept = SessionState()
        self.number = 0
        self._scribe = Scribe(self._cache)
        self._thread = ThreadPoolExecutor(1, "session")
        self._writing: Future[tuple[str, ...]] | None = None
        self._last: Snapshot | None = None
        self._copies = LabelCopies()
        self._leaving: Snapshot | None = None
        self._handed = False
        self._failed = ("", 0.0)
        self._timer = QTimer()
        self._timer.setInterval(LOOK_MS)
        self._timer.timeout.connect(self.look)
        desk.viewer.layers.events.removing.connect(self._going)
        desk.viewer.layers.events.inserted.connect(self._coming)
        desk.session.result_changed.connect(self._keep_result)
        desk.before_closing.append(self.close)
        self._told: set[Path] = set()
        self._timer.start()

    @property
    def _cache(self) -> Path:
        return keeping.base_folder(self.desk.session.choices) / "sessions"

    @property
    def path(self) -> Path | None:
        """The file that this window saves to, None before there is anything to save."""
        return None if self._scribe.claim is None else self._scribe.claim.path

    def look(self) -> None:
        """Save when something changed, unless a write is still under way."""
        if self._handed or (self._writing is not None and not self._writing.done()):
            return
        self._hear()
        self._settle()
        if not slide_layers(self.desk.viewer):
            if self.path is not None:
                self._leave()
        elif time.monotonic() >= self._failed[1]:
            self._save(self._snapshot())

    def _snapshot(self) -> Snapshot:
        now = snapshot_of(self.desk, in_panel(self.desk.viewer), self._copies, self._last)
        if self._copies.unsaid:
            self.desk.say(" ".join(self._copies.unsaid))
            self._copies.unsaid.clear()
        return now

    def _save(self, now: Snapshot) -> None:
        """Hand a changed window to the thread."""
        if self.path is None and not is_worth_keeping(now):
            return
        if now.same(self._last):
            self._writing = self._thread.submit(self._scribe.rest)
        else:
            self._last = now
            self._writing = self._thread.submit(self._scribe.write, now, self.kept)

    def _hear(self) -> None:
        """What the thread has to say of its last write."""
        done, self._writing = self._writing, None
        if done is None:
            return
        error = done.exception()
        if isinstance(error, Exception):
            self._last = None
            if repr(error) != self._failed[0]:
                self.desk.fail(error)
            self._failed = repr(error), time.monotonic() + AGAIN_S
            return
        self._failed = ("", 0.0)
        notes = done.result()
        if notes:
            self.desk.say(" ".join(notes))

    def _going(self, event: Any) -> None:
        """Layers are about to go: what the window was before is the session if the slides go with them."""
        if self._leaving is None and not self._handed and slide_layers(self.desk.viewer):
            self._leaving = self._snapshot()
            QTimer.singleShot(0, self._settle)

    def _settle(self) -> None:
        """Another slide in the place of all of a session's begins a session of its own."""
        now = {layer.metadata["slide"].facts.identity for layer in slide_layers(self.desk.viewer)}
        if self._leaving is not None and now.isdisjoint(slide.identity for slide in self._leaving.state.slides):
            self._leave()
        self._leaving = None

    def _coming(self, event: Any) -> None:
        """A layer of the opened session is there again and looks as it did; an opened slide's own session is told."""
        layer, tag = event.value, event.value.metadata.get(TAG)
        look = next((each for each in self.kept.layers if tag is not None and dict(each.tag) == tag), None)
        if look is not None:
            self.came_back(layers=tuple(each for each in self.kept.layers if each is not look))
            self.desk.canvas.soon(partial(wear, layer, look))
        QTimer.singleShot(0, self._tell)

    def _tell(self) -> None:
        slides = [layer.metadata["slide"] for layer in slide_layers(self.desk.viewer)]
        if self.path is not None or not slides or (first := Path(slides[0].path).absolute()) in self._told:
            return
        self._told.add(first)
        found = latest_session(first, self._cache)
        if found is not None:
            self.desk.say(
                f"{first.name} has an earlier session, {found.name}: File > IO Utilities > GiMP: continue the session"
                " of this slide."
            )

    def _keep_result(self) -> None:
        """A whole result goes to the disk, so that neither a session nor the list of cases computes it again."""
        prediction, origin = self.desk.session.prediction, self.desk.session.origin
        if prediction is not None and origin is not None and prediction.partial >= 1 and origin.number > 0:
            self.desk.jobs.start(keeping.keep, origin, prediction, returned=lambda _: None, errored=_not_kept)

    def _leave(self) -> None:
        """The last slide was closed: write the session as it was and let go of it."""
        last, self._leaving = self._leaving, None
        if last is not None and (self.path is not None or is_worth_keeping(last)):
            self._finish(last)
        self._let_go()

    def _let_go(self) -> None:
        self._thread.submit(self._scribe.release).result()
        self._scribe, self._last, self.kept = Scribe(self._cache), None, SessionState()
        self.number += 1
        self._failed = ("", 0.0)

    def flush(self) -> None:
        """Write what the window shows now and wait for it."""
        if self.path is not None and slide_layers(self.desk.viewer):
            self._finish(self._snapshot())

    def _finish(self, last: Snapshot) -> None:
        """The last write of a session; waits for it."""
        if not last.same(self._last):
            self._writing = self._thread.submit(self._scribe.write, last, self.kept)
        if self._writing is not None:
            self._hear()

    def hand_over(self, clear: Callable[[], None] | None = None) -> None:
        """Another session takes its place in this window: write this one and let go of it.

        Parameters
        ----------
        clear
            Takes the layers of this session away.
        """
        self._settle()
        if slide_layers(self.desk.viewer):
            self._leaving = self._snapshot()
        self._leave()
        if clear is not None:
            self._handed = True
            clear()
            self._handed = False

    @contextmanager
    def adopt(self, claim: Claim, state: SessionState) -> Iterator[None]:
        """Go on with an opened session, whose ``state`` has yet to come back; let go if its slides do not open."""
        self._scribe, self._last, self.kept = Scribe(self._cache, claim), None, state
        self.number += 1
        there, self._handed = False, True
        try:
            yield
            there = True
        finally:
            self._handed = False
            if not there:
                self._let_go()

    def came_back(self, **fields: Any) -> None:
        """Some of what was kept is in the window again."""
        self.kept = replace(self.kept, **fields)

    def close(self) -> None:
        """The window goes: write what it shows and let go; the thread ends."""
        if not self._timer.isActive():
            return
        self._timer.stop()
        self.hand_over()
        self._thread.shutdown()


def _not_kept(error: Exception) -> None:
    """The result is there all the same: it is computed again another time."""
    LOG.warning("A result was not kept: %s", error)


def wear(layer: Layer, look: Look) -> None:
    """Let a layer look as it did."""
    layer.visible, layer.opacity = look.visible, look.opacity
    if not isinstance(layer, Image) or look.colormap is None:
        return
    if look.colormap != layer.colormap.name and look.colormap in AVAILABLE_COLORMAPS:
        layer.colormap = look.colormap
    layer.gamma = 1.0 if look.gamma is None else look.gamma
    if look.contrast is not None:
        layer.contrast_limits = look.contrast


def autosave_of(desk: Desk) -> Autosave:
    """The autosave of a desk, started when it is first asked for."""
    return desk.part(Autosave)
