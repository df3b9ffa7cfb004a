"""A run that is interrupted, killed or out of disk leaves nothing half-written, and the same command finishes it."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from napari_gimp.bags import read_bag
from napari_gimp.slides import open_slide
from napari_gimp.synthetic.slide import write_pyramid

PATIENCE_S = 120
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def slide(tiny, tmp_path_factory) -> Path:
    """Some 900 small patches of tissue: several parts."""
    with open_slide(tiny.slide) as source:
        middle = source.levels[0][448:832, 448:832]
    path = tmp_path_factory.mktemp("slides") / "slide.tif"
    write_pyramid(path, middle, "synthetic")
    return path


def command(slide: Path, out: Path) -> list[str]:
    small = ["--patch-px", "64", "--patch-mpp", "0.1", "--device", "cpu"]
    program = [sys.executable, "-m", "napari_gimp", "embed", str(slide), "--encoder", "colour-texture"]
    return [*program, "--out", str(out), *small]


def stop_after_a_part(slide: Path, out: Path, signal_number: int) -> tuple[int, str]:
    """Start the command and send the signal once it has finished a part of its own; exit code and stderr."""
    before = set(out.glob("*.parts/part-*.npz"))
    with subprocess.Popen(
        command(slide, out),
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a background shell hands on "ignored"
    ) as child:
        deadline = time.monotonic() + PATIENCE_S
        while not set(out.glob("*.parts/part-*.npz")) - before:
            assert child.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
        child.send_signal(signal_number)
        _, said = child.communicate(timeout=PATIENCE_S)
    return child.returncode, said


def finish(slide: Path, out: Path) -> str:
    done = subprocess.run(
        command(slide, out), capture_output=True, text=True, env=ENVIRONMENT, check=True, timeout=PATIENCE_S
    )
    return done.stderr


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_an_interrupted_and_then_killed_run_is_finished_by_the_same_command(slide, tmp_path) -> None:
    code, said = stop_after_a_part(slide, tmp_path, signal.SIGINT)
    assert code == 130
    assert said.splitlines()[-1] == (
        "napari-gimp: interrupted; finished parts are kept and the same command goes on from them"
        " (a training with --resume)."
    )
    assert "Traceback" not in said
    (parts,) = tmp_path.iterdir()
    assert all(path.match("part-*.npz") for path in parts.iterdir())

    code, _ = stop_after_a_part(slide, tmp_path, signal.SIGKILL)
    assert code == -signal.SIGKILL
    assert [path.name for path in tmp_path.iterdir()] == [parts.name]

    said = finish(slide, tmp_path)
    started = re.search(r"embedding: (\d+) of (\d+) patches", said)
    assert started is not None
    assert int(started[1]) > 512  # not from the beginning
    assert {path.name for path in tmp_path.iterdir()} == {"slide.h5", "slide.tissue.geojson", "slide.qc.png"}
    assert len(read_bag(tmp_path / "slide.h5")) == int(started[2])


def test_a_disk_that_is_really_full(slide, tmp_path) -> None:
    """On a memory disk of 300 kB in a mount namespace of its own."""
    apart = ["unshare", "--map-root-user", "--mount", "sh", "-c"]
    mount = f"mount -t tmpfs -o size=300k none {shlex.quote(str(tmp_path))}"
    if shutil.which("unshare") is None or subprocess.run([*apart, mount], capture_output=True, check=False).returncode:
        pytest.skip("needs user namespaces (unshare) to mount a small disk")
    run = shlex.join(command(slide, tmp_path))
    listing = f"cd {shlex.quote(str(tmp_path))} && find . -type f"
    script = f"{mount} && {{ {run}; echo code $?; {listing}; }}"
    done = subprocess.run([*apart, script], capture_output=True, text=True, env=ENVIRONMENT, check=False)
    reason = done.stderr.splitlines()[-1]
    assert re.fullmatch(
        r"napari-gimp: .*: expected to write there, found: No space left on device; free some space or choose"
        r" another folder\.",
        reason,
    )
    assert "Traceback" not in done.stderr
    code, *files = done.stdout.splitlines()
    assert code == "code 2"
    assert all(re.fullmatch(r"\./\w+\.parts/part-.*\.npz|\./slide\.(tissue\.geojson|qc\.png)", file) for file in files)
