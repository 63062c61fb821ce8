"""Read raw-data CSV row by row, and lose no row to a neighbour that is broken.

A quoted text may hold line breaks (RFC 4180), so that a record ends where its quotes are even in number. A quote that
is never closed would swallow the rest of the file: a record of more than `MAX_RECORD` bytes, or with another number of
values than the header, is bad in its first line alone, and reading goes on at the next. Of a line that is longer than
that only the beginning is kept.

Nearly all records are one line of UTF-8 with as many values as the header. Such ones are parsed many at a time, and the
first that is another is looked at on its own.

Files may begin with a byte order mark, and several of them may have been put together: a header that comes again
counts from there on. Lines that are no UTF-8 are read as Windows-1252, in which spreadsheets save.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import chain
from typing import IO, Any, Final

from flybridge.appsflyer.columns import Columns, columns_of, is_raw_data
from flybridge.appsflyer.raw_report import Report, is_of_copies
from flybridge.errors import FlybridgeError
from flybridge.history.rows import SHOWN, UTC_TIMES, BadRow, RawRow, Zone, row_of, zone_of
from flybridge.system.text_encoding import line_text

MAX_RECORD: Final = 1 << 20
BLOCK: Final = 1 << 15
TITLES: Final = 20
"""In how many lines that are not blank a header is looked for."""
NO_COLUMNS: Final = Columns((), {}, has_display_names=False)
_QUOTE: Final = b'"'
_SEPARATOR: Final = re.compile(rb'(?:\xef\xbb\xbf)?"?sep=([,;\t|])"?', re.IGNORECASE)
"""How spreadsheets are told which sign separates values, in a line before the header."""
_CONTROL: Final = re.compile(r"[\0-\x08\x0e-\x1f]")
_IN_HEADERS: Final = b"lyer"
_CAPITALS: Final = (b"AppsFlyer ID", b"AppsFlyer_ID", b"AppsFlyerID")


class CsvReader:
    """Reads one file. `file` gives its uncompressed bytes from the beginning; `start` is the end of the last row that
    is not wanted.

    Raises `FlybridgeError` if the first line is no header of raw data.
    """

    def __init__(self, file: IO[bytes], name: str, named: Report | None, zone: Zone | None, start: int = 0) -> None:
        self._file: Any = file
        self._damage: Exception | None = None
        # Lines that were read from the file and not used yet are those from `_at` on.
        self._lines: list[bytes] = []
        self._at = 0
        self._may_have_header = False
        self._left = b""
        self._dropped = 0  # bytes of the last of the lines that are not kept
        self.named, self._zone, self._name = named, zone, name
        self.end = self.lines = 0
        self.delimiter = ""
        self.zone = zone or UTC_TIMES  # until a header is read
        """The zone of times without one: that of the file's times, or UTC where its columns say so."""
        self.columns = self._header()
        # Lines that were read before are looked at for another header, and no more.
        while self.end < start and (line := self._line()):
            self.end, self.lines = self.end + len(line) + self._dropped_of_line(), self.lines + 1
            if may_be_header(line):
                self._fields(line)
        self._may_have_header = may_be_header(b"".join(self._lines[self._at :]))

    @property
    def is_cut(self) -> bool:
        """Whether one of the lines that were read with the header is too long to be kept as it is."""
        return bool(self._dropped)

    def _header(self) -> Columns:
        """Read the header: the first line, or the one after some lines of a title."""
        first, separator, titles = b"", "", 0
        while titles < TITLES and (line := self._line()):
            self.end, self.lines = self.end + len(line) + self._dropped_of_line(), self.lines + 1
            if (said := _SEPARATOR.fullmatch(line.rstrip(b"\r\n"))) is not None:
                separator = said[1].decode("latin-1")
            elif line.strip():
                self.delimiter = separator or max(",;\t|", key=line_text(line).count)
                if (columns := self._columns(line)) is not None:
                    return columns
                first, titles = first or line, titles + 1
        if not first:
            return NO_COLUMNS
        text = _header_text(first)
        if "\0" not in text:
            check_line_ends(text, self._name)
        if text.lstrip("\ufeff \t")[:1] in ("[", "{"):
            raise FlybridgeError(
                f"{self._name} is JSON, and raw data is CSV or Parquet. Send messages of the Push API to "
                "/v1/push/{app}, one for each request; events of Amplitude are imported with --stream or --sightings."
            )
        if _CONTROL.search(text) is not None:
            raise FlybridgeError(
                f"{self._name} is not text, and raw data is CSV or Parquet. Save the sheet of a spreadsheet as CSV."
            )
        raise FlybridgeError(
            f"{self._name} has no header of AppsFlyer's raw data. Its first line is: {text[:200]!r}. "
            "Files of Amplitude are imported with --sightings or --stream."
        )

    def _columns(self, header: bytes) -> Columns | None:
        """Return what a line says if it is a header of raw data. Raises `FlybridgeError` if its times have no zone."""
        text = _header_text(header)
        if "\r" in text:
            return None
        try:
            names = next(csv.reader([text], delimiter=self.delimiter), [])
        except csv.Error:
            names = text.split(self.delimiter)
        columns = columns_of(names)
        if not is_raw_data(columns):
            return None
        if is_of_copies(columns.fields):
            self.named = Report.POSTBACKS
        self.zone = zone_of(columns, self._zone, self._name)
        return columns

    def _line(self) -> bytes:
        if self._at == len(self._lines) and not self._fill():
            return b""
        self._at += 1
        return self._lines[self._at - 1]

    def _fill(self) -> bool:
        """Read whole lines. Return whether there were any."""
        if self._damage is not None:
            raise self._damage
        block = b""
        try:
            block = self._file.read1(BLOCK)
            if not block.endswith(b"\n"):
                block += self._file.readline(MAX_RECORD - len(block) + block.rfind(b"\n") + 1)
        except Exception as problem:
            # The lines before the damage are whole.
            self._damage = problem
            block = block[: block.rfind(b"\n") + 1]
            if not block:
                raise
        self._lines, self._at = io.BytesIO(block).readlines(), 0
        self._may_have_header = may_be_header(block)
        self._drop_rest()
        return bool(block)

    def _drop_rest(self) -> None:
        """Skip the rest of the last line if it is too long to be a record."""
        if not self._lines or self._lines[-1].endswith(b"\n") or len(self._lines[-1]) < MAX_RECORD:
            return
        try:
            while piece := self._file.readline(BLOCK):
                self._dropped += len(piece)
                if piece.endswith(b"\n"):
                    break
        except Exception as problem:
            self._damage = problem  # raised after what was read before

    def _dropped_of_line(self) -> int:
        """Return how many bytes of the line that was read last are not kept."""
        dropped = self._dropped if self._at == len(self._lines) else 0
        self._dropped -= dropped
        return dropped

    def _put_back(self, lines: list[bytes]) -> None:
        self._lines[: self._at] = lines
        self._at = 0
        self._may_have_header = self._may_have_header or may_be_header(b"".join(lines))

    def blocks(self, size: int) -> Iterator[bytes]:
        """Yield what follows the header in blocks of whole lines, of about `size` bytes."""
        self._left = b"".join(self._lines[self._at :])
        self._lines.clear()
        self._at = 0
        damage = self._damage
        while True:
            piece = b""
            try:
                piece = b"" if damage is not None else self._file.read1(size)
            except Exception as problem:
                damage = problem
            data = self._left + piece
            # The last line before damage may be half of one.
            cut = len(data) if not piece and damage is None else data.rfind(b"\n") + 1
            if not cut and len(data) > MAX_RECORD:  # a line without an end
                cut = len(data)
            self._left = data[cut:]
            if cut:
                yield data[:cut]
            elif damage is not None:
                raise damage
            elif not piece:
                return

    def rows_of(self, block: bytes, places: Sequence[int]) -> dict[int, RawRow | BadRow]:
        """Return the rows in those places of a block of lines that follow, by number. Each is a record and no header.

        The block is not read by this.
        """
        if not places:
            return {}
        lines, before = io.BytesIO(block).readlines(), self.lines
        width, shift = len(self.columns.fields), self.zone
        read, rows = list[list[str]](), list[RawRow | BadRow]()
        with suppress(csv.Error, UnicodeDecodeError):
            picked = (lines[place].decode() for place in places)
            read = list(csv.reader(picked, delimiter=self.delimiter, strict=True))
        if len(read) == len(places) and all(len(values) == width for values in read):
            for place, values in zip(places, read, strict=True):
                if fields := self.columns.row(values):
                    rows.append(row_of(before + place + 1, 0, fields, self.named, shift))
        else:
            for place in places:
                self.lines = before + place
                rows += self.rows_in(lines[place])
        self.lines = before
        return {row.number: row for row in rows}

    def rows_in(self, line: bytes) -> list[RawRow | BadRow]:
        """Return the row of a line that is a record and no header, if it is one."""
        file, self._file = self._file, io.BytesIO()
        self._lines, self._at, self._may_have_header = [line], 0, False
        rows = self._plain_rows()
        if not self._at:
            rows = self._row()
        self._file = file
        return rows

    def rows_from(self, block: bytes) -> Iterator[RawRow | BadRow]:
        """Yield the rows of a block and of all that follows it."""
        lines = io.BytesIO(block + self._left).readlines()
        if lines and not lines[-1].endswith(b"\n"):
            lines[-1] += self._file.readline(MAX_RECORD)
        self._lines, self._at = lines, 0
        self._may_have_header = may_be_header(b"".join(lines))
        self._drop_rest()
        yield from self

    def __iter__(self) -> Iterator[RawRow | BadRow]:
        return chain.from_iterable(self._pages())

    def _pages(self) -> Iterator[list[RawRow | BadRow]]:
        while self._at < len(self._lines) or self._fill():
            if not self._may_have_header:
                yield self._plain_rows()
            if self._at < len(self._lines):
                yield self._row()

    def _plain_rows(self) -> list[RawRow | BadRow]:
        """Return the rows up to the first line that is no record by itself, or no valid one."""
        lines, width = self._lines[self._at : len(self._lines) - bool(self._dropped)], len(self.columns.fields)
        records = csv.reader(map(bytes.decode, lines), delimiter=self.delimiter, strict=True)
        found = list[list[str]]()
        with suppress(csv.Error, UnicodeDecodeError):
            for values in records:
                if len(values) != width or records.line_num != len(found) + 1:
                    break
                found.append(values)
        # Step by step: each is a little code over many rows, which a processor keeps at hand.
        rows, named, shift = list[RawRow | BadRow](), self.named, self.zone
        end, number = self.end, self.lines
        for line, fields in zip(lines, list(map(self.columns.row, found)), strict=False):
            end += len(line)
            number += 1
            if fields:
                rows.append(row_of(number, end, fields, named, shift))
        self.end, self.lines = end, number
        self._at += len(found)
        return rows

    def _row(self) -> list[RawRow | BadRow]:
        """Return the next record, if it has values."""
        first, number = self._line(), self.lines + 1
        if dropped := self._dropped_of_line():
            self.end, self.lines = self.end + len(first) + dropped, number
            problem = f"It is longer than {MAX_RECORD:,} bytes."
            return [BadRow(number, self.end, problem, line_text(first[:SHOWN]))]
        lines, fields = [first], self._fields(first)
        if isinstance(fields, str) and first.count(_QUOTE) & 1:
            record = self._record(first)
            whole = self._fields(b"".join(record))
            if isinstance(whole, str):
                self._put_back(record[1:])
            else:
                lines, fields = record, whole
        self.end += sum(map(len, lines))
        self.lines += len(lines)
        if isinstance(fields, str):
            return [BadRow(number, self.end, fields, line_text(first[:SHOWN]).rstrip("\r\n"))]
        return [row_of(number, self.end, fields, self.named, self.zone)] if fields else []

    def _record(self, first: bytes) -> list[bytes]:
        """Return the lines of a record whose first line ends within quotes."""
        lines, size = [first], len(first)
        while line := self._line():
            lines.append(line)
            size += len(line)
            if line.count(_QUOTE) & 1 or size > MAX_RECORD:
                break
        return lines

    def _fields(self, record: bytes) -> dict[str, str] | str:
        """Return the filled fields of a record, empty for a blank line or a header; a sentence if it is broken."""
        text = line_text(record).rstrip("\r\n")
        if not text.strip():
            return {}
        try:
            values = next(csv.reader([text], delimiter=self.delimiter, strict=True), [])
        except csv.Error as problem:
            values = _escaped(text, self.delimiter)
            if not values:
                return f"It is not a line of CSV: {problem}."
        if may_be_header(record) and "appsflyer_id" in columns_of(values).fields:
            self.columns = self._columns(record) or self.columns
            return {}
        width = len(self.columns.fields)
        if len(values) > width and not any(values[width:]):  # a separator at the end of each row
            values = values[:width]
        if len(values) != width:
            return f"It has {len(values)} values, and the header has {len(self.columns.fields)}."
        return self.columns.row(values)


def _escaped(text: str, delimiter: str) -> list[str]:
    """Return the values of a record whose quotes are escaped with a backslash, as Spark writes them; none if not."""
    if '\\"' not in text:
        return []
    with suppress(csv.Error):
        return next(csv.reader([text], delimiter=delimiter, strict=True, doublequote=False, escapechar="\\"), [])
    return []


def _header_text(line: bytes) -> str:
    return line_text(line).lstrip("\ufeff").rstrip("\r\n")


def check_line_ends(text: str, name: str) -> None:
    """Raise `FlybridgeError` if the first line of a file of CSV holds other lines, which end in CR alone."""
    if "\r" in text.rstrip("\r\n"):
        raise FlybridgeError(f"The lines of {name} end in CR alone: save it with the line ends LF or CRLF.")


def may_be_header(line: bytes) -> bool:
    """Whether a line, or one of several, may be a header."""
    # Links name AppsFlyer, too, so that the rarer word is looked for first.
    if _IN_HEADERS not in line:
        return False
    if b"AppsFlyer" in line and any(name in line for name in _CAPITALS):
        return True
    return b"appsflyer" in line and (b"appsflyer_id" in line or b"appsflyerId" in line)
