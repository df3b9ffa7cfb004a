"""Bad cohorts and trainings: what the rows of the page's last section start from, and their register."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
import torch
from conftest import untrained_checkpoint

from napari_gimp.gimp.state import Keeper

Args = list[str | Path]
SETTINGS = {
    "d": 16,
    "heads": 2,
    "layers": 1,
    "ffn": 1,
    "landmarks": 4,
    "window": 8,
    "fragment_genes": 5,
    "groups": 2,
    "head_hidden": 8,
    "epochs_genes": 1,
    "epochs_pretrain": 2,
    "epochs_finetune": 1,
    "epochs_decoder": 0,
}
"""Sizes and schedule with which a training takes a fraction of a second."""


@dataclass(frozen=True)
class Stand:
    """One row's own copy of a good cohort (24 cases, 5 sites); its output; what earlier runs of it left in ``good``."""

    folder: Path
    good: Path
    monkeypatch: pytest.MonkeyPatch

    @property
    def trained(self) -> Path:
        """A checkpoint trained on the cohort."""
        return self.good / "trained"

    @property
    def pretrained(self) -> Path:
        """A checkpoint pre-trained on the cohort."""
        return self.good / "pretrained"

    @property
    def validated(self) -> Path:
        """A cross-validation."""
        return self.good / "validated"

    @property
    def running(self) -> Path:
        """What a training leaves behind that was interrupted."""
        return self.good / "stopped.running"

    @property
    def cohort(self) -> Path:
        return self.folder / "cohort"

    @property
    def table(self) -> Path:
        return self.cohort / "cohort.csv"

    @property
    def expression(self) -> Path:
        return self.cohort / "expression.csv"

    @property
    def features(self) -> Path:
        return self.cohort / "features"

    @property
    def out(self) -> Path:
        return self.folder / "out"

    def options(self, **options: Any) -> Args:
        known: dict[str, Any] = {"cohort": self.table, "features": self.features, "expression": self.expression}
        args: Args = ["--device", "cpu", "--out", options.pop("out", self.out)]
        for name, value in (known | options).items():
            args += [f"--{name.replace('_', '-')}", *([] if value is True else [value])]
        return args

    def train(self, command: str = "train", **options: Any) -> Args:
        settings = SETTINGS | options.pop("settings", {})
        chosen: Args = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
        return [command, "--preset", "paper", *chosen, *self.options(**options)]

    def pretrain(self, **options: Any) -> Args:
        return self.train("pretrain", **options)

    def crossval(self, **options: Any) -> Args:
        folds = {} if {"folds", "by_site", "by_patient"} & options.keys() else {"by_patient": True}
        return [*self.train("crossval", **{"n_folds": 2} | folds | options), "--no-baselines"]

    def evaluate(self, **options: Any) -> Args:
        return ["evaluate", options.pop("checkpoint", self.trained), *self.options(**options)]

    def rewrite(self, change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
        """Change the cohort's table."""
        change(pd.read_csv(self.table, dtype=str)).to_csv(self.table, index=False)

    def reexpress(self, change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
        """Change the expression: a frame of cases x genes, linear values."""
        change(pd.read_csv(self.expression, index_col=0)).to_csv(self.expression)


Row = Callable[[Stand], Args]
COHORT_ROWS: dict[str, Row] = {}


def row(name: str) -> Callable[[Row], Row]:
    """Register the maker of a row; its name is the first cell in the table."""

    def register(make: Row) -> Row:
        assert name not in COHORT_ROWS
        COHORT_ROWS[name] = make
        return make

    return register


def changed_table(name: str, change: Callable[[pd.DataFrame], pd.DataFrame], command: str = "train") -> None:
    """A row whose cohort table was changed."""

    @row(name)
    def _(stand: Stand) -> Args:
        stand.rewrite(change)
        args: Args = getattr(stand, command)()
        return args


def _renamed_label(table: pd.DataFrame) -> pd.DataFrame:
    return table.replace({"label": {"LUSC": "squamous"}})


def _one_class(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["label"] == "LUAD"]


def _rare_class(table: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([table[table["label"] == "LUAD"], table[table["label"] == "LUSC"].head(1)])


def _torn_label(table: pd.DataFrame) -> pd.DataFrame:
    twice = table.head(1).assign(slide_id="another-slide", label="LUSC")
    return pd.concat([table, twice])


def _repeated_slide(table: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([table, table.head(1)])


def _without_sites(table: pd.DataFrame) -> pd.DataFrame:
    return table.drop(columns="site")


changed_table("`evaluate`: a label that the checkpoint does not know", _renamed_label, "evaluate")
changed_table("`train`: cases of one class only", _one_class)
changed_table("`pretrain`: cases of one class only", _one_class, "pretrain")
changed_table("`crossval`: cases of one class only", _one_class, "crossval")
changed_table("`crossval`: a class with fewer cases than folds", _rare_class, "crossval")
changed_table("A case with two labels", _torn_label)
changed_table("A slide in two rows", _repeated_slide)
changed_table("A cohort table without a row", lambda table: table.head(0))
changed_table("A cohort table without a needed column", lambda table: table.drop(columns="label"))
changed_table("Cases without a label", lambda table: table.assign(label=["", *table["label"][1:]]), "evaluate")


@row("`pretrain --objective both`: cases of one class only")
def _(stand: Stand) -> Args:
    stand.rewrite(_one_class)
    return stand.pretrain(objective="both")


@row("No such cohort table")
def _(stand: Stand) -> Args:
    return stand.train(cohort=stand.folder / "none.csv")


@row("An empty cohort table")
def _(stand: Stand) -> Args:
    stand.table.write_text("")
    return stand.pretrain()


@row("`crossval --by-site` of a cohort without sites")
def _(stand: Stand) -> Args:
    stand.rewrite(_without_sites)
    return stand.crossval(by_site=True)


@row("Slides without features")
def _(stand: Stand) -> Args:
    for path in sorted(stand.features.iterdir())[:2]:
        path.unlink()
    return stand.evaluate()


@row("Features of slides that the cohort does not name")
def _(stand: Stand) -> Args:
    stand.rewrite(lambda table: table.iloc[2:])
    return stand.evaluate()


@row("Features of none of the cohort's slides")
def _(stand: Stand) -> Args:
    stand.rewrite(lambda table: table.assign(slide_id=[f"other-{k}" for k in range(len(table))]))
    return stand.train()


@row("Features that are neither a folder nor an npz")
def _(stand: Stand) -> Args:
    return stand.train(features=stand.expression)


@row("Bags of two encoders")
def _(stand: Stand) -> Args:
    with h5py.File(sorted(stand.features.iterdir())[0], "r+") as file:
        file["features"].attrs["encoder"] = "uni-0123456789ab"
    return stand.train()


@row("A damaged bag in the cohort")
def _(stand: Stand) -> Args:
    sorted(stand.features.iterdir())[3].write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(90))
    return stand.crossval()


def _with_nan(stand: Stand) -> None:
    with h5py.File(sorted(stand.features.iterdir())[3], "r+") as file:
        file["features"][2, 5] = np.nan


def with_nan(name: str, command: str) -> None:
    @row(name)
    def _(stand: Stand) -> Args:
        _with_nan(stand)
        args: Args = getattr(stand, command)()
        return args


with_nan("`train`: NaN in a bag", "train")
with_nan("`pretrain`: NaN in a bag", "pretrain")
with_nan("`evaluate`: NaN in a bag", "evaluate")
with_nan("`crossval`: NaN in a bag", "crossval")


def _packed(stand: Stand, **changed: Any) -> Path:
    paths = sorted(stand.features.iterdir())
    bags = []
    for path in paths:
        with h5py.File(path) as file:
            bags.append(file["features"][:])
    arrays = {"x": np.concatenate(bags), "rows": [len(bag) for bag in bags], "slide_id": [path.stem for path in paths]}
    np.savez(stand.folder / "packed.npz", **(arrays | {"encoder": "enc"} | changed))
    return stand.folder / "packed.npz"


@row("NaN in a packed npz")
def _(stand: Stand) -> Args:
    path = _packed(stand)
    with np.load(path) as file:
        x = file["x"]
    x[-1, 2] = np.nan
    return stand.train(features=_packed(stand, x=x))


@row("A damaged packed npz")
def _(stand: Stand) -> Args:
    path = _packed(stand)
    content = bytearray(path.read_bytes())
    content[200:260] = bytes(60)
    path.write_bytes(content)
    return stand.train(features=path)


@row("A packed npz whose rows do not add up")
def _(stand: Stand) -> Args:
    return stand.train(features=_packed(stand, rows=np.ones(24, np.int64)))


@row("Patients missing in the expression table")
def _(stand: Stand) -> Args:
    return stand.evaluate()


@row("No patient in the expression table")
def _(stand: Stand) -> Args:
    stand.reexpress(lambda frame: frame.set_axis([f"other-{k}" for k in range(len(frame))]))
    return stand.train()


@row("Genes with one value in all cases")
def _(stand: Stand) -> Args:
    stand.reexpress(lambda frame: frame.assign(GENE4=7.0, GENE5=0.0))
    return stand.train()


def _z_scored(frame: pd.DataFrame) -> pd.DataFrame:
    logs = np.log2(frame + 1)
    return (logs - logs.mean()) / logs.std()


@row("`evaluate`: expression on another scale than the checkpoint's")
def _(stand: Stand) -> Args:
    stand.reexpress(_z_scored)
    return stand.evaluate()


@row("Expression whose scale is declared wrongly")
def _(stand: Stand) -> Args:
    stand.reexpress(lambda frame: frame * 1000)
    return stand.train(expression_scale="log")


@row("`evaluate`: bags of another encoder than the checkpoint's")
def _(stand: Stand) -> Args:
    return stand.evaluate(checkpoint=_foreign(stand, 6))


class ForeignEncoder:
    """An encoder by name only."""

    id, width = "uni-0123456789ab", 6


def _foreign(stand: Stand, width: int) -> Path:
    encoder = ForeignEncoder()
    encoder.width = width  # type: ignore[misc]
    return untrained_checkpoint(stand.folder / "foreign", encoder, ())


@row("`evaluate --out`: an evaluation in the way")
def _(stand: Stand) -> Args:
    stand.out.mkdir()
    (stand.out / "predictions.csv").write_text("case\n")
    return stand.evaluate()


@row("A gene list without a gene")
def _(stand: Stand) -> Args:
    (stand.folder / "genes.txt").write_text("# none\n\n")
    return stand.train(genes=stand.folder / "genes.txt")


@row("A gene list that shares no gene with the expression")
def _(stand: Stand) -> Args:
    (stand.folder / "genes.txt").write_text("TP63\nKRT5\n")
    return stand.train(genes=stand.folder / "genes.txt")


@row("A GMT file that is none")
def _(stand: Stand) -> Args:
    (stand.folder / "sets.gmt").write_text("These are the notes of the ward.\n")
    return stand.train(groups=stand.folder / "sets.gmt")


@row("A GMT file that shares no gene with the cohort")
def _(stand: Stand) -> Args:
    (stand.folder / "sets.gmt").write_text("KERATINS\tnone\tKRT5\tKRT6A\n")
    return stand.train(groups=stand.folder / "sets.gmt")


def _folds(stand: Stand, change: Callable[[pd.DataFrame], pd.DataFrame]) -> Path:
    names = pd.read_csv(stand.table, dtype=str)["case_id"]
    frame = pd.DataFrame({"case_id": names, "random": [k // 12 for k in range(len(names))]})
    change(frame).to_csv(stand.folder / "folds.csv", index=False)
    return stand.folder / "folds.csv"


@row("A fold file that misses cases")
def _(stand: Stand) -> Args:
    return stand.crossval(folds=f"{_folds(stand, lambda frame: frame.iloc[2:])}:random")


@row("A fold file without that column")
def _(stand: Stand) -> Args:
    return stand.crossval(folds=f"{_folds(stand, lambda frame: frame)}:sites")


@row("A fold file without case_id")
def _(stand: Stand) -> Args:
    return stand.crossval(folds=f"{_folds(stand, lambda frame: frame.rename(columns={'case_id': 'case'}))}:random")


@row("A fold whose training part lacks a class")
def _(stand: Stand) -> Args:
    by_class = [k % 2 for k in range(24)]
    return stand.crossval(folds=f"{_folds(stand, lambda frame: frame.assign(random=by_class))}:random")


@row("Two kinds of folds asked for")
def _(stand: Stand) -> Args:
    return stand.crossval(by_site=True, by_patient=True)


@row("`crossval --out`: the folder of another run")
def _(stand: Stand) -> Args:
    shutil.copytree(stand.validated, stand.out)
    return stand.crossval(settings={"epochs_genes": 2}, resume=True)


@row("`crossval --out`: the folder of this run")
def _(stand: Stand) -> Args:
    shutil.copytree(stand.validated, stand.out)
    return stand.crossval()


@row("`crossval --out`: a folder of other files")
def _(stand: Stand) -> Args:
    stand.out.mkdir()
    (stand.out / "thesis.txt").write_text("mine")
    return stand.crossval(overwrite=True)


@row("`train --out`: a checkpoint in the way")
def _(stand: Stand) -> Args:
    shutil.copytree(stand.trained, stand.out)
    return stand.train()


@row("`train --out --overwrite`: a folder of other files")
def _(stand: Stand) -> Args:
    stand.out.mkdir()
    (stand.out / "thesis.txt").write_text("mine")
    return stand.train(overwrite=True)


@row("`train --init` of another encoder")
def _(stand: Stand) -> Args:
    return stand.train(init=_foreign(stand, 6))


@row("`train --init` of another width")
def _(stand: Stand) -> Args:
    return stand.train(init=_foreign(stand, 4))


@row("`train --init` that is no checkpoint")
def _(stand: Stand) -> Args:
    return stand.train(init=stand.features)


@row("`train --init` that has seen a validation case")
def _(stand: Stand) -> Args:
    return stand.train(init=stand.pretrained)


@row("`crossval --init` that has seen a test case")
def _(stand: Stand) -> Args:
    return stand.crossval(init=stand.pretrained)


def _means(stand: Stand, width: int) -> Path:
    rng, n = np.random.default_rng(0), 60
    sites = np.array([f"site{k % 6}" for k in range(n)])
    kinds = np.array([f"type{k % 2}" for k in range(n)])
    names = np.array([f"slide{k}" for k in range(n)])
    path = stand.folder / "means.npz"
    np.savez(path, mean=rng.normal(size=(n, width)), site=sites, cancer_type=kinds, slide_id=names)
    return path


@row("`--directions-from` a table of another width")
def _(stand: Stand) -> Args:
    return stand.train(directions_from=_means(stand, 9), directions=2)


@row("`crossval --directions-from` a table of another width")
def _(stand: Stand) -> Args:
    return stand.crossval(directions_from=_means(stand, 9), directions=2)


@row("`--directions-from` a file of another kind")
def _(stand: Stand) -> Args:
    return stand.train(directions_from=stand.table, directions=2)


@row("`--directions-from` a damaged npz")
def _(stand: Stand) -> Args:
    path = _means(stand, 6)
    content = bytearray(path.read_bytes())
    content[300:360] = bytes(60)
    path.write_bytes(content)
    return stand.train(directions_from=path, directions=2)


@row("More `--directions` than the sites can show")
def _(stand: Stand) -> Args:
    return stand.train(directions=200)


@row("`--set` of a setting that does not exist")
def _(stand: Stand) -> Args:
    return stand.train(settings={"depth": 3})


@row("`--set` of a value out of its range")
def _(stand: Stand) -> Args:
    return stand.train(settings={"dropout": 3})


@row("`--set` of text for a number")
def _(stand: Stand) -> Args:
    return stand.train(settings={"d": "large"})


@row("`--set` of a width that the heads do not divide")
def _(stand: Stand) -> Args:
    return stand.train(settings={"heads": 3})


@row("A `--config` that is no TOML")
def _(stand: Stand) -> Args:
    (stand.folder / "config.toml").write_text("d: 16\n")
    return stand.train(config=stand.folder / "config.toml")


@row("A `--config` with tables")
def _(stand: Stand) -> Args:
    (stand.folder / "config.toml").write_text("[model]\nd = 16\n")
    return stand.train(config=stand.folder / "config.toml")


@row("`--val-fraction` of all cases")
def _(stand: Stand) -> Args:
    return stand.train(val_fraction=1)


@row("`--n-folds` 1")
def _(stand: Stand) -> Args:
    return stand.crossval(n_folds=1)


@row("`train --out`: a training that was stopped")
def _(stand: Stand) -> Args:
    shutil.copytree(stand.running, stand.folder / "out.running")
    return stand.train()


@row("`train --resume` with other settings")
def _(stand: Stand) -> Args:
    shutil.copytree(stand.running, stand.folder / "out.running")
    return stand.train(resume=True, settings={"lr_genes": 0.01})


@row("`train --resume` of a damaged running state")
def _(stand: Stand) -> Args:
    shutil.copytree(stand.running, stand.folder / "out.running")
    (stand.folder / "out.running" / "member_0.safetensors").write_bytes(bytes(300))
    return stand.train(resume=True)


def stops_after(patch: pytest.MonkeyPatch, epochs: int, error: BaseException) -> None:
    """The training ends with an error once the state of its so-manieth epoch is on disk."""
    whole, ended = Keeper.end_epoch, []

    def end_epoch(self: Keeper, *args: Any, **options: Any) -> None:
        whole(self, *args, **options)
        ended.append(self)
        if len(ended) == epochs:
            raise error

    patch.setattr(Keeper, "end_epoch", end_epoch)


def stopped(name: str, command: str, epochs: int, error: BaseException) -> None:
    """A row whose training ends after some epochs."""

    @row(name)
    def _(stand: Stand) -> Args:
        stops_after(stand.monkeypatch, epochs, error)
        args: Args = getattr(stand, command)()
        return args


stopped("`train` interrupted (Ctrl-C)", "train", 2, KeyboardInterrupt())
stopped("`pretrain` interrupted (Ctrl-C)", "pretrain", 1, KeyboardInterrupt())
stopped("`crossval` interrupted (Ctrl-C) in its second fold", "crossval", 6, KeyboardInterrupt())
CUDA_OUT = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nGPU 0 has a total of 9 GiB")
CPU_OUT = RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: not enough memory: you tried to")
stopped("`train` runs out of the GPU's memory", "train", 2, CUDA_OUT)
stopped("`pretrain` runs out of memory", "pretrain", 1, CPU_OUT)
stopped("`crossval` runs out of memory in its second fold", "crossval", 6, CPU_OUT)
