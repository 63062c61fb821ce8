"""The file of a downloaded cohort: CSV, parsed in pieces as it arrives, so that it is never in memory as a whole.

https://amplitude.com/docs/apis/analytics/behavioral-cohorts, read 2026-11-24. The page shows no file. Expected
is a header, then a row per member, with a column for the user id, one for the Amplitude id, and one for each
requested property. Column names are compared without case, quotes, blanks and the prefixes that Amplitude's
exports put before user properties. The file may be compressed with gzip. A file without an id column is refused.
"""

from __future__ import annotations

import csv
import io
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from flybridge.errors import FlybridgeError

USER_ID: Final = ("user_id", "userid", "user id")
AMPLITUDE_ID: Final = ("amplitude_id", "amplitudeid", "amplitude id")
PREFIXES: Final = ("user_properties.", "user_properties:", "userdata.", "gp:", "user:")
GZIP: Final = b"\x1f\x8b"
BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
MAX_ROW: Final = 1 << 20
"""Characters of one row; a longer row means a broken file."""


class CohortFileError(FlybridgeError):
    """The file is no cohort file, or it is truncated. None of its rows takes effect."""


def column(name: str) -> str:
    """Return a column name in the form it is compared in."""
    name = name.strip().strip('"').strip().lower()
    for prefix in PREFIXES:
        name = name.removeprefix(prefix)
    return name


class CohortFile:
    """Turns pieces of a file into rows: call `feed` with every piece, then `end`. The first row sets `header`."""

    def __init__(self) -> None:
        self.header: dict[str, int] | None = None
        self.rows = 0
        self._rest = b""
        self._inflate: Any = None
        self._first: bytes | None = b""  # the first bytes, until there are enough to detect the format

    def feed(self, piece: bytes) -> Iterator[Sequence[str]]:
        """Yield the rows that this piece completes. Raises `CohortFileError`."""
        yield from self._take(self._opened(piece, last=False), last=False)

    def end(self) -> Iterator[Sequence[str]]:
        """Yield the remaining rows. Raises `CohortFileError` if the file is truncated."""
        piece = self._opened(b"", last=True)
        if self._inflate is not None and not self._inflate.eof:
            raise CohortFileError("The compressed file of the cohort breaks off.")
        yield from self._take(piece, last=True)
        if self.header is None:
            raise CohortFileError("The file of the cohort is empty: it has not even a header.")

    def _opened(self, piece: bytes, *, last: bool) -> bytes:
        if self._first is not None:
            piece = self._first + piece
            if len(piece) < len(BYTE_ORDER_MARK) and not last:
                self._first = piece
                return b""
            self._first = None
            if piece.startswith(GZIP):
                self._inflate = zlib.decompressobj(wbits=31)
            piece = piece.removeprefix(BYTE_ORDER_MARK)
        if self._inflate is None:
            return piece
        try:
            return bytes(self._inflate.decompress(piece))
        except zlib.error as problem:
            raise CohortFileError("The compressed file of the cohort is damaged.") from problem

    def _take(self, piece: bytes, *, last: bool) -> Iterator[Sequence[str]]:
        data = self._rest + piece
        end = len(data) if last else data.rfind(b"\n") + 1
        # A line break inside quotes does not end a row: the number of quotes before it is odd.
        while not last and end and data.count(b'"', 0, end) % 2:
            end = data.rfind(b"\n", 0, end - 1) + 1
        self._rest = data[end:]
        if len(self._rest) > MAX_ROW + len(piece):
            raise CohortFileError(f"The file of the cohort has a row of more than {MAX_ROW} characters.")
        try:
            text = data[:end].decode()
            for row in csv.reader(io.StringIO(text, newline=""), strict=True):
                if not row:
                    continue
                if self.header is None:
                    self._head(row)
                else:
                    self.rows += 1
                    yield row
        except (UnicodeDecodeError, csv.Error) as problem:
            raise CohortFileError(f"The file of the cohort can't be read after row {self.rows}.") from problem

    def _head(self, row: Sequence[str]) -> None:
        header = {column(name): number for number, name in enumerate(row)}
        if not any(name in header for name in (*USER_ID, *AMPLITUDE_ID)):
            raise CohortFileError("The file of the cohort has neither a column user_id nor amplitude_id.")
        self.header = header


def reader(header: Mapping[str, int], names: Sequence[str]) -> int | None:
    """Return the index of the first column with one of these names; None if there is none."""
    return next((header[column(name)] for name in names if column(name) in header), None)
