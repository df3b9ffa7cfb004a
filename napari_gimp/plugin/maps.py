"""Prediction -> patch maps: one number per patch, by key, with its title, unit and colours. Pure functions, no window.

Keys, in the order in which they are offered::

    attention                  last layer, mean over heads (METHOD section 8)
    attention/all              mean over all layers and heads
    attention/1/mean           the mean of an earlier layer, counted from 1
    attention/1/3              layer 1, head 3, both counted from 1
    support/LUAD               signed class support, against the other classes' mean
    error                      masked reconstruction error
    spread                     standard deviation of attention over the members of the checkpoint
    group/NAME/LUAD            how the support for LUAD changes when the gene group is set to the cohort mean
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from napari_gimp.settings import InputError
from napari_gimp.types import Prediction, against_others

ATTENTION, ERROR, SUPPORT, SPREAD, GROUP = "attention", "error", "support", "spread", "group"
COLORMAPS = {ATTENTION: "viridis", ERROR: "cividis", SUPPORT: "orange-blue", SPREAD: "magma", GROUP: "orange-blue"}
"""Safe for colour-blind readers. Those of one sign are perceptually uniform; the signed one is clear at 0."""
SIGNED = (SUPPORT, GROUP)
ERROR_UNITS = {"l1": "mean |difference|", "cosine": "1 − cosine"}
TIMES_MEAN, LOGIT = "× slide mean", "logit"


@dataclass(frozen=True, eq=False)
class PatchMap:
    """One number per patch of a result.

    Parameters
    ----------
    key, title, unit
        What it is: for programs, for readers, and what its numbers are.
    values
        (N,) float32, patches in the order of the prediction's grid.
    colormap
        Name of the colours that it is shown in.
    signed
        Whether 0 is the middle of the colours.
    """

    key: str
    title: str
    unit: str
    values: Float[np.ndarray, " N"]
    colormap: str
    signed: bool = False


def map_titles(prediction: Prediction, members: int = 1) -> dict[str, str]:
    """Key -> title of every map that a prediction holds, in the order in which they are offered; cheap.

    Parameters
    ----------
    members
        How many models share the rows of heads: those of one stand together.
    """
    layers, rows, _ = prediction.attention.shape
    titles = {ATTENTION: "attention"}
    titles |= {f"{SUPPORT}/{name}": f"support for {name}" for name in _classes(prediction)}
    if prediction.reconstruction_error is not None:
        titles[ERROR] = "reconstruction error"
    if members > 1:
        titles[SPREAD] = f"spread of attention over {members} members"
    for group in prediction.group_support:
        change = f"{group} at the training mean: change for"
        titles |= {f"{GROUP}/{group}/{name}": f"{change} {name}" for name in prediction.classes}
    if layers > 1:
        titles[f"{ATTENTION}/all"] = "attention, all layers"
    for layer in range(layers, 0, -1):
        if layer < layers:
            titles[f"{ATTENTION}/{layer}/mean"] = f"attention, layer {layer}"
        for row in range(1, rows + 1):
            titles[f"{ATTENTION}/{layer}/{row}"] = _head_title(layer, row, layers, rows, members)
    return titles


def _classes(prediction: Prediction) -> tuple[str, ...]:
    return () if prediction.class_support is None else prediction.classes


def _head_title(layer: int, row: int, layers: int, rows: int, members: int) -> str:
    each = rows // members
    member = f"member {(row - 1) // each + 1}, " if members > 1 else ""
    of = f"layer {layer}, " if layer < layers else ""
    return f"attention, {of}{member}head {(row - 1) % each + 1}"


def patch_map(prediction: Prediction, key: str, members: int = 1) -> PatchMap:
    """The map of this key.

    Raises
    ------
    InputError
        The prediction holds no such map.
    """
    title = map_titles(prediction, members).get(key)
    if title is None:
        raise InputError(f"{prediction.slide.name}: expected one of its maps, found {key!r}; run GiMP again for it.")
    kind = key.split("/")[0]
    return PatchMap(
        key, title, _unit(prediction, kind), np.asarray(_values(prediction, key, members), np.float32),
        COLORMAPS[kind], kind in SIGNED,
    )  # fmt: skip


def _unit(prediction: Prediction, kind: str) -> str:
    if kind == ERROR:
        return ERROR_UNITS[prediction.provenance.get("maps", {}).get("error", "l1")]
    return LOGIT if kind in SIGNED else TIMES_MEAN


def _values(prediction: Prediction, key: str, members: int) -> np.ndarray:
    kind, *rest = key.split("/")
    n = len(prediction.grid)
    if kind == ATTENTION:
        return np.asarray(_attention(prediction, rest) * n)
    if kind == SPREAD:
        heads = prediction.attention[-1].reshape(members, -1, n)
        return np.asarray(heads.mean(axis=1).std(axis=0) * n)
    if kind == ERROR:
        assert prediction.reconstruction_error is not None  # it has a title
        return prediction.reconstruction_error
    maps, name = _signed(prediction, key)
    return np.asarray(against_others(maps)[prediction.classes.index(name)])


def _signed(prediction: Prediction, key: str) -> tuple[np.ndarray, str]:
    """The (C, N) maps that a signed key means, and its class: both may have a slash in their names."""
    if key.startswith(f"{SUPPORT}/"):
        assert prediction.class_support is not None  # it has a title
        return prediction.class_support, key.removeprefix(f"{SUPPORT}/")
    pairs = ((group, name) for group in prediction.group_support for name in prediction.classes)
    group, name = next(pair for pair in pairs if key == f"{GROUP}/{pair[0]}/{pair[1]}")
    return prediction.group_support[group], name


def _attention(prediction: Prediction, rest: list[str]) -> np.ndarray:
    if not rest:
        return prediction.mean_attention
    if rest == ["all"]:
        return np.asarray(prediction.attention.mean(axis=(0, 1)))
    heads = prediction.attention[int(rest[0]) - 1]
    return np.asarray(heads.mean(axis=0) if rest[1] == "mean" else heads[int(rest[1]) - 1])
