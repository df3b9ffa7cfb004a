"""Tissue against outlines drawn by hand on three real slides, and against what must never be tissue."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from napari_gimp.regions import read_geojson, regions_to_mask
from napari_gimp.settings import InputError
from napari_gimp.slides.patches import cut_patches
from napari_gimp.slides.pyramid import Slide, open_slide
from napari_gimp.slides.qc import OUTLINE_RGB, qc_picture
from napari_gimp.slides.spool import WholePicture
from napari_gimp.slides.tiles import Level, SlideTiles, TileCache
from napari_gimp.slides.tissue import TissueSettings, detect_tissue, tissue_of
from napari_gimp.types import PatchSpec, SlideFacts, Tissue

DRAWN = Path(__file__).parent / "data" / "tissue"
ASSUMED_MPP = 0.5
"""TCGA-CR-7395 and the flat pictures do not say their pixel size."""
GLASS, EOSIN, NUCLEI = (244, 243, 245), (226, 168, 200), (118, 78, 150)
INK = {"blue": (30, 50, 170), "navy": (30, 30, 90), "green": (0, 120, 70), "red": (200, 30, 40), "black": (25, 22, 28)}


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return float(2 * (a & b).sum() / (a.sum() + b.sum()))


@pytest.fixture(scope="module")
def section() -> tuple[np.ndarray, np.ndarray]:
    """A pink section with nuclei on glass, 300 x 400 px at 8 um, and where it is."""
    rng = np.random.default_rng(3)
    where = np.zeros((300, 400), bool)
    where[100:200, 60:220] = True
    colours = np.where(rng.random((300, 400, 1)) < 0.2, NUCLEI, EOSIN)
    noisy = np.where(where[..., None], colours, GLASS) + rng.normal(0, 2, (300, 400, 3))
    return noisy.clip(0, 255).astype(np.uint8), where


@pytest.mark.parametrize(
    ("file", "mpp"),
    [("lung_scc_HE3.tif", None), ("CMU-1-Small-Region.svs", None), ("TCGA-CR-7395-01A-01-TS1.svs", ASSUMED_MPP)],
)
def test_agrees_with_tissue_drawn_by_hand(shared: Path, file: str, mpp: float | None) -> None:
    with open_slide(shared / "slides" / file, mpp=mpp) as slide:
        tissue = tissue_of(slide, TissueSettings())
    drawn = regions_to_mask(
        read_geojson(DRAWN / f"{Path(file).stem}.geojson"), tissue.slide_shape_yx, tissue.mask.shape
    )
    assert dice(tissue.mask, drawn) >= 0.95


def test_flat_picture_with_a_tiny_piece_gives_one_patch(shared: Path) -> None:
    with open_slide(shared / "slides" / "odd" / "histolab_kidney-48-5.tif", mpp=ASSUMED_MPP) as slide:
        tissue = tissue_of(slide, TissueSettings())
        grid = cut_patches(tissue, slide.facts, PatchSpec())
    assert 0 < tissue.mask.mean() < 0.01
    assert grid.coords_yx.tolist() == [[512, 256]]


def test_a_picture_without_glass_is_all_tissue(shared: Path) -> None:
    tiles = [path for kind in sorted((shared / "lung_patches").iterdir()) for path in sorted(kind.glob("*"))[:8]]
    shares = [detect_tissue(np.asarray(Image.open(p).convert("RGB")), ASSUMED_MPP, TissueSettings()) for p in tiles]
    assert len(shares) == 24
    assert all(share.all() for share in shares)


def test_finds_a_section_and_nothing_else(section: tuple[np.ndarray, np.ndarray]) -> None:
    picture, where = section
    assert dice(detect_tissue(picture, 8.0, TissueSettings()), where) > 0.99


def test_looks_at_its_own_resolution_and_answers_in_the_levels(section: tuple[np.ndarray, np.ndarray]) -> None:
    picture, where = (np.repeat(np.repeat(array, 4, axis=0), 4, axis=1) for array in section)
    assert np.array_equal(
        detect_tissue(picture, 2.0, TissueSettings())[::4, ::4], detect_tissue(section[0], 8.0, TissueSettings())
    )
    assert dice(detect_tissue(picture, 2.0, TissueSettings()), where) > 0.99


@pytest.mark.parametrize("tint", [(0.95, 0.93, 0.86), (0.82, 0.82, 0.82), (0.94, 0.95, 1.0)])
def test_yellow_grey_or_bluish_glass_is_still_glass(section: tuple[np.ndarray, np.ndarray], tint: tuple) -> None:
    picture, where = section
    assert dice(detect_tissue((picture * np.array(tint)).astype(np.uint8), 8.0, TissueSettings()), where) > 0.98


@pytest.mark.parametrize("pen", INK)
def test_pen_marks_are_left_out_unless_asked_for(section: tuple[np.ndarray, np.ndarray], pen: str) -> None:
    picture, where = section
    marked = _with_line(picture, [(40, 30), (200, 50), (380, 20)], INK[pen], 14)
    assert dice(detect_tissue(marked, 8.0, TissueSettings()), where) > 0.98
    if pen != "black":
        assert dice(detect_tissue(marked, 8.0, TissueSettings(reject_ink=False)), where) < 0.9


def test_pen_across_tissue_costs_only_what_it_covers(section: tuple[np.ndarray, np.ndarray]) -> None:
    picture, where = section
    marked = _with_line(picture, [(140, 60), (140, 240)], INK["green"], 14)
    found = detect_tissue(marked, 8.0, TissueSettings())
    assert not found[:, 136:144].any()
    assert (found & where).sum() > 0.8 * where.sum()


def test_black_borders_glass_edges_and_shadows_are_no_tissue(section: tuple[np.ndarray, np.ndarray]) -> None:
    picture, where = section
    bordered = _with_line(picture, [(330, 0), (342, 299)], (150, 150, 152), 5)
    bordered[:20], bordered[:, :16] = 0, 9
    bordered[230:280, 60:120] = 205
    assert dice(detect_tissue(bordered, 8.0, TissueSettings()), where) > 0.98


def test_small_gaps_are_filled_and_dust_removed(section: tuple[np.ndarray, np.ndarray]) -> None:
    picture, _ = section
    speckled = picture.copy()
    speckled[120:130, 80:90] = GLASS  # 6400 um2
    speckled[140:180, 100:140] = GLASS  # 102400 um2
    speckled[250:255, 300:305] = NUCLEI  # 1600 um2
    found = detect_tissue(speckled, 8.0, TissueSettings())
    assert found[125, 85]
    assert not found[160, 120]
    assert not found[220:].any()
    everything = TissueSettings(max_hole_um2=0.0, min_piece_um2=0.0)
    assert not detect_tissue(speckled, 8.0, everything)[125, 85]
    assert detect_tissue(speckled, 8.0, everything)[252, 302]


def test_faint_tissue_counts_only_beside_strong(section: tuple[np.ndarray, np.ndarray]) -> None:
    faint = (236, 224, 236)
    picture = section[0].copy()
    picture[100:200, 220:260] = faint
    picture[240:280, 320:380] = faint
    found = detect_tissue(picture, 8.0, TissueSettings())
    assert found[150, 240]
    assert not found[240:].any()


def test_a_slide_of_glass_is_refused_in_one_sentence() -> None:
    glass = np.full((64, 64, 3), GLASS, np.uint8)
    with pytest.raises(InputError, match=r"empty\.svs: expected tissue on the slide, found none"):
        tissue_of(_Slide([glass], (8.0, 8.0)), TissueSettings())


def test_unknown_mpp_asks() -> None:
    with pytest.raises(InputError, match="--mpp"):
        tissue_of(_Slide([np.zeros((64, 64, 3), np.uint8)], None), TissueSettings())


def test_reads_the_coarsest_level_that_is_fine_enough(section: tuple[np.ndarray, np.ndarray]) -> None:
    picture, where = section
    fine = np.repeat(np.repeat(picture, 2, axis=0), 2, axis=1)
    unread = np.full((1200, 1600, 3), GLASS, np.uint8)
    coarse = np.full((150, 200, 3), GLASS, np.uint8)
    tissue = tissue_of(_Slide([unread, fine, picture, coarse], (2.0, 2.0)), TissueSettings())
    assert tissue.mask.shape == where.shape
    assert tissue.slide_shape_yx == (1200, 1600)
    assert dice(tissue.mask, where) > 0.99


def test_oblong_pixels_are_made_square(section: tuple[np.ndarray, np.ndarray]) -> None:
    picture, where = section
    tissue = tissue_of(_Slide([np.repeat(picture, 2, axis=0)], (4.0, 8.0)), TissueSettings())
    assert tissue.mask.shape == where.shape
    assert dice(tissue.mask, where) > 0.99


@pytest.mark.parametrize("wrong", [{"mpp": 0.1}, {"low": 0.5}, {"min_piece_um2": -1.0}])
def test_settings_refuse_nonsense(wrong: dict) -> None:
    with pytest.raises(InputError, match="TissueSettings"):
        TissueSettings(**wrong)


def test_qc_picture_shows_outline_and_patches_where_they_are() -> None:
    mask = np.zeros((100, 150), bool)
    mask[20:60, 30:120] = True
    tissue = Tissue(mask, (2000, 3000))
    facts = SlideFacts("s", "s", (2000, 3000), ((2000, 3000),), (1.0, 1.0))
    grid = cut_patches(tissue, facts, PatchSpec(patch_px=100, patch_mpp=1.0))
    picture = np.asarray(qc_picture(np.full((200, 300, 3), 255, np.uint8), tissue, grid))
    assert picture.shape == (800, 1200, 3)
    assert tuple(picture[300, 240]) == OUTLINE_RGB  # left edge of the mask: column 30 of 150 -> 240 of 1200
    assert tuple(picture[700, 1000]) == (255, 255, 255)
    bluish = picture[300, 300].astype(int)
    assert bluish[2] > bluish[0]


def _with_line(picture: np.ndarray, points: list[tuple[int, int]], colour: tuple, width: int) -> np.ndarray:
    """The picture with an anti-aliased stroke, as a scanner blurs it."""
    large = Image.fromarray(picture).resize((picture.shape[1] * 4, picture.shape[0] * 4), Image.Resampling.NEAREST)
    ImageDraw.Draw(large).line([(4 * x, 4 * y) for x, y in points], fill=colour, width=4 * width)
    return np.asarray(large.resize(picture.shape[1::-1], Image.Resampling.BOX)).copy()


class _Slide(Slide):
    """Levels and facts without a file."""

    def __init__(self, levels: list[np.ndarray], mpp_yx: tuple[float, float] | None) -> None:
        shapes = tuple(level.shape[:2] for level in levels)
        self.levels, self.facts = tuple(levels), SlideFacts("empty.svs", "id", shapes[0], shapes, mpp_yx)
        tiles = SlideTiles(TileCache())
        raw = [WholePicture(shape, lambda k=k: levels[k]) for k, shape in enumerate(shapes)]
        self.tile_levels = tuple(Level(each, tiles, keep=False) for each in raw)
