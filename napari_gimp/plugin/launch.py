"""napari with the panel open: what ``napari-gimp view`` and ``napari-gimp demo`` start."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import napari

from napari_gimp.plugin.desk import desk_of
from napari_gimp.plugin.preferences import PLUGIN
from napari_gimp.plugin.sessions.autosave import autosave_of
from napari_gimp.plugin.sessions.sessionfile import is_session, read_session
from napari_gimp.plugin.widget import GimpWidget
from napari_gimp.plugin.wiring.sessions import restore
from napari_gimp.slides import open_slide

WIDGET = "GiMP: analyse slide"
WINDOW_PX = (1440, 900)


def open_viewer(
    slide: Path | None = None,
    profile: Path | None = None,
    checkpoint: Path | None = None,
    mpp: float | None = None,
    run: bool = False,
) -> None:
    """Open the window with what is given and stay until it is closed.

    Parameters
    ----------
    slide
        A slide, or a session (``.gimp.json``), which brings everything else itself.
    profile, checkpoint
        An expression file; a checkpoint folder (the bundled demo model by default).
    mpp
        um per level-0 pixel where the slide does not say.
    run
        Start the analysis as soon as everything is there.

    Raises
    ------
    InputError
        A slide or session that cannot be opened.
    """
    if sys.platform == "win32":
        importlib.import_module("napari_gimp.pipeline")  # torch must be loaded before Qt there
    viewer = napari.Viewer(title="napari-gimp")
    viewer.window.resize(*WINDOW_PX)
    autosave_of(desk_of(viewer))
    if slide is not None and is_session(slide):
        read_session(slide)  # what is no session is refused here, where the window would only show it
        prepare(viewer)
        restore(viewer, slide)
    else:
        prepare(viewer, slide, profile, checkpoint, mpp, run)
    napari.run()


def prepare(
    viewer: napari.Viewer,
    slide: Path | None = None,
    profile: Path | None = None,
    checkpoint: Path | None = None,
    mpp: float | None = None,
    run: bool = False,
) -> GimpWidget:
    """Dock the panel into a viewer and fill it in."""
    _, widget = viewer.window.add_plugin_dock_widget(PLUGIN, WIDGET)
    panel: GimpWidget = widget
    if checkpoint is not None:
        panel.inputs.load_checkpoint(checkpoint)
    if slide is not None:
        open_slide(slide).close()  # what cannot be opened is refused here, where napari would only show it
        viewer.open(str(slide), plugin=PLUGIN)
    if mpp is not None:
        panel.give_mpp(mpp)
    if profile is not None:
        panel.inputs.load_profile(profile)
    if run:
        panel.run_when_ready()
    return panel


def export_result() -> None:
    """Menu File > IO Utilities: ask for a folder and write the last result there; the panel says what is missing."""
    viewer = napari.current_viewer()
    if viewer is not None:
        _, widget = viewer.window.add_plugin_dock_widget(PLUGIN, WIDGET)
        widget.exports.ask()


def report_result() -> None:
    """Menu File > IO Utilities: ask for a folder and write the page of the case there."""
    viewer = napari.current_viewer()
    if viewer is not None:
        _, widget = viewer.window.add_plugin_dock_widget(PLUGIN, WIDGET)
        widget.exports.ask_report()
