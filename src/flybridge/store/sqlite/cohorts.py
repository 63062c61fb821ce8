"""Audiences in the embedded store: the same SQLite file, with connections of its own for work on millions of rows."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from flybridge.errors import StoreUnavailable
from flybridge.records import DAY_MS
from flybridge.sealing import Seal
from flybridge.store.audiences.audience import KEPT_DAYS, audit, lacking_of, unpacked_run
from flybridge.store.audiences.cohort_verbs import CohortVerbs, Snapshot
from flybridge.store.audiences.protocol import Claim, LackingMember, Run, Standing, Target
from flybridge.store.sqlite import audience as verbs
from flybridge.store.sqlite.connection import Writer, prepared
from flybridge.store.sqlite.snapshot import SqliteSnapshot, lean, remove

T = TypeVar("T")


class SqliteCohorts(CohortVerbs[sqlite3.Connection]):
    """Audiences in the store's file."""

    def __init__(self, path: str | Path, seal: Seal) -> None:
        super().__init__(verbs, seal)
        self._path = Path(path)

    async def _connect(self) -> None:
        db = await asyncio.to_thread(prepared, self._path, lean)
        self._writer = Writer(db, lambda: None)
        self._db = db
        self._reader = ThreadPoolExecutor(1, "cohorts-reader")
        self._reading: sqlite3.Connection | None = None

    async def _disconnect(self) -> None:
        await self._writer.close()
        await asyncio.to_thread(self._reader.shutdown)
        if self._reading is not None:
            self._reading.close()

    async def _write(self, verb: Callable[[sqlite3.Connection], T]) -> T:
        return await self._writer.run(lambda: verb(self._db))

    async def _read(self, query: Callable[[sqlite3.Connection], T]) -> T:
        def reading() -> T:
            try:
                if self._reading is None:
                    self._reading = lean(self._path)
                    self._reading.execute("PRAGMA query_only = ON")
                self._reading.execute("BEGIN")
                try:
                    return query(self._reading)
                finally:
                    self._reading.execute("ROLLBACK")
            except sqlite3.Error as error:
                raise StoreUnavailable(f"The store {self._path} can't be read: {error}.") from error

        return await asyncio.get_running_loop().run_in_executor(self._reader, reading)

    async def keep(self, targets: Sequence[Target]) -> None:
        await self._write(lambda db: verbs.keep(db, targets))

    async def due(self, now_ms: int) -> Sequence[Standing]:
        sql = f"{verbs.STANDINGS} WHERE next_ms <= ? AND (owner IS NULL OR leased_until_ms <= ?) ORDER BY next_ms, id"
        return await self._read(lambda db: verbs.standings(db, sql, (now_ms, now_ms, now_ms)))

    async def standings(self, now_ms: int) -> Sequence[Standing]:
        return await self._read(lambda db: verbs.standings(db, f"{verbs.STANDINGS} ORDER BY app, name", (now_ms,)))

    async def renew(self, claim: Claim, now_ms: int, lease_ms: int) -> bool:
        sql = "UPDATE audiences SET leased_until_ms = ? WHERE id = ? AND owner = ?"
        return await self._write(lambda db: db.execute(sql, (now_ms + lease_ms, claim.id, claim.owner)).rowcount > 0)

    def _scratch(self, claim: Claim) -> Path:
        return self._path.with_name(f"{self._path.name}.cohort-{claim.id}")

    def _snapshot(self, claim: Claim) -> Snapshot:
        return SqliteSnapshot(self._path, self._scratch(claim), self._seal, claim.id)

    async def unstage(self, claim: Claim) -> None:
        stage = self._stages.pop(claim.id, None)
        await self._bulk(stage.close if stage is not None else lambda: remove(self._scratch(claim)))

    async def _bulk(self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.to_thread(work)
        except (sqlite3.Error, OSError) as error:
            raise StoreUnavailable(f"The snapshot could not be taken over: {error}. Nothing was changed.") from error

    async def learn(self, claim: Claim, *, max_devices: int = 0, title: str = "") -> None:
        sql = """UPDATE audiences SET max_devices = CASE WHEN ?1 > 0 THEN ?1 ELSE max_devices END,
                   title = CASE WHEN ?2 <> '' THEN ?2 ELSE title END WHERE id = ?3"""
        await self._write(lambda db: db.execute(sql, (max_devices, title, claim.id)))

    async def requested(self, claim: Claim, request_id: str, now_ms: int) -> None:
        sql = "UPDATE audiences SET request_id = ?, requested_ms = ? WHERE id = ? AND owner = ?"
        await self._write(lambda db: db.execute(sql, (request_id, now_ms, claim.id, claim.owner)))

    async def history(
        self, app: str | None = None, name: str | None = None, limit: int = 100
    ) -> Sequence[tuple[str, str, Run]]:
        sql = """SELECT app, name, told FROM audience_runs r JOIN audiences a ON a.id = r.audience
                 WHERE (?1 IS NULL OR app = ?1) AND (?2 IS NULL OR name = ?2)
                 ORDER BY r.ended_ms DESC, r.id DESC LIMIT ?3"""
        return await self._read(
            lambda db: [(a, n, unpacked_run(told)) for a, n, told in db.execute(sql, (app, name, limit))]
        )

    async def lacking(self, app: str, name: str, limit: int) -> Sequence[LackingMember]:
        sql = """SELECT who, lack FROM members WHERE audience = (SELECT id FROM audiences WHERE app = ? AND name = ?)
                   AND wanted = 1 AND lack > 0 LIMIT ?"""

        def query(db: sqlite3.Connection) -> list[LackingMember]:
            return [lacking_of(self._seal, who, lack) for who, lack in db.execute(sql, (app, name, limit))]

        return await self._read(query)

    async def prune(self, now_ms: int) -> int:
        return await self._write(lambda db: verbs.prune(db, now_ms - KEPT_DAYS * DAY_MS))

    async def audit(self) -> Sequence[str]:
        return await self._read(lambda db: audit(db.execute))
