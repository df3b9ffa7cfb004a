"""Where the files that ship with the package lie, in a wheel as in a checkout."""

import os
import sys
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from platformdirs import user_cache_path

from napari_gimp.settings import InputError

DEMO_CHECKPOINT = "synthetic_demo_checkpoint"


def resource(name: str) -> Path:
    """Path of a bundled file or folder of ``resources/``.

    Raises
    ------
    InputError
        When the installation lacks it.
    """
    package = Path(__file__).parent
    for folder in (package / "resources", package.parent / "resources"):
        if (folder / name).exists():
            return folder / name
    raise InputError(f"Expected {name} among the bundled resources, found none; install napari-gimp again.")


def cache_folder() -> Path:
    """The user's cache for bags and the generated sample, made when something is written to it."""
    return user_cache_path("napari-gimp")


def has_display() -> bool:
    """Whether a window can be opened: napari is installed and, on Linux, a display is named."""
    if find_spec("napari") is None:
        return False
    return sys.platform != "linux" or any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))


def sample_folder(cache: Path | None = None) -> Path:
    """Where the generated sample of this version lies in a cache (the user's by default)."""
    return (cache or cache_folder()) / f"synthetic_sample_{version('napari-gimp')}"
