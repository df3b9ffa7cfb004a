"""One description of a setting for every face: the panel, the command line and the docs read it from here."""

from dataclasses import MISSING, Field, field, fields, replace
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
    slider: bool = False,
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
    slider
        Whether a form shows a slider: a number with bounds that is found by looking.
    """
    about = {"help": help, "min": min, "max": max, "unit": unit, "choices": choices, "slider": slider}
    return field(default=default, metadata=about)


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
    """Name -> ``{"default", "help", "min", "max", "unit", "choices", "slider"}`` of a settings dataclass, in order."""
    return {
        item.name: {"default": None if item.default is MISSING else item.default, **item.metadata}
        for item in fields(config_type)
        if item.metadata
    }


def with_overrides(config: Any, values: dict[str, Any]) -> Any:
    """The settings with some fields replaced; text is read by the type of the field's present value.

    Raises
    ------
    InputError
        An unknown field (the known ones are named) or text that is not of its type.
    """
    known = {item.name for item in fields(config)}
    unknown = sorted(set(values) - known)
    if unknown:
        raise InputError(
            f"{type(config).__name__}: no setting {', '.join(unknown)}; known: {', '.join(sorted(known))}."
        )
    return replace(config, **{name: _read_as(name, value, getattr(config, name)) for name, value in values.items()})


def _read_as(name: str, value: Any, present: Any) -> Any:
    if not isinstance(value, str) or present is None or isinstance(present, str):
        return value
    if isinstance(present, bool):
        if value.lower() in ("true", "false"):
            return value.lower() == "true"
        raise InputError(f"{name}: expected true or false, found {value!r}.")
    try:
        return type(present)(value)
    except ValueError:
        raise InputError(f"{name}: expected a {type(present).__name__}, found {value!r}.") from None
