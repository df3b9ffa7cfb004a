"""The list of keys: opened by menu, command palette or its own key, over the window that asks."""

from __future__ import annotations

from napari.settings import get_settings
from qtpy.QtWidgets import QApplication, QMainWindow

from napari_gimp.plugin.desk import Dock
from napari_gimp.plugin.docks.keys import KeysDialog
from napari_gimp.plugin.keylist import HELP, HELP_MEANING, key_lines


def show_keys() -> None:
    """Show the list, or bring it to the front."""
    window = _window()
    there = None if window is None else window.findChild(KeysDialog)
    keys = {action: [str(key) for key in bound] for action, bound in get_settings().shortcuts.shortcuts.items()}
    dialog = KeysDialog(key_lines(keys), window) if there is None else there
    dialog.show()
    dialog.raise_()


def bind_help(dock: Dock) -> None:
    """The key that shows the list, for as long as a dock is there."""
    dock.destroyed.connect(dock.desk.bind(HELP, HELP_MEANING, show_keys))


def _window() -> QMainWindow | None:
    """The main window that is worked in."""
    windows = [window for window in QApplication.topLevelWidgets() if isinstance(window, QMainWindow)]
    active = [window for window in windows if window.isActiveWindow()]
    return next(iter(active or windows), None)
