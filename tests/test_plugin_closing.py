"""What is closed is gone: slides with their files and listeners, windows with their widgets, timers and threads."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import npe2
import pytest
from plugin_cases import FACTS, checker, fake_analysis, write_slide
from plugin_room import Room, fake_warm_up, open_room, open_window  # noqa: F401 - fixtures
from qtpy.QtCore import QCoreApplication, QEvent, QTimer
from qtpy.QtWidgets import QApplication, QWidget

from napari_gimp.plugin import inputs, job
from napari_gimp.plugin.cases import keeping
from napari_gimp.plugin.desk import _DESKS, desk_of
from napari_gimp.plugin.launch import prepare
from napari_gimp.plugin.panel.sections import SlideSection
from napari_gimp.settings import InputError

PLUGIN = "napari-gimp"


def docks() -> list[str]:
    return [widget.display_name for widget in npe2.PluginManager.instance().get_manifest(PLUGIN).contributions.widgets]


def let_live(until: Callable[[], bool], seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < end, "waited in vain"
        QApplication.processEvents()
        time.sleep(0.002)


def leave_the_loop(until: Callable[[], bool], times: int = 200) -> None:
    """Let Qt delete what waits for it, as the event loop does between two events; there is an end to it."""
    for _ in range(times):
        QApplication.processEvents()
        QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
        if until():
            return
        time.sleep(0.01)


def open_files(folder: Path) -> list[str]:
    proc = Path("/proc/self/fd")
    if not proc.is_dir():
        pytest.skip("this system does not list a process's open files")
    links = []
    for fd in list(proc.iterdir()):
        try:
            links.append(str(fd.readlink()))
        except OSError:
            continue
    return [link for link in links if link.startswith(str(folder))]


def listeners(room: Room) -> Counter[str]:
    """How many listen to each emitter of the window that outlives its slides."""
    viewer, desk = room.viewer, room.widget.desk
    groups = {
        "viewer": viewer.events,
        "layers": viewer.layers.events,
        "selection": viewer.layers.selection.events,
        "camera": viewer.scene.camera.events,
        "dims": viewer.dims.events,
        "cursor": viewer.cursor.events,
    }
    found = Counter({f"{name}.{key}": len(e.callbacks) for name, g in groups.items() for key, e in g.emitters.items()})
    for signal in ("map_shown", "patch_chosen", "patch_hovered", "marks_changed", "said", "failed"):
        found[signal] = len(getattr(desk, signal))
    found["changed"], found["result_changed"] = len(desk.session.changed), len(desk.session.result_changed)
    found["mouse"] = len(viewer.mouse_move_callbacks) + len(viewer.mouse_drag_callbacks)
    found["before_closing"] = len(desk.before_closing)
    return found


def open_run_and_close(room: Room, run: bool) -> list[weakref.ref[object]]:
    """What must be gone after a slide was opened, analysed and closed."""
    layer = room.open()
    kept = [weakref.ref(layer), weakref.ref(layer.metadata["slide"])]
    if run:
        room.widget.run()
        room.settle()
        kept.append(weakref.ref(room.widget.session.prediction))
    room.viewer.layers.clear()
    room.settle()
    return kept


def test_twenty_slides_leave_neither_files_nor_listeners(room: Room) -> None:
    open_run_and_close(room, run=True)
    before, threads = listeners(room), threading.active_count()
    kept: list[weakref.ref[object]] = []
    for number in range(20):
        kept += open_run_and_close(room, run=number % 5 == 0)
    room.settle()
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    gc.collect()
    assert not open_files(room.folder)
    assert listeners(room) == before
    assert threading.active_count() <= threads + 1  # a pool of zarr's may have grown by the last read
    assert sum(there() is not None for there in kept) <= 3, "only the last slide may wait for the next one"


def no_pipeline() -> Iterator[object]:
    yield from ()
    raise InputError("There is no model in this window.")


def kept_nowhere(*_: object) -> Iterator[object]:
    """A failure would be logged, and pytest keeps what is logged, with all that was there when it failed."""
    yield from ()


@pytest.fixture(name="folder")
def a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    write_slide(tmp_path / "slide.tif", checker((1600, 2100), 100))
    monkeypatch.setattr(inputs, "resource", lambda name: tmp_path)
    monkeypatch.setattr(inputs, "read_facts", lambda path: FACTS)
    monkeypatch.setattr(inputs, "members_of", lambda path: 1)
    monkeypatch.setattr(job, "warm_up", fake_warm_up)
    monkeypatch.setattr(job, "the_pipeline", no_pipeline)
    monkeypatch.setattr(keeping, "keep", kept_nowhere)
    return tmp_path


def opened_and_closed(folder: Path) -> tuple[dict[str, weakref.ref[object]], list[weakref.ref[QWidget]]]:
    """A window with every dock and a result in it, closed again."""
    import napari

    viewer = napari.Viewer(show=True)
    widget = prepare(viewer)
    opened = [viewer.window.add_plugin_dock_widget(PLUGIN, name)[1] for name in docks()]
    viewer.open(str(folder / "slide.tif"), plugin=PLUGIN)
    widget.run()
    let_live(lambda: not widget.jobs.busy and not widget.canvas.waiting)
    assert widget.desk.result is not None
    there = {"viewer": viewer, "desk": desk_of(viewer), "panel": widget, "result": widget.desk.result}
    gone = {name: weakref.ref(getattr(what, "__wrapped__", what)) for name, what in there.items()}
    faces = [weakref.ref(dock) for dock in opened]
    viewer.close()
    return gone, faces


def test_nothing_survives_its_window(folder: Path, monkeypatch: pytest.MonkeyPatch, qapp: QApplication) -> None:
    monkeypatch.setattr(job, "analyse", fake_analysis())
    before, windows = threading.active_count(), set(qapp.topLevelWidgets())
    desks, timers = len(_DESKS), len(active_timers())
    gone, faces = opened_and_closed(folder)
    leave_the_loop(lambda: not set(qapp.topLevelWidgets()) - windows)
    for _ in range(3):
        gc.collect()
    assert [name for name, there in gone.items() if there() is not None] == []
    assert [type(there()).__name__ for there in faces if there() is not None] == []
    assert len(_DESKS) == desks
    assert len(active_timers()) <= timers
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("session")]
    assert threading.active_count() <= before + 8  # zarr's pool, which is the process's
    left = [f"{type(widget).__name__} {widget.objectName()}" for widget in set(qapp.topLevelWidgets()) - windows]
    assert left == []


def active_timers() -> list[QTimer]:
    found = []
    for thing in gc.get_objects():
        if issubclass(type(thing), QTimer):  # not isinstance: that asks what looks like something else
            try:
                if thing.isActive():
                    found.append(thing)
            except RuntimeError:  # the object behind it is gone
                continue
    return found


def test_a_user_who_stays_loses_nothing(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """napari asks before a window with layers closes; who says no keeps the run."""
    closed: list[bool] = []
    room.widget.desk.before_closing.append(lambda: closed.append(True))
    room.open()
    window = room.widget.window()
    from napari._qt import qt_main_window
    from napari.settings import get_settings
    from qtpy.QtGui import QCloseEvent

    asked: list[bool] = []

    class StaysOpen:
        def __init__(self, *args: object, **options: object) -> None:
            asked.append(True)

        def exec_(self) -> int:
            return 0

    monkeypatch.setattr(qt_main_window, "ConfirmCloseDialog", StaysOpen)
    monkeypatch.setattr(get_settings().application, "confirm_close_window", True)
    spontaneous = QCloseEvent()
    monkeypatch.setattr(type(spontaneous), "spontaneous", lambda _: True, raising=False)
    QApplication.sendEvent(window, spontaneous)
    assert asked
    assert not closed
    assert window.findChild(SlideSection) is not None
