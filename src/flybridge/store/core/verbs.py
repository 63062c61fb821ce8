"""The verbs of the store, once for all backends.

This module says which decision a verb is; what a decision does is in the module of its concern: `filing`, `people`,
`holding`, `delivering`, `dead_letters`, `forgetting`, `pruning`, `reports`. A backend gives four ways to run one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

from flybridge.records import DAY_MS, DeadLetter, Delivery, Filing, day_of
from flybridge.sealing import Seal
from flybridge.store.core import reports as look
from flybridge.store.core.dead_letters import listed, listed_ids, named, redeliver, taken
from flybridge.store.core.delivering import begin, lease, rescue, settle
from flybridge.store.core.filing import file
from flybridge.store.core.forgetting import forget, note, receipts
from flybridge.store.core.holding import (
    coverage,
    covered,
    expire,
    expire_now,
    hold_counts,
    release_by_hand,
    sighted_kinds,
)
from flybridge.store.core.ledger import Book
from flybridge.store.core.pruning import (
    Step,
    lonely,
    prune_coverage,
    prune_dead,
    prune_lines,
    prune_people,
    prune_seen,
)
from flybridge.store.core.tables import Rows
from flybridge.store.figures import (
    Count,
    CoverageRow,
    Discrepancy,
    Held,
    HeldCount,
    LedgerEntry,
    RollupRow,
    SightedKind,
)
from flybridge.store.protocol import Filed, Lane, LaneDepth, Released, Rescued, Settled, Settlement
from flybridge.store.receipt import Receipt, VendorStep

COVERAGE_DAYS: Final = 90

P = ParamSpec("P")
T = TypeVar("T")


class Verbs(ABC):
    """A store's verbs; they and their guarantees are described at `store.protocol.Store`.

    All methods are called from the event loop that called `open`. Every one raises `StoreUnavailable` when the
    database refuses; then nothing was changed, or it is repeated without a second effect.
    """

    def __init__(self, seal: Seal) -> None:
        self._seal = seal

    @abstractmethod
    async def _write(self, verb: Callable[Concatenate[Book, P], T], *arguments: P.args, **named: P.kwargs) -> T:
        """Run a decision in one transaction, with the book flushed at its end."""

    @abstractmethod
    async def _write_alone(self, verb: Callable[Concatenate[Book, P], T], *arguments: P.args, **named: P.kwargs) -> T:
        """Do the same while nobody else writes, in any process."""

    @abstractmethod
    async def _look(self, look: Callable[[Rows], T]) -> T:
        """Run a function that reads; all it reads is of the same moment."""

    async def _tidy(self, now_ms: int) -> None:
        """Do what else the backend has to keep small."""
        return

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
        """End holds whose window is over at `now_ms`. 0 also while another process does it, or if it only cleared."""
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
        return await self._write_alone(forget, self._seal, keys, now_ms, receipt=receipt, also=also)

    async def note(self, receipt: str, steps: Sequence[VendorStep]) -> None:
        """Write down how a receipt's vendor requests stand."""
        await self._write(note, receipt, steps)

    async def receipts(self, *, keys: Sequence[bytes] = (), limit: int = 100) -> Sequence[Receipt]:
        """List receipts, newest first."""
        return await self._look(lambda db: receipts(db, keys, limit))

    async def prune(self, now_ms: int, *, ledger_days: int, dead_days: int) -> int:
        """Delete what is past its retention, in many short transactions; gives how many rows that was."""
        lines = await self._steps(prune_lines, now_ms - ledger_days * DAY_MS, 0)
        letters = await self._steps(prune_dead, now_ms - dead_days * DAY_MS, 0)
        carried = await self._write(prune_coverage, day_of(now_ms - COVERAGE_DAYS * DAY_MS))
        people = await self._prune_people()
        seen = await self._steps(prune_seen, now_ms, b"")
        await self._tidy(now_ms)
        return lines + letters + carried + people + seen

    async def _steps(self, prune: Callable[[Book, int, Any], Step], until_ms: int, after: int | bytes) -> int:
        deleted, start = 0, after
        while True:
            step = await self._write(prune, until_ms, start)
            deleted += step.deleted
            if step.after is None:
                return deleted
            start = step.after

    async def _prune_people(self) -> int:
        deleted, after = 0, 0
        while True:
            found = await self._write(lonely, after)
            if found.persons:
                deleted += await self._write_alone(prune_people, found.persons)
            if found.after is None:
                return deleted
            after = found.after

    async def lanes(self, now_ms: int) -> Sequence[Lane]:
        """Name the lanes that have something due."""
        return await self._look(lambda db: look.lanes(db, now_ms))

    async def holds(self, *, app: str | None = None, limit: int = 100) -> Sequence[Held]:
        """List what waits, oldest first."""
        return await self._look(lambda db: look.holds(db, app, limit))

    async def hold_counts(self) -> Sequence[HeldCount]:
        """Count what waits, from counters."""
        return await self._look(hold_counts)

    async def sighted_kinds(self) -> Sequence[SightedKind]:
        """Return by which kinds of identifier Amplitude has shown people."""
        return await self._look(sighted_kinds)

    async def covered(self, *, since_day: str) -> Sequence[CoverageRow]:
        """Sum the counters of coverage up by app, platform and kinds."""
        return await self._look(lambda db: covered(db, since_day))

    async def coverage(self, *, since_day: str = "", app: str | None = None) -> Sequence[CoverageRow]:
        """Return the counters of which keys events carried. They are kept for 90 days."""
        return await self._look(lambda db: coverage(db, since_day, app))

    async def dead(
        self,
        *,
        app: str | None = None,
        reason: str | None = None,
        ids: Sequence[int] | None = None,
        limit: int = 100,
    ) -> Sequence[DeadLetter]:
        """List dead letters, newest first; with `ids` just these, whatever the limit."""
        if ids is not None:
            return await self._look(lambda db: named(db, self._seal, app, reason, ids))
        return await self._look(lambda db: listed(db, self._seal, app, reason, limit))

    async def dead_ids(
        self, *, app: str | None = None, reason: str | None = None, after: int = 0, limit: int = 100
    ) -> Sequence[int]:
        """List the ids of dead letters above `after`, ascending."""
        return await self._look(lambda db: listed_ids(db, app, reason, after, limit))

    async def take_dead(self, ids: Sequence[int]) -> Sequence[DeadLetter]:
        """Return dead letters of stage `decode` or `map`; they stay dead until they are filed as `replayed`."""
        return await self._look(lambda db: taken(db, self._seal, ids))

    async def counts(self) -> Sequence[Count]:
        """Return all counters that are not zero."""
        return await self._look(look.counts)

    async def depths(self, now_ms: int) -> Sequence[LaneDepth]:
        """Return how every lane with deliveries stands."""
        return await self._look(lambda db: look.depths(db, now_ms))

    async def audit(self) -> Sequence[Discrepancy]:
        """Compare every counter with the rows it counts, at one moment."""
        return await self._look(look.audit)

    async def ledger(self, *, app: str | None = None) -> AsyncIterator[LedgerEntry]:
        """Stream the ledger in the order of filing. A line that changes meanwhile is given once, as it was met."""
        after = 0
        while page := await self._look(lambda db: look.ledger_page(db, app, after)):  # noqa: B023 - awaited here
            for _, entry in page:
                yield entry
            after = page[-1][0]

    async def rollups(self) -> Sequence[RollupRow]:
        """Return the insight counters."""
        return await self._look(look.rollups)
