"""The navigator's face: minimap, read-outs, and a button for everything that it can be asked for."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import QCheckBox, QHBoxLayout, QLabel, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from napari_gimp.plugin.docks.minimap import Minimap
from napari_gimp.plugin.panel.parts import Words
from napari_gimp.plugin.slide.navigation import Act

ROWS = (
    ("magnify",),
    ("fit", "previous piece", "next piece", "back", "forward"),
    ("turn", "mirror", "upend", "upright", "ruler"),
)
NO_SLIDE = "Open a slide: drop a file on the window."
UNMEASURED = "Its pixel size is unknown: no magnification and no µm until it is given in the analysis panel."
MAP_TIP = "The whole slide. Click to jump, drag the frame to move, arrow keys to move by half a view."
SCALE_TIP = "Magnification as on an objective: at 1× a screen pixel is 10 µm, at 40× 0.25 µm."
CURSOR_TIP = "Where the mouse points: µm to the right of and below the slide's top-left corner."
COLOURS_TIP = (
    "Convert the scanner's colours to sRGB with the file's ICC profile, for the eye only: what is computed does not"
    " change."
)
NO_PROFILE_TIP = "The file has no ICC profile: its colours are shown as they are."
IMAGES_TIP = "The scanner's pictures of label and glass. They may show names: shown only when you ask."
NO_IMAGES_TIP = "The file holds no picture of label or glass."


class NavigatorFace(QWidget):
    """Says ``asked`` with the name of an act, ``wanted`` with a place on the minimap."""

    asked = Signal(str)
    wanted = Signal(float, float)
    colours_wanted = Signal(bool)
    images_wanted = Signal()

    def __init__(self, acts: Sequence[Act]) -> None:
        super().__init__()
        self.slide = Words("navigator.slide")
        self.map = Minimap()
        self.map.setToolTip(MAP_TIP)
        self.scale = _readout("navigator.scale", SCALE_TIP)
        self.cursor = _readout("navigator.cursor", CURSOR_TIP)
        self.stands, self.status = Words("navigator.stands"), Words("navigator.status")
        self.buttons = {act.name: self._button(act) for act in acts}
        self.colours = QCheckBox("Correct colours (ICC profile)", objectName="navigator.colours")
        self.images = QPushButton("Label and macro…", objectName="navigator.images")
        self._lay_out()
        self.map.wanted.connect(self.wanted)
        self.colours.clicked.connect(self.colours_wanted)
        self.images.clicked.connect(self.images_wanted)
        self.show_slide("", measured=False, images=False, profile=False)

    def _button(self, act: Act) -> QPushButton:
        name = act.name.replace(" ", "-")
        button = QPushButton(act.label, objectName=f"navigator.{name}")
        keys = act.key.replace("Control", "Ctrl").replace("-", "+")
        shown = QKeySequence(keys).toString(QKeySequence.SequenceFormat.NativeText)
        button.setToolTip(f"{act.sentence} Key: {shown}")
        button.setFocusPolicy(Qt.FocusPolicy.TabFocus)  # a click leaves the keys with the canvas
        button.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        button.setStyleSheet("QPushButton { padding: 3px 2px; min-width: 20px; }")
        button.clicked.connect(lambda: self.asked.emit(act.name))
        return button

    def _lay_out(self) -> None:
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 6, 6, 6)
        layout.addWidget(self.slide)
        layout.addWidget(self.map, 1)
        for words in (self.scale, self.cursor, self.stands, self.status):
            layout.addWidget(words)
        for names in ROWS:
            row = QHBoxLayout()
            row.setSpacing(3)
            for act, button in self.buttons.items():
                if act in names or act.split()[0] in names:
                    row.addWidget(button)
            layout.addLayout(row)
        row = QHBoxLayout()
        row.addWidget(self.colours, 1)
        row.addWidget(self.images)
        layout.addLayout(row)

    def show_slide(self, name: str, *, measured: bool, images: bool, profile: bool) -> None:
        """What can be asked for on this slide; an empty name where there is none.

        Parameters
        ----------
        measured
            Whether the size of a pixel is known: without it there is no magnification.
        images, profile
            Whether the file has pictures of label or glass, and an ICC profile.
        """
        self.slide.setText(NO_SLIDE if not name else name if measured else f"{name}. {UNMEASURED}")
        for act, button in self.buttons.items():
            button.setEnabled(bool(name) and (measured or not act.startswith("magnify")))
        self.colours.setEnabled(profile)
        self.colours.setToolTip(COLOURS_TIP if profile else NO_PROFILE_TIP)
        self.images.setEnabled(images)
        self.images.setToolTip(IMAGES_TIP if images else NO_IMAGES_TIP)
        if not name:
            self.map.show_seen(None)
            for words in (self.scale, self.cursor, self.stands):
                words.setText("")

    def show_ways(self, back: bool, forward: bool) -> None:
        """Whether there is a place to go back or forward to."""
        self.buttons["back"].setEnabled(back)
        self.buttons["forward"].setEnabled(forward)


def _readout(name: str, tip: str) -> QLabel:
    """A line that changes many times a second: it neither moves what is below it nor widens the dock."""
    label = QLabel("", objectName=name, toolTip=tip)
    label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    return label
