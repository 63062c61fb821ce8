"""The embedded store: one SQLite file, one thread that writes.

Any number of processes may have the file open: every verb that writes begins with SQLite's write lock, so they run one
after the other.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from flybridge.errors import StoreUnavailable
from flybridge.store.audiences.protocol import CohortStore
from flybridge.store.audiences.records import Claim
from flybridge.store.audiences.snapshot import Snapshot
from flybridge.store.core.ledger import LedgerWriter
from flybridge.store.core.tables import Changes, Rows
from flybridge.store.protocol import Store
from flybridge.store.sqlite.connection import ReaderPool, Writer, connect, prepared
from flybridge.store.sqlite.snapshot import SqliteSnapshot, lean, remove
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


class SqliteCohorts(CohortStore):
    """Audiences in the store's file, with connections of its own for work on millions of rows."""

    async def _connect(self) -> None:
        path = Path(self._place)
        db = await asyncio.to_thread(prepared, path, lean)
        self._tables = SqliteTables(db)
        self._writer = Writer(db, self._tables.undo)
        self._reader = ReaderPool(path, lean, threads=1)

    async def _disconnect(self) -> None:
        await self._writer.close()
        await self._reader.close()

    async def _write(self, verb: Callable[[Changes], T]) -> T:
        return await self._writer.run(lambda: verb(self._tables))

    async def _read(self, query: Callable[[Rows], T]) -> T:
        return await self._reader.run(lambda db: query(SqliteRows(db)))

    def _scratch(self, claim: Claim) -> Path:
        return Path(f"{self._place}.cohort-{claim.id}")

    def _snapshot(self, claim: Claim) -> Snapshot:
        return SqliteSnapshot(Path(self._place), self._scratch(claim), self._seal, claim.id)

    async def unstage(self, claim: Claim) -> None:
        stage = self._stages.pop(claim.id, None)
        await self._bulk(stage.close if stage is not None else lambda: remove(self._scratch(claim)))

    async def _bulk(self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.to_thread(work)
        except (sqlite3.Error, OSError) as error:
            raise StoreUnavailable(f"The snapshot could not be taken over: {error}. Nothing was changed.") from error
