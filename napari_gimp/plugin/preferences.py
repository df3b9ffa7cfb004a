"""What the user set in napari's preferences for this plugin."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from napari.settings import get_plugin_settings

from napari_gimp.bundled import cache_folder
from napari_gimp.plugin.session import ViewSettings

PLUGIN = "napari-gimp"


@dataclass(frozen=True)
class Preferences:
    """Device, default encoder, where embeddings are kept and how much of them, how maps are shown at first."""

    device: str = "auto"
    encoder: str = ""
    cache: Path = Path()
    cache_gb: float = 20.0
    view: ViewSettings = field(default_factory=ViewSettings)


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
        view=ViewSettings(
            contrast=stored.maps.contrast, opacity=stored.maps.opacity, top_patches=stored.maps.top_patches
        ),
    )
