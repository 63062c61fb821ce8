"""The times of a CSV file's rows, without their other fields.

Before an import it has to be known when its events happened, and which conversion of each person is the last. Three of
a row's values tell this, and are read by columns (`column_blocks`). Only rows whose times are UTC and in AppsFlyer's
own form are treated so, and every other row is read as usual.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Final

from msgspec import Struct, field

from flybridge.appsflyer.raw_report import CONVERSIONS, DECIDING, FRAUD, may_be_own
from flybridge.history.column_blocks import ColumnBlock, are_provable, rows_by_columns, second_of
from flybridge.history.csv_rows import CsvReader
from flybridge.history.equal_rows import PERSON
from flybridge.history.rows import BadRow, RawRow
from flybridge.system.text_encoding import BLANKS

NEEDED: Final = ("event_name", "event_time")
ALSO: Final = (PERSON[0], *FRAUD, *(name for name in DECIDING if name not in NEEDED))
REPEATING: Final = ("event_name", *FRAUD)


class RowTimes(Struct, frozen=True, gc=False):
    """How many rows happened in a span of time. They are messages; `conversions` are the persons and times of some."""

    rows: int
    first_ms: int
    last_ms: int
    conversions: list[tuple[int, int]] = field(default_factory=list)


def timed_rows(reader: CsvReader) -> Iterator[RowTimes | RawRow | BadRow]:
    """Return the rows of a file of which the reader has read the header; many that are next to each other as one."""
    is_provable = are_provable(reader.columns, reader.named, NEEDED)
    chosen = [name for name in (*NEEDED, *ALSO) if name in reader.columns.fields] if is_provable else ()
    return rows_by_columns(reader, chosen, REPEATING, lambda block: _rows(reader, block))


def _rows(reader: CsvReader, block: ColumnBlock) -> Iterator[RowTimes | RawRow | BadRow]:
    times, others = _timed(block)
    if times.rows:
        yield times
    yield from reader.rows_of(block.data, others).values()
    reader.lines += block.rows


def _timed(block: ColumnBlock) -> tuple[RowTimes, Sequence[int]]:
    """Return the times of the rows that are proved by their columns, and the places of the others."""
    seconds, conversions, others = list[int](), list[tuple[int, int]](), list[int]()
    values, names = block.codes("event_name") if block.has("event_name") else ((), [None] * block.rows)
    kinds = [value in CONVERSIONS if value and value.strip(BLANKS) == value else None for value in values]
    fraud = {
        place for name in FRAUD if block.has(name) for place, text in enumerate(block.texts(name)) if text is not None
    }
    doubtful = _doubtful(block, names, values) if any(kinds) else ()
    rows = zip(names, block.texts("event_time"), block.texts(PERSON[0]), strict=True)
    for place, (name, time, person) in enumerate(rows):
        is_conversion = None if name is None or place in doubtful else kinds[name]
        second = None if time is None else second_of(time)
        if is_conversion is None or second is None or (is_conversion and person is None) or place in fraud:
            others.append(place)
            continue
        seconds.append(second)
        if is_conversion and person is not None:
            conversions.append((hash(person.lower()), second * 1000))
    first, last = (min(seconds), max(seconds)) if seconds else (0, 0)
    return RowTimes(len(seconds), first * 1000, last * 1000, conversions), others


def _doubtful(block: ColumnBlock, names: Sequence[int | None], values: Sequence[str | None]) -> Collection[int]:
    """Return the places of rows with names of conversions that may be events of the app."""
    chosen = [
        (place, values[name]) for place, name in enumerate(names) if name is not None and values[name] in CONVERSIONS
    ]
    columns = [block.texts(name) for name in DECIDING]
    return {place for place, name in chosen if name and may_be_own(name, (column[place] for column in columns))}
