"""TCGA barcodes: who, from where, and what kind of tissue a name stands for.

A barcode reads ``TCGA-05-4249-01A-11R-...``: case = first 12 characters, site = characters 6-7, sample type =
characters 14-15 (01 primary tumour, 11 solid normal), then vial and portion
(https://docs.gdc.cancer.gov/Encyclopedia/pages/TCGA_Barcode/).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

_BARCODE = re.compile(
    r"TCGA[-.]([A-Z0-9]{2})[-.]([A-Z0-9]{4})(?:[-.](\d{2})([A-Z])?(?:[-.](\d{2})[A-Z]?)?)?(?![A-Z0-9])", re.IGNORECASE
)
_ENDINGS = re.compile(
    r"(\.ome)?\.(svs|tiff?|ndpi|mrxs|scn|bif|czi|vms|vmu|dcm|svslide|png|jpe?g|h5|pt|zarr)$", re.IGNORECASE
)


@dataclass(frozen=True)
class Barcode:
    """The parts of a TCGA barcode; what the name does not have is None."""

    name: str
    case: str
    site: str
    sample_type: str | None = None
    vial: str | None = None
    portion: str | None = None

    @property
    def is_normal(self) -> bool:
        """Sample types 10 to 19: blood, solid tissue and other normals."""
        return self.sample_type is not None and self.sample_type.startswith("1")

    @property
    def rank(self) -> tuple[str, str, str]:
        """Sorts by vial, portion, name: the lowest is taken."""
        return self.vial or "", self.portion or "", self.name


@lru_cache(maxsize=1 << 16)
def parse_barcode(name: str) -> Barcode | None:
    """Take the barcode of a case, sample, aliquot or slide (dashes, or R's dots) apart; None for any other name."""
    found = _BARCODE.match(name.strip())
    if found is None:
        return None
    site, patient, kind, vial, portion = (part.upper() if part else part for part in found.groups())
    return Barcode(name, f"TCGA-{site}-{patient}", str(site), kind, vial, portion)


def case_of(name: str) -> str:
    """The case of a slide or sample: the first 12 characters of a TCGA barcode, else the name without its ending."""
    barcode = parse_barcode(name)
    return barcode.case if barcode else plain_name(name)


def site_of(name: str) -> str | None:
    """The tissue-source site in a TCGA barcode (characters 6-7), None for any other name."""
    barcode = parse_barcode(name)
    return barcode.site if barcode else None


def plain_name(name: str) -> str:
    """A name without surrounding blanks and the endings of slide and feature files."""
    return _ENDINGS.sub("", name.strip())
