"""Which format a file is in, by its first bytes, so that a refusal can name it."""

from __future__ import annotations

from pathlib import Path

from napari_gimp.slides.tiles import SlideError

TIFF_MAGIC = (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")
PICTURES = {
    b"\x89PNG\r\n\x1a\n": "PNG picture",
    b"\xff\xd8\xff": "JPEG picture",
    b"BM": "BMP picture",
    b"\x00\x00\x00\x0cjP  ": "JPEG 2000 picture",
}
WITH_OPENSLIDE = {
    ".mrxs": "MIRAX (MRXS)",
    ".dcm": "DICOM",
    ".czi": "Zeiss CZI",
    ".zvi": "Zeiss ZVI",
    ".vms": "Hamamatsu VMS",
    ".vmu": "Hamamatsu VMU",
    ".ndpi": "Hamamatsu NDPI",
    ".scn": "Leica SCN",
    ".bif": "Ventana BIF",
    ".svslide": "Sakura",
}
OTHERS = {
    b"%PDF": "a PDF document",
    b"PK\x03\x04": "a zip archive",
    b"\x1f\x8b": "a gzip archive",
    b"\x89HDF": "an HDF5 file",
    b"GIF8": "a GIF picture",
    b"RIFF": "a WebP picture or RIFF file",
    b"<!DOCTYPE": "a web page",
    b"<html": "a web page",
}
SUFFIXES = frozenset(
    {".svs", ".tif", ".tiff", ".btf", ".ndpi", ".scn", ".bif", ".qptiff", ".png", ".jpg", ".jpeg", ".jp2", ".bmp"}
    | set(WITH_OPENSLIDE)
)
PIP_LINE = 'pip install "napari-gimp[openslide]"'


def read_header(path: Path, count: int = 65536) -> bytes:
    """The first bytes of a file.

    Raises
    ------
    SlideError
        No such file, a folder, an empty file or one that may not be read.
    """
    try:
        if path.is_dir():
            found = len(find_slides(path))
            raise SlideError(
                f"Expected a slide, found the folder {path} with {found} slides in it; give one of its files."
            )
        with path.open("rb") as file:
            header = file.read(count)
    except FileNotFoundError as error:
        raise SlideError(f"Expected a slide, found no file {path}; check the path.") from error
    except OSError as error:
        raise SlideError(f"Expected to read {path.name}, found: {error.strerror}; check its permissions.") from error
    if not header:
        raise SlideError(f"Expected a slide, found the empty file {path.name}; copy or download it again.")
    return header


def is_tiff(header: bytes) -> bool:
    """Whether these are the first bytes of a TIFF or BigTIFF."""
    return header.startswith(TIFF_MAGIC)


def picture_name(header: bytes) -> str | None:
    """The name of a flat picture's format, None for anything else."""
    return next((name for magic, name in PICTURES.items() if header.startswith(magic)), None)


def name_format(path: Path, header: bytes) -> str:
    """What a file is, in words, as far as its first bytes and its ending tell."""
    if header[128:132] == b"DICM":
        return "a DICOM file"
    if header.startswith(b"ZISRAWFILE"):
        return "a Zeiss CZI file"
    for magic, name in OTHERS.items():
        if header.startswith(magic):
            return name
    if path.suffix.lower() in WITH_OPENSLIDE:
        return f"a {WITH_OPENSLIDE[path.suffix.lower()]} file"
    if is_tiff(header):
        return "a TIFF file"
    if _is_text(header):
        return f"a text file (named {path.suffix})" if path.suffix else "a text file"
    return "a file of no known format"


def needs_openslide(path: Path, header: bytes) -> bool:
    """Whether the format is one that the ``openslide`` extra is there for."""
    return (
        header[128:132] == b"DICM" or header.startswith(b"ZISRAWFILE") or path.suffix.lower() in WITH_OPENSLIDE
    ) and not any(header.startswith(magic) for magic in OTHERS)


def find_slides(folder: Path) -> list[Path]:
    """The slides of a folder (not of its subfolders) in order of their names; a DICOM slide's many files are one."""
    found, series = [], set()
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in SUFFIXES or path.name.startswith(".") or not path.is_file():
            continue
        uid = _dicom_series(path) if path.suffix.lower() == ".dcm" else b""
        if not uid or uid not in series:
            found.append(path)
        series.add(uid)
    return found


def _dicom_series(path: Path) -> bytes:
    """SeriesInstanceUID (0020,000E) of a little-endian file with explicit types, as slide scanners write them."""
    with path.open("rb") as file:
        header = file.read(65536)
    at = header.find(b"\x20\x00\x0e\x00UI")
    return header[at + 8 : at + 8 + int.from_bytes(header[at + 6 : at + 8], "little")] if at >= 0 else b""


def _is_text(header: bytes) -> bool:
    try:
        text = header[:4096].decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < min(len(header), 4096) - 4:
            return False
        text = header[: error.start].decode("utf-8")
    return bool(text) and all(c.isprintable() or c in "\r\n\t\f" for c in text)
