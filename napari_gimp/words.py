"""Facts, results and errors in words, for the panel and the command line: pure functions from nouns to sentences."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from napari_gimp.settings import InputError
from napari_gimp.types import AlignedGenes, CheckpointFacts, Modality, Prediction, Progress, SlideFacts

RESEARCH_ONLY = "Model output, research use only: not for diagnosis."
MODALITY_WORDS: dict[Modality, str] = {"both": "image and genes", "image": "image only", "genes": "genes only"}


def slide_words(facts: SlideFacts) -> str:
    """Size in pixels; size in mm, pixel size and magnification on a second line."""
    height, width = facts.shape_yx
    words = ["pixel size unknown"]
    if facts.mpp_yx is not None:
        mpp_y, mpp_x = facts.mpp_yx
        size = f"{mpp_x:.4g} µm/px" if mpp_x == mpp_y else f"{mpp_x:.4g} × {mpp_y:.4g} µm/px"
        words = [f"{width * mpp_x / 1000:.1f} × {height * mpp_y / 1000:.1f} mm", size]
    if facts.magnification:
        words.append(f"{facts.magnification:g}×")
    return f"{width} × {height} px\n" + " · ".join(words)


def checkpoint_words(facts: CheckpointFacts) -> tuple[str, ...]:
    """What a checkpoint was trained on, classes, encoder, patches and genes: one line each."""
    kind = f"{facts.synthetic} data, no evidence about patients: " if facts.synthetic else ""
    lines = [f"Trained on {kind}{facts.trained_on}", f"Classes: {', '.join(facts.classes)}"]
    lines.append(f"Encoder: {facts.encoder or 'not named'} ({facts.embedding_dim} numbers a patch)")
    if facts.patch_px is not None and facts.patch_mpp is not None:
        side = facts.patch_px * facts.patch_mpp
        lines.append(f"Patches: {facts.patch_px} px at {facts.patch_mpp:g} µm/px ({side:g} µm a side)")
    genes = f"{len(facts.genes)}, expected as {facts.expression_scale}" if facts.genes else "none (image only)"
    return (*lines, f"Genes: {genes}")


def profile_words(
    samples: int, scale: str, aligned: AlignedGenes | None, notes: Sequence[str] = (), detected: Sequence[str] = ()
) -> tuple[str, ...]:
    """How many samples, which scale was detected, how many of the checkpoint's genes are there."""
    lines = [f"{samples} sample{'s' * (samples != 1)} · detected scale: {scale}"]
    if aligned is not None:
        have, total = len(aligned.values) - len(aligned.missing), len(aligned.values)
        lines.append(f"Coverage: {have} of {total} genes of the checkpoint ({aligned.coverage:.0%})")
        notes = (*notes, *(note for note in aligned.notes if note not in (*notes, *detected)))
    return (*lines, *notes)


def progress_words(progress: Progress) -> str:
    """Stage, how far, time left."""
    words = progress.stage
    if progress.total:
        words += f": {progress.done} of {progress.total} {progress.unit}"
    if progress.remaining_s is not None:
        words += f", about {duration(progress.remaining_s)} left"
    return words


def duration(seconds: float) -> str:
    """Seconds in words, coarse enough to be honest."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def verdict(prediction: Prediction) -> str:
    """The headline: most probable class, its probability and what it rests on."""
    values = prediction.probabilities[prediction.modality]
    best = int(values.argmax())
    partial = "" if prediction.partial >= 1 else f" (partial: {prediction.partial:.0%} of the patches)"
    inputs = MODALITY_WORDS[prediction.modality]
    sure = _shares(values, prediction.spread)[best]
    return f"{prediction.classes[best]}: probability {sure}, from {inputs}{partial}"


def share(probability: float) -> str:
    """Two digits; a model is never certain, so neither 1 nor 0 is ever written."""
    return ">0.99" if probability >= 0.995 else "<0.01" if probability < 0.005 else f"{probability:.2f}"


def _shares(values: Float[np.ndarray, " C"], spread: Float[np.ndarray, " C"] | None) -> list[str]:
    """Probabilities, with their standard deviation over the members where there are several."""
    if spread is None:
        return [share(value) for value in values]
    return [f"{share(value)} ± {share(width)}" for value, width in zip(values, spread, strict=True)]


def probability_rows(prediction: Prediction) -> list[tuple[str, list[str]]]:
    """Modality and its probabilities in class order, headline first; the spread, where there is one, is its."""
    order: tuple[Modality, ...] = ("both", "image", "genes")
    return [
        (name, _shares(prediction.probabilities[name], prediction.spread if name == prediction.modality else None))
        for name in order
        if name in prediction.probabilities
    ]


def result_notes(prediction: Prediction) -> tuple[str, ...]:
    """What the reader of the result must know beside it: that the model saw no patients, then warnings, then facts."""
    grave = [note for note in prediction.notes if note.startswith("The checkpoint was trained on")]
    if prediction.synthetic and not grave:
        grave = [f"The model was trained on {prediction.synthetic} data: no evidence about patients."]
    grave += [note for note in prediction.notes if note.startswith("Warning:")]
    notes = [*grave, f"{len(prediction.grid)} patches."]
    if len(prediction.missing_yx):
        missing = len(prediction.missing_yx)
        notes.append(
            f"{prediction.slide.name}: {missing} of {len(prediction.grid) + missing} patches could not be read."
        )
    if prediction.sample is not None and prediction.coverage is not None:
        notes.append(f"Gene profile {prediction.sample}, {prediction.coverage:.0%} of the model's genes.")
    if prediction.sample is None and not any("No gene profile" in note for note in prediction.notes):
        notes.append("No gene profile: image only.")
    notes.append("Genes move the class probabilities, never the attention or the reconstruction error.")
    return (*notes, *(note for note in prediction.notes if note not in grave))


def result_words(
    prediction: Prediction,
) -> tuple[str, tuple[str, ...], list[tuple[str, list[str]]], tuple[str, ...]]:
    """Headline, classes, rows of probabilities, notes."""
    return verdict(prediction), prediction.classes, probability_rows(prediction), result_notes(prediction)


def slide_text(facts: SlideFacts) -> str:
    """What is known of the slide, then its notes."""
    return "\n".join((slide_words(facts), *facts.notes))


def error_words(error: Exception) -> str:
    """One line: the user's to mend, the machine's, or a defect of ours."""
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: expected" if error.filename else "Expected"
        return (
            f"{where} to read or write there, found: {error.strerror}; check the path, its permissions and the free"
            " space."
        )
    said = " ".join(str(error).split())
    if isinstance(error, InputError | OSError):
        return said
    return f"A defect of napari-gimp, please report it with the details: {type(error).__name__}: {said}"
