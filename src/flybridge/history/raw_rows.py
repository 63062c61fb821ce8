"""Read the rows of a raw-data file.

What is CSV, Parquet or compressed is recognised by its first bytes. Parquet is read with pyarrow, which comes with
`flybridge[history]`.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import IO, Any, Final, TypeVar, cast

from flybridge.appsflyer.raw_report import Report
from flybridge.errors import FlybridgeError
from flybridge.history.arrow_rows import parquet_rows
from flybridge.history.column_keys import KeyedRow, KeyOwner, keyed_rows
from flybridge.history.column_prospects import Prospects, prospects_of
from flybridge.history.csv_rows import CsvReader
from flybridge.history.files import RawFile
from flybridge.history.object_reader import first_line
from flybridge.history.row_times import RowTimes, timed_rows
from flybridge.history.rows import UTC_TIMES, BadRow, RawRow, Zone
from flybridge.history.unpacked import unpacked
from flybridge.mapping.to_amplitude.rules import Rules
from flybridge.system.text_encoding import as_utf8

T = TypeVar("T")

_PARQUET: Final = b"PAR1"


class RawRows:
    """The rows of a file after `start`, the end of the last row that is not wanted.

    `zone` is that of its times as far as they have none; once its columns are read, UTC where these say so.

    Iterating raises `FlybridgeError` if the file can't be read, or not to its end, after the rows before.
    """

    def __init__(self, file: RawFile, zone: Zone | None, named: Report | None, start: int = 0) -> None:
        self.file = file
        self._zone, self._named, self._start = zone, named, start
        self.zone = zone or UTC_TIMES
        self._stored: IO[bytes] | None = None

    @property
    def position(self) -> int:
        """How many bytes of the file, as it is stored, have been read."""
        return self._stored.tell() if self._stored is not None and not self._stored.closed else 0

    def __iter__(self) -> Iterator[RawRow | BadRow]:
        return self._rows(iter)

    def keyed(self, owner: KeyOwner) -> Iterator[KeyedRow | RawRow | BadRow]:
        """Yield the rows, with their keys alone where the columns prove them."""
        return self._rows(lambda reader: keyed_rows(reader, owner))

    def prospects(
        self, rules: Rules, names: Sequence[str], *, reads_held: bool = False, reads_of_servers: bool = False
    ) -> Iterator[Prospects | RawRow | BadRow]:
        """Yield the rows, with what would become of them alone where the columns prove it, a block of rows at once.

        With `reads_held`, those that do not name their user are read whole, with `reads_of_servers` those that came
        to AppsFlyer from a server.
        """

        def read(reader: CsvReader) -> Iterator[Prospects | RawRow | BadRow]:
            return prospects_of(reader, rules, names, reads_held=reads_held, reads_of_servers=reads_of_servers)

        return self._rows(read)

    def timed(self) -> Iterator[RowTimes | RawRow | BadRow]:
        """Yield the rows, with their times alone where the columns prove that they are ordinary."""
        return self._rows(timed_rows)

    def _rows(self, read: Callable[[CsvReader], Iterator[T]]) -> Iterator[T | RawRow]:
        """Yield the rows of CSV as `read` gives them."""
        name = self.file.name
        if self.file.problem:
            raise FlybridgeError(self.file.problem)
        try:
            with self.file.opened() as stored:
                self._stored = stored
                for reader in self._readers(stored):
                    yield from read(reader) if isinstance(reader, CsvReader) else reader
        except FlybridgeError:
            raise
        except (OSError, EOFError, zlib.error, UnicodeError) as problem:
            raise FlybridgeError(f"{name} can't be read: {first_line(problem)}.") from problem
        except Exception as problem:
            if type(problem).__module__.partition(".")[0] in {"obstore", "pyarrow", "zipfile", "builtins"}:
                raise FlybridgeError(f"{name} can't be read: {first_line(problem)}.") from problem
            raise

    def _readers(self, stored: IO[bytes]) -> Iterator[CsvReader | Iterator[RawRow]]:
        """Yield what reads the rows; nothing for an empty file."""
        name, named, zone, start = self.file.name, self._named, self._zone, self._start
        mark = stored.read(4)
        stored.seek(0)
        if mark == _PARQUET:
            self.zone, rows = parquet_rows(stored, name, named, zone, start)
            yield rows
        elif mark:
            content = unpacked(stored, name)
            if cast("Any", content).peek(len(_PARQUET)).startswith(_PARQUET):
                raise FlybridgeError(f"{name} is a Parquet file that was packed with gzip: unpack it.")
            reader = CsvReader(as_utf8(content), name, named, zone, start)
            self.zone = reader.zone
            yield reader
