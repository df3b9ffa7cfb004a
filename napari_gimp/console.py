"""Talking on a terminal: progress, a batch that survives a bad slide, errors as one line (for the command line)."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Iterable
from pathlib import Path
from typing import Any, TypeVar

from napari_gimp.files import is_first_process
from napari_gimp.settings import InputError
from napari_gimp.types import Progress
from napari_gimp.words import error_words

Result = TypeVar("Result")


def tell(lines: Iterable[str]) -> None:
    """Sentences for the user, on stderr."""
    for line in lines:
        sys.stderr.write(line + "\n")


def drain(work: Generator[Progress, None, Result], label: str = "") -> Result:
    """Run long work to its end, with a bar on a terminal and a plain line per stage and tenth elsewhere."""
    show = _bar(label) if sys.stderr.isatty() else _lines(label)
    show = show if is_first_process() else _nothing
    try:
        while True:
            try:
                show(next(work))
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]
    finally:
        work.close()
        show(None)


def _bar(label: str) -> Callable[[Progress | None], None]:
    from tqdm import tqdm

    bars: list[Any] = []

    def show(progress: Progress | None) -> None:
        if bars and (progress is None or bars[0].desc != f"{label}{progress.stage}: "):
            bars.pop().close()
        if progress is not None:
            if not bars:
                title = f"{label}{progress.stage}"
                bars.append(tqdm(total=progress.total, initial=progress.done, unit=progress.unit, desc=title))
            bars[0].set_postfix_str(progress.note, refresh=False)
            bars[0].update(progress.done - bars[0].n)

    return show


def _nothing(progress: Progress | None) -> None:
    """The other processes work silently."""


def _lines(label: str) -> Callable[[Progress | None], None]:
    said: list[tuple[str, int]] = []

    def show(progress: Progress | None) -> None:
        if progress is None:
            return
        mark = (progress.stage, 10 * progress.done // max(1, progress.total))
        if mark not in said[-1:]:
            said.append(mark)
            left = "" if progress.remaining_s is None else f", {progress.remaining_s:.0f} s left"
            note = f", {progress.note}" if progress.note else ""
            tell([f"{label}{progress.stage}: {progress.done} of {progress.total} {progress.unit}{note}{left}"])

    return show


def for_each(paths: list[Path], job: Callable[[Path], str]) -> int:
    """One job a slide; a bad one does not end the batch. A table at the end; 2 when one of several failed, else 0."""
    outcome = {}
    for path in paths:
        try:
            outcome[path] = job(path)
        except (InputError, OSError) as problem:
            outcome[path] = f"failed: {error_words(problem)}"
            if len(paths) > 1:
                tell([f"{path.name}: {error_words(problem)}"])
    failed = [path for path, words in outcome.items() if words.startswith("failed: ")]
    if len(paths) == 1 and failed:
        raise InputError(outcome[failed[0]].removeprefix("failed: "))
    width = max(len(path.name) for path in paths)
    for path, words in outcome.items():
        sys.stdout.write(f"{path.name:<{width}}  {words}\n")
    return 2 if failed else 0
