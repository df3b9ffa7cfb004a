"""Multi-head attention whose first token is the class token: exact, and Nystrom with the same weights.

Both return the attended tokens and the class token's row of attention, which is computed as that one row:
no N x N matrix is ever formed. Nystrom attention: Xiong et al., AAAI 2021, arXiv 2102.03902.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

CHUNK_TOKENS = 8192  # bounds the feed-forward layer's memory: 8192 x 2048 float32 = 64 MB at the paper's sizes
FLOAT32_ITERATIONS = 8
"""Up to so many steps of the pseudo-inverse float32 loses at most 5e-6 of the attended values, and costs half."""


def in_chunks(step: Callable[[Tensor], Tensor], tokens: Tensor) -> Tensor:
    """Apply a step that treats tokens (B, T, ...) one by one to stretches of them, to bound the peak of memory."""
    if tokens.shape[1] <= CHUNK_TOKENS:
        return step(tokens)
    return torch.cat([step(chunk) for chunk in torch.split(tokens, CHUNK_TOKENS, dim=1)], dim=1)


class Attention(nn.Module):
    """Exact multi-head self-attention through ``scaled_dot_product_attention``.

    Parameters
    ----------
    d, heads
        Width of a token and the number of heads that share it.
    """

    def __init__(self, d: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(d, 3 * d)
        self.out = nn.Linear(d, d)

    def forward(
        self, tokens: Float[Tensor, "B T d"], padding: Bool[Tensor, "B T"] | None = None
    ) -> tuple[Float[Tensor, "B T d"], Float[Tensor, "B H T"]]:
        """Attended tokens, and the row of the class token (token 0) over all tokens, without gradient.

        ``padding`` is True where a token is not real: nothing attends to it (its own output means nothing).
        """
        return self.exact(tokens, padding)

    def exact(
        self, tokens: Float[Tensor, "B T d"], padding: Bool[Tensor, "B T"] | None
    ) -> tuple[Float[Tensor, "B T d"], Float[Tensor, "B H T"]]:
        """As ``forward``, always with exact attention."""
        query, key, value = self.project(tokens)
        real = None if padding is None else ~padding[:, None, None]
        attended = F.scaled_dot_product_attention(query, key, value, attn_mask=real)
        with torch.no_grad():
            row = affinity(query[:, :, :1], key, real)[:, :, 0]
        return self.merge(attended), row

    def project(self, tokens: Float[Tensor, "B T d"]) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values, each (B, H, T, d / H)."""
        query, key, value = self.qkv(tokens).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return query, key, value

    def merge(self, attended: Float[Tensor, "B H T e"]) -> Float[Tensor, "B T d"]:
        """Heads side by side, through the output projection."""
        merged: Tensor = self.out(attended.transpose(1, 2).flatten(2))
        return merged


class NystromAttention(Attention):
    """Attention in O(m N) through m landmarks: means over segments of consecutive real patches.

    The class token is a landmark of its own: its query is like no patch's, and averaged into a segment the read-out
    row would be blurred. Padding belongs to no segment, and a bag of n < m patches has n landmarks, so that padding
    never changes a result. With m >= n the approximation becomes exact as the iterations grow.

    Parameters
    ----------
    d, heads
        As in `Attention`: the weights are the same.
    landmarks, iterations
        m, and the steps of the iterative pseudo-inverse.
    exact_up_to
        Bags of at most so many real patches are attended exactly. Decided bag by bag, never by the batch's length.
    """

    def __init__(self, d: int, heads: int, landmarks: int, iterations: int, exact_up_to: int = 0) -> None:
        super().__init__(d, heads)
        self.landmarks, self.iterations, self.exact_up_to = landmarks, iterations, exact_up_to

    def forward(
        self, tokens: Float[Tensor, "B T d"], padding: Bool[Tensor, "B T"] | None = None
    ) -> tuple[Float[Tensor, "B T d"], Float[Tensor, "B H T"]]:
        """As `Attention.forward`; a Nystrom row may hold slightly negative values and not sum to 1."""
        if padding is None:
            path = self.exact if tokens.shape[1] - 1 <= self.exact_up_to else self.nystrom
            return path(tokens, None)
        is_short = (~padding[:, 1:]).sum(1) <= self.exact_up_to
        if bool(is_short.all()):
            return self.exact(tokens, padding)
        if not bool(is_short.any()):
            return self.nystrom(tokens, padding)
        short, long = is_short.nonzero()[:, 0], (~is_short).nonzero()[:, 0]
        parts = self.exact(tokens[short], padding[short]), self.nystrom(tokens[long], padding[long])
        order = torch.cat([short, long]).argsort()
        return torch.cat([part[0] for part in parts])[order], torch.cat([part[1] for part in parts])[order]

    def nystrom(
        self, tokens: Float[Tensor, "B T d"], padding: Bool[Tensor, "B T"] | None
    ) -> tuple[Float[Tensor, "B T d"], Float[Tensor, "B H T"]]:
        """softmax(q k_m) pinv(softmax(q_m k_m)) softmax(q_m k) v, multiplied from the right: nothing is (T, T)."""
        means, valid = segment_means(tokens, padding, self.landmarks)
        real = None if padding is None else ~padding[:, None, None]
        query, key, value = self.project(tokens)
        query_m, key_m, _ = self.project(means)
        inverse = pseudo_inverse(
            affinity(query_m, key_m, valid[:, None, None]) * valid[:, None, :, None], self.iterations
        )
        gathered = F.scaled_dot_product_attention(query_m, key, value, attn_mask=real)
        gathered = (inverse @ gathered.to(inverse.dtype)).to(gathered.dtype)
        attended = F.scaled_dot_product_attention(query, key_m, gathered, attn_mask=valid[:, None, None])
        with torch.no_grad():
            to_landmarks = affinity(query[:, :, :1], key_m, valid[:, None, None]).to(inverse.dtype) @ inverse
            row = landmark_rows(to_landmarks.float(), query_m, key, real)
        return self.merge(attended), row


def affinity(
    query: Float[Tensor, "B H Q e"], key: Float[Tensor, "B H T e"], real: Bool[Tensor, "B 1 1 T"] | None
) -> Float[Tensor, "B H Q T"]:
    """softmax(q k / sqrt(e)) over the real keys, in float32."""
    logits: Tensor = (query @ key.transpose(-1, -2)).float() * query.shape[-1] ** -0.5
    if real is not None:
        logits = logits.masked_fill(~real, float("-inf"))
    return logits.softmax(-1)


def landmark_rows(
    weights: Float[Tensor, "B H 1 M"],
    query_m: Float[Tensor, "B H M e"],
    key: Float[Tensor, "B H T e"],
    real: Bool[Tensor, "B 1 1 T"] | None,
) -> Float[Tensor, "B H T"]:
    """weights x softmax(q_m k) in float32, head by head: at most one (M, T) matrix exists at a time."""
    with torch.autocast(key.device.type, enabled=False):
        rows = [
            weights[:, h : h + 1] @ affinity(query_m[:, h : h + 1], key[:, h : h + 1], real)
            for h in range(key.shape[1])
        ]
    return torch.cat(rows, dim=1)[:, :, 0]


def segment_means(
    tokens: Float[Tensor, "B T d"], padding: Bool[Tensor, "B T"] | None, landmarks: int
) -> tuple[Float[Tensor, "B M d"], Bool[Tensor, "B M"]]:
    """The class token and the means of ``landmarks`` segments of consecutive real patches; which of them exist.

    M = 1 + min(landmarks, T - 1). Segments differ in length by at most one patch. As queries and keys are linear in
    the tokens, the landmarks of queries and of keys are the projections of these means.
    """
    batch, length, d = tokens.shape
    real = tokens.new_ones(batch, length - 1, dtype=torch.bool) if padding is None else ~padding[:, 1:]
    most = min(landmarks, length - 1)
    count = real.sum(1, keepdim=True)
    used = count.clamp(max=most)
    segment = (real.cumsum(1) - 1) * used // count.clamp(min=1)
    segment = segment.masked_fill(~real, most) + torch.arange(batch, device=tokens.device)[:, None] * (most + 1)
    sums = tokens.new_zeros(batch * (most + 1), d).index_add(0, segment.flatten(), tokens[:, 1:].flatten(0, 1))
    ones = torch.ones_like(segment.flatten())
    sizes = segment.new_zeros(batch * (most + 1)).index_add(0, segment.flatten(), ones)  # bincount waits for a GPU
    means = (sums / sizes.clamp(min=1)[:, None].to(sums.dtype)).view(batch, most + 1, d)[:, :most]
    exists = torch.arange(most, device=tokens.device) < used
    return torch.cat([tokens[:, :1], means], dim=1), F.pad(exists, (1, 0), value=True)


def pseudo_inverse(matrix: Float[Tensor, "B H M M"], iterations: int) -> Float[Tensor, "B H M M"]:
    """Moore-Penrose pseudo-inverse by the third-order iteration of the Nystromformer.

    Scaled matrix by matrix, so that neither another bag nor another head changes a result; rows and columns of zeros
    (landmarks that do not exist) stay zero. Beyond `FLOAT32_ITERATIONS` in float64 where the device has it: landmarks
    resemble one another, and in float32 the iteration leaves the inverse of such a matrix again after some 20 steps.
    """
    has_double = matrix.device.type != "mps"
    precise = torch.float64 if has_double and iterations > FLOAT32_ITERATIONS else torch.float32
    with torch.autocast(matrix.device.type, enabled=False):
        flat = matrix.to(precise).flatten(0, 1)
        sums = flat.sum(-1).amax(-1) * flat.sum(-2).amax(-1)
        inverse: Tensor = flat.transpose(-1, -2) / sums[:, None, None]
        eye = torch.eye(flat.shape[-1], dtype=precise, device=flat.device)[None]
        for _ in range(iterations):
            product = flat @ inverse
            inner = torch.baddbmm(eye, product, 1.75 * eye - 0.25 * product, beta=-3.75)
            inverse = inverse @ torch.baddbmm(eye, product, inner, beta=3.25)
    return inverse.view_as(matrix)


class Block(nn.Module):
    """Pre-LN transformer block: attention and feed-forward layer, each with its residual."""

    def __init__(self, attention: Attention, d: int, ffn: int, dropout: float) -> None:
        super().__init__()
        self.norm_attention = nn.LayerNorm(d)
        self.attention = attention
        self.dropout = nn.Dropout(dropout)
        self.feed_forward = nn.Sequential(
            nn.LayerNorm(d), nn.Linear(d, ffn * d), nn.GELU(), nn.Dropout(dropout), nn.Linear(ffn * d, d)
        )

    def forward(
        self, tokens: Float[Tensor, "B T d"], padding: Bool[Tensor, "B T"] | None = None
    ) -> tuple[Float[Tensor, "B T d"], Float[Tensor, "B H T"]]:
        """Tokens one block on, and the class token's row of attention."""
        attended, class_row = self.attention(self.norm_attention(tokens), padding)
        tokens = tokens + self.dropout(attended)
        del attended
        return in_chunks(lambda chunk: chunk + self.dropout(self.feed_forward(chunk)), tokens), class_row
