"""Bags: TRIDENT's layout, found by fingerprint, whole or not at all, resumed after SIGKILL."""

import resource
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_gimp.bags import PartStore, bag_fingerprint, find_bag, read_bag, write_bag
from napari_gimp.settings import InputError
from napari_gimp.types import Bag, PatchGrid, PatchSpec, SlideFacts

FACTS = SlideFacts("lung", "abc123", (5003, 7001), ((5003, 7001),), (0.263018, 0.263018))
SIDE = 128 / 0.263018


def a_bag(n: int = 7, width: int = 5, **changes: object) -> Bag:
    rng = np.random.default_rng(0)
    coords = np.stack([np.arange(n) // 3, np.arange(n) % 3], axis=1)
    grid = PatchGrid(np.round(coords * SIDE).astype(np.int64), (SIDE, SIDE), (SIDE, SIDE), (5003, 7001), FACTS.mpp_yx)
    bag = Bag(
        "lung",
        rng.standard_normal((n, width)).astype(np.float32),
        grid,
        "colour-texture-b7eb",
        fingerprint="f" * 64,
        missing_yx=np.array([[1460, 487]]),
        provenance={"patch_px": 256, "note": "µm"},
    )
    return replace(bag, **changes)


def trident_file(path: Path, **changes: object) -> np.ndarray:
    """A file as TRIDENT writes it: column by column, strings 'None', 32 px overlap of 256 at 20x on a 40x slide."""
    coords = np.array([[x, y] for x in (0, 512, 960) for y in (0, 512)])
    features = np.arange(12, dtype=np.float32).reshape(6, 2)
    attributes = {
        "patch_size": 256,
        "patch_size_level0": 512,
        "level0_magnification": 40,
        "target_magnification": 20,
        "overlap": 32,
        "name": "lung",
        "savetodir": "/data/trident",
        "level0_width": 7001,
        "level0_height": 5003,
    }
    with h5py.File(path, "w") as file:
        data = file.create_dataset("features", data=changes.pop("features", features))
        data.attrs.update({"name": "lung", "savetodir": "/data", "encoder": changes.pop("encoder", "uni_v1")})
        file.create_dataset("coords", data=changes.pop("coords", coords)).attrs.update({**attributes, **changes})
    return features


def test_round_trip_keeps_everything(tmp_path: Path) -> None:
    bag = a_bag()
    write_bag(tmp_path / "new" / "lung.h5", bag)
    found = find_bag(tmp_path / "new" / "lung.h5", bag.fingerprint)
    assert found is not None
    assert found.grid is not None
    assert bag.grid is not None
    np.testing.assert_array_equal(found.features, bag.features)
    np.testing.assert_array_equal(found.grid.coords_yx, bag.grid.coords_yx)
    np.testing.assert_array_equal(found.missing_yx, bag.missing_yx)
    assert replace(found.grid, coords_yx=bag.grid.coords_yx).__dict__ == bag.grid.__dict__
    assert (found.slide, found.encoder, found.fingerprint) == (bag.slide, bag.encoder, bag.fingerprint)
    assert found.provenance == bag.provenance
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["lung.h5"]


def test_without_grid_mpp_encoder_or_fingerprint_round_trips(tmp_path: Path) -> None:
    write_bag(tmp_path / "a.h5", Bag("s", np.ones((2, 3), np.float32), None, None))
    bag = read_bag(tmp_path / "a.h5")
    assert (bag.grid, bag.encoder, bag.fingerprint, len(bag.missing_yx)) == (None, None, None, 0)
    grid = a_bag().grid
    assert grid is not None
    write_bag(tmp_path / "b.h5", a_bag(grid=replace(grid, mpp_yx=None)))
    again = read_bag(tmp_path / "b.h5")
    assert again.grid is not None
    assert again.grid.mpp_yx is None
    with h5py.File(tmp_path / "b.h5") as file:
        assert file["coords"].attrs["level0_magnification"] == "None"


def test_layout_is_tridents(tmp_path: Path) -> None:
    write_bag(tmp_path / "lung.h5", a_bag())
    with h5py.File(tmp_path / "lung.h5") as file:
        assert file["features"].dtype == "<f4"
        assert file["coords"].dtype == "<i8"
        assert dict(file["features"].attrs) == {
            "name": "lung", "savetodir": "None", "encoder": "colour-texture-b7eb"
        }  # fmt: skip
        assert dict(file["coords"].attrs) == {
            "patch_size": 256,
            "patch_size_level0": 487,
            "level0_magnification": 40,
            "target_magnification": 20,
            "overlap": 0,
            "name": "lung",
            "savetodir": "None",
            "level0_width": 7001,
            "level0_height": 5003,
        }
        np.testing.assert_array_equal(file["coords"][1], [487, 0])  # x, y: the second patch lies to the right


def test_reads_tridents_in_scan_order(tmp_path: Path) -> None:
    features = trident_file(tmp_path / "lung.h5")
    bag = read_bag(tmp_path / "lung.h5", FACTS)
    assert bag.grid is not None
    np.testing.assert_array_equal(bag.grid.coords_yx, [[0, 0], [0, 512], [0, 960], [512, 0], [512, 512], [512, 960]])
    np.testing.assert_array_equal(bag.features, features[[0, 2, 4, 1, 3, 5]])
    assert (bag.grid.size_yx_px, bag.grid.stride_yx_px) == ((512.0, 512.0), (448.0, 448.0))
    assert (bag.encoder, bag.fingerprint, bag.grid.mpp_yx) == ("uni_v1", None, FACTS.mpp_yx)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"level0_width": 7002}, "bag of another slide"),
        ({"coords": np.array([[0, 0], [1, 0], [2, 0], [3, 0], [4, 0], [7001, 0]])}, "bag of another slide"),
        ({"coords": np.array([[0, 0], [1, 0], [2, 0], [3, 0], [4, 0], [5, -1]])}, "bag of another slide"),
        ({"coords": np.zeros((6, 2), np.float32)}, "whole level-0 pixels"),
        ({"coords": np.zeros((5, 2), np.int64)}, "6 features but 5 coordinates"),
        ({"features": np.zeros((0, 2), np.float32)}, "no tissue"),
        ({"features": np.zeros(6, np.float32)}, "dataset features"),
        ({"features": np.full((6, 2), np.nan, np.float32)}, "NaN or infinity in 6"),
    ],
)
def test_refuses_in_one_sentence(tmp_path: Path, changes: dict[str, object], said: str) -> None:
    trident_file(tmp_path / "lung.h5", **changes)
    with pytest.raises(InputError, match=said):
        read_bag(tmp_path / "lung.h5", FACTS)


def test_refuses_what_is_no_bag(tmp_path: Path) -> None:
    (tmp_path / "text.h5").write_text("no")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file.create_dataset("feats", data=np.zeros((2, 2)))
    for name, said in (
        ("text.h5", "damaged"), ("none.h5", "nothing there"), (".", "a folder"), ("other.h5", "feats")
    ):  # fmt: skip
        with pytest.raises(InputError, match=said):
            read_bag(tmp_path / name)
    with pytest.raises(InputError, match="no tissue"):
        write_bag(tmp_path / "empty.h5", a_bag(0, missing_yx=np.empty((0, 2), np.int64)))


def test_reads_real_features_without_coordinates(shared: Path) -> None:
    path = next((shared / "tcga_nsclc" / "features").glob("*.h5"))
    bag = read_bag(path)
    assert (bag.grid, bag.encoder, bag.features.shape[1]) == (None, "hipt_vit256mean_4k", 192)


def test_found_only_by_its_fingerprint_and_only_whole(tmp_path: Path) -> None:
    path, bag = tmp_path / "lung.h5", a_bag(900, 64)
    assert find_bag(path, "f" * 64) is None
    write_bag(path, bag)
    assert find_bag(path, "e" * 64) is None
    whole = path.read_bytes()
    for length in (0, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        assert find_bag(path, "f" * 64) is None
    at = whole.find(bag.features[500].tobytes())
    path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    assert find_bag(path, "f" * 64) is None  # one bit of one number


def test_full_disk_leaves_the_old_bag(tmp_path: Path) -> None:
    path = tmp_path / "lung.h5"
    write_bag(path, a_bag())
    before, limits = path.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        for allowed in (0, 1000, 20_000, 300_000):
            resource.setrlimit(resource.RLIMIT_FSIZE, (allowed, limits[1]))
            with pytest.raises(InputError, match="free some space"):
                write_bag(path, a_bag(2000, 64))
            with pytest.raises(InputError, match="free some space"):
                PartStore(tmp_path, "f" * 64).add(np.arange(2000), np.ones((2000, 64), np.float32), np.arange(0))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert path.read_bytes() == before
    assert [file for file in tmp_path.rglob("*") if file.is_file()] == [path]


def test_unwritable_folder_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="choose another folder"):
        write_bag(tmp_path / "file" / "lung.h5", a_bag())


def test_fingerprint_changes_with_everything_it_depends_on() -> None:
    spec = PatchSpec()
    variants = [
        (FACTS, spec, "tissue", "enc"),
        (replace(FACTS, identity="x"), spec, "tissue", "enc"),
        (replace(FACTS, mpp_yx=(0.25, 0.25)), spec, "tissue", "enc"),
        (FACTS, PatchSpec(patch_px=224), "tissue", "enc"),
        (FACTS, PatchSpec(stride=0.5), "tissue", "enc"),
        (FACTS, PatchSpec(min_tissue=0.5), "tissue", "enc"),
        (FACTS, spec, "other", "enc"),
        (FACTS, spec, "tissue", "enc2"),
    ]
    assert len({bag_fingerprint(*variant) for variant in variants}) == len(variants)
    same = bag_fingerprint(replace(FACTS, name="renamed"), PatchSpec(stride=1.0), "tissue", "enc")
    assert same == bag_fingerprint(*variants[0])
    with pytest.raises(InputError, match="--mpp"):
        bag_fingerprint(replace(FACTS, mpp_yx=None), spec, "tissue", "enc")


@settings(max_examples=25, deadline=None)
@given(st.permutations(range(17)), st.integers(1, 17), st.sets(st.integers(0, 16)))
def test_parts_merge_in_scan_order(order: list[int], size: int, broken: set[int]) -> None:
    with pytest.MonkeyPatch.context() as patch, TemporaryDirectory() as folder:
        patch.setattr("os.fsync", lambda handle: None)
        store = PartStore(Path(folder), "f" * 64)
        for start in range(0, 17, size):
            part = order[start : start + size]
            good = np.array([i for i in part if i not in broken], np.int64)
            bad = np.array([i for i in part if i in broken], np.int64)
            store.add(good, np.repeat(good[:, None], 3, axis=1).astype(np.float32), bad)
        assert sorted(store.done()) == [i for i in range(17) if i not in broken]
        index, features, missing = store.collect()
        assert missing.tolist() == sorted(broken)
        assert index.tolist() == [i for i in range(17) if i not in broken]
        np.testing.assert_array_equal(features[:, 0], index)


def test_parts_ignore_halves_and_other_fingerprints(tmp_path: Path) -> None:
    store = PartStore(tmp_path, "f" * 64)
    none = np.empty(0, np.int64)
    assert store.done() == {}
    assert [len(x) for x in store.collect()] == [0, 0, 0]
    store.add(np.array([0, 1]), np.ones((2, 3), np.float32), none)
    store.add(np.array([2, 3]), np.ones((2, 3), np.float32), none)
    part = store.done()[2]
    part.write_bytes(part.read_bytes()[:-30])
    (store.folder / ".part-9.npz.1.writing").write_bytes(b"half")
    assert sorted(store.done()) == [0, 1]
    assert store.collect()[0].tolist() == [0, 1]
    assert PartStore(tmp_path, "e" * 64).done() == {}
    store.add(np.array([2]), np.ones((1, 3), np.float32), np.array([3]))
    store.add(np.array([3]), np.ones((1, 3), np.float32), none)  # read after all
    assert [store.collect()[k].tolist() for k in (0, 2)] == [[0, 1, 2, 3], []]
    store.clear()
    assert not store.folder.exists()


CHILD = """
import sys, time
from pathlib import Path
import numpy as np
from napari_gimp.bags import PartStore, find_bag, write_bag
from napari_gimp.types import Bag, PatchGrid

folder = Path(sys.argv[1])
print("ready", flush=True)
if find_bag(folder / "bag.h5", "f" * 64) is None:
    store = PartStore(Path(folder), "f" * 64)
    done = store.done()
    for start in range(0, 400, 10):
        index = np.array([i for i in range(start, start + 10) if i not in done], np.int64)
        if (index % 50 != 7).any():
            with open(folder / "computed.txt", "a") as log:
                log.write(f"{start}\\n")
            time.sleep(0.002)
            features = np.random.default_rng(start).standard_normal((400, 64)).astype(np.float32)[index]
            good = index % 50 != 7
            store.add(index[good], features[good], index[~good])
    index, features, missing = store.collect()
    corners = np.stack([np.arange(400) // 20, np.arange(400) % 20], axis=1) * 100
    grid = PatchGrid(corners[index], (100.0, 100.0), (100.0, 100.0), (2000, 2000), (0.5, 0.5))
    bag = Bag("fake", features, grid, "fake-1", "f" * 64, corners[missing])
    write_bag(folder / "bag.h5", bag)
PartStore(folder, "f" * 64).clear()
"""


WRITER = """
import sys
from pathlib import Path
import numpy as np
from napari_gimp.bags import write_bag
from napari_gimp.types import Bag

bags = [Bag("fake", np.full((500, 300), value, np.float32), None, "fake-1", "f" * 64) for value in (1, 2)]
print("ready", flush=True)
while True:
    for bag in bags:
        write_bag(Path(sys.argv[1]) / "bag.h5", bag)
"""


def _run_child(script: str, folder: Path, kill_after_s: float | None) -> bool:
    """Whether the child came to its end; killed by SIGKILL otherwise. Its start-up is not counted."""
    with subprocess.Popen([sys.executable, "-c", script, str(folder)], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        if kill_after_s is not None:
            time.sleep(kill_after_s)
            child.kill()
    return child.returncode == 0


def test_killed_while_writing_leaves_a_whole_bag_or_none(tmp_path: Path) -> None:
    path = tmp_path / "bag.h5"
    for wait in (0, 0.003, 0.01, 0.02, 0.03):
        assert not _run_child(WRITER, tmp_path, wait)
        if path.exists():
            bag = find_bag(path, "f" * 64)
            assert bag is not None
            assert bag.features.min() == bag.features.max()
    write_bag(path, a_bag())
    assert list(tmp_path.iterdir()) == [path]  # what the killed left beside is gone


def test_a_killed_embedding_goes_on_and_ends_in_the_same_bag(tmp_path: Path) -> None:
    """SIGKILL at random moments, then restart: nothing half-written, hardly anything computed twice."""
    calm, rough = tmp_path / "calm", tmp_path / "rough"
    calm.mkdir()
    rough.mkdir()
    assert _run_child(CHILD, calm, None)
    rng = np.random.default_rng(2)
    kills = 0
    for _ in range(7):
        kills += not _run_child(CHILD, rough, float(rng.uniform(0, 0.12)))
        assert find_bag(rough / "bag.h5", "f" * 64) is not None or not (rough / "bag.h5").exists()
    assert _run_child(CHILD, rough, None)
    assert kills >= 2
    expected, found = read_bag(calm / "bag.h5"), read_bag(rough / "bag.h5")
    np.testing.assert_array_equal(found.features, expected.features)
    np.testing.assert_array_equal(found.missing_yx, expected.missing_yx)
    computed = (rough / "computed.txt").read_text().split()
    assert len(set(computed)) == 40
    assert len(computed) <= 40 + kills
    assert not list(rough.glob("*.parts"))
