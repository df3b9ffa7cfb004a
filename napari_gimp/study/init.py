"""A pre-trained checkpoint that a training starts from: does it fit, and has it seen what is held out?"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Int

from napari_gimp.gimp.checkpoint import LoadedModel, load_model, read_facts
from napari_gimp.settings import InputError
from napari_gimp.study.cohort import Cohort
from napari_gimp.study.record import cases_seen, was_seen


def read_init(folder: Path | None, cohort: Cohort, held_out: Int[np.ndarray, " h"]) -> LoadedModel | None:
    """The pre-trained checkpoint, if there is one; raises as `check_init`."""
    if folder is None:
        return None
    check_init(folder, cohort, held_out)
    return load_model(folder)


def check_init(folder: Path, cohort: Cohort, held_out: Int[np.ndarray, " h"]) -> None:
    """Refuse a pre-trained checkpoint before its weights are read.

    Raises
    ------
    InputError
        No checkpoint, one of another encoder, or one that has seen a patient that is held out.
    """
    facts = read_facts(folder)
    named = facts.encoder is not None and cohort.encoder is not None
    if facts.embedding_dim != cohort.embedding_dim or (named and facts.encoder != cohort.encoder):
        raise InputError(
            f"{folder}: expected a checkpoint of encoder {cohort.encoder or 'without a name'}"
            f" ({cohort.embedding_dim}-d), as the cohort's bags, found {facts.encoder or 'no name'}"
            f" ({facts.embedding_dim}-d); pre-train on bags of the same encoder."
        )
    seen = set(cases_seen(facts))
    held = [cohort.cases[i] for i in held_out if was_seen(cohort.cases[i], seen)]
    if held:
        raise InputError(
            f"{folder}: expected a checkpoint that has seen none of the cases held out, found {len(held)} of them"
            f" among its own (say {held[0].case_id}); pre-train on other cases."
        )
