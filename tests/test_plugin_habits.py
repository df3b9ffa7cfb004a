"""Habits of the window: keys, progress, words on every control, room for them, remembered folders."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import npe2
import pytest
from app_model.types import KeyBinding
from napari.settings import get_plugin_settings, get_settings
from napari.utils import progress
from napari.utils.key_bindings import coerce_keybinding
from napari.utils.shortcuts import default_shortcuts
from plugin_cases import fake_analysis
from plugin_room import Room, open_room, open_window  # noqa: F401 - fixtures
from pytestqt.qtbot import QtBot
from qtpy.QtCore import Qt
from qtpy.QtGui import QAction, QKeySequence
from qtpy.QtWidgets import (
    QAbstractSpinBox,
    QCheckBox,
    QComboBox,
    QDockWidget,
    QFileDialog,
    QFormLayout,
    QLabel,
    QLineEdit,
    QListWidget,
    QPushButton,
    QScrollArea,
    QSlider,
    QTableView,
    QToolButton,
    QWidget,
)

from napari_gimp.plugin import activity, job, keylist
from napari_gimp.plugin.docks.keys import KeysDialog
from napari_gimp.plugin.folders import ask_file, ask_folder, ask_new_file
from napari_gimp.plugin.keylist import DOCKS, MOVING, NAPARIS, OURS, WINDOW, key_lines, on_keyboard
from napari_gimp.plugin.preferences import preferences
from napari_gimp.plugin.session import ViewSettings
from napari_gimp.settings import InputError

PLUGIN = "napari-gimp"
SMALL = (1280, 800)


def manifest() -> npe2.PluginManifest:
    return npe2.PluginManager.instance().get_manifest(PLUGIN)


@pytest.fixture(scope="module", name="docks")
def every_dock(window: Room) -> dict[str, QDockWidget]:
    """All docks in one small window, as tabs; the panel first."""
    window.viewer.window.resize(*SMALL)
    names = [widget.display_name for widget in manifest().contributions.widgets]
    return {name: window.viewer.window.add_plugin_dock_widget(PLUGIN, name, tabify=True)[0] for name in names}


def bound() -> list[str]:
    """Keys of ours that napari's canvas hears."""
    return [key for place in (WINDOW, MOVING) for key in OURS[place]]


def test_no_key_is_napari_s_own_or_given_twice() -> None:
    ours = [str(coerce_keybinding(key)) for key in bound()]
    theirs = {str(KeyBinding.from_str(str(key))) for keys in default_shortcuts.values() for key in keys}
    assert len(set(ours)) == len(ours)
    assert not set(ours) & theirs
    regions = {str(coerce_keybinding(key)) for key in OURS[keylist.REGIONS]}
    assert not regions & {*ours, *(str(key) for keys in default_shortcuts.values() for key in keys)}


def test_no_key_is_in_a_menu(window: Room) -> None:
    menus = {action.shortcut().toString() for action in window.widget.window().findChildren(QAction)}
    assert not {QKeySequence(on_keyboard(key)).toString() for key in bound()} & (menus - {""})


def test_every_key_stands_in_the_list_as_on_the_keyboard() -> None:
    lines = key_lines({"napari:reset_view": ["Ctrl+R"]})
    assert ("Ctrl+1", OURS[MOVING]["Control-1"]) in lines[MOVING]
    assert (".", OURS[WINDOW]["."]) in lines[WINDOW]
    assert lines[keylist.NAPARI] == [("Ctrl+R", NAPARIS["napari:reset_view"])]
    assert all(meaning.endswith(".") for keys in lines.values() for _, meaning in keys)
    assert any("gallery" in meaning for _, meaning in lines[DOCKS])


def test_the_help_key_shows_the_list_and_a_word_narrows_it(room: Room, qtbot: QtBot) -> None:
    canvas = room.viewer.window._qt_viewer.canvas.native
    qtbot.keyClick(canvas, Qt.Key.Key_F1)
    dialog = room.widget.window().findChild(KeysDialog)
    assert dialog is not None
    assert dialog.isVisible()
    qtbot.keyClick(canvas, Qt.Key.Key_F1)
    assert len(room.widget.window().findChildren(KeysDialog)) == 1, "the one that is there comes to the front"
    qtbot.keyClicks(dialog.find, "opaque")
    heads = [dialog.list.topLevelItem(k) for k in range(dialog.list.topLevelItemCount())]
    seen = [head.child(k).text(0) for head in heads for k in range(head.childCount()) if not head.child(k).isHidden()]
    assert seen == ["Shift+Up"]
    qtbot.keyClick(dialog, Qt.Key.Key_Escape)
    assert not dialog.isVisible()


def test_long_work_stands_in_the_activity_dock_until_it_is_over(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = threading.Event()
    monkeypatch.setattr(activity, "LONG_S", 0.0)
    monkeypatch.setattr(job, "analyse", fake_analysis(gate))
    room.open()
    room.widget.run()
    room.until(lambda: any("embedding" in bar.desc for bar in progress._all_instances))
    bar = next(bar for bar in progress._all_instances if "embedding" in bar.desc)
    assert (bar.n, bar.total) == (room.widget.panel.runs.bar.value(), room.widget.panel.runs.bar.maximum())
    gate.set()
    room.settle()
    assert not progress._all_instances


def test_cancel_takes_the_work_out_of_the_activity_dock(
    room: Room, monkeypatch: pytest.MonkeyPatch, qtbot: QtBot
) -> None:
    monkeypatch.setattr(activity, "LONG_S", 0.0)
    monkeypatch.setattr(job, "analyse", fake_analysis(threading.Event()))
    room.open()
    room.widget.run()
    room.until(lambda: len(progress._all_instances) > 0)
    qtbot.mouseClick(room.widget.panel.runs.stop, Qt.MouseButton.LeftButton)
    room.settle()
    assert not progress._all_instances


def test_short_work_is_not_worth_a_bar(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(activity, "LONG_S", 1e9)
    seen: list[object] = []
    room.open()
    room.settle()
    progress._all_instances.events.changed.connect(seen.append)
    room.widget.run()
    room.settle()
    progress._all_instances.events.changed.disconnect(seen.append)
    assert not seen


def test_dialogs_start_where_the_last_one_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read, written = tmp_path / "read", tmp_path / "written"
    read.mkdir()
    written.mkdir()
    began: list[str] = []

    def answer(path: Path, form: bool = True) -> object:
        told = (str(path), "") if form else str(path)
        return lambda parent, title, start="", filters="": began.append(start) or told

    monkeypatch.setattr(QFileDialog, "getOpenFileName", answer(read / "a.csv"))
    monkeypatch.setattr(QFileDialog, "getSaveFileName", answer(written / "sheet.png"))
    assert ask_file(None, "A table") == str(read / "a.csv")
    assert ask_new_file(None, "A picture", "sheet.png") == str(written / "sheet.png")
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", answer(read, form=False))
    assert ask_folder(None, "Read from") == str(read)
    assert began[-1] == str(read)
    ask_folder(None, "Write to", to_write=True)
    assert began[-1] == str(written)
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: ("", ""))
    ask_file(None, "Another")
    assert get_settings().application.open_history[0] == str(read), "nothing chosen, nothing remembered"


def test_how_maps_are_shown_at_first_is_the_user_s(monkeypatch: pytest.MonkeyPatch) -> None:
    assert preferences().view == ViewSettings(), "the manifest and the panel propose the same"
    monkeypatch.setattr(get_plugin_settings(PLUGIN).maps, "contrast", "rank")
    monkeypatch.setattr(get_plugin_settings(PLUGIN).maps, "top_patches", 5)
    assert preferences().view == ViewSettings(contrast="rank", top_patches=5)


VERBS = ("analyse", "move", "compare", "inspect", "show", "draw", "look", "ask", "open", "make", "export", "read",
         "continue", "save", "work", "write", "report", "go", "see", "choose", "list", "measure", "run")  # fmt: skip


def test_titles_read_as_actions() -> None:
    titles = [command.title for command in manifest().contributions.commands]
    assert len(set(titles)) == len(titles)
    assert [title for title in titles if title.removeprefix("GiMP: ").split()[0].lower() not in VERBS] == []


def test_the_list_is_what_is_bound(window: Room, docks: dict[str, QDockWidget]) -> None:
    assert window.widget.desk.keys == {**OURS[WINDOW], **OURS[MOVING]}
    assert NAPARIS.keys() <= default_shortcuts.keys()


def named(parts: QWidget) -> Iterator[QWidget]:
    """The controls of a dock that are the user's; not the insides of one."""
    inner = (QComboBox, QAbstractSpinBox, QLineEdit, QTableView, QListWidget, QSlider)
    kinds = (QPushButton, QToolButton, QCheckBox, *inner)
    for part in parts.findChildren(QWidget):
        inside = part.parentWidget()
        if isinstance(part, kinds) and not isinstance(inside, inner) and not part.objectName().startswith("qt_"):
            yield part


def has_words(part: QWidget) -> bool:
    """A tooltip, of its own or of what it is a part of, or a label beside it."""
    above = part.parentWidget()
    layout = None if above is None else above.layout()
    labelled = isinstance(layout, QFormLayout) and layout.labelForField(part) is not None
    within = [each for each in above_of(part) if not isinstance(each, QDockWidget | QScrollArea)]
    return labelled or any(each.toolTip() for each in (part, *within))


def test_every_control_says_what_it_does(window: Room, docks: dict[str, QDockWidget]) -> None:
    wordless = [
        f"{name}: {type(part).__name__} {part.objectName()}"
        for name, dock in docks.items()
        for part in named(dock)
        if not has_words(part) and is_ours(part)
    ]
    assert wordless == [], "\n".join(wordless)


def is_ours(part: QWidget) -> bool:
    """Not napari's title bar of a dock, and not a fold's own button, which is its title."""
    names = {type(above).__name__ for above in above_of(part)}
    return "QtCustomTitleBar" not in names and type(part.parentWidget()).__name__ != "QCollapsible"


def above_of(part: QWidget) -> Iterator[QWidget]:
    while (above := part.parentWidget()) is not None:
        yield above
        part = above


def no_pipeline() -> Iterator[object]:
    yield from ()
    raise InputError("There is no model in this window.")


def test_nothing_is_cut_in_a_small_window(
    room: Room, docks: dict[str, QDockWidget], qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job, "the_pipeline", no_pipeline)
    room.open()
    room.widget.run()
    room.settle()
    cut: list[str] = []
    for name, dock in docks.items():
        dock.show()
        dock.raise_()
        qtbot.wait(50)
        assert dock.mapTo(dock.window(), dock.rect().bottomRight()).x() <= SMALL[0], name
        cut += [f"{name}: {what}" for part in dock.findChildren(QWidget) if (what := what_is_cut(part))]
    assert (room.widget.window().width(), room.widget.window().height()) == SMALL
    assert cut == [], "\n".join(cut)


def what_is_cut(part: QWidget) -> str:
    """What of a control cannot be read, empty when all of it can."""
    if not part.isVisible() or not is_ours(part) or not part.height():  # no height: it is in a fold that is closed
        return ""
    wide = part.fontMetrics().horizontalAdvance
    if isinstance(part, QPushButton | QToolButton) and part.text():
        return _told(part, part.text(), part.width() < wide(part.text().replace("&", "")))
    if isinstance(part, QLabel) and part.text() and not part.wordWrap():
        return _told(part, part.text(), part.width() < wide(part.text()))
    if isinstance(part, QLabel) and part.text():
        return _told(part, part.text(), part.height() < part.heightForWidth(part.width()) - 2)
    return _beyond(part) if isinstance(part, QComboBox | QAbstractSpinBox | QLineEdit | QSlider) else ""


def _told(part: QWidget, text: str, cut: bool) -> str:
    return f"{type(part).__name__} {part.objectName()} {text!r} {part.width()} px" if cut else _beyond(part)


def _beyond(part: QWidget) -> str:
    """A control that stands out of what scrolls up and down only."""
    area = next((above for above in above_of(part) if isinstance(above, QScrollArea)), None)
    if area is None or area.widget() is None or not area.widget().isAncestorOf(part):
        return ""
    right = part.mapTo(area.widget(), part.rect().topRight()).x()
    return f"{type(part).__name__} {part.objectName()} ends at {right}" if right > area.viewport().width() else ""


def test_tab_goes_down_the_panel(room: Room) -> None:
    """Each stop of the Tab key is below or right of the one before, section by section."""
    panel = room.widget.panel
    stops, part = [], panel.slide.slides
    while (part := part.nextInFocusChain()) is not panel.slide.slides:
        if panel.isAncestorOf(part) and part.isVisible() and part.focusPolicy() & Qt.FocusPolicy.TabFocus:
            stops.append(part)
    sections = [panel.slide, panel.profile, panel.model, panel.result, panel.runs]
    order = [next((k for k, section in enumerate(sections) if section.isAncestorOf(stop)), None) for stop in stops]
    found = [k for k in order if k is not None]
    assert found == sorted(found)
