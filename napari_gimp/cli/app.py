"""The application that the commands belong to."""

from __future__ import annotations

from cyclopts import App

from napari_gimp import __version__

app = App(
    name="napari-gimp",
    version=__version__,
    help="Whole-slide images and gene expression together, through GiMP. Research use only: not for diagnosis.",
    suppress_keyboard_interrupt=False,
)
