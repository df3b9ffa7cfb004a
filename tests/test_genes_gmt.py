"""Gene sets: reading them, and the groups that they make."""

import gzip

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from napari_gimp.genes.gmt import pathway_fragments, read_gmt
from napari_gimp.gimp.gene_encoder import GeneEncoder
from napari_gimp.gimp.model import ModelConfig
from napari_gimp.gimp.parts import pathway_table
from napari_gimp.settings import InputError

LINES = "REPAIR\thttp://x\tTP53\tbrca1\tTP53\t\nKERATINS\tna\tKRT5\tKRT6A\tTP63\n\n# said\nEMPTY_HERE\t\tXYZ\n"


@pytest.mark.parametrize("pack", [lambda text: text, gzip.compress], ids=["plain", "gz"])
def test_sets_are_read_in_order(tmp_path, pack):
    path = tmp_path / "sets.gmt"
    path.write_bytes(pack(LINES.encode()))
    assert read_gmt(path) == {
        "REPAIR": ("TP53", "brca1"),
        "KERATINS": ("KRT5", "KRT6A", "TP63"),
        "EMPTY_HERE": ("XYZ",),
    }


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "found no gene set"),
        (b"A\tx\tTP53\nB\tx\n", "line 2 .* 2 cells and no genes"),
        (b"A,x,TP53\n", "line 1 .* 1 cells and no genes"),
        (b"\tx\tTP53\n", "line 1"),
        (b"A\tx\tTP53\nA\tx\tTP63\n", "found A twice"),
        (b"\xff\xfe\x00\x01", "no text"),
        (b"\x1f\x8bbroken", "cannot be read"),
    ],
)
def test_bad_files_are_refused_in_a_sentence(tmp_path, content, said):
    path = tmp_path / "sets.gmt"
    path.write_bytes(content)
    with pytest.raises(InputError, match=said):
        read_gmt(path)
    with pytest.raises(InputError, match="cannot be read"):
        read_gmt(tmp_path / "missing.gmt")


GENES = ["KRT5", "EGFR", "TP63", "BRCA1", "ALK", "KRT6A", "TP53", "ROS1", "MET"]


def test_groups_by_hand():
    sets = {"A": ("TP53", "brca1", "KRT5"), "B": ("KRT6A", "TP63", "KRT5"), "NONE": ("XYZ",), "C": ("TP53",)}
    assert pathway_fragments(GENES, sets, 2) == [
        ("A", [[0, 3], [6]]),
        ("B", [[0, 2], [5]]),
        ("C", [[6]]),
        ("other genes 1", [[1, 4], [7, 8]]),
    ]


def test_ensembl_names_meet_without_version():
    assert pathway_fragments(["ENSG00000000003.15"], {"A": ("ENSG00000000003",)}, 5) == [("A", [[0]])]
    with pytest.raises(InputError, match="found sets of none of them"):
        pathway_fragments(GENES, {"A": ("ENSG00000000003",)}, 5)


NAMES = [f"G{i}" for i in range(23)]


@given(
    st.dictionaries(st.text("abc", min_size=1, max_size=3), st.sets(st.sampled_from([*NAMES, "else"])), max_size=5),
    st.integers(1, 30),
)
def test_every_gene_stands_in_its_sets_or_once_in_a_rest_group(sets, size):
    sets = {name: sorted(own) for name, own in sets.items()} | {"one": ["G0"]}
    groups = pathway_fragments(NAMES, sets, size)
    count = [0] * len(NAMES)
    for name, fragments in groups:
        own = [i for fragment in fragments for i in fragment]
        assert all(0 < len(fragment) <= 2 * size for fragment in fragments)
        if name in sets:
            assert own == [i for i, gene in enumerate(NAMES) if gene in sets[name]]
        for i in own:
            count[i] += 1
    assert count == [max(1, sum(gene in own for own in sets.values())) for gene in NAMES]


def test_the_table_is_padded_with_the_index_behind_the_last_gene():
    table, names = pathway_table([("A", [[0, 3], [6]]), ("C", [[6]])], 9)
    assert names == ("A", "C")
    assert table.tolist() == [[[0, 3], [6, 9]], [[6, 9], [9, 9]]]


def test_the_gene_encoder_takes_it():
    table, _ = pathway_table(pathway_fragments(GENES, {"A": ("TP53", "KRT5", "ALK")}, 2), len(GENES))
    config = ModelConfig(d=8, heads=2, ffn=2, shared_head=False)
    tokens = GeneEncoder(config, len(GENES), table)(torch.randn(4, len(GENES)))
    assert tokens.group_attention.shape == (4, 2, len(table))
    assert torch.isfinite(tokens.cls).all()
