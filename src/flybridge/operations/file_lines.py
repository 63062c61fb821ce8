"""The lines of files with sightings or events: CSV, JSON, or Amplitude's exports.

A line names a `user_id` and/or a `device_id` and the identifiers that belong to them, by the names of
`amplitude.stream.NAMES`; files of Amplitude's Export API are NDJSON of that kind
(https://amplitude.com/docs/apis/analytics/export, read 2026-11-24). The API answers with a zip archive of files that
are compressed with gzip: it is read as it is, member by member. What is compressed is recognised by its first bytes. A
file may also be one JSON array, on one line or on many.
"""

from __future__ import annotations

import csv
import re
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Final
from zipfile import BadZipFile, ZipFile

import msgspec
from msgspec import Struct

from flybridge.amplitude import stream
from flybridge.amplitude.merged import is_merge, merges
from flybridge.errors import FlybridgeError
from flybridge.history.csv_rows import check_line_ends
from flybridge.history.rows import user_of
from flybridge.history.unpacked import unpacked
from flybridge.identity.placeholders import is_shortened
from flybridge.lenient_json import decode
from flybridge.operations.json_values import JsonValues
from flybridge.system.text_encoding import as_utf8, line_text, without_marks

MAX_LINE: Final = 1_000_000
MAX_DIGITS: Final = 24
"""A longer number is no time, and Python refuses to read one of thousands of digits."""
TIMES: Final = ("event_time", "client_event_time", "time", "merge_time", "merge_event_time", "merge_server_time")
WHOM: Final = frozenset({"user_id", "device_id"})
"""Columns of which a file of sightings has one."""
NUMBERED: Final = ("user_id", "device_id", "customer_user_id", "amplitude_id")
"""Columns of ids that may be numbers, of which a spreadsheet makes the same of many."""
FORMULA: Final = re.compile('="([^"]*)"')
"""Text as a spreadsheet's formula, which keeps a number whole."""
_encode: Final = msgspec.json.Encoder().encode
ZIP: Final = b"PK\x03\x04"
BETWEEN_LINES: Final = b"}\r{"
_TOO_LONG: Final = f"It is longer than {MAX_LINE:,} bytes."


class BadLine(Struct, frozen=True):
    """A line that can't be read, by its number in the file (from 1), and why, with the name inside an archive."""

    line: int
    problem: str


class FileLine(Struct, frozen=True):
    """One object of a file, as JSON. `identifies`: it names a user together with an identifier.

    `ids` are its user ids and device ids.
    """

    line: int
    body: bytes
    identifies: bool
    ids: tuple[str, ...] = ()


def read_file(path: Path) -> Iterator[FileLine | BadLine]:
    """Yield the lines of a file of sightings. Raises `FlybridgeError` if it is none, or can't be opened."""
    try:
        with path.open("rb") as file:
            if file.peek(len(ZIP)).startswith(ZIP):
                yield from _archive_lines(file, path)
            else:
                yield from read_lines(as_utf8(unpacked(file, str(path))), str(path))
    # RuntimeError, of which NotImplementedError is one: an archive with a password, or packed in a way not known.
    except (OSError, EOFError, zlib.error, BadZipFile, RuntimeError) as problem:
        raise FlybridgeError(f"{path} can't be read: {problem}.") from problem


def _archive_lines(file: IO[bytes], path: Path) -> Iterator[FileLine | BadLine]:
    with ZipFile(file) as archive:
        for member in sorted(archive.infolist(), key=lambda member: member.filename):
            hidden = member.filename.rpartition("/")[2].startswith(".")
            if member.is_dir() or hidden or member.filename.startswith("__MACOSX/"):  # the system has put it there
                continue
            name = f"{path}:{member.filename}"
            with archive.open(member) as packed:
                for line in read_lines(as_utf8(unpacked(packed, name)), name):
                    yield (
                        BadLine(line.line, f"In {member.filename}: {line.problem}")
                        if isinstance(line, BadLine)
                        else line
                    )


def read_lines(file: IO[bytes], name: str) -> Iterator[FileLine | BadLine]:
    """Yield lines: JSON objects if the first one begins like one or like an array, else CSV with a header."""
    number, first = 0, b""
    while not first.strip():
        number, first = number + 1, file.readline(MAX_LINE)
        if not first:
            return
    first = without_marks(first)
    begins = first.strip()
    if b"\r" in begins and (begins[:1] not in (b"[", b"{") or BETWEEN_LINES in begins):
        check_line_ends(line_text(begins), name)
    if begins[:1] == b"[" or begins == b"{":
        # The members of an array, or objects that are written over several lines.
        values = JsonValues(file, first, number, MAX_LINE)
        yield from _json_lines(values)
        if values.is_cut:
            problem = "The file ends in the midst of a JSON value: it was cut, or a bracket is missing."
            yield BadLine(values.line, problem)
    elif begins[:1] == b"{":
        yield from _json_lines(enumerate(_whole_lines(file, first), number))
    else:
        yield from _csv_lines(file, first, number, name)


def _whole_lines(file: IO[bytes], first: bytes) -> Iterator[bytes | None]:
    """Yield the lines after the beginning of one, and None for each that is longer than `MAX_LINE`."""
    line = first
    while line:
        if len(line) >= MAX_LINE and not line.endswith(b"\n"):
            while line and not line.endswith(b"\n"):
                line = file.readline(MAX_LINE)
            yield None
        else:
            yield line
        line = file.readline(MAX_LINE)


def _json_lines(lines: Iterable[tuple[int, bytes | None]]) -> Iterator[FileLine | BadLine]:
    for at, raw in lines:
        if raw is None or (text := raw.strip()):
            yield BadLine(at, _TOO_LONG) if raw is None else _json_line(at, text)


def _json_line(at: int, text: bytes) -> FileLine | BadLine:
    try:
        line = _line(at, text)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as problem:
        return BadLine(at, f"It is not readable JSON: {problem}.")
    return line if text[:1] == b"{" else BadLine(at, "It is not a JSON object.")


def _csv_lines(file: IO[bytes], first: bytes, number: int, name: str) -> Iterator[FileLine | BadLine]:
    text = line_text(first)
    delimiter = max(",;\t|", key=text.count)
    try:
        columns = [column.strip() for column in next(csv.reader([text], delimiter=delimiter))]
    except csv.Error:  # one that is too long for a name
        columns = [f"{text[:50]}..."]
    lower = [column.lower().replace(" ", "_") for column in columns]  # warehouses write names in capitals
    if is_merge(lower) or not WHOM & set(columns):
        columns = lower
    else:  # of a table that was put together from several
        named = {*NUMBERED, *TIMES} - set(columns)
        columns = [name if name in named else column for name, column in zip(lower, columns, strict=True)]
    if not WHOM & set(columns) and not is_merge(columns):
        raise FlybridgeError(
            f"{name} is neither JSON lines nor a CSV file with a column user_id or device_id. "
            f"Its first line has: {', '.join(columns[:10])}."
        )
    long: set[int] = set()

    def texts() -> Iterator[str]:
        for at, raw in enumerate(_whole_lines(file, file.readline(MAX_LINE)), number + 1):
            if raw is None:
                long.add(at)
            yield "\n" if raw is None else line_text(raw)

    reader = csv.reader(texts(), delimiter=delimiter)
    while True:
        at = number + reader.line_num + 1
        try:
            values = next(reader)
        except StopIteration:
            return
        except csv.Error as problem:
            yield BadLine(at, f"It is not a line of CSV: {problem}.")
            continue
        if not values:
            if at in long:
                yield BadLine(at, _TOO_LONG)
            continue
        if len(values) != len(columns):
            yield BadLine(at, f"It has {len(values)} values, and the header has {len(columns)}.")
            continue
        found: dict[str, str | int] = {
            column: formula[1] if (formula := FORMULA.fullmatch(value)) else value
            for column, value in zip(columns, values, strict=True)
            if value
        }
        if shortened := [column for column in NUMBERED if is_shortened(str(found.get(column, "")))]:
            yield BadLine(at, f"Its {shortened[0]} is a number that a spreadsheet has shortened: save it as text.")
            continue
        for column in NUMBERED:
            if column in found:
                found[column] = user_of(str(found[column]))
        for time in TIMES:
            digits = str(found.get(time, ""))
            if digits.isdecimal() and len(digits) <= MAX_DIGITS:
                found[time] = int(digits)
        body = _encode(found)
        yield _line(at, body)


def _line(number: int, body: bytes) -> FileLine:
    """Return a line with what it says. Raises what decoding raises."""
    message = decode(body)
    seen = list(stream.walk(message))
    ids = tuple(one for each in seen for one in (each.user_id, each.device_id) if one is not None)
    identifies = any(each.ids for each in seen) or any(True for _ in merges(message))
    return FileLine(number, body, identifies, ids)
