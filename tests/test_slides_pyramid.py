"""Slides of every layout, made here: pixels against tifffile's, facts against what was written, refusals in words."""

import re
import shutil
import threading
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from napari_gimp.settings import InputError
from napari_gimp.slides import SlideError, find_slides, open_slide, pyramid, read_patch
from napari_gimp.slides.pyramid import LOWEST_LEVEL_PX, build_pyramid
from napari_gimp.slides.spool import IN_MEMORY_BYTES, WholePicture, room_for
from napari_gimp.slides.tiles import Level, RawLevel, SlideTiles, TileCache, TileError, halve

SHAPE = (431, 617)


def tissue_like(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """A smooth coloured picture, so that lossy codecs keep it."""
    rng = np.random.default_rng(seed)
    small = rng.integers(60, 250, (shape[0] // 16 + 2, shape[1] // 16 + 2, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(small).resize((shape[1], shape[0]), Image.Resampling.BICUBIC))


def slow_halves(pixels: np.ndarray) -> np.ndarray:
    """The /2 level, pixel by pixel."""
    high, wide = -(-pixels.shape[0] // 2), -(-pixels.shape[1] // 2)
    half = np.empty((high, wide, 3), np.uint8)
    for y in range(high):
        for x in range(wide):
            block = pixels[2 * y : 2 * y + 2, 2 * x : 2 * x + 2].reshape(-1, 3).astype(int)
            half[y, x] = (2 * block.sum(axis=0) + len(block)) // (2 * len(block))
    return half


class Checkers(RawLevel):
    """A level of known pixels that counts what is decoded and fails where told."""

    def __init__(self, shape_yx: tuple[int, int], tile_px: int = 256, broken: frozenset = frozenset()) -> None:
        super().__init__(shape_yx, (tile_px, tile_px))
        self.decoded: list[tuple[int, int]] = []
        self.broken = broken

    def decode(self, row: int, column: int) -> np.ndarray:
        self.decoded.append((row, column))
        if (row, column) in self.broken:
            raise TileError("broken on purpose")
        top, left, height, width = self.box(row, column)
        y, x = np.mgrid[top : top + height, left : left + width]
        return np.stack([y % 251, x % 241, (x + y) % 239], axis=2).astype(np.uint8)


LAYOUTS = {
    "jpeg tiles": {"tile": (128, 128), "compression": "jpeg", "photometric": "ycbcr"},
    "jpeg rgb tiles": {"tile": (128, 128), "compression": "jpeg", "photometric": "rgb"},
    "jpeg 2000 tiles": {"tile": (128, 128), "compression": 34712, "photometric": "rgb"},
    "aperio jpeg 2000": {"tile": (128, 128), "compression": 33005, "photometric": "rgb"},
    "deflate tiles": {"tile": (128, 128), "compression": "deflate", "predictor": True},
    "lzw strips": {"rowsperstrip": 7, "compression": "lzw", "predictor": True},
    "one deflate strip": {"rowsperstrip": SHAPE[0], "compression": "deflate"},
    "plain tiles": {"tile": (256, 128)},
    "plain strips": {"rowsperstrip": 5},
    "plain big endian": {"byteorder": ">"},
    "webp tiles": {"tile": (128, 128), "compression": "webp"},
    "zstd big tiles": {"tile": (2048, 2048), "compression": "zstd"},
    "planar tiles": {"tile": (64, 64), "planarconfig": "separate", "compression": "lzw"},
    "planar strips": {"planarconfig": "separate", "rowsperstrip": 16},
    "small strips": {"rowsperstrip": 1, "compression": "packbits"},
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_pixels_that_tifffile_gives(tmp_path: Path, layout: str) -> None:
    options = {"photometric": "rgb", **LAYOUTS[layout]}
    byteorder = options.pop("byteorder", None)
    path = tmp_path / "slide.tif"
    picture = tissue_like(SHAPE)
    stored = picture.transpose(2, 0, 1) if options.get("planarconfig") else picture
    if options["photometric"] == "ycbcr":  # tifffile codes what it is given
        stored = np.asarray(Image.fromarray(picture).convert("YCbCr"))
    with tifffile.TiffWriter(path, byteorder=byteorder) as writer:
        writer.write(stored, **options)
    expected = tifffile.imread(path)
    expected = expected.transpose(1, 2, 0) if options.get("planarconfig") else expected
    with open_slide(path) as slide:
        assert slide.facts.shape_yx == SHAPE
        assert np.array_equal(slide.levels[0][:], expected)
        assert np.array_equal(slide.overview(), expected)
        assert np.array_equal(read_patch(slide, (100, 300), (128.0, 128.0), 128), expected[100:228, 300:428])
    assert np.abs(expected.astype(int) - picture).mean() < 8


def test_a_pyramid_uses_the_files_levels_and_makes_the_missing_ones(tmp_path: Path) -> None:
    picture = tissue_like((4099, 5003))
    quarter = np.full((1025, 1251, 3), 77, np.uint8)
    with tifffile.TiffWriter(tmp_path / "slide.tif") as writer:
        for number, level in enumerate((picture, quarter)):
            writer.write(level, tile=(256, 256), photometric="rgb", subfiletype=min(number, 1), compression="zlib")
    with open_slide(tmp_path / "slide.tif") as slide:
        assert [level.shape for level in slide.levels] == [(4099, 5003, 3), (2050, 2502, 3), (1025, 1251, 3)]
        assert np.array_equal(slide.levels[1][:], halve(picture))
        assert (slide.levels[2][:] == 77).all()
        assert slide.facts.downsamples == pytest.approx((1, 2, 4), rel=1e-3)
        assert slide.has_cheap_overview


def test_levels_at_other_steps_are_not_taken_for_halves(tmp_path: Path) -> None:
    picture = tissue_like((3000, 3000))
    with tifffile.TiffWriter(tmp_path / "slide.tif") as writer:
        for number, level in enumerate((picture, np.zeros((1000, 1000, 3), np.uint8))):
            writer.write(level, tile=(256, 256), photometric="rgb", subfiletype=min(number, 1), compression="zlib")
    with open_slide(tmp_path / "slide.tif") as slide:
        assert [level.shape[0] for level in slide.levels] == [3000, 1500]
        assert np.array_equal(slide.levels[1][:], halve(picture))


@given(st.integers(1, 40), st.integers(1, 40))
@settings(max_examples=40, deadline=None)
def test_halving_is_the_rounded_mean_of_what_is_there(height: int, width: int) -> None:
    pixels = np.random.default_rng(height * 41 + width).integers(0, 256, (height, width, 3), dtype=np.uint8)
    exact = slow_halves(pixels)
    assert np.abs(halve(pixels).astype(int) - exact).max() <= (0 if height % 2 == width % 2 == 0 else 1)


@given(st.integers(1, 20_000), st.integers(1, 20_000))
@settings(max_examples=60, deadline=None)
def test_every_pyramid_goes_down_in_halves_to_a_small_level(height: int, width: int) -> None:
    levels = build_pyramid([Checkers((height, width))], SlideTiles(TileCache()))
    assert max(levels[-1].shape_yx) <= LOWEST_LEVEL_PX
    assert len(levels) == 1 or max(levels[-2].shape_yx) > LOWEST_LEVEL_PX
    for k, level in enumerate(levels):
        assert level.shape_yx == (-(-height // 2**k), -(-width // 2**k))


def test_opening_decodes_nothing_and_levels_decode_only_what_is_asked_for() -> None:
    raw = Checkers((5000, 5000))
    levels = build_pyramid([raw], SlideTiles(TileCache()))
    assert raw.decoded == []
    levels[2].tile(0, 0)
    assert sorted(raw.decoded) == [(row, column) for row in range(4) for column in range(4)]


@given(st.integers(-300, 900), st.integers(-300, 900), st.integers(1, 400), st.integers(1, 400))
@settings(max_examples=60, deadline=None)
def test_a_region_is_the_picture_with_white_around(top: int, left: int, height: int, width: int) -> None:
    raw = Checkers((613, 409), 64)
    region = Level(raw, SlideTiles(TileCache())).region(top, left, height, width)
    y, x = np.mgrid[top : top + height, left : left + width]
    inside = (y >= 0) & (y < 613) & (x >= 0) & (x < 409)
    expected = np.where(inside[..., None], np.stack([y % 251, x % 241, (x + y) % 239], axis=2), 255)
    assert np.array_equal(region, expected)


def test_small_levels_read_whole_and_in_parts_through_zarr(tmp_path: Path) -> None:
    picture = tissue_like((700, 333))
    tifffile.imwrite(tmp_path / "slide.tif", picture, tile=(256, 256), photometric="rgb", compression="zlib")
    with open_slide(tmp_path / "slide.tif") as slide:
        array = slide.levels[0]
        assert isinstance(array, zarr.Array)
        assert array.chunks == (256, 256, 3)
        assert array.dtype == np.uint8
        assert np.array_equal(array[513:699, 255:257], picture[513:699, 255:257])
        assert np.array_equal(array[699, 332], picture[699, 332])
        with pytest.raises((ValueError, PermissionError), match="read"):
            array[:10] = 0


def test_a_tile_that_will_not_decode_shows_a_light_pattern_and_raises_where_pixels_are_used() -> None:
    raw = Checkers((4100, 600), broken=frozenset({(0, 0)}))
    fine, *_, coarse = build_pyramid([raw], SlideTiles(TileCache()))
    assert set(np.unique(fine.shown(0, 0))) == {222, 240}
    with pytest.raises(TileError, match="on purpose"):
        fine.tile(0, 0)
    with pytest.raises(TileError, match="on purpose"):
        coarse.tile(0, 0)
    shown = coarse.shown(0, 0)
    assert shown[:60, :60].min() >= 222
    sound = build_pyramid([Checkers((4100, 600))], SlideTiles(TileCache()))[-1]
    assert np.array_equal(shown[64:], sound.tile(0, 0)[64:])
    assert np.array_equal(coarse.tile(1, 0), sound.tile(1, 0))


def test_the_cache_stays_within_its_bound_and_decodes_a_wanted_tile_once() -> None:
    cache = TileCache(10 * 64 * 64 * 3)
    raw = Checkers((64 * 8, 64 * 8), 64)
    level = Level(raw, SlideTiles(cache))
    for row in range(8):
        for column in range(8):
            level.tile(row, column)
            assert cache.held_bytes <= cache.limit_bytes
    assert len(raw.decoded) == 64
    level.tile(7, 7)
    assert len(raw.decoded) == 64
    level.tile(0, 0)
    assert len(raw.decoded) == 65


def test_threads_that_want_the_same_tile_wait_for_one_decode() -> None:
    gate, calls = threading.Event(), []

    def decode() -> np.ndarray:
        calls.append(1)
        gate.wait(5)
        return np.zeros((2, 2, 3), np.uint8)

    cache, got = TileCache(), []
    threads = [threading.Thread(target=lambda: got.append(cache.get(("a",), decode))) for _ in range(4)]
    for thread in threads:
        thread.start()
    gate.set()
    for thread in threads:
        thread.join()
    assert len(calls) == 1
    assert all(tile is got[0] for tile in got)
    assert not got[0].flags.writeable


def test_closing_frees_the_tiles_and_later_reads_are_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "slide.tif", tissue_like(SHAPE), tile=(128, 128), photometric="rgb", compression="zlib")
    cache = TileCache()
    slide = open_slide(tmp_path / "slide.tif", cache=cache)
    array = slide.levels[0]
    array[:]
    assert cache.held_bytes == SHAPE[0] * SHAPE[1] * 3
    slide.close()
    slide.close()
    assert cache.held_bytes == 0
    with pytest.raises(SlideError, match="closed"):
        array[:]
    with pytest.raises(SlideError, match="closed"):
        read_patch(slide, (0, 0), (64.0, 64.0), 64)


def test_facts_of_the_three_real_slides(shared: Path) -> None:
    expected = {
        "lung_scc_HE3.tif": ((16091, 17883), (0.263018, 0.263018), None),
        "CMU-1-Small-Region.svs": ((2967, 2220), (0.499, 0.499), 20.0),
        "TCGA-CR-7395-01A-01-TS1.svs": ((3567, 4443), None, None),
    }
    for name, (shape, mpp, magnification) in expected.items():
        with open_slide(shared / "slides" / name) as slide:
            facts = slide.facts
            assert (facts.shape_yx, facts.magnification) == (shape, magnification)
            assert facts.mpp_yx == (None if mpp is None else pytest.approx(mpp))
            assert max(facts.level_shapes_yx[-1]) <= LOWEST_LEVEL_PX
            assert facts.name == Path(name).stem


def test_real_pixels_are_those_of_openslide(shared: Path) -> None:
    openslide = pytest.importorskip("openslide")
    for name in ("lung_scc_HE3.tif", "CMU-1-Small-Region.svs", "TCGA-CR-7395-01A-01-TS1.svs"):
        path = shared / "slides" / name
        with open_slide(path) as slide, openslide.OpenSlide(str(path)) as other:
            height, width = slide.facts.shape_yx
            y, x = height // 2 - 131, width // 2 - 77
            theirs = np.asarray(other.read_region((x, y), 0, (300, 300)).convert("RGB"))
            assert np.array_equal(np.asarray(slide.levels[0][y : y + 300, x : x + 300]), theirs)
            number = len(slide.levels) - 1 if name.startswith("lung") else 0
            if number:
                theirs = np.asarray(other.read_region((0, 0), 2, (1118, 1006)).convert("RGB"))
                assert np.array_equal(slide.overview(), theirs)


def test_aperio_ycbcr_jpeg_2000_becomes_rgb_as_in_openslide(tmp_path: Path) -> None:
    openslide = pytest.importorskip("openslide")
    picture = tissue_like((256, 256))
    ycbcr = np.asarray(Image.fromarray(picture).convert("YCbCr"))
    coded = imagecodecs.jpeg2k_encode(ycbcr, level=0, codecformat="j2k", mct=False)
    path = tmp_path / "slide.svs"
    with tifffile.TiffWriter(path) as writer:
        writer.write(
            iter([coded]),
            shape=(256, 256, 3),
            dtype=np.uint8,
            tile=(256, 256),
            compression=33003,
            photometric="ycbcr",
            description="Aperio Image Library v11.0.37\n256x256 (256x256) J2K/YUV16 Q=70|AppMag = 40|MPP = 0.25",
            metadata=None,
        )
    with open_slide(path) as slide, openslide.OpenSlide(str(path)) as other:
        theirs = np.asarray(other.read_region((0, 0), 0, (256, 256)).convert("RGB")).astype(int)
        assert np.abs(slide.overview() - theirs).max() <= 2
        assert np.abs(slide.overview() - picture.astype(int)).max() <= 4
        assert (slide.facts.vendor, slide.facts.magnification, slide.facts.mpp_yx) == ("aperio", 40.0, (0.25, 0.25))


def test_associated_images_come_on_request(shared: Path) -> None:
    with open_slide(shared / "slides" / "CMU-1-Small-Region.svs") as slide:
        assert set(slide.facts.associated) == {"thumbnail", "label", "macro"}
        assert slide.associated_image("label").shape == (463, 387, 3)
        with pytest.raises(SlideError, match=r"thumbnail.*'nonsense'"):
            slide.associated_image("nonsense")


@pytest.mark.parametrize(
    ("resolution", "unit", "mpp", "note"),
    [
        (40_000, "CENTIMETER", 0.25, ""),
        (72, "INCH", None, "352.778"),
        (1e9, "CENTIMETER", None, "1e-05"),
        (500, "NONE", None, ""),
    ],
)
def test_um_per_pixel_is_taken_where_credible_and_said_aloud_where_not(
    tmp_path: Path, resolution: float, unit: str, mpp: float | None, note: str
) -> None:
    path = tmp_path / "slide.tif"
    tifffile.imwrite(
        path, tissue_like((64, 64)), photometric="rgb", resolution=(resolution, resolution), resolutionunit=unit
    )
    with open_slide(path) as slide:
        assert slide.facts.mpp_yx == (None if mpp is None else pytest.approx((mpp, mpp)))
        assert note in " ".join(slide.facts.notes)
        assert bool(slide.facts.notes) == bool(note)
    with open_slide(path, mpp=0.5) as slide:
        assert slide.facts.mpp_yx == (0.5, 0.5)
        assert "given by the user" in slide.facts.notes[-1]
        assert slide.with_mpp(0.75) is slide.facts
        assert sum("given by the user" in note for note in slide.facts.notes) == 1
        with pytest.raises(InputError, match=r"0\.05 to 20"):
            slide.with_mpp(50.0)
    with pytest.raises(InputError, match=r"0\.05 to 20"):
        open_slide(path, mpp=0.001)


def test_the_identity_changes_with_the_file_and_not_with_the_name(tmp_path: Path) -> None:
    first, moved = tmp_path / "a.tif", tmp_path / "b.tif"
    tifffile.imwrite(first, tissue_like(SHAPE), tile=(128, 128), photometric="rgb", compression="zlib")

    def identity(path: Path) -> str:
        with open_slide(path) as slide:
            return slide.facts.identity

    one = identity(first)
    assert identity(first) == one
    shutil.copy2(first, moved)
    assert identity(moved) == one
    tifffile.imwrite(first, tissue_like(SHAPE, seed=1), tile=(128, 128), photometric="rgb", compression="zlib")
    assert identity(first) != one


def test_an_icc_profile_is_kept_and_applied_only_when_asked(tmp_path: Path) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    picture = tissue_like((300, 300))
    path = tmp_path / "slide.tif"
    tifffile.imwrite(path, picture, tile=(128, 128), photometric="rgb", iccprofile=profile)
    with open_slide(path) as plain, open_slide(path, use_icc=True) as converted:
        assert plain.icc_profile == profile
        assert np.array_equal(plain.overview(), picture)
        assert np.abs(converted.overview().astype(int) - picture).max() <= 1  # sRGB to sRGB
        assert plain.facts.identity != converted.facts.identity
    tifffile.imwrite(path, picture, tile=(128, 128), photometric="rgb", iccprofile=b"nonsense")
    with pytest.raises(SlideError, match="open without it"):
        open_slide(path, use_icc=True)


PICTURES = {
    "flat.png": ("RGB", {}),
    "flat.jpg": ("RGB", {"quality": 95}),
    "grey.jpg": ("L", {}),
    "cmyk.jpg": ("CMYK", {}),
    "palette.png": ("P", {}),
    "alpha.png": ("RGBA", {}),
    "flat.bmp": ("RGB", {}),
    "flat.jp2": ("RGB", {}),
}


@pytest.mark.parametrize("name", PICTURES)
def test_flat_pictures_open_as_pillow_reads_them(tmp_path: Path, name: str) -> None:
    mode, options = PICTURES[name]
    Image.fromarray(tissue_like(SHAPE)).convert(mode).save(tmp_path / name, **options)
    expected = np.asarray(Image.open(tmp_path / name).convert("RGB")).astype(int)
    with open_slide(tmp_path / name) as slide:
        assert slide.facts.shape_yx == SHAPE
        assert slide.facts.mpp_yx is None
        assert np.abs(slide.overview() - expected).max() <= 2
        assert ("Grey picture" in " ".join(slide.facts.notes)) == (mode == "L")


def test_transparent_is_white(tmp_path: Path) -> None:
    pixels = np.zeros((80, 90, 4), np.uint8)
    pixels[:40] = (200, 10, 20, 255)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb", extrasamples=["unassalpha"], tile=(64, 64))
    for name in ("a.png", "a.tif"):
        with open_slide(tmp_path / name) as slide:
            assert (slide.overview()[:40] == (200, 10, 20)).all()
            assert (slide.overview()[40:] == 255).all()


def test_a_large_flat_picture_is_decoded_once_into_a_temporary_file() -> None:
    shape = (6000, 4000)
    assert shape[0] * shape[1] * 3 > IN_MEMORY_BYTES
    calls = []

    def load() -> np.ndarray:
        calls.append(1)
        return np.full((*shape, 3), 9, np.uint8)

    level = WholePicture(shape, load)
    assert (level.decode(3, 3) == 9).all()
    assert isinstance(level._whole(), np.memmap)
    assert level.decode(11, 7).shape == (368, 416, 3)
    assert len(calls) == 1
    level.release()
    level.decode(0, 0)
    assert len(calls) == 2
    assert isinstance(room_for((10, 10)), np.ndarray)


def test_a_big_flat_picture_says_that_its_overview_is_not_cheap(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    Image.fromarray(tissue_like((400, 2500))).save(tmp_path / "flat.png")
    with open_slide(tmp_path / "flat.png") as slide:
        assert slide.has_cheap_overview
    monkeypatch.setattr(pyramid, "CHEAP_OVERVIEW_PX", 400 * 2500 - 1)
    with open_slide(tmp_path / "flat.png") as slide:
        assert not slide.has_cheap_overview
        steps = list(slide.read_overview())
        assert [step.done for step in steps] == list(range(len(steps)))
        assert slide.overview() is slide.overview()


def test_sixteen_bit_colour_is_reduced_with_a_note(tmp_path: Path) -> None:
    picture = tissue_like(SHAPE)
    wide = picture.astype(np.uint16) * 257
    for name, options in {"tiles": {"tile": (128, 128), "compression": "zlib"}, "plain": {}}.items():
        path = tmp_path / f"{name}.tif"
        tifffile.imwrite(path, wide, photometric="rgb", **options)
        with open_slide(path) as slide:
            assert np.array_equal(slide.overview(), picture)
            assert "16-bit" in slide.facts.notes[0]


def test_palette_and_inverted_grey_tiffs(tmp_path: Path) -> None:
    index = np.random.default_rng(0).integers(0, 256, SHAPE, dtype=np.uint8)
    colours = np.random.default_rng(1).integers(0, 256, (3, 256)).astype(np.uint16) * 257
    tifffile.imwrite(tmp_path / "p.tif", index, photometric="palette", colormap=colours, tile=(128, 128))
    tifffile.imwrite(tmp_path / "w.tif", index, photometric="miniswhite", tile=(128, 128))
    with open_slide(tmp_path / "p.tif") as slide:
        assert np.array_equal(slide.overview(), (colours >> 8).astype(np.uint8).T[index])
    with open_slide(tmp_path / "w.tif") as slide:
        assert np.array_equal(slide.overview(), np.repeat(255 - index[..., None], 3, axis=2))


def test_tiles_that_the_scanner_left_out_are_white(tmp_path: Path) -> None:
    picture = tissue_like((256, 256))
    coded = [zlib_tile(picture[:128, :128]), b"", zlib_tile(picture[128:, :128]), b""]
    with tifffile.TiffWriter(tmp_path / "slide.tif") as writer:
        writer.write(
            iter(coded), shape=(256, 256, 3), dtype=np.uint8, tile=(128, 128), photometric="rgb", compression="zlib"
        )
    with open_slide(tmp_path / "slide.tif") as slide:
        assert np.array_equal(slide.overview()[:, :128], picture[:, :128])
        assert (slide.overview()[:, 128:] == 255).all()


def zlib_tile(pixels: np.ndarray) -> bytes:
    """A tile's bytes as TIFF's deflate has them."""
    return bytes(imagecodecs.zlib_encode(np.ascontiguousarray(pixels).tobytes()))


def _write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def _truncated(folder: Path) -> Path:
    path = folder / "cut.tif"
    tifffile.imwrite(path, tissue_like(SHAPE), tile=(128, 128), photometric="rgb", compression="zlib")
    return _write(path, path.read_bytes()[: path.stat().st_size // 2])


def _headless(folder: Path) -> Path:
    return _write(folder / "cut.svs", b"II*\x00\xff\xff\xff\x0f" + bytes(100))


def _stack(folder: Path) -> Path:
    tifffile.imwrite(folder / "stack.tif", np.zeros((5, 40, 40), np.uint8), photometric="minisblack")
    return folder / "stack.tif"


def _float(folder: Path) -> Path:
    tifffile.imwrite(folder / "float.tif", np.zeros((40, 40, 3), np.float32), photometric="rgb")
    return folder / "float.tif"


def _deep_png(folder: Path) -> Path:
    Image.fromarray(np.zeros((40, 40), np.uint16)).save(folder / "deep.png")
    return folder / "deep.png"


REFUSED = {
    "no such file": (lambda folder: folder / "none.svs", "no file"),
    "a folder": (lambda folder: folder, "the folder"),
    "an empty file": (lambda folder: _write(folder / "a.svs", b""), "empty file"),
    "text": (lambda folder: _write(folder / "a.svs", "héllo\n".encode() * 9000), r"text file \(named \.svs\)"),
    "binary nonsense": (lambda folder: _write(folder / "a.tif", bytes(range(256)) * 9), "no known format"),
    "a zip": (lambda folder: _write(folder / "a.mrxs", b"PK\x03\x04" + bytes(50)), "zip archive"),
    "a truncated slide": (_truncated, "cut off|damaged or truncated"),
    "a header alone": (_headless, "damaged|without an image"),
    "a stack": (_stack, "axes"),
    "float pixels": (_float, "float32"),
    "16-bit grey PNG": (_deep_png, "mode I;16"),
    "a damaged PNG": (lambda folder: _write(folder / "a.png", b"\x89PNG\r\n\x1a\n" + bytes(99)), "damaged"),
    "a damaged JPEG": (lambda folder: _write(folder / "a.jpg", b"\xff\xd8\xff\xe0" + bytes(99)), "damaged"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_opened_is_refused_in_one_sentence(tmp_path: Path, case: str) -> None:
    make, words = REFUSED[case]
    with pytest.raises(SlideError, match=words) as refusal:
        open_slide(make(tmp_path))
    sentence = str(refusal.value)
    assert "\n" not in sentence
    assert sentence.endswith(".")
    assert re.search(r"check|give|copy|convert|export|install", sentence)


ODD = {
    "pathml_smalltif.tif": "refused: grey uint16",
    "lazyopenslide_dataset.ome.tif": "refused: int64",
    "osp_boxes.tiff": "opened: 352.778",
    "histolab_kidney-48-5.tif": "opened: ",
    "osp_unreadable.svs": "opened: ",
    "wsi2dcm_jpeg.dicom.dcm": "opened: OpenSlide",
}


@pytest.mark.parametrize("name", ODD)
def test_odd_files_are_refused_or_opened_with_a_note(shared: Path, name: str, capfd: pytest.CaptureFixture) -> None:
    outcome, words = ODD[name].split(": ")
    if name.endswith(".dcm"):
        pytest.importorskip("openslide")
    if outcome == "refused":
        with pytest.raises(SlideError, match=words):
            open_slide(shared / "slides" / "odd" / name)
    else:
        with open_slide(shared / "slides" / "odd" / name) as slide:
            assert words in " ".join(slide.facts.notes)
            assert slide.overview().dtype == np.uint8
    assert capfd.readouterr().err == ""


def test_every_odd_file_has_a_verdict(shared: Path) -> None:
    assert {path.name for path in (shared / "slides" / "odd").iterdir()} <= set(ODD)


@pytest.fixture(scope="module")
def small_slide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("damage") / "small.svs"
    with tifffile.TiffWriter(path) as writer:
        text = "Aperio Image Library v11.0.37\\n90x70 (64x64) JPEG Q=70|AppMag = 40|MPP = 0.25"
        options = {"photometric": "rgb", "compression": "jpeg", "metadata": None}
        writer.write(tissue_like((70, 90)), tile=(64, 64), description=text, **options)
        writer.write(tissue_like((35, 45)), rowsperstrip=16, description=text, **options)
    return path


@given(st.lists(st.tuples(st.integers(4, 3000), st.integers(0, 255)), min_size=1, max_size=8), st.integers(200, 9000))
@settings(max_examples=60, deadline=None)
def test_damage_anywhere_is_a_sentence_or_a_slide(
    small_slide: Path, damage: list[tuple[int, int]], length: int
) -> None:
    content = bytearray(small_slide.read_bytes())
    for place, value in damage:
        content[place % len(content)] = value
    path = small_slide.with_name("damaged.svs")
    path.write_bytes(content[:length])
    sentence = ""
    try:
        with open_slide(path, cache=TileCache()) as slide:
            assert slide.facts.name == "damaged"
            slide.tile_levels[0].shown(0, 0)
            for name in slide.facts.associated:
                slide.associated_image(name)
    except SlideError as refusal:
        sentence = str(refusal)
    assert "\n" not in sentence


def test_without_the_extra_the_sentence_says_how_to_install_it(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pyramid, "has_openslide", lambda: False)
    for path, words in {
        shared / "slides" / "odd" / "wsi2dcm_jpeg.dicom.dcm": "DICOM",
        _write(tmp_path / "a.mrxs", b"\xff\xd8" + bytes(9)): "MRXS",
        _write(tmp_path / "a.bin", b"ZISRAWFILE" + bytes(90)): "CZI",
    }.items():
        with pytest.raises(SlideError, match=rf"{words}.*pip install"):
            open_slide(path)


def test_dicom_pixels_are_those_of_openslide_and_closing_is_final(shared: Path) -> None:
    openslide = pytest.importorskip("openslide")
    path = shared / "slides" / "odd" / "wsi2dcm_jpeg.dicom.dcm"
    with open_slide(path) as slide, openslide.OpenSlide(str(path)) as other:
        theirs = np.asarray(other.read_region((0, 0), 0, other.dimensions).convert("RGB"))
        assert np.array_equal(slide.overview(), theirs)
        assert slide.facts.vendor == "dicom"
    with pytest.raises(SlideError, match="closed"):
        slide.tile_levels[0].raw.decode(0, 0)


def test_a_folder_lists_its_slides_by_name(tmp_path: Path) -> None:
    for name in ("b.svs", "a.TIF", "notes.txt", ".hidden.svs", "c.mrxs"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "c").mkdir()
    assert [path.name for path in find_slides(tmp_path)] == ["a.TIF", "b.svs", "c.mrxs"]


def test_the_files_of_a_dicom_slide_are_one(shared: Path, tmp_path: Path) -> None:
    data = (shared / "slides" / "odd" / "wsi2dcm_jpeg.dicom.dcm").read_bytes()
    at = data.index(b"\x20\x00\x0e\x00UI") + 12
    for name in ("1.dcm", "2.dcm"):
        (tmp_path / name).write_bytes(data)
    (tmp_path / "3.dcm").write_bytes(data[:at] + b"9" + data[at + 1 :])
    assert [path.name for path in find_slides(tmp_path)] == ["1.dcm", "3.dcm"]
