"""GiMP's network: by hand, its invariances, missing inputs, scaling, and its appetite for memory."""

import math
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_gimp.gimp.model import GiMP, ModelConfig, patch_attention
from napari_gimp.gimp.objectives import mask_patches, reconstruction_loss
from napari_gimp.gimp.parts import fragment_table, position_encoding
from napari_gimp.settings import InputError

D, G, C, N = 11, 101, 3, 23
SMALL = ModelConfig(
    d=16, heads=2, ffn=2, landmarks=5, exact_up_to=0, fragment_genes=7, groups=3, head_hidden=13, window=29
)


def small(**changes: object) -> GiMP:
    torch.manual_seed(3)
    return GiMP(replace(SMALL, **changes), embedding_dim=D, genes=G, classes=C).eval()


@pytest.fixture(scope="module")
def case() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(7)
    return {
        "embeddings": torch.randn(2, N, D, generator=generator),
        "cells": torch.randint(0, 9, (2, N, 2), generator=generator),
        "genes": torch.randn(2, G, generator=generator),
    }


def test_forward_by_hand() -> None:
    """Uniform attention over CLS (0) and two patches whose norms are known: CLS_img = (sqrt 2, 0, 0, -sqrt 2)."""
    config = ModelConfig(d=4, heads=1, layers=1, position="none", exact_up_to=9, head_hidden=1)
    model = GiMP(config, embedding_dim=2, genes=0, classes=2).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        for module in model.modules():
            if isinstance(module, torch.nn.LayerNorm):
                module.weight.fill_(1.0)
        model.aggregator.projection.weight.copy_(torch.tensor([[2.0, 3], [-2, 3], [2, -3], [-2, -3]]))
        block = model.aggregator.blocks[0]
        block.attention.qkv.weight[8:] = torch.eye(4)
        block.attention.out.weight.copy_(torch.eye(4))
        model.classifier[0].weight[0, 0] = 1.0
        model.classifier[3].weight[0, 0] = 1.0
        out = model(torch.tensor([[[1.0, 0], [0, 1]]]))
    torch.testing.assert_close(out.class_attention, torch.full((1, 1, 1, 2), 1 / 3))
    torch.testing.assert_close(out.cls_image, torch.tensor([[math.sqrt(2), 0, 0, -math.sqrt(2)]]), atol=1e-3, rtol=0)
    gelu = math.sqrt(2) * 0.5 * (1 + math.erf(1.0))
    torch.testing.assert_close(out.logits, torch.tensor([[gelu, 0.0]]), atol=1e-3, rtol=0)
    assert out.predicted is None
    assert out.group_attention is None


def test_output_has_everything_in_its_shape(case: dict[str, torch.Tensor]) -> None:
    masked = mask_patches(torch.zeros(2, N, dtype=torch.bool), "random", 0.5, torch.Generator())
    out = small()(**case, masked=masked)
    fields = {name: value for name, value in vars(out).items() if name not in ("answers", "parts")}
    shapes = {name: tuple(value.shape) for name, value in {**fields, **out.answers}.items()}
    assert shapes == {
        "both": (2, C), "image": (2, C), "genes": (2, C), "cls_image": (2, 16), "cls_genes": (2, 16),
        "has_image": (2,), "has_genes": (2,), "projected": (2, N, 16),
        "patch_tokens": (2, N, 16), "class_attention": (2, 2, 2, N), "predicted": (2, N, D),
        "group_attention": (2, 2, 3), "fragment_attention": (2, 3, 2, 5),
    }  # fmt: skip


def test_paper_sizes() -> None:
    table = fragment_table(60_480, 63, 32)
    assert table.shape == (32, 30, 63)
    assert torch.equal(table.flatten(), torch.arange(60_480))
    assert fragment_table(60_483, 63, 32).shape == (32, 30, 64)  # GDC v22
    assert (ModelConfig().d, ModelConfig().heads, ModelConfig().layers, ModelConfig().landmarks) == (512, 8, 2, 256)


@given(st.integers(1, 3000), st.integers(1, 80), st.integers(1, 40))
def test_every_gene_is_in_one_fragment_in_order(genes: int, fragment_genes: int, groups: int) -> None:
    table = fragment_table(genes, fragment_genes, groups)
    flat = table.flatten()
    assert flat[flat < genes].tolist() == list(range(genes))
    assert (table[..., 0] < genes).all()  # no fragment is empty
    sizes = (table < genes).sum(-1)
    assert sizes.max() - sizes.min() <= 1


@settings(max_examples=12, deadline=None)
@given(st.integers(1, N), st.integers(0, 13), st.sampled_from(["nystrom", "exact"]), st.integers(0, 30), st.booleans())
def test_padding_never_changes_a_result(real: int, more: int, attention: str, exact_up_to: int, mask: bool) -> None:
    model = small(attention=attention, exact_up_to=exact_up_to)
    generator = torch.Generator().manual_seed(real)
    embeddings, cells = (
        torch.randn(1, real, D, generator=generator),
        torch.randint(0, 9, (1, real, 2), generator=generator),
    )
    masked = mask_patches(torch.zeros(1, real, dtype=torch.bool), "random", 0.5, generator) if mask else None
    alone = model(embeddings, cells, masked=masked)
    padding = torch.zeros(1, real + more, dtype=torch.bool)
    padding[:, real:] = True
    junk = torch.full((1, more, D), float("nan"))
    padded = model(
        torch.cat([embeddings, junk], 1),
        torch.cat([cells, torch.full((1, more, 2), 77)], 1),
        padding,
        masked=None if masked is None else torch.cat([masked, torch.zeros(1, more, dtype=torch.bool)], 1),
    )
    for name in ("logits", "cls_image"):
        torch.testing.assert_close(getattr(padded, name), getattr(alone, name), atol=1e-5, rtol=0)
    torch.testing.assert_close(padded.class_attention[..., :real], alone.class_attention, atol=1e-5, rtol=0)
    if mask:
        torch.testing.assert_close(padded.predicted[:, :real], alone.predicted, atol=1e-5, rtol=0)


def test_genes_never_move_attention_or_reconstruction(case: dict[str, torch.Tensor]) -> None:
    masked = mask_patches(torch.zeros(2, N, dtype=torch.bool), "contiguous", 0.5, torch.Generator())
    model = small()
    out, other = model(**case, masked=masked), model(**case | {"genes": case["genes"] + 1}, masked=masked)
    assert torch.equal(out.class_attention, other.class_attention)
    assert torch.equal(out.predicted, other.predicted)
    assert not torch.allclose(out.logits, other.logits)


@pytest.mark.parametrize("attention", ["nystrom", "exact"])
def test_other_neighbours_change_a_masked_patch(case: dict[str, torch.Tensor], attention: str) -> None:
    """The prediction depends on the visible patches and on the place, and not on what is hidden."""
    model, masked = small(attention=attention), torch.zeros(2, N, dtype=torch.bool)
    masked[:, 4], masked[:, 9] = True, True
    base = model(**case, masked=masked).predicted
    changed, hidden, moved = case["embeddings"].clone(), case["embeddings"].clone(), case["cells"].clone()
    changed[:, 5] += 3
    hidden[:, 4] += 3
    moved[:, 4] += 2
    assert not torch.allclose(model(changed, case["cells"], masked=masked).predicted[:, 4], base[:, 4], atol=1e-4)
    assert not torch.allclose(model(case["embeddings"], moved, masked=masked).predicted[:, 4], base[:, 4], atol=1e-4)
    assert torch.equal(model(hidden, case["cells"], masked=masked).predicted, base)
    assert not torch.allclose(base[:, 4], base[:, 9], atol=1e-4)


def test_masking_without_positions_is_refused(case: dict[str, torch.Tensor]) -> None:
    model, masked = small(position="none"), torch.ones(2, N, dtype=torch.bool)
    assert model(**case).predicted is None
    with pytest.raises(InputError, match="position='none'"):
        model(**case, masked=masked)


def test_gradients_of_masked_positions_only(case: dict[str, torch.Tensor]) -> None:
    model = small()
    embeddings = case["embeddings"].clone().requires_grad_()
    masked = mask_patches(torch.zeros(2, N, dtype=torch.bool), "random", 0.5, torch.Generator().manual_seed(1))
    out = model(embeddings, case["cells"], masked=masked)
    out.predicted.retain_grad()
    reconstruction_loss(out.predicted, model.standardised(embeddings).detach(), masked).backward()
    assert (out.predicted.grad[~masked] == 0).all()
    assert (out.predicted.grad[masked] != 0).all()
    assert (embeddings.grad[masked] == 0).all()  # what is hidden feeds nothing
    assert (embeddings.grad[~masked] != 0).any(1).all()


def test_order_of_patches_is_nothing_to_exact_attention(case: dict[str, torch.Tensor]) -> None:
    order = torch.randperm(N, generator=torch.Generator().manual_seed(2))
    shuffled = {"embeddings": case["embeddings"][:, order], "cells": case["cells"][:, order]}
    straight = {"embeddings": case["embeddings"], "cells": case["cells"]}
    model = small(attention="exact")
    out, other = model(**straight), model(**shuffled)
    torch.testing.assert_close(other.logits, out.logits, atol=1e-5, rtol=0)
    torch.testing.assert_close(other.class_attention, out.class_attention[..., order], atol=1e-5, rtol=0)
    assert not torch.allclose(small()(**shuffled).logits, small()(**straight).logits, atol=1e-6)  # segments are scanned


@pytest.mark.parametrize("shared_head", [True, False])
@pytest.mark.parametrize("genes", [1, 2, 13, 101])
def test_any_gene_count_and_both_heads(genes: int, shared_head: bool) -> None:
    model = GiMP(replace(SMALL, shared_head=shared_head), embedding_dim=D, genes=genes, classes=C).eval()
    values = torch.randn(2, genes, requires_grad=True)
    out = model(genes=values)
    out.logits.sum().backward()
    assert (values.grad != 0).all()
    assert out.class_attention is None
    assert (out.group_attention.sum(-1) < 1).all()


def test_fragment_embedding_tells_fragments_apart() -> None:
    """With one shared head, swapping two fragments of a group is seen only through their embedding."""
    values = torch.randn(1, 105)
    swapped = values.clone()
    swapped[:, :7], swapped[:, 7:14] = values[:, 7:14], values[:, :7]
    for on in (True, False):
        torch.manual_seed(0)
        config = replace(SMALL, fragment_embedding=on)
        model = GiMP(config, embedding_dim=D, genes=105, classes=C).eval()
        assert torch.allclose(model(genes=values).logits, model(genes=swapped).logits, atol=1e-6) is not on


def test_missing_inputs_of_some_cases(case: dict[str, torch.Tensor]) -> None:
    model = small()
    both, image, genes = (
        model(**case),
        model(case["embeddings"], case["cells"]),
        model(genes=case["genes"]),
    )
    mixed = model(**case, has_image=torch.tensor([True, False]), has_genes=torch.tensor([False, True]))
    torch.testing.assert_close(mixed.logits, torch.stack([image.logits[0], genes.logits[1]]))
    assert torch.equal(mixed.cls_image[1], model.absent_image)
    apart = both.answers
    torch.testing.assert_close(apart["image"], image.logits)
    torch.testing.assert_close(apart["genes"], genes.logits)
    torch.testing.assert_close(apart["both"], both.logits)


def test_an_empty_bag_and_an_empty_profile_count_as_missing(case: dict[str, torch.Tensor]) -> None:
    model, padding, genes = small(), torch.zeros(2, N, dtype=torch.bool), case["genes"].clone()
    padding[0], genes[1] = True, float("nan")
    out = model(case["embeddings"], case["cells"], padding, genes)
    assert out.has_image.tolist() == [False, True]
    assert out.has_genes.tolist() == [True, False]
    assert out.logits.isfinite().all()
    torch.testing.assert_close(out.logits[0], model(genes=genes).logits[0])


def test_without_cells_the_scan_index_is_the_place(case: dict[str, torch.Tensor]) -> None:
    cells = torch.stack([torch.zeros(N, dtype=torch.long), torch.arange(N)], 1).expand(2, -1, -1)
    assert torch.equal(small()(case["embeddings"]).logits, small()(case["embeddings"], cells).logits)


def test_wrong_inputs_get_a_sentence(case: dict[str, torch.Tensor]) -> None:
    with pytest.raises(InputError, match="found neither"):
        small()()
    with pytest.raises(InputError, match="expected embeddings 11 wide, found 12"):
        small()(torch.zeros(1, 2, 12))
    with pytest.raises(InputError, match="expected 101 genes, found 5"):
        small()(genes=torch.zeros(1, 5))
    with pytest.raises(InputError, match="multiple of 4 and of the 8 heads"):
        ModelConfig(d=20)
    with pytest.raises(InputError, match=r"ModelConfig.mask_ratio: expected 0.05 to 0.95, found 1"):
        ModelConfig(mask_ratio=1.0)


def test_scaling_of_genes() -> None:
    """z by hand; NaN is the mean; +-10 is the limit; a constant gene counts nothing; a tiny sd is floored at 0.1."""
    model = GiMP(SMALL, embedding_dim=D, genes=5, classes=C)
    model.set_scaling(gene_mean=torch.tensor([1.0, 2, 3, 4, 5]), gene_sd=torch.tensor([2.0, 1, 0.5, 0, 0.001]))
    values = torch.tensor([[5.0, float("nan"), 100, 9, 5.3]])
    torch.testing.assert_close(model.gene_scaling(values), torch.tensor([[2.0, 0, 10, 0, 3]]))


def test_scaling_of_embeddings_and_the_choice_against_it(case: dict[str, torch.Tensor]) -> None:
    raw = case["embeddings"] * 5 + 3
    model, same = small(), small()
    model.set_scaling(embedding_mean=torch.full((D,), 3.0), embedding_sd=torch.full((D,), 5.0))
    torch.testing.assert_close(model.standardised(raw), case["embeddings"])
    torch.testing.assert_close(model(raw).logits, same(case["embeddings"]).logits)
    off = small(standardise_embeddings=False)
    off.set_scaling(embedding_mean=torch.full((D,), 3.0), embedding_sd=torch.full((D,), 5.0))
    assert torch.equal(off.standardised(raw), raw)


def test_position_encoding_by_hand() -> None:
    found = position_encoding(torch.tensor([[[0, 3], [2, 0]]]), 8)
    slow = 10000**-0.5
    expected = [
        [0, 0, 1, 1, math.sin(3), math.sin(3 * slow), math.cos(3), math.cos(3 * slow)],
        [math.sin(2), math.sin(2 * slow), math.cos(2), math.cos(2 * slow), 0, 0, 1, 1],
    ]
    torch.testing.assert_close(found, torch.tensor([expected]))


def test_patch_attention_is_shares(case: dict[str, torch.Tensor]) -> None:
    torch.testing.assert_close(patch_attention(torch.tensor([[0.3, -0.1, 0.1]])), torch.tensor([[0.75, 0, 0.25]]))
    rows = patch_attention(small()(**case).class_attention)
    torch.testing.assert_close(rows.sum(-1), torch.ones(2, 2, 2))


def test_mixed_precision_trains(case: dict[str, torch.Tensor]) -> None:
    model, masked = small().train(), torch.zeros(2, N, dtype=torch.bool)
    masked[:, ::2] = True
    with torch.autocast("cpu", torch.bfloat16):
        out = model(**case, masked=masked)
        loss = out.logits.sum() + reconstruction_loss(out.predicted, case["embeddings"], masked)
    loss.backward()
    assert all(p.grad.isfinite().all() for name, p in model.named_parameters() if "absent" not in name)
    rows = small()(**case, masked=masked).class_attention
    torch.testing.assert_close(out.class_attention.sum(-1), rows.sum(-1), atol=0.05, rtol=0)


def test_dropout_is_the_only_randomness(case: dict[str, torch.Tensor]) -> None:
    model, state = small(), torch.get_rng_state()
    first, second = model(**case).logits, model(**case).logits
    assert torch.equal(first, second)
    assert torch.equal(state, torch.get_rng_state())


FORWARD = r"""
import re, sys, torch
from pathlib import Path
from napari_gimp.gimp.model import GiMP, ModelConfig
model = GiMP(ModelConfig(layers=1), embedding_dim=1024, genes=0, classes=2).eval()
bag = torch.randn(1, 10_000, 1024)
peak = lambda: int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]) / 1024
before = peak()
with torch.inference_mode():
    model(bag)
sys.stdout.write(str(peak() - before))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read from Linux's /proc")
def test_memory_grows_with_the_patches_not_with_their_square() -> None:
    """150,000 x 1024 within 6 GB (bench_model.py) leaves 350 MB for 10,000; N x N of eight heads would take 3 GB."""
    done = subprocess.run([sys.executable, "-c", FORWARD], check=True, capture_output=True, text=True)
    assert 30 < float(done.stdout) < 350
