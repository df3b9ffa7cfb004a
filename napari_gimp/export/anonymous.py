"""A result without names: slide, sample, case, files and folders give way to a neutral name, the same for one slide.

Written sentences may hold names in any place, so names are looked for in every text of a result: whole, in pieces
(``SMITH`` of ``SMITH_12-3``), as TCGA barcodes and as file names. Classes, genes and gene groups are the model's and
stay as they are.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import Any

from platformdirs import user_data_path

from napari_gimp.export.plain import plain_text
from napari_gimp.files import write_text_whole
from napari_gimp.regions import Region
from napari_gimp.settings import InputError
from napari_gimp.types import Prediction, SlideFacts

BARCODE = re.compile(r"\bTCGA-\w{2}-\w{4}(?:[-.]\w+)*", re.IGNORECASE)
ENDINGS = (
    "svs tif tiff ndpi mrxs scn bif vms vmu dcm czi zarr h5 hdf5 h5ad npz npy csv tsv txt gz zip xls xlsx json geojson"
    " xml gct gmt onnx safetensors pt pth png jpg jpeg toml pdf html result"
)
FILE = re.compile(rf"[^\s'\"`,;()\[\]<>]+\.(?:{'|'.join(ENDINGS.split())})\b", re.IGNORECASE)
LONG_FILE = re.compile(
    rf"(?<![\w.~/\\:])(?:file:/{{0,2}}|~|[A-Za-z]:)?[/\\]{{1,2}}(?=\S)[^\n'\"]*?\.(?:{'|'.join(ENDINGS.split())})\b",
    re.IGNORECASE,
)
"""An absolute path up to the ending of its file, whatever blanks its folders have in their names."""
_ORDINARY = (
    "slide sample patient case tumor tumour tissue normal lung image profile synthetic pseudo gene genes count counts"
    " expression cohort primary diagnostic biopsy model data file patch patches augmented star stranded unstranded fpkm"
    " that this with from were none stroma necrosis inflammation artefact"
)
ORDINARY = frozenset(_ORDINARY.split())
"""Words that a file may be named with and that sentences need."""
SHORTEST_PIECE = 4
SHORT_NAME = re.compile(r"(?=.*\d)(?=.*[A-Za-z])\w{2,3}")
"""Names as short as S1 are looked for as whole words."""


@dataclass(frozen=True)
class Veil:
    """Replaces names in texts.

    Parameters
    ----------
    name
        What stands in their place.
    names
        What must not be read: whole names, longest first, then their pieces.
    kept
        Words, in lower case, that pieces may not take away: those of classes and of the checkpoint.
    """

    name: str
    names: tuple[str, ...]
    kept: frozenset[str] = frozenset()

    def text(self, text: str) -> str:
        """The text without names, barcodes, file names and folders."""
        text = self._unnamed(plain_text(LONG_FILE.sub("file", text)))
        text = BARCODE.sub(self.name, FILE.sub("file", text))
        for piece in self._pieces():
            text = re.sub(rf"(?<![^\W_]){re.escape(piece)}(?![^\W_])", self.name, text, flags=re.IGNORECASE)
        return text

    def value(self, value: Any) -> Any:
        """Whatever a record holds, with its texts unnamed; a path becomes its kind alone."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, PurePath):
            return f"file{value.suffix}"
        if isinstance(value, Mapping):
            return {self.value(key): self.value(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return tuple(map(self.value, value))
        return value

    def regions(self, regions: Sequence[Region]) -> tuple[Region, ...]:
        """The user's regions with their names and classes unnamed."""
        return tuple(
            replace(
                region,
                name=self.text(region.name),
                classification=None if region.classification is None else self.text(region.classification),
            )
            for region in regions
        )

    def _unnamed(self, text: str) -> str:
        for name in self.names:
            if name.lower() in ORDINARY:
                continue
            if len(name) >= SHORTEST_PIECE or name == text:
                text = re.sub(re.escape(name), self.name, text, flags=re.IGNORECASE)
            elif SHORT_NAME.fullmatch(name) and name.lower() not in self.kept:
                text = re.sub(rf"\b{re.escape(name)}\b", self.name, text, flags=re.IGNORECASE)
        return text

    def _pieces(self) -> list[str]:
        """Words of the names that could be somebody's: letters, long or hyphenated numbers, nothing ordinary."""
        words = {word.lower() for name in self.names for word in re.split(r"[\W_]+", name)}
        words |= {word.lower() for name in self.names for word in re.split(r"[\s_]+", name) if re.search(r"\d", word)}
        found = (word for word in words - self.kept - ORDINARY if len(word) >= SHORTEST_PIECE)
        return sorted(found, key=lambda word: (-len(word), word))


def neutral_name(identity: str, salt: bytes) -> str:
    """A name that says nothing of the slide and is the same for it whenever the salt is the same."""
    return f"case-{hashlib.sha256(salt + identity.encode()).hexdigest()[:8]}"


def user_salt(folder: Path | None = None) -> bytes:
    """The user's own secret behind neutral names, made on first use; a new one each time where none can be kept.

    Parameters
    ----------
    folder
        Where it is kept; the user's data folder by default.
    """
    path = (folder or user_data_path("napari-gimp")) / "neutral-names.salt"
    with suppress(OSError, UnicodeDecodeError):
        found = path.read_text(encoding="ascii").strip()
        if len(found) == 64:
            return found.encode()
    made = secrets.token_hex(32)
    with suppress(InputError):
        write_text_whole(path, made)
    return made.encode()


def veil_of(prediction: Prediction, *, salt: bytes, hide: Iterable[str | Path] = ()) -> Veil:
    """The veil over a result.

    Parameters
    ----------
    hide
        Other names that must not be read: of the case, and the paths of the slide, the profile and the checkpoint.
    """
    record = prediction.provenance
    found = [
        prediction.slide.name,
        prediction.sample,
        _at(record, "profile", "sample"),
        _at(record, "chosen", "ready_bag"),
    ]
    said = " ".join((*prediction.classes, *(group.name for group in prediction.groups), prediction.synthetic))
    said += f" {record.get('checkpoint', '')} {_at(record, 'bag', 'encoder') or ''}"
    return _veil(neutral_name(prediction.slide.identity, salt), [*found, *hide], said)


def veil_of_slide(facts: SlideFacts, *, hide: Iterable[str | Path] = (), kept: Iterable[str] = ()) -> Veil:
    """The veil over the user's own words about a slide: ``slide`` stands in the place of names.

    Parameters
    ----------
    hide
        Other names that must not be read.
    kept
        Words that stay though they are pieces of a name, say the classes of a result.
    """
    return _veil("slide", [facts.name, *hide], " ".join(kept))


def _veil(name: str, hidden: Iterable[str | Path | None], said: str = "") -> Veil:
    names = {part for each in hidden if each for part in _names(each)}
    return Veil(
        name,
        tuple(sorted(names, key=lambda each: (-len(each), each))),
        frozenset(word.lower() for word in re.split(r"[\W_]+", said)),
    )


def _names(given: str | Path) -> set[str]:
    """A name as it is and without its endings; of a path, that of the file."""
    name = PurePath(given).name if isinstance(given, PurePath) else str(given)
    return {part for part in (name, PurePath(name).stem, name.split(".")[0]) if part}


def _at(record: Mapping[str, Any], *keys: str) -> Any:
    for key in keys:
        record = (record or {}).get(key) or {}
    return record or None


def anonymised(prediction: Prediction, veil: Veil) -> Prediction:
    """The result under its neutral name: same numbers, no name in any of its texts."""
    slide = replace(
        prediction.slide,
        name=veil.name,
        identity=veil.name,
        notes=tuple(map(veil.text, prediction.slide.notes)),
    )
    return replace(
        prediction,
        slide=slide,
        sample=None if prediction.sample is None else veil.name,
        notes=tuple(map(veil.text, prediction.notes)),
        provenance=veil.value(prediction.provenance),
    )
