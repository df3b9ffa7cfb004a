"""Explanations in the exported files, by hand and from a model's own run."""

import json
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import zarr
from conftest import TinyCase
from PIL import Image

from napari_gimp.export import export_prediction, write_maps, write_overlay
from napari_gimp.export.everything import FILES, GENE_FILES
from napari_gimp.export.plain import NOTICE
from napari_gimp.export.tables import gene_table, patch_table, top_genes
from napari_gimp.settings import InputError
from napari_gimp.types import Bag, GeneGroup, PatchGrid, Prediction, SlideFacts, against_others

GENES = ("AAA", "BBB", "CCC", "DDD")
PICTURE = np.full((20, 20, 3), 200, np.uint8)


def make_prediction(**more: Any) -> Prediction:
    """Six patches, four genes of which one is missing, two groups that share a gene."""
    corners = np.array([(256 * row, 256 * column) for row in range(2) for column in range(3)])
    grid = PatchGrid(corners, (256.0, 256.0), (256.0, 256.0), (1024, 1024), (0.5, 0.5))
    attention = np.random.default_rng(0).random((2, 2, 6))
    values: dict[str, Any] = {
        "class_support": np.array([[1.0, -2, 3, 0, 0, 0], [-1, 2, -3, 0, 0, 4]]),
        "genes": GENES,
        "expression": np.array([1.5, np.nan, 2.0, 0.0]),
        "gene_z": np.array([0.5, 0.0, -2.0, 0.1]),
        "gene_attribution": np.array([[0.2, 0.0, -1.0, 0.0], [-0.2, 0.0, 1.5, 0.3]]),
        "attribution_error": np.array([0.001, 0.002]),
        "groups": (GeneGroup("HYPOXIA", (("AAA", "CCC"),)), GeneGroup("rest", (("CCC", "BBB"), ("DDD",)))),
        "group_attention": np.array([0.3, 0.7]),
        "group_support": {"rest": np.ones((2, 6))},
        **more,
    }
    facts = SlideFacts("slide-1", "identity", (1024, 1024), ((1024, 1024),), (0.5, 0.5))
    probabilities = {"both": np.array([0.2, 0.8]), "image": np.array([0.4, 0.6]), "genes": np.array([0.1, 0.9])}
    return Prediction(facts, ("A", "B"), grid, probabilities, attention / attention.sum(-1, keepdims=True), **values)


def test_gene_table_says_value_z_attribution_groups_and_what_is_missing() -> None:
    table = gene_table(make_prediction())
    assert list(table) == ["gene", "value", "z", "attribution_A", "attribution_B", "group", "missing"]
    assert table["missing"].tolist() == [0, 1, 0, 0]
    assert table["group"].tolist() == ["HYPOXIA", "rest", "HYPOXIA | rest", "rest"]
    assert table["attribution_B"].tolist() == [-0.2, 0, 1.5, 0.3]
    assert np.isnan(table["value"][1])


def test_top_genes_count_by_size_and_leave_zeros_out() -> None:
    assert top_genes(np.array([0.2, 0.0, -1.0, 0.5]), 3) == [2, 3, 0]
    assert top_genes(np.array([0.2, 0.0, -1.0, 0.5]), 9) == [2, 3, 0]


def test_patch_table_has_support_and_what_groups_do_to_it() -> None:
    table = patch_table(make_prediction(missing_yx=np.array([[512, 0]])))
    assert table["support_B"].tolist()[:6] == [-1, 2, -3, 0, 0, 4]
    assert table["support_A_without_rest"].tolist()[:6] == [1] * 6
    assert table.loc[6, ["support_B", "support_A_without_rest"]].isna().all()


def test_maps_and_overlay_hold_support_and_every_head(tmp_path: Path) -> None:
    prediction = make_prediction()
    write_maps(tmp_path / "maps.ome.zarr", prediction)
    root = zarr.open_group(tmp_path / "maps.ome.zarr", mode="r")
    labels = [channel["label"] for channel in root.attrs["ome"]["omero"]["channels"]]
    assert labels[:3] == ["attention_x_mean", "support_A", "support_B"]
    picture = np.asarray(root["s0"])
    np.testing.assert_array_equal(picture[2, :2, :3].ravel(), prediction.class_support[1])
    last = labels.index("attention_x_mean_layer2_head2")
    np.testing.assert_allclose(picture[last, :2, :3].ravel(), 6 * prediction.attention[1, 1], rtol=1e-6)
    write_overlay(tmp_path / "overlay.geojson", prediction)
    features = json.loads((tmp_path / "overlay.geojson").read_text())["features"]
    tiles = [f["properties"]["measurements"] for f in features if f["properties"]["objectType"] == "tile"]
    assert [tile["support_B"] for tile in tiles] == [-1, 2, -3, 0, 0, 4]
    assert set(tiles[0]) == {"attention", "attention_x_mean", "support_A", "support_B"}


def test_gene_files_stand_only_where_genes_took_part(tmp_path: Path) -> None:
    files = export_prediction(make_prediction(synthetic="pseudo"), tmp_path / "with", picture=PICTURE)
    assert [file.name for file in files] == [*FILES, *GENE_FILES]
    assert all(file.exists() for file in files)
    with Image.open(tmp_path / "with" / "genes.png") as figure:
        assert figure.info["Description"] == NOTICE
        pixels = np.asarray(figure.convert("RGB"))
    for colour in ((180, 4, 38), (59, 76, 192), (53, 121, 140)):
        assert (pixels == colour).all(axis=2).any(), f"bars for, against and of attention: {colour}"
    nothing = {"genes": (), "expression": None, "gene_z": None, "gene_attribution": None, "attribution_error": None}
    alone = make_prediction(**nothing, groups=(), group_attention=None, group_support={})
    files = export_prediction(alone, tmp_path / "without", picture=PICTURE)
    assert sorted(path.name for path in (tmp_path / "without").iterdir()) == sorted(FILES)
    content = json.loads((tmp_path / "without" / "prediction.json").read_text())
    assert (content["gene_groups"], content["gene_attribution"]) == (None, None)
    export_prediction(alone, tmp_path / "with", picture=PICTURE, overwrite=True)
    assert not (tmp_path / "with" / "genes.csv").exists()


def test_prediction_json_names_top_genes_groups_and_the_completeness_error(tmp_path: Path) -> None:
    export_prediction(make_prediction(group_attention=None, groups=()), tmp_path / "x", picture=PICTURE)
    content = json.loads((tmp_path / "x" / "prediction.json").read_text())
    assert content["gene_groups"] is None
    found = content["gene_attribution"]["by_class"]["B"]
    assert found["completeness_error"] == 0.002
    assert found["sum"] == pytest.approx(1.6 + 0.8)
    assert found["top_genes"] == pytest.approx({"CCC": 2.5, "AAA": -0.4, "DDD": 0.3})
    assert list(found["top_genes"]) == ["CCC", "AAA", "DDD"]


def test_what_raises_all_logits_speaks_for_no_class() -> None:
    rows = np.array([[1.0, 5, 0], [1, 2, 0], [1, -1, 3]])
    np.testing.assert_allclose(against_others(rows), [[0, 4.5, -1.5], [0, 0, -1.5], [0, -4.5, 3]])


def test_a_prediction_whose_genes_do_not_fit_is_refused() -> None:
    with pytest.raises(InputError, match="expression has 4 genes, expected 3"):
        make_prediction(genes=GENES[:3])


# --- a model's own run ----------------------------------------------------------------------------------------------


def run(work: Generator[Any, None, Prediction]) -> tuple[list[str], Prediction]:
    stages = []
    while True:
        try:
            stages.append(next(work).stage)
        except StopIteration as end:
            return list(dict.fromkeys(stages)), end.value


def test_predict_explains_and_the_numbers_fit_the_model(tiny: TinyCase, tmp_path: Path) -> None:
    from napari_gimp.gimp.checkpoint import load_model
    from napari_gimp.gimp.explain import class_support, group_support
    from napari_gimp.pipeline.prediction import predict
    from napari_gimp.types import AlignedGenes

    loaded = load_model(tiny.checkpoint)
    prediction = make_prediction()
    random = np.random.default_rng(0)
    values = random.normal(5, 2, len(loaded.facts.genes)).astype(np.float32)
    values[3] = np.nan
    features = random.normal(size=(6, loaded.facts.embedding_dim)).astype(np.float32)
    bag = Bag("slide-1", features, prediction.grid, loaded.facts.encoder)
    genes = AlignedGenes("s1", values, (loaded.facts.genes[3],))
    stages, found = run(predict(bag, prediction.slide, loaded, genes, group_maps=1))
    assert stages[:4] == ["GiMP forward pass", "class support", "gene attribution", "gene groups and patches"]
    support = class_support(loaded.model.members, features, bag.cells, values)
    np.testing.assert_allclose(found.class_support, support, rtol=1e-4, atol=1e-7)
    assert found.genes == loaded.facts.genes
    assert found.attribution_error.max() < 0.01
    assert found.gene_attribution[:, 3].tolist() == [0, 0]
    assert [len(group.genes) for group in found.groups] == [20, 20, 20]
    assert found.group_attention.sum() == pytest.approx(1, rel=1e-5)
    ((name, change),) = found.group_support.items()
    most = int(found.group_attention.argmax())
    assert name == found.groups[most].name
    expected = group_support(loaded.model.members, features, bag.cells, values, most)
    np.testing.assert_allclose(change, expected, atol=1e-7)
    export_prediction(found, tmp_path / "out", picture=PICTURE)
    table = pd.read_csv(tmp_path / "out" / "genes.csv")
    np.testing.assert_allclose(table["attribution_solid"], found.gene_attribution[1], rtol=1e-6, atol=1e-12)
    stages, alone = run(predict(bag, prediction.slide, loaded))
    assert "gene attribution" not in stages
    assert alone.class_support.shape == (2, 6)
    assert alone.gene_attribution is None
    assert replace(alone, notes=()).groups == ()
