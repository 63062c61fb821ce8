"""The times of a CSV file's rows, without their other fields.

Before an import it has to be known when its events happened, and which conversion of each person is the last. A row
that is no conversion tells this by two of its values, and reading these alone takes half the time: quoted values are
cut out of a whole block first, so that what is left of a line are its separators and the values between them. Only
rows whose times are UTC and in AppsFlyer's own form are treated so, and every other row is read as usual. A file is
read in this way up to the first block in which a record may be more than a line, or most rows are conversions.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Final

from msgspec import Struct

from flybridge.appsflyer.fields import ABSENT
from flybridge.appsflyer.postback_time import time_ms
from flybridge.appsflyer.raw_report import TAKEN, Report, is_of_fraud
from flybridge.history.csv_rows import CsvReader, may_be_header
from flybridge.history.progress import CONVERSIONS
from flybridge.history.rows import BadRow, RawRow

BLOCK: Final = 1 << 18

_CUT: Final = b"\0"

# February 29 is read as usual, and found out to be a day or none.
_TIME: Final = re.compile(
    rb"20[0-9]{2}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"
    rb"|02-(?:0[1-9]|1[0-9]|2[0-8])) (?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]"
)


class RowTimes(Struct, frozen=True, gc=False):
    """How many rows happened in a span of time. They are messages, and none is a conversion."""

    rows: int
    first_ms: int
    last_ms: int


_Timed = tuple[RowTimes, list[int]]
"""What `_timed` finds."""


def timed_rows(reader: CsvReader) -> Iterator[RowTimes | RawRow | BadRow]:
    """Yield the rows of a file of which the reader has read the header; many that are next to each other as one."""
    if not _is_provable(reader):
        yield from reader
        return
    ordinary = set[bytes]()
    for block in reader.blocks(BLOCK):
        lines = io.BytesIO(block).readlines()
        found = None if may_be_header(block) else _timed(reader, block, lines, ordinary)
        if found is None:
            yield from reader.rows_from(block)
            return
        times, others = found
        yield times
        yield from reader.rows_at(lines, others)


def _is_provable(reader: CsvReader) -> bool:
    """Whether all rows of a file are messages, and have an event's name and time in columns of their own."""
    fields = reader.columns.fields
    return (
        reader.zone.is_utc
        and not reader.is_cut
        and not reader.columns.again
        and reader.named in (None, *TAKEN)
        and reader.named is not Report.SKADNETWORK
        and "event_name" in fields
        and "event_time" in fields
        and not is_of_fraud(fields)
        and not any(name.startswith("skad_") for name in fields)
    )


def _timed(reader: CsvReader, block: bytes, lines: list[bytes], ordinary: set[bytes]) -> _Timed | None:
    """Return the times of ordinary rows and the places of the others; None if a record may be more than a line."""
    separator = reader.delimiter.encode()
    if (short := _without_quoted(block, separator)) is None or max(map(len, lines)) > csv.field_size_limit():
        return None
    fields = reader.columns.fields
    between, name_at, time_at = len(fields) - 1, fields.index("event_name"), fields.index("event_time")
    matches, cuts = _TIME.fullmatch, max(name_at, time_at) + 1
    times, others = list[bytes](), list[int]()
    for place, line in enumerate(io.BytesIO(short).readlines()):
        # As good as counting the separators, which are many, and three times as fast.
        if len(line) - len(line.translate(None, separator)) == between:
            values = line.rstrip(b"\r\n").split(separator, cuts)
            name, time = values[name_at], values[time_at]
            if (name in ordinary or _is_ordinary(name, ordinary)) and matches(time):
                times.append(time)
                continue
        others.append(place)
    if len(others) > len(times):
        return None
    first_ms, last_ms = (time_ms(time.decode()) for time in (min(times), max(times)))
    return None if first_ms is None or last_ms is None else (RowTimes(len(times), first_ms, last_ms), others)


def _without_quoted(block: bytes, separator: bytes) -> bytes | None:
    """Return lines with NUL in place of each quoted value; None unless each line is a record of UTF-8.

    Lines that begin with a quoted value are left to be read as usual: they are of files in which all values are quoted.
    """
    if _CUT in block:
        return None
    short = _quoted(separator).sub(separator + _CUT, block)
    if b'"' in short or (b"\r" in short and short.count(b"\r") != short.count(b"\r\n")):
        return None
    try:
        block.decode()
    except UnicodeDecodeError:
        return None
    return short


@lru_cache
def _quoted(separator: bytes) -> re.Pattern[bytes]:
    """Return the pattern of a quoted value behind a separator, in which a quote is written twice."""
    return re.compile(rb'%b"[^"\n]*(?:""[^"\n]*)*"(?=[\r\n%b]|\Z)' % ((re.escape(separator),) * 2))


def _is_ordinary(name: bytes, ordinary: set[bytes]) -> bool:
    """Whether a name is that of an in-app event and nothing else; it is noted then."""
    text = name.decode()
    if text in CONVERSIONS or text in ABSENT or not text.strip() or name == _CUT:
        return False
    if len(ordinary) < BLOCK:
        ordinary.add(name)
    return True
