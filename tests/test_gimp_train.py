"""Training: what each step learns and leaves alone, balance, dropout of inputs, determinism, devices."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from napari_gimp.gimp.batches import (
    Batch,
    balanced_batches,
    drop_modalities,
    epoch_batches,
    pad_samples,
    random_patches,
    sampling_weights,
)
from napari_gimp.gimp.model import GiMP, ModelConfig
from napari_gimp.gimp.pretraining import LabelsStage, PretrainStage
from napari_gimp.gimp.stages import FinetuneStage, GenesStage, cross_entropy
from napari_gimp.gimp.train import (
    TrainConfig,
    case_logits,
    finetune,
    make_fabric,
    pretrain,
    pretrain_labels,
    refit_decoder,
    train_genes,
    validation_losses,
)
from napari_gimp.settings import InputError
from napari_gimp.types import Sample

WIDTH, GENES = 7, 11
MODEL = ModelConfig(d=16, heads=2, layers=1, ffn=2, dropout=0.1, fragment_genes=3, groups=2, window=13, head_hidden=16)
FAST = TrainConfig(
    epochs_genes=8, epochs_pretrain=2, epochs_finetune=8, batch_size=8, lr_genes=1e-2, lr_finetune=5e-3, patches=12
)


def make_samples(count: int, seed: int, image: bool = True, genes: bool = True) -> list[Sample]:
    """Two classes: shifted embeddings in a third of the patches, shifted expression in three genes."""
    rng = np.random.default_rng(seed)
    samples = []
    for i in range(count):
        label, patches = i % 2, int(rng.integers(5, 20))
        embeddings = rng.normal(size=(patches, WIDTH)).astype(np.float32)
        embeddings[: patches // 3 + 1, :3] += 4 * label - 2
        expression = rng.normal(size=GENES).astype(np.float32)
        expression[:3] += 3 * label - 1.5
        cells = np.stack([np.arange(patches) // 5, np.arange(patches) % 5], axis=1)
        samples.append(
            Sample(
                f"case-{i}",
                embeddings if image else None,
                cells if image else None,
                expression if genes else None,
                label,
            )
        )
    return samples


def make_model(seed: int = 0, genes: int = GENES) -> GiMP:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return GiMP(MODEL, embedding_dim=WIDTH, genes=genes, classes=2)


def labels_of(samples: list[Sample]) -> np.ndarray:
    return np.array([sample.label for sample in samples])


def run_step(step, model, samples, config=FAST, seed=0, **more):
    fabric = make_fabric("cpu")
    generator = torch.Generator().manual_seed(seed)
    return list(step(model, samples, labels_of(samples), config, fabric, generator, **more))


def accuracy(model: GiMP, samples: list[Sample], modality: str) -> float:
    return float(np.mean([case_logits(model, s)[modality].argmax() == s.label for s in samples]))


def changed(before: dict, model: GiMP) -> set[str]:
    """Parts of the model with a parameter that is no longer what it was."""
    return {name.split(".")[0] for name, value in model.named_parameters() if not torch.equal(value, before[name])}


def snapshot(model: GiMP) -> dict:
    return {name: value.detach().clone() for name, value in model.named_parameters()}


def test_the_gene_step_learns_from_genes_and_leaves_the_image_branch_alone():
    model, train, test = make_model(), make_samples(48, 1), make_samples(60, 2)
    before = snapshot(model)
    steps = run_step(train_genes, model, train)
    assert accuracy(model, test, "genes") > 0.85
    assert changed(before, model) == {"gene_encoder", "classifier", "absent_image"}
    assert steps[-1].total < 0.5 * steps[0].total
    assert [s.step for s in steps] == list(range(1, steps[-1].steps + 1))
    assert steps[-1].epoch == FAST.epochs_genes


def test_pretraining_keeps_the_gene_encoder_and_says_how_the_triplets_fare():
    model, train = make_model(), make_samples(16, 1)
    before = snapshot(model)
    steps = run_step(pretrain, model, train, replace(FAST, epochs_pretrain=12, lr_pretrain=3e-3))
    assert changed(before, model) == {"aggregator", "decoder"}
    assert set(steps[0].losses) == {"reconstruction", "triplet", "active", "image_margin"}
    first, last = (np.mean([s.losses["reconstruction"] for s in part]) for part in (steps[:2], steps[-2:]))
    assert last < first
    assert np.mean([s.losses["image_margin"] for s in steps[-4:]]) > np.mean(
        [s.losses["image_margin"] for s in steps[:4]]
    )
    assert all(s.total == pytest.approx(s.losses["reconstruction"] + s.losses["triplet"], rel=1e-5) for s in steps)


def test_pretraining_without_positions_is_refused():
    model = GiMP(replace(MODEL, position="none"), embedding_dim=WIDTH, genes=GENES, classes=2)
    with pytest.raises(InputError, match="position"):
        run_step(pretrain, model, make_samples(4, 0))
    with pytest.raises(InputError, match="position"):
        run_step(pretrain_labels, model, make_samples(4, 0), replace(FAST, objective="both"))
    steps = run_step(pretrain, model, make_samples(8, 0), replace(FAST, reconstruction_weight=0.0))
    assert set(steps[0].losses) == {"triplet", "active", "image_margin"}
    assert steps[0].total == steps[0].losses["triplet"]


def image_axis(model: GiMP, samples: list[Sample]) -> float:
    """Share of the cases that the class tokens' first principal axis puts on the side of their label."""
    with torch.no_grad():
        cls = torch.cat([model.eval()(*pad_samples([s], "image").inputs).cls_image for s in samples])
    side = torch.pca_lowrank(cls, q=2)[0][:, 0] > 0
    right = float((side.numpy() == labels_of(samples)).mean())
    return max(right, 1 - right)


def test_labels_teach_the_aggregator_alone_and_their_head_is_thrown_away():
    model, train, test = make_model(), make_samples(48, 1), make_samples(60, 2)
    before = snapshot(model)
    config = replace(FAST, epochs_pretrain=8, lr_pretrain=1e-2, patches_pretrain=8, schedule="one-cycle")
    labels = labels_of(train) + 3  # classes that the model does not have
    fabric, generator = make_fabric("cpu"), torch.Generator().manual_seed(0)
    steps = list(pretrain_labels(model, train, labels, config, fabric, generator))
    assert changed(before, model) == {"aggregator"}
    assert set(steps[0].losses) == {"labels", "accuracy"}
    assert steps[-1].losses["labels"] < 0.3 * steps[0].losses["labels"]
    assert image_axis(model, test) > 0.85
    with pytest.raises(InputError, match="at least two classes"):
        pretrain_labels(model, train, labels * 0, config, fabric, generator)


@pytest.mark.parametrize("objective", ["mpm", "both"])
def test_masked_patches_teach_the_aggregator_without_or_beside_labels(objective):
    model, train = make_model(), alike_within(make_samples(32, 1))
    before = snapshot(model)
    config = replace(FAST, epochs_pretrain=6, lr_pretrain=1e-2, objective=objective, reconstruction_weight=2.0)
    steps = run_step(pretrain_labels, model, train, config)
    assert changed(before, model) == {"aggregator", "decoder"}
    names = {"reconstruction"} if objective == "mpm" else {"reconstruction", "labels", "accuracy"}
    assert set(steps[0].losses) == names
    assert steps[-1].losses["reconstruction"] < steps[0].losses["reconstruction"]
    parts = 2 * steps[0].losses["reconstruction"] + steps[0].losses.get("labels", 0.0)
    assert steps[0].total == pytest.approx(parts, rel=1e-5)


def test_site_shifts_move_a_whole_bag_along_one_of_them():
    samples = make_samples(300, 1)
    shifts = torch.zeros(2, WIDTH)
    shifts[0, 1], shifts[1, 4] = 3.0, 5.0
    stage = LabelsStage(make_model(), replace(FAST, shift_scale=0.5, patches_pretrain=0), 2, shifts)
    moved = stage.batch(samples, torch.Generator().manual_seed(0))["embeddings"]
    plain = pad_samples(samples, "image")
    apart = [(m - p)[~pad] for m, p, pad in zip(moved, plain.embeddings, plain.padding, strict=True)]
    for own in apart:
        torch.testing.assert_close(own, own[:1].expand(len(own), -1), atol=1e-5, rtol=0)
    difference = torch.stack([own[0] for own in apart])
    assert ((difference.abs() > 1e-4).sum(1) <= 1).all()
    assert 100 < (difference[:, 1].abs() > 1e-4).sum() < 200
    for place, size in ((1, 1.5), (4, 2.5)):
        own = difference[difference[:, place].abs() > 1e-4, place]
        assert own.std().item() == pytest.approx(size, rel=0.2)
    assert samples[0].embeddings is not None
    np.testing.assert_array_equal(samples[0].embeddings, make_samples(1, 1)[0].embeddings)


def test_sampling_weights_by_hand():
    types, sites = np.array([0, 0, 0, 0, 1, 1]), np.array([7, 7, 7, 8, 8, 8])
    np.testing.assert_allclose(sampling_weights(types, sites) ** -2, [3, 3, 3, 1, 2, 2])


def test_case_weights_say_how_often_a_case_is_drawn_or_how_much_it_counts():
    labels, weights = np.zeros(1000, np.int64), np.r_[np.full(500, 3.0), np.full(500, 1.0)]
    drawn = np.concatenate(list(epoch_batches(labels, 64, torch.Generator().manual_seed(0), weights)))
    assert len(drawn) == 1000
    assert (drawn < 500).mean() == pytest.approx(0.75, abs=0.04)
    once = np.concatenate(list(epoch_batches(labels, 64, torch.Generator().manual_seed(0), balance=False)))
    assert sorted(once) == list(range(1000))
    logits, chosen = torch.randn(4, 3, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1, 2, 1])
    alone = [float(cross_entropy(logits[i : i + 1], chosen[i : i + 1])["loss"]) for i in range(4)]
    found = cross_entropy(logits, chosen, torch.tensor([0.5, 0.25, 0.25, 0.0]))
    assert float(found["loss"]) == pytest.approx(0.5 * alone[0] + 0.25 * alone[1] + 0.25 * alone[2])


def test_loss_weights_of_zero_leave_cases_out():
    weights = []
    for spoilt in (False, True):
        train = make_samples(16, 1)
        labels = labels_of(train)
        labels[8:] = 1 - labels[8:] if spoilt else labels[8:]
        config = replace(FAST, epochs_pretrain=1, weigh="loss", balance=False, batch_size=16)
        model, fabric, generator = make_model(), make_fabric("cpu"), torch.Generator().manual_seed(0)
        counts = np.r_[np.ones(8), np.zeros(8)]
        assert len(list(pretrain_labels(model, train, labels, config, fabric, generator, counts))) == 1
        weights.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
    torch.testing.assert_close(*weights)


def test_one_cycle_rises_to_the_rate_and_falls_and_cosine_only_falls():
    for schedule in ("one-cycle", "cosine"):
        model, moved, before = make_model(), [], None
        config = replace(FAST, epochs_genes=10, schedule=schedule, lr_genes=1e-3)
        fabric, generator = make_fabric("cpu"), torch.Generator().manual_seed(0)
        train = make_samples(16, 1)
        for _ in train_genes(model, train, labels_of(train), config, fabric, generator):
            now = model.gene_encoder.cls.detach().clone()
            moved.append(0.0 if before is None else float((now - before).abs().mean()))
            before = now
        middle = np.mean(moved[4:9])
        assert bool(moved[1] < 0.5 * middle) is (schedule == "one-cycle")
        assert moved[-1] < 0.2 * middle


def test_each_input_may_be_taught_alone_beside_both():
    model, samples = make_model(), [*make_samples(6, 1), *make_samples(2, 2, genes=False)]
    config = replace(FAST, modality_dropout=0.0)
    plain, taught = (FinetuneStage(model.eval(), replace(config, separate_weight=weight)) for weight in (0.0, 2.0))
    batch = plain.batch(samples, torch.Generator().manual_seed(0))
    both, found = plain(**batch), taught(**batch)
    answers, own = model(*Batch(**batch).inputs).answers, batch["labels"]
    image = torch.nn.functional.cross_entropy(answers["image"], own)
    genes = torch.nn.functional.cross_entropy(answers["genes"][:6], own[:6], reduction="sum") / 8
    torch.testing.assert_close(found["separate"], image + genes)
    torch.testing.assert_close(found["loss"], both["loss"] + 2 * (image + genes))


def test_a_frozen_aggregator_stays_and_a_slow_one_moves_less():
    moved = {}
    for name, change in {"frozen": {"freeze_image": True}, "slow": {"image_lr_factor": 0.1}, "full": {}}.items():
        model = make_model()
        before = snapshot(model)
        run_step(finetune, model, make_samples(16, 1), replace(FAST, **change))
        own = [(key, value) for key, value in model.named_parameters() if key.startswith("aggregator")]
        moved[name] = sum(float((value - before[key]).detach().norm()) for key, value in own)
    assert moved["frozen"] == 0
    assert 0 < moved["slow"] < 0.5 * moved["full"]


def test_finetuning_serves_both_inputs_or_either():
    model, train, test = make_model(), make_samples(48, 1), make_samples(60, 2)
    config = replace(FAST, modality_dropout=0.5, gene_lr_factor=1.0)
    steps = run_step(finetune, model, train, config, validation=make_samples(20, 3))
    for modality in ("both", "image", "genes"):
        assert accuracy(model, test, modality) > 0.85, modality
    assert {s.epoch for s in steps if s.validation} == {s.epoch for s in steps}
    assert set(steps[-1].validation) == {"both", "image", "genes"}


def test_shuffled_labels_teach_nothing():
    train, test = make_samples(48, 1), make_samples(200, 2)
    labels = np.arange(48) // 2 % 2  # half of either class
    model = make_model()
    run_step(finetune, model, [replace(s, label=int(k)) for s, k in zip(train, labels, strict=True)])
    assert 0.3 < accuracy(model, test, "both") < 0.7


def test_finetuning_ends_with_the_best_epoch():
    model, validation = make_model(), make_samples(12, 3)
    steps = run_step(
        finetune, model, make_samples(16, 1), replace(FAST, lr_finetune=0.3, patience=3), validation=validation
    )
    ends = [s for s in steps if s.validation]
    best = min(ends, key=lambda s: np.mean(list(s.validation.values())))
    assert best is [s for s in ends if s.best][-1]
    assert len(ends) <= best.epoch + 3
    assert validation_losses(model, validation) == pytest.approx(dict(best.validation))


def test_the_decoder_is_fitted_again_and_what_classifies_stays():
    model, train, test = make_model(), alike_within(make_samples(32, 1)), alike_within(make_samples(20, 2))
    config = replace(FAST, epochs_pretrain=20, lr_pretrain=1e-2, epochs_decoder=15, lr_decoder=1e-2)
    run_step(pretrain, model, train, config)
    run_step(finetune, model, train, replace(config, lr_finetune=2e-2))
    stale, logits, before = masked_loss(model, test), case_logits(model, test[0]), snapshot(model)
    run_step(refit_decoder, model, train, config)
    assert masked_loss(model, test) < 0.92 * stale
    for modality, values in case_logits(model, test[0]).items():
        np.testing.assert_array_equal(values, logits[modality])
    moved = {name for name, value in model.named_parameters() if not torch.equal(value, before[name])}
    assert {name for name in moved if not name.startswith("decoder")} == {"aggregator.mask_token"}


def alike_within(samples: list[Sample]) -> list[Sample]:
    """Patches that share most of their embedding with the rest of the bag, so that a hidden one can be told."""
    rng = np.random.default_rng(1)
    common = [rng.normal(size=(1, WIDTH)).astype(np.float32) * 2 for _ in samples]
    return [replace(s, embeddings=s.embeddings * 0.3 + own) for s, own in zip(samples, common, strict=True)]


@torch.no_grad()
def masked_loss(model: GiMP, samples: list[Sample]) -> float:
    """Masked patch modelling on other cases, dropout off."""
    stage = PretrainStage(model.eval(), FAST)
    return float(stage(**stage.batch(samples, torch.Generator().manual_seed(9)))["reconstruction"])


def test_frozen_genes_stay_and_slow_genes_move_less():
    moved = {}
    for name, change in {"frozen": {"freeze_genes": True}, "slow": {}, "full": {"gene_lr_factor": 1.0}}.items():
        model = make_model()
        before = snapshot(model)
        run_step(finetune, model, make_samples(16, 1), replace(FAST, **change))
        moved[name] = sum(
            float((value - before[key]).detach().norm())
            for key, value in model.named_parameters()
            if key.startswith("gene_")
        )
    assert moved["frozen"] == 0
    assert 0 < moved["slow"] < 0.5 * moved["full"]


def test_a_seed_fixes_every_bit_whatever_the_caller_draws_in_between():
    weights = []
    for disturb in (False, True):
        model, train = make_model(), make_samples(12, 1)
        generator, fabric = torch.Generator().manual_seed(3), make_fabric("cpu")
        for step in (train_genes, pretrain, finetune):
            for _ in step(model, train, labels_of(train), replace(FAST, epochs_finetune=2), fabric, generator):
                if disturb:
                    torch.rand(5)
        weights.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
    assert torch.equal(*weights)
    other = make_model()
    run_step(finetune, other, make_samples(12, 1), replace(FAST, epochs_finetune=2), seed=4)
    assert not torch.equal(weights[0], torch.cat([p.detach().flatten() for p in other.parameters()]))


def test_training_leaves_the_global_generator_as_it_was():
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    run_step(finetune, make_model(), make_samples(4, 1), replace(FAST, epochs_finetune=1))
    assert torch.equal(torch.rand(3), expected)


def test_image_only_cases_and_genes_only_cases_train_as_what_they_are():
    train = make_samples(24, 1) + make_samples(24, 4, genes=False) + make_samples(8, 5, image=False)
    model = make_model()
    run_step(pretrain, model, train[:48], replace(FAST, epochs_pretrain=1))
    run_step(finetune, model, train)
    assert accuracy(model, make_samples(40, 2, genes=False), "image") > 0.8
    assert set(case_logits(model, train[30])) == {"image"}
    assert set(case_logits(model, train[50])) == {"genes"}


def test_a_model_without_genes_learns_from_images_and_only_speaks_of_them():
    model, train = make_model(genes=0), make_samples(32, 1, genes=False)
    run_step(pretrain, model, train, replace(FAST, epochs_pretrain=2))
    steps = run_step(finetune, model, train, validation=make_samples(10, 7, genes=False))
    assert set(steps[-1].validation) == {"image"}
    assert accuracy(model, make_samples(40, 2, genes=False), "image") > 0.85


def test_gradients_of_image_only_cases_never_reach_the_gene_encoder():
    model, train = make_model(), make_samples(16, 1, genes=False)
    before = snapshot(model)
    run_step(finetune, model, train, replace(FAST, epochs_finetune=1))
    assert changed(before, model) == {"aggregator", "classifier", "absent_genes"}


@given(st.lists(st.integers(0, 2), min_size=1, max_size=60), st.integers(1, 9), st.integers(0, 99))
def test_batches_are_balanced_and_cover_the_rarer_classes(labels, size, seed):
    labels = np.array(labels)
    batches = list(balanced_batches(labels, size, torch.Generator().manual_seed(seed)))
    assert [len(b) for b in batches[:-1]] == [size] * (len(batches) - 1)
    drawn = np.concatenate(batches)
    assert len(drawn) == len(labels)
    for batch in batches:
        counts = Counter(labels[batch])
        counts = [counts.get(k, 0) for k in np.unique(labels)]
        assert max(counts) - min(counts) <= 1
    share = len(labels) // len(np.unique(labels))
    for k in np.unique(labels):
        assert len(set(drawn[labels[drawn] == k])) >= min(share, (labels == k).sum())


def test_padding_holds_every_patch_once_and_marks_the_rest():
    samples = [*make_samples(3, 1), *make_samples(1, 2, image=False)]
    batch = pad_samples(samples)
    assert batch.has_image.tolist() == [True, True, True, False]
    assert (~batch.padding).sum(1).tolist() == [len(s.embeddings) for s in samples[:3]] + [0]
    for b, sample in enumerate(samples[:3]):
        np.testing.assert_array_equal(batch.embeddings[b][~batch.padding[b]], sample.embeddings)
        np.testing.assert_array_equal(batch.cells[b][~batch.padding[b]], sample.cells)
    assert pad_samples(samples, "genes").embeddings is None
    assert pad_samples(samples, "image").genes is None


def test_a_limit_takes_random_patches_in_scan_order():
    choose = random_patches(5, torch.Generator().manual_seed(0))
    first, second = choose(100), choose(100)
    assert len(first) == 5
    assert (np.diff(first) > 0).all()
    assert set(first) != set(second)
    assert choose(3).tolist() == [0, 1, 2]


def test_modality_dropout_hides_one_input_of_the_share_asked_for_and_never_the_only_one():
    batch = pad_samples(make_samples(200, 1) * 10 + make_samples(100, 2, genes=False))
    dropped = drop_modalities(batch, 0.3, torch.Generator().manual_seed(0))
    assert (dropped.has_image | dropped.has_genes).all()
    assert dropped.has_image[2000:].all()
    lost = 2000 - (dropped.has_image & dropped.has_genes).sum().item()
    assert lost / 2000 == pytest.approx(0.3, abs=0.04)
    assert (~dropped.has_image).sum().item() / lost == pytest.approx(0.5, abs=0.08)


def test_tied_masks_hide_all_copies_of_a_repeated_patch():
    samples = make_samples(4, 1)
    for sample in samples:  # so that a copy can be told by its values
        assert len(np.unique(sample.embeddings, axis=0)) == len(sample.embeddings)
    model = GiMP(replace(MODEL, window=40), embedding_dim=WIDTH, genes=GENES, classes=2)
    for tied in (True, False):
        stage = PretrainStage(model, replace(FAST, short_bags="repeat", tie_masks=tied))
        batch = stage.batch(samples, torch.Generator().manual_seed(0))
        assert batch["embeddings"].shape == (4, 40, WIDTH)
        assert not batch["padding"].any()
        seen_and_hidden = 0
        for values, masked in zip(batch["embeddings"], batch["masked"], strict=True):
            hidden = {tuple(row) for row in values[masked].tolist()}
            seen_and_hidden += len(hidden & {tuple(row) for row in values[~masked].tolist()})
        assert (seen_and_hidden == 0) is tied


@pytest.mark.parametrize(("stage", "name"), [(finetune, "finetune"), (pretrain, "pretrain")])
def test_a_loss_that_is_no_number_ends_the_training(stage, name):
    train = make_samples(16, 1)
    spoilt = [replace(s, embeddings=s.embeddings * 1e30) for s in train[8:]]
    with pytest.raises(InputError, match=rf"stage {name}, step \d+: expected a finite loss .* lower learning rate"):
        run_step(stage, make_model(), [*train[:8], *spoilt])


def test_a_gradient_that_is_no_number_ends_the_training_before_it_is_kept(monkeypatch):
    """The loss may be fine still when the weights are not any more."""
    model, forward = make_model(), GenesStage.forward

    def steep(self, **tensors):
        found = forward(self, **tensors)
        return found | {"loss": found["loss"] + (found["loss"] * 0).sqrt()}  # finite; its slope is not

    monkeypatch.setattr(GenesStage, "forward", steep)
    with pytest.raises(InputError, match=r"stage genes, step 1: expected a finite loss .* found 0.* and nan"):
        run_step(train_genes, model, make_samples(8, 1))


def test_a_device_that_is_not_there_is_refused():
    missing = "cuda" if not torch.cuda.is_available() else "mps"
    with pytest.raises(InputError, match=missing):
        make_fabric(missing)
    assert make_fabric("cpu").device == torch.device("cpu")


def test_losses_are_summed_in_full_precision_under_autocast():
    logits, labels = torch.randn(8, 3, generator=torch.Generator().manual_seed(0)), torch.arange(8) % 3
    weights = torch.arange(1.0, 9) / 36
    plain = cross_entropy(logits, labels, weights)["loss"]
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(cross_entropy(logits, labels, weights)["loss"], plain)


def test_training_in_bfloat16_learns():
    model, train = make_model(), make_samples(32, 1)
    fabric = make_fabric("cpu", "bf16-mixed")
    generator = torch.Generator().manual_seed(0)
    list(finetune(model, train, labels_of(train), FAST, fabric, generator))
    assert {value.dtype for value in model.parameters()} == {torch.float32}
    assert accuracy(model, make_samples(40, 2), "both") > 0.85
