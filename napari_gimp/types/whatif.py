"""A question to a model as plain data: which genes are changed, which regions are left out, in the order asked.

JSON gives the same question back: a session stores it, an export names it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from napari_gimp.settings import InputError

EditKind = Literal["silence", "mean", "percentile", "value"]
EDIT_KINDS: tuple[EditKind, ...] = get_args(EditKind)
WHAT_IF = "what-if: "
"""How every name and label of such a result begins."""


@dataclass(frozen=True)
class GeneEdit:
    """One gene, or all genes of a group, at another expression.

    Parameters
    ----------
    target
        Name of a gene of the model, or of one of its gene groups.
    kind
        ``silence``: expression 0; ``mean``: the training cases' mean; ``percentile``: of the training cases (normal
        approximation); ``value``: in the checkpoint's working scale.
    amount
        The percentile (0 to 100, ends left out) or the value; None for the other kinds.
    is_group
        Whether ``target`` is a group.
    called
        Another name for readers, say the symbol of an identifier.

    Raises
    ------
    InputError
        Another kind, no amount where one is needed, or a percentile that is none.
    """

    target: str
    kind: EditKind
    amount: float | None = None
    is_group: bool = False
    called: str = ""

    def __post_init__(self) -> None:
        if self.kind not in EDIT_KINDS:
            raise InputError(f"What-if on {self.target}: expected one of {', '.join(EDIT_KINDS)}, found {self.kind!r}.")
        if (self.amount is not None) != (self.kind in ("percentile", "value")):
            raise InputError(
                f"What-if on {self.target}: expected a number for a percentile or a value alone, found"
                f" {self.kind} with {self.amount}."
            )
        if self.kind == "percentile" and not 0 < float(self.amount or 0) < 100:
            raise InputError(
                f"What-if on {self.target}: expected a percentile between 0 and 100, found {self.amount}; a normal"
                " distribution has no smallest and no largest value."
            )

    @property
    def words(self) -> str:
        """What is changed, in words: ``TP53 silenced``."""
        what = f"genes of {self.target}" if self.is_group else self.called or self.target
        if self.kind == "silence":
            return f"{what} silenced"
        if self.kind == "mean":
            return f"{what} at the training mean"
        if self.kind == "percentile":
            return f"{what} at percentile {self.amount:g} of training (normal approximation)"
        return f"{what} at {self.amount:.4g}"


@dataclass(frozen=True)
class RegionEdit:
    """The patches inside a layer's regions left out, or only they kept.

    Parameters
    ----------
    layer
        Name of the layer that the regions were drawn in.
    keep
        True keeps only what is inside, False leaves it out.
    kept, total
        How many patches are left, of how many.
    area
        The regions, as WKT in level-0 pixels (x, y): the layer may change, the question does not.
    """

    layer: str
    keep: bool
    kept: int
    total: int
    area: str = ""

    @property
    def words(self) -> str:
        """What is left of the slide, in words."""
        said = f"only the regions in {self.layer}" if self.keep else f"without the regions in {self.layer}"
        return f"{said} ({self.kept} of {self.total} patches)"


@dataclass(frozen=True)
class WhatIf:
    """The edits of a question; later ones count where two meet. At most one region edit: the last one counts."""

    edits: tuple[GeneEdit | RegionEdit, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.edits)

    @property
    def genes(self) -> tuple[GeneEdit, ...]:
        """The edits of genes, in order."""
        return tuple(edit for edit in self.edits if isinstance(edit, GeneEdit))

    @property
    def region(self) -> RegionEdit | None:
        """The region edit that counts."""
        return next((edit for edit in reversed(self.edits) if isinstance(edit, RegionEdit)), None)

    @property
    def effective(self) -> tuple[GeneEdit | RegionEdit, ...]:
        """The edits less region edits that a later one replaced."""
        return tuple(edit for edit in self.edits if isinstance(edit, GeneEdit) or edit is self.region)

    @property
    def label(self) -> str:
        """``what-if: TP53 silenced; ...``; empty without edits."""
        return WHAT_IF + "; ".join(edit.words for edit in self.effective) if self.edits else ""

    def to_json(self) -> list[dict[str, Any]]:
        """Plain lists, strings and numbers."""
        kinds = {GeneEdit: "genes", RegionEdit: "region"}
        return [{"edit": kinds[type(edit)], **asdict(edit)} for edit in self.edits]

    @classmethod
    def from_json(cls, edits: Any) -> WhatIf:
        """The inverse of `to_json`.

        Raises
        ------
        InputError
            Not a list of edits.
        """
        try:
            return cls(tuple(_edit(dict(each)) for each in edits))
        except (TypeError, KeyError, ValueError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"Expected a stored what-if (a list of edits), found something else: {error}.") from error


def _edit(stored: dict[str, Any]) -> GeneEdit | RegionEdit:
    if stored.pop("edit") == "region":
        return RegionEdit(**stored)
    amount = stored.pop("amount", None)
    return GeneEdit(**stored, amount=None if amount is None else float(amount))
