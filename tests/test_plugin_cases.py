"""The case list: tables and folders in every state of disorder, then the dock in a real window."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Generator, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import TinyCase
from hypothesis import given
from hypothesis import strategies as st
from plugin_cases import FACTS, MPP, checker, fake_analysis, grid_of, prediction_of, write_expression, write_slide
from plugin_room import Room, open_room, open_window  # noqa: F401 fixtures
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog

from napari_gimp.gimp.checkpoint import read_facts
from napari_gimp.plugin import job, layers
from napari_gimp.plugin.cases import casework, keeping
from napari_gimp.plugin.cases.caselist import (
    COLUMNS,
    STATES,
    CaseSlide,
    Standing,
    arranged,
    census,
    read_folder,
    read_list,
    read_table,
)
from napari_gimp.plugin.cases.caserows import row_of
from napari_gimp.plugin.cases.queue import Queue
from napari_gimp.plugin.host import slide_of
from napari_gimp.plugin.session import Choices, Request
from napari_gimp.plugin.sessions.autosave import autosave_of
from napari_gimp.plugin.wiring.cases import Cases
from napari_gimp.settings import InputError
from napari_gimp.types import MapSettings, Prediction, Progress, SlideFacts


@pytest.fixture
def slides(tmp_path: Path) -> Path:
    for name in ("b1.tif", "a1.tif", "a2.svs"):
        (tmp_path / name).write_bytes(b"II*\x00 no slide")
    (tmp_path / "notes.txt").write_text("")
    return tmp_path


def table(folder: Path, text: str, name: str = "cohort.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_folder_is_a_case_a_slide_and_barcodes_say_who_belongs_together(slides: Path) -> None:
    for end in ("01Z-00-DX1", "01Z-00-DX2"):
        (slides / f"TCGA-05-4249-{end}.svs").write_bytes(b"x")
    made = read_folder(slides)
    assert [slide.slide_id for slide in made.slides if slide.case_id == "TCGA-05-4249"] == [
        "TCGA-05-4249-01Z-00-DX1",
        "TCGA-05-4249-01Z-00-DX2",
    ]
    assert {slide.case_id for slide in made.slides} == {"a1", "a2", "b1", "TCGA-05-4249"}
    assert made.notes == ()


def test_two_files_of_one_name_are_both_listed_and_it_is_said(slides: Path) -> None:
    (slides / "a1.svs").write_bytes(b"x")
    made = read_folder(slides)
    assert {"a1.tif", "a1.svs"} <= {slide.slide_id for slide in made.slides}
    assert "a1" in made.notes[0]


@pytest.mark.parametrize("folder", ["nothing", "empty"])
def test_a_folder_without_slides_is_a_sentence(tmp_path: Path, folder: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="expected"):
        read_folder(tmp_path / folder)


def test_a_cohort_joins_cases_slides_and_labels(slides: Path) -> None:
    made = read_list(table(slides, "case_id,slide_id,label,site,age\nA,a1,LUAD,05,50\nB,b1,,,\nA,a2,LUAD,05,50\n"))
    assert [(slide.case_id, slide.slide_id, slide.label) for slide in made.slides] == [
        ("A", "a1", "LUAD"),
        ("A", "a2", "LUAD"),
        ("B", "b1", ""),
    ]
    assert made.slides[1].path == slides / "a2.svs"
    assert made.notes == ()


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_separators_and_a_byte_order_mark_are_no_hindrance(slides: Path, separator: str) -> None:
    text = "\ufeffcase_id,slide_id\nA,a1\n\n".replace(",", separator)
    assert read_list(table(slides, text)).slides[0].path == slides / "a1.tif"


def test_slides_lie_in_a_folder_of_their_own_or_one_that_is_chosen(slides: Path, tmp_path: Path) -> None:
    place = tmp_path / "tables"
    (place / "images").mkdir(parents=True)
    shutil.copy(slides / "a1.tif", place / "images" / "a1.tif")
    path = table(place, "case_id,slide_id\nA,a1\nA,b1.tif\n")
    assert [slide.path for slide in read_list(path).slides] == [place / "images" / "a1.tif", None]
    assert [slide.path for slide in read_list(path, slides).slides] == [slides / "a1.tif", slides / "b1.tif"]


def test_duplicates_and_missing_slides_are_one_sentence_each(slides: Path) -> None:
    made = read_list(table(slides, "case_id,slide_id,label\nA,a1,LUAD\nB,a1,LUSC\nC,gone,\n,b1,\n"))
    assert [(slide.case_id, slide.slide_id) for slide in made.slides] == [("A", "a1"), ("C", "gone")]
    twice, nameless, missing = made.notes
    assert "more than one row of 1 slide (a1)" in twice
    assert "1 row of cohort.csv without a case_id" in nameless
    assert "1 of 2 slides is not in" in missing
    assert "gone" in missing


@pytest.mark.parametrize(
    "content",
    [b"", b"a,b\n1,2\n", b"case_id,slide_id\n", b"\xff\xfe\x00\x01", b'case_id,slide_id\n"A,a1\n', b"case_id\nA"],
)
def test_an_unreadable_cohort_is_one_sentence(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "cohort.csv"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"cohort\.csv: expected"):
        read_list(path)
    with pytest.raises(InputError, match="expected"):
        read_table(tmp_path / "none.csv", tmp_path)


STANDINGS = st.builds(
    Standing, st.sampled_from(STATES), st.text(max_size=3), st.sampled_from(["", "LUAD"]), st.none() | st.floats(0, 1)
)
ROWS = st.lists(st.tuples(st.builds(CaseSlide, st.sampled_from("ABC"), st.text(max_size=3), st.none()), STANDINGS))


@given(rows=ROWS, column=st.sampled_from(["", *COLUMNS]), falling=st.booleans(), state=st.sampled_from([None, *STATES]))
def test_cases_stay_together_and_nothing_is_shown_twice(
    rows: list[tuple[CaseSlide, Standing]], column: str, falling: bool, state: str | None
) -> None:
    slides = sorted((slide for slide, _ in rows), key=lambda slide: slide.case_id)
    standings = [standing for _, standing in rows]
    order = arranged(slides, standings, state=state, column=column, falling=falling)
    assert sorted(order) == [k for k, standing in enumerate(standings) if state in (None, standing.state)]
    cases = [slides[k].case_id for k in order]
    assert len([k for k, case in enumerate(cases) if k == 0 or cases[k - 1] != case]) == len(set(cases))


def test_filter_and_sort_know_all_columns() -> None:
    slides = [CaseSlide("B", "b1", None, "LUSC"), CaseSlide("A", "a1", None, "LUAD", "05"), CaseSlide("C", "c1", None)]
    known = [
        Standing("predicted", "", "LUSC", 0.7),
        Standing("failed", "no tissue"),
        Standing("predicted", "", "LUSC", 0.9),
    ]
    assert arranged(slides, known, text="TISSUE lu") == [1]
    assert arranged(slides, known, text="0.90") == [2]
    assert arranged(slides, known, text="05") == [1]
    assert arranged(slides, known, column="case") == [1, 0, 2]
    assert arranged(slides, known, column="prediction", falling=True) == [2, 0, 1]
    assert arranged(slides, known, column="state") == [0, 2, 1]
    assert arranged(slides, known, column="label") == [2, 1, 0]
    assert census(known) == "3 slides: 2 predicted, 1 failed"


def test_a_row_says_what_it_rests_on_and_why_it_failed() -> None:
    slides = [CaseSlide("A", "a1", None, "LUAD"), CaseSlide("A", "a2", None)]
    known = [Standing("predicted", "", "LUSC", 0.999, "image only"), Standing("failed", "no tissue")]
    first, second = (row_of(place, [0, 1], slides, known, Queue(waiting=[1])) for place in (0, 1))
    assert first.prediction == "LUSC >0.99\nimage only"
    assert first.starts
    assert not second.starts
    assert second.state == "waits"
    assert second.tip.endswith("failed: no tissue")


def test_a_queue_runs_each_slide_once() -> None:
    queue = Queue()
    queue.add([3, 1, 3])
    assert (queue.take(), queue.take()) == (3, None)
    queue.add([1, 3, 2])
    assert queue.total == 3
    queue.end(True)
    assert queue.take() == 1
    queue.end(False)
    assert (queue.place, queue.said) == (3, "1 slide predicted, 1 failed")
    assert queue.take() == 2
    queue.stop()
    assert queue.idle


def fake_run(gate: threading.Event | None = None) -> object:
    """The pipeline's part: fails on slides named bad."""

    def analyse(request: Request) -> Generator[Progress, None, Prediction]:
        if request.slide.name.startswith("bad"):
            raise InputError(f"{request.slide.name}: expected tissue, found none; draw it.")
        return (yield from fake_analysis(gate)(request))

    return analyse


@pytest.fixture
def folder(room: Room, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Four slides of three cases; the checkpoint of this room is not real, so that keys are the slides' alone."""
    monkeypatch.setattr(keeping, "key_of", lambda request: f"{request.slide.identity}{request.choices.maps}" * 2)
    monkeypatch.setattr(keeping.job, "the_pipeline", lambda: iter(()))
    monkeypatch.setattr(keeping, "tissue_of", lambda request: None)
    monkeypatch.setattr(casework, "is_embedded", lambda request: request.slide.name == "a2")
    monkeypatch.setattr(job, "analyse", fake_run())
    for k, name in enumerate(("a1", "a2", "b1", "bad")):
        write_slide(tmp_path / f"{name}.tif", checker((700 + 100 * k, 900), 100))
    table(tmp_path, "case_id,slide_id,label\nA,a1,LUAD\nA,a2,LUAD\nB,b1,LUSC\nC,bad,LUSC\nD,gone,\n")
    room.widget.session.change(cache=tmp_path / "cache" / "bags")
    yield tmp_path
    room.viewer.layers.clear()
    room.settle()


@pytest.fixture
def dock(room: Room, folder: Path) -> Iterator[Cases]:
    _, cases = room.viewer.window.add_plugin_dock_widget("napari-gimp", "GiMP: list cases")
    yield cases
    cases.stop()
    cases.face.text.clear()
    cases.face.state.setCurrentIndex(0)


def click(qtbot: object, button: object) -> None:
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def listed(room: Room, dock: Cases, source: Path, qtbot: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """Choose a list as a user does, and wait for what the disk knows."""
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *args, **kwargs: (str(source), ""))
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *args, **kwargs: str(source))
    click(qtbot, dock.face.folder if source.is_dir() else dock.face.cohort)
    room.settle()


def states(dock: Cases) -> dict[str, str]:
    cells = dock.face.table
    return {cells.item(k, 1).text().split("\n")[-1]: cells.item(k, 4).text() for k in range(cells.rowCount())}


@pytest.mark.window
def test_a_cohort_is_listed_with_states_and_pictures(
    room: Room, dock: Cases, folder: Path, qtbot: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed(room, dock, folder / "cohort.csv", qtbot, monkeypatch)
    assert states(dock) == {"a1": "new", "a2": "embedded", "b1": "new", "bad": "new", "gone": "failed"}
    assert "1 of 5 slides is not in" in dock.face.notes.text()
    assert [dock.face.table.item(k, 0).icon().isNull() for k in range(5)] == [False] * 4 + [True]
    qtbot.keyClicks(dock.face.text, "lusc")
    assert list(states(dock)) == ["b1", "bad"]
    dock.face.text.clear()
    dock.face.state.setCurrentText("embedded")
    assert list(states(dock)) == ["a2"]


@pytest.mark.window
def test_the_queue_runs_one_after_the_other_and_goes_on_after_a_failure(
    room: Room, dock: Cases, folder: Path, qtbot: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed(room, dock, folder / "cohort.csv", qtbot, monkeypatch)
    click(qtbot, dock.face.run_all)
    assert not dock.face.run_all.isEnabled()
    assert dock.face.stop_queue.isEnabled()
    room.until(lambda: dock.queue.idle)
    room.settle()
    assert states(dock) == {"a1": "predicted", "a2": "predicted", "b1": "predicted", "bad": "failed", "gone": "failed"}
    assert "3 slides predicted, 2 failed" in dock.face.stage.text()
    assert dock.face.table.item(0, 3).text() == "LUSC 0.75\nimage only"
    dock.face.table.selectRow(3)
    assert "expected tissue, found none" in dock.face.about.text()
    assert room.widget.session.prediction is None
    assert not room.widget.panel.error.isVisibleTo(room.widget)

    dock.load(folder)  # as on the next day: everything is found from the disk again, failures of this list apart
    room.settle()
    assert states(dock) == {"a1": "predicted", "a2": "predicted", "b1": "predicted", "bad": "new"}
    dock.load(folder / "cohort.csv")
    room.settle()
    assert states(dock)["bad"] == "failed"
    assert "expected tissue" in dock.face.table.item(3, 4).toolTip()


@pytest.mark.window
def test_selected_slides_run_and_stop_ends_at_once(
    room: Room, dock: Cases, folder: Path, qtbot: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = threading.Event()
    monkeypatch.setattr(job, "analyse", fake_run(gate))
    listed(room, dock, folder / "cohort.csv", qtbot, monkeypatch)
    dock.face.table.select_rows([0, 2])
    dock.face.table.itemSelectionChanged.emit()
    click(qtbot, dock.face.run_selected)
    room.until(lambda: "embedding" in dock.face.stage.text())
    assert states(dock) | {"a1": "running…", "b1": "waits"} == states(dock)
    assert "1 of 2, a1" in dock.face.stage.text()
    click(qtbot, dock.face.stop_queue)
    assert dock.queue.idle
    assert "Stopped" in dock.face.stage.text()
    room.settle()
    gate.set()
    assert states(dock)["a1"] == states(dock)["b1"] == "new"


@pytest.mark.window
def test_closing_the_dock_ends_its_run(
    room: Room, folder: Path, qtbot: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, cases = room.viewer.window.add_plugin_dock_widget("napari-gimp", "GiMP: list cases")
    listed(room, cases, folder / "cohort.csv", qtbot, monkeypatch)
    ended: list[bool] = []

    def analyse(request: Request) -> Generator[Progress, None, Prediction]:
        try:
            for _ in range(1000):
                yield Progress("embedding", 0, 9)
                time.sleep(0.01)
            raise AssertionError("nobody ended it")
        except GeneratorExit:
            ended.append(True)
            raise

    monkeypatch.setattr(job, "analyse", analyse)
    cases.run([0])
    room.until(lambda: cases.queue.present is not None and "embedding" in cases.face.stage.text())
    room.viewer.window.remove_dock_widget(cases)
    room.until(lambda: bool(ended))


@pytest.mark.window
def test_the_queue_waits_for_the_run_in_the_panel(
    room: Room, dock: Cases, folder: Path, qtbot: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = threading.Event()
    monkeypatch.setattr(job, "analyse", fake_run(gate))
    room.open()
    listed(room, dock, folder / "cohort.csv", qtbot, monkeypatch)
    room.widget.run()
    click(qtbot, dock.face.run_all)
    assert "waits for the run in the panel" in dock.face.stage.text()
    assert dock.queue.present is None
    gate.set()
    room.until(lambda: dock.queue.idle)
    assert states(dock)["b1"] == "predicted"


@pytest.mark.window
def test_double_click_opens_with_everything_and_computes_nothing(
    room: Room, dock: Cases, folder: Path, qtbot: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed(room, dock, folder / "cohort.csv", qtbot, monkeypatch)
    click(qtbot, dock.face.run_all)
    room.until(lambda: dock.queue.idle)
    room.settle()

    def refuse(request: Request) -> object:
        raise AssertionError("computed again")

    monkeypatch.setattr(job, "analyse", refuse)
    cells, saving = dock.face.table, autosave_of(room.widget.desk)
    dock.face.table.scrollToItem(cells.item(0, 1))
    place = cells.visualItemRect(cells.item(0, 1)).center()
    qtbot.mouseClick(cells.viewport(), Qt.MouseButton.LeftButton, pos=place)
    qtbot.mouseDClick(cells.viewport(), Qt.MouseButton.LeftButton, pos=place)
    room.until(lambda: room.layer(layers.MAP) is not None)
    assert slide_of(room.viewer.layers[0]).facts.name == "a1"
    assert "LUSC" in room.widget.panel.result.headline.text()
    shape = np.array([[10, 20], [10, 90], [60, 90], [60, 20]], float)
    room.viewer.add_shapes([shape], name="tumour", shape_type="polygon", units=("um", "um"))
    room.until(lambda: saving.path is not None and saving.path.exists())

    cells.setCurrentCell(2, 1)
    qtbot.keyClick(cells, Qt.Key.Key_Return)
    room.until(lambda: room.widget.desk.result is not None and room.widget.desk.result.slide.name == "b1")
    assert [slide_of(a).facts.name for a in room.viewer.layers if slide_of(a) is not None] == ["b1"]
    room.settle()
    cells.setCurrentCell(0, 1)
    qtbot.keyClick(cells, Qt.Key.Key_Return)
    room.until(lambda: room.widget.desk.result is not None and room.widget.desk.result.slide.name == "a1")
    room.until(lambda: any(layer.name == "tumour" for layer in room.viewer.layers))


@pytest.mark.window
def test_other_parameters_have_other_results(
    room: Room, dock: Cases, folder: Path, qtbot: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed(room, dock, folder, qtbot, monkeypatch)
    dock.run([0])
    room.until(lambda: dock.queue.idle)
    room.settle()
    assert states(dock)["a1"] == "predicted"
    maps = room.widget.panel.model.maps
    before = maps.value()
    maps.set_value(type(before)(repeats=9))
    room.until(lambda: states(dock)["a1"] == "new")
    maps.set_value(before)
    room.until(lambda: states(dock)["a1"] == "predicted")


@pytest.mark.window
def test_a_run_in_the_panel_counts_for_the_list(
    room: Room, dock: Cases, folder: Path, qtbot: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed(room, dock, folder, qtbot, monkeypatch)
    dock.open(2)
    room.settle()
    room.widget.run()
    room.settle()
    assert states(dock)["b1"] == "predicted"


@pytest.mark.window
def test_bad_lists_leave_the_list_as_it_is(
    room: Room, dock: Cases, folder: Path, qtbot: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed(room, dock, folder / "cohort.csv", qtbot, monkeypatch)
    before = states(dock)
    listed(room, dock, table(folder, "a,b\n1,2\n", "bad.csv"), qtbot, monkeypatch)
    assert "bad.csv: expected the columns" in room.widget.panel.error.sentence.text()
    assert states(dock) == before
    dock.open(4)
    assert "gone: expected its file" in room.widget.panel.error.sentence.text()
    room.widget.panel.model.kind.setCurrentText("folder of a checkpoint")
    click(qtbot, dock.face.run_all)
    assert "expected a checkpoint" in room.widget.panel.error.sentence.text()
    assert dock.queue.idle
    room.widget.panel.model.kind.setCurrentText("synthetic demo model")


@pytest.mark.window
def test_headers_sort_and_sort_back(
    room: Room, dock: Cases, folder: Path, qtbot: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed(room, dock, folder / "cohort.csv", qtbot, monkeypatch)
    header = dock.face.table.horizontalHeader()
    orders = []
    for _ in range(3):
        x = header.sectionViewportPosition(2) + 5
        qtbot.mouseClick(header.viewport(), Qt.MouseButton.LeftButton, pos=header.viewport().rect().topLeft() + _at(x))
        orders.append(list(states(dock)))
    assert orders[0][0] == "gone"
    assert orders[1][0] in ("b1", "bad")
    assert orders[2] == ["a1", "a2", "b1", "bad", "gone"]


def _at(x: int) -> object:
    from qtpy.QtCore import QPoint

    return QPoint(x, 5)


def test_each_slide_gets_its_own_sample_or_none(tmp_path: Path) -> None:
    from napari_gimp.genes import read_expression

    expression = read_expression(write_expression(tmp_path / "genes.csv", ("a1", "B")))
    facts = SlideFacts("a1", "id", (900, 900), ((900, 900),), (MPP, MPP))
    chosen = Choices(checkpoint=tmp_path, facts=FACTS, encoder="x", expression=expression)
    opened = type("Opened", (), {"facts": facts})()
    own = casework.request_for(CaseSlide("A", "a1", tmp_path / "a1.tif"), opened, chosen)
    assert own.profile is not None
    assert own.profile.sample == "a1"
    other = type("Opened", (), {"facts": SlideFacts("b7", "id", (9, 9), ((9, 9),), (MPP, MPP))})()
    of_case = casework.request_for(CaseSlide("B", "b7", tmp_path / "b7.tif"), other, chosen)
    assert of_case.profile.sample == "B"
    none = casework.request_for(CaseSlide("C", "b7", tmp_path / "b7.tif"), other, chosen)
    assert none.profile is None
    with pytest.raises(InputError, match="checkpoint"):
        casework.request_for(CaseSlide("A", "a1", tmp_path / "a1.tif"), opened, Choices(expression=expression))


def drain(work: Generator[object, None, object]) -> object:
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value


def test_a_slide_is_computed_once_by_the_real_pipeline(
    tiny: TinyCase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slide = CaseSlide("A", tiny.slide.stem, tiny.slide)
    chosen = Choices(checkpoint=tiny.checkpoint, facts=read_facts(tiny.checkpoint), cache=tmp_path / "bags")
    seen = [each for each in casework.look_up([slide], chosen, {}) if isinstance(each, casework.Known)]
    assert seen[0].standing.state == "new"
    assert max(seen[1].thumbnail.shape) <= max(casework.THUMBNAIL_PX)
    first = drain(casework.run_slide(slide, chosen))
    monkeypatch.setattr(job, "analyse", lambda request: pytest.fail("computed again"))
    np.testing.assert_array_equal(drain(casework.run_slide(slide, chosen)).attention, first.attention)
    seen = [each for each in casework.look_up([slide], chosen, {}, pictures=False) if hasattr(each, "standing")]
    assert seen[0].standing.prediction == casework.standing_of(first).prediction
    request, kept = drain(casework.kept_of(slide, chosen))
    assert kept.tissue.mask.any()
    assert kept.tissue.slide_shape_yx == request.slide.shape_yx
    other = replace(chosen, maps=MapSettings(repeats=3))
    seen = [each for each in casework.look_up([slide], other, {}, pictures=False) if hasattr(each, "standing")]
    assert seen[0].standing.state == "embedded"
    assert drain(casework.kept_of(slide, other)) is None


def test_a_finished_slide_in_the_lists_words() -> None:
    facts = SlideFacts("s", "id", (2048, 2048), ((2048, 2048),), (MPP, MPP))
    standing = casework.standing_of(prediction_of(facts, grid_of((2048, 2048))))
    assert (standing.state, standing.prediction, standing.inputs) == ("predicted", "LUSC 0.75", "image only")


def test_failures_are_kept_for_their_list_until_a_success(tmp_path: Path) -> None:
    chosen = Choices(cache=tmp_path / "bags")
    kept = casework.Failures(tmp_path / "cohort.csv", chosen)
    kept.note("a1", "no tissue")
    assert casework.Failures(tmp_path / "cohort.csv", chosen).reasons == {"a1": "no tissue"}
    assert casework.Failures(tmp_path / "other.csv", chosen).reasons == {}
    kept.note("a1", "")
    assert casework.Failures(tmp_path / "cohort.csv", chosen).reasons == {}
    next((tmp_path / "cases").glob("*.json")).write_text("damaged")
    assert casework.Failures(tmp_path / "cohort.csv", chosen).reasons == {}


def test_results_are_kept_within_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    facts = SlideFacts("s", "id", (2048, 2048), ((2048, 2048),), (MPP, MPP))
    request = Request(1, tmp_path / "s.tif", facts, tmp_path, Choices(cache=tmp_path / "bags"), None)
    folder = keeping.results_folder(request.choices)
    folder.mkdir()
    for k in range(2):
        (folder / f"{k:032x}.result").write_bytes(b"x" * 100)
        shutil.os.utime(folder / f"{k:032x}.result", (time.time() - 9 + k,) * 2)
    monkeypatch.setattr(keeping.job, "the_pipeline", lambda: iter(()))
    monkeypatch.setattr(keeping, "key_of", lambda request: "f" * 32)
    monkeypatch.setattr(keeping.kept, "keep_prediction", lambda folder, key, made: None)
    monkeypatch.setattr(keeping, "RESULTS_GB", 150e-9)
    list(keeping.keep(request, prediction_of(facts, grid_of((2048, 2048)))))
    assert [path.name for path in folder.glob("*.result")] == [f"{1:032x}.result"]
