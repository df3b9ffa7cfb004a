"""The panel's fields <-> the state of a session: what is restored stands in the panel as if the user had chosen it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import napari.viewer

from napari_gimp.plugin.panel.sections import CHECKPOINTS_OWN, DETECT, ModelSection
from napari_gimp.plugin.preferences import PLUGIN
from napari_gimp.plugin.sessions.sessionstate import SessionState
from napari_gimp.plugin.sessions.snapshot import InPanel

if TYPE_CHECKING:
    from napari_gimp.plugin.widget import GimpWidget

PANEL = "GiMP: analyse slide"


def plainly(viewer: napari.viewer.Viewer) -> napari.viewer.Viewer:
    """The viewer itself: what napari gives to a plugin hands out proxies, which are of no dataclass."""
    return getattr(viewer, "__wrapped__", viewer)


def panel_of(viewer: napari.viewer.Viewer) -> GimpWidget:
    """The panel of a viewer, docked when it is not there yet."""
    _, widget = plainly(viewer).window.add_plugin_dock_widget(PLUGIN, PANEL)
    made: GimpWidget = widget
    return made


def open_panel(viewer: napari.viewer.Viewer) -> GimpWidget | None:
    """The panel of a viewer if it is there."""
    name = f"{PANEL} ({PLUGIN})"
    docks = plainly(viewer).window.dock_widgets
    found = next((docks[title] for title in docks if title == name or title.startswith(PANEL)), None)
    made: GimpWidget | None = found
    return made


def in_panel(viewer: napari.viewer.Viewer) -> InPanel:
    """What only the panel knows."""
    widget = open_panel(viewer)
    if widget is None:
        return InPanel()
    panel = widget.panel
    named, result = panel.slide.tissue.currentText(), widget.session.prediction
    key = None if result is None else panel.result.chosen_map
    return InPanel(panel.profile.file.path, None if named == DETECT else named, key, panel.result.view.value())


def show_choices(widget: GimpWidget, state: SessionState) -> None:
    """Profile, view settings, parameters and checkpoint as the session has them; each says itself what is wrong.

    The checkpoint comes last, because what follows takes its sentence away; it may bring an encoder of its own.
    """
    model = widget.panel.model
    if state.profile is not None or widget.panel.profile.file.path is not None:
        widget.inputs.load_profile(state.profile)
    if state.map_view is not None:
        widget.panel.result.view.set_value(state.map_view)
    _show_parameters(model, dict(state.parameters))
    if state.checkpoint is not None:
        _show_checkpoint(widget, state)
        if widget.session.choices.facts is not None and model.encoder_name != state.parameters.get("encoder"):
            _show_encoder(model, state.parameters.get("encoder"))


def _show_checkpoint(widget: GimpWidget, state: SessionState) -> None:
    model = widget.panel.model
    model.set_own_folder(not state.demo)
    if not state.demo:
        model.folder.set_path(state.checkpoint)
    widget.inputs.load_checkpoint(None if state.demo else state.checkpoint)


def _show_parameters(model: ModelSection, parameters: dict[str, Any]) -> None:
    if parameters.get("device") is not None:
        model.device.setCurrentText(parameters["device"])
    for form, name in ((model.grain, "grain"), (model.tissue, "tissue_settings"), (model.maps, "maps")):
        if parameters.get(name) is not None:
            form.set_value(parameters[name])
    if "encoder" in parameters:
        _show_encoder(model, parameters["encoder"])
    for field, name in ((model.weights, "weights"), (model.bag, "bag")):
        if name in parameters:
            field.set_path(parameters[name])
    model.changed.emit()


def _show_encoder(model: ModelSection, encoder: str | None) -> None:
    if encoder is not None and encoder.endswith(".onnx"):
        model.encoder_file.set_path(Path(encoder))
        model.encoder_file.chosen.emit(Path(encoder))
    else:
        model.encoder.setCurrentText(encoder or CHECKPOINTS_OWN)
