"""What speaks for and against believing a result, in numbers and in sentences: the same for panel, report and text.

``doubt_of(prediction) -> Doubt``                  the numbers
``doubt_sentences(prediction) -> list[str]``       the same in words, in the order in which they are to be read
``probability_name(prediction) -> str``            what an axis or a column of probabilities is to be called
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from napari_gimp.types import Modality, Prediction
from napari_gimp.words import share

UNLIKE = 0.95
"""From this share of the training cases on, a case counts as unlike them."""
LOW_COVERAGE = 0.9
CLOSE_CALL = 0.1
"""Two classes nearer than this (in probability) are called undecided."""


@dataclass(frozen=True, eq=False)
class Doubt:
    """The numbers behind the sentences.

    Parameters
    ----------
    called, probability
        The most probable class of the headline, and its probability, calibrated where the checkpoint is.
    calibrated
        Whether the checkpoint's probabilities are calibrated; None where the result does not say.
    runner_up
        The next class and its probability.
    spread
        Standard deviation of ``probability`` over the members (seeds); None from a single one.
    opinions
        Modality -> its most probable class and that class's probability: image and genes together, each alone.
    disagree
        The image alone and the genes alone call different classes.
    unlike_training
        Share of the training cases that are more typical than this one; None where not known.
    coverage
        Share of the model's genes that the profile has; None without a profile.
    missing, partial
        Share of the patches that could not be read; share of the slide's patches that the result rests on.
    """

    called: str
    probability: float
    calibrated: bool | None
    runner_up: tuple[str, float] | None
    spread: float | None
    opinions: Mapping[Modality, tuple[str, float]]
    disagree: bool
    unlike_training: float | None
    coverage: float | None
    missing: float
    partial: float


def doubt_of(prediction: Prediction) -> Doubt:
    """The numbers of a prediction, partial or whole."""
    values = np.asarray(prediction.probabilities[prediction.modality], float)
    first, *rest = np.argsort(-values, kind="stable").tolist()
    opinions = {name: _opinion(prediction, row) for name, row in prediction.probabilities.items()}
    alone = [opinions[name][0] for name in ("image", "genes") if name in opinions]
    lost = len(prediction.missing_yx)
    return Doubt(
        prediction.classes[first],
        float(values[first]),
        prediction.provenance.get("calibrated"),
        (prediction.classes[rest[0]], float(values[rest[0]])) if rest else None,
        None if prediction.spread is None else float(prediction.spread[first]),
        opinions,
        len(set(alone)) > 1,
        prediction.unlike_training,
        prediction.coverage,
        lost / max(1, lost + len(prediction.grid)),
        prediction.partial,
    )


def _opinion(prediction: Prediction, row: Float[np.ndarray, " C"]) -> tuple[str, float]:
    best = int(np.argmax(row))
    return prediction.classes[best], float(row[best])


def doubt_sentences(prediction: Prediction) -> list[str]:
    """What a reader must weigh before believing the result, most important first; never empty."""
    doubt = doubt_of(prediction)
    parts = (_partial, _decided, _calibration, _spread, _agreement, _likeness, _coverage, _missing)
    return [sentence for part in parts if (sentence := part(doubt))]


def _partial(doubt: Doubt) -> str:
    if doubt.partial >= 1:
        return ""
    return f"Partial: it rests on {doubt.partial:.0%} of the slide's patches and may still change."


def _decided(doubt: Doubt) -> str:
    if doubt.runner_up is None or doubt.probability - doubt.runner_up[1] >= CLOSE_CALL:
        return ""
    name, value = doubt.runner_up
    return f"Undecided: {doubt.called} ({share(doubt.probability)}) and {name} ({share(value)}) are close."


def _calibration(doubt: Doubt) -> str:
    if doubt.calibrated is not False:
        return ""
    return "Not calibrated: nobody has measured how often a probability of this checkpoint is right."


def probability_name(prediction: Prediction) -> str:
    """What the numbers may be called: "calibrated probability" only where that is known."""
    known = prediction.provenance.get("calibrated")
    if known is None:
        return "probability"
    return "calibrated probability" if known else "probability, not calibrated"


def _spread(doubt: Doubt) -> str:
    if doubt.spread is None:
        return "A single model was trained: how much its answer hangs on the seed of its training is not known."
    return (
        f"Models trained from other seeds differ by {doubt.spread:.2f} (standard deviation of the probability of"
        f" {doubt.called})."
    )


def _agreement(doubt: Doubt) -> str:
    """Image and genes beside each other, and which of them the joint answer follows."""
    if "genes" not in doubt.opinions:
        return "Image only: no gene profile took part."
    image, genes = (f"{doubt.opinions[name][0]} {share(doubt.opinions[name][1])}" for name in ("image", "genes"))
    if not doubt.disagree:
        return f"Image alone ({image}) and genes alone ({genes}) agree."
    follows = [f"the {name}" for name in ("image", "genes") if doubt.opinions[name][0] == doubt.called]
    joint = f"follows {follows[0] if follows else 'neither'}"
    return f"Image and genes disagree: the image alone says {image}, the genes alone {genes}; together it {joint}."


def _likeness(doubt: Doubt) -> str:
    if doubt.unlike_training is None:
        return "How like the training cases this slide is, the checkpoint cannot say."
    if doubt.unlike_training >= UNLIKE:
        return (
            f"Unlike the training cases: {doubt.unlike_training:.0%} of them are more typical than this slide; the"
            " model may know nothing of its kind."
        )
    return f"Like the training cases: {doubt.unlike_training:.0%} of them are more typical than this slide."


def _coverage(doubt: Doubt) -> str:
    if doubt.coverage is None:
        return ""
    low = "Low coverage: the" if doubt.coverage < LOW_COVERAGE else "The"
    rest = "" if doubt.coverage >= 1 else "; the cohort mean stands in for the others"
    return f"{low} gene profile has {_percent(doubt.coverage)} of the model's genes{rest}."


def _missing(doubt: Doubt) -> str:
    return f"Of the patches, {_percent(doubt.missing)} could not be read." if doubt.missing else ""


def _percent(value: float) -> str:
    """Whole percent; what is not all is never called 100 %, what is not nothing never 0 %."""
    if 0 < value < 0.01:
        return "less than 1%"
    return f"{min(value, 0.99):.0%}" if value < 1 else "100%"
