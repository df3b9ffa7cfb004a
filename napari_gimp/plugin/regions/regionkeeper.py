"""The region layers of a window: found, named, in their classes' colours, remembered for undo. Outlives its dock."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary, ref

from napari.layers import Layer, Shapes
from psygnal import Signal

from napari_gimp.plugin.desk import Desk
from napari_gimp.plugin.host import slide_of
from napari_gimp.plugin.regions.annotations import NEW_REGION, NO_CLASS_COLOUR, colour_name
from napari_gimp.plugin.regions.drawn import belongs, claim_when_drawn, is_drawn, is_ruler
from napari_gimp.plugin.regions.regionclasses import RegionClasses
from napari_gimp.plugin.regions.regionhistory import History, restore, state_of
from napari_gimp.plugin.regions.regionshapes import arm, mend, name_all, outlines, paint, words, write
from napari_gimp.plugin.slide.following import followed
from napari_gimp.types import SlideFacts

UNDO, REDO = "Control-Z", "Control-Shift-Z"
"""Free on a Shapes layer: napari 0.9 binds them on Labels only."""
_KEEPERS: WeakKeyDictionary[Desk, Keeper] = WeakKeyDictionary()


class Keeper:
    """Looks after the Shapes layers that the user draws in; says ``changed`` at every edit, also while one is drawn.

    Attributes
    ----------
    classes
        What a region may be, with colours.
    new_class
        The class of regions that are drawn from now on; empty for none.
    """

    changed = Signal()

    def __init__(self, desk: Desk) -> None:
        self._desk, self._viewer = ref(desk), ref(getattr(desk.viewer, "__wrapped__", desk.viewer))
        self.classes, self.new_class = RegionClasses(), ""
        self._histories: WeakKeyDictionary[Layer, History] = WeakKeyDictionary()
        self._quiet = False
        self._last: ref[Shapes] | None = None
        layers = self.viewer_layers
        layers.events.inserted.connect(self._inserted)
        layers.events.removed.connect(self._removed)
        for layer in layers:
            self._take(layer)

    @property
    def viewer_layers(self) -> Any:
        """All layers of the window: themselves, not the stand-ins that napari lends docks."""
        viewer = self._viewer()
        return () if viewer is None else viewer.layers

    @property
    def slide(self) -> SlideFacts | None:
        """The slide that regions are drawn on: the one of the panel, else the selected or topmost."""
        desk, viewer = self._desk(), self._viewer()
        if desk is None or viewer is None:
            return None
        slide = slide_of(followed(viewer, desk))
        return None if slide is None else slide.facts

    def layers(self, facts: SlideFacts | None) -> list[Shapes]:
        """The region layers of a slide, lowest first."""
        if facts is None:
            return []
        return [a for a in self.viewer_layers if a in self._histories and is_drawn(a) and belongs(a, facts)]

    def set_name(self, layer: Shapes, shape: int, name: str) -> None:
        """Call a region otherwise."""
        with self.edit(layer):
            names = words(layer, "name")
            names[shape] = name
            write(layer, "name", names)

    def set_class(self, layer: Shapes, shapes: Sequence[int], name: str) -> None:
        """Put regions in a class, or in none, and in its colour."""
        with self.edit(layer):
            classes = words(layer, "classification")
            for shape in shapes:
                classes[shape] = name
            write(layer, "classification", classes)
            paint(layer, shapes, colour_name(self.classes.colour(name)))

    def reclass(self, facts: SlideFacts | None, old: str, new: str) -> None:
        """Every region of a class becomes one of another (the same: shows its new colour)."""
        for layer in self.layers(facts):
            members = [k for k, name in enumerate(words(layer, "classification")) if name == old]
            if members:
                self.set_class(layer, members, new)
        self.draw_as(facts, new if self.new_class == old else self.new_class)

    def draw_as(self, facts: SlideFacts | None, name: str) -> None:
        """The class of regions that are drawn from now on."""
        self.new_class = name
        for layer in self.layers(facts):
            arm(layer, name, self.classes.colour(name))

    def remove(self, layer: Shapes, shapes: Sequence[int]) -> None:
        """Delete regions."""
        layer.selected_data = set()
        layer.remove(list(shapes))

    def step(self, layer: Shapes, by: int) -> None:
        """Take back the last edit of a layer (-1) or do it again (1); nothing where there is none."""
        history = self._histories.get(layer)
        state = None if history is None else history.step(by)
        if history is None or state is None:
            return
        with self._hush():
            restore(layer, state)
            arm(layer, self.new_class, self.classes.colour(self.new_class))
        history.settle(state_of(layer))
        self._last = ref(layer)
        self.changed.emit()

    def history(self, layer: Shapes | None) -> History | None:
        """The edits of a layer."""
        return None if layer is None else self._histories.get(layer)

    def last_edited(self, facts: SlideFacts | None) -> Shapes | None:
        """The region layer that was edited last."""
        layer = None if self._last is None else self._last()
        return layer if layer in self.layers(facts) else None

    @contextmanager
    def edit(self, layer: Shapes) -> Iterator[None]:
        """Several changes of a layer that are taken back together."""
        with self._hush():
            yield
            arm(layer, self.new_class, self.classes.colour(self.new_class))
        self._edited(layer)

    @contextmanager
    def _hush(self) -> Iterator[None]:
        before, self._quiet = self._quiet, True
        try:
            yield
        finally:
            self._quiet = before

    def _inserted(self, event: Any) -> None:
        self._take(event.value)
        self.changed.emit()

    def _removed(self, _: object) -> None:
        self.changed.emit()

    def _take(self, layer: Layer) -> None:
        if not isinstance(layer, Shapes) or not is_drawn(layer) or is_ruler(layer) or layer.ndim != 2:
            return
        if layer in self._histories:
            return
        claim_when_drawn(layer, lambda: self.slide)
        for name in NEW_REGION:
            if name not in layer.features:
                write(layer, name, words(layer, name))
        name_all(layer)
        arm(layer, self.new_class, self.classes.colour(self.new_class))
        self._colour(layer)
        self._histories[layer] = History(state_of(layer))
        _listen(layer, self)

    def _colour(self, layer: Shapes) -> None:
        """Classes that are new here join the list; regions that nobody gave a colour get their class's."""
        found = outlines(layer)
        bare = [item.colour == NO_CLASS_COLOUR for item in found]
        pairs = zip(found, bare, strict=True)
        self.classes.meet((item.classification, None if without else item.colour) for item, without in pairs)
        for name in {item.classification for item in found} - {""}:
            members = [k for k, item in enumerate(found) if bare[k] and item.classification == name]
            paint(layer, members, colour_name(self.classes.colour(name)))

    def edited(self, layer: Shapes, action: str, shapes: Sequence[int]) -> None:
        """After an edit on the canvas: what napari leaves undone is done, then it is remembered."""
        if self._quiet:
            return
        with self._hush():
            mend(layer, shapes[0] if action == "changed" and shapes else None)
            name_all(layer)
            classes = words(layer, "classification")
            if action == "added" and classes and classes[-1] == self.new_class:
                paint(layer, [len(classes) - 1], colour_name(self.classes.colour(classes[-1])))
            arm(layer, self.new_class, self.classes.colour(self.new_class))
        self._edited(layer)

    def _edited(self, layer: Shapes) -> None:
        history = self._histories.get(layer)
        if self._quiet or history is None:
            return
        if len(layer.features) == len(layer.edge_color) == len(layer.data) and history.push(state_of(layer)):
            self._last = ref(layer)
        self.changed.emit()


def _listen(layer: Shapes, keeper: Keeper) -> None:
    """Tell a keeper, for as long as it is there, what happens in a layer."""
    there, drawn = ref(keeper), ref(layer)

    def tell(act: Callable[[Keeper, Shapes], object]) -> None:
        found, mine = there(), drawn()
        if found is not None and mine is not None:
            act(found, mine)

    def data_changed(event: Any) -> None:
        action = str(event.action)
        if action in ("added", "changed", "removed"):
            tell(lambda found, mine: found.edited(mine, action, event.data_indices))

    def seen_otherwise(_: object = None) -> None:
        tell(lambda found, _: found.changed.emit())

    layer.events.data.connect(data_changed)
    layer.events.features.connect(lambda _: tell(lambda found, mine: found.edited(mine, "", ())))
    layer.events.set_data.connect(seen_otherwise)
    layer.selected_data.events.items_changed.connect(seen_otherwise)
    layer.bind_key(UNDO, lambda _: tell(lambda found, mine: found.step(mine, -1)), overwrite=True)
    layer.bind_key(REDO, lambda _: tell(lambda found, mine: found.step(mine, 1)), overwrite=True)


def keeper_of(desk: Desk) -> Keeper:
    """The keeper of a desk's regions, made when it is first asked for."""
    if desk not in _KEEPERS:
        _KEEPERS[desk] = Keeper(desk)
    return _KEEPERS[desk]
