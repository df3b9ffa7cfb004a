"""Outputs that cannot be written, encoders, devices and arguments that do not exist."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from bad_input_lab import Args, Desk, Lab, copied_checkpoint, painted, row
from conftest import write_tiny_cohort


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
    bag, checkpoint = Path(shutil.copy(lab.bag, desk.folder)), copied_checkpoint(lab, desk)
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


@row("An argument left out")
def _(lab: Lab, desk: Desk) -> Args:
    return ["embed", lab.tiny.slide, "--out", desk.out]


@row("An argument that does not exist")
def _(lab: Lab, desk: Desk) -> Args:
    return [*lab.embed(lab.tiny.slide, out=desk.out), "--magnification", "20"]


@row("A settings file that is no TOML")
def _(lab: Lab, desk: Desk) -> Args:
    (desk.folder / "settings.toml").write_text("layers: 2\n")
    tiny = write_tiny_cohort(desk.folder)
    cohort: Args = ["--cohort", tiny.table, "--features", tiny.features]
    return ["train", *cohort, "--config", desk.folder / "settings.toml", "--out", desk.out]


@row("Text for a number")
def _(lab: Lab, desk: Desk) -> Args:
    return lab.embed(lab.tiny.slide, out=desk.out, more=["--mpp", "half"])
