"""The embedded store: one SQLite file, one thread that writes.

Any number of processes may have the file open: every verb that writes begins with SQLite's write lock, so they run one
after the other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from flybridge.store.core.ledger import LedgerWriter
from flybridge.store.core.tables import Rows
from flybridge.store.protocol import Store
from flybridge.store.sqlite.connection import ReaderPool, Writer, connect, prepared
from flybridge.store.sqlite.tables import SqliteRows, SqliteTables

P = ParamSpec("P")
T = TypeVar("T")


class SqliteStore(Store):
    """A store in one SQLite file, whose path is its place."""

    async def _connect(self) -> None:
        path = Path(self._place)
        db = await asyncio.to_thread(prepared, path, connect)
        self._tables = SqliteTables(db, self._max_cells)
        self._ledger = LedgerWriter(self._tables)
        self._writer = Writer(db, self._undo)
        self._reader = ReaderPool(path)

    async def _disconnect(self) -> None:
        await self._writer.close()
        await self._reader.close()

    def _undo(self) -> None:
        self._ledger.undo()
        self._tables.undo()

    async def _write(self, verb: Callable[Concatenate[LedgerWriter, P], T], *arguments: P.args, **named: P.kwargs) -> T:
        def transaction() -> T:
            result = verb(self._ledger, *arguments, **named)
            self._ledger.flush()
            return result

        return await self._writer.run(transaction)

    async def _write_exclusively(
        self, verb: Callable[Concatenate[LedgerWriter, P], T], *arguments: P.args, **named: P.kwargs
    ) -> T:
        return await self._write(verb, *arguments, **named)

    async def _read(self, query: Callable[[Rows], T]) -> T:
        return await self._reader.run(lambda db: query(SqliteRows(db)))
