"""The store's tables in PostgreSQL: counter ids, row ids, locks, and how named statements are run."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from threading import Lock
from time import monotonic
from typing import Any, Final
from zlib import crc32

from psycopg import errors

from flybridge.errors import StoreUnavailable
from flybridge.records import Dimensions
from flybridge.store.core.numbers import KnownNumbers
from flybridge.store.core.performance_cells import MAX_CELLS, CellName, PerformanceCells
from flybridge.store.core.performance_sql import NAMED_BY, CellSql
from flybridge.store.core.tables import Read, Write
from flybridge.store.postgres.arrays import columns
from flybridge.store.postgres.connection import GATE, LOCK_MS, TASK_LOCKS, Db
from flybridge.store.postgres.sql import EXACT, READS, WRITES

BLOCK: Final = 1000
BLOCK_S: Final = 60.0
"""A block of ids is given up after this, so that the order of ids is the order of filing, to the minute."""

_ARRAY: Final = re.compile(r"\$(\d+)::([a-z ]+)\[\]")


def _types(sql: str) -> tuple[str, ...]:
    """Return the types of a statement's arrays, in the order of their numbers."""
    return tuple(kind for _, kind in sorted({(int(number), kind) for number, kind in _ARRAY.findall(sql)}))


_READS: Final[Mapping[Read, tuple[bytes, tuple[str, ...]]]] = {
    what: (sql.encode(), _types(sql)) for what, sql in READS.items()
}
_WRITES: Final[Mapping[Write, tuple[bytes, tuple[str, ...]]]] = {
    what: (sql.encode(), _types(sql)) for what, sql in WRITES.items()
}
CELLS: Final = CellSql(
    "${}::{}".format,
    f"cell_of({', '.join(f'dimensions.{name}' for name in NAMED_BY)}) "
    f"= cell_of({', '.join(f'wanted.{name}' for name in NAMED_BY)})",
    "SELECT nextval(pg_get_serial_sequence('{}', 'id')) FROM generate_series(1, $1::bigint)".format,
)
_LOCK: Final = b"INSERT INTO locks (key) SELECT key FROM unnest($1::bytea[]) AS wanted (key) ORDER BY key"
_UNLOCK: Final = b"DELETE FROM locks WHERE key = ANY($1::bytea[])"
_WAIT: Final = b"SELECT set_config('lock_timeout', $1::integer::text, true)"

LOCK_ALSO_MS: Final = 200
"""How long a transaction waits for keys out of their order: two that wait for each other must not do so for long."""


def _bytea(keys: Iterable[bytes]) -> Sequence[object]:
    return columns(("bytea",), [(key,) for key in keys])


class Conflict(Exception):
    """Another transaction committed first: what this one has read is outdated, and it is to be repeated."""


class IdBlocks:
    """Row ids, taken from the database in blocks and shared by all connections of a process.

    `more` returns the first ids of so many new blocks. It must not wait for any transaction: its caller may hold what
    that transaction waits for.
    """

    def __init__(self, more: Callable[[int], list[int]]) -> None:
        self._more = more
        self._guard = Lock()
        self._left: list[int] = []
        self._until_s = 0.0

    def forget(self) -> None:
        """Drop what is left: a server that crashed may return the same block again."""
        with self._guard:
            self._left = []

    def take(self, n: int) -> list[int]:
        """Return n ids, rising."""
        with self._guard:
            if monotonic() > self._until_s:
                self._left = []
            if len(self._left) < n:
                for first in self._more(-(-(n - len(self._left)) // BLOCK)):
                    self._left += range(first, first + BLOCK)
                self._until_s = monotonic() + BLOCK_S
            taken = self._left[:n]
            del self._left[:n]
            return taken


class CounterIds(KnownNumbers):
    """Ids of counters and lanes by name, cached for all connections of a process.

    A new one is made at once, on a connection of its own: a counter of zero does no harm, and no transaction waits for
    the end of the batch that was the first to need it. Blocks of row ids are taken on the same connection.
    """

    def __init__(self, connect: Callable[[], Db], max_cells: int = MAX_CELLS) -> None:
        self._connect = connect
        self._guard = Lock()
        self._performance = PerformanceCells(self._run, CELLS, max_cells)
        self._db: Db | None = None
        super().__init__(self._run, "$")

    def performance_cell(self, app: str, day: int, dimensions: Dimensions) -> int:
        with self._guard:
            return self._performance.cell(app, day, dimensions)

    def performance_cells(self, names: Sequence[CellName]) -> list[int]:
        with self._guard:
            return self._performance.cells(names)

    def performance_cell_of(self, cell: int) -> tuple[int, Dimensions]:
        with self._guard:
            return self._performance.named(cell)

    def _run(self, sql: str, values: Sequence[object]) -> list[Any]:
        return self._open().execute(sql.encode(), values).fetchall()

    def blocks(self, n: int) -> list[int]:
        """Take n blocks of row ids. Returns the first id of each."""
        with self._guard:
            rows = self._open().execute(b"SELECT nextval('ids') FROM generate_series(1, $1)", (n,)).fetchall()
        return [int(first) for (first,) in rows]

    def _number(self, table: str, columns: str, name: Sequence[str]) -> int:
        try:
            with self._guard:
                return super()._number(table, columns, name)
        except IndexError:
            raise Conflict(f"{name} was deleted while it was made") from None

    def _named(self, table: str, columns: str, number: int) -> list[Any]:
        with self._guard:
            rows = super()._named(table, columns, number)
        if not rows:
            raise StoreUnavailable(f"The store has no counter or lane {number}: rows were deleted by hand.")
        return rows

    def _open(self) -> Db:
        if self._db is None or self._db.closed:
            self._db = self._connect()
        return self._db

    def forget(self) -> None:
        """Empty the caches: the connections broke, and the server that took over may know less."""
        with self._guard:
            self.forget_numbers()
            self._performance.forget()
            self.close()

    def close(self) -> None:
        if self._db is not None:
            self._db.close()


class PostgresRows:
    """Reads on one connection."""

    def __init__(self, db: Db) -> None:
        self.db = db

    def read(self, what: Read, *values: object) -> list[Any]:
        return self.db.execute(_READS[what][0], values, binary=True).fetchall()

    def among(self, what: Read, keys: Iterable[object], *first: object) -> list[Any]:
        rows = [(key,) for key in keys]
        if not rows:
            return []
        sql, types = _READS[what]
        return self.db.execute(sql, (*first, *columns(types, rows)), binary=True).fetchall()


class PostgresChanges(PostgresRows):
    """Statements of a transaction that writes. They are sent and not waited for until `finish`."""

    def __init__(self, db: Db) -> None:
        super().__init__(db)
        self._exact: list[tuple[Any, int]] = []

    def only(self, task: str) -> bool:
        sql = b"SELECT pg_try_advisory_xact_lock($1::integer, $2::integer)"
        row = self.db.execute(sql, (TASK_LOCKS, crc32(task.encode()) >> 1)).fetchone()
        return row is not None and bool(row[0])

    def write(self, what: Write, rows: Sequence[tuple[object, ...]]) -> None:
        if rows:
            cursor = self._send(what, rows)
            if what in EXACT:
                self._exact.append((cursor, len(rows)))

    def count(self, what: Write, rows: Sequence[tuple[object, ...]]) -> int:
        if not rows:
            return 0
        with self.db.pipeline() as pipeline:
            cursor = self._send(what, rows)
            pipeline.sync()
            return int(cursor.rowcount)

    def _send(self, what: Write, rows: Sequence[tuple[object, ...]]) -> Any:
        sql, types = _WRITES[what]
        return self.db.execute(sql, columns(types, rows))

    def finish(self) -> None:
        """Sync the pipeline and detect write conflicts. Raises `Conflict`."""
        if self._exact:
            with self.db.pipeline() as pipeline:
                pipeline.sync()
            if any(cursor.rowcount != n for cursor, n in self._exact):
                raise Conflict("a key was remembered by another batch at the same time")


class PostgresTables(PostgresChanges):
    """Statements of a transaction that files events, with the locks and ids that it needs.

    `also` holds keys that former attempts of the transaction have found to be needed. It is added to.
    """

    keeps_released = False

    def __init__(self, db: Db, names: CounterIds, blocks: IdBlocks, also: set[bytes]) -> None:
        super().__init__(db)
        self._blocks = blocks
        self._also = also
        self._locked: set[bytes] = set()
        self.counter = names.counter
        self.counter_key = names.counter_key
        self.lane = names.lane
        self.performance_cell = names.performance_cell
        self.performance_cells = names.performance_cells
        self.performance_cell_of = names.performance_cell_of
        self.lane_of = names.lane_of

    def enter(self, *, alone: bool) -> None:
        """Take the gate lock, exclusively if `alone`."""
        self._locked, self._exact = set(), []
        lock = b"pg_advisory_xact_lock" if alone else b"pg_advisory_xact_lock_shared"
        self.db.execute(b"SELECT %b($1::bigint)" % lock, (GATE,))

    def lock(self, keys: Iterable[bytes]) -> None:
        self._locked = self._also.union(keys)
        if self._locked:
            self.db.execute(_LOCK, _bytea(self._locked))

    def lock_also(self, keys: Iterable[bytes]) -> Set[bytes]:
        """Lock more keys, out of their order. Raises `Conflict` if others have them: repeated, all are in order."""
        new = set(keys) - self._locked
        if new:
            self._locked |= new
            self._also |= new
            try:
                with self.db.pipeline() as pipeline:
                    self.db.execute(_WAIT, (LOCK_ALSO_MS,))
                    self.db.execute(_LOCK, _bytea(new))
                    self.db.execute(_WAIT, (LOCK_MS,))
                    pipeline.sync()
            except errors.LockNotAvailable:
                raise Conflict("another transaction files about the same person") from None
        return new

    def ids(self, n: int) -> list[int]:
        return self._blocks.take(n) if n else []

    def finish(self) -> None:
        if self._locked:
            self.db.execute(_UNLOCK, _bytea(self._locked))
        super().finish()
