"""Which sample belongs to which slide.

TCGA names join on case and type digits, because a slide's vial is never the RNA's (``01Z`` against ``01A``); all
other names must be equal. Normal tissue never stands for a tumour unless the user names it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from napari_gimp.genes.barcodes import Barcode, parse_barcode, plain_name
from napari_gimp.genes.matrix import Expression, listed
from napari_gimp.settings import InputError

_ASK = "name the sample with --sample, or choose it in the panel"


@dataclass(frozen=True)
class SampleMatch:
    """The sample that belongs to a slide, and what the user should know of the match."""

    sample: str
    notes: tuple[str, ...] = ()


def choose_sample(expression: Expression, slide_name: str, sample: str | None = None) -> SampleMatch:
    """Find the sample that belongs to a slide.

    A file with a single sample is accepted when the names say nothing of each other, with a note.

    Parameters
    ----------
    slide_name
        Name of the slide, with or without file ending.
    sample
        The user's choice: a sample's name, or the beginning of exactly one.

    Raises
    ------
    InputError
        No match, several, a sample of another patient, or only another type of tissue. Names the candidates.
    """
    if sample is not None:
        return _checked(_named(expression.samples, sample), slide_name)
    match = match_case(expression, slide_name)
    if match is not None:
        return match
    if len(expression.samples) == 1:
        return _checked(expression.samples[0], slide_name)
    raise InputError(
        f"Expected a sample that belongs to slide {slide_name} (by TCGA barcode or an equal name), found"
        f" {_nearest(expression.samples, slide_name)}; give the profile of this patient, or {_ASK}."
    )


def match_case(expression: Expression, name: str) -> SampleMatch | None:
    """The sample of a case or slide by barcode or equal name; None where the matrix has none.

    Raises
    ------
    InputError
        The case has only other types of tissue (say, a normal for a tumour slide), or several for a bare case name.
    """
    if name in expression.rows:
        return SampleMatch(name)
    barcode = parse_barcode(name)
    if barcode is not None:
        candidates = expression.of_case.get(barcode.case, ())
        return _by_type(candidates, barcode) if candidates else None
    wanted = plain_name(name).casefold()
    equal = [sample for sample in expression.samples if plain_name(sample).casefold() == wanted]
    if len(equal) > 1:
        raise InputError(f"Expected one sample named like {name}, found {listed(equal)}; {_ASK}.")
    return SampleMatch(equal[0]) if equal else None


def _by_type(candidates: Sequence[Barcode], slide: Barcode) -> SampleMatch:
    """Samples of the slide's own case -> the lowest vial of the slide's type."""
    if slide.sample_type is None:
        fitting = [found for found in candidates if not found.is_normal]
        types = sorted({found.sample_type for found in fitting if found.sample_type})
        if len(types) > 1:
            raise InputError(f"Expected one type of tissue of {slide.case}, found {_names(fitting)}; {_ASK}.")
    else:
        fitting = [found for found in candidates if found.sample_type == slide.sample_type]
        fitting = fitting or [found for found in candidates if found.sample_type is None]
    if not fitting:
        wanted = f"type {slide.sample_type}" if slide.sample_type else "a tumour"
        raise InputError(
            f"Expected a sample of {slide.case} of the slide's own tissue ({wanted}), found only {_names(candidates)}"
            f" ({_kinds(candidates)}); if that is meant, {_ASK}."
        )
    lowest = min(fitting, key=lambda found: found.rank)
    if slide.is_normal and lowest.sample_type is None:
        note = (
            f"The slide is normal tissue (type {slide.sample_type}), {lowest.name} does not say of which tissue it is."
        )
        return SampleMatch(lowest.name, (note,))
    if len(fitting) == 1:
        return SampleMatch(lowest.name)
    note = (
        f"{slide.case} has {len(fitting)} samples of this type ({_names(fitting)}): the lowest, {lowest.name}, is used."
    )
    return SampleMatch(lowest.name, (note,))


def _checked(sample: str, slide_name: str) -> SampleMatch:
    """A sample named by the user, or the only one, held against the slide's name."""
    slide, found = parse_barcode(slide_name), parse_barcode(sample)
    if slide is None or found is None:
        same = plain_name(sample).casefold() == plain_name(slide_name).casefold()
        return SampleMatch(sample, () if same else (_doubt(sample, slide_name),))
    if slide.case != found.case:
        raise InputError(
            f"Expected a profile of {slide.case}, the patient of slide {slide_name}, found {sample} of another patient;"
            " give this patient's profile."
        )
    if slide.sample_type and found.sample_type and slide.sample_type != found.sample_type:
        return SampleMatch(sample, (f"{sample} is another tissue ({_kinds([found])}) than slide {slide_name}.",))
    return SampleMatch(sample)


def _doubt(sample: str, slide_name: str) -> str:
    return f"The names of sample {sample} and slide {slide_name} do not match: make sure they are one patient's."


def _named(samples: Sequence[str], choice: str) -> str:
    if choice in samples:
        return choice
    begins = [sample for sample in samples if sample.casefold().startswith(choice.casefold())]
    if len(begins) == 1:
        return begins[0]
    found = listed(begins) if begins else _nearest(samples, choice)
    raise InputError(f"Expected the name of one sample of the file, found {choice!r}; choose among {found}.")


def _nearest(samples: Sequence[str], name: str) -> str:
    near = get_close_matches(name, samples[:5000], n=5, cutoff=0.5)
    return f"{len(samples)} samples, say {listed(near or samples)}"


def _names(barcodes: Sequence[Barcode]) -> str:
    return listed([found.name for found in sorted(barcodes, key=lambda found: found.rank)])


def _kinds(barcodes: Sequence[Barcode]) -> str:
    kinds = sorted({("normal, type " if b.is_normal else "type ") + (b.sample_type or "unknown") for b in barcodes})
    return "; ".join(kinds)
