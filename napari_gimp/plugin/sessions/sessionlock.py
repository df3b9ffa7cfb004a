"""Which file a window saves its session to: beside the slide, one window a file, held by a lock with a heartbeat."""

from __future__ import annotations

import filecmp
import hashlib
import json
import os
import platform
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from glob import escape
from itertools import count
from pathlib import Path
from typing import Any

from napari_gimp.files import is_alive
from napari_gimp.plugin.sessions.sessionfile import SUFFIX
from napari_gimp.settings import InputError

STALE_S = 120.0
"""A lock without a heartbeat for this long is of a window that is no more (say, on another machine that was lost)."""


class Taken(InputError):
    """Another window saves to this file."""


class Lock:
    """``.<file>.lock`` beside a session file: who saves to it. Only :meth:`is_ours` before a write makes it sure.

    Raises
    ------
    Taken
        A living window holds it.
    OSError
        Nothing may be written there.
    """

    def __init__(self, session: Path) -> None:
        self.session = session
        self.path = lock_path(session)
        self._mark = {"pid": os.getpid(), "host": platform.node(), "window": uuid.uuid4().hex}
        self._take()

    def _take(self) -> None:
        text = json.dumps(self._mark)
        try:
            with self.path.open("x", encoding="utf-8") as file:
                file.write(text)
        except FileExistsError:
            self._take_over(text)

    def _take_over(self, text: str) -> None:
        if is_held(self.path):
            raise Taken(f"{self.session.name} is open in another window.") from None
        beside = self.path.with_name(f"{self.path.name}.{self._mark['window']}")
        beside.write_text(text, encoding="utf-8")
        os.replace(beside, self.path)
        if not self.is_ours():
            raise Taken(f"{self.session.name} is open in another window.")

    def is_ours(self) -> bool:
        """Whether no other window has taken it over."""
        return _read(self.path) == self._mark

    def beat(self) -> bool:
        """Show that this window lives; whether the lock is still its own."""
        ours = self.is_ours()
        if ours:
            with suppress(OSError):
                os.utime(self.path)
        return ours

    def release(self) -> None:
        """Let others save there."""
        if self.is_ours():
            with suppress(OSError):
                self.path.unlink()


def lock_path(session: Path) -> Path:
    """The lock of a session file."""
    return session.with_name(f".{session.name}.lock")


def is_held(lock: Path) -> bool:
    """Whether a living window holds this lock: of this machine by its process, of another one by its heartbeat."""
    held = _read(lock)
    try:
        fresh = time.time() - lock.stat().st_mtime < STALE_S
    except OSError:
        return False
    if held.get("host") != platform.node():
        return fresh
    process = held.get("pid")
    return fresh and isinstance(process, int) and is_alive(process)


def _read(lock: Path) -> dict[str, Any]:
    try:
        held = json.loads(lock.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return held if isinstance(held, dict) else {}


@dataclass(frozen=True)
class Claim:
    """The file that a window saves to, and what to say of it."""

    path: Path
    lock: Lock
    notes: tuple[str, ...] = ()

    def release(self) -> None:
        """Let other windows save there."""
        self.lock.release()


def claim_for(slide: Path, cache: Path) -> Claim:
    """A file of its own for the session of a slide: beside it, else in the cache; never one that is there already.

    Raises
    ------
    InputError
        Neither the slide's folder nor the cache can be written.
    """
    try:
        return _first_free(session_of(slide))
    except OSError as error:
        claim = _in_cache(session_of(slide), cache, error)
    said = f"{slide.parent} cannot be written: the session of {slide.name} is saved in {claim.path}."
    return Claim(claim.path, claim.lock, (said, *claim.notes))


def claim_again(session: Path, cache: Path, *, own: bool = True) -> Claim:
    """The session file itself to go on with; a numbered one where another window has it or it may not be changed.

    Parameters
    ----------
    own
        Whether the file may be changed at all (one of a newer version may not).
    """
    try:
        why = "is left as it is"
        if own and os.access(session, os.W_OK):
            with suppress(Taken):
                return Claim(session, Lock(session))
            why = "is open in another window"
        claim = _first_free(session)
    except OSError as error:
        why, claim = "cannot be written", _in_cache(session, cache, error)
    return Claim(claim.path, claim.lock, (f"{session.name} {why}: this window saves to {claim.path}.",))


def session_of(slide: Path) -> Path:
    """Where the session of a slide lies unless something is in the way."""
    return slide.with_name(slide.stem + SUFFIX)


def _in_cache(session: Path, cache: Path, error: OSError) -> Claim:
    stem = session.name.removesuffix(SUFFIX)
    where = hashlib.sha256(str(session.parent.absolute()).encode()).hexdigest()[:8]
    try:
        cache.mkdir(parents=True, exist_ok=True)
        return _first_free(cache / f"{stem}.{where}{SUFFIX}")
    except OSError as second:
        raise InputError(
            f"The session cannot be saved: expected to write in {session.parent} or {cache}, found:"
            f" {error.strerror or error}, {second.strerror or second}; free some space or set another cache folder."
        ) from second


def _first_free(session: Path) -> Claim:
    for path in numbered(session):
        with suppress(Taken):
            lock = Lock(path)
            if not path.exists():
                return Claim(path, lock)
            lock.release()
    raise AssertionError("there is always another number")


def numbered(session: Path) -> Iterator[Path]:
    """``a.gimp.json``, ``a (2).gimp.json``, ``a (3).gimp.json`` and so on."""
    stem = session.name.removesuffix(SUFFIX)
    yield session
    yield from (session.with_name(f"{stem} ({k}){SUFFIX}") for k in count(2))


def latest_session(slide: Path, cache: Path) -> Path | None:
    """The newest session of a slide, beside it or in the cache, that no other window has."""
    where = hashlib.sha256(str(slide.parent.absolute()).encode()).hexdigest()[:8]
    bases = (session_of(slide), cache / f"{slide.stem}.{where}{SUFFIX}")
    found = [path for base in bases for path in _present(base) if not is_held(lock_path(path))]
    return max(found, key=lambda path: path.stat().st_mtime, default=None)


def _present(base: Path) -> Iterator[Path]:
    for path in numbered(base):
        if not path.exists():
            return
        yield path


def keep_aside(path: Path, cache: Path, now: datetime) -> Path:
    """A copy of a damaged file, ``<name>.damaged-<time>``, beside it or, where nothing may be written, in a cache.

    The same bytes are copied once.

    Raises
    ------
    OSError
        It can be copied to neither.
    """
    name = f"{path.name}.damaged-"
    for folder in (path.parent, cache):
        for there in folder.glob(f"{escape(name)}*"):
            if filecmp.cmp(path, there, shallow=False):
                return there
    name += f"{now:%Y%m%dT%H%M%S}"
    try:
        return Path(shutil.copy2(path, path.with_name(name)))
    except OSError:
        cache.mkdir(parents=True, exist_ok=True)
        return Path(shutil.copy2(path, cache / name))
