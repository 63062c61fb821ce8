"""Audiences in PostgreSQL: any number of processes sync the audiences of one database.

An audience is run by the worker that has claimed it, until its lease lapses; of many that find it due one gets the
claim. The row of the audience is the lock on everything about it, see `store.audiences.audience`. The gate of
docs/adr/0009-postgres-store.md is not taken: forgetting a person locks the rows of all audiences.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, TypeVar

import psycopg

from flybridge.store.audiences.protocol import CohortStore
from flybridge.store.audiences.records import Claim
from flybridge.store.audiences.snapshot import Snapshot
from flybridge.store.core.tables import Changes, Rows
from flybridge.store.postgres.connection import Db, connect_reader, connect_writer, prepare
from flybridge.store.postgres.pool import Pool, reading, repeated, transaction, unavailable
from flybridge.store.postgres.snapshot import PostgresSnapshot
from flybridge.store.postgres.tables import PostgresChanges

WRITERS: Final = 2

T = TypeVar("T")


class PostgresCohorts(CohortStore):
    """Audiences in the store's database. Every verb may be repeated."""

    async def _connect(self) -> None:
        dsn = str(self._place)
        await asyncio.to_thread(prepare, dsn)
        self._writers = Pool(lambda: connect_writer(dsn, counts=False), WRITERS, "cohorts-writer", lambda: None)
        self._readers = Pool(lambda: connect_reader(dsn), 1, "cohorts-reader", lambda: None)

    async def _disconnect(self) -> None:
        await self._writers.close()
        await self._readers.close()

    async def _write(self, verb: Callable[[Changes], T]) -> T:
        def attempt(db: Db) -> T:
            tables = PostgresChanges(db)
            with transaction(db) as commit, db.pipeline():
                result = verb(tables)
                tables.finish()
                commit()
            return result

        return await self._writers.run(lambda db: repeated(lambda: attempt(db)))

    async def _read(self, query: Callable[[Rows], T]) -> T:
        return await self._readers.run(reading(query))

    def _snapshot(self, claim: Claim) -> Snapshot:
        return PostgresSnapshot(str(self._place), self._seal, claim.id)

    async def unstage(self, claim: Claim) -> None:
        if (stage := self._stages.pop(claim.id, None)) is not None:
            await self._bulk(stage.close)

    async def _bulk(self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.to_thread(work)
        except psycopg.Error as error:
            raise unavailable(error) from error
