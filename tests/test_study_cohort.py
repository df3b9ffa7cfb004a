"""Cohorts on disk: what is joined, what is missing and said, what is refused."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from napari_gimp.bags import write_bag
from napari_gimp.settings import InputError
from napari_gimp.study.cohort import SLIDE_GAP, join_bags, read_cohort
from napari_gimp.study.features import FeatureFolder, PackedFeatures, open_features
from napari_gimp.types import Bag, PatchGrid


def make_bag(slide: str, patches: int, width: int = 5, encoder: str | None = "enc", seed: int = 0) -> Bag:
    rng = np.random.default_rng([seed, *slide.encode()])
    corners = np.stack([np.arange(patches) // 3, np.arange(patches) % 3], axis=1) * 256
    grid = PatchGrid(corners.astype(np.int64), (256.0, 256.0), (256.0, 256.0), (10_000, 10_000), (0.5, 0.5))
    features = rng.normal(size=(patches, width)).astype(np.float32)
    return Bag(slide, features, grid, encoder, provenance={"patches": {"patch_px": 256, "patch_mpp": 0.5}})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Cases a (two slides), b, c (slide without features), d; expression of a, b, c and one more."""
    write_table(tmp_path, ["a,a-1,X,s1", "a,a-2,X,s1", "b,b-1,Y,s1", "c,c-1,X,s2", "d,d-1,Y,s2"])
    for slide, patches in {"a-1": 7, "a-2": 4, "b-1": 5, "d-1": 2}.items():
        write_bag(tmp_path / "features" / f"{slide}.h5", make_bag(slide, patches))
    write_expression(tmp_path, ["a", "b", "c", "other"])
    return tmp_path


def write_table(folder: Path, rows: list[str], head: str = "case_id,slide_id,label,site") -> None:
    (folder / "cohort.csv").write_text("\n".join([head, *rows]) + "\n")


def write_expression(folder: Path, samples: list[str], genes: tuple[str, ...] = ("TP53", "EGFR", "KRAS")) -> None:
    values = np.random.default_rng(1).integers(0, 5000, (len(samples), len(genes))) + 0.25
    table = pd.DataFrame(values, index=pd.Index(samples, name="case_id"), columns=list(genes))
    table.to_csv(folder / "expression.csv")


def read(folder: Path, **more):
    return read_cohort(folder / "cohort.csv", folder / "features", folder / "expression.csv", **more)


def said(cohort, words: str) -> bool:
    return any(words in note for note in cohort.notes)


def test_joins_bags_and_expression_and_says_what_is_missing(folder):
    cohort = read(folder)
    assert [case.case_id for case in cohort.cases] == ["a", "b", "c", "d"]
    assert cohort.classes == ("X", "Y")
    assert cohort.labels.tolist() == [0, 1, 0, 1]
    assert (cohort.encoder, cohort.embedding_dim, cohort.scale) == ("enc", 5, "log")
    assert cohort.has("image").tolist() == [True, True, False, True]
    assert cohort.has("genes").tolist() == [True, True, True, False]
    assert cohort.has("both").tolist() == [True, True, False, False]
    assert said(cohort, "1 slides have no features and are left out: c-1")
    assert said(cohort, "1 of 4 cases have no expression: d")
    assert said(cohort, "4 cases (2 X, 2 Y); 2 with image and genes, 1 with image only, 1 with genes only")


def test_samples_hold_the_files_numbers_in_working_scale(folder):
    cohort = read(folder)
    linear = pd.read_csv(folder / "expression.csv", index_col=0).loc["b", list(cohort.genes)]
    sample = cohort.samples()[1]
    np.testing.assert_array_equal(sample.embeddings, make_bag("b-1", 5).features)
    np.testing.assert_allclose(sample.expression, np.log2(linear + 1), rtol=1e-6)
    image_only, genes_only = cohort.samples()[3], cohort.samples()[2]
    assert image_only.expression is None
    assert image_only.label == 1
    assert genes_only.embeddings is None
    assert cohort.samples(modality="genes")[0].embeddings is None
    assert cohort.samples(modality="image")[0].expression is None


def test_slides_of_a_case_are_one_bag_and_never_neighbours(folder):
    sample = read(folder).samples()[0]
    first, second = make_bag("a-1", 7), make_bag("a-2", 4)
    np.testing.assert_array_equal(sample.embeddings, np.concatenate([first.features, second.features]))
    np.testing.assert_array_equal(sample.cells[:7], first.cells)
    np.testing.assert_array_equal(sample.cells[7:, 1], second.cells[:, 1])
    assert sample.cells[7:, 0].min() - sample.cells[:7, 0].max() > SLIDE_GAP
    assert len(np.unique(sample.cells, axis=0)) == 11
    assert join_bags([]) == (None, None)


def test_without_expression_all_cases_are_image_only(folder):
    cohort = read_cohort(folder / "cohort.csv", folder / "features")
    assert [case.case_id for case in cohort.cases] == ["a", "b", "d"]
    assert cohort.genes == ()
    assert not cohort.has("genes").any()
    assert said(cohort, "1 cases have neither features nor expression and are left out: c")


def test_a_gene_list_and_its_order(folder):
    (folder / "genes.txt").write_text("# panel\nKRAS\n\nTP53\nKRAS\nABSENT\n")
    cohort = read(folder, genes=folder / "genes.txt")
    assert cohort.genes == ("KRAS", "TP53", "ABSENT")
    assert np.isnan(cohort.values[0]).tolist() == [False, False, True]
    assert said(cohort, "ABSENT")
    (folder / "genes.txt").write_text("\n#\n")
    with pytest.raises(InputError, match="one gene a line"):
        read(folder, genes=folder / "genes.txt")


def test_subset_keeps_cases_and_their_numbers_together(folder):
    cohort = read(folder)
    part = cohort.subset(np.array([3, 1]))
    assert [case.case_id for case in part.cases] == ["d", "b"]
    np.testing.assert_array_equal(part.values[1], cohort.values[1])
    assert part.labels.tolist() == [1, 1]


def test_labels_of_another_checkpoint(folder):
    cohort = read(folder).with_classes(["Y", "X"])
    assert cohort.labels.tolist() == [1, 0, 1, 0]
    with pytest.raises(InputError, match="expected the labels Y, Z, found X"):
        _ = cohort.with_classes(["Y", "Z"]).labels


def test_barcodes_join_cases_slides_and_samples(tmp_path):
    slides = [f"TCGA-05-424{k}-01Z-00-DX1.aaaa" for k in range(4)]
    write_table(tmp_path, [f"{s[:12]},{s},{'XY'[k % 2]},05" for k, s in enumerate(slides)])
    for slide in slides:
        write_bag(tmp_path / "features" / f"{slide}.h5", make_bag(slide, 3))
    samples = ["TCGA-05-4240-01A-11R-1", "TCGA-05-4241-11A-11R-1", "TCGA-05-4242-01B-11R-1", "TCGA-05-4242-01A-11R-1"]
    write_expression(tmp_path, samples)
    cohort = read(tmp_path)
    assert cohort.samples_of == (samples[0], None, samples[3], None)
    assert said(cohort, "2 of 4 cases have no expression")
    assert said(cohort, "1 of them have samples that do not fit")


def test_a_packed_file_gives_what_the_folder_gives(folder):
    bags = [make_bag(slide, n) for slide, n in {"a-1": 7, "a-2": 4, "b-1": 5, "d-1": 2}.items()]
    np.savez(
        folder / "packed.npz",
        x=np.concatenate([bag.features for bag in bags]),
        rows=[len(bag) for bag in bags],
        slide_id=[bag.slide for bag in bags],
        encoder="enc",
    )
    packed = read_cohort(folder / "cohort.csv", folder / "packed.npz", folder / "expression.csv")
    assert packed.notes == read(folder).notes
    assert packed.encoder == "enc"
    for one, other in zip(packed.samples(), read(folder).samples(), strict=True):
        if one.embeddings is not None:
            np.testing.assert_array_equal(one.embeddings, other.embeddings)
    assert len(np.unique(packed.samples()[0].cells, axis=0)) == 11


def test_the_cache_is_bounded_and_keeps_the_latest(folder):
    size = make_bag("b-1", 5).features.nbytes
    store = FeatureFolder(folder / "features", cache_bytes=2 * size)
    first = store.read("b-1")
    assert store.read("b-1") is first
    store.read("a-2")
    assert store.read("b-1") is first
    store.read("a-1")  # larger than what is left
    assert store.kept_bytes <= 2 * size
    assert store.read("b-1") is not first
    np.testing.assert_array_equal(store.read("b-1").features, first.features)


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        (["a,a-1,X", "a,a-1,X"], "each slide once, found more rows of a-1"),
        (["a,a-1,X", "b,a-1,Y"], "each slide once"),
        (["a,a-1,X", "a,a-2,Y"], "one label per case, found several for a"),
        ([",a-1,X"], "case_id in every row"),
        (["a,a-1,"], "cases with a label"),
        (["a,nowhere,X", "b,nothing,Y"], "found none of the cohort's 2 slides"),
        ([], "found none in 0 rows"),
    ],
)
def test_contradicting_tables_are_refused(folder, rows, says):
    write_table(folder, rows, "case_id,slide_id,label")
    with pytest.raises(InputError, match=says):
        read(folder)


@pytest.mark.parametrize("head", ["case,slide_id,label", "case_id;slide_id;label", "slide_id"])
def test_tables_without_their_columns_are_refused(folder, head):
    write_table(folder, [], head)
    with pytest.raises(InputError, match="expected columns case_id, slide_id, label"):
        read(folder)


def test_columns_not_used_and_cases_without_label_are_said(folder):
    write_table(folder, ["a,a-1,X,61", "b,b-1,Y,50", "d,d-1,,70"], "case_id,slide_id,label,age")
    cohort = read(folder)
    assert said(cohort, "columns not used: age")
    assert said(cohort, "1 cases have no label and are left out: d")
    assert len(cohort) == 2


def test_files_that_are_no_cohort_are_refused(folder):
    with pytest.raises(InputError, match="found nothing there"):
        read_cohort(folder / "absent.csv", folder / "features")
    (folder / "picture.csv").write_bytes(bytes(range(256)) * 4)
    with pytest.raises(InputError, match="expected"):
        read_cohort(folder / "picture.csv", folder / "features")
    with pytest.raises(InputError, match=r"packed \.npz, found nothing"):
        read_cohort(folder / "cohort.csv", folder / "absent")
    with pytest.raises(InputError, match="another kind"):
        open_features(folder / "cohort.csv")


def test_bags_of_two_encoders_are_refused_and_unnamed_ones_said(folder):
    write_bag(folder / "features" / "d-1.h5", make_bag("d-1", 2, encoder=None))
    assert said(read(folder), "1 bags do not name their encoder")
    write_bag(folder / "features" / "d-1.h5", make_bag("d-1", 2, encoder="other"))
    with pytest.raises(InputError, match=r"3 of enc .* 1 of other"):
        read(folder)
    write_bag(folder / "features" / "d-1.h5", make_bag("d-1", 2, width=6, encoder=None))
    with pytest.raises(InputError, match="one encoder"):
        read(folder)


def test_a_damaged_bag_is_named(folder):
    (folder / "features" / "b-1.h5").write_text("no h5")
    with pytest.raises(InputError, match=r"b-1\.h5"):
        read(folder)


def test_expression_of_other_patients_is_refused(folder):
    write_expression(folder, ["p", "q", "r"])
    with pytest.raises(InputError, match=r"named like the cases \(a, b, c and 1 more\), found p, q, r"):
        read(folder)


@pytest.mark.parametrize(("leave_out", "change"), [("rows", {}), ("x", {}), ("", {"rows": [2, 2]})])
def test_packed_files_that_do_not_add_up_are_refused(tmp_path, leave_out, change):
    arrays = {"x": np.zeros((5, 3)), "rows": [2, 3], "slide_id": ["a", "b"], "encoder": "enc"} | change
    arrays.pop(leave_out, None)
    np.savez(tmp_path / "packed.npz", **arrays)
    with pytest.raises(InputError, match=r"packed\.npz: expected"):
        PackedFeatures(tmp_path / "packed.npz")


def test_the_real_cohort(shared):
    root = shared / "tcga_nsclc"
    cohort = read_cohort(root / "cohort.csv", root / "features", root / "expression.csv.gz")
    assert (len(cohort), int(cohort.has("both").sum()), int(cohort.has("image").sum())) == (684, 656, 684)
    assert (cohort.classes, cohort.encoder, cohort.embedding_dim) == (("LUAD", "LUSC"), "hipt_vit256mean_4k", 192)
    assert (len(cohort.genes), cohort.scale) == (258, "log")
    assert cohort.labels.sum() == 346
    assert sum(len(case.slide_ids) for case in cohort.cases) == 721
    panel = read_cohort(root / "cohort.csv", root / "features", root / "expression.csv.gz", genes=root / "panel_10.txt")
    assert len(panel.genes) == 10
    place = [cohort.genes.index(gene) for gene in panel.genes]
    np.testing.assert_array_equal(panel.values, cohort.values[:, place])


def test_the_real_packed_file(shared):
    root = shared / "pancancer"
    cohort = read_cohort(root / "cohort.csv", root / "regions_16.npz")
    assert (len(cohort.classes), cohort.encoder) == (24, "hipt_vit256mean_4k")
    assert sum(len(case.slide_ids) for case in cohort.cases) == 9670
    assert cohort.samples()[0].embeddings.shape[1] == 192
    assert json.dumps(list(cohort.notes))
