"""What the user set in napari's preferences for this plugin."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from napari.settings import get_plugin_settings

from napari_gimp.bundled import cache_folder

PLUGIN = "napari-gimp"


@dataclass(frozen=True)
class Preferences:
    """Device, default encoder, where results of embedding are kept and how much of them."""

    device: str = "auto"
    encoder: str = ""
    cache: Path = Path()
    cache_gb: float = 20.0


def preferences() -> Preferences:
    """The preferences in force; the defaults where the plugin's settings are not known (say, in a script)."""
    try:
        stored = get_plugin_settings(PLUGIN)
    except KeyError:
        return Preferences(cache=cache_folder())
    folder = stored.cache.folder.strip()
    return Preferences(
        device=stored.model.device,
        encoder=stored.model.encoder.strip(),
        cache=Path(folder).expanduser() if folder else cache_folder(),
        cache_gb=stored.cache.size_gb,
    )
