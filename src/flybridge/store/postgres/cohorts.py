"""Audiences in PostgreSQL: any number of processes sync the audiences of one database.

An audience is run by the worker that has claimed it, until its lease lapses; of many that find it due one gets the
claim. The row of the audience is the lock on everything about it, see `postgres.audience`. The gate of
docs/adr/0009-postgres-store.md is not taken: forgetting a person locks the rows of all audiences.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, TypeVar
from zlib import crc32

import psycopg

from flybridge.records import DAY_MS
from flybridge.sealing import Seal
from flybridge.store.audiences.audience import KEPT_DAYS, audit, lacking_of, unpacked_run
from flybridge.store.audiences.cohort_verbs import CohortVerbs, Snapshot
from flybridge.store.audiences.protocol import Claim, LackingMember, Run, Standing, Target
from flybridge.store.postgres import audience as verbs
from flybridge.store.postgres.connection import TASK_LOCKS, Db, connect_reader, connect_writer, prepare
from flybridge.store.postgres.pool import Pool, repeated, transaction, unavailable
from flybridge.store.postgres.snapshot import PostgresSnapshot

WRITERS: Final = 2
PRUNE: Final = crc32(b"prune audiences") >> 1

T = TypeVar("T")


class PostgresCohorts(CohortVerbs[Db]):
    """Audiences in the store's database. Every verb may be repeated."""

    def __init__(self, dsn: str, seal: Seal) -> None:
        super().__init__(verbs, seal)
        self._dsn = dsn

    async def _connect(self) -> None:
        await asyncio.to_thread(prepare, self._dsn)
        self._writers = Pool(lambda: connect_writer(self._dsn, counts=False), WRITERS, "cohorts-writer", lambda: None)
        self._readers = Pool(lambda: connect_reader(self._dsn), 1, "cohorts-reader", lambda: None)

    async def _disconnect(self) -> None:
        await self._writers.close()
        await self._readers.close()

    async def _write(self, verb: Callable[[Db], T]) -> T:
        return await self._writers.run(lambda db: repeated(lambda: _done(db, verb)))

    async def _read(self, query: Callable[[Db], T]) -> T:
        return await self._readers.run(lambda db: _done(db, query))

    async def keep(self, targets: Sequence[Target]) -> None:
        for one in targets:
            await self._write(lambda db, one=one: verbs.keep(db, one))  # type: ignore[misc]

    async def due(self, now_ms: int) -> Sequence[Standing]:
        due = """WHERE next_ms <= $1::bigint AND (owner IS NULL OR leased_until_ms <= $1::bigint)
                 ORDER BY next_ms, id"""
        return await self._read(lambda db: verbs.standings(db, due, now_ms))

    async def standings(self, now_ms: int) -> Sequence[Standing]:
        order = 'ORDER BY app COLLATE "C", name COLLATE "C"'
        return await self._read(lambda db: verbs.standings(db, order, now_ms))

    async def renew(self, claim: Claim, now_ms: int, lease_ms: int) -> bool:
        sql = "UPDATE audiences SET leased_until_ms = $1 WHERE id = $2 AND owner = $3"
        return await self._write(lambda db: verbs.run(db, sql, now_ms + lease_ms, claim.id, claim.owner) > 0)

    def _snapshot(self, claim: Claim) -> Snapshot:
        return PostgresSnapshot(self._dsn, self._seal, claim.id)

    async def unstage(self, claim: Claim) -> None:
        if (stage := self._stages.pop(claim.id, None)) is not None:
            await self._bulk(stage.close)

    async def _bulk(self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.to_thread(work)
        except psycopg.Error as error:
            raise unavailable(error) from error

    async def learn(self, claim: Claim, *, max_devices: int = 0, title: str = "") -> None:
        sql = """UPDATE audiences SET max_devices = coalesce(nullif($1::bigint, 0), max_devices),
                   title = coalesce(nullif($2::text, ''), title) WHERE id = $3"""
        await self._write(lambda db: verbs.run(db, sql, max_devices, verbs.text(title), claim.id))

    async def requested(self, claim: Claim, request_id: str, now_ms: int) -> None:
        sql = "UPDATE audiences SET request_id = $1, requested_ms = $2 WHERE id = $3 AND owner = $4"
        await self._write(lambda db: verbs.run(db, sql, verbs.text(request_id), now_ms, claim.id, claim.owner))

    async def history(
        self, app: str | None = None, name: str | None = None, limit: int = 100
    ) -> Sequence[tuple[str, str, Run]]:
        sql = """SELECT app, name, told FROM audience_runs r JOIN audiences a ON a.id = r.audience
                 WHERE ($1::text IS NULL OR app = $1) AND ($2::text IS NULL OR name = $2)
                 ORDER BY r.ended_ms DESC, r.id DESC LIMIT $3"""
        rows = await self._read(lambda db: verbs.rows_of(db, sql, app, name, limit))
        return [(app, name, unpacked_run(told)) for app, name, told in rows]

    async def lacking(self, app: str, name: str, limit: int) -> Sequence[LackingMember]:
        sql = """SELECT who, lack FROM members
                 WHERE audience = (SELECT id FROM audiences WHERE app = $1 AND name = $2) AND wanted = 1 AND lack > 0
                 LIMIT $3"""
        rows = await self._read(lambda db: verbs.rows_of(db, sql, app, name, limit))
        return [lacking_of(self._seal, who, lack) for who, lack in rows]

    async def prune(self, now_ms: int) -> int:
        until_ms, gone = now_ms - KEPT_DAYS * DAY_MS, 0

        def one(db: Db, number: int) -> int:
            ((alone,),) = verbs.rows_of(db, "SELECT pg_try_advisory_xact_lock($1, $2)", TASK_LOCKS, PRUNE)
            return verbs.prune(db, number, until_ms) if alone else 0

        for (number,) in await self._read(lambda db: verbs.rows_of(db, "SELECT id FROM audiences ORDER BY id")):
            gone += await self._write(lambda db, number=number: one(db, number))  # type: ignore[misc]
        return gone

    async def audit(self) -> Sequence[str]:
        return await self._read(lambda db: audit(lambda sql: verbs.rows_of(db, sql)))


def _done(db: Db, verb: Callable[[Db], T]) -> T:
    """Run `verb` in one transaction."""
    with transaction(db) as commit:
        result = verb(db)
        commit()
    return result
