"""Where everything lies on a synthetic slide: smooth maps at a quarter of its size, before a pixel is painted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from PIL import Image, ImageDraw
from scipy.ndimage import distance_transform_edt, gaussian_filter
from shapely import Polygon, get_parts
from shapely.affinity import translate

from napari_gimp.synthetic.case import SyntheticCase
from napari_gimp.synthetic.noise import cells, enlarge, smooth_noise

MPP = 0.5
"""um per level-0 pixel of every synthetic slide."""
DOWN = 4
"""Level-0 pixels per pixel of the maps."""

Map = Float[np.ndarray, "h w"]


@dataclass(frozen=True, eq=False)
class Layout:
    """Maps (h, w) float32 at a quarter of the slide; distances in level-0 pixels, positive inside.

    ``alveoli``, ``glands``, ``nests``: distance to the border of the cell; ``wall`` and ``lumen``: up to where a cell
    is wall and from where it is lumen; ``pearl``: 0..1 of each nest; ``glandular``: > 0 where the tumour forms glands;
    ``crowd``: density of lymphocytes; ``vessel``: depth in the lumen of a vessel; ``fold``, ``pen``: 0..1.
    ``tumour_area`` is the known answer, in x, y level-0 pixels.
    """

    shape_yx: tuple[int, int]
    tissue: Map
    tumour: Map
    alveoli: Map
    wall: Map
    glands: Map
    lumen: Map
    nests: Map
    pearl: Map
    glandular: Map
    crowd: Map
    vessel: Map
    thickness: Map
    fibre_y: Map
    fibre_x: Map
    fold: Map
    pen: Map
    tumour_area: Polygon

    def maps(self) -> dict[str, Map]:
        """The maps by name."""
        return {name: value for name, value in vars(self).items() if isinstance(value, np.ndarray)}


def lay_out(case: SyntheticCase, shape_yx: tuple[int, int], artefacts: bool = True) -> Layout:
    """Draw the plan of a case's slide of ``shape_yx`` level-0 pixels, with pen mark and fold if wanted."""
    random = case.random(0)
    tissue, tumour = outlines(case, random, shape_yx)
    small = (-(-shape_yx[0] // DOWN), -(-shape_yx[1] // DOWN))
    ragged = smooth_noise(random, small, 12.0)
    inside = _depth(tumour, shape_yx) + 10 * ragged
    pen, fold = (
        _artefacts(case.random(4), shape_yx, tissue, tumour) if artefacts else (np.zeros(small, np.float32),) * 2
    )
    return Layout(
        shape_yx,
        tissue=_depth(tissue, shape_yx) + 14 * ragged + 26 * smooth_noise(random, small, 60.0),
        tumour=inside,
        glandular=_glandular(random, small, inside, case.gland_share),
        crowd=_crowd(random, shape_yx),
        vessel=_vessels(random, shape_yx, tumour),
        thickness=1 + np.float32(0.07) * smooth_noise(random, small, 150.0),
        fibre_y=110 * smooth_noise(random, small, 70.0),
        fibre_x=110 * smooth_noise(random, small, 70.0),
        fold=fold,
        pen=pen,
        tumour_area=tumour,
        **_architecture(random, small, inside),
    )


def outlines(case: SyntheticCase, random: np.random.Generator, shape_yx: tuple[int, int]) -> tuple[Polygon, Polygon]:
    """The tissue's outline and the tumour's within it, in x, y level-0 pixels."""
    height, width = shape_yx
    radius = 0.42 * min(shape_yx)
    tissue = _blob(random, (width / 2, height / 2), (radius * width / min(shape_yx), radius), 0.11)
    own = radius * np.sqrt(case.tumour_share)
    angle, away = random.uniform(0, 2 * np.pi), 0.75 * (radius - own)
    blob = _blob(random, (0.0, 0.0), (own * random.uniform(0.95, 1.2), own), 0.13)
    moved = translate(blob, width / 2 + away * np.cos(angle), height / 2 + away * np.sin(angle))
    return tissue, max(get_parts(moved.intersection(tissue.buffer(-0.03 * radius))), key=lambda part: part.area)


def _blob(
    random: np.random.Generator, centre_xy: tuple[float, float], radii_xy: tuple[float, float], wobble: float
) -> Polygon:
    """An irregular round outline: an ellipse whose radius sways at a dozen frequencies."""
    angle = np.linspace(0, 2 * np.pi, 128, endpoint=False)
    sway = sum(
        random.normal(0, wobble / k**0.9) * np.cos(k * angle + random.uniform(0, 2 * np.pi)) for k in range(2, 12)
    )
    reach = np.clip(1 + sway, 0.6, 1.15)
    points = np.stack([radii_xy[0] * reach * np.cos(angle), radii_xy[1] * reach * np.sin(angle)], axis=1)
    return Polygon(points + centre_xy).buffer(0)


def _depth(area: Polygon, shape_yx: tuple[int, int]) -> Map:
    """Signed distance to the area's border (h, w) in level-0 pixels, positive inside."""
    coarse = 4 * DOWN
    canvas = Image.new("1", (-(-shape_yx[1] // coarse), -(-shape_yx[0] // coarse)))
    ImageDraw.Draw(canvas).polygon([(x / coarse, y / coarse) for x, y in area.exterior.coords], fill=1)
    mask = np.asarray(canvas)
    depth = (distance_transform_edt(mask) - distance_transform_edt(~mask)) * coarse
    small = (-(-shape_yx[0] // DOWN), -(-shape_yx[1] // DOWN))
    return enlarge(gaussian_filter(depth.astype(np.float32), 1), small)


def _architecture(random: np.random.Generator, small: tuple[int, int], inside: Map) -> dict[str, Map]:
    """Alveoli everywhere, glands and nests where the tumour is; which of them shows is decided when painting."""
    y, x = (np.mgrid[: small[0], : small[1]] * DOWN).astype(np.float32)
    near, far = smooth_noise(random, small, 14.0), smooth_noise(random, small, 45.0)
    bent_y, bent_x = y + 14 * near + 30 * far, x + 14 * smooth_noise(random, small, 14.0) - 30 * far
    dense = np.clip(smooth_noise(random, small, 200.0) - 0.7, 0, 0.8)
    maps = {name: np.zeros(small, np.float32) for name in ("glands", "lumen", "nests", "pearl")}
    rows, columns = (np.flatnonzero((inside > 0).any(axis=axis)) for axis in (1, 0))
    if len(rows):
        box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
        glands, size = cells(random, bent_y[box], bent_x[box], 150.0)
        nests, maps["pearl"][box] = cells(random, bent_y[box], 0.8 * bent_x[box], 330.0)
        maps["glands"][box], maps["lumen"][box] = glands + 3 * near[box], 40 + 34 * size
        maps["nests"][box] = nests + 6 * near[box]
    alveoli, _ = cells(random, bent_y, bent_x, 200.0)
    return {"alveoli": alveoli, "wall": 10.5 + 2.5 * near + 3.5 * far + 90 * dense, **maps}


def _glandular(random: np.random.Generator, small: tuple[int, int], inside: Map, share: float) -> Map:
    """Positive on ``share`` of the tumour, in patches of a few hundred um."""
    field = smooth_noise(random, small, 110.0)
    tumour = field[inside > 0]
    return field - np.float32(np.quantile(tumour, 1 - share) if tumour.size else 0)


def _crowd(random: np.random.Generator, shape_yx: tuple[int, int]) -> Map:
    """Lymphoid aggregates: dense, dark, blue and no tumour, so that darkness alone misleads."""
    coarse = 4 * DOWN
    field = np.zeros((-(-shape_yx[0] // coarse), -(-shape_yx[1] // coarse)), np.float32)
    y, x = np.ogrid[: field.shape[0], : field.shape[1]]
    for _ in range(random.poisson(shape_yx[0] * shape_yx[1] / 1.2e6)):
        centre, size = random.uniform(0, 1, 2) * field.shape, random.uniform(50, 150) / coarse
        field = np.maximum(field, np.exp(-((y - centre[0]) ** 2 + (x - centre[1]) ** 2) / (2 * size**2)))
    small = (-(-shape_yx[0] // DOWN), -(-shape_yx[1] // DOWN))
    return enlarge(field.astype(np.float32), small) + np.float32(0.1) * smooth_noise(random, small, 24.0)


def _vessels(random: np.random.Generator, shape_yx: tuple[int, int], tumour: Polygon) -> Map:
    """Depth within the lumen of the nearest vessel, in level-0 pixels; vessels keep away from the tumour's middle."""
    small = (-(-shape_yx[0] // DOWN), -(-shape_yx[1] // DOWN))
    depth = np.full(small, -9e3, np.float32)
    y, x = (np.ogrid[: small[0], : small[1]][k] * np.float32(DOWN) for k in (0, 1))
    for _ in range(1 + random.poisson(shape_yx[0] * shape_yx[1] / 4e6)):
        centre = random.uniform(0.12, 0.88, 2) * shape_yx
        radius, squash = random.uniform(30, 110), random.uniform(0.65, 1.5)
        reach = np.sqrt((y - np.float32(centre[0])) ** 2 * squash + (x - np.float32(centre[1])) ** 2 / squash)
        depth = np.maximum(depth, np.float32(radius) - reach)
    return np.asarray(depth + 7 * smooth_noise(random, small, 16.0) - 400 * (_depth(tumour, shape_yx) > 60))


def _artefacts(
    random: np.random.Generator, shape_yx: tuple[int, int], tissue: Polygon, tumour: Polygon
) -> tuple[Map, Map]:
    """A stroke of ink along the tissue's edge, away from the tumour, and a fold across the tissue."""
    height, width = shape_yx
    middle, other = np.array([width / 2, height / 2]), np.asarray(tumour.centroid.coords[0])
    angle = np.arctan2(*(middle - other)[::-1]) + np.linspace(-0.35, 0.35, 24)
    reach = 1.06 * np.asarray([width, height]) * 0.42 * (1 + 0.03 * np.sin(9 * angle))[:, None]
    ink = middle + reach * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    side = random.uniform(0.25, 0.4) * (middle - other) + random.normal(0, 0.02, 2) * (width, height)
    along = random.uniform(0, np.pi)
    length = np.linspace(-0.16, 0.16, 24)[:, None] * min(shape_yx)
    bow = 0.02 * min(shape_yx) * np.sin(np.linspace(0, np.pi, 24))[:, None]
    fold = middle + side + length * (np.cos(along), np.sin(along)) + bow * (-np.sin(along), np.cos(along))
    return _stroke(ink, shape_yx, 0.028 * min(shape_yx)), _stroke(fold, shape_yx, 80.0)


def _stroke(points_xy: Float[np.ndarray, "n 2"], shape_yx: tuple[int, int], width_px: float) -> Map:
    """A soft-edged line (h, w), 0..1, thinner towards its ends."""
    small = (-(-shape_yx[0] // DOWN), -(-shape_yx[1] // DOWN))
    canvas = Image.new("L", (small[1], small[0]))
    draw = ImageDraw.Draw(canvas)
    dense = np.linspace(0, len(points_xy) - 1, 400)
    for t in dense:
        x, y = (np.interp(t, np.arange(len(points_xy)), points_xy[:, k]) / DOWN for k in (0, 1))
        r = width_px / DOWN / 2 * (0.35 + 0.65 * np.sin(np.pi * t / (len(points_xy) - 1)) ** 0.5)
        draw.ellipse((x - r, y - r, x + r, y + r), fill=255)
    return np.asarray(gaussian_filter(np.asarray(canvas, np.float32) / np.float32(255), 1.2))
