"""Genes: the table against the arrays it is made of, then the dock in a real window, by mouse and keys."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from asked_room import a_result, dock, run  # noqa: F401 fixture
from hypothesis import given
from hypothesis import strategies as st
from plugin_cases import grid_of, prediction_of
from plugin_room import Room
from qtpy.QtCore import QPoint, Qt

from napari_gimp.genes import GeneReference, symbols_of
from napari_gimp.plugin.docks.genes import GeneRows
from napari_gimp.plugin.genes.genetable import ATTRIBUTION, GENE, GROUP, VALUE, GeneTable, Z, slider_range
from napari_gimp.plugin.layers import MAP
from napari_gimp.plugin.wiring.genes import IMAGE_ONLY
from napari_gimp.types import GeneGroup, Prediction, Profile, SlideFacts, against_others

FACTS = SlideFacts("a", "id", (1600, 2100), ((1600, 2100),), (0.263018, 0.263018))
GENES = ("TP53", "EGFR", "KRAS", "NKX2-1", "SOX2")
GROUPS = (GeneGroup("cycle", (("TP53", "KRAS"), ("TP53",))), GeneGroup("lung", (("NKX2-1", "SOX2", "KRAS"),)))


def result(error: float = 0.004) -> Prediction:
    made = prediction_of(FACTS, grid_of((1600, 2100)))
    odds = {"image": np.array([0.3, 0.7]), "genes": np.array([0.6, 0.4]), "both": np.array([0.8, 0.2])}
    return replace(
        made,
        probabilities=odds,
        genes=GENES,
        expression=np.array([1.5, np.nan, 9.0, 4.0, 0.0], np.float32),
        gene_z=np.array([-0.5, 0.0, 3.0, 1.0, -2.0], np.float32),
        gene_attribution=np.array([[0.1, 0.0, -0.4, 0.2, 0.3], [-0.1, 0.0, 0.5, -0.2, -0.3]], np.float32),
        attribution_error=np.array([error, 0.0]),
        groups=GROUPS,
        group_attention=np.array([0.25, 0.75], np.float32),
        sample="S1",
        coverage=0.8,
    )


def table(**more: float) -> GeneTable:
    made = GeneTable.of(result(**more), "log")
    assert made is not None
    return made


def names(found: np.ndarray) -> list[str]:
    return [GENES[k] for k in found]


# --- the table ------------------------------------------------------------------------------------------------------


def test_numbers_are_sorted_by_size_and_what_is_missing_comes_last() -> None:
    made = table()
    assert made.headline == "LUAD"
    assert names(made.order(ATTRIBUTION, True, "LUAD")) == ["KRAS", "SOX2", "NKX2-1", "TP53", "EGFR"]
    assert names(made.order(Z, True, "LUAD")) == ["KRAS", "SOX2", "NKX2-1", "TP53", "EGFR"]
    for descending in (True, False):
        assert names(made.order(VALUE, descending, "LUAD"))[-1] == "EGFR"
    assert names(made.order(VALUE, False, "LUAD")) == ["SOX2", "TP53", "NKX2-1", "KRAS", "EGFR"]
    assert names(made.order(GENE, False, "LUAD")) == sorted(GENES)
    assert names(made.order(GROUP, True, "LUAD"))[-1] == "EGFR"


@given(st.text("kKrRsSlLuUnNgG ", max_size=4), st.integers(0, 4), st.booleans())
def test_search_keeps_what_has_the_text_in_gene_or_group(search: str, column: int, descending: bool) -> None:
    made = table()
    wanted = search.strip().lower()
    kept = {gene for k, gene in enumerate(GENES) if wanted in gene.lower() or wanted in made.groups[k].lower()}
    found = names(made.order(column, descending, "LUSC", search))
    assert set(found) == kept
    assert len(found) == len(kept)


def test_cells_say_their_numbers() -> None:
    made = table()
    assert [made.cell(2, column, "LUSC") for column in range(5)] == ["KRAS", "9.00", "+3.00", "+0.5000", "cycle, lung"]
    assert [made.cell(1, column, "LUSC") for column in range(5)] == ["EGFR", "missing", "–", "+0.0000", ""]
    assert made.headings[VALUE] == "value\nlog2(x+1)"


def test_bars_of_genes_and_groups() -> None:
    made = table()
    assert [(bar.name, round(bar.value, 6)) for bar in made.top_genes("LUSC", 2)] == [("KRAS", 0.5), ("SOX2", -0.3)]
    assert [(bar.name, round(bar.value, 6), bar.more) for bar in made.group_bars("LUAD")] == [
        ("cycle", -0.3, "2 genes, attention 25%"),
        ("lung", 0.1, "3 genes, attention 75%"),
    ]


def test_completeness_and_coverage_are_said() -> None:
    assert table().completeness("LUAD").endswith("completeness error 0.4 %.")
    assert table().completeness("LUSC").endswith("completeness error below 0.1 %.")
    assert "completeness error 8.0 %: only a rough guide." in table(error=0.08).completeness("LUAD")
    assert table().coverage == (
        "Profile S1: 4 of 5 genes of the model (80%); the training mean stands in for the others."
    )
    assert GeneTable.of(prediction_of(FACTS, grid_of((1600, 2100))), "log") is None


def test_symbols_stand_for_identifiers_where_they_are_one_to_one() -> None:
    genes = ("ENSG00000141510", "ENSG00000146648.3", "ENSG00000133703", "ENSG00000101811")
    symbols = {"ENSG00000141510.17": "TP53", "ENSG00000146648": "EGFR", "ENSG00000133703": "X", "ENSG00000101811": "X"}
    profile = Profile("S", tuple(symbols), np.zeros(4), "linear", symbols=symbols)
    assert symbols_of(profile, genes) == {genes[0]: "TP53", genes[1]: "EGFR"}
    assert symbols_of(None, genes) == {}
    made = GeneTable.of(result(), "log", {"TP53": "guardian"})
    assert made is not None
    assert made.cell(0, GENE, "LUAD") == "guardian"
    assert names(made.order(GENE, False, "LUAD", "GUARD")) == names(made.order(GENE, False, "LUAD", "tp5")) == ["TP53"]


def test_a_slider_reaches_four_standard_deviations_and_expression_is_never_negative() -> None:
    mean, sd = np.array([2.0, 5.0], np.float32), np.array([1.0, np.inf], np.float32)
    known = GeneReference("m", ("A", "B"), mean, sd, "log", (GeneGroup("g", (("A", "B"),)),))
    assert slider_range(known, "A", is_group=False) == (0, 6)
    assert slider_range(known, "B", is_group=False) == (0, 5)
    assert slider_range(known, "g", is_group=True) == (0, 6)
    assert slider_range(replace(known, scale="zscore"), "A", is_group=False) == (-2, 6)


def test_twenty_five_thousand_genes_are_rows_without_being_made(qapp: object) -> None:
    many, random = 25_000, np.random.default_rng(0)
    values = random.normal(size=many).astype(np.float32)
    made = replace(
        result(),
        genes=tuple(f"G{k}" for k in range(many)),
        expression=values,
        gene_z=values,
        gene_attribution=np.stack([values, -values]),
        groups=(),
        group_attention=None,
    )
    rows = GeneRows()
    rows.show(GeneTable.of(made, "log"), "LUAD")
    assert rows.rowCount() == many
    assert rows.data(rows.index(0, GENE)) == f"G{np.argmax(np.abs(values))}"
    rows.sort(VALUE, Qt.SortOrder.AscendingOrder)
    assert rows.data(rows.index(many - 1, GENE)) == f"G{np.argmax(values)}"


# --- the dock -------------------------------------------------------------------------------------------------------


@pytest.fixture(name="genes")
def the_dock(asked: Room) -> object:
    return dock(asked, "GiMP: look at the genes")


@pytest.mark.window
def test_the_table_is_searched_and_sorted_by_mouse_and_key(asked: Room, genes: object, qtbot: object) -> None:
    face, prediction = genes.face, asked.widget.desk.result
    assert face.rows.rowCount() == len(prediction.genes) == 60
    added = np.abs(prediction.gene_attribution[prediction.classes.index(face.classes.currentText())])
    assert face.rows.rows[0] == added.argmax()
    assert "60 of 60 genes of the model (100%)" in face.coverage.text()
    assert "completeness error" in face.completeness.text()
    header = face.table.horizontalHeader()
    place = QPoint(header.sectionViewportPosition(Z) + 8, header.height() // 2)
    qtbot.mouseClick(header.viewport(), Qt.MouseButton.LeftButton, pos=place)
    assert face.rows.column == Z
    assert face.rows.rows[0] in (np.abs(prediction.gene_z).argmax(), np.abs(prediction.gene_z).argmin())
    wanted = face.table.model().data(face.rows.index(3, GENE))
    qtbot.keyClicks(face.search, wanted[-4:].lower())
    assert 1 <= face.rows.rowCount() < 60
    assert face.count.text() == f"{face.rows.rowCount()} of 60"
    face.search.clear()
    chosen = []
    asked.widget.desk.gene_chosen.connect(chosen.append)
    cell = face.table.visualRect(face.rows.index(2, GENE)).center()
    qtbot.mouseClick(face.table.viewport(), Qt.MouseButton.LeftButton, pos=cell)
    qtbot.mouseDClick(face.table.viewport(), Qt.MouseButton.LeftButton, pos=cell)
    assert chosen == [face.rows.data(face.rows.index(2, GENE))]


@pytest.mark.window
def test_a_click_on_a_group_puts_its_map_on_the_slide(asked: Room, genes: object, qtbot: object) -> None:
    face, desk = genes.face, asked.widget.desk
    of = desk.result.classes[1]
    face.classes.setCurrentText(of)
    bar = face.groups.bars[0]
    qtbot.mouseClick(face.groups, Qt.MouseButton.LeftButton, pos=QPoint(*face.groups.row_centre(0)))
    asked.until(lambda: bar.name in desk.result.group_support)
    asked.settle()
    layer = asked.layer(MAP)
    assert layer.metadata["key"] == f"group/{bar.name}/{of}"
    values = against_others(desk.result.group_support[bar.name])[1]
    assert np.abs(values).max() > 0
    np.testing.assert_allclose(layer.data, desk.result.grid.lattices[0].image(values), rtol=1e-5)
    assert "never attention" in face.status.text()
    before = desk.result
    qtbot.keyClick(face.groups, Qt.Key.Key_Down)
    qtbot.keyClick(face.groups, Qt.Key.Key_Up)
    qtbot.keyClick(face.groups, Qt.Key.Key_Return)
    asked.settle()
    assert desk.result is before  # known: nothing is computed again


@pytest.mark.window
def test_without_a_profile_the_dock_says_so(asked: Room, genes: object, tiny: object) -> None:
    run(asked)
    assert genes.face.notice.text() == IMAGE_ONLY
    assert not genes.face.table.isVisible()
    run(asked, tiny.profile)
    assert genes.face.notice.text() == ""
    assert genes.face.table.isVisible()
