"""Audiences in the embedded store: the same SQLite file, with connections of its own for work on millions of rows."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from flybridge.errors import StoreUnavailable
from flybridge.store.audiences.protocol import CohortStore
from flybridge.store.audiences.records import Claim
from flybridge.store.audiences.snapshot import Snapshot
from flybridge.store.core.tables import Changes, Rows
from flybridge.store.sqlite.connection import ReaderPool, Writer, prepared
from flybridge.store.sqlite.snapshot import SqliteSnapshot, lean, remove
from flybridge.store.sqlite.tables import SqliteRows, SqliteTables

T = TypeVar("T")


class SqliteCohorts(CohortStore):
    """Audiences in the store's file."""

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
