"""Joins the list of classes with the regions that are in them."""

from __future__ import annotations

from collections.abc import Callable

from napari_gimp.plugin.docks.regions import RegionsFace
from napari_gimp.plugin.regions.regionkeeper import Keeper
from napari_gimp.regions import Colour
from napari_gimp.settings import InputError


class ClassEdits:
    """What is done to a class is done to its regions, and can be taken back there."""

    def __init__(self, face: RegionsFace, keeper: Keeper, say: Callable[[str], None]) -> None:
        self._face, self._keeper, self._say = face, keeper, say
        face.new_class.connect(lambda name: keeper.draw_as(keeper.slide, name))
        face.classes.added.connect(self._add)
        face.classes.renamed.connect(self._rename)
        face.classes.recoloured.connect(self._recolour)
        face.classes.removed.connect(self._remove)

    def show(self) -> None:
        """The classes as they are now."""
        classes = self._keeper.classes
        self._face.set_classes([(name, classes.colour(name)) for name in classes.names], self._keeper.new_class)

    def _add(self) -> None:
        names = self._keeper.classes.names
        free = next(name for k in range(1, len(names) + 2) if (name := f"class {k}") not in names)
        name = self._keeper.classes.add(free)
        self.show()
        self._face.classes.edit(name)

    def _rename(self, old: str, new: str) -> None:
        try:
            self._reclass(old, self._keeper.classes.rename(old, new))
        except InputError as error:
            self._say(str(error))
            self._face.classes.show_again()

    def _recolour(self, name: str, colour: Colour) -> None:
        self._keeper.classes.recolour(name, colour)
        self._reclass(name, name)

    def _remove(self, name: str) -> None:
        self._keeper.classes.remove(name)
        self._reclass(name, "")

    def _reclass(self, old: str, new: str) -> None:
        self._keeper.reclass(self._keeper.slide, old, new)
        self.show()
