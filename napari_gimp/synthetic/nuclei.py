"""Nuclei: what they look like, where they lie, and stamping them into the haematoxylin picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from scipy.ndimage import gaussian_filter

from napari_gimp.synthetic.case import SyntheticCase
from napari_gimp.synthetic.layout import DOWN, Layout

HALF_PX = 22
"""Half the side of a stamp: no nucleus reaches further."""
UNIT = 100
"""Stain of one unit in the 8-bit stain pictures."""
ANGLES, SHAPES = 16, 8
CAPSULE_PX = 24
"""Width of the stroma around a tumour."""


@dataclass(frozen=True)
class Nucleus:
    """A kind of nucleus: semi-axes in level-0 pixels, haematoxylin, and how much shape, chromatin and nucleoli vary."""

    long_px: float
    short_px: float
    stain: float
    pleomorphism: float
    chromatin: float
    nucleolus: float = 0.0


def kinds_of(case: SyntheticCase) -> dict[str, Nucleus]:
    """The kinds of nuclei on the case's slide; those of the tumour follow the case."""
    size, stain = case.nucleus_px, case.chromatin
    return {
        "lining": Nucleus(7.5, 3.6, 0.72, 0.15, 0.10),
        "spindle": Nucleus(13.0, 3.2, 0.70, 0.2, 0.08),
        "lymphocyte": Nucleus(6.3, 5.8, 1.0, 0.08, 0.16),
        "gland": Nucleus(1.1 * size, 0.82 * size, 0.72 * stain, 0.13, 0.12, 0.30),
        "nest": Nucleus(1.12 * size, 0.92 * size, 0.86 * stain, 0.24, 0.20, 0.12),
    }


def stamps_of(nucleus: Nucleus, random: np.random.Generator) -> UInt8[np.ndarray, "16 8 side side"]:
    """Pictures of one kind at 16 angles (half a turn) and in 8 shapes, as haematoxylin in 8 bits."""
    y, x = np.mgrid[-HALF_PX : HALF_PX + 1, -HALF_PX : HALF_PX + 1].astype(np.float32)
    stamps = np.empty((ANGLES, SHAPES, *y.shape), np.uint8)
    for a in range(ANGLES):
        turn = np.pi * a / ANGLES
        along, across = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
        for s in range(SHAPES):
            stamps[a, s] = _stamp(nucleus, random, along, across)
    return stamps


def _stamp(
    nucleus: Nucleus,
    random: np.random.Generator,
    along: Float[np.ndarray, "side side"],
    across: Float[np.ndarray, "side side"],
) -> UInt8[np.ndarray, "side side"]:
    scale = np.exp(random.normal(0, nucleus.pleomorphism, 2))
    long, short = np.minimum([nucleus.long_px * scale[0], nucleus.short_px * scale[1]], HALF_PX / 1.2)
    angle = np.arctan2(across / short, along / long)
    bumps = sum(
        random.normal(0, 0.25 * nucleus.pleomorphism) * np.cos(k * angle + random.uniform(0, 7)) for k in (2, 3)
    )
    depth = 1 - np.hypot(along / long, across / short) * (1 + bumps)
    body = np.clip(depth * short / 1.8 + 0.5, 0, 1)
    rim = np.exp(-(((depth * short - 1.2) / 1.5) ** 2))
    clumps = gaussian_filter(random.standard_normal(along.shape), 1.3) * 4
    spot = random.uniform(-0.35, 0.35, 2) * (long, short)
    nucleolus = np.exp(-((along - spot[0]) ** 2 + (across - spot[1]) ** 2) / (2 * 1.9**2))
    stain = nucleus.stain * (0.86 + 0.2 * rim) + nucleus.chromatin * clumps + nucleus.nucleolus * nucleolus
    return np.asarray(np.clip(body * stain, 0, 2.5) * UNIT, np.uint8)


def scatter(
    random: np.random.Generator, shape_yx: tuple[int, int], spacing_px: float, jitter: float = 0.36
) -> Int[np.ndarray, "n 2"]:
    """Points (y, x) of a jittered honeycomb over the slide: about even, never in rows, hardly overlapping."""
    rows = np.arange(0, shape_yx[0], spacing_px * 0.87)
    columns = np.arange(0, shape_yx[1], spacing_px)
    y, x = np.meshgrid(rows, columns, indexing="ij")
    x = x + (np.arange(len(rows)) % 2)[:, None] * spacing_px / 2
    points = np.stack([y.ravel(), x.ravel()], axis=1) + random.normal(0, jitter * spacing_px / 1.7, (y.size, 2))
    return np.clip(points, 0, np.asarray(shape_yx) - 1).astype(np.int64)


Places = tuple[Int[np.ndarray, "_ 2"], Int[np.ndarray, " _"]]


def place(layout: Layout, random: np.random.Generator) -> dict[str, Places]:
    """Kind -> places (n, 2) and angle steps (n,), each where its tissue is."""
    spacing = {"lining": 13.0, "spindle": 30.0, "lymphocyte": 13.5, "gland": 17.5, "nest": 23.0}
    found: dict[str, Places] = {}
    for kind, step_px in spacing.items():
        points = scatter(random, layout.shape_yx, step_px)
        here = {name: field[points[:, 0] // DOWN, points[:, 1] // DOWN] for name, field in layout.maps().items()}
        keep = (here["tissue"] > 8) & _belongs(kind, here, random)
        found[kind] = (points[keep], _angles(kind, layout, points[keep], random))
    return found


def _belongs(
    kind: str, here: dict[str, Float[np.ndarray, " n"]], random: np.random.Generator
) -> Bool[np.ndarray, " n"]:
    """Whether each point is in the tissue of this kind of nucleus, and not left out by chance."""
    chance = random.random(len(here["tissue"]))
    tumour, gland = here["tumour"] > 0, here["glandular"] > 0
    open_vessel = here["vessel"] > -26
    septum = np.where(gland, here["glands"] < 9, here["nests"] < 13) | (here["tumour"] < CAPSULE_PX)
    inner = here["tumour"] > CAPSULE_PX + 7
    match kind:
        case "lining":
            dense = here["wall"] > 25
            in_wall = ~tumour & ~open_vessel & (here["alveoli"] < here["wall"] - 2)
            kept = in_wall & (chance < np.where(dense, 0.4, 0.62))
        case "spindle":
            kept = ((tumour & septum) | (np.abs(here["vessel"] + 12) < 11)) & (chance < 0.75)
        case "lymphocyte":
            solid_ground = np.where(tumour, septum, here["alveoli"] < here["wall"]) | (here["crowd"] > 0.35)
            rim = 0.10 * np.exp(-((here["tumour"] / 120) ** 2))
            kept = ~open_vessel & solid_ground & (chance < 0.03 + rim + 1.5 * (here["crowd"] - 0.25))
        case "gland":
            lined = (here["glands"] > 12) & (here["glands"] < np.minimum(here["lumen"] - 7, 34))
            kept = inner & gland & lined & (here["crowd"] < 0.4)
        case _:
            pearl = (here["pearl"] > 0.8) & (here["nests"] > 60)
            kept = inner & ~gland & (here["nests"] > 18) & ~pearl & (chance < 0.93) & (here["crowd"] < 0.4)
    return np.asarray(kept)


def _angles(
    kind: str, layout: Layout, points: Int[np.ndarray, "n 2"], random: np.random.Generator
) -> Int[np.ndarray, " n"]:
    """Lining nuclei lie along their wall, those of glands across it, spindles along the fibres."""
    field = {"lining": layout.alveoli, "gland": layout.glands, "spindle": layout.fibre_y}.get(kind)
    if field is None:
        return random.integers(0, ANGLES, len(points))
    y, x = np.clip(points // DOWN, 2, np.asarray(field.shape) - 3).T
    down, right = field[y + 2, x] - field[y - 2, x], field[y, x + 2] - field[y, x - 2]
    if kind == "spindle":
        down = down + 4 * DOWN
    across = np.arctan2(down, right) + (0 if kind == "gland" else np.pi / 2)
    turned = across + random.normal(0, 0.25, len(points))
    return np.asarray(np.round(turned / np.pi * ANGLES), np.int64) % ANGLES


def stamp(haematoxylin: UInt8[np.ndarray, "H W"], case: SyntheticCase, layout: Layout) -> None:
    """Press all nuclei into the picture, in place: the picture has a border of ``HALF_PX`` around the slide."""
    random = case.random(1)
    placed = place(layout, random)
    side = 2 * HALF_PX + 1
    for kind, nucleus in kinds_of(case).items():
        pictures = stamps_of(nucleus, random)
        points, angles = placed[kind]
        shapes = random.integers(0, SHAPES, len(points))
        for (y, x), a, s in zip(points.tolist(), angles.tolist(), shapes.tolist(), strict=True):
            window = haematoxylin[y : y + side, x : x + side]
            np.maximum(window, pictures[a, s], out=window)
