"""Training steps -> progress, and whose progress it is."""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping
from dataclasses import replace
from typing import TypeVar

from napari_gimp.gimp.train import Step
from napari_gimp.types import Progress

Result = TypeVar("Result")
STAGES: Mapping[str, str] = {
    "genes": "training on genes",
    "labels": "pre-training on labels",
    "pretrain": "pre-training",
    "finetune": "fine-tuning",
    "decoder": "fitting the decoder",
}


class StepPace:
    """Steps -> progress, with the remaining time of the stage from its own pace so far.

    Parameters
    ----------
    suffix
        Goes behind the stage's name.
    """

    def __init__(self, suffix: str = "") -> None:
        self.suffix, self.stage, self.began, self.first = suffix, "", 0.0, 0

    def progress(self, step: Step) -> Progress:
        """Where the stage stands, with its loss; no remaining time in its first two seconds."""
        now = time.monotonic()
        if step.stage != self.stage:
            self.stage, self.began, self.first = step.stage, now, step.step
        elapsed, done = now - self.began, step.step - self.first
        remaining = elapsed * (step.steps - step.step) / done if done and elapsed > 2 else None
        words = f"{STAGES[step.stage]}{self.suffix}"
        return Progress(words, step.step, step.steps, "steps", remaining, note=f"loss {step.total:.3f}")


def named(work: Generator[Progress, None, Result], name: str) -> Generator[Progress, None, Result]:
    """The same work; its progress says of what it is."""
    while True:
        try:
            step = next(work)
        except StopIteration as end:
            found: Result = end.value
            return found
        yield replace(step, stage=f"{name}: {step.stage}")
