"""The running state of a training in one file, so that a killed one goes on as if nothing had happened.

Tensors lie in a safetensors file, everything else in its header as JSON: nothing is unpickled.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from napari_gimp.files import remove, write_whole
from napari_gimp.gimp.steps import StageName, Step, mean_step
from napari_gimp.settings import InputError

FORMAT = 1


def write_state(path: Path, state: Mapping[str, Any]) -> None:
    """Write dicts and lists of tensors, numbers and text, whole or not at all.

    Raises
    ------
    InputError
        It cannot be written.
    """
    tensors: dict[str, Tensor] = {}
    said = json.dumps(_without_tensors(state, tensors))
    write_whole(path, lambda beside: save_file(tensors, beside, {"state": said}))


def read_state(path: Path) -> dict[str, Any]:
    """What `write_state` wrote; tuples come back as lists.

    Raises
    ------
    InputError
        Not such a file.
    """
    try:
        with safe_open(path, "pt") as file:
            said = json.loads((file.metadata() or {})["state"])
            state = _with_tensors(said, {name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise InputError(
            f"{path}: expected the running state of a training, found something else;"
            " delete it, or start anew with --overwrite."
        ) from error
    assert isinstance(state, dict)
    return state


def _without_tensors(value: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, Tensor):
        name = f"t{len(tensors)}"
        tensors[name] = value.detach().cpu().clone().contiguous()
        return {"$tensor": name}
    if isinstance(value, Mapping):
        return {"$items": [[key, _without_tensors(inner, tensors)] for key, inner in value.items()]}
    if isinstance(value, list | tuple):
        return [_without_tensors(inner, tensors) for inner in value]
    return value


def _with_tensors(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    if isinstance(value, list):
        return [_with_tensors(inner, tensors) for inner in value]
    if not isinstance(value, dict):
        return value
    if "$tensor" in value:
        return tensors[value["$tensor"]]
    return {key: _with_tensors(inner, tensors) for key, inner in value["$items"]}


class Keeper:
    """Keeps where a training stands after every epoch, and gives it back to one that goes on.

    Stages are counted in the order in which they begin. `history` holds one `Step` an epoch: those of the past run,
    then the new ones. With several processes all read, and only the first one writes.

    Parameters
    ----------
    path
        The state's file; None keeps the history alone.
    run
        What must be the same for a training to go on: settings, cases, seed (JSON values).
    resume
        Go on from the file if it is there; else a file that is there is overwritten.

    Raises
    ------
    InputError
        The file is no running state, or that of another run.
    """

    def __init__(self, path: Path | None = None, run: Mapping[str, Any] | None = None, resume: bool = False) -> None:
        self.path, self.run = path, json.loads(json.dumps(dict(run or {})))
        self.position, self.history = -1, list[Step]()
        self._epoch: list[Step] = []
        self._saved: dict[str, Any] = {}
        if path is not None and resume and path.exists():
            self._saved = self._checked(read_state(path))
            self.history = [Step(**step) for step in self._saved["history"]]

    def _checked(self, saved: dict[str, Any]) -> dict[str, Any]:
        before = saved.get("run", {})
        other = sorted(key for key in {*before, *self.run} if before.get(key) != self.run.get(key))
        if saved.get("format") != FORMAT or other:
            what = ", ".join(other) or "version"
            raise InputError(
                f"{self.path}: expected the running state of this training, found that of another (it differs in"
                f" {what}); give the same settings and cases, or start anew with --overwrite."
            )
        return saved

    @property
    def position_saved(self) -> int:
        """The stage that the past run stood in, -1 without one."""
        return int(self._saved.get("position", -1))

    def begin(self, stage: StageName) -> dict[str, Any]:
        """The state to go on from, empty where this stage begins anew; of a stage that is over, ``over`` is true.

        Raises
        ------
        InputError
            The past run had another stage here.
        """
        self.position += 1
        if self.position < self.position_saved:
            return {"over": True}
        if self.position > self.position_saved:
            return {}
        if self._saved["stage"] != stage:
            raise InputError(
                f"{self.path}: expected a training in stage {stage}, found {self._saved['stage']};"
                " give the same settings, or start anew with --overwrite."
            )
        return {**self._saved["state"], "over": False}

    def note(self, step: Step) -> None:
        """A step of the running epoch."""
        self._epoch.append(step)

    def end_epoch(self, stage: StageName, state: Mapping[str, Any], write: bool = True) -> None:
        """Close the epoch in the history and write the state.

        Raises
        ------
        InputError
            It cannot be written.
        """
        self.history.append(mean_step(self._epoch))
        self._epoch = []
        if self.path is not None and write:
            facts = {"format": FORMAT, "run": self.run, "position": self.position, "stage": stage}
            write_state(self.path, {**facts, "state": state, "history": [asdict(step) for step in self.history]})

    def remove(self) -> None:
        """Delete the file: the training is over and its checkpoint written."""
        if self.path is not None:
            remove(self.path)
