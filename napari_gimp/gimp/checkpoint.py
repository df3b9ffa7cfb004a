"""A checkpoint is one folder: ``model.safetensors`` and ``checkpoint.json``. It rebuilds its model alone.

Nothing is unpickled. Importing this module, and reading what a checkpoint says of itself, loads no torch.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_gimp.files import appearing
from napari_gimp.gimp.card import AGAIN, CARD, WEIGHTS, CheckpointError, config_of, facts_of, read_card, write_card
from napari_gimp.gimp.config import ModelConfig
from napari_gimp.gimp.typical import Typical
from napari_gimp.settings import InputError
from napari_gimp.types import CheckpointFacts

TYPICAL = "typical."
"""Prefix of the arrays of `Typical` among the weights."""

if TYPE_CHECKING:
    from torch import Tensor

    from napari_gimp.gimp.ensemble import Ensemble
    from napari_gimp.gimp.model import GiMP


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """The members in evaluation mode, with what their checkpoint says; ``id`` changes with its weights and its card.

    ``typical``: what the training cases were like, where that is known. ``calibrated``: its probabilities are.
    """

    model: Ensemble
    facts: CheckpointFacts
    id: str
    typical: Typical | None = None
    calibrated: bool = False


def save_checkpoint(
    folder: Path,
    members: GiMP | Sequence[GiMP],
    facts: CheckpointFacts,
    *,
    calibration: Mapping[str, Any] | None = None,
    typical: Typical | None = None,
    overwrite: bool = False,
) -> Path:
    """Write a checkpoint, whole or not at all: a folder beside it is filled, then renamed.

    Parameters
    ----------
    members
        A model, or several of one shape (seeds) that are to be averaged.
    calibration
        ``temperatures`` (modality -> number) or ``weights`` (modality -> part -> number) of the head, and whatever
        else is to be remembered of how they were found.
    typical
        What standardised mean embeddings of the training cases are like.

    Raises
    ------
    InputError
        The folder exists and is not to be overwritten, is something else than a checkpoint, or the facts do not fit
        the model.
    """
    folder = Path(folder)
    models = tuple(members) if isinstance(members, Sequence) else (members,)
    check_free(folder, overwrite)
    for model in models:
        _check_fit(model, facts)
    with appearing(folder) as beside:
        beside.mkdir()
        _write(beside, models, facts, calibration, typical)
    return folder


def check_free(folder: Path, overwrite: bool) -> None:
    """Before hours of training as before writing: may a checkpoint take this place?

    Raises
    ------
    InputError
        Something is there that may not be overwritten, or nothing may be written there.
    """
    nearest = next(place for place in folder.absolute().parents if place.exists())
    if not os.access(nearest, os.W_OK):
        raise InputError(f"{folder}: expected to write there, found no permission in {nearest}; choose another place.")
    if not folder.exists():
        return
    if not overwrite:
        raise InputError(f"{folder} exists already: choose another place, or --overwrite to replace it.")
    foreign = not folder.is_dir() or {item.name for item in folder.iterdir()} - {WEIGHTS, CARD}
    if foreign:
        raise InputError(f"{folder}: expected a checkpoint to overwrite, found something else; choose another place.")


def read_facts(folder: Path) -> CheckpointFacts:
    """What a checkpoint says of itself, without its weights.

    Raises
    ------
    CheckpointError
        No checkpoint, a damaged one, or one of a newer napari-gimp.
    """
    return facts_of(read_card(Path(folder)), Path(folder))


def read_config(folder: Path) -> ModelConfig:
    """Sizes and choices of a checkpoint's model, without its weights; raises as `read_facts`."""
    return config_of(read_card(Path(folder)), Path(folder))


def checkpoint_id(folder: Path) -> str:
    """Hash (hex) that changes with the weights and the card of a checkpoint; the card holds the weights' own hash.

    Raises
    ------
    OSError
        The card cannot be read.
    """
    return hashlib.sha256((Path(folder) / CARD).read_bytes()).hexdigest()


def load_model(folder: Path, device: str = "cpu") -> LoadedModel:
    """Rebuild the members from their checkpoint alone, in evaluation mode, calibrated.

    Parameters
    ----------
    folder
        The checkpoint.
    device
        A torch device: ``cpu``, ``cuda``, ``cuda:1``, ``mps``.

    Raises
    ------
    CheckpointError
        No checkpoint, a damaged one, or one of a newer napari-gimp.
    InputError
        A device that is not there.
    """
    folder = Path(folder)
    card = read_card(folder)
    facts, target = facts_of(card, folder), _device(device)
    config, weights = config_of(card, folder), _weights(folder, card)
    typical = _typical_of(weights)
    states = _states(weights, int(card.get("members", 1)))
    try:
        model = _build(config, facts, states)
    except (RuntimeError, KeyError) as error:
        raise CheckpointError(f"{folder}: the weights do not fit the model that {CARD} describes; {AGAIN}") from error
    calibration = card.get("calibration") or {}
    for member in model.members:
        member.classifier.calibrate(calibration)
    return LoadedModel(model.to(target).eval(), facts, checkpoint_id(folder), typical, bool(calibration))


def _check_fit(model: GiMP, facts: CheckpointFacts) -> None:
    said = (facts.embedding_dim, len(facts.genes), len(facts.classes))
    built = (model.embedding_dim, model.genes, model.classes)
    if said != built:
        raise InputError(
            f"Checkpoint {facts.name}: expected facts of a model with embeddings {built[0]} wide, {built[1]} genes and"
            f" {built[2]} classes, found {said[0]}, {said[1]} and {said[2]}."
        )


def _write(
    folder: Path,
    members: Sequence[GiMP],
    facts: CheckpointFacts,
    calibration: Mapping[str, Any] | None,
    typical: Typical | None,
) -> None:
    import torch
    from safetensors.torch import save

    state = {
        f"{_prefix(i, len(members))}{name}": tensor.detach().cpu().clone().contiguous()
        for i, model in enumerate(members)
        for name, tensor in model.state_dict().items()
    }
    if typical is not None:
        state |= {f"{TYPICAL}{name}": torch.tensor(value).float() for name, value in vars(typical).items()}
    (folder / WEIGHTS).write_bytes(save(state))  # save_file would make it readable for its owner alone
    card = {
        "facts": dataclasses.asdict(facts),
        "model": dataclasses.asdict(members[0].config),
        "members": len(members),
        "groups": _groups(members[0]),
        "scaling_sha256": [_scaling_hash(model) for model in members],
        "calibration": calibration,
        "weights_sha256": _hash(folder / WEIGHTS),
    }
    write_card(folder, card)


def _prefix(member: int, members: int) -> str:
    return f"members.{member}." if members > 1 else ""


def _groups(model: GiMP) -> list[int] | None:
    """Gene groups, fragments of each, genes of each; None without GroupMSA."""
    table = getattr(model.gene_encoder, "table", None)
    return None if table is None else list(table.shape)


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _scaling_hash(model: GiMP) -> str:
    parts = (model.aggregator.scaling, model.gene_scaling)
    arrays = [array.detach().cpu().numpy().tobytes() for part in parts for array in (part.mean, part.sd)]
    return hashlib.sha256(b"".join(arrays)).hexdigest()


def _states(weights: dict[str, Tensor], members: int) -> list[dict[str, Tensor]]:
    """The weights of each member."""
    if members == 1:
        return [weights]
    prefixes = [_prefix(i, members) for i in range(members)]
    return [{name.removeprefix(p): w for name, w in weights.items() if name.startswith(p)} for p in prefixes]


def _typical_of(weights: dict[str, Tensor]) -> Typical | None:
    """Take out what says how training cases are, where it is there."""
    names = [name for name in weights if name.startswith(TYPICAL)]
    found = {name.removeprefix(TYPICAL): weights.pop(name).numpy() for name in names}
    if not found:
        return None
    return Typical(found["mean"], found["axes"], float(found["rest_sd"]), found["distances"])


def _weights(folder: Path, card: dict[str, Any]) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = folder / WEIGHTS
    if not path.is_file():
        raise CheckpointError(f"{folder}: expected {WEIGHTS} beside {CARD}, found none; {AGAIN}")
    if _hash(path) != card.get("weights_sha256"):
        raise CheckpointError(f"{folder}: {WEIGHTS} is not the file that {CARD} was written with; {AGAIN}")
    try:
        return load_file(path)
    except SafetensorError as error:
        raise CheckpointError(f"{folder}: {WEIGHTS} is not readable as safetensors; {AGAIN}") from error


def _build(config: ModelConfig, facts: CheckpointFacts, states: Sequence[Mapping[str, Tensor]]) -> Ensemble:
    """Models of that shape with those weights, leaving the global random state as it was."""
    import torch

    from napari_gimp.gimp.ensemble import Ensemble
    from napari_gimp.gimp.model import GiMP

    sizes = {"embedding_dim": facts.embedding_dim, "genes": len(facts.genes), "classes": len(facts.classes)}
    members = []
    for state in states:
        with torch.random.fork_rng(devices=[]):
            member = GiMP(config, **sizes, gene_table=state.get("gene_encoder.table"))
        member.load_state_dict(state)
        members.append(member)
    return Ensemble(members)


def _device(name: str) -> Any:
    import torch

    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise InputError(
            f"Expected a device of this computer, found {name!r}, which is not there; use 'cpu'."
        ) from error
    return device
