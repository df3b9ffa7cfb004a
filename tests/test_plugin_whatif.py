"""What if: steps, regions and words as pure functions, then the dock in a real window, by mouse and keys."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from asked_room import a_result, dock, run  # noqa: F401 fixture
from hypothesis import given
from hypothesis import strategies as st
from plugin_cases import grid_of, prediction_of
from plugin_room import Room
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QFileDialog
from shapely.geometry import box

from napari_gimp.export.tables import write_prediction
from napari_gimp.genes import GeneReference
from napari_gimp.plugin import job, layers
from napari_gimp.plugin.genes import whatif
from napari_gimp.plugin.genes.asking import Latest
from napari_gimp.plugin.genes.whatif import History, Targets, answer_words, kept_by, region_edit
from napari_gimp.plugin.wiring.whatif import IMAGE_ONLY
from napari_gimp.regions import Region
from napari_gimp.settings import InputError
from napari_gimp.types import AlignedGenes, GeneEdit, GeneGroup, Progress, RegionEdit, SlideFacts, WhatIf

FACTS = SlideFacts("a", "id", (1600, 2100), ((1600, 2100),), (0.263018, 0.263018))
GRID = grid_of((1600, 2100))

# --- steps ----------------------------------------------------------------------------------------------------------


@given(st.lists(st.sampled_from(["add", "drag", "remove", "reset", "undo"]), max_size=20))
def test_undo_takes_every_step_back(steps: list[str]) -> None:
    """Against the list of all that was asked."""
    history, past = History(), [WhatIf()]
    for k, step in enumerate(steps):
        if step == "add":
            history.add(GeneEdit(f"G{k}", "silence"))
        elif step == "drag":
            history.add(GeneEdit("G", "value", float(k)), same_step=True)
        elif step == "remove":
            history.remove(0)
        elif step == "reset":
            history.reset()
        else:
            history.undo()
            past = past[:-1] or past
            assert history.now == past[-1]
            continue
        if history.now == past[-1]:
            continue
        same_step = step == "drag" and past[-1].edits and past[-1].edits[-1].target == "G"
        past = [*past[: -1 if same_step else None], history.now]
    while history.can_undo:
        history.undo()
    assert not history.now


def test_a_drag_is_one_step() -> None:
    history = History()
    for value in (1.0, 2.0, 3.0):
        history.add(GeneEdit("G", "value", value), same_step=True)
    assert history.now.edits == (GeneEdit("G", "value", 3.0),)
    history.add(GeneEdit("G", "percentile", 50.0), same_step=True)
    history.undo()
    assert history.now.edits == (GeneEdit("G", "value", 3.0),)
    history.undo()
    assert not history.now


def test_while_one_question_is_asked_only_the_newest_waits() -> None:
    begun, overs = [], []
    latest = Latest(lambda question, over: (begun.append(question), overs.append(over)))
    for question in range(5):
        latest.ask(question)
    assert begun == [0]
    overs[0]()
    assert begun == [0, 4]
    overs[1]()
    latest.ask(7)
    assert begun == [0, 4, 7]
    latest.ask(8)
    latest.end()
    overs[2]()
    assert begun == [0, 4, 7]


# --- regions --------------------------------------------------------------------------------------------------------


@given(st.floats(0, 2000), st.floats(0, 1500), st.floats(10, 2000), st.floats(10, 1500), st.booleans())
def test_a_region_edit_counts_the_patches_whose_centre_is_inside(
    x: float, y: float, width: float, height: float, keep: bool
) -> None:
    centres = GRID.coords_yx + np.asarray(GRID.size_yx_px) / 2
    inside = (abs(centres - (y + height / 2, x + width / 2)) < (height / 2, width / 2)).all(axis=1)
    kept = inside if keep else ~inside
    regions = [Region(box(x, y, x + width, y + height))]
    if not inside.any() or not kept.any():
        with pytest.raises(InputError, match="drawn: expected some patches inside the regions"):
            region_edit(regions, "drawn", keep, GRID)
        return
    edit = region_edit(regions, "drawn", keep, GRID)
    np.testing.assert_array_equal(kept_by(edit, GRID), kept)
    assert (edit.kept, edit.total) == (kept.sum(), len(GRID))
    again = WhatIf.from_json(json.loads(json.dumps(WhatIf((edit,)).to_json())))
    np.testing.assert_array_equal(kept_by(again.region, GRID), kept)


def test_no_region_and_damaged_regions_are_refused_in_a_sentence() -> None:
    with pytest.raises(InputError, match="mine: expected regions drawn on the slide, found none"):
        region_edit([], "mine", True, GRID)
    with pytest.raises(InputError, match="mine: expected stored regions"):
        kept_by(RegionEdit("mine", True, 1, 2, "no area"), GRID)


# --- words and pictures ---------------------------------------------------------------------------------------------


def test_an_answer_in_words() -> None:
    before, after = np.array([0.9, 0.1]), np.array([0.25, 0.75])
    assert answer_words(("LUAD", "LUSC"), before, after, "LUAD") == (
        "LUAD: 0.90 → 0.25, log-odds -3.30. Most probable would be LUSC instead of LUAD."
    )
    assert answer_words(("LUAD", "LUSC"), before, before, "LUAD") == "LUAD: 0.90 → 0.90, log-odds +0.00."
    assert "log-odds" in answer_words(("a", "b"), np.array([1.0, 0.0]), np.array([0.0, 1.0]), "a")


def test_targets_by_any_name() -> None:
    known = GeneReference("m", ("ENSG1", "cycle"), np.ones(2, np.float32), np.ones(2, np.float32), "log",
                          (GeneGroup("cycle", (("ENSG1",),)), GeneGroup("Lung", (("ENSG1", "cycle"),))))  # fmt: skip
    targets = Targets(known, {"ENSG1": "TP53"})
    assert targets.find("ENSG1") == targets.find("TP53") == targets.find("tp53") == ("ENSG1", False)
    assert targets.find("cycle") == ("cycle", False)
    assert targets.find("LUNG") == ("Lung", True)
    assert targets.find("nobody") is None
    assert targets.names == ("cycle", "Lung", "TP53", "cycle")
    genes = AlignedGenes("S", np.array([np.nan, 4.0], np.float32), ("ENSG1",))
    assert targets.now(genes, "cycle", False) == "cycle is 4.00 log2(x+1) here; training mean 1.00; Lung."
    assert targets.now(genes, "ENSG1", False).startswith("TP53 is missing in the profile; the model takes the training")
    assert targets.now(genes, "Lung", True) == "Lung: 2 genes, 1 of them missing in the profile"


def test_maps_of_a_what_if_have_the_colours_of_the_original_and_leave_out_what_is_left_out() -> None:
    made, asked = prediction_of(FACTS, GRID), WhatIf((GeneEdit("TP53", "silence"),))
    kept = np.array([0, 2])
    ((image, attributes, kind),) = whatif.support_layers(
        made, asked, "LUAD", np.array([1.0, -1.0], np.float32), kept, (-2.0, 2.0), 0.6
    )
    assert kind == "image"
    assert attributes["contrast_limits"] == (-2.0, 2.0)
    assert attributes["name"] == "what-if: support for LUAD (logit) · a"
    assert attributes["metadata"]["label"] == "what-if: TP53 silenced"
    assert np.isfinite(image).sum() == 2
    picture = whatif.map_picture(made, np.array([1.0, -1.0], np.float32), kept, (-1.0, 1.0))
    assert picture.shape == (*made.grid.lattices[0].shape, 3)
    blue, orange = picture[0, 0].astype(int), picture[0, 2].astype(int)
    assert blue[2] > blue[0]
    assert orange[0] > orange[2]
    assert (picture[0, 1] == 255).all()


# --- the dock -------------------------------------------------------------------------------------------------------


@pytest.fixture(name="ask")
def the_dock(asked: Room) -> Iterator[object]:
    made = dock(asked, "GiMP: ask what if")
    made.face.genes.kind.setCurrentIndex(0)
    yield made
    made.face.answer.compare.setChecked(False)
    made.asker.reset()
    for layer in [layer for layer in asked.viewer.layers if layer.name == "mine"]:
        asked.viewer.layers.remove(layer)
    asked.settle()


def click(qtbot: object, button: object) -> None:
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton, pos=QPoint(9, button.height() // 2))


def type_in(qtbot: object, line: object, text: str) -> None:
    line.clear()
    qtbot.keyClicks(line, text)
    line.completer().popup().hide()


@pytest.mark.window
def test_silence_a_group_see_what_the_model_would_say_and_take_it_back(asked: Room, ask: object, qtbot: object) -> None:
    face, desk, questions = ask.face, asked.widget.desk, ask.asking.questions
    result = desk.result
    assert "never attention" in face.notice.text()
    assert [row.name for row in face.answer.bars.rows] == ["original"]
    type_in(qtbot, face.genes.target, "GROUP 2")
    assert face.genes.now.text() == f"group 2: {len(result.groups[1].genes)} genes"
    click(qtbot, face.genes.apply)
    asked.until(lambda: face.answer.label.text() == "what-if: genes of group 2 silenced")
    edit = GeneEdit("group 2", "silence", is_group=True)
    expected = questions.answer(questions.changed(questions.genes, [edit])).probabilities["both"]
    original, changed = face.answer.bars.rows
    np.testing.assert_allclose(original.probabilities, result.probabilities["both"])
    np.testing.assert_allclose(changed.probabilities, expected, atol=1e-6)
    assert not np.allclose(expected, result.probabilities["both"], atol=1e-5)
    assert "Answered in" in face.status.text()
    assert desk.what_if == WhatIf((edit,))
    face.genes.apply.setFocus()
    qtbot.keyClick(face.genes.apply, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    asked.settle()
    assert not desk.what_if
    assert [row.name for row in face.answer.bars.rows] == ["original"]
    assert face.answer.label.text() == ""


@pytest.mark.window
def test_a_slider_is_one_edit_and_answers_at_once(asked: Room, ask: object, qtbot: object) -> None:
    face, questions = ask.face, ask.asking.questions
    gene = questions.reference.genes[4]
    symbol = ask._targets.symbols[gene]
    type_in(qtbot, face.genes.target, symbol)
    face.genes.kind.setFocus()
    qtbot.keyClicks(face.genes.kind, "perc")
    assert face.genes.kind.currentText() == "percentile of training"
    assert "normal approximation" in face.genes.unit.text()
    for _ in range(4):
        qtbot.keyClick(face.genes.slider, Qt.Key.Key_PageUp)
    asked.settle()
    percentile = face.genes.number.value()
    edit = GeneEdit(gene, "percentile", percentile, called=symbol)
    assert asked.widget.desk.what_if == WhatIf((edit,))
    assert percentile > 60
    expected = questions.answer(questions.changed(questions.genes, [edit])).probabilities["both"]
    np.testing.assert_allclose(face.answer.bars.rows[1].probabilities, expected, atol=1e-6)
    assert face.edits.item(0).text() == f"{symbol} at percentile {percentile:g} of training (normal approximation)"
    click(qtbot, face.undo)
    asked.settle()
    assert not asked.widget.desk.what_if


@pytest.mark.window
def test_a_gene_that_the_model_does_not_know_is_one_sentence(asked: Room, ask: object, qtbot: object) -> None:
    face = ask.face
    type_in(qtbot, face.genes.target, "NOBODY")
    click(qtbot, face.genes.apply)
    assert face.error.text() == (
        "untrained does not know gene 'NOBODY': expected one of its 60 genes; choose one from the list."
    )
    assert not asked.widget.desk.what_if
    type_in(qtbot, face.genes.target, "group 1")
    assert face.error.text() == ""
    click(qtbot, face.genes.apply)
    asked.settle()
    assert len(face.answer.bars.rows) == 2


@pytest.mark.window
def test_a_region_is_left_out_or_kept_alone(asked: Room, ask: object, qtbot: object) -> None:
    face, desk, questions = ask.face, asked.widget.desk, ask.asking.questions
    assert not face.regions.leave_out.isEnabled()
    grid, slide = desk.result.grid, asked.viewer.layers[0]
    height, width = desk.result.slide.shape_yx
    corners = np.array([[0, 0], [0, 0.55 * width], [height, 0.55 * width], [height, 0]])
    asked.viewer.add_shapes([corners], name="mine", scale=slide.scale, units=slide.units)
    asked.settle()
    click(qtbot, face.regions.leave_out)
    asked.until(lambda: len(face.answer.bars.rows) == 2)
    left = (grid.coords_yx + np.asarray(grid.size_yx_px) / 2)[:, 1] < 0.55 * width
    rerun = drain(questions.regions(~left))
    expected = rerun.questions.answer(questions.genes).probabilities["both"]
    np.testing.assert_allclose(face.answer.bars.rows[1].probabilities, expected, atol=1e-6)
    count = f"{(~left).sum()} of {len(grid)} patches"
    assert face.answer.label.text() == f"what-if: without the regions in mine ({count})"
    assert f"The model looked at {(~left).sum()} patches in" in face.status.text()
    click(qtbot, face.regions.keep_only)
    asked.until(lambda: "only the regions in mine" in face.answer.label.text())
    expected = drain(questions.regions(left)).questions.answer(questions.genes).probabilities["both"]
    np.testing.assert_allclose(face.answer.bars.rows[1].probabilities, expected, atol=1e-6)
    made = ask.what_if_prediction()
    assert len(made.grid) == left.sum()
    assert made.attention.shape[-1] == left.sum()
    assert [edit["keep"] for edit in made.provenance["what_if"]] == [False, True]


def drain(work: object) -> object:
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value


@pytest.mark.window
def test_support_maps_side_by_side_in_the_same_colours(asked: Room, ask: object, qtbot: object) -> None:
    face, desk, questions = ask.face, asked.widget.desk, ask.asking.questions
    of = desk.result.classes[0]
    face.answer.classes.setCurrentText(of)
    type_in(qtbot, face.genes.target, "group 1")
    click(qtbot, face.genes.apply)
    click(qtbot, face.answer.compare)
    asked.until(lambda: asked.layer(whatif.ROLE) is not None and asked.layer(whatif.ROLE).visible)
    asked.settle()
    mine, original = asked.layer(whatif.ROLE), asked.layer(layers.MAP)
    assert mine.name.startswith(f"what-if: support for {of}")
    assert original.metadata["key"] == f"support/{of}"
    assert tuple(mine.contrast_limits) == tuple(original.contrast_limits)
    genes = questions.changed(questions.genes, [GeneEdit("group 1", "silence", is_group=True)])
    expected = drain(questions.support(genes))[0]
    np.testing.assert_allclose(mine.data, desk.result.grid.lattices[0].image(expected), rtol=1e-4, atol=1e-7)
    assert not np.allclose(expected, desk.result.class_support[0], atol=1e-6)
    assert not original.visible
    assert face.answer.before.image is not None
    assert face.answer.after.image is not None
    click(qtbot, face.answer.on_slide)
    assert original.visible
    assert not mine.visible
    click(qtbot, face.answer.on_slide)
    click(qtbot, face.reset)
    asked.settle()
    assert asked.layer(whatif.ROLE) is None
    assert original.visible
    assert face.answer.after.image is None


@pytest.mark.window
def test_an_export_is_of_the_what_if_in_a_folder_of_its_own(
    asked: Room, ask: object, qtbot: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    face, seen = ask.face, []

    def export(*given: object) -> Iterator[Progress]:
        seen.append(given)
        yield Progress("exporting", 1, 1)
        return [tmp_path / "what-if" / "prediction.json"]

    assert not face.answer.export.isEnabled()
    type_in(qtbot, face.genes.target, "group 1")
    click(qtbot, face.genes.apply)
    asked.settle()
    monkeypatch.setattr(job, "export", export)
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(tmp_path))
    click(qtbot, face.answer.export)
    asked.settle()
    ((made, path, folder, record),) = seen
    assert (path, folder) == (asked.widget.session.origin.path, tmp_path / "what-if")
    assert record["what_if"] == made.provenance["what_if_label"] == "what-if: genes of group 1 silenced"
    np.testing.assert_allclose(made.probabilities["both"], face.answer.bars.rows[1].probabilities, atol=1e-6)


@pytest.mark.window
def test_a_stored_what_if_comes_back(asked: Room, ask: object) -> None:
    desk, stored = asked.widget.desk, [{"edit": "genes", "target": "group 3", "kind": "mean", "is_group": True}]
    desk.what_if = WhatIf.from_json(stored)
    desk.what_if_changed.emit()
    asked.settle()
    assert ask.face.answer.label.text() == "what-if: genes of group 3 at the training mean"
    assert len(ask.face.answer.bars.rows) == 2
    assert WhatIf.from_json(json.loads(json.dumps(desk.what_if.to_json()))) == desk.what_if


@pytest.mark.window
def test_the_newest_answer_counts_however_late_others_come(asked: Room, ask: object, monkeypatch: object) -> None:
    gate, questions = threading.Event(), ask.asking.questions
    answer = questions.answer

    def late(genes: object) -> object:
        assert gate.wait(10)
        return answer(genes)

    monkeypatch.setattr(questions, "answer", late)
    for value in (1.0, 2.0, 3.0, 4.0):
        ask.asker.add(GeneEdit(questions.reference.genes[0], "value", value), same_step=True)
    gate.set()
    asked.settle()
    assert ask.asker.answered.asked.edits[-1].amount == 4.0
    assert ask.face.answer.label.text().endswith("at 4")


@pytest.mark.window
def test_without_a_profile_only_regions_can_be_changed(asked: Room, ask: object, tiny: object) -> None:
    face = ask.face
    run(asked)
    asked.settle()
    assert face.notice.text() == IMAGE_ONLY
    assert not face.genes.isVisible()
    assert face.regions.isVisible()
    assert [len(row.probabilities) for row in face.answer.bars.rows] == [2]
    run(asked, tiny.profile)
    asked.settle()
    assert face.genes.isVisible()


def test_a_what_if_is_no_result_of_a_patient(tmp_path: Path) -> None:
    made = replace(prediction_of(FACTS, GRID), sample="S1", notes=("a note",))
    asked = WhatIf((GeneEdit("G", "mean"),))
    answer = type("Answer", (), {"probabilities": {"image": np.array([0.5, 0.5])}, "spread": None})()
    found = whatif.as_prediction(made, asked, answer, None, None, None)
    assert found.notes[0] == "Warning: what-if: G at the training mean. Nobody measured this."
    assert found.provenance["what_if"] == asked.to_json()
    assert found.attention is made.attention
    assert found.class_support is None
    assert found.gene_attribution is None
    write_prediction(tmp_path / "prediction.json", found)
    assert json.loads((tmp_path / "prediction.json").read_text())["what_if"] == "what-if: G at the training mean"
    write_prediction(tmp_path / "plain.json", made)
    assert "what_if" not in json.loads((tmp_path / "plain.json").read_text())
