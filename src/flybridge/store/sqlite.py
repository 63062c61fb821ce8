"""The embedded store: one SQLite file, one thread that writes.

This module says which verb runs where; what a verb does is in the module of its concern: `sqlite_file` (filing),
`sqlite_match` (sightings), `sqlite_hold`, `sqlite_delivery`, `sqlite_dead`, `sqlite_prune`, `sqlite_audit`.
Any number of processes may have the file open: every writing verb begins with SQLite's write lock.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

from flybridge.errors import StoreUnavailable
from flybridge.privacy import Seal
from flybridge.records import DAY_MS, DeadLetter, Delivery, Filing, day_of
from flybridge.store import sqlite_audit as look
from flybridge.store.migrate import apply_sqlite, scripts
from flybridge.store.protocol import (
    Count,
    CoverageRow,
    Discrepancy,
    Filed,
    Held,
    HeldCount,
    Lane,
    LaneDepth,
    LedgerEntry,
    Receipt,
    Released,
    Rescued,
    RollupRow,
    Settled,
    Settlement,
    SightedKind,
    VendorStep,
)
from flybridge.store.sqlite_book import Book
from flybridge.store.sqlite_connection import WRITER_CACHE_MB, Reader, Writer, connect
from flybridge.store.sqlite_dead import listed, redeliver, taken
from flybridge.store.sqlite_delivery import begin, lease, rescue, settle
from flybridge.store.sqlite_file import file
from flybridge.store.sqlite_forget import forget, note, receipts
from flybridge.store.sqlite_hold import (
    coverage,
    expire,
    expire_now,
    hold_counts,
    prune_coverage,
    release_by_hand,
    sighted_kinds,
)
from flybridge.store.sqlite_prune import Step, prune_dead, prune_lines, prune_people, prune_seen

COVERAGE_DAYS: Final = 90

P = ParamSpec("P")
T = TypeVar("T")


class SqliteStore:
    """A store in one SQLite file. The verbs and their guarantees are described at `store.protocol.Store`.

    All methods are called from the event loop that called `open`. Every one raises `StoreUnavailable` when SQLite
    refuses (disk full, I/O error); then nothing was changed.
    """

    def __init__(self, path: str | Path, seal: Seal) -> None:
        self._path = Path(path)
        self._seal = seal
        self._open = False

    async def open(self) -> None:
        """Open, and apply pending migrations."""
        try:
            db = await asyncio.to_thread(self._prepare)
        except (sqlite3.Error, OSError) as error:
            raise StoreUnavailable(f"The store {self._path} can't be opened: {error}.") from error
        self._book = Book(db)
        self._writer = Writer(db, self._book.undo)
        self._reader = Reader(self._path)
        self._open = True

    def _prepare(self) -> sqlite3.Connection:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        db = connect(self._path, WRITER_CACHE_MB)
        try:
            apply_sqlite(db, scripts("sqlite"))
        except BaseException:
            db.close()
            raise
        return db

    async def close(self) -> None:
        """Finish what runs and close."""
        if not self._open:
            return
        self._open = False
        await self._writer.close()
        await self._reader.close()

    async def _write(self, verb: Callable[Concatenate[Book, P], T], *arguments: P.args, **named: P.kwargs) -> T:
        def transaction() -> T:
            result = verb(self._book, *arguments, **named)
            self._book.flush()
            return result

        return await self._writer.run(transaction)

    async def file(self, filings: Sequence[Filing], now_ms: int) -> Filed:
        """File a batch. `Filed.matched` counts every hold that found its person, at once or after waiting."""
        return await self._write(file, self._seal, filings, now_ms)

    async def lease(self, lane: Lane, limit: int, now_ms: int, lease_ms: int, owner: str) -> Sequence[Delivery]:
        """Lease due deliveries, those that have been due longest first."""
        return await self._write(lease, self._seal, lane, limit=limit, now_ms=now_ms, lease_ms=lease_ms, owner=owner)

    async def begin(self, ids: Sequence[int], owner: str) -> Sequence[int]:
        """Record the intent to send, durably. Gives the ids still owned."""
        return await self._write(begin, ids, owner)

    async def settle(self, settlements: Sequence[Settlement], owner: str, now_ms: int) -> Settled:
        """Record what became of leased deliveries."""
        return await self._write(settle, self._seal, settlements, owner, now_ms)

    async def rescue(self, now_ms: int, *, owner: str | None = None, resend_uncertain: bool = True) -> Rescued:
        """Take back lapsed leases, or all leases of `owner`."""
        return await self._write(rescue, self._seal, now_ms, owner, resend_uncertain)

    async def expire(self, now_ms: int, limit: int = 1000) -> int:
        """End holds whose window is over at `now_ms`."""
        return await self._write(expire, now_ms, limit)

    async def expire_now(self, ids: Sequence[int], now_ms: int) -> Sequence[int]:
        """End these holds by hand, without sending."""
        return await self._write(expire_now, ids, now_ms)

    async def release(
        self, ids: Sequence[int], now_ms: int, *, user_id: str | None = None, device_id: str | None = None
    ) -> Released:
        """Make these holds pending by hand, as of this user or device."""
        return await self._write(release_by_hand, self._seal, ids, now_ms, user_id=user_id, device_id=device_id)

    async def redeliver(self, ids: Sequence[int], now_ms: int) -> int:
        """Make dead letters of stage `deliver` due again."""
        return await self._write(redeliver, ids, now_ms)

    async def forget(self, keys: Sequence[bytes], now_ms: int, *, receipt: str, also: Sequence[int] = ()) -> Receipt:
        """Remove the person with these keys everywhere, and the lines `also`."""
        return await self._write(forget, keys, now_ms, receipt, also)

    async def note(self, receipt: str, steps: Sequence[VendorStep]) -> None:
        """Write down how a receipt's vendor requests stand."""
        await self._write(note, receipt, steps)

    async def receipts(self, *, keys: Sequence[bytes] = (), limit: int = 100) -> Sequence[Receipt]:
        """List receipts, newest first."""
        return await self._reader.run(lambda db: receipts(db, keys, limit))

    async def prune(self, now_ms: int, *, ledger_days: int, dead_days: int) -> int:
        """Delete what is past its retention, in many short transactions; gives how many rows that was."""
        lines = await self._steps(prune_lines, now_ms - ledger_days * DAY_MS, 0)
        letters = await self._steps(prune_dead, now_ms - dead_days * DAY_MS, 0)
        covered = await self._write(prune_coverage, day_of(now_ms - COVERAGE_DAYS * DAY_MS))
        people = await self._steps(prune_people, 0, 0)
        return lines + letters + covered + people + await self._steps(prune_seen, now_ms, b"")

    async def _steps(self, prune: Callable[[Book, int, Any], Step], until_ms: int, after: int | bytes) -> int:
        deleted, start = 0, after
        while True:
            step = await self._write(prune, until_ms, start)
            deleted += step.deleted
            if step.after is None:
                return deleted
            start = step.after

    async def lanes(self, now_ms: int) -> Sequence[Lane]:
        """Name the lanes that have something due."""
        return await self._reader.run(lambda db: look.lanes(db, now_ms))

    async def holds(self, *, app: str | None = None, limit: int = 100) -> Sequence[Held]:
        """List what waits, oldest first."""
        return await self._reader.run(lambda db: look.holds(db, app, limit))

    async def hold_counts(self) -> Sequence[HeldCount]:
        """Count what waits, from counters."""
        return await self._reader.run(hold_counts)

    async def sighted_kinds(self) -> Sequence[SightedKind]:
        """Give by which kinds of identifier Amplitude has shown people."""
        return await self._reader.run(sighted_kinds)

    async def coverage(self, *, since_day: str = "", app: str | None = None) -> Sequence[CoverageRow]:
        """Give the counters of which keys events carried. They are kept for 90 days."""
        return await self._reader.run(lambda db: coverage(db, since_day, app))

    async def dead(
        self, *, app: str | None = None, reason: str | None = None, limit: int = 100
    ) -> Sequence[DeadLetter]:
        """List dead letters, newest first."""
        return await self._reader.run(lambda db: listed(db, self._seal, app, reason, limit))

    async def take_dead(self, ids: Sequence[int]) -> Sequence[DeadLetter]:
        """Give dead letters of stage `decode` or `map`; they stay dead until they are filed as `replayed`."""
        return await self._reader.run(lambda db: taken(db, self._seal, ids))

    async def counts(self) -> Sequence[Count]:
        """Give all counters that are not zero."""
        return await self._reader.run(look.counts)

    async def depths(self, now_ms: int) -> Sequence[LaneDepth]:
        """Give how every lane with deliveries stands."""
        return await self._reader.run(lambda db: look.depths(db, now_ms))

    async def audit(self) -> Sequence[Discrepancy]:
        """Compare every counter with the rows it counts, at one moment."""
        return await self._reader.run(look.audit)

    async def ledger(self, *, app: str | None = None) -> AsyncIterator[LedgerEntry]:
        """Stream the ledger in the order of filing. A line that changes meanwhile is given once, as it was met."""
        after = 0
        while page := await self._reader.run(lambda db: look.ledger_page(db, app, after)):  # noqa: B023 - awaited here
            for _, entry in page:
                yield entry
            after = page[-1][0]

    async def rollups(self) -> Sequence[RollupRow]:
        """Give the insight counters."""
        return await self._reader.run(look.rollups)
