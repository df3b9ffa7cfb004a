"""Bad checkpoints, bags and gene profiles."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
from bad_input_lab import Args, Desk, Lab, copied_checkpoint, row
from conftest import untrained_checkpoint


class ForeignEncoder:
    """An encoder by name only."""

    id, width = "uni-0123456789ab", 4


@row("A folder that is no checkpoint")
def _(lab: Lab, desk: Desk) -> Args:
    return lab.predict(desk.out, checkpoint=desk.folder)


@row("A checkpoint with a damaged description")
def _(lab: Lab, desk: Desk) -> Args:
    folder = copied_checkpoint(lab, desk)
    card = (folder / "checkpoint.json").read_bytes()
    (folder / "checkpoint.json").write_bytes(card[: len(card) // 2])
    return lab.predict(desk.out, checkpoint=folder)


@row("A checkpoint with damaged weights")
def _(lab: Lab, desk: Desk) -> Args:
    folder = copied_checkpoint(lab, desk)
    weights = bytearray((folder / "model.safetensors").read_bytes())
    weights[-9] ^= 1
    (folder / "model.safetensors").write_bytes(weights)
    return lab.predict(desk.out, checkpoint=folder)


@row("A checkpoint without its weights")
def _(lab: Lab, desk: Desk) -> Args:
    folder = copied_checkpoint(lab, desk)
    (folder / "model.safetensors").unlink()
    return lab.predict(desk.out, checkpoint=folder)


@row("A checkpoint of a newer napari-gimp")
def _(lab: Lab, desk: Desk) -> Args:
    folder = copied_checkpoint(lab, desk)
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
