"""A checkpoint of several members in the panel: its heads by member, how far the members differ."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import plugin_cases  # noqa: F401 (the user's napari settings are left alone)
import pytest
import torch
from conftest import TinyCase
from plugin_room import Room, a_viewer
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QStyle, QStyleOptionComboBox

from napari_gimp.gimp.checkpoint import load_model, save_checkpoint
from napari_gimp.gimp.model import GiMP
from napari_gimp.plugin import layers
from napari_gimp.plugin.launch import prepare

pytestmark = pytest.mark.window
HEADS = 2


@pytest.fixture(scope="module")
def two(tiny: TinyCase, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The untrained checkpoint with a second member of other random weights."""
    loaded = load_model(tiny.checkpoint)
    (first,) = loaded.model.members
    with torch.random.fork_rng():
        torch.manual_seed(1)
        second = GiMP(first.config, embedding_dim=first.embedding_dim, genes=first.genes, classes=first.classes)
    assert first.config.heads == HEADS
    return save_checkpoint(tmp_path_factory.mktemp("members") / "two", [first, second], loaded.facts)


@pytest.fixture(scope="module")
def room(tiny: TinyCase, two: Path, tmp_path_factory: pytest.TempPathFactory, qapp: QApplication) -> Iterator[Room]:
    with a_viewer() as viewer:
        made = Room(viewer, prepare(viewer, tiny.slide, profile=tiny.profile, checkpoint=two), tiny.slide.parent)
        made.widget.panel.model.device.setCurrentText("cpu")
        made.widget.session.change(cache=tmp_path_factory.mktemp("bags"))
        made.until(lambda: not made.widget.jobs.busy, 60)
        QTest.mouseClick(made.widget.panel.runs.start, Qt.MouseButton.LeftButton)
        made.until(lambda: not made.widget.jobs.busy and not made.widget.canvas.waiting, 60)
        assert not made.widget.panel.error.isVisibleTo(made.widget), made.widget.panel.error.sentence.text()
        yield made


def shown(room: Room) -> np.ndarray:
    """The attention map's numbers in the order of the patches."""
    cells = room.widget.session.prediction.grid.lattices[0].cells
    return room.layer(layers.MAP).data[cells[:, 0], cells[:, 1]]


def test_every_head_of_every_member_can_be_chosen(room: Room) -> None:
    head, prediction = room.widget.panel.result.map, room.widget.session.prediction
    keys = [f"attention/{prediction.attention.shape[0]}/{row}" for row in range(1, 5)]
    names = ["attention", *(head.itemText(head.findData(key)) for key in keys)]
    assert names[1:] == [f"attention, member {m}, head {h}" for m in (1, 2) for h in (1, 2)]
    rows = [prediction.attention[-1].mean(axis=0), *prediction.attention[-1]]
    for name, row in zip(names, rows, strict=True):
        head.setCurrentText(name)
        room.settle()
        np.testing.assert_allclose(shown(room), row * len(prediction.grid), rtol=1e-5)
    assert room.layer(layers.MAP).name.startswith("attention, member 2, head 2 (× slide mean, ")
    head.setCurrentText("attention")
    room.settle()


def test_the_spread_stands_beside_the_headlines_probabilities_alone(room: Room) -> None:
    result, prediction = room.widget.panel.result, room.widget.session.prediction
    assert prediction.spread is not None
    table, best = result.table, int(prediction.probabilities["both"].argmax())
    said = table.item(best, 0).text()
    assert " ± " in said
    assert f"probability {said}, from image and genes" in result.headline.text()
    assert not any("±" in table.item(row, column).text() for row in range(2) for column in (1, 2))
    assert "Models trained from other seeds differ by" in result.doubt.text()


def test_the_chosen_heads_name_is_not_cut_off(room: Room) -> None:
    head = room.widget.panel.result.map
    needed = head.fontMetrics().horizontalAdvance("attention, member 2, head 2")
    option = QStyleOptionComboBox()
    head.initStyleOption(option)
    edit = head.style().subControlRect(
        QStyle.ComplexControl.CC_ComboBox, option, QStyle.SubControl.SC_ComboBoxEditField, head
    )
    assert edit.width() >= needed


def test_no_cell_of_the_table_is_cut_off(room: Room) -> None:
    table = room.widget.panel.result.table
    for row in range(table.rowCount()):
        for column in range(table.columnCount()):
            needed = table.fontMetrics().horizontalAdvance(table.item(row, column).text())
            assert needed <= table.columnWidth(column), table.item(row, column).text()
