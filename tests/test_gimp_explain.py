"""Explanations: known answers on hand-set weights, completeness, and what genes can and cannot move."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_gimp.gimp.conservative import differentiable
from napari_gimp.gimp.explain import class_support, gene_attention, gene_attribution, gene_groups, group_support
from napari_gimp.gimp.model import GiMP, ModelConfig
from napari_gimp.settings import InputError

D, G, C, N = 11, 53, 3, 29
SMALL = ModelConfig(
    d=16, heads=2, layers=2, ffn=2, landmarks=5, exact_up_to=0, fragment_genes=7, groups=3, head_hidden=13, window=29
)


def model(seed: int = 3, **changes: object) -> GiMP:
    """An untrained model whose weights are large enough to bend it."""
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        made = GiMP(replace(SMALL, **changes), embedding_dim=D, genes=G, classes=C).eval()
        with torch.no_grad():
            for parameter in made.parameters():
                if parameter.ndim > 1:
                    parameter.mul_(2.0)
    made.set_scaling(gene_mean=torch.linspace(-1, 1, G), gene_sd=torch.linspace(0.5, 2, G))
    return made


def case(seed: int = 7) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    return {
        "embeddings": random.normal(size=(N, D)).astype(np.float32),
        "cells": random.integers(0, 9, (N, 2)),
        "genes": random.normal(0, 2, G).astype(np.float32),
    }


def forward(member: GiMP, given: dict[str, np.ndarray]):
    with torch.inference_mode():
        return member(**{name: torch.from_numpy(values)[None] for name, values in given.items()})


# --- class support --------------------------------------------------------------------------------------------------


def without_constants(member: GiMP) -> GiMP:
    """No bias, no position, no class token: nothing but patches is left to support a logit."""
    with torch.no_grad():
        for name, parameter in member.named_parameters():
            if name.endswith("bias") or name in ("aggregator.cls", "absent_genes"):
                parameter.zero_()
    return member


@pytest.mark.parametrize("attention", ["exact", "nystrom"])
def test_supports_of_all_patches_add_up_to_the_logit(attention: str) -> None:
    member = without_constants(model(attention=attention, position="none"))
    given = {name: case()[name] for name in ("embeddings", "cells")}
    support = class_support([member], **given)
    np.testing.assert_allclose(support.sum(1), forward(member, given).logits[0], rtol=2e-4, atol=1e-5)


def test_the_plain_gradient_adds_up_to_nothing_through_layer_norm() -> None:
    member = without_constants(model(position="none", layers=1))
    given = {name: case()[name] for name in ("embeddings", "cells")}
    plain, kept = (class_support([member], **given, rule=rule) for rule in ("plain", "conservative"))
    assert np.abs(plain.sum(1)).max() < 0.01 * np.abs(kept.sum(1)).min()


def test_support_by_hand() -> None:
    """Uniform attention, values = tokens: each of two patches supports by a third of what its normed token says."""
    config = ModelConfig(d=4, heads=1, layers=1, position="none", exact_up_to=9, fusion="sum")
    member = GiMP(config, embedding_dim=2, genes=0, classes=2).eval()
    with torch.no_grad():
        for parameter in member.parameters():
            parameter.zero_()
        for module in member.modules():
            if isinstance(module, torch.nn.LayerNorm):
                module.weight.fill_(1.0)
        member.aggregator.projection.weight.copy_(torch.tensor([[2.0, 3], [-2, 3], [2, -3], [-2, -3]]))
        member.aggregator.blocks[0].attention.qkv.weight[8:] = torch.eye(4)
        member.aggregator.blocks[0].attention.out.weight.copy_(torch.eye(4))
        member.classifier.image.weight.copy_(torch.tensor([[1.0, 0, 0, 0], [0, 0, 1.0, 0]]))
    support = class_support([member], np.eye(2, dtype=np.float32), np.zeros((2, 2), np.int64))
    # normed tokens (1,-1,1,-1) and (1,1,-1,-1), their third's mean (2/3, 0, 0, -2/3), whose spread is sqrt(2)/3
    share = 1 / 2**0.5
    np.testing.assert_allclose(support, [[share, share], [share, -share]], atol=1e-3)


@pytest.mark.parametrize("attention", ["exact", "nystrom"])
def test_copies_for_gradients_say_the_same_and_leave_the_model_as_it_was(attention: str) -> None:
    member, given = model(attention=attention), case()
    before = {name: value.clone() for name, value in member.state_dict().items()}
    for rule, patches in (("conservative", 0), ("plain", 0), ("conservative", 1_000_000)):
        copied = differentiable(member, rule, patches)
        torch.testing.assert_close(forward(copied, given).logits, forward(member, given).logits)
    class_support([member], **given)
    assert all(torch.equal(before[name], value) for name, value in member.state_dict().items())
    assert all(parameter.requires_grad and parameter.grad is None for parameter in member.parameters())
    assert not any(module._forward_hooks for module in member.modules())


@pytest.mark.parametrize("attention", ["exact", "nystrom"])
def test_plain_support_is_gradient_x_input_of_the_logit(attention: str) -> None:
    member, given = model(attention=attention), case()
    out = member(**{name: torch.from_numpy(values)[None] for name, values in given.items()})
    support = class_support([member], **given, rule="plain")
    for k in range(C):
        (gradient,) = torch.autograd.grad(out.logits[0, k], out.projected, retain_graph=True)
        expected = (gradient * out.projected).sum(-1)[0].detach()
        np.testing.assert_allclose(support[k], expected, rtol=1e-3, atol=1e-6)


def test_support_depends_neither_on_chunks_nor_on_what_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    member, given = model(attention="nystrom"), case()
    whole = class_support([member], **given)
    monkeypatch.setattr("napari_gimp.gimp.attention.CHUNK_TOKENS", 7)
    monkeypatch.setattr("napari_gimp.gimp.conservative.KEEP_UP_TO", 0)
    np.testing.assert_allclose(class_support([member], **given), whole, rtol=1e-4, atol=1e-6)


def test_members_are_averaged() -> None:
    members, given = [model(1), model(2)], case()
    each = [class_support([member], **given) for member in members]
    np.testing.assert_allclose(class_support(members, **given), np.mean(each, axis=0), rtol=1e-5, atol=1e-7)
    values = [gene_attribution([member], given["genes"]).values for member in members]
    together = gene_attribution(members, given["genes"])
    np.testing.assert_allclose(together.values, np.mean(values, axis=0), atol=0.02 * np.abs(together.difference).max())


def test_genes_move_class_support_only_where_the_head_mixes() -> None:
    given = case()
    image = {name: given[name] for name in ("embeddings", "cells")}
    mixed, added = model(), model(fusion="sum")
    assert np.abs(class_support([mixed], **given) - class_support([mixed], **image)).max() > 1e-4
    np.testing.assert_array_equal(class_support([added], **given), class_support([added], **image))
    np.testing.assert_array_equal(group_support([added], **given, group=0), np.zeros((C, N)))


def test_group_support_is_the_change_when_the_group_stands_at_the_mean() -> None:
    member, given = model(), case()
    group = member.gene_encoder.table[1].flatten()
    group = group[group < G].numpy()
    changed = given["genes"].copy()
    changed[group] = member.gene_scaling.mean.numpy()[group]
    expected = class_support([member], **given | {"genes": changed}) - class_support([member], **given)
    found = group_support([member], **given, group=1)
    np.testing.assert_allclose(found, expected, atol=1e-7)
    assert np.abs(found).max() > 1e-5
    np.testing.assert_allclose(group_support([member], **given | {"genes": changed}, group=1), 0, atol=1e-7)
    with pytest.raises(InputError, match="3 gene groups, found group 3"):
        group_support([member], **given, group=3)
    with pytest.raises(InputError, match="0 gene groups"):
        group_support([model(gene_encoder="snn")], **given, group=0)


# --- gene attribution -----------------------------------------------------------------------------------------------


def linear_model() -> GiMP:
    """Nothing but the wide path speaks: logits are linear in the standardised genes."""
    member = model(fusion="sum", wide=True)
    with torch.no_grad():
        member.classifier.genes.weight.zero_()
        member.classifier.wide.weight.normal_(generator=torch.Generator().manual_seed(0))
    return member


def test_a_linear_model_is_attributed_exactly() -> None:
    member, genes = linear_model(), case()["genes"]
    z = (genes - member.gene_scaling.mean.numpy()) / member.gene_scaling.sd.numpy()
    found = gene_attribution([member], genes)
    np.testing.assert_allclose(found.values, member.classifier.wide.weight.detach().numpy() * z, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(found.z, z, rtol=1e-5, atol=1e-6)
    assert found.error.max() < 1e-9
    assert found.steps == 8


@pytest.mark.parametrize("changes", [{}, {"fusion": "sum"}, {"gene_encoder": "snn"}, {"shared_head": False}])
@pytest.mark.parametrize("with_image", [True, False])
def test_attributions_add_up_to_the_logit_difference(changes: dict[str, object], with_image: bool) -> None:
    member, given = model(**changes), case()
    outputs = [forward(member, given)] if with_image else None
    found = gene_attribution([member], given["genes"], outputs)
    mean = {**given, "genes": member.gene_scaling.mean.numpy()}
    ends = [forward(member, {k: v for k, v in end.items() if with_image or k == "genes"}) for end in (given, mean)]
    difference = (ends[0].logits - ends[1].logits)[0]
    np.testing.assert_allclose(found.difference, difference, atol=1e-5)
    np.testing.assert_allclose(found.values.sum(1), difference, rtol=0.01, atol=1e-4)
    assert found.error.max() < 0.01
    for k in range(C):
        missed, all_of_it = (values - (values.sum() - values) / (C - 1) for values in (
            found.values.sum(1) - found.difference, found.difference
        ))  # fmt: skip
        share = max(abs(missed[k] / all_of_it[k]), abs(found.values.sum(1)[k] / found.difference[k] - 1))
        assert found.error[k] == pytest.approx(share, rel=1e-6, abs=1e-9)


def test_steps_adapt_to_the_model_and_the_error_is_told_when_they_run_out() -> None:
    member, genes = model(), 20 * case()["genes"]
    fine, coarse = (gene_attribution([member], genes, most_steps=most) for most in (2048, 8))
    assert fine.error.max() < 0.01
    assert coarse.steps == 8 < fine.steps <= 2048
    assert coarse.error.max() > fine.error.max()


def test_a_gene_that_is_missing_or_constant_gets_nothing() -> None:
    member, genes = model(), case()["genes"]
    genes[[4, 17]] = np.nan
    member.gene_scaling.sd[9] = torch.inf
    found = gene_attribution([member], genes)
    np.testing.assert_array_equal(found.values[:, [4, 9, 17]], 0)
    np.testing.assert_array_equal(found.z[[4, 9, 17]], 0)
    assert np.isfinite(found.values).all()
    nothing = gene_attribution([member], np.full(G, np.nan, np.float32))
    np.testing.assert_array_equal(nothing.values, 0)
    np.testing.assert_array_equal(nothing.error, 0)


@settings(max_examples=10)
@given(st.integers(0, 1000))
def test_a_gene_that_the_model_ignores_gets_nothing(seed: int) -> None:
    member, genes = linear_model(), case(seed)["genes"]
    ignored = np.random.default_rng(seed).integers(G)
    with torch.no_grad():
        member.classifier.wide.weight[:, ignored] = 0
    np.testing.assert_array_equal(gene_attribution([member], genes).values[:, ignored], 0)


# --- attention to genes ---------------------------------------------------------------------------------------------


def test_groups_name_every_gene_of_their_fragments() -> None:
    member, names = model(), [f"G{k}" for k in range(G)]
    groups = gene_groups(member, names)
    assert [group.name for group in groups] == ["group 1", "group 2", "group 3"]
    assert [gene for group in groups for gene in group.genes] == names
    table = torch.tensor([[[0, 5, G]], [[5, 1, 2]]])
    pathways = GiMP(SMALL, embedding_dim=D, genes=G, classes=C, gene_table=table)
    first, second = gene_groups(pathways, names, ("TP53", "rest"))
    assert (first.name, first.fragments, second.genes) == ("TP53", (("G0", "G5"),), ("G5", "G1", "G2"))
    assert gene_groups(model(gene_encoder="snn"), names) == ()


def test_attention_to_groups_and_their_fragments_are_shares() -> None:
    outputs = [forward(model(seed), case()) for seed in (1, 2)]
    groups, fragments = gene_attention(outputs)
    assert groups.sum() == pytest.approx(1)
    np.testing.assert_allclose(fragments.sum(1), groups, rtol=1e-5)
    rows = torch.cat([out.group_attention[0] for out in outputs])
    np.testing.assert_allclose(groups, (rows / rows.sum(-1, keepdim=True)).mean(0), rtol=1e-5)
    image = {name: case()[name] for name in ("embeddings", "cells")}
    assert gene_attention([forward(model(), image)]) is None
    assert gene_attention([forward(model(gene_encoder="snn"), case())]) is None
