"""The panel on real slides with the encoder that needs no file: maps lie on the tissue, in um."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import plugin_cases  # noqa: F401 (the user's napari settings are left alone)
import pytest
from conftest import untrained_checkpoint
from plugin_room import Room, a_viewer
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from napari_gimp.encoders.load import load_encoder
from napari_gimp.plugin import layers
from napari_gimp.plugin.launch import prepare

pytestmark = pytest.mark.window


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory, shared: Path, qapp: QApplication) -> Iterator[Room]:
    folder = tmp_path_factory.mktemp("real")
    checkpoint = untrained_checkpoint(folder / "untrained", load_encoder("colour-texture"), ())
    with a_viewer() as viewer:
        made = Room(viewer, prepare(viewer, checkpoint=checkpoint), shared / "slides")
        made.widget.session.change(cache=folder / "bags")
        yield made


@pytest.mark.parametrize(
    ("name", "mpp", "patches"),
    [("CMU-1-Small-Region.svs", None, 50), ("TCGA-CR-7395-01A-01-TS1.svs", "0.5", 166)],
)
def test_a_real_slide_is_analysed_and_its_maps_lie_on_its_tissue(
    room: Room, name: str, mpp: str | None, patches: int
) -> None:
    slide, panel = room.open(name), room.widget.panel
    assert panel.runs.start.isEnabled() == (mpp is None)
    if mpp is not None:
        assert "does not say how large a pixel is" in panel.runs.reason.text()
        panel.slide.mpp.selectAll()
        QTest.keyClicks(panel.slide.mpp, mpp)
        QTest.keyClick(panel.slide.mpp, Qt.Key.Key_Return)
    QTest.mouseClick(panel.runs.start, Qt.MouseButton.LeftButton)
    room.until(lambda: not room.widget.session.running, 60)
    room.settle()
    assert not panel.error.isVisibleTo(room.widget), panel.error.sentence.text()
    assert f"{patches} patches." in panel.result.notes.text()
    assert {str(unit) for unit in room.viewer.layers.extent.units} == {"micrometer"}
    attention = room.layer(layers.MAP)
    cells = np.argwhere(np.isfinite(attention.data)) * attention.scale + attention.translate
    assert len(cells) == patches
    tissue = room.layer(layers.TISSUE)
    mask, scale = tissue.metadata["tissue"].mask, np.asarray(tissue.scale)
    half = np.asarray(attention.scale) / 2
    for low, high in zip((cells - half) / scale, (cells + half) / scale, strict=True):
        (top, left), (bottom, right) = np.maximum(low.round(), 0).astype(int), high.round().astype(int)
        assert mask[top:bottom, left:right].sum() >= 0.2 * (bottom - top) * (right - left)
    room.viewer.layers.remove(slide)
    room.settle()
