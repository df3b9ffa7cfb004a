"""The paper's pre-training and a prediction of 150,000 patches on a GPU: seconds, use of the device, peak memory.

    python tests/benchmarks/bench_gpu.py                                                      # one CUDA device
    python tests/benchmarks/bench_gpu.py --device cpu --slides 8 --patches 256 --epochs 2     # small, anywhere

Pre-training: 567 slides x 6000 patches x 1024 numbers and as many profiles of 60,480 genes, random, resident on the
device (embeddings in bfloat16), made there; d 512, batches of 8, 100 epochs of masked patches and triplets by the
project's modules and losses, AdamW and clipping; bf16 autocast, compiled, and nothing in the loop that waits for the
device: masks, partners and the order of slides are drawn there. The gene encoder is frozen then, so CLS_ge is computed
once, within the time that is printed. Reading features takes no part (the paper's 0.6 h included it).
Goals on one H100: below 60 s, and below 50 ms a prediction.

FLOPs are counted by torch over one uncompiled step; utilisation is their number per second over ``--peak-tflops``
(H100 SXM: 989 dense bf16). What is computed in float32 counts as if it were bf16.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from napari_gimp.gimp.model import GiMP, ModelConfig
from napari_gimp.gimp.objectives import mask_patches, reconstruction_loss, triplet_loss

WIDTH = 1024
LABELS = 2


@dataclass(frozen=True, eq=False)
class Resident:
    """A cohort that lies on the device: bags, their places, profiles, labels."""

    embeddings: Float[Tensor, "S N D"]
    cells: Int[Tensor, "N 2"]
    genes: Float[Tensor, "S G"]
    labels: Int[Tensor, " S"]

    @classmethod
    def made_up(cls, slides: int, patches: int, genes: int, device: torch.device) -> Resident:
        """Random numbers of that shape, slide by slide: no second copy exists at any time."""
        generator = torch.Generator(device).manual_seed(0)
        kind = torch.bfloat16 if device.type == "cuda" else torch.float32
        embeddings = torch.empty(slides, patches, WIDTH, dtype=kind, device=device)
        for slide in embeddings:
            slide.normal_(generator=generator)
        profiles = torch.randn(slides, genes, generator=generator, device=device)
        labels = torch.arange(slides, device=device) % LABELS
        return cls(embeddings, grid(patches, device), profiles, labels)

    def epoch(self, batch: int, generator: torch.Generator) -> Iterator[Int[Tensor, " B"]]:
        """Every slide once, batches of one size (what is left over waits for the next epoch), classes in turns."""
        order = torch.randperm(len(self.labels) // LABELS, generator=generator, device=self.labels.device)
        mixed = (LABELS * order[:, None] + torch.arange(LABELS, device=order.device)).flatten()
        yield from mixed[: len(mixed) // batch * batch].view(-1, batch)


def grid(patches: int, device: torch.device) -> Int[Tensor, "N 2"]:
    """Rows and columns of a square of patches."""
    index, side = torch.arange(patches, device=device), max(1, round(patches**0.5))
    return torch.stack([index // side, index % side], dim=1)


def partners(labels: Int[Tensor, " B"], generator: torch.Generator) -> Int[Tensor, "B 2"]:
    """One random positive and negative for each anchor, without a look at the numbers (`draw_partners` copies them)."""
    same = labels[:, None] == labels
    itself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    chances = torch.rand(2, len(labels), len(labels), generator=generator, device=labels.device)
    allowed = torch.stack([same & ~itself, ~same])
    return torch.where(allowed, chances, -1.0).argmax(-1).T


class Losses(nn.Module):
    """What a pre-training step minimises: L1 at masked patches and triplets of [CLS_img; CLS_ge]."""

    def __init__(self, model: GiMP) -> None:
        super().__init__()
        self.aggregator, self.decoder = model.aggregator, model.decoder

    def forward(
        self,
        embeddings: Float[Tensor, "B N D"],
        cells: Int[Tensor, "B N 2"],
        masked: Bool[Tensor, "B N"],
        cls_genes: Float[Tensor, "B d"],
        labels: Int[Tensor, " B"],
        drawn: Int[Tensor, "B 2"],
    ) -> Float[Tensor, ""]:
        """Their sum."""
        image = self.aggregator(embeddings, cells, None, masked)
        target = self.aggregator.standardised(embeddings)
        rebuilt = reconstruction_loss(self.decoder(image.tokens).float(), target, masked)
        pairs = torch.cat([image.cls.float(), cls_genes], dim=1)
        return rebuilt + triplet_loss(pairs, labels, drawn).loss


class Training:
    """Pre-training steps on a resident cohort."""

    def __init__(self, config: ModelConfig, cohort: Resident, batch: int, steps: int, compiled: bool) -> None:
        device = cohort.labels.device
        torch.manual_seed(0)
        model = GiMP(config, embedding_dim=WIDTH, genes=cohort.genes.shape[1], classes=LABELS).to(device).train()
        self.model, self.cohort, self.batch, self.device = model, cohort, batch, device
        losses = Losses(model)
        self.weights = list(losses.parameters())
        self.losses: Callable[..., Tensor] = torch.compile(losses) if compiled else losses
        self.optimizer = torch.optim.AdamW(self.weights, 1e-4, weight_decay=1e-2, fused=device.type == "cuda")
        self.schedule = torch.optim.lr_scheduler.CosineAnnealingLR(self.optimizer, max(1, steps))
        self.generator = torch.Generator(device).manual_seed(1)
        self.cls_genes = torch.zeros(len(cohort.labels), config.d, device=device)

    @torch.no_grad()
    def encode_genes(self) -> None:
        """CLS_ge of all slides, from the frozen encoder."""
        encoder = self.model.gene_encoder
        assert encoder is not None
        encoder.eval()
        with torch.autocast(self.device.type, torch.bfloat16):
            for rows in torch.arange(len(self.cls_genes), device=self.device).split(64):
                self.cls_genes[rows] = encoder(self.model.gene_scaling(self.cohort.genes[rows])).cls.float()

    def step(self, rows: Int[Tensor, " B"]) -> Tensor:
        """One optimiser step; its loss stays on the device."""
        cohort, config = self.cohort, self.model.config
        embeddings, labels = cohort.embeddings[rows], cohort.labels[rows]
        cells, none_padded = (
            cohort.cells.expand(len(rows), -1, -1),
            torch.zeros_like(embeddings[..., 0], dtype=torch.bool),
        )
        masked = mask_patches(none_padded, config.mask, config.mask_ratio, self.generator)
        drawn = partners(labels, self.generator)
        with torch.autocast(self.device.type, torch.bfloat16):
            loss = self.losses(embeddings, cells, masked, self.cls_genes[rows], labels, drawn)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.weights, 1.0, foreach=True)
        self.optimizer.step()
        self.schedule.step()
        return loss.detach()

    def flops(self) -> float:
        """Floating point operations of one step, forward and backward."""
        rows = next(self.cohort.epoch(self.batch, self.generator))
        with FlopCounterMode(display=False) as counter:
            self.step(rows)
        return float(counter.get_total_flops())

    def epochs(self, count: int) -> tuple[Tensor, int]:
        """Losses (one per step, on the device) and the number of steps of so many epochs."""
        losses = [self.step(rows) for _ in range(count) for rows in self.cohort.epoch(self.batch, self.generator)]
        return torch.stack(losses), len(losses)


def wait(device: torch.device) -> None:
    """Until the device has done what it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def peak_gb(device: torch.device) -> float:
    """Most device memory that was in use since the last reset; NaN on the CPU."""
    return torch.cuda.max_memory_allocated(device) / 1e9 if device.type == "cuda" else float("nan")


def reset_peak(device: torch.device) -> None:
    """Count from here."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def bench_training(given: argparse.Namespace, device: torch.device) -> None:
    """Print what pre-training costs."""
    config = ModelConfig(d=given.d, window=given.patches)
    cohort = Resident.made_up(given.slides, given.patches, given.genes, device)
    per_epoch = len(cohort.labels) // LABELS * LABELS // given.batch
    if not per_epoch:
        raise SystemExit(f"Expected at least {given.batch} slides (--slides), found {given.slides}.")
    training = Training(config, cohort, given.batch, given.epochs * per_epoch + 4, given.compile)
    flops = Training(config, cohort, given.batch, 1, compiled=False).flops()
    start = time.perf_counter()
    for _ in range(3):
        training.step(next(cohort.epoch(given.batch, training.generator)))
    wait(device)
    warm = time.perf_counter() - start
    reset_peak(device)
    start = time.perf_counter()
    training.encode_genes()
    if device.type == "cuda":
        torch.cuda.set_sync_debug_mode("error")  # whatever waits for the device in the loop ends the benchmark
    losses, steps = training.epochs(given.epochs)
    if device.type == "cuda":
        torch.cuda.set_sync_debug_mode("default")
    wait(device)
    seconds = time.perf_counter() - start
    rate = flops * steps / seconds / 1e12
    print(f"pre-training, {given.slides} slides x {given.patches} x {WIDTH}, d {given.d}, {given.epochs} epochs, batch"
          f" {given.batch}: {seconds:.2f} s for {steps} steps ({1e3 * seconds / steps:.1f} ms a step), before that"
          f" {warm:.1f} s for compilation and 3 steps")  # fmt: skip
    print(f"  {flops / 1e12:.3f} TFLOP a step, {rate:.2f} TFLOP/s, utilisation {100 * rate / given.peak_tflops:.1f} %"
          f" of {given.peak_tflops:g} TFLOP/s; peak memory {peak_gb(device):.1f} GB")  # fmt: skip
    print(f"  loss: first {float(losses[0]):.4f}, last {float(losses[-1]):.4f}")


def bench_prediction(given: argparse.Namespace, device: torch.device) -> None:
    """Print what one forward pass with attention costs, bag and profile on the device."""
    torch.manual_seed(0)
    model = GiMP(ModelConfig(d=given.d), embedding_dim=WIDTH, genes=given.genes, classes=LABELS).to(device).eval()
    kind = torch.bfloat16 if device.type == "cuda" else torch.float32
    bag = torch.randn(1, given.long, WIDTH, device=device, dtype=kind)
    cells, genes = grid(given.long, device)[None], torch.randn(1, given.genes, device=device)

    def forward(run: Callable[..., Any]) -> Any:
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16):
            output = run(bag, cells, genes=genes)
            return output.logits, output.class_attention

    with FlopCounterMode(display=False) as counter:
        forward(model)
    run = torch.compile(model) if given.compile else model
    for _ in range(3):
        forward(run)
    wait(device)
    reset_peak(device)
    taken = [_timed(lambda: forward(run), device) for _ in range(given.repeats)]
    seconds = statistics.median(taken)
    rate = counter.get_total_flops() / seconds / 1e12
    print(f"prediction, {given.long} patches, d {given.d}, attention of all heads and layers: {1e3 * seconds:.1f} ms"
          f" (median of {given.repeats}), {rate:.2f} TFLOP/s, utilisation {100 * rate / given.peak_tflops:.1f} %,"
          f" peak memory {peak_gb(device):.1f} GB")  # fmt: skip


def _timed(work: Callable[[], Any], device: torch.device) -> float:
    start = time.perf_counter()
    work()
    wait(device)
    return time.perf_counter() - start


def main() -> None:
    """Print both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--slides", type=int, default=567)
    parser.add_argument("--patches", type=int, default=6000)
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--genes", type=int, default=60_480)
    parser.add_argument("--d", type=int, default=512)
    parser.add_argument("--long", type=int, default=None, help="patches of the prediction (150,000; a CPU: 5,000)")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--peak-tflops", type=float, default=989.0)
    parser.add_argument("--compile", action=argparse.BooleanOptionalAction, default=None, help="default: on a GPU")
    given = parser.parse_args()
    device = torch.device(given.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise SystemExit("Expected a CUDA device, found none; --device cpu runs a small one.")
    given.compile = device.type == "cuda" if given.compile is None else given.compile
    given.long = given.long or (150_000 if device.type == "cuda" else 5_000)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    print(f"{name}; torch {torch.__version__}; {'compiled' if given.compile else 'not compiled'}")
    bench_training(given, device)
    bench_prediction(given, device)


if __name__ == "__main__":
    main()
