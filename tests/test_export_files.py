"""Exported files: complete, placed to the pixel, judged by others' readers, whole or not at all, without paths."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import shapely
import zarr
from ome_zarr.io import parse_url
from ome_zarr.reader import Reader
from ome_zarr_models.v05 import Image as OmeImage
from PIL import Image
from shapely.geometry import shape

from napari_gimp.export import check_free, everything, export_prediction, overlay, write_maps, write_overlay
from napari_gimp.export.drawing import round_length
from napari_gimp.export.everything import FILES
from napari_gimp.export.overlay import top_patches, top_regions
from napari_gimp.export.plain import NOTICE, plain, plain_text
from napari_gimp.export.tables import patch_table
from napari_gimp.files import appearing
from napari_gimp.regions import Region, read_geojson
from napari_gimp.settings import InputError
from napari_gimp.types import PatchGrid, Prediction, SlideFacts

MPP = 0.263018
SHAPE = (5003, 7919)
SIDE = 128 / MPP


def make_prediction(cells: list[tuple[int, int]], offset=(0.0, 0.0), mpp: float | None = MPP, **more) -> Prediction:
    """A prediction with random maps whose patches lie on these rows and columns of a 128 um grid."""
    random = np.random.default_rng(0)
    corners = np.round(np.asarray(cells) * SIDE + offset).astype(np.int64)
    attention = random.random((2, 3, len(cells)))
    pair = None if mpp is None else (mpp, mpp)
    values = {
        "probabilities": {"both": np.array([0.25, 0.75]), "image": np.array([0.4, 0.6]), "genes": np.array([0.1, 0.9])},
        "attention": attention / attention.sum(axis=-1, keepdims=True),
        "reconstruction_error": random.random(len(cells)),
        "provenance": {"checkpoint": "demo", "weights": Path("/home/someone/model/w.onnx")},
        "notes": ("Read /home/someone/data/profile.tsv as GDC.",),
        **more,
    }
    facts = SlideFacts("slide-1", "identity", SHAPE, (SHAPE,), pair)
    return Prediction(facts, ("A", "B"), PatchGrid(corners, (SIDE, SIDE), (SIDE, SIDE), SHAPE, pair), **values)


CELLS = [(1, 2), (1, 3), (2, 2), (3, 7), (5, 5), (6, 11)]


@pytest.fixture(scope="module")
def prediction() -> Prediction:
    return make_prediction(CELLS, missing_yx=np.array([[0, 486]]), synthetic="synthetic", coverage=0.98, sample="s1")


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 255, (313, 495, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def result(prediction: Prediction, picture: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole exported result."""
    folder = tmp_path_factory.mktemp("out") / "a" / "slide-1"
    own = Region(shapely.Polygon([(900, 500), (1500, 500), (1500, 1100)]), "mine", "Stroma", (1, 2, 3))
    files = export_prediction(prediction, folder, picture=picture, regions=[own], run={"seconds": 2.5})
    assert files == [folder / name for name in FILES]
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES)
    assert [path.name for path in folder.parent.iterdir()] == ["slide-1"]
    return folder


def test_prediction_says_what_it_is_and_what_it_rests_on(result: Path):
    content = json.loads((result / "prediction.json").read_text())
    assert content["notice"] == NOTICE == "model output, research use only"
    assert content["synthetic"] == "synthetic"
    assert content["predicted"] == "B"
    assert content["modality"] == "both"
    assert content["probabilities"]["genes"] == {"A": 0.1, "B": 0.9}
    assert content["gene_coverage"] == 0.98
    assert (content["patches"], content["missing_patches"]) == (6, 1)


def test_no_folder_of_the_users_disk_leaks(result: Path):
    for name in ("prediction.json", "run.json", "overlay.geojson", "patches.csv"):
        text = (result / name).read_text()
        assert "someone" not in text
        assert str(result.parent) not in text
    assert json.loads((result / "prediction.json").read_text())["notes"] == ["Read profile.tsv as GDC."]
    assert json.loads((result / "run.json").read_text())["provenance"]["weights"] == "w.onnx"


def test_run_record_holds_what_is_needed_to_do_it_again(result: Path):
    run = json.loads((result / "run.json").read_text())
    assert run["slide"]["identity"] == "identity"
    assert run["slide"]["mpp_yx"] == [MPP, MPP]
    assert run["run"] == {"seconds": 2.5}
    assert run["grid"]["size_yx_px"] == [SIDE, SIDE]
    assert {"python", "napari-gimp", "ome-zarr"} <= set(run["written_with"])


def test_patch_table_places_every_patch_and_appends_the_missing(result: Path, prediction: Prediction):
    table = pd.read_csv(result / "patches.csv")
    read, lost = table[table["missing"] == 0], table[table["missing"] == 1]
    np.testing.assert_array_equal(read[["y_px", "x_px"]], prediction.grid.coords_yx)
    np.testing.assert_allclose(read["x_um"], prediction.grid.coords_yx[:, 1] * MPP, rtol=1e-8)
    np.testing.assert_allclose(table["width_um"], 128, rtol=1e-8)
    assert read["patch"].tolist() == list(range(6))
    assert read["attention"].sum() == pytest.approx(1, abs=1e-6)
    assert read["attention_x_mean"].mean() == pytest.approx(1, abs=1e-6)
    np.testing.assert_allclose(read["error"], prediction.reconstruction_error, rtol=1e-7)
    assert lost[["y_px", "x_px"]].to_numpy().tolist() == [[0, 486]]
    assert lost[["patch", "attention", "error"]].isna().all(axis=None)


def test_class_support_and_unknown_values_in_the_patch_table():
    support = np.arange(12.0).reshape(2, 6)
    table = patch_table(make_prediction(CELLS, mpp=None, class_support=support, reconstruction_error=None))
    np.testing.assert_array_equal(table[["support_A", "support_B"]].T, support)
    assert table[["x_um", "height_um", "error"]].isna().all(axis=None)


def test_overlay_is_valid_geometry_that_covers_the_patches(result: Path, prediction: Prediction):
    features = json.loads((result / "overlay.geojson").read_text())["features"]
    tiles = [f for f in features if f["properties"]["objectType"] == "tile"]
    assert all(shape(f["geometry"]).is_valid for f in features)
    assert len({f["id"] for f in features}) == len(features)
    assert len(tiles) == 6
    for tile, corner in zip(tiles, prediction.grid.coords_yx, strict=True):
        x, y = (float(v) for v in corner[::-1])
        assert shape(tile["geometry"]).bounds == pytest.approx((x, y, x + SIDE, y + SIDE))
    measured = [tile["properties"]["measurements"] for tile in tiles]
    np.testing.assert_allclose([m["attention"] for m in measured], prediction.mean_attention)
    np.testing.assert_allclose([m["error"] for m in measured], prediction.reconstruction_error)


def test_overlay_keeps_the_users_regions(result: Path):
    regions = read_geojson(result / "overlay.geojson")
    (mine,) = (region for region in regions if region.name == "mine")
    assert (mine.classification, mine.colour, mine.polygon.area) == ("Stroma", (1, 2, 3), 180_000)
    assert {region.classification for region in regions if region.name.startswith("top")} == {"High attention"}


def test_top_regions_merge_neighbours_and_come_in_order():
    weights = np.array([5, 5, 5, 9, 1, 1.0])
    prediction = make_prediction(CELLS, attention=np.tile(weights / weights.sum(), (1, 1, 1)))
    first, second = top_regions(prediction, share=0.6)
    assert first.polygon.area == pytest.approx(3 * SIDE**2, rel=0.01), "an L of three patches holds most attention"
    assert second.polygon.area == pytest.approx(SIDE**2)
    assert top_patches(prediction, 3).tolist() == [3, 0, 1]


def test_a_slide_of_too_many_patches_keeps_those_with_most_attention(monkeypatch, tmp_path: Path):
    monkeypatch.setattr(overlay, "MOST_TILES", 2)
    prediction = make_prediction(CELLS)
    write_overlay(tmp_path / "o.geojson", prediction)
    content = json.loads((tmp_path / "o.geojson").read_text())
    names = {f["properties"]["name"] for f in content["features"] if f["properties"]["objectType"] == "tile"}
    assert names == {f"patch {k}" for k in np.argsort(-prediction.mean_attention)[:2]}
    assert "2 of 6" in content["note"]


def read_map(path: Path):
    """(array, scale, translation, channel names) as ome-zarr's own reader and models see an image."""
    (node,) = Reader(parse_url(path))()
    (transforms,) = node.metadata["coordinateTransformations"]
    return (
        np.asarray(node.data[0]),
        transforms[0]["scale"],
        transforms[1]["translation"],
        node.metadata["channel_names"],
    )


def test_maps_lie_on_the_patches_to_half_a_pixel(result: Path, prediction: Prediction):
    picture, scale, translation, names = read_map(result / "maps.ome.zarr")
    model = OmeImage.from_zarr(zarr.open_group(result / "maps.ome.zarr", mode="r"))
    axes = model.attributes.ome.multiscales[0].axes
    assert [(axis.name, axis.unit) for axis in axes] == [("c", None), ("y", "micrometer"), ("x", "micrometer")]
    heads = [f"attention_x_mean_layer{layer}_head{head}" for layer in (1, 2) for head in (1, 2, 3)]
    assert names == ["attention_x_mean", "error", *heads]
    assert np.isfinite(picture).sum() == 8 * 6
    rows, columns = np.nonzero(np.isfinite(picture[1]))
    for row, column in zip(rows, columns, strict=True):
        centre_um = np.array(translation[1:]) + np.array([row, column]) * scale[1:]
        corner_px = centre_um / MPP + 0.5 - SIDE / 2
        patch = np.abs(prediction.grid.coords_yx - corner_px).max(axis=1).argmin()
        assert np.abs(prediction.grid.coords_yx[patch] - corner_px).max() <= 0.5 + 1e-6
        assert picture[1, row, column] == np.float32(prediction.reconstruction_error[patch])
        assert picture[0, row, column] == np.float32(prediction.mean_attention[patch] * 6)


def test_foreign_patches_on_two_lattices_become_two_images(tmp_path: Path):
    one, two = make_prediction(CELLS[:3]), make_prediction(CELLS[3:], offset=(100.0, 37.0))
    both = np.concatenate([one.grid.coords_yx, two.grid.coords_yx])
    grid = PatchGrid(both, (SIDE, SIDE), (SIDE, SIDE), SHAPE, (MPP, MPP))
    prediction = make_prediction(CELLS)
    moved = Prediction(prediction.slide, ("A", "B"), grid, prediction.probabilities, prediction.attention)
    assert len(grid.lattices) > 1
    write_maps(tmp_path / "maps.ome.zarr", moved)
    root = json.loads((tmp_path / "maps.ome.zarr" / "zarr.json").read_text())["attributes"]["ome"]
    assert root["bioformats2raw.layout"] == 3
    series = json.loads((tmp_path / "maps.ome.zarr" / "OME" / "zarr.json").read_text())["attributes"]["ome"]["series"]
    maps = [read_map(tmp_path / "maps.ome.zarr" / name) for name in series]
    assert sum(int(np.isfinite(picture[0]).sum()) for picture, *_ in maps) == 6
    assert all(names[0] == "attention_x_mean" and "error" not in names for *_, names in maps)


def test_figure_is_printable_and_marks_itself(result: Path):
    with Image.open(result / "figure.png") as figure:
        assert figure.info["dpi"] == pytest.approx((200, 200), abs=0.1)
        assert figure.info["Description"] == NOTICE
        pixels = np.asarray(figure.convert("RGB"))
    assert pixels.shape[1] > 2000
    assert (pixels == (255, 140, 0)).all(axis=2).any(), "top regions are outlined"
    assert (pixels == (1, 2, 3)).all(axis=2).any(), "the user's region is outlined in its colour"


def test_figure_of_one_patch_without_pixel_size_error_or_colour(tmp_path: Path, picture: np.ndarray):
    lone = make_prediction(
        [(3, 4)], mpp=None, reconstruction_error=None, partial=0.5, probabilities={"image": np.array([0.5, 0.5])}
    )
    export_prediction(lone, tmp_path / "lone", picture=picture)
    with Image.open(tmp_path / "lone" / "figure.png") as figure:
        assert figure.size[0] > 1000
    assert json.loads((tmp_path / "lone" / "prediction.json").read_text())["partial"] == 0.5


def test_scale_bar_lengths_are_round():
    assert [round_length(v) for v in (0.9, 1.0, 4.99, 7.0, 260.0)] == pytest.approx([0.5, 1, 2, 5, 200])


def test_an_earlier_result_is_replaced_only_when_asked_and_only_by_a_whole_one(
    prediction, picture, tmp_path, monkeypatch
):
    folder = tmp_path / "slide"
    monkeypatch.setattr(everything, "write_figure", lambda path, *_: path.touch())
    export_prediction(prediction, folder, picture=picture)
    before = (folder / "run.json").read_bytes()
    with pytest.raises(InputError, match="earlier result"):
        export_prediction(prediction, folder, picture=picture)

    def full(self, *_, **__):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(pd.DataFrame, "to_csv", full)
        with pytest.raises(InputError, match="No space left"):
            export_prediction(prediction, folder, picture=picture, overwrite=True)
    assert (folder / "run.json").read_bytes() == before
    export_prediction(prediction, folder, picture=picture, run={"new": 1}, overwrite=True)
    assert (folder / "run.json").read_bytes() != before
    assert [path.name for path in tmp_path.iterdir()] == ["slide"]


def test_folders_with_other_things_are_never_replaced(tmp_path: Path):
    (tmp_path / "thesis.doc").touch()
    for overwrite in (False, True):
        with pytest.raises(InputError, match=r"thesis\.doc"):
            check_free(tmp_path, overwrite)
    with pytest.raises(InputError, match="found a file"):
        check_free(tmp_path / "thesis.doc", overwrite=True)
    (tmp_path / "empty").mkdir()
    check_free(tmp_path / "empty")
    check_free(tmp_path / "new" / "deeper")


def test_appearing_gives_the_old_back_when_the_new_cannot_take_its_place(tmp_path: Path):
    target = tmp_path / "thing"
    target.write_text("old")
    with pytest.raises(InputError, match="No such file"), appearing(target):
        pass
    assert target.read_text() == "old"
    with appearing(target) as part:
        part.mkdir()
        (part / "inside").touch()
    assert (target / "inside").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["thing"]


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("/home/a/b.svs", "b.svs"),
        (r"C:\Users\a\b.svs", "b.svs"),
        ("slide '/mnt/x y/b.svs'", "slide 'x y/b.svs'"),
        (r"read C:\Users\a\b.svs, good", "read b.svs, good"),
        (r"on \\server\share\b.svs", "on b.svs"),
        ("in ~/.cache/p/b.h5", "in b.h5"),
        ("from file:///home/a/b.h5", "from b.h5"),
        ("https://arxiv.org/abs/2309.02702", "https://arxiv.org/abs/2309.02702"),
        ("0.5 um/px, read/write, 1 / 2", "0.5 um/px, read/write, 1 / 2"),
    ],
)
def test_paths_in_text_lose_their_folders(text: str, kept: str):
    assert plain_text(text) == kept


def test_plain_makes_json_of_what_a_run_knows():
    content = {
        "a": np.float32(1.5),
        "b": np.arange(2),
        "c": (np.nan, float("inf")),
        Path("/x/d"): Path("/x/e"),
        "f": {True},
    }
    assert plain(content) == {"a": 1.5, "b": [0, 1], "c": [None, None], "d": "e", "f": [True]}
