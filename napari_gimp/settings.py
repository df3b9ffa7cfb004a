"""One description of a setting for every face: the panel, the command line and the docs read it from here."""

from dataclasses import MISSING, Field, field, fields
from typing import Any


class InputError(ValueError):
    """Something the user gave does not fit. The message says what was expected, what was found and what to do."""


def setting(
    default: Any,
    help: str,
    *,
    min: float | None = None,
    max: float | None = None,
    unit: str = "",
    choices: tuple[str, ...] = (),
) -> Any:
    """Declare a dataclass field with its help text, inclusive range, unit and choices.

    Parameters
    ----------
    default
        The default value.
    help
        One sentence for tooltips, ``--help`` and the docs.
    min, max
        Inclusive bounds of a number.
    unit
        Unit shown behind the value, say ``"um"``.
    choices
        The allowed strings.
    """
    return field(default=default, metadata={"help": help, "min": min, "max": max, "unit": unit, "choices": choices})


def check_settings(config: Any) -> None:
    """Hold every field of a settings dataclass against its declared range and choices.

    Raises
    ------
    InputError
        Names the first field that does not fit, the range and the value found.
    """
    for item in fields(config):
        if item.metadata and getattr(config, item.name) is not None:
            _check(item, getattr(config, item.name), type(config).__name__)


def _check(item: Field[Any], value: Any, owner: str) -> None:
    low, high, choices = item.metadata.get("min"), item.metadata.get("max"), item.metadata.get("choices")
    if choices and value not in choices:
        raise InputError(f"{owner}.{item.name}: expected one of {', '.join(choices)}, found {value!r}.")
    if (low is not None and value < low) or (high is not None and value > high):
        bounds = f"at least {low}" if high is None else f"at most {high}" if low is None else f"{low} to {high}"
        raise InputError(
            f"{owner}.{item.name}: expected {bounds} {item.metadata.get('unit', '')}".rstrip() + f", found {value}."
        )


def describe(config_type: type) -> dict[str, dict[str, Any]]:
    """Name -> ``{"default", "help", "min", "max", "unit", "choices"}`` of a settings dataclass, in order."""
    return {
        item.name: {"default": None if item.default is MISSING else item.default, **item.metadata}
        for item in fields(config_type)
        if item.metadata
    }
