"""Delimited text -> header and columns: compression, delimiter, decimal comma and comment lines found out.

pandas reads the numbers; the header is read here, because pandas renames repeated names and hides duplicates.
"""

from __future__ import annotations

import csv
import gzip
import io
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeAlias, cast

import numpy as np

from napari_gimp.settings import InputError

if TYPE_CHECKING:
    import pandas as pd

    Frame: TypeAlias = pd.DataFrame
else:
    Frame = Any  # pandas is loaded when a table is read: half a second that the first slide need not wait for

EXPECTED = "an expression table (CSV or TSV, plain, .gz or .zip, with a header and names in the first column)"
_TABLE_ENDINGS = (".csv", ".tsv", ".txt", ".tab")


@dataclass(frozen=True)
class Head:
    """What the first lines say: where the header is and how cells are parted. ``first`` is the first data row."""

    path: Path
    header: tuple[str, ...]
    first: tuple[str, ...]
    skip: int
    delimiter: str
    decimal: str
    encoding: str

    @cached_property
    def words(self) -> tuple[str, ...]:
        """The header in lower case with underscores: ``Hugo Symbol`` -> ``hugo_symbol``."""
        return tuple(as_word(name) for name in self.header)


def as_word(name: str) -> str:
    """A column name in lower case with underscores."""
    return name.strip().lower().replace(" ", "_").replace("-", "_").replace(".", "_")


def read_head(path: Path) -> Head:
    """Read the first lines of a delimited text file.

    Raises
    ------
    InputError
        Not there, empty, not text, a spreadsheet, or without columns.
    """
    with _opened(path) as stream:
        start = stream.read(4096)
    if not start.strip():
        raise InputError(f"Expected {EXPECTED}, found the empty file {path}; give another file.")
    encoding = "utf-16" if start[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    if encoding != "utf-16" and b"\0" in start:
        raise InputError(f"Expected {EXPECTED}, found binary data in {path}; export the table as CSV.")
    with _opened(path) as stream:
        text = io.TextIOWrapper(stream, encoding, "replace", newline="")
        return _parse_head(path, text, encoding)


def _parse_head(path: Path, text: io.TextIOWrapper, encoding: str) -> Head:
    skip, line = 0, text.readline()
    while line and (line.startswith("#") or not line.strip()):
        skip, line = skip + 1, text.readline()
    body = [row for row in (text.readline() for _ in range(20)) if row.strip()]
    delimiter = max("\t;,", key=line.count)
    if not line.count(delimiter):
        delimiter = " "
    rows = [tuple(cell.strip() for cell in row) for row in _cells([line, *body[:1]], delimiter)]
    if len(rows) < 2 or len(rows[1]) < 2:
        raise InputError(f"Expected {EXPECTED}, found {_shape(rows)} in {path}; check that it is the right file.")
    header = rows[0] if len(rows[0]) >= len(rows[1]) else ("",) * (len(rows[1]) - len(rows[0])) + rows[0]
    return Head(path, header, rows[1], skip, delimiter, _decimal(body, delimiter), encoding)


def _cells(lines: Sequence[str], delimiter: str) -> Iterator[list[str]]:
    return csv.reader([line for line in lines if line], delimiter=delimiter, skipinitialspace=delimiter == " ")


def _shape(rows: Sequence[Sequence[str]]) -> str:
    return "a single line" if len(rows) < 2 else "a single column"


def _decimal(body: Sequence[str], delimiter: str) -> str:
    """A comma where numbers are written 1,5: only possible when cells are parted by something else."""
    cells = [cell for row in _cells(body, delimiter) for cell in row[1:] if "," in cell]
    commas = sum(cell.strip().lstrip("-").replace(",", "", 1).isdigit() for cell in cells)
    return "," if delimiter != "," and cells and commas == len(cells) else "."


def read_body(head: Head, columns: Sequence[int] | None = None, *, with_header: bool = False) -> Frame:
    """All rows under the header, or only some columns; names stay out (columns are numbered as in the header).

    Parameters
    ----------
    with_header
        The first line is data as well.

    Raises
    ------
    InputError
        Rows of different length, or a file that ends early.
    """
    import pandas as pd

    path, skip = head.path, head.skip + (not with_header)
    try:
        with _opened(path) as stream:
            frame = pd.read_csv(
                stream,
                sep=head.delimiter,
                header=None,
                skiprows=skip,
                usecols=None if columns is None else list(columns),
                dtype={0: str},
                decimal=head.decimal,
                encoding=head.encoding,
                encoding_errors="replace",
                skipinitialspace=head.delimiter == " ",
                low_memory=False,
            )
    except pd.errors.ParserError as error:
        detail = str(error).split("C error: ")[-1].strip()
        raise InputError(
            f"Expected rows of equal length in {path}, found: {detail}; export the table again."
        ) from error
    if columns is None and frame.shape[1] != len(head.header):
        raise InputError(
            f"Expected as many columns as the header of {path} names ({len(head.header)}), found {frame.shape[1]};"
            " export the table again."
        )
    return frame


def number_columns(
    frame: Frame, columns: Sequence[int], header: Sequence[str], row_names: Sequence[str]
) -> tuple[list[int], list[str]]:
    """Which of these columns hold numbers, and the names of those that hold text throughout.

    Columns are turned to numbers in place where pandas left them as text that all parses.

    Raises
    ------
    InputError
        A column is mostly numbers but has text in it: names the cell.
    """
    kept, text = [], []
    kinds = dict(zip(map(int, frame.columns), frame.dtypes, strict=True))
    for column in columns:
        if kinds[column].kind in "iuf":
            kept.append(column)
        elif kinds[column].kind == "b" or not _parsed(frame, column, header[column], row_names):
            text.append(header[column])
        else:
            kept.append(column)
    return kept, text


def _parsed(frame: Frame, column: int, name: str, row_names: Sequence[str]) -> bool:
    """Turn a column of text into numbers; False where most of it is words."""
    import pandas as pd

    values = frame[column]
    as_number = pd.to_numeric(values, errors="coerce")
    bad = np.flatnonzero((as_number.isna() & values.notna()).to_numpy())
    if 2 * len(bad) > int(values.notna().sum()):
        return False
    if len(bad):
        raise InputError(
            f"Expected numbers in column {name!r}, found {str(values.iloc[bad[0]])[:40]!r} in row"
            f" {row_names[bad[0]]!r} ({len(bad)} such cells); correct the table, or leave missing values empty."
        )
    frame[column] = as_number
    return True


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    """The file's bytes, unpacked from .gz or .zip as its first bytes (not its ending) say."""
    try:
        with path.open("rb") as file:
            magic = file.read(4)
            file.seek(0)
            if magic[:2] == b"\x1f\x8b":
                with gzip.open(file) as unpacked:
                    yield cast(IO[bytes], unpacked)
            elif magic == b"PK\x03\x04":
                with zipfile.ZipFile(file) as archive, archive.open(_member(path, archive)) as unpacked:
                    yield unpacked
            else:
                yield file
    except FileNotFoundError as error:
        raise InputError(f"Expected {EXPECTED}, found nothing at {path}; check the path.") from error
    except OSError as error:
        if isinstance(error, gzip.BadGzipFile):
            raise InputError(_broken(path)) from error
        raise InputError(f"Expected {EXPECTED}, could not read {path} ({error.strerror}); check its rights.") from error
    except (EOFError, zlib.error, zipfile.BadZipFile, UnicodeError) as error:
        raise InputError(_broken(path)) from error


def _broken(path: Path) -> str:
    return f"Expected {EXPECTED}, found a damaged or cut-off file at {path}; fetch it again."


def _member(path: Path, archive: zipfile.ZipFile) -> str:
    names = [name for name in archive.namelist() if not name.endswith("/") and "__MACOSX" not in name]
    if any(name.startswith("xl/") for name in names):
        raise InputError(f"Expected {EXPECTED}, found the spreadsheet {path}; save it as CSV and give that.")
    tables = [name for name in names if name.lower().endswith(_TABLE_ENDINGS)] or names
    if len(tables) != 1:
        raise InputError(f"Expected one table in {path}, found {len(tables)}; unpack it and give one file.")
    return tables[0]
