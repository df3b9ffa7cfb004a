"""A settings dataclass as a magicgui form: there and back, ranges kept, one signal per edit."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from magicgui.widgets import CheckBox, ComboBox, Container, FloatSlider, FloatSpinBox, SpinBox
from plugin_cases import MPP, grid_of, prediction_of
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QWheelEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QDoubleSpinBox, QFormLayout, QLabel, QLineEdit

from napari_gimp.plugin.maps import map_titles
from napari_gimp.plugin.panel.forms import UNBOUNDED, SettingsForm
from napari_gimp.plugin.panel.panel import Panel
from napari_gimp.plugin.session import Grain, ViewSettings
from napari_gimp.settings import InputError, describe
from napari_gimp.slides.tissue import TissueSettings
from napari_gimp.types import MapSettings, PatchSpec, SlideFacts
from napari_gimp.words import result_words

CONFIGS = (PatchSpec, Grain, TissueSettings, MapSettings, ViewSettings)
FIELDS = [(config, name) for config in CONFIGS for name in describe(config)]
NUMBERS = [(config, name) for config, name in FIELDS if type(describe(config)[name]["default"]) in (int, float)]


@pytest.fixture(scope="module")
def forms(qapp: QApplication) -> Iterator[dict[type, SettingsForm]]:
    made = {config: SettingsForm(config) for config in CONFIGS}
    yield made
    for form in made.values():
        form.native.deleteLater()


@pytest.fixture
def fresh(forms: dict[type, SettingsForm], config: type) -> SettingsForm:
    forms[config].set_value(config())
    return forms[config]


def bounds(about: dict[str, Any]) -> tuple[float, float]:
    """The declared range; where there is none, the form's own end."""
    low, high = about["min"], about["max"]
    return -UNBOUNDED if low is None else low, UNBOUNDED if high is None else high


def allowed(about: dict[str, Any]) -> st.SearchStrategy[Any]:
    if about["choices"]:
        return st.sampled_from(about["choices"])
    if isinstance(about["default"], bool):
        return st.booleans()
    return (st.integers if isinstance(about["default"], int) else st.floats)(*bounds(about))


def configs(config: type) -> st.SearchStrategy[Any]:
    """Valid settings over the whole declared ranges."""

    def fits(values: dict[str, Any]) -> bool:
        try:
            config(**values)
        except InputError:
            return False
        return True

    values = st.fixed_dictionaries({name: allowed(about) for name, about in describe(config).items()})
    return values.filter(fits).map(lambda valid: config(**valid))


def decimals(editor: Any) -> float:
    """How many decimals an editor shows; infinitely many where it keeps the number itself."""
    shown = {FloatSpinBox: editor.native, FloatSlider: editor.native.findChild(QDoubleSpinBox)}.get(type(editor))
    return math.inf if shown is None else shown.decimals()


@pytest.mark.parametrize("config", CONFIGS)
@settings(deadline=None, max_examples=30)
@given(data=st.data())
def test_what_is_set_is_shown_and_comes_back_exactly(
    forms: dict[type, SettingsForm], config: type, data: st.DataObject
) -> None:
    form, wanted = forms[config], data.draw(configs(config))
    form.set_value(wanted)
    assert form.value() == wanted
    for editor in form:
        shown, value = editor.value, getattr(wanted, editor.name)
        half = 0.5 * 10.0 ** -decimals(editor)
        assert shown == (pytest.approx(value, abs=1.001 * half, rel=1e-12) if half else value)


@pytest.mark.parametrize("config", CONFIGS)
@settings(deadline=None, max_examples=30)
@given(data=st.data())
def test_what_is_edited_comes_back_field_by_field(
    forms: dict[type, SettingsForm], config: type, data: st.DataObject
) -> None:
    form, wanted = forms[config], data.draw(configs(config))
    form.set_value(config())
    for editor in form:
        editor.value = getattr(wanted, editor.name)
    assert {editor.name: editor.value for editor in form} == vars(form.value())


@pytest.mark.parametrize("config", CONFIGS)
def test_a_form_is_a_container_with_the_fields_and_defaults_of_its_dataclass(fresh: SettingsForm, config: type) -> None:
    assert isinstance(fresh, Container)
    assert [editor.name for editor in fresh] == list(describe(config))
    assert fresh.value() == config()
    assert fresh.asdict() == vars(config())


@pytest.mark.parametrize(("config", "name"), FIELDS)
def test_the_kind_of_field_and_its_words_come_from_the_setting(fresh: SettingsForm, config: type, name: str) -> None:
    about, editor = describe(config)[name], fresh[name]
    kinds = {bool: CheckBox, int: SpinBox, float: FloatSpinBox, str: ComboBox}
    assert type(editor) is (FloatSlider if about["slider"] else kinds[type(about["default"])])
    if about["choices"]:
        assert editor.choices == about["choices"]
    unit = about["unit"].replace("um2", "µm²").replace("um", "µm")
    assert about["help"] in editor.tooltip
    assert unit in editor.tooltip
    assert editor.label.endswith(f"({unit})") or not unit
    assert "_" not in editor.label


@pytest.mark.parametrize(("config", "name"), NUMBERS)
@pytest.mark.parametrize("typed", ["-9999999999999", "9999999999999"])
def test_numbers_outside_the_range_cannot_be_typed(fresh: SettingsForm, config: type, name: str, typed: str) -> None:
    editor, (low, high) = fresh[name], bounds(describe(config)[name])
    assert (editor.min, editor.max) == (low, high)
    line = editor.native.findChild(QLineEdit)
    line.selectAll()
    QTest.keyClicks(line, typed)
    QTest.keyClick(line, Qt.Key.Key_Return)
    assert low <= editor.value <= high
    with pytest.raises(ValueError, match="outside"):
        editor.value = high + 1


@pytest.mark.parametrize("config", [Grain])
def test_a_typed_number_is_taken_when_it_is_finished(fresh: SettingsForm, config: type) -> None:
    said: list[Any] = []
    fresh.changed.connect(lambda form: said.append(form.value()))
    line = fresh["stride"].native.lineEdit()
    line.selectAll()
    QTest.keyClicks(line, "2.25")
    assert said == []
    QTest.keyClick(line, Qt.Key.Key_Return)
    assert said == [Grain(stride=2.25)]
    fresh.changed.disconnect()


@pytest.mark.parametrize("config", [ViewSettings])
def test_setting_a_value_says_changed_once_and_only_when_it_differs(fresh: SettingsForm, config: type) -> None:
    said: list[Any] = []
    fresh.changed.connect(lambda form: said.append(form.value()))
    other = ViewSettings("rank", 5.0, 90.0, 10.0, 0.25, 3)
    fresh.set_value(other)
    fresh.set_value(replace(other))
    assert said == [other]
    fresh["opacity"].value = 0.5
    assert said == [other, replace(other, opacity=0.5)]
    fresh.changed.disconnect()


@pytest.mark.parametrize("config", [Grain])
def test_more_decimals_than_are_shown_are_kept_until_edited(fresh: SettingsForm, config: type) -> None:
    fresh.set_value(Grain(stride=1 / 3))
    fresh["min_tissue"].value = 0.5
    assert fresh.value() == Grain(1 / 3, 0.5)
    fresh["stride"].value = 0.4
    assert fresh.value() == Grain(0.4, 0.5)


@pytest.mark.parametrize("config", [TissueSettings])
def test_fields_that_do_not_fit_together_are_refused_in_words(fresh: SettingsForm, config: type) -> None:
    fresh["low"].value = 0.9
    with pytest.raises(InputError, match=r"low.*at most high"):
        fresh.value()


def test_edits_in_the_panel_reach_its_signals_and_values(qapp: QApplication) -> None:
    panel, said = Panel(("colour-texture",)), []
    panel.model.changed.connect(lambda: said.append("model"))
    panel.result.view_changed.connect(lambda: said.append("view"))
    for form, name, value in (
        (panel.model.grain, "stride", 0.5),
        (panel.model.tissue, "reject_ink", False),
        (panel.model.maps, "error", "cosine"),
        (panel.result.view, "contrast", "rank"),
    ):
        form[name].value = value
    assert said == ["model"] * 3 + ["view"]
    values = panel.model_values()
    assert values["grain"] == Grain(stride=0.5)
    assert values["tissue_settings"] == TissueSettings(reject_ink=False)
    assert values["maps"] == MapSettings(error="cosine")
    assert panel.result.view.value() == ViewSettings("rank")
    panel.deleteLater()


@pytest.mark.parametrize(("config", "name"), [(ViewSettings, "contrast"), (Grain, "stride"), (MapSettings, "repeats")])
def test_the_wheel_scrolls_the_panel_not_the_value(fresh: SettingsForm, config: type, name: str) -> None:
    down, nothing = QPoint(0, -120), Qt.KeyboardModifier.NoModifier
    at, phase = QPointF(5, 5), Qt.ScrollPhase.NoScrollPhase
    wheel = QWheelEvent(at, at, down, down, Qt.MouseButton.NoButton, nothing, phase, False)
    QApplication.sendEvent(fresh[name].native, wheel)
    assert not wheel.isAccepted()
    assert fresh.value() == config()


@pytest.mark.parametrize("config", CONFIGS)
def test_no_label_is_cut_off_in_a_narrow_panel(fresh: SettingsForm, config: type, qapp: QApplication) -> None:
    fresh.native.resize(240, 600)
    fresh.native.show()
    qapp.processEvents()
    labels = [part for part in fresh.native.findChildren(QLabel) if part.isVisible()]
    assert all(label.width() >= label.sizeHint().width() for label in labels)
    assert all(editor.native.geometry().right() <= 240 for editor in fresh)
    assert isinstance(fresh.rows, QFormLayout)
    fresh.native.hide()


def test_an_encoder_that_cannot_be_the_checkpoints_is_taken_back(qapp: QApplication, tmp_path: Path) -> None:
    panel = Panel(("colour-texture", "resnet18"))
    model = panel.model
    model.encoder.setCurrentText("resnet18")
    model.suit_encoder("resnet18-0123456789ab")
    assert panel.model_values()["encoder"] == "resnet18"
    model.suit_encoder("colour-texture-0123456789ab")
    assert panel.model_values()["encoder"] is None
    model.encoder_file.set_path(tmp_path / "uni.onnx")
    model.suit_encoder("uni-0123456789ab")
    assert panel.model_values()["encoder"] == str(tmp_path / "uni.onnx")
    model.suit_encoder("colour-texture-0123456789ab")
    assert panel.model_values()["encoder"] is None


def test_a_preferred_encoder_comes_back_with_a_checkpoint_that_it_may_be_of(qapp: QApplication) -> None:
    panel = Panel(("colour-texture",), encoder="hub:uni")
    panel.model.suit_encoder("colour-texture-0123456789ab")
    assert panel.model_values()["encoder"] is None
    panel.model.suit_encoder("uni-0123456789ab")
    assert panel.model_values()["encoder"] == "hub:uni"


def test_an_encoder_file_is_named_in_the_encoder_box_and_gives_way_to_a_name(
    qapp: QApplication, tmp_path: Path
) -> None:
    panel, said = Panel(("colour-texture",), encoder="/nets/preferred.onnx"), []
    model = panel.model
    assert model.encoder.currentText() == "preferred.onnx"
    model.changed.connect(lambda: said.append(panel.model_values()["encoder"]))
    for name in ("first.onnx", "second.onnx"):
        model.encoder_file.line.setText(str(tmp_path / name))
        model.encoder_file.line.editingFinished.emit()
        assert model.encoder.currentText() == name
        assert model.encoder.toolTip() == str(tmp_path / name)
    model.encoder.setCurrentText("colour-texture")
    assert model.encoder_file.line.text() == ""
    assert said == [str(tmp_path / "first.onnx"), str(tmp_path / "second.onnx"), "colour-texture"]
    model.encoder.setCurrentText("")
    QTest.keyClicks(model.encoder.lineEdit(), "/nets/third.onnx")
    assert panel.model_values()["encoder"] == "/nets/third.onnx"
    assert model.encoder.currentText() == "third.onnx"
    model.encoder_file.line.clear()
    assert panel.model_values()["encoder"] is None
    panel.deleteLater()


@pytest.mark.parametrize(
    ("probability", "spread", "said"),
    [
        (0.9951, None, ">0.99"),
        (0.994, None, "0.99"),
        (0.5, None, "0.50"),
        (0.004, None, "<0.01"),
        (0.87, 0.051, "0.87 ± 0.05"),
        (0.87, 0.001, "0.87 ± <0.01"),
    ],
)
def test_the_table_and_the_headline_say_a_probability_alike(
    qapp: QApplication, probability: float, spread: float | None, said: str
) -> None:
    panel, facts = Panel(("colour-texture",)), SlideFacts("slide", "id", (600, 700), ((600, 700),), (MPP, MPP))
    both, image = np.array([probability, 1 - probability]), np.array([0.25, 0.75])
    prediction = replace(
        prediction_of(facts, grid_of((600, 700))),
        probabilities={"both": both, "image": image, "genes": both},
        spread=None if spread is None else np.array([spread, spread]),
    )
    headline, classes, rows, notes = result_words(prediction)
    panel.result.show_result("slide", headline, classes, rows, map_titles(prediction), notes)
    table = panel.result.table
    assert table.item(0, 0).text() == said
    assert f"probability {table.item(int(both.argmax()), 0).text()}, from image and genes" in headline
    assert table.item(0, 1).text() == "0.25"
    panel.deleteLater()
