"""ABMIL (Ilse et al. 2018, arXiv 1802.04712), the usual baseline on bags: gated attention over patches, one class head.

Written in a few lines of plain torch: small, seeded, on the CPU, fixed settings, no validation cases.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

HIDDEN, ATTENTION, DROPOUT = 128, 64, 0.25
EPOCHS, BATCH, RATE, DECAY = 20, 16, 5e-4, 1e-2
MOST_PATCHES = 128
"""Of a bag in a training step, drawn anew each time."""


class ABMIL(nn.Module):
    """Patches standardised, one hidden layer, gated attention, class logits of the weighted mean."""

    mean: Tensor
    sd: Tensor

    def __init__(self, mean: Float[Tensor, " D"], sd: Float[Tensor, " D"], classes: int) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("sd", sd)
        self.hidden = nn.Sequential(nn.Linear(len(mean), HIDDEN), nn.ReLU(), nn.Dropout(DROPOUT))
        self.value, self.gate = nn.Linear(HIDDEN, ATTENTION), nn.Linear(HIDDEN, ATTENTION)
        self.weight, self.head = nn.Linear(ATTENTION, 1), nn.Linear(HIDDEN, classes)

    def forward(self, bags: Float[Tensor, "B N D"], padding: Bool[Tensor, "B N"]) -> Float[Tensor, "B C"]:
        """Class logits of padded bags."""
        hidden = self.hidden((bags - self.mean) / self.sd)
        score = self.weight(self.value(hidden).tanh() * self.gate(hidden).sigmoid())[..., 0]
        attention = score.masked_fill(padding, -torch.inf).softmax(dim=1)
        logits: Tensor = self.head((attention[..., None] * hidden).sum(dim=1))
        return logits


def fit_abmil(
    bags: Sequence[Float[np.ndarray, "_ D"]], labels: Int[np.ndarray, " n"], classes: int, seed: int
) -> ABMIL:
    """Train on bags (float32); the same seed gives the same weights."""
    rng = np.random.default_rng(seed)
    mean, sd = _scaling(bags)
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        model = ABMIL(mean, sd, classes)
        optimiser = torch.optim.AdamW(model.parameters(), RATE, weight_decay=DECAY)
        for _ in range(EPOCHS):
            for batch in np.array_split(rng.permutation(len(bags)), -(-len(bags) // BATCH)):
                drawn = [_some(bags[i], rng) for i in batch]
                loss = nn.functional.cross_entropy(model(*_pad(drawn)), torch.from_numpy(labels[batch]))
                optimiser.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimiser.step()
    return model.eval()


def predict_abmil(model: ABMIL, bags: Sequence[Float[np.ndarray, "_ D"]]) -> Float[np.ndarray, "n C"]:
    """Probabilities of whole bags, one at a time."""
    with torch.inference_mode():
        rows = [model(*_pad([bag])).double().softmax(dim=1)[0] for bag in bags]
    return torch.stack(rows).numpy()


def _scaling(bags: Sequence[Float[np.ndarray, "_ D"]]) -> tuple[Float[Tensor, " D"], Float[Tensor, " D"]]:
    """Mean and sd of the training patches, each bag counting alike; a constant dimension is divided by 1."""
    mean = np.mean([bag.mean(axis=0, dtype=np.float64) for bag in bags], axis=0)
    variance = np.mean([np.square(bag - mean).mean(axis=0) for bag in bags], axis=0)
    sd = np.sqrt(variance)
    usable = np.where(sd > 1e-6 * np.maximum(1, np.abs(mean)), sd, 1.0)
    return torch.from_numpy(mean.astype(np.float32)), torch.from_numpy(usable.astype(np.float32))


def _some(bag: Float[np.ndarray, "N D"], rng: np.random.Generator) -> Float[np.ndarray, "M D"]:
    return bag if len(bag) <= MOST_PATCHES else bag[rng.choice(len(bag), MOST_PATCHES, replace=False)]


def _pad(bags: Sequence[Float[np.ndarray, "_ D"]]) -> tuple[Float[Tensor, "B N D"], Bool[Tensor, "B N"]]:
    longest = max(map(len, bags))
    padded = np.zeros((len(bags), longest, bags[0].shape[1]), np.float32)
    padding = np.ones((len(bags), longest), bool)
    for i, bag in enumerate(bags):
        padded[i, : len(bag)], padding[i, : len(bag)] = bag, False
    return torch.from_numpy(padded), torch.from_numpy(padding)
