"""Content keys of a CSV file's rows, by the few columns that they rest on.

Comparing with what was filed needs keys, and no messages. Only rows whose key their columns prove are treated so, and
every other row is read and mapped as usual.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from msgspec import Struct

from flybridge.appsflyer.raw_report import Report
from flybridge.history.column_blocks import ColumnBlock, rows_beside, rows_by_columns
from flybridge.history.column_events import REPEATING, ColumnEvents
from flybridge.history.csv_rows import CsvReader
from flybridge.history.equal_rows import IDENTITY, RowIdentity
from flybridge.history.rows import BadRow, RawRow
from flybridge.mapping.to_amplitude.rules import Rules


class KeyOwner(Struct, frozen=True):
    """The app whose rows are read, by flybridge's and by AppsFlyer's name, and what it runs on."""

    app: str
    app_id: str
    platform: str


class KeyedRow(Struct, frozen=True, gc=False):
    """A row of which only the key is known, when it happened, and what tells it from equal rows, as `EqualRows` has it.

    Of conversions no two are equal rows, and `identity` is None.
    """

    number: int
    report: Report
    key: bytes
    ms: int
    identity: RowIdentity | None
    is_conversion: bool


@lru_cache(64)
def _rules_of(owner: KeyOwner) -> Rules:
    """Return rules by which keys are proved. They rest on nothing else that is configured but copies, see `_rows`."""
    return Rules(app=owner.app, platform=owner.platform, app_id=owner.app_id)  # type: ignore[arg-type]


def keyed_rows(reader: CsvReader, owner: KeyOwner) -> Iterator[KeyedRow | RawRow | BadRow]:
    """Return the rows of a file of which the reader has read the header."""
    events = ColumnEvents(_rules_of(owner), reader.columns, reader.named, IDENTITY)
    return rows_by_columns(reader, events.needed, REPEATING, lambda block: _rows(reader, block, events))


def _rows(reader: CsvReader, block: ColumnBlock, events: ColumnEvents) -> Iterator[KeyedRow | RawRow | BadRow]:
    # Which copies of an event have keys of their own is configured.
    found = [None if one is None or one.decided.apart is not None else one for one in events.of(block)]
    numbers, read = rows_beside(reader, block, found)
    for number, one, identity in zip(numbers, found, block.identities(IDENTITY), strict=True):
        if one is not None:
            decided = one.decided
            yield KeyedRow(
                number,
                decided.report,
                one.key,
                one.second * 1000,
                None if decided.is_conversion else identity,
                bool(decided.family),
            )
        elif (row := read.get(number)) is not None:
            yield row
