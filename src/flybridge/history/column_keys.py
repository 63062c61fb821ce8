"""Content keys of a CSV file's rows, by the few columns that they rest on.

Comparing with what was filed needs keys, and no messages: reading these columns with pyarrow, a block at a time, costs
a fraction of reading all fields of a row and mapping them. Only in-app events whose key these columns prove are treated
so, and every other row is read and mapped as usual. A file is read in this way up to the first block in which a record
is not a line (values with line breaks, broken rows, another header); without pyarrow it is not.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from typing import Final

import msgspec
from msgspec import Struct

from flybridge.appsflyer.fields import ABSENT, MAX_TEXT
from flybridge.appsflyer.postback_kind import NAMES
from flybridge.appsflyer.postback_time import time_ms
from flybridge.appsflyer.raw_report import TAKEN, Report
from flybridge.history.csv_rows import CsvReader, may_be_header
from flybridge.history.progress import IDENTITY
from flybridge.history.rows import BadRow, RawRow
from flybridge.mapping.to_amplitude.content_key import event_key

BLOCK: Final = 1 << 20
NEEDED: Final = ("appsflyer_id", "event_name", "event_time")
USED: Final = (*IDENTITY, "media_source", "app_id", "platform")
TELLING: Final = ("detection_date", "fraud_reason", "fraud_reasons", "blocked_reason", "event_type")
"""Fields that make another message of a row."""

_TIME: Final = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d")
_AMOUNT: Final = re.compile(r"\d{1,12}(?:\.\d{1,15})?")
_PLAIN: Final = re.compile(r"[\w.:+-]{1,256}", re.ASCII)
_decode: Final = msgspec.json.Decoder().decode


class KeyOwner(Struct, frozen=True):
    """The app whose rows are read, by flybridge's and by AppsFlyer's name, and what it runs on."""

    app: str
    app_id: str
    platform: str


class KeyedRow(Struct, frozen=True, gc=False):
    """A row of which only the key is known, and the fields of `USED`."""

    number: int
    report: Report
    fields: dict[str, str]
    key: bytes


def keyed_rows(reader: CsvReader, owner: KeyOwner) -> Iterator[KeyedRow | RawRow | BadRow]:
    """Yield the rows of a file of which the reader has read the header."""
    chosen = _chosen(reader)
    if not chosen:
        yield from reader
        return
    for block in reader.blocks(BLOCK):
        columns = _columns(reader, block, chosen)
        if not columns:
            yield from reader.rows_from(block)
            return
        lines: list[bytes] = []
        names = tuple(columns)
        for place, values in enumerate(zip(*columns.values(), strict=True)):
            number = reader.lines + 1
            fields = {name: value for name, value in zip(names, values, strict=True) if value is not None}
            row = _keyed(number, fields, owner)
            if row is not None:
                reader.lines = number
                yield row
            else:
                lines = lines or io.BytesIO(block).readlines()
                yield from reader.rows_in(lines[place])


def _chosen(reader: CsvReader) -> list[str]:
    """Return the fields to be read; none if the keys of this file are not those of columns."""
    fields = reader.columns.fields
    if (
        reader.is_cut
        or reader.columns.again
        or not all(name in fields for name in NEEDED)
        or reader.named not in (None, *TAKEN)
    ):
        return []
    if reader.named is Report.SKADNETWORK or any(name.startswith("skad_") for name in fields):
        return []
    return [name for name in dict.fromkeys((*USED, *TELLING)) if name in fields]


def _columns(reader: CsvReader, block: bytes, chosen: list[str]) -> dict[str, list[str | None]] | None:
    """Return the values of columns that have any; None if the block is to be read row by row."""
    try:
        import pyarrow  # noqa: PLC0415 - an extra
        from pyarrow import csv  # noqa: PLC0415
    except ImportError:
        return None
    if may_be_header(block) or b"\n" not in block:  # perhaps a part of a line that is too long
        return None
    fields = reader.columns.fields
    names = [str(place) for place in range(len(fields))]
    wanted = [names[fields.index(name)] for name in chosen]
    try:
        table = csv.read_csv(
            pyarrow.BufferReader(block),
            csv.ReadOptions(column_names=names, use_threads=False, block_size=2 * BLOCK + len(block)),
            csv.ParseOptions(delimiter=reader.delimiter, newlines_in_values=True, ignore_empty_lines=False),
            csv.ConvertOptions(
                include_columns=wanted,
                column_types=dict.fromkeys(wanted, pyarrow.string()),
                strings_can_be_null=True,
                quoted_strings_can_be_null=True,
                null_values=[""],
            ),
        )
    except pyarrow.ArrowException:
        return None
    # As many rows as lines: the number of a row is that of its line.
    if table.num_rows != block.count(b"\n") + (not block.endswith(b"\n")):
        return None
    found = zip(chosen, table.columns, strict=True)
    return {name: column.to_pylist() for name, column in found if column.null_count < table.num_rows}


def _keyed(number: int, fields: dict[str, str], owner: KeyOwner) -> KeyedRow | None:
    """Return a row with its key; None if the key is not proved by these fields."""
    who, name, time = fields.get("appsflyer_id"), fields.get("event_name"), fields.get("event_time")
    if who is None or name is None or time is None or not ABSENT.isdisjoint(fields.values()):
        return None
    if (
        name in NAMES
        or len(name) > MAX_TEXT
        or name.strip() != name
        or _PLAIN.fullmatch(who) is None
        or _TIME.fullmatch(time) is None
        or fields.get("is_primary_attribution", "true") != "true"
        or fields.get("app_id", owner.app_id) != owner.app_id
        or fields.get("platform", owner.platform).lower() != owner.platform
        or not fields.keys().isdisjoint(TELLING)
    ):
        return None
    ms, amount = time_ms(time), fields.get("event_revenue")
    currency, written = fields.get("event_revenue_currency"), fields.get("event_value")
    if ms is None or (amount is not None and _AMOUNT.fullmatch(amount) is None):
        return None
    if currency is not None and (len(currency) != 3 or not currency.isalpha() or not currency.isascii()):
        return None
    value = None
    if written is not None:
        if written[:1] != "{":
            return None
        try:
            value = _decode(written)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return None
    revenue = None if amount is None else float(amount)
    paid_in = None if amount is None else (currency or "").upper()
    key = event_key([owner.app, who, name, ms // 1000, revenue, paid_in], value)
    return KeyedRow(number, Report.EVENTS, fields, key)
