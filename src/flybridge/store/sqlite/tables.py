"""The store's tables in SQLite: counters, lanes and ids, and how named statements are run."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any, Final

from flybridge.store.core.numbers import KnownNumbers
from flybridge.store.core.performance_cells import MAX_CELLS, PerformanceCells
from flybridge.store.core.performance_sql import NAMED_BY, CellSql
from flybridge.store.core.tables import Read, Write
from flybridge.store.sqlite.connection import among
from flybridge.store.sqlite.sql import READS, WRITES

SIZES: Final = (64, 16, 4)
"""Rows of one statement, the largest first; what is left over is run row by row."""

_GROUP: Final = re.compile(r"VALUES (\([?0, ]+\))")


class Spread:
    """A statement for many rows of parameters, run for groups of rows.

    Python releases its lock for every step of a statement and has to take it again: in a process whose other threads
    want it too, that costs more than the step does. A statement whose parameters are all in one `VALUES (?, ...)` is
    therefore run for groups of a few fixed sizes, so that the texts stay prepared.

    Rows of one statement may meet in an `INSERT`; those of an `UPDATE ... FROM (VALUES ...)` must be of different rows
    of the table.
    """

    def __init__(self, sql: str) -> None:
        self._one = sql
        self._sizes: Sequence[tuple[int, str]] = ()
        group = _GROUP.search(sql)
        if group is not None and group[1].count("?") == sql.count("?"):
            head, tail = sql[: group.end()], sql[group.end() :]
            self._sizes = [(size, f"{head}{f', {group[1]}' * (size - 1)}{tail}") for size in SIZES]

    @property
    def is_spread(self) -> bool:
        """Whether the statement takes more than one row at once."""
        return bool(self._sizes)

    def run(self, db: sqlite3.Connection, rows: Sequence[tuple[object, ...]]) -> int:
        """Run it for all rows, in their order. Returns how many rows of the table it changed."""
        at, changed = 0, 0
        for size, sql in self._sizes:
            while len(rows) - at >= size:
                changed += db.execute(sql, [*chain.from_iterable(rows[at : at + size])]).rowcount
                at += size
        return changed + (db.executemany(self._one, rows[at:]).rowcount if at < len(rows) else 0)


CELLS: Final = CellSql(
    lambda number, _: f"?{number}",
    " AND ".join(f"dimensions.{name} = wanted.{name}" for name in NAMED_BY),
    """WITH RECURSIVE new (id) AS (SELECT coalesce(max(id), 0) + 1 FROM {} UNION ALL SELECT id + 1 FROM new LIMIT ?1)
       SELECT id FROM new""".format,
)
_WRITES: Final = {what: Spread(sql) for what, sql in WRITES.items()}


class SqliteRows:
    """Reads on one connection."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self.db = db

    def read(self, what: Read, *values: object) -> list[Any]:
        return self.db.execute(READS[what], values).fetchall()

    def among(self, what: Read, keys: Iterable[object], *first: object) -> list[Any]:
        return among(self.db, READS[what], keys, *first)


class SqliteTables(SqliteRows, KnownNumbers):
    """Statements of a transaction that writes. Counters and lanes are cached by name until a rollback.

    A transaction that writes has SQLite's write lock, so that no lock of our own is needed.
    """

    keeps_released = True

    def __init__(self, db: sqlite3.Connection, max_cells: int = MAX_CELLS) -> None:
        SqliteRows.__init__(self, db)
        KnownNumbers.__init__(self, self._run, "?")
        self._performance = PerformanceCells(self._run, CELLS, max_cells)
        self.performance_cell = self._performance.cell
        self.performance_cells = self._performance.cells
        self.performance_cell_of = self._performance.named

    def lock(self, keys: Iterable[bytes]) -> None:
        """Do nothing: SQLite has a single writer."""

    def lock_also(self, keys: Iterable[bytes]) -> frozenset[bytes]:
        """Return that there is nothing to be read again: SQLite has a single writer."""
        return frozenset()

    def only(self, task: str) -> bool:
        """Always true: SQLite has a single writer."""
        return True

    def ids(self, n: int) -> range:
        if not n:
            return range(0)
        row: tuple[int] = self.db.execute("UPDATE ids SET next = next + ? RETURNING next", (n,)).fetchone()
        return range(row[0] - n, row[0])

    def _run(self, sql: str, values: Sequence[object]) -> list[Any]:
        return self.db.execute(sql, values).fetchall()

    def write(self, what: Write, rows: Sequence[tuple[object, ...]]) -> None:
        if rows:
            _WRITES[what].run(self.db, rows)

    def count(self, what: Write, rows: Sequence[tuple[object, ...]]) -> int:
        return _WRITES[what].run(self.db, rows) if rows else 0

    def undo(self) -> None:
        """Drop the cached names, whose transaction was rolled back."""
        self.forget_numbers()
        self._performance.forget()
