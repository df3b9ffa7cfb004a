"""What workers compute for a what-if: an answer, the model on other patches, support beside other genes."""

from __future__ import annotations

import time
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import numpy as np

from napari_gimp.plugin import job
from napari_gimp.types import Progress, WhatIf


@dataclass(frozen=True, eq=False)
class Answered:
    """A question, who was asked (the pipeline's ``Questions``), the genes it was asked about and what it said.

    ``rerun``: the pipeline's ``Rerun`` where patches were left out.
    """

    asked: WhatIf
    questions: Any
    rerun: Any
    genes: Any
    answer: Any
    seconds: float

    @property
    def words(self) -> str:
        """How long it took."""
        said = f"Answered in {max(1, round(1000 * self.seconds))} ms."
        if self.rerun is None:
            return said
        took = f"{self.rerun.seconds:.1f}" if self.rerun.seconds >= 0.1 else "less than 0.1"
        return f"The model looked at {len(self.rerun.patches)} patches in {took} s. {said}"


def answer(asked: WhatIf, questions: Any, rerun: Any) -> Generator[Progress, None, Answered]:
    """What the model says beside the changed genes: gene branch and head alone."""
    began = time.perf_counter()
    genes = questions.changed(questions.genes, asked.genes)
    found = questions.answer(genes)
    yield Progress("asking the model", 1, 1, "step")
    return Answered(asked, questions, rerun, genes, found, time.perf_counter() - began)


def rerun(questions: Any, keep: np.ndarray) -> Generator[Progress, None, Any]:
    """The model on the patches that are left, with the processor when it is free."""
    job.step_back()
    return (yield from questions.regions(keep))


def support(answered: Answered) -> Generator[Progress, None, np.ndarray]:
    """Class support (C, n) of an answered what-if."""
    job.step_back()
    found: np.ndarray = yield from answered.questions.support(answered.genes)
    return found
