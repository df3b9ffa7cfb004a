"""The manifest and what napari calls through it: readers, writers, sample, preferences, rendered alignment."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import zarr
from npe2 import PluginManifest
from plugin_cases import MPP, checker, grid_of, prediction_of, write_slide
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QMenu

from napari_gimp.plugin import layers, reader, samples, writer
from napari_gimp.plugin.host import attend, slide_of
from napari_gimp.plugin.maps import patch_map
from napari_gimp.plugin.preferences import preferences
from napari_gimp.plugin.session import ViewSettings
from napari_gimp.settings import InputError
from napari_gimp.synthetic import make_sample

ROOT = Path(__file__).parents[1]


def test_the_manifest_is_valid_and_every_command_exists() -> None:
    manifest = PluginManifest.from_file(ROOT / "napari.yaml")
    assert manifest.name == "napari-gimp"
    assert (ROOT / "napari_gimp" / "napari.yaml").resolve() == ROOT / "napari.yaml"
    for command in manifest.contributions.commands:
        module, name = command.python_name.split(":")
        assert callable(getattr(__import__(module, fromlist=[name]), name))
    assert {"napari/layers/visualize", "napari/layers/classify", "napari/file/io_utilities"} <= set(
        manifest.contributions.menus
    )


def test_npe2_validate_passes() -> None:
    call = [sys.executable, "-W", "ignore", "-m", "npe2", "validate", str(ROOT / "napari.yaml")]
    assert subprocess.run(call, capture_output=True, check=False).returncode == 0


def test_every_reader_suffix_is_a_pattern_of_the_manifest() -> None:
    manifest = PluginManifest.from_file(ROOT / "napari.yaml")
    slides = next(r for r in manifest.contributions.readers if r.command == "napari-gimp.read_slide")
    assert sorted(slides.filename_patterns) == sorted(f"*{suffix}" for suffix in reader.SUFFIXES)


@pytest.mark.parametrize("path", ["no.tif", "a.txt", [], ["a.tif", "b.txt"], "/", "a.geojson"])
def test_readers_decline_and_never_raise(path: str | list[str]) -> None:
    assert reader.get_reader(path) is None
    assert reader.get_annotation_reader(path) is None


def test_a_broken_slide_is_accepted_by_suffix_and_refused_in_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "text.svs"
    path.write_text("no slide")
    read = reader.get_reader(str(path))
    assert read is not None
    with pytest.raises(InputError, match=r"text\.svs"):
        read(str(path))


def test_preferences_have_defaults() -> None:
    wished = preferences()
    assert wished.device == "auto"
    assert wished.encoder == ""
    assert wished.cache.name == "napari-gimp"
    assert wished.cache_gb == 20


@pytest.fixture(scope="module")
def viewer(qapp: object) -> Iterator[object]:
    import napari

    window = napari.Viewer(show=True)
    yield window
    window.layers.clear()
    window.close()


@pytest.fixture
def slide_layer(viewer: object, tmp_path: Path) -> Iterator[object]:
    viewer.layers.clear()
    attend(viewer)
    viewer.open(str(write_slide(tmp_path / "s.tif", checker((2048, 2048), 256))), plugin="napari-gimp")
    yield viewer.layers[0]
    viewer.layers.clear()


@pytest.mark.window
def test_shapes_and_labels_are_saved_as_geojson_and_opened_again(
    viewer: object, slide_layer: object, tmp_path: Path
) -> None:
    drawn = viewer.add_shapes(
        [np.array([[10, 20], [10, 90], [60, 90], [60, 20]], float)], shape_type="polygon", units=("um", "um")
    )
    path = tmp_path / "a.geojson"
    drawn.save(str(path), plugin="napari-gimp")
    (feature,) = json.loads(path.read_text())["features"]
    assert feature["properties"]["objectType"] == "annotation"
    (back,) = viewer.open(str(path), plugin="napari-gimp")
    world = np.asarray(back.data[0]) * back.scale + back.translate
    np.testing.assert_allclose(np.sort(world, axis=0), np.sort(drawn.data[0], axis=0), atol=0.01)


@pytest.mark.window
def test_annotations_without_a_slide_are_refused(viewer: object, tmp_path: Path) -> None:
    viewer.layers.clear()
    shapes = (np.zeros((1, 4, 2)), {"scale": (1, 1), "translate": (0, 0)}, "shapes")
    with pytest.raises(InputError, match="one slide"):
        writer.write_annotations(str(tmp_path / "a.geojson"), [shapes])


def test_maps_are_saved_as_ome_zarr_and_other_images_refused(tmp_path: Path) -> None:
    from napari_gimp.types import SlideFacts

    facts = SlideFacts("s", "id", (2048, 2048), ((2048, 2048),), (MPP, MPP))
    prediction = prediction_of(facts, grid_of((2048, 2048)))
    maps = layers.map_layers(prediction, patch_map(prediction, "attention"), ViewSettings())
    path = tmp_path / "maps.ome.zarr"
    assert writer.write_maps(str(path), maps) == [str(path)]
    attributes = zarr.open_group(path, mode="r").attrs["ome"]
    assert attributes["multiscales"][0]["axes"][-1]["unit"] == "micrometer"
    with pytest.raises(InputError, match="maps of one GiMP result"):
        writer.write_maps(str(path), [(np.zeros((4, 4)), {"metadata": {}}, "image")])


@pytest.mark.window
def test_the_sample_opens_with_its_profile(viewer: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    viewer.layers.clear()
    monkeypatch.setattr(samples, "make_sample", lambda _: make_sample(tmp_path / "sample", shape_yx=(1024, 1024)))
    (layer,) = viewer.open_sample("napari-gimp", "synthetic_lung")
    assert slide_of(layer) is not None
    assert layer.metadata["profile"].exists()
    assert "synthetic" in layer.name
    viewer.layers.clear()


@pytest.mark.window
def test_the_menus_offer_widget_and_export(viewer: object) -> None:
    titles = {menu.title().replace("&", ""): menu.actions() for menu in viewer.window._qt_window.findChildren(QMenu)}
    assert any("GiMP" in action.text() for action in titles["Visualize"])
    assert any("GiMP" in action.text() for action in titles["Classify"])
    assert any("GiMP" in action.text() for action in titles["IO Utilities"])


@pytest.mark.window
@pytest.mark.parametrize("level", [0, 1, 2])
def test_drawn_map_cells_end_where_the_slides_pixels_do(viewer: object, slide_layer: object, level: int) -> None:
    """Slide and map show the same squares: at 8 screen px per slide px they change at the same place."""
    cells = (np.add.outer(np.arange(8), np.arange(8)) % 2).astype(np.float32)
    squares = viewer.add_image(
        cells, contrast_limits=(0, 1), interpolation2d="nearest", **layers.placement((0, 0), (256, 256), (MPP, MPP))
    )
    slide_layer.locked_data_level = level
    edge = 1024
    viewer.scene.camera.center = ((edge + 99.5) * MPP, (edge - 0.5) * MPP)
    viewer.scene.camera.zoom = 8 / MPP
    changes = []
    for shown, hidden in ((slide_layer, squares), (squares, slide_layer)):
        shown.visible, hidden.visible = True, False
        QTest.qWait(120)
        picture = viewer.screenshot(canvas_only=True, flash=False)
        row = picture[picture.shape[0] // 2, :, 0].astype(int)
        changes.append(np.flatnonzero(np.abs(np.diff(row)) > 100) + 1 - picture.shape[1] / 2)
    assert len(changes[0]) == len(changes[1]) == 1
    assert abs(changes[0][0] - changes[1][0]) <= 4
    assert abs(changes[1][0]) <= 4
