"""Where embeddings are kept: ``<cache>/<encoder id>/<slide>.<12 hex>.h5``, what stands beside, what goes first."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path

import h5py

OWN_NAME = re.compile(r".+\.([0-9a-f]{12})\.h5")


def cached_bag(cache: Path, encoder_id: str, slide: str, fingerprint: str) -> Path:
    """The file of a bag in a cache; its name says with which settings it was made."""
    return cache / encoder_id / f"{slide}.{fingerprint[:12]}.h5"


def tissue_path(bag: Path) -> Path:
    """The tissue's outline beside a bag."""
    return bag.with_name(f"{bag.stem}.tissue.geojson")


def qc_path(bag: Path) -> Path:
    """The picture of tissue and patches beside a bag."""
    return bag.with_name(f"{bag.stem}.qc.png")


def mark_used(bag: Path) -> None:
    """Let a bag count as used now; where that cannot be written it stays as old as it was."""
    with suppress(OSError):
        os.utime(bag)


def trim(cache: Path, limit_bytes: float) -> list[Path]:
    """Remove our bags used longest ago, each with what stands beside it, while they take more than the limit.

    A file is ours when its name ends in the first digits of the fingerprint that stands in it; all others stay.

    Returns
    -------
    The removed bags, first the one used longest ago.
    """
    kept = {bag: bag.stat() for bag in cache.rglob("*.h5") if OWN_NAME.fullmatch(bag.name) and bag.is_file()}
    total, removed = sum(stat.st_size for stat in kept.values()), []
    for bag in sorted(kept, key=lambda bag: kept[bag].st_mtime):
        if total <= limit_bytes:
            break
        if _is_ours(bag) and _remove(bag):
            total -= kept[bag].st_size
            removed.append(bag)
    return removed


def _is_ours(bag: Path) -> bool:
    """Whether the fingerprint in a file is the one that its name speaks of."""
    name = OWN_NAME.fullmatch(bag.name)
    try:
        with h5py.File(bag, "r") as file:
            said = str(file.attrs.get("fingerprint", ""))
    except OSError:
        return False
    return name is not None and said.startswith(name[1])


def _remove(bag: Path) -> bool:
    try:
        for path in (bag, tissue_path(bag), qc_path(bag)):
            path.unlink(missing_ok=True)
    except OSError:
        return False
    return True
