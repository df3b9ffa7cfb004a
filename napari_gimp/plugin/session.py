"""What the user chose, what is known of it, and why Run is not possible: pure data, no window."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from psygnal import Signal

from napari_gimp.encoders.load import encoder_names
from napari_gimp.genes import Expression, align
from napari_gimp.settings import InputError, check_settings, setting
from napari_gimp.slides.tissue import TissueSettings
from napari_gimp.types import (
    AlignedGenes,
    CheckpointFacts,
    MapSettings,
    Prediction,
    Profile,
    SlideFacts,
    Tissue,
)

DEVICES = ("auto", "cpu", "cuda", "mps")
CONTRASTS = ("percentile", "raw", "rank")


@dataclass(frozen=True)
class ViewSettings:
    """How the maps are shown; changes no number of the prediction."""

    contrast: str = setting(
        "percentile",
        "percentile: colours end at the percentiles below; raw: at the smallest and largest value; "
        "rank: each patch's rank among the patches, 0 to 100 %. Signed maps keep 0 in the middle.",
        choices=CONTRASTS,
    )
    low_percentile: float = setting(
        1.0, "Percentile of the patches that gets the darkest colour.", min=0, max=49, unit="%"
    )
    high_percentile: float = setting(
        99.0, "Percentile of the patches that gets the brightest colour.", min=51, max=100, unit="%"
    )
    hide_below: float = setting(
        0.0,
        "Hide patches whose number is below this percentile of the slide's patches; in signed maps, whose size is.",
        min=0,
        max=99,
        unit="%",
        slider=True,
    )
    opacity: float = setting(
        0.6, "Opacity of the map over the slide: 0 invisible, 1 opaque.", min=0, max=1, slider=True
    )
    top_patches: int = setting(12, "How many patches with the largest numbers are outlined.", min=1, max=20)

    def __post_init__(self) -> None:
        check_settings(self)


@dataclass(frozen=True)
class Grain:
    """The two patch numbers that are the user's to choose; size and resolution are the checkpoint's."""

    stride: float = setting(1.0, "Step between patches in patch sides: 1 no overlap, 0.5 half.", min=0.1, max=4)
    min_tissue: float = setting(0.25, "Share of a patch that tissue must cover to keep it.", min=0.0, max=1.0)

    def __post_init__(self) -> None:
        check_settings(self)


@dataclass(frozen=True, eq=False)
class Choices:
    """Everything chosen so far. ``path`` and ``slide`` come together, as do ``checkpoint``, ``facts`` and ``members``.

    ``reading`` is the expression file that is being read, None once ``expression`` is there or none is wanted;
    ``unread`` the one that could not be.
    """

    path: Path | None = None
    slide: SlideFacts | None = None
    reading: Path | None = None
    unread: Path | None = None
    expression: Expression | None = None
    sample: str | None = None
    sample_notes: tuple[str, ...] = ()
    checkpoint: Path | None = None
    facts: CheckpointFacts | None = None
    members: int = 1
    encoder: str | None = None
    weights: Path | None = None
    bag: Path | None = None
    device: str = "auto"
    grain: Grain = field(default_factory=Grain)
    tissue_settings: TissueSettings = field(default_factory=TissueSettings)
    maps: MapSettings = field(default_factory=MapSettings)
    cache: Path | None = None
    cache_gb: float = 20.0


@dataclass(frozen=True, eq=False)
class Request:
    """One run, frozen: what the worker needs and nothing of the window."""

    number: int
    path: Path
    slide: SlideFacts
    checkpoint: Path
    choices: Choices
    drawn: Tissue | None

    @property
    def profile(self) -> Profile | None:
        """The chosen sample's expression, None for an image-only run."""
        expression, sample = self.choices.expression, self.choices.sample
        return None if expression is None or sample is None else expression.profile(sample)


def aligned(choices: Choices) -> AlignedGenes | None:
    """The chosen profile in the checkpoint's genes, None while one of them is missing.

    Raises
    ------
    InputError
        Another scale than the checkpoint's, or too few of its genes.
    """
    expression, facts = choices.expression, choices.facts
    if expression is None or choices.sample is None or facts is None or facts.expression_scale is None:
        return None
    return align(expression.profile(choices.sample), facts.genes, facts.expression_scale)


def why_not(choices: Choices) -> str:
    """Why Run is not possible, in words; empty when everything fits."""
    checks: tuple[Callable[[Choices], str], ...] = (_slide_reason, _checkpoint_reason, _profile_reason)
    return next((reason for check in checks if (reason := check(choices))), "")


def _slide_reason(choices: Choices) -> str:
    if choices.slide is None:
        return "Open a slide: drop a file on the window, or take the sample in File > Open Sample."
    return _said_by(choices.slide.known_mpp_yx)


def _said_by(check: Callable[[], object]) -> str:
    """Why a check refuses, empty when it does not."""
    try:
        check()
    except InputError as error:
        return str(error)
    return ""


def _checkpoint_reason(choices: Choices) -> str:
    if choices.facts is None:
        return "Choose a checkpoint: the synthetic demo model or a folder of your own."
    if choices.bag is not None or choices.encoder is not None:
        return ""
    if choices.facts.encoder is None:
        return f"Checkpoint {choices.facts.name} does not name its encoder: choose one, or give a file of embeddings."
    if built_in(choices.facts.encoder) is None:
        return (
            f"Checkpoint {choices.facts.name} was trained with encoder {choices.facts.encoder}: expected that encoder's"
            " .onnx file or hub:NAME, found none; give it with --encoder, or in the panel under Encoder and embeddings."
        )
    return ""


def built_in(encoder_id: str) -> str | None:
    """Name of the encoder without a file of its own that made this id."""
    return next((name for name in encoder_names() if encoder_id.startswith(f"{name}-")), None)


def can_be(encoder: str, encoder_id: str) -> bool:
    """Whether an encoder as it is chosen, by name or by file, may be the one of this id."""
    return built_in(encoder_id) == (encoder if encoder in encoder_names() else None)


def _profile_reason(choices: Choices) -> str:
    if choices.reading is not None:
        return f"The gene profile {choices.reading.name} is being read: wait for it, or remove it."
    if choices.unread is not None:
        return f"The gene profile {choices.unread.name} could not be read: choose another one, or remove it."
    if choices.expression is None:
        return ""
    if choices.sample is None:
        return "Choose the sample of this slide's patient, or remove the gene profile."
    if choices.facts is not None and not choices.facts.genes:
        return f"Checkpoint {choices.facts.name} was trained on images alone: leave the gene profile out."
    return _said_by(lambda: aligned(choices))


class Session:
    """The choices, the run in progress and the last result with its request.

    Says ``changed`` after every change of the choices or of the run, ``result_changed`` when there is another result.
    A run has a number. Only the newest run's answers count: :meth:`is_current` says so, :meth:`end` outdates it.
    """

    changed = Signal()
    result_changed = Signal()

    def __init__(self, choices: Choices | None = None, listen: Callable[[], None] | None = None) -> None:
        self.choices = choices or Choices()
        self.prediction: Prediction | None = None
        self.origin: Request | None = None
        self.request: Request | None = None
        if listen is not None:
            self.changed.connect(listen)
        self._number = 0

    def change(self, **choices: Any) -> None:
        """Replace some of the choices."""
        self.choices = replace(self.choices, **choices)
        self.changed.emit()

    @property
    def running(self) -> bool:
        """Whether a run is in progress."""
        return self.request is not None

    @property
    def why_not(self) -> str:
        """Why Run is not possible now; empty when it is."""
        return "A run is in progress." if self.running else why_not(self.choices)

    def begin(self, drawn: Tissue | None = None) -> Request:
        """Start a run: its frozen request.

        Raises
        ------
        InputError
            When something is missing or does not fit.
        """
        reason, chosen = self.why_not, self.choices
        if reason or chosen.path is None or chosen.slide is None or chosen.checkpoint is None:
            raise InputError(reason or "A slide and a checkpoint are needed.")
        self._number += 1
        request = Request(self._number, chosen.path, chosen.slide, chosen.checkpoint, chosen, drawn)
        self.request = request
        self.changed.emit()
        return request

    def is_current(self, number: int) -> bool:
        """Whether answers of this run still count."""
        return self.running and number == self._number

    def accept(self, prediction: Prediction, origin: Request) -> None:
        """Take a result, partial or whole, of this request: it stays that slide's whatever is chosen later."""
        self.prediction, self.origin = prediction, origin
        self.result_changed.emit()

    def drop_result(self) -> None:
        """There is no result any more."""
        self.prediction = self.origin = None
        self.result_changed.emit()

    def end(self) -> None:
        """The run is over, or no longer wanted: what still comes from it is stale."""
        self._number += 1
        self.request = None
        self.changed.emit()
