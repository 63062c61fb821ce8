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
CHUNK: Final = 1 << 18
"""Bytes that are decompressed at a time, so that memory does not grow with the compression ratio."""
MAX_RATIO: Final = 200
FREE_BYTES: Final = 1 << 28
"""A file that expands to more than `FREE_BYTES` and to more than `MAX_RATIO` times its size is no list of people."""


class CohortFileError(FlybridgeError):
    """The file is no cohort file, or it is truncated. None of its rows takes effect."""


def column(name: str) -> str:
    """Return a column name in the form it is compared in."""
    name = name.strip().strip('"').strip().lower()
    for prefix in PREFIXES:
        name = name.removeprefix(prefix)
    return name


class Decompressed:
    """Expands a gzip file piece by piece, with all of its members (RFC 1952, section 2.2)."""

    def __init__(self) -> None:
        self._member: Any = None
        self._start = b""
        self._read = self._written = 0

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """Yield the expanded bytes in chunks of bounded size. Raises `CohortFileError` for what is no gzip member."""
        self._read += len(piece)
        rest, self._start = self._start + piece, b""
        full = False  # a full chunk: zlib may hold more output although it has consumed all input
        while rest or full:
            if self._member is None:
                if rest[:2] not in {GZIP, GZIP[:1]}:
                    raise CohortFileError("The compressed file of the cohort is followed by other bytes.")
                if len(rest) < len(GZIP):
                    self._start = rest
                    return
                self._member = zlib.decompressobj(wbits=31)
            try:
                chunk = self._member.decompress(rest, CHUNK)
            except zlib.error as problem:
                raise CohortFileError("The compressed file of the cohort is damaged.") from problem
            self._written += len(chunk)
            if self._written > max(FREE_BYTES, MAX_RATIO * self._read):
                raise CohortFileError(f"The file of the cohort expands to more than {MAX_RATIO} times its size.")
            if chunk:
                yield chunk
            if self._member.eof:
                rest, full, self._member = self._member.unused_data, False, None
            else:
                rest, full = self._member.unconsumed_tail, len(chunk) == CHUNK

    def end(self) -> None:
        """Raise `CohortFileError` if the last member is truncated."""
        if self._member is not None or self._start:
            raise CohortFileError("The compressed file of the cohort is truncated.")


class CohortFile:
    """Turns pieces of a file into rows: call `feed` with every piece, then `end`. The first row sets `header`."""

    def __init__(self) -> None:
        self.header: dict[str, int] | None = None
        self.rows = 0
        self._rest = bytearray()
        self._quoted = False  # whether the rest ends inside quotes
        self._gzip: Decompressed | None = None
        self._first: bytes | None = b""  # the first bytes, until there are enough to detect the format

    def feed(self, piece: bytes) -> Iterator[Sequence[str]]:
        """Yield the rows that this piece completes. Raises `CohortFileError`."""
        for chunk in self._expanded(piece, last=False):
            yield from self._take(chunk)

    def end(self) -> Iterator[Sequence[str]]:
        """Yield the remaining rows. Raises `CohortFileError` if the file is truncated."""
        for chunk in self._expanded(b"", last=True):
            yield from self._take(chunk)
        if self._gzip is not None:
            self._gzip.end()
        yield from self._parsed(bytes(self._rest))
        if self.header is None:
            raise CohortFileError("The file of the cohort is empty: it has not even a header.")

    def _expanded(self, piece: bytes, *, last: bool) -> Iterator[bytes]:
        if self._first is not None:
            piece = self._first + piece
            if len(piece) < len(BYTE_ORDER_MARK) and not last:
                self._first = piece
                return
            self._first = None
            if piece.startswith(GZIP):
                self._gzip = Decompressed()
        if self._gzip is None:
            yield piece
        else:
            yield from self._gzip.feed(piece)

    def _take(self, chunk: bytes) -> Iterator[Sequence[str]]:
        """Yield the rows that a chunk completes. Each byte is looked at once, however long a row is."""
        end, at = -1, len(chunk)
        inside = self._quoted = self._quoted ^ bool(chunk.count(b'"') % 2)
        # A line break inside quotes does not end a row: go back from quote to quote until one is outside.
        while at >= 0 and end < 0:
            quote = chunk.rfind(b'"', 0, at)
            if not inside:
                end = chunk.rfind(b"\n", quote + 1, at)
            inside, at = not inside, quote
        if end >= 0:
            text = bytes(self._rest) + chunk[: end + 1]
            self._rest = bytearray(chunk[end + 1 :])
            yield from self._parsed(text)
        else:
            self._rest += chunk
        if len(self._rest) > MAX_ROW + CHUNK:
            raise CohortFileError(f"The file of the cohort has a row of more than {MAX_ROW} characters.")

    def _parsed(self, data: bytes) -> Iterator[Sequence[str]]:
        if self.header is None:
            data = data.removeprefix(BYTE_ORDER_MARK)
        try:
            for row in csv.reader(io.StringIO(data.decode(), newline=""), strict=True):
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
