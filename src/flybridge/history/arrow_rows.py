"""Rows of Arrow batches, which is how Parquet is read: a row's place is its number, from 1."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, Any, Final

from flybridge.appsflyer.columns import Columns, columns_of
from flybridge.appsflyer.raw_report import Report, is_of_copies
from flybridge.history.rows import TIMES, RawRow, Zone, as_text, row_of, zone_of
from flybridge.parquet import opened_parquet

BATCH: Final = 2000
UTC_MARK: Final = "+00:00"


def parquet_rows(stored: IO[bytes], name: str, named: Report | None, zone: Zone | None, start: int) -> Iterator[RawRow]:
    """Yield the rows of a Parquet file after the first `start`."""
    table = opened_parquet(stored)
    columns = columns_of(table.schema_arrow.names)
    if is_of_copies(columns.fields):
        named = Report.POSTBACKS
    shift = zone_of(columns, zone, name)
    number = 0
    for batch in table.iter_batches(batch_size=BATCH):
        if number + batch.num_rows > start:
            yield from rows_of_batch(batch, columns, named, shift, before=number, start=start)
        number += batch.num_rows


def rows_of_batch(
    batch: Any, columns: Columns, named: Report | None, zone: Zone, *, before: int = 0, start: int = 0
) -> Iterator[RawRow]:
    """Yield the rows of one batch that have values. `before` is how many rows there were in batches before it.

    Rows up to number `start` are left out.
    """
    for number, values in enumerate(zip(*(column.to_pylist() for column in batch.columns), strict=True), before + 1):
        if number > start and (fields := columns.row([as_text(value) for value in values])):
            row = row_of(number, number, fields, named, zone)
            for name in TIMES:
                if fields.get(name, "").endswith(UTC_MARK):  # what has a zone of its own was not moved
                    fields[name] = fields[name].removesuffix(UTC_MARK)
            yield row
