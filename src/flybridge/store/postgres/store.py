"""The store on PostgreSQL: any number of processes work on one database.

The decisions are those of the embedded store. Added are the order in which transactions wait for each other, described
in docs/adr/0009-postgres-store.md, and the repetition of those that lost a race.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Concatenate, Final, ParamSpec, TypeVar

import psycopg

from flybridge.records import DAY_MS, day_of
from flybridge.store.audiences.protocol import CohortStore
from flybridge.store.audiences.records import Claim
from flybridge.store.audiences.snapshot import Snapshot
from flybridge.store.core.ledger import LedgerWriter
from flybridge.store.core.tables import Changes, Rows
from flybridge.store.postgres.connection import Db, connect, connect_reader, connect_writer, prepare
from flybridge.store.postgres.pool import Pool, reading, repeated, transaction
from flybridge.store.postgres.refusals import unavailable
from flybridge.store.postgres.snapshot import PostgresSnapshot
from flybridge.store.postgres.sql import FOLD
from flybridge.store.postgres.tables import CounterIds, IdBlocks, PostgresChanges, PostgresTables
from flybridge.store.protocol import Store

WRITERS: Final = 4
READERS: Final = 2
COHORT_WRITERS: Final = 2
FOLD_DAYS: Final = 3

P = ParamSpec("P")
T = TypeVar("T")


class PostgresStore(Store):
    """A store in one PostgreSQL database, given by its address.

    When the connection breaks, it may be unknown whether a verb was committed: every verb may be repeated. The next
    verb reconnects. A verb whose connection breaks before its commit is repeated by the store itself.
    """

    async def _connect(self) -> None:
        dsn = str(self._place)
        await asyncio.to_thread(prepare, dsn)
        self._counter_ids = CounterIds(lambda: connect(dsn), self._max_cells)
        self._blocks = IdBlocks(self._counter_ids.blocks)
        self._writers = Pool(lambda: connect_writer(dsn), WRITERS, "store-writer", self._broken)
        self._readers = Pool(lambda: connect_reader(dsn), READERS, "store-reader", self._broken)

    def _broken(self) -> None:
        self._counter_ids.forget()
        self._blocks.forget()

    async def _disconnect(self) -> None:
        await self._writers.close()
        await self._readers.close()
        self._counter_ids.close()

    async def _write(self, verb: Callable[Concatenate[LedgerWriter, P], T], *arguments: P.args, **named: P.kwargs) -> T:
        return await self._writers.run(lambda db: self._transaction(db, lambda b: verb(b, *arguments, **named), False))

    async def _write_exclusively(
        self, verb: Callable[Concatenate[LedgerWriter, P], T], *arguments: P.args, **named: P.kwargs
    ) -> T:
        return await self._writers.run(lambda db: self._transaction(db, lambda b: verb(b, *arguments, **named), True))

    def _transaction(self, db: Db, verb: Callable[[LedgerWriter], T], alone: bool) -> T:
        also: set[bytes] = set()
        return repeated(lambda: self._attempt(db, verb, alone, also))

    def _attempt(self, db: Db, verb: Callable[[LedgerWriter], T], alone: bool, also: set[bytes]) -> T:
        tables = PostgresTables(db, self._counter_ids, self._blocks, also)
        ledger = LedgerWriter(tables)
        with transaction(db) as commit, db.pipeline():
            tables.enter(alone=alone)
            result = verb(ledger)
            ledger.flush()
            tables.finish()
            commit()
        return result

    async def _read(self, query: Callable[[Rows], T]) -> T:
        return await self._readers.run(reading(query))

    async def time_ms(self) -> int | None:
        return await self._readers.run(_time_ms)

    async def _compact(self, now_ms: int) -> None:
        """Fold together what connections have counted of days that are over."""
        await self._write_exclusively(_fold, day_of(now_ms - FOLD_DAYS * DAY_MS))


def _time_ms(db: Db) -> int:
    with transaction(db):
        ((seconds,),) = db.execute(b"SELECT extract(epoch FROM clock_timestamp())::float8").fetchall()
    return round(float(seconds) * 1000)


def _fold(ledger: LedgerWriter, before_day: str) -> None:
    if isinstance(ledger.tables, PostgresTables) and ledger.tables.only("fold"):
        for sql in FOLD:
            ledger.tables.db.execute(sql.encode(), (before_day,) if "$1" in sql else ())


class PostgresCohorts(CohortStore):
    """Audiences in the store's database, which any number of processes sync. Every verb may be repeated.

    An audience is run by the worker that has claimed it, until its lease lapses; of many that find it due one gets the
    claim. The row of the audience is the lock on everything about it, see `store.audiences.audience`. The gate of
    docs/adr/0009-postgres-store.md is not taken: forgetting a person locks the rows of all audiences.
    """

    async def _connect(self) -> None:
        dsn = str(self._place)
        await asyncio.to_thread(prepare, dsn)
        self._writers = Pool(lambda: connect_writer(dsn, counts=False), COHORT_WRITERS, "cohorts-writer", lambda: None)
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
