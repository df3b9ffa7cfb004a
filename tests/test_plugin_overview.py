"""Big flat pictures in a real window: a placeholder at once, filled by a worker; closed meanwhile without a trace."""

from __future__ import annotations

import logging
import threading

import numpy as np
import pytest
from PIL import Image
from plugin_room import Room, open_room, open_window  # noqa: F401 fixtures

from napari_gimp.plugin import layers
from napari_gimp.plugin.host import FILLING, slide_of
from napari_gimp.slides import picture_source, pyramid

pytestmark = pytest.mark.window


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch, room: Room) -> threading.Event:
    """Lets the decoding of flat pictures, which all count as big here, begin."""
    event, decode = threading.Event(), picture_source._decode_into_room

    def wait_and_decode(*given: object) -> np.ndarray:
        assert event.wait(20)
        return decode(*given)

    monkeypatch.setattr(picture_source, "_decode_into_room", wait_and_decode)
    monkeypatch.setattr(pyramid, "CHEAP_OVERVIEW_PX", 1000)
    return event


def lowest(layer: object) -> np.ndarray:
    return np.asarray(layer.data[-1] if layer.multiscale else layer.data)


@pytest.mark.parametrize("shape", [(701, 900), (1203, 2501)])
def test_a_placeholder_stands_there_at_once_and_is_filled(
    room: Room, gate: threading.Event, shape: tuple[int, int]
) -> None:
    pixels = np.random.default_rng(0).integers(0, 200, (*shape, 3), np.uint8)
    Image.fromarray(pixels).save(room.folder / "flat.png")
    layer = room.open("flat.png")
    assert layer.multiscale == (max(shape) > 2048)
    assert (lowest(layer) == layers.PLACEHOLDER).all()
    gate.set()
    room.until(lambda: not layer.metadata[FILLING].busy)
    picture = slide_of(layer).overview()
    filled = lowest(layer)
    np.testing.assert_array_equal(filled[: picture.shape[0], : picture.shape[1]], picture)
    if not layer.multiscale:
        np.testing.assert_array_equal(filled, pixels)


def test_a_picture_closed_while_it_is_filled_leaves_nothing_behind(
    room: Room, gate: threading.Event, caplog: pytest.LogCaptureFixture
) -> None:
    Image.fromarray(np.zeros((1203, 2501, 3), np.uint8)).save(room.folder / "flat.png")
    layer = room.open("flat.png")
    jobs = layer.metadata[FILLING]
    room.until(lambda: jobs.running)
    room.viewer.layers.remove(layer)  # does not wait for the gate
    gate.set()
    room.until(lambda: not jobs.busy)
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert (layer.data[-1] == layers.PLACEHOLDER).all()
    room.open()
    room.widget.run()
    room.settle()
    assert room.widget.session.prediction.partial == 1
