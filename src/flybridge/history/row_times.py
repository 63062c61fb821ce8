"""The times of a CSV file's rows, without their other fields.

Before an import it has to be known when its events happened, and which conversion of each person is the last. A row
that is no conversion tells this by two of its values, and reading these alone takes half the time. Only rows
whose times are UTC and in AppsFlyer's own form are treated so, and every other row is read as usual. A file is read in
this way up to the first block in which a record is not a line.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from typing import Final

from msgspec import Struct

from flybridge.appsflyer.fields import ABSENT
from flybridge.appsflyer.postback_time import time_ms
from flybridge.appsflyer.raw_report import TAKEN, Report, is_of_fraud
from flybridge.history.csv_rows import CsvReader, may_be_header
from flybridge.history.progress import CONVERSIONS
from flybridge.history.rows import BadRow, RawRow

BLOCK: Final = 1 << 18

# February 29 is read as usual, and found out to be a day or none.
_TIME: Final = re.compile(
    r"20[0-9]{2}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"
    r"|02-(?:0[1-9]|1[0-9]|2[0-8])) (?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]"
)


class RowTimes(Struct, frozen=True, gc=False):
    """How many rows happened in a span of time. They are messages, and none is a conversion."""

    rows: int
    first_ms: int
    last_ms: int


def timed_rows(reader: CsvReader) -> Iterator[RowTimes | RawRow | BadRow]:
    """Yield the rows of a file of which the reader has read the header; many that are next to each other as one."""
    if not _is_provable(reader):
        yield from reader
        return
    ordinary = set[str]()
    for block in reader.blocks(BLOCK):
        lines = io.BytesIO(block).readlines()
        found = None if may_be_header(block) else _timed(reader, lines, ordinary)
        if found is None:
            yield from reader.rows_from(block)
            return
        times, others = found
        before = reader.lines
        if times is not None:
            yield times
        for place in others:
            reader.lines = before + place
            yield from reader.rows_in(lines[place])
        reader.lines = before + len(lines)


def _is_provable(reader: CsvReader) -> bool:
    """Whether all rows of a file are messages, and have an event's name and time in columns of their own."""
    fields = reader.columns.fields
    return (
        reader.is_utc
        and reader.named in (None, *TAKEN)
        and reader.named is not Report.SKADNETWORK
        and "event_name" in fields
        and "event_time" in fields
        and not is_of_fraud(fields)
        and not any(name.startswith("skad_") for name in fields)
    )


def _timed(reader: CsvReader, lines: list[bytes], ordinary: set[str]) -> tuple[RowTimes | None, list[int]] | None:
    """Return the times of ordinary rows and the places of the others; None if a record is not a line."""
    fields = reader.columns.fields
    width, name_at, time_at = len(fields), fields.index("event_name"), fields.index("event_time")
    matches, others = _TIME.fullmatch, list[int]()
    first, last, number = "9", "", 0
    records = csv.reader(map(bytes.decode, lines), delimiter=reader.delimiter, strict=True)
    try:
        for values in records:
            number += 1
            if len(values) != width or records.line_num != number:
                return None
            name, time = values[name_at], values[time_at]
            if (name in ordinary or _is_ordinary(name, ordinary)) and matches(time):
                first = min(first, time)
                last = max(last, time)
            else:
                others.append(number - 1)
    except (csv.Error, UnicodeDecodeError):
        return None
    if number == len(others):
        return None, others
    first_ms, last_ms = time_ms(first), time_ms(last)
    if first_ms is None or last_ms is None:
        return None
    return RowTimes(number - len(others), first_ms, last_ms), others


def _is_ordinary(name: str, ordinary: set[str]) -> bool:
    """Whether a name is that of an in-app event and nothing else; it is noted then."""
    if name in CONVERSIONS or name in ABSENT or not name.strip():
        return False
    if len(ordinary) < BLOCK:
        ordinary.add(name)
    return True
