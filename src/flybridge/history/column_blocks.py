"""Some columns of a CSV file, a block of lines at a time.

Reading few columns with pyarrow costs a fraction of reading all fields of each row. It is done where each line of a
block is a record, so that a row's number is that of its line. A file is read in this way up to the first block of which
this is not so (values with line breaks, broken rows, another header); without pyarrow it is not.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, Final, TypeVar

from flybridge.appsflyer.columns import Columns
from flybridge.appsflyer.fields import ABSENT
from flybridge.appsflyer.postback_time import EARLIEST_MS, LATEST_MS
from flybridge.appsflyer.raw_report import TAKEN, Report
from flybridge.history.csv_rows import CsvReader, may_be_header
from flybridge.history.equal_rows import RowIdentity
from flybridge.history.rows import BadRow, RawRow

T = TypeVar("T")

BLOCK: Final = 1 << 20
MAX_LINE: Final = csv.field_size_limit()

Texts = Sequence[str | None]
Codes = tuple[Sequence[str | None], Sequence[int | None]]
"""The different values of a column, and the place of each row's value among them; None where it has none."""

_EPOCH: Final = datetime(1970, 1, 1)  # naive, as the times are: they mean UTC
_TIME_LENGTH: Final = len("2026-01-31 23:59:59")
_SECONDS: Final = range(EARLIEST_MS // 1000, LATEST_MS // 1000)
_read_time: Final = datetime.fromisoformat


class ColumnBlock:
    """Some columns of a block of lines. `data` are its bytes and `rows` the number of its lines, each of which is one.

    Words for nothing are None, as in rows.
    """

    def __init__(self, data: bytes, rows: int, columns: Mapping[str, Any]) -> None:
        self.data, self.rows = data, rows
        self._columns = {name: column for name, column in columns.items() if column.null_count < rows}
        self._texts: dict[str, Texts] = {}
        self._nothing: Texts = (None,) * rows

    def has(self, name: str) -> bool:
        """Whether any row has a value of a field."""
        return name in self._columns

    def texts(self, name: str) -> Texts:
        """Return the values of a field."""
        if name not in self._columns:
            return self._nothing
        if (found := self._texts.get(name)) is None:
            found = self._texts[name] = self._texts_of(name)
        return found

    def _texts_of(self, name: str) -> Texts:
        column = self._columns[name]
        if hasattr(column.type, "index_type"):
            values, places = self.codes(name)
            return [None if place is None else values[place] for place in places]
        texts = column.to_pylist()
        return texts if ABSENT.isdisjoint(texts) else [None if text in ABSENT else text for text in texts]

    def codes(self, name: str) -> Codes:
        """Return the different values of a field that repeats, and which of them each row has."""
        (column,) = self._columns[name].chunks
        values = [None if text in ABSENT else text for text in column.dictionary.to_pylist()]
        return values, [0] * self.rows if len(values) == 1 and not column.null_count else column.indices.to_pylist()

    def identities(self, names: Sequence[str]) -> Iterator[RowIdentity]:
        """Yield the values of some fields of each row, as `EqualRows.identity` returns them."""
        return zip(*map(self.texts, names), strict=True)


def second_of(written: str) -> int | None:
    """Return a time in AppsFlyer's own form in seconds since 1970; None for any other text."""
    if len(written) != _TIME_LENGTH or written[13] != ":" or written[16] != ":":
        return None
    try:
        since = _read_time(written) - _EPOCH
    except (ValueError, TypeError):
        return None
    second = since.days * 86_400 + since.seconds
    return second if second in _SECONDS else None


def _is_plain(data: bytes, separator: bytes) -> bool:
    """Whether pyarrow and `csv_rows` read the same values of lines, and none of them is a header."""
    if may_be_header(data) or b"\n" not in data:  # perhaps a part of a line that is too long
        return False
    start = 0
    while len(data) - start > MAX_LINE:  # a value may be too long for `csv`, and is bad then
        if not (start := data.rfind(b"\n", start, start + MAX_LINE) + 1):
            return False
    if b"\r" in data and data.count(b"\r") != data.count(b"\r\n"):
        return False
    if data.startswith(b'"'):
        data = b"\n" + data
    return _well_quoted(separator).match(data) is not None


@lru_cache
def _well_quoted(separator: bytes) -> re.Pattern[bytes]:
    """Return the pattern of lines in which quotes stand only around values, and within them twice."""
    value = rb'"[^"\n]*+(?:""[^"\n]*+)*+"'
    return re.compile(rb'(?:[^"]*+(?<=[\n%b])%b(?=[\r\n%b]|\Z))*+[^"]*+\Z' % (one := re.escape(separator), value, one))


def are_provable(header: Columns, named: Report | None, needed: Collection[str]) -> bool:
    """Whether all rows of a file are messages, and have the fields that are needed in columns of their own."""
    return (
        not header.again
        and named in (None, *TAKEN)
        and named is not Report.SKADNETWORK
        and all(name in header.fields for name in needed)
        and not any(name.startswith("skad_") for name in header.fields)
    )


def rows_by_columns(
    reader: CsvReader, chosen: Sequence[str], repeating: Collection[str], rows_of: Callable[[ColumnBlock], Iterator[T]]
) -> Iterator[T | RawRow | BadRow]:
    """Yield the rows of a file of which the reader has read the header: what `rows_of` makes of its blocks.

    Blocks have the fields that are chosen. Of those that are `repeating` the different values are found as they are
    read. All is read row by row if none is chosen, the times are not UTC or a line is cut, and so is what follows from
    a block on that pyarrow would read otherwise.
    """
    if not chosen or reader.is_cut or not reader.zone.is_utc:
        yield from reader
        return
    is_used = False
    try:
        for data in reader.blocks(BLOCK):
            if (block := _block(reader, data, chosen, repeating)) is None:
                yield from reader.rows_from(data)
                return
            is_used = True
            yield from rows_of(block)
    finally:
        if is_used:
            import pyarrow  # noqa: PLC0415 - an extra

            # What it has freed it keeps for the next block.
            pyarrow.default_memory_pool().release_unused()


def rows_beside(
    reader: CsvReader, block: ColumnBlock, found: Sequence[object | None]
) -> tuple[range, Mapping[int, RawRow | BadRow]]:
    """Return the numbers of a block's rows, and by number those of which nothing was found in the columns.

    The reader goes on behind the block.
    """
    read = reader.rows_of(block.data, [place for place, one in enumerate(found) if one is None])
    first = reader.lines + 1
    reader.lines += block.rows
    return range(first, first + block.rows), read


def _block(reader: CsvReader, data: bytes, chosen: Sequence[str], repeating: Collection[str]) -> ColumnBlock | None:
    try:
        import pyarrow  # noqa: PLC0415 - an extra
        from pyarrow import csv as arrow_csv  # noqa: PLC0415
    except ImportError:
        return None
    if not _is_plain(data, reader.delimiter.encode()):
        return None
    fields = reader.columns.fields
    names = [str(place) for place in range(len(fields))]
    text, coded = pyarrow.string(), pyarrow.dictionary(pyarrow.int32(), pyarrow.string())
    wanted = [names[fields.index(name)] for name in chosen]
    try:
        # Bytes that are no UTF-8 make another text of their whole line.
        ends = pyarrow.array([0, len(data)], pyarrow.int32()).buffers()[1]
        pyarrow.StringArray.from_buffers(1, ends, pyarrow.py_buffer(data)).validate(full=True)
        table = arrow_csv.read_csv(
            pyarrow.BufferReader(data),
            arrow_csv.ReadOptions(column_names=names, use_threads=False, block_size=2 * BLOCK + len(data)),
            arrow_csv.ParseOptions(delimiter=reader.delimiter, newlines_in_values=True, ignore_empty_lines=False),
            arrow_csv.ConvertOptions(
                check_utf8=False,
                include_columns=wanted,
                column_types={
                    column: coded if name in repeating else text for column, name in zip(wanted, chosen, strict=True)
                },
                strings_can_be_null=True,
                quoted_strings_can_be_null=True,
                null_values=[""],
            ),
        )
    except pyarrow.ArrowException:
        return None
    # As many rows as lines: the number of a row is that of its line.
    if table.num_rows != data.count(b"\n") + (not data.endswith(b"\n")):
        return None
    return ColumnBlock(data, table.num_rows, dict(zip(chosen, table.columns, strict=True)))
