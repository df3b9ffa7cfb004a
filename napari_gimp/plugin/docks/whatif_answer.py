"""What the model would say: bars of the original and of the what-if, both support maps side by side."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import QPoint, QRect, Qt
from qtpy.QtGui import QImage, QPainter, QPaintEvent
from qtpy.QtWidgets import QCheckBox, QGridLayout, QLabel, QPushButton, QSizePolicy, QWidget

from napari_gimp.plugin.panel.bars import BarRow, ProbabilityBars
from napari_gimp.plugin.panel.forms import combo
from napari_gimp.plugin.panel.parts import Words, fill, silently

PICTURE_PX = 130


class AnswerView(QWidget):
    """Probabilities of the original and of the what-if, and both support maps side by side."""

    def __init__(self) -> None:
        super().__init__(objectName="whatif.answer")
        self.label, self.words, self.remarks = Words("whatif.label"), Words("whatif.words"), Words("whatif.remarks")
        self.label.setStyleSheet("font-style: italic;")
        self.bars = ProbabilityBars()
        self.bars.setObjectName("whatif.bars")
        self.classes = combo("whatif.class", "The class whose support is compared.")
        self.compare = QCheckBox("compare support maps", objectName="whatif.compare")
        self.compare.setToolTip("Compute class support for the what-if beside the window, and lay it on the slide.")
        self.on_slide = QCheckBox("what-if on the slide", objectName="whatif.on_slide", checked=True)
        self.on_slide.setToolTip("Off: the original map is on the slide, in the same colours.")
        self.before, self.after = MapPicture("whatif.before"), MapPicture("whatif.after")
        self.before_title, self.after_title = QLabel("original"), QLabel("what-if")
        for title in (self.before_title, self.after_title):
            title.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)  # words must not widen the dock
        self.maps = Words("whatif.maps")
        self.export = button(
            "Export this what-if …", "export", "Write it to a folder; every file says that it is a what-if."
        )
        layout = QGridLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        wide: tuple[QWidget, ...] = (self.label, self.bars, self.words, self.remarks)
        for row, part in enumerate(wide):
            layout.addWidget(part, row, 0, 1, 2)
        layout.addWidget(self.compare, 4, 0)
        layout.addWidget(self.classes, 4, 1)
        pairs = ((self.before_title, self.after_title), (self.before, self.after))
        for row, pair in enumerate(pairs, start=5):
            for column, part in enumerate(pair):
                layout.addWidget(part, row, column)
        layout.addWidget(self.on_slide, 7, 0, 1, 2)
        layout.addWidget(self.maps, 8, 0, 1, 2)
        layout.setColumnStretch(0, 1)
        layout.setColumnStretch(1, 1)
        layout.addWidget(self.export, 9, 0, 1, 2)
        self.set_pictures(None, None)

    def set_classes(self, names: Sequence[str], current: str) -> None:
        """The classes whose support can be compared, without a signal."""
        silently(self.classes, lambda: fill(self.classes, names, current))

    def set_answer(self, label: str, said: str, remarks: str) -> None:
        """What was asked, what would change, what must be known of it."""
        self.label.setText(label)
        self.words.setText(said)
        self.remarks.setText(remarks)
        self.export.setEnabled(bool(label))

    def set_rows(self, classes: Sequence[str], rows: Sequence[BarRow]) -> None:
        """Bars of the original and of the what-if."""
        self.bars.set_rows(classes, rows)

    def set_pictures(self, before: QImage | None, after: QImage | None) -> None:
        """Support maps of the original and of the what-if in the same colours; None hides one."""
        for image, label, title in ((before, self.before, self.before_title), (after, self.after, self.after_title)):
            label.setVisible(image is not None)
            title.setVisible(image is not None)
            label.set_image(image)
        self.on_slide.setVisible(after is not None)
        self.after_title.setText("what-if")

    def set_outdated(self) -> None:
        """The what-if's map is of an earlier question: another one is on its way."""
        self.after_title.setText("what-if (being computed …)")


class MapPicture(QWidget):
    """A small map, as wide as there is room, every patch a sharp square."""

    def __init__(self, name: str) -> None:
        super().__init__(objectName=name)
        self.image: QImage | None = None
        self.setFixedHeight(PICTURE_PX)

    def set_image(self, image: QImage | None) -> None:
        """Show this map."""
        self.image = image
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        if self.image is None:
            return
        painter = QPainter(self)
        size = self.image.size().scaled(self.size(), Qt.AspectRatioMode.KeepAspectRatio)
        painter.drawImage(QRect(QPoint(0, 0), size), self.image)
        painter.end()


def button(text: str, name: str, tip: str) -> QPushButton:
    """A button that shares a narrow row with others."""
    made = QPushButton(text, objectName=f"whatif.{name}", toolTip=tip)
    made.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
    return made
