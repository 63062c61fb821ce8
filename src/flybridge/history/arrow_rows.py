"""Rows of Arrow batches, which is how Parquet is read: a row's place is its number, from 1."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from struct import pack, unpack
from typing import IO, Any, Final

from flybridge.appsflyer.columns import Columns, columns_of, is_raw_data
from flybridge.appsflyer.raw_report import Report, is_of_copies
from flybridge.errors import FlybridgeError
from flybridge.history.rows import TIMES, RawRow, Zone, as_text, row_of, zone_of
from flybridge.parquet import opened_parquet
from flybridge.system.text_encoding import line_text

BATCH: Final = 2000
UTC_MARK: Final = "+00:00"
SHORT: Final = {"float": ("f", range(6, 10)), "halffloat": ("e", range(3, 6))}
"""Types of numbers that Python's would show with digits that nobody has written: 0.9900000095367432 for 0.99. Their
formats in bytes, and how many digits tell one of them from the others."""


def parquet_rows(
    stored: IO[bytes], name: str, named: Report | None, zone: Zone | None, start: int
) -> tuple[Zone, Iterator[RawRow]]:
    """Return the zone of a Parquet file's times, and its rows after the first `start`."""
    table = opened_parquet(stored)
    columns = columns_of(table.schema_arrow.names)
    if not is_raw_data(columns):
        shown = ", ".join(table.schema_arrow.names)[:200]
        raise FlybridgeError(f"{name} has no columns of AppsFlyer's raw data. It has: {shown}.")
    if is_of_copies(columns.fields):
        named = Report.POSTBACKS
    shift = zone_of(columns, zone, name)
    return shift, _rows_of_table(table, columns, named, shift, start)


def _rows_of_table(table: Any, columns: Columns, named: Report | None, shift: Zone, start: int) -> Iterator[RawRow]:
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
    for number, values in enumerate(zip(*map(_values, batch.columns), strict=True), before + 1):
        if number > start and (fields := columns.row([as_text(value) for value in values])):
            row = row_of(number, number, fields, named, zone)
            for name in TIMES:
                if fields.get(name, "").endswith(UTC_MARK):  # what has a zone of its own was not moved
                    fields[name] = fields[name].removesuffix(UTC_MARK)
            yield row


def _values(column: Any) -> list[object]:
    """Return the values of a column, of a type that Python's values have."""
    import pyarrow  # noqa: PLC0415 - an extra

    if str(column.type).startswith("timestamp[ns"):  # as Spark and pandas write them
        column = column.cast(pyarrow.timestamp("us", column.type.tz), safe=False)
    if str(column.type) in SHORT:
        column = column.cast(pyarrow.string())
    try:
        values = list(column.to_pylist(maps_as_pydicts="lossy"))
        return [_as_written(value, column.type) for value in values] if "float" in str(column.type) else values
    except (ValueError, OverflowError):  # a date after the year 9999, or text that is no UTF-8
        return [_value(scalar) for scalar in column]


def _as_written(value: Any, kind: Any) -> Any:
    """Return a value of a nested type whose short numbers have the digits that were written."""
    if isinstance(value, float) and (short := SHORT.get(str(kind))) is not None:
        form, digits = short
        for written in (float(f"{value:.{count}g}") for count in digits):
            with suppress(OverflowError):  # rounded up, the largest is too large
                if unpack(form, pack(form, written))[0] == value:
                    return written
        return value
    if isinstance(value, list):
        return [_as_written(one, kind.value_type) for one in value]
    if isinstance(value, dict):
        types = {field.name: field.type for field in kind.fields} if hasattr(kind, "fields") else {}
        return {
            name: _as_written(one, types.get(name, getattr(kind, "item_type", None))) for name, one in value.items()
        }
    return value


def _value(scalar: Any) -> object:
    """Return one value; as text or number what has none in Python."""
    try:
        return scalar.as_py()
    except UnicodeDecodeError:
        return line_text(scalar.as_buffer().to_pybytes())
    except (ValueError, OverflowError):
        return getattr(scalar, "value", None)
