"""Needles in haystacks: does GiMP find the one patch in a hundred that decides, in bags of thousands?

    python tests/benchmarks/bench_needle.py

Bags of 6,000 to 20,000 generated embeddings. All bags share their tissues (clusters, mixed differently in every bag)
and each has a shift of its own, as stains have; in half of the bags 1 % of the patches, anywhere, moves in one
direction, noisily. Prints GiMP with the paper's attention (Nystrom, 256 landmarks, 2 layers, 8 heads; d 128 for
speed) beside mean pooling, max pooling and ABMIL on bags that no model has seen. A bag is made from its number.

Networks learn from 512 random patches of a bag a step (where attention is exact), then from whole bags; they are judged
on whole bags. Columns are areas under the curve: of bags; then of needles among the patches of a bag by attention (all
layers and heads, and those of the last layer alone) and by class support (of "max": the scores themselves).
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from sklearn.linear_model import LogisticRegressionCV
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn

from napari_gimp.gimp.explain import class_support
from napari_gimp.gimp.model import GiMP, ModelConfig, patch_attention
from napari_gimp.gimp.train import TrainConfig, finetune, make_fabric
from napari_gimp.study.abmil import ABMIL
from napari_gimp.types import Sample, against_others

Figures = dict[str, float]
Scores = Callable[[Float[Tensor, "1 N D"], Sample], tuple[Tensor, dict[str, Any]]]
"""A bag -> its logit for the needle class, and by name numbers (N,) of the patches that should find the needles."""
ATTENTION, LAST, SUPPORT = "attention", "last layer", "support"


@dataclass(frozen=True)
class Haystack:
    """How bags are made. ``seed`` fixes what they share; bag i of a part is a function of its number alone."""

    width: int = 64
    patches: tuple[int, int] = (6_000, 20_000)
    share: float = 0.01
    """Of the patches of a bag with needles."""
    tissues: int = 8
    spread: float = 3.0
    """Length of the tissues' centres; single patches have sd 1 in every dimension."""
    shift: float = 0.2
    """Sd of a bag's own shift in every dimension."""
    strength: float = 5.0
    """How far a needle lies off."""
    noise: float = 0.5
    """Length of the noise in a needle's direction, in multiples of the direction."""
    seed: int = 0


@dataclass(frozen=True)
class Bags(Sequence[Sample]):
    """Bags ``start`` to ``start + count``; every other one has needles."""

    haystack: Haystack
    start: int
    count: int

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, number: int) -> Any:
        if not 0 <= number < self.count:
            raise IndexError(number)
        return make_bag(self.haystack, self.start + number)[0]

    @property
    def labels(self) -> np.ndarray:
        """1 where a bag has needles."""
        return (self.start + np.arange(self.count)) % 2

    def needles(self, number: int) -> Bool[np.ndarray, " N"]:
        """Which patches of a bag are needles."""
        return make_bag(self.haystack, self.start + number)[1]


@lru_cache(maxsize=512)
def make_bag(haystack: Haystack, number: int) -> tuple[Sample, Bool[np.ndarray, " N"]]:
    """A bag in scan order and which of its patches are needles."""
    centres, direction = _shared(haystack)
    rng = np.random.default_rng([haystack.seed, 1, number])
    label, count = number % 2, int(rng.integers(haystack.patches[0], haystack.patches[1] + 1))
    tissue = rng.choice(len(centres), count, p=rng.dirichlet(np.ones(len(centres))))
    patches = rng.standard_normal((count, haystack.width), np.float32)
    patches += centres[tissue] + haystack.shift * rng.standard_normal(haystack.width, np.float32)
    needles = np.zeros(count, bool)
    needles[rng.choice(count, round(haystack.share * count), replace=False)] = bool(label)
    patches[needles] += haystack.strength * _noisy(direction, haystack.noise, int(needles.sum()), rng)
    columns = round(count**0.5)
    cells = np.stack(np.divmod(np.arange(count), columns), axis=1).astype(np.int64)
    return Sample(f"bag{number}", patches, cells, None, label), needles


def _shared(haystack: Haystack) -> tuple[Float[np.ndarray, "K D"], Float[np.ndarray, " D"]]:
    rng = np.random.default_rng([haystack.seed, 0])
    drawn = rng.standard_normal((haystack.tissues + 1, haystack.width)).astype(np.float32)
    drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
    return haystack.spread * drawn[1:], drawn[0]


def _noisy(
    direction: Float[np.ndarray, " D"], noise: float, count: int, rng: np.random.Generator
) -> Float[np.ndarray, "n D"]:
    """Unit vectors around a direction."""
    drawn = rng.standard_normal((count, len(direction))).astype(np.float32)
    vectors: np.ndarray = direction + noise * drawn / np.linalg.norm(drawn, axis=1, keepdims=True)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


# --- pooled embeddings ----------------------------------------------------------------------------------------------


def pooled_auc(train: Bags, test: Bags, pool: Callable[[np.ndarray], np.ndarray]) -> Figures:
    """Logistic regression on pooled embeddings, its penalty chosen by cross-validation."""
    x, unseen = (np.stack([pool(bag.embeddings) for bag in bags]) for bags in (train, test))
    grid = LogisticRegressionCV(Cs=np.logspace(-4, 2, 7), cv=5, scoring="roc_auc", max_iter=2000, l1_ratios=(0,),
                                use_legacy_attributes=False)  # fmt: skip
    model = make_pipeline(StandardScaler(), grid).fit(x, train.labels)
    return {"bags": float(roc_auc_score(test.labels, model.decision_function(unseen)))}


# --- networks -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Effort:
    """What every network may spend: epochs over random patches of each bag, then one over the first bags whole."""

    epochs: int = 15
    patches: int = 512
    whole: int = 80
    """Number of bags that are seen whole."""
    batch: int = 8
    rate: float = 1e-3
    seed: int = 0


class MaxNet(nn.Module):
    """One hidden layer, a score per patch; the largest is the bag's."""

    def __init__(self, width: int, hidden: int = 128) -> None:
        super().__init__()
        self.score = nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, 1))

    def forward(self, bags: Float[Tensor, "B N D"], padding: Bool[Tensor, "B N"]) -> Float[Tensor, "B 2"]:
        """Logits of no needles (0) and needles."""
        best = self.score(bags)[..., 0].masked_fill(padding, -torch.inf).amax(1)
        return torch.stack([torch.zeros_like(best), best], dim=1)


def scaling(bags: Bags, count: int = 32) -> tuple[Float[Tensor, " D"], Float[Tensor, " D"]]:
    """Mean and sd of the patches of the first bags."""
    some = np.concatenate([bags[i].embeddings for i in range(min(count, len(bags)))])
    return torch.from_numpy(some.mean(0)), torch.from_numpy(some.std(0))


def fit_plain(model: nn.Module, bags: Bags, effort: Effort) -> None:
    """AdamW with cosine decay, as many steps on as many patches as GiMP has."""
    rng = np.random.default_rng(effort.seed)
    for part, epochs, patches, rate in _stages(bags, effort):
        optimiser = torch.optim.AdamW(model.parameters(), rate, weight_decay=1e-2)
        steps = max(1, epochs * -(-len(part) // effort.batch))
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
        for _ in range(epochs):
            for chosen in np.array_split(rng.permutation(len(part)), -(-len(part) // effort.batch)):
                losses = [_plain_loss(model, part[int(i)], rng, patches or None) for i in chosen]
                optimiser.zero_grad()
                torch.stack(losses).mean().backward()  # type: ignore[no-untyped-call]
                optimiser.step()
                schedule.step()


def _stages(bags: Bags, effort: Effort) -> Iterator[tuple[Bags, int, int, float]]:
    """Bags, epochs, most patches of a bag (0: all), learning rate."""
    yield bags, effort.epochs, effort.patches, effort.rate
    if effort.whole:
        yield replace(bags, count=min(effort.whole, len(bags))), 1, 0, 0.2 * effort.rate


def _plain_loss(model: nn.Module, bag: Sample, rng: np.random.Generator, limit: int | None) -> Tensor:
    taken = rng.permutation(len(bag.embeddings))[:limit]
    logits = model(torch.from_numpy(bag.embeddings[taken])[None], torch.zeros(1, len(taken), dtype=torch.bool))
    return nn.functional.cross_entropy(logits, torch.tensor([bag.label]))


def fit_gimp(bags: Bags, config: ModelConfig, effort: Effort) -> GiMP:
    """GiMP without genes, by its own fine-tuning: on random patches first, then on whole bags."""
    torch.manual_seed(effort.seed)
    model = GiMP(config, embedding_dim=bags.haystack.width, genes=0, classes=2)
    mean, sd = scaling(bags)
    model.set_scaling(embedding_mean=mean, embedding_sd=sd)
    generator, fabric = torch.Generator().manual_seed(effort.seed), make_fabric("cpu")
    for part, epochs, patches, rate in _stages(bags, effort):
        training = TrainConfig(epochs_finetune=epochs, lr_finetune=rate, batch_size=effort.batch, patches=patches)
        for step in finetune(model, part, part.labels, training, fabric, generator):
            _say(step)
    return model.eval()


def _say(step: Any) -> None:
    per_epoch = max(1, step.steps // 20)
    if step.step % per_epoch == 0:
        print(f"    step {step.step} of {step.steps}: loss {step.total:.3f}", flush=True)


# --- what they find -------------------------------------------------------------------------------------------------


def evaluate(bags: Bags, scores: Scores) -> Figures:
    """Area under the curve of bags, and of needles among the patches of a bag: mean over the bags that have some."""
    logits, found = [], defaultdict(list)
    for number in range(len(bags)):
        bag = bags[number]
        logit, maps = scores(torch.from_numpy(bag.embeddings)[None], bag)
        logits.append(float(logit))
        for name, patches in maps.items() if bag.label else ():
            found[name].append(roc_auc_score(bags.needles(number), np.asarray(patches)))
    areas = {name: float(np.mean(each)) for name, each in found.items()}
    return {"bags": float(roc_auc_score(bags.labels, logits)), **areas}


def scores_of_gimp(model: GiMP) -> Scores:
    """Attention of the class token over all layers and heads, of the last layer alone, and class support."""

    def scores(bag: Tensor, sample: Sample) -> tuple[Tensor, dict[str, Any]]:
        with torch.inference_mode():
            output = model(bag, torch.from_numpy(sample.cells)[None])
        assert output.class_attention is not None
        rows = patch_attention(output.class_attention)[:, 0]
        assert sample.embeddings is not None
        assert sample.cells is not None
        support = class_support([model], sample.embeddings, sample.cells) if sample.label else None
        maps = {ATTENTION: rows.mean((0, 1)), LAST: rows[-1].mean(0)}
        return _margin(output.logits), maps | ({} if support is None else {SUPPORT: against_others(support)[1]})

    return scores


def scores_of_abmil(model: ABMIL) -> Scores:
    """Patches by their attention logits."""

    @torch.inference_mode()
    def scores(bag: Tensor, _sample: Sample) -> tuple[Tensor, dict[str, Any]]:
        hidden = model.hidden((bag - model.mean) / model.sd)
        attention = model.weight(model.value(hidden).tanh() * model.gate(hidden).sigmoid())
        return _margin(model(bag, _none_padded(bag))), {ATTENTION: attention[0, :, 0]}

    return scores


def scores_of_max(model: MaxNet) -> Scores:
    """Patches by the scores of which the largest is the bag's."""

    @torch.inference_mode()
    def scores(bag: Tensor, _sample: Sample) -> tuple[Tensor, dict[str, Any]]:
        return _margin(model(bag, _none_padded(bag))), {SUPPORT: model.score(bag)[0, :, 0]}

    return scores


def _none_padded(bag: Tensor) -> Tensor:
    return torch.zeros(bag.shape[:2], dtype=torch.bool)


def _margin(logits: Float[Tensor, "1 2"]) -> Tensor:
    return logits[0, 1] - logits[0, 0]


@dataclass
class Bench:
    """One cohort and all models on it."""

    haystack: Haystack = field(default_factory=Haystack)
    train: int = 320
    test: int = 60
    model: ModelConfig = field(default_factory=lambda: ModelConfig(d=128, exact_up_to=512))
    effort: Effort = field(default_factory=Effort)

    def run(self) -> Iterator[tuple[str, Figures]]:
        """Rows of the table, one by one."""
        seen, unseen = Bags(self.haystack, 0, self.train), Bags(self.haystack, self.train, self.test)
        yield from _timed("mean pooling, logistic regression", lambda: pooled_auc(seen, unseen, _mean))
        yield from _timed("max pooling, logistic regression", lambda: pooled_auc(seen, unseen, _max))
        yield from _timed("max of learned patch scores", lambda: self._max_net(seen, unseen))
        yield from _timed("ABMIL", lambda: self._abmil(seen, unseen))
        yield from _timed("GiMP", lambda: self._gimp(seen, unseen))

    def _max_net(self, seen: Bags, unseen: Bags) -> Figures:
        torch.manual_seed(self.effort.seed)
        net = MaxNet(self.haystack.width)
        fit_plain(net, seen, self.effort)
        return evaluate(unseen, scores_of_max(net.eval()))

    def _abmil(self, seen: Bags, unseen: Bags) -> Figures:
        torch.manual_seed(self.effort.seed)
        abmil = ABMIL(*scaling(seen), 2)
        fit_plain(abmil, seen, self.effort)
        return evaluate(unseen, scores_of_abmil(abmil.eval()))

    def _gimp(self, seen: Bags, unseen: Bags) -> Figures:
        return evaluate(unseen, scores_of_gimp(fit_gimp(seen, self.model, self.effort)))


def _mean(bag: np.ndarray) -> np.ndarray:
    return np.asarray(bag.mean(axis=0, dtype=np.float64))


def _max(bag: np.ndarray) -> np.ndarray:
    return np.asarray(bag.max(axis=0))


def _timed(name: str, work: Callable[[], Figures]) -> Iterator[tuple[str, Figures]]:
    start = time.perf_counter()
    figures = work()
    yield name, figures | {"minutes": (time.perf_counter() - start) / 60}


def main(bench: Bench) -> None:
    """Run and print the table row by row."""
    print(bench)
    names = ("bags", ATTENTION, LAST, SUPPORT, "minutes")
    print(f"{'':<36}" + "".join(f"{name:>11}" for name in names))
    for name, figures in bench.run():
        print(f"{name:<36}" + "".join(f"{figures.get(key, float('nan')):>11.3f}" for key in names), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", type=int, default=Bench.train, help="training bags")
    parser.add_argument("--test", type=int, default=Bench.test, help="unseen bags")
    parser.add_argument("--epochs", type=int, default=Effort.epochs, help="epochs on random patches")
    parser.add_argument("--patches", type=int, default=Effort.patches, help="random patches of a bag in a step")
    parser.add_argument("--whole", type=int, default=Effort.whole, help="bags seen whole at the end")
    parser.add_argument("--rate", type=float, default=Effort.rate, help="learning rate")
    parser.add_argument("--seed", type=int, default=Effort.seed, help="seed of the weights and draws")
    given = vars(parser.parse_args())
    sizes = {name: given.pop(name) for name in ("train", "test")}
    main(Bench(**sizes, effort=Effort(**given)))
