"""Shared by all tests: shapes of annotated arrays are checked; real data is found or the test skips with a reason."""

from pathlib import Path

import pytest
from jaxtyping import install_import_hook

CHECKED_ROOMS = ["types", "slides", "encoders", "genes", "regions", "bags", "gimp", "pipeline", "study", "export", "synthetic"]
install_import_hook([f"napari_gimp.{room}" for room in CHECKED_ROOMS], "beartype.beartype")

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data beside the checkout (never part of the project)."""
    if not SHARED.is_dir():
        pytest.skip(f"real data not present: no folder {SHARED.name} beside the checkout")
    return SHARED
