"""How image and genes meet, what temperatures do, and members that answer as one."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_gimp.gimp.checkpoint import load_model, save_checkpoint
from napari_gimp.gimp.ensemble import Ensemble
from napari_gimp.gimp.gene_encoder import GeneEncoder
from napari_gimp.gimp.heads import Branch, SumHead
from napari_gimp.gimp.model import GiMP, ModelConfig
from napari_gimp.gimp.train import case_logits
from napari_gimp.gimp.typical import fit_typical
from napari_gimp.types import CheckpointFacts, Sample

CONFIG = ModelConfig(
    d=8, heads=2, layers=1, ffn=1, fragment_genes=3, groups=2, window=13, fusion="sum", wide=True, dropout=0.0
)
N, D, G, C = 7, 5, 11, 3


def model(seed: int = 0, config: ModelConfig = CONFIG) -> GiMP:
    torch.manual_seed(seed)
    return GiMP(config, embedding_dim=D, genes=G, classes=C).eval()


@pytest.fixture
def case() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {
        "embeddings": torch.randn(2, N, D, generator=generator),
        "genes": torch.randn(2, G, generator=generator),
    }


def test_a_sum_head_adds_weighted_logits_by_hand() -> None:
    head = SumHead(replace(CONFIG, d=4), genes=2, classes=2)
    with torch.no_grad():
        head.image.weight.copy_(torch.tensor([[1.0, 0, 0, 0], [0, 1, 0, 0]]))
        head.image.bias.copy_(torch.tensor([0.5, 0]))
        head.genes.weight.zero_()
        head.genes.bias.copy_(torch.tensor([0.0, 1]))
        head.wide.weight.copy_(torch.tensor([[1.0, 2], [0, 0]]))
    head.calibrate({"weights": {"image": {"image": 0.5}, "genes": {"genes": 2.0, "wide": 2.0}, "both": {"wide": 0.0}}})
    there, absent = torch.tensor([True, True]), torch.zeros(4)
    image = Branch(torch.tensor([[1.0, 2, 9, 9], [0, 0, 0, 0]]), there, absent)
    genes = Branch(torch.zeros(2, 4), torch.tensor([True, False]), absent)
    answers = head.answers(image, genes, torch.tensor([[1.0, -1], [5, 5]]))
    torch.testing.assert_close(answers["image"], torch.tensor([[0.75, 1.0], [0.25, 0]]))
    torch.testing.assert_close(answers["genes"], torch.tensor([[-2.0, 2.0], [0, 0]]))
    torch.testing.assert_close(answers["both"], torch.tensor([[1.5, 3.0], [0.25, 0]]))  # the second has no genes


def test_a_missing_input_is_left_out_of_the_sum(case: dict[str, torch.Tensor]) -> None:
    gimp = model()
    both, image, genes = gimp(**case), gimp(case["embeddings"]), gimp(genes=case["genes"])
    torch.testing.assert_close(both.logits, image.logits + genes.logits)
    torch.testing.assert_close(image.logits, both.answers["image"])
    torch.testing.assert_close(genes.logits, both.answers["genes"])
    assert image.answers["genes"].abs().sum() == 0


def test_an_image_model_sums_too(case: dict[str, torch.Tensor]) -> None:
    gimp = GiMP(CONFIG, embedding_dim=D, genes=0, classes=C)
    assert gimp(case["embeddings"]).logits.shape == (2, C)


def test_the_wide_path_reads_standardised_genes(case: dict[str, torch.Tensor]) -> None:
    gimp = model()
    gimp.set_scaling(gene_mean=torch.full((G,), 2.0), gene_sd=torch.full((G,), 4.0))
    with torch.no_grad():
        gimp.classifier.genes.weight.zero_()
        gimp.classifier.genes.bias.zero_()
        gimp.classifier.wide.weight.normal_()
    expected = ((case["genes"] - 2) / 4) @ gimp.classifier.wide.weight.T
    torch.testing.assert_close(gimp(**case).answers["genes"], expected)


def test_concat_answers_are_divided_by_their_temperatures(case: dict[str, torch.Tensor]) -> None:
    gimp = model(config=replace(CONFIG, fusion="concat", wide=False))
    before = gimp(**case).answers
    gimp.classifier.temperatures.set({"image": 4.0})
    after = gimp(**case).answers
    torch.testing.assert_close(after["image"], before["image"] / 4)
    assert torch.equal(after["both"], before["both"])


def test_site_directions_are_gone_before_anything_sees_them(case: dict[str, torch.Tensor]) -> None:
    gimp = model(config=replace(CONFIG, site_directions=2))
    scale, directions = torch.rand(D) + 0.5, torch.linalg.qr(torch.randn(D, 2)).Q.T
    gimp.aggregator.sites.set(scale, directions)
    moved = case["embeddings"] + torch.randn(2, 1, 2) @ directions * scale
    torch.testing.assert_close(gimp(moved).logits, gimp(case["embeddings"]).logits, atol=1e-5, rtol=0)
    assert not torch.allclose(model()(moved).logits, model()(case["embeddings"]).logits, atol=1e-3)
    with pytest.raises(ValueError, match="Expected 2 site directions, found 1"):
        gimp.aggregator.sites.set(scale, directions[:1])


def test_snn_knows_no_groups(case: dict[str, torch.Tensor]) -> None:
    output = model(config=replace(CONFIG, gene_encoder="snn"))(**case)
    assert output.group_attention is None
    assert output.logits.shape == (2, C)


def test_members_answer_as_one(case: dict[str, torch.Tensor]) -> None:
    one, two = model(0), model(1)
    output = Ensemble([one, two])(**case)
    apart = one(**case), two(**case)
    for name, logits in output.answers.items():
        torch.testing.assert_close(logits, (apart[0].answers[name] + apart[1].answers[name]) / 2)
    rows = output.rows("class_attention")
    assert torch.equal(rows, torch.cat([a.class_attention for a in apart], dim=2))
    assert output.rows("group_attention").shape == (2, 4, 2)
    each = output.probabilities("both")
    torch.testing.assert_close(each.sum(-1), torch.ones(2, 2))
    torch.testing.assert_close(each[1], apart[1].logits.softmax(-1))


def test_members_and_temperatures_survive_a_checkpoint(case: dict[str, torch.Tensor], tmp_path: Path) -> None:
    members = [model(seed) for seed in range(3)]
    facts = CheckpointFacts(
        "three", tuple("abc"), None, D, tuple(f"g{i}" for i in range(G)), "log", None, None, "nothing", "synthetic"
    )
    calibration = {"weights": {"image": {"image": 2.0}, "both": {"genes": 0.25}}}
    folder = save_checkpoint(tmp_path / "three", members, facts, calibration=calibration)
    loaded = load_model(folder).model
    assert len(loaded.members) == 3
    for member in members:
        member.classifier.calibrate(calibration)
    expected = Ensemble(members)(**case).answers
    for name, logits in loaded(**case).answers.items():
        assert torch.equal(logits, expected[name])
    sample = Sample("case", case["embeddings"][0].numpy(), torch.zeros(N, 2).long().numpy(), case["genes"][0].numpy())
    torch.testing.assert_close(torch.from_numpy(case_logits(loaded, sample)["genes"]), expected["genes"][0])


def test_given_gene_groups_survive_a_checkpoint(tmp_path: Path) -> None:
    table = torch.tensor([[[0, 1], [2, 11]], [[1, 3], [4, 5]]])
    torch.manual_seed(3)
    gimp = GiMP(CONFIG, embedding_dim=D, genes=G, classes=C, gene_table=table).eval()
    facts = CheckpointFacts(
        "p", tuple("abc"), None, D, tuple(f"g{i}" for i in range(G)), "log", None, None, "nothing",
        group_names=("cell cycle", "keratins"),
    )  # fmt: skip
    loaded = load_model(save_checkpoint(tmp_path / "p", gimp, facts))
    assert loaded.facts.group_names == ("cell cycle", "keratins")
    assert torch.equal(loaded.model.members[0].gene_encoder.table, table)
    genes = torch.randn(1, G)
    assert torch.equal(loaded.model(genes=genes).answers["genes"], gimp(genes=genes).answers["genes"])


def test_what_training_cases_were_like_survives_a_checkpoint(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(40, D))
    typical = fit_typical(values)
    facts = CheckpointFacts("t", tuple("abc"), None, D, tuple(f"g{i}" for i in range(G)), "log", None, None, "nothing")
    for members in ([model()], [model(0), model(1)]):
        loaded = load_model(save_checkpoint(tmp_path / str(len(members)), members, facts, typical=typical))
        np.testing.assert_allclose(loaded.typical.distances, typical.distances, rtol=1e-6)
        assert loaded.typical.share_nearer(values[3]) == pytest.approx(typical.share_nearer(values[3]), abs=0.03)


def test_fragments_that_fill_a_group_up_are_not_attended_to() -> None:
    ragged = torch.tensor([[[0, 1], [2, 3]], [[4, 5], [G, G]]])
    torch.manual_seed(3)
    encoder = GeneEncoder(replace(CONFIG, shared_head=False), G, ragged).eval()
    tokens = encoder(torch.randn(4, G))
    assert tokens.fragment_attention[:, 1, :, 1].abs().max() == 0
    assert tokens.fragment_attention[:, 0, :, 1].min() > 0
    with torch.no_grad():
        encoder.head.bias[1, 1] += 5  # what the filling would say
    encoder_again = encoder(torch.zeros(1, G)).cls
    with torch.no_grad():
        encoder.head.bias[1, 1] -= 5
    torch.testing.assert_close(encoder(torch.zeros(1, G)).cls, encoder_again)
