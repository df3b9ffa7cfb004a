"""The classes that a region may have, each with a colour of its own: a small list that the user edits. No window."""

from __future__ import annotations

from collections.abc import Iterable

from napari_gimp.plugin.regions.annotations import NO_CLASS_COLOUR
from napari_gimp.regions import Colour
from napari_gimp.settings import InputError

PALETTE: dict[str, Colour] = {
    "blue": (0, 114, 178),
    "yellow": (240, 228, 66),
    "black": (0, 0, 0),
    "sky blue": (86, 180, 233),
    "orange": (230, 159, 0),
    "vermillion": (213, 94, 0),
    "purple": (204, 121, 167),
    "white": (255, 255, 255),
}
"""Colours that colour-blind readers tell apart (Okabe and Ito, without their green), and white."""
USUAL = {"Tumor": "blue", "Stroma": "yellow", "Necrosis": "black", "Immune cells": "sky blue", "Artefact": "orange"}


class RegionClasses:
    """Names in the order in which they are offered, each with its colour."""

    def __init__(self) -> None:
        self._colours: dict[str, Colour] = {name: PALETTE[colour] for name, colour in USUAL.items()}

    @property
    def names(self) -> tuple[str, ...]:
        """All classes."""
        return tuple(self._colours)

    @property
    def colours(self) -> dict[str, Colour]:
        """Class -> colour, a copy."""
        return dict(self._colours)

    def colour(self, name: str | None) -> Colour:
        """The colour of a class, or of regions without one."""
        return self._colours.get(name or "", NO_CLASS_COLOUR)

    def meet(self, found: Iterable[tuple[str | None, Colour | None]]) -> bool:
        """Take in the classes of regions from elsewhere, in the colours they have there; whether any is new."""
        before = len(self._colours)
        for name, colour in found:
            if name and name not in self._colours:
                self._colours[name] = colour or self._free()
        return len(self._colours) > before

    def add(self, name: str) -> str:
        """Offer a new class; returns its name without blanks around it.

        Raises
        ------
        InputError
            It has no name, or one that is there already.
        """
        name = self._sound(name)
        self._colours[name] = self._free()
        return name

    def rename(self, old: str, new: str) -> str:
        """Call a class otherwise; its place and its colour stay. Returns its name without blanks around it.

        Raises
        ------
        InputError
            It would have no name, or that of another class.
        """
        new = self._sound(new)
        self._colours = {new if name == old else name: colour for name, colour in self._colours.items()}
        return new

    def recolour(self, name: str, colour: Colour) -> None:
        """Give a class another colour."""
        self._colours[name] = colour

    def remove(self, name: str) -> None:
        """Do not offer a class any more."""
        self._colours.pop(name, None)

    def _sound(self, name: str) -> str:
        name = name.strip()
        if not name:
            raise InputError("Expected a name for the class, found none; type one.")
        if name in self._colours:
            raise InputError(f"Expected a class that is not in the list yet, found {name!r}; choose another name.")
        return name

    def _free(self) -> Colour:
        """The first colour of the palette that is used least."""
        used = list(self._colours.values())
        return min(PALETTE.values(), key=used.count)
