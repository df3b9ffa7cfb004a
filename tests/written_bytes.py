"""Everything that can be read in written files: names, bytes, what is compressed in them, text that was drawn."""

from __future__ import annotations

import base64
import io
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from matplotlib.text import Text
from PIL import Image


def pdf_streams(content: bytes) -> Iterator[bytes]:
    """The streams of a PDF, unpacked."""
    for found in re.finditer(rb"stream\r?\n(.*?)endstream", content, re.DOTALL):
        try:
            yield zlib.decompressobj().decompress(found.group(1))
        except zlib.error:
            yield found.group(1)


def pdf_text(content: bytes) -> str:
    """The text of a PDF of matplotlib, one line a string: one or two bytes a character, kerning left out."""
    joined = b"\n".join(pdf_streams(content))
    blocks = re.findall(rb"\bBT\b(.*?)\bET\b", joined, re.DOTALL)
    lines = (b"".join(re.findall(rb"\(((?:\\.|[^()\\])*)\)", block, re.DOTALL)) for block in blocks)
    return "\n".join(unescaped(line).replace(b"\0", b"").decode("cp1252", "replace") for line in lines)


def unescaped(string: bytes) -> bytes:
    """A string of a PDF without its backslashes."""
    named = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"\b", b"f": b"\f"}

    def plain(found: re.Match[bytes]) -> bytes:
        said = found.group(1)
        return bytes([int(said, 8)]) if said[:1].isdigit() else named.get(said, said)

    return re.sub(rb"\\([0-7]{1,3}|.)", plain, string, flags=re.DOTALL)


def readings(path: Path) -> Iterator[bytes]:
    """A file's bytes in every way in which somebody might read them; packed pixels and streams only unpacked.

    Packed bytes are as good as random: they would hold any short word now and then.
    """
    content = path.read_bytes()
    if path.suffix == ".pdf":
        yield re.sub(rb"stream\r?\n.*?endstream", b"", content, flags=re.DOTALL)
        yield from pdf_streams(content)
        yield pdf_text(content).encode()
        return
    if path.suffix == ".png":
        yield from png_words(content)
        return
    yield re.sub(rb"base64,[A-Za-z0-9+/=]+", b"", content)
    for inside in re.findall(rb"base64,([A-Za-z0-9+/=]+)", content):
        yield from png_words(base64.b64decode(inside))


def png_words(content: bytes) -> Iterator[bytes]:
    """Every chunk of a PNG that holds no pixels, and its texts unpacked."""
    place = 8
    while place < len(content):
        length = int.from_bytes(content[place : place + 4], "big")
        if content[place + 4 : place + 8] != b"IDAT":
            yield content[place : place + 12 + length]
        place += 12 + length
    with Image.open(io.BytesIO(content)) as picture:
        yield repr(picture.info).encode()


def where_read(folder: Path, word: str) -> list[str]:
    """The files and folders in which a word can be read, whatever its case."""
    needle = word.lower()
    return [
        str(path.relative_to(folder))
        for path in sorted(folder.rglob("*"))
        if needle in path.name.lower()
        or (path.is_file() and any(needle.encode() in content.lower() for content in readings(path)))
    ]


@contextmanager
def drawn_text() -> Iterator[list[str]]:
    """Every text that matplotlib draws meanwhile, into whatever picture."""
    found: list[str] = []
    draw = Text.draw

    def watched(self: Text, *given: object, **more: object) -> object:
        found.append(self.get_text())
        return draw(self, *given, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Text, "draw", watched)
        yield found
