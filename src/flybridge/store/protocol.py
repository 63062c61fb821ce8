"""The store's protocol: the state of the bridge behind lifecycle verbs.

Guarantees that every backend keeps and `tests/contract/test_store.py` checks:

1. Each verb is one transaction. `file` is idempotent by receipt: an envelope whose receipt is known has no second
   effect, so an inbox may hand it out again after a crash.
2. A filing whose content key is remembered changes nothing but the count of duplicates. The key is
   remembered in the same transaction as the effect it guards.
3. Hold-then-sight equals sight-then-hold, whatever the order and however many processes file at once.
4. A delivery is leased by one owner until it is settled or its lease lapses. A settle by a former owner
   changes nothing and is reported in `Settled.stale`.
5. Counters move in the same transaction as the rows they count. `audit` compares them with the rows.
6. What holds personal data (bodies, ids) is sealed before it is written and erased when it is not needed.

`records` describes what verbs take and return, `figures` what is read, `receipt` the receipt of a request to be
forgotten.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

from msgspec import structs

from flybridge.records import DAY_MS, HOUR_MS, DeadLetter, Delivery, Filing, day_of
from flybridge.sealing import Seal
from flybridge.store import trail
from flybridge.store.core import events, performance_reports, reports
from flybridge.store.core.attempts import attempts_of
from flybridge.store.core.content_keys import are_known
from flybridge.store.core.dead_letters import arrived_after_all, listed, listed_ids, named, named_ids, redeliver, taken
from flybridge.store.core.delivering import arrived, begin, hasten, in_doubt, lease, queued, rescue, settle, take_out
from flybridge.store.core.filing import file
from flybridge.store.core.forgetting import forget, note, reach_with_members, receipts
from flybridge.store.core.holding import expire, expire_now, release_by_hand
from flybridge.store.core.ledger import LedgerWriter
from flybridge.store.core.people import are_matched
from flybridge.store.core.performance_cells import MAX_CELLS
from flybridge.store.core.pruning import (
    PruneStep,
    orphans,
    prune_coverage,
    prune_dead,
    prune_installations,
    prune_ledger,
    prune_messages,
    prune_people,
    prune_seen,
    prune_step,
)
from flybridge.store.core.related import are_forgotten, forget_related
from flybridge.store.core.seal_check import is_checked, put_check
from flybridge.store.core.tables import Read, Rows, Write
from flybridge.store.core.turns import take_turn
from flybridge.store.events import EventAttempt, EventFilter, EventPage, EventRow, EventStory
from flybridge.store.figures import (
    Count,
    CoverageRow,
    DayReport,
    Discrepancy,
    EventOutcome,
    Held,
    HeldCount,
    LedgerEntry,
    Outcomes,
    RestrictedCount,
    SentEvent,
    SightedKind,
)
from flybridge.store.performance import WHOLE, CohortSums, CostRow, CostSums, CurvePoint, Size, Slice, Sums
from flybridge.store.receipt import Receipt, VendorStep
from flybridge.store.records import (
    Capacity,
    Filed,
    Lane,
    LaneDepth,
    Queued,
    Released,
    Rescued,
    Retention,
    Settled,
    Settlement,
    UncertainCount,
)
from flybridge.store.state_values import readable
from flybridge.store.trail import Deed, TrailRow

COVERAGE_DAYS: Final = 90
CONFIRMED: Final = "confirmed_ms"
"""The name of the last time that was known to be right."""

P = ParamSpec("P")
T = TypeVar("T")


class Store(ABC):
    """State behind lifecycle verbs. `now_ms` is always the caller's clock.

    All methods are called from the event loop that called `open`. Every one raises `StoreUnavailable` when the
    database refuses; then nothing was changed, or the verb can be repeated without a second effect.

    A verb runs one function of `store.core` in a transaction; how a transaction runs is the backend's.
    """

    def __init__(
        self,
        place: str | Path,
        seal: Seal,
        max_cells: int = MAX_CELLS,
        *,
        checks_seal: bool = True,
        keeps_messages: bool = False,
    ) -> None:
        self._place = place
        self._seal = seal
        self._keeps_messages = keeps_messages
        self._checks_seal = checks_seal
        self._max_cells = max_cells
        self._open = False

    @abstractmethod
    async def _write(self, verb: Callable[Concatenate[LedgerWriter, P], T], *arguments: P.args, **named: P.kwargs) -> T:
        """Run `verb` in one transaction, and flush the ledger at its end."""

    @abstractmethod
    async def _write_exclusively(
        self, verb: Callable[Concatenate[LedgerWriter, P], T], *arguments: P.args, **named: P.kwargs
    ) -> T:
        """Run `verb` like `_write`, while no other transaction writes, in any process."""

    @abstractmethod
    async def _read(self, query: Callable[[Rows], T]) -> T:
        """Run `query` in one read transaction: all it reads is of the same moment."""

    async def _list(self, shape: Callable[..., T], what: Read, *given: object) -> list[T]:
        """Return what a statement reads, each row as a `shape`."""
        return await self._read(lambda db: [shape(*row) for row in db.read(what, *given)])

    async def _compact(self, now_ms: int) -> None:
        """Compact what only this backend keeps."""
        return

    @abstractmethod
    async def _connect(self) -> None:
        """Apply pending migrations and open connections."""

    @abstractmethod
    async def _disconnect(self) -> None:
        """Finish running transactions and close the connections."""

    async def open(self) -> None:
        """Open the store and apply pending migrations.

        Raises `SealBroken` if the configured secrets are not those of the store.
        """
        await self._connect()
        self._open = True
        try:
            if self._checks_seal and not await self._read(lambda db: is_checked(db, self._seal)):
                await self._write(put_check, self._seal)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Finish running transactions and close."""
        if self._open:
            self._open = False
            await self._disconnect()

    async def file(
        self,
        filings: Sequence[Filing],
        now_ms: int,
        capacity: Sequence[Capacity] = (),
        *,
        heard_ms: int | None = None,
    ) -> Filed:
        """File a batch, all or nothing: ledger, content keys, deliveries, holds, sightings, counters, dead letters.

        Deliveries that a worker has room for are leased to it at once, as by `lease`. Those of events that have waited
        are not among them, nor is what is matched together with them.

        - A receipt that is known has no effect, and is counted in `Filed.repeated`.
        - A content key that is remembered makes a duplicate, which has no effect but to be counted.
        - `Filed.matched` counts every hold that found its person, at once or after waiting. A sighting is in time if it
          was received before the window was over, whenever it is filed.
        - A hold whose window is over waits all the same if it was not over at `heard_ms`, up to when all that was
          received is filed: a sighting may have been received in time. Without it that is now.
        - What is about a forgotten person and from before the request ends as forgotten and has no other effect. If it
          shows more of their identifiers, what was filed under these is removed in a transaction of its own.
        """
        keeps = self._keeps_messages
        filed = await self._write(file, self._seal, filings, now_ms, capacity, heard_ms=heard_ms, keeps_messages=keeps)
        if filed.related:
            await self._write_exclusively(forget_related, self._seal, filed.related, now_ms)
        return filed

    async def are_known(self, filings: Sequence[Filing], now_ms: int) -> Sequence[bool]:
        """Return for each filing whether it would be a duplicate: of what was filed, or of one before it."""
        return await self._read(lambda db: are_known(db, filings, now_ms))

    async def has_sightings(self) -> bool:
        """Whether any person was sighted, of any app."""
        return await self._read(lambda db: bool(db.read(Read.SIGHTED_ANY)))

    async def are_matched(self, filings: Sequence[Filing]) -> Sequence[bool]:
        """Return for each filing whether its hold would find its person at once, by what was filed before."""
        return await self._read(lambda db: are_matched(db, self._seal, filings))

    async def has_forgotten(self) -> bool:
        """Whether any person is forgotten, of any app."""
        return await self._read(lambda db: bool(db.read(Read.TOMBSTONED)))

    async def are_forgotten(self, filings: Sequence[Filing], shown: dict[bytes, int] | None = None) -> Sequence[bool]:
        """Return for each filing whether it would end as forgotten.

        `shown` are other keys of forgotten people, with the times since when they are: those that filings of former
        calls have shown, as filing them would have. What these filings show is added to it.
        """
        return await self._read(lambda db: are_forgotten(db, filings, {} if shown is None else shown))

    async def linked(self, keys: Sequence[bytes]) -> frozenset[bytes]:
        """Return these matching keys, and all others that `forget` would find to be the same person's.

        Raises `FlybridgeError` as `forget` does.
        """
        return await self._read(lambda db: frozenset(reach_with_members(db, keys)[1]))

    async def lanes(self, now_ms: int) -> Sequence[Lane]:
        """Return the lanes that have something due."""
        return await self._list(Lane, Read.LANES, now_ms)

    async def lease(self, lane: Lane, limit: int, now_ms: int, lease_ms: int, owner: str) -> Sequence[Delivery]:
        """Lease due deliveries to `owner`, those due longest first.

        A delivery whose content can't be opened becomes a dead letter (`sealed`) and holds up no other.
        """
        return await self._write(lease, self._seal, lane, limit=limit, now_ms=now_ms, lease_ms=lease_ms, owner=owner)

    async def begin(self, ids: Sequence[int], owner: str) -> Sequence[int]:
        """Record, durably and before sending, that these are about to be sent. Returns the ids that `owner` still has.

        Needed only where the vendor does not deduplicate: what has begun and is not settled when its lease lapses is
        uncertain.
        """
        return await self._write(begin, ids, owner)

    async def settle(self, settlements: Sequence[Settlement], owner: str, now_ms: int) -> Settled:
        """Record the results of leased deliveries.

        - A delivery that `owner` no longer has stays as it is and is counted in `Settled.stale`.
        - The body of what is delivered is erased; that of a dead letter stays, so that it can be delivered after all.
        """
        return await self._write(settle, self._seal, settlements, owner, now_ms)

    async def queued(self, lane: Lane, limit: int = 100) -> Sequence[Queued]:
        """Return the deliveries that wait in a lane, those due longest first."""
        return await self._read(lambda db: queued(db, self._seal, lane, limit))

    async def hasten(self, lane: Lane, now_ms: int) -> None:
        """Make due what waits for another try."""
        await self._write(hasten, lane, now_ms)

    async def take_out(self, ids: Sequence[int], now_ms: int) -> Sequence[int]:
        """Make dead letters (`taken_out`) of deliveries that are not being sent. Returns the ids of those that became.

        The ids are those of `Queued`.
        """
        return await self._write(take_out, self._seal, ids, now_ms)

    async def in_doubt(self, lane: Lane, now_ms: int, limit: int = 1000) -> Sequence[Delivery]:
        """Return the deliveries that the vendor may have: those that have begun, and those that are uncertain.

        What can't be opened is left out.
        """
        return await self._read(lambda db: in_doubt(db, self._seal, lane, now_ms, limit))

    async def arrived(self, ids: Sequence[int], now_ms: int) -> int:
        """Record that the vendor has deliveries that were in doubt. Returns how many there were.

        They are delivered, and the ledger has one doubt less. What a worker that has leased one settles later is stale.
        A delivery that was not in doubt stays.
        """
        return await self._write(arrived, ids, now_ms)

    async def uncertain_counts(self) -> Sequence[UncertainCount]:
        """Count the messages that a vendor may have got more than once."""
        return await self._list(UncertainCount, Read.UNCERTAIN_COUNTS)

    async def uncertain(self, *, app: str | None = None, limit: int = 100) -> Sequence[LedgerEntry]:
        """Return the messages that a vendor may have got more than once, newest first."""
        return await self._list(LedgerEntry, Read.UNCERTAIN, app, limit)

    async def put_state(self, name: str, value: bytes) -> None:
        """Keep a value under a name, in place of what there was."""
        await self._write(lambda ledger: ledger.tables.write(Write.STATE, [(name, value)]))

    async def states(self, beginning: str) -> Sequence[tuple[str, bytes]]:
        """Return the values whose names begin like this, in the order of the names."""
        rows = await self._read(lambda db: db.read(Read.STATES, beginning, beginning + chr(0x10FFFF)))
        return [(name, bytes(value)) for name, value in rows]

    async def drop_states(self, names: Sequence[str]) -> None:
        """Delete the values with these names."""
        await self._write(lambda ledger: ledger.tables.write(Write.DROP_STATE, [(name,) for name in names]))

    async def take_turn(self, name: str, holder: str, now_ms: int, lease_ms: int) -> bool:
        """Take or renew the turn of this name, for so long. Returns False while another holder has it.

        With 0 milliseconds it is given back.
        """
        return await self._write(take_turn, name, holder, now_ms, lease_ms)

    async def record(self, deed: Deed, now_ms: int) -> TrailRow:
        """Add a row to the audit trail, bound to the row before. No row is ever changed or deleted."""
        return await self._write(trail.record, self._seal, deed, now_ms)

    async def trail(self, *, before: int | None = None, limit: int = 100) -> Sequence[TrailRow]:
        """Return rows of the audit trail, newest first: those with numbers below `before`, or all."""
        return await self._list(trail.row_of, Read.TRAIL, before if before is not None else 2**62, limit)

    async def trail_fault(self) -> str:
        """Check the whole audit trail. Returns a sentence about the first row that was changed or is missing."""
        return await self._read(lambda db: trail.fault(db, self._seal))

    async def find_events(self, wanted: EventFilter, *, before: int | None = None, limit: int = 50) -> EventPage:
        """Return events, newest first: those with ids below `before`, or from the newest on.

        A bounded number of rows is looked through, whatever is found among them; `EventPage.following` is where to go
        on. The cost does not grow with the ledger.
        """
        return await self._read(lambda db: events.find_events(db, wanted, before, limit))

    async def attempts(self, ids: Sequence[int]) -> Mapping[int, Sequence[EventAttempt]]:
        """Return the attempts to deliver these events that were not accepted, oldest first, by ledger row.

        The newest hundred of each event are kept, as long as its ledger row is.
        """
        return await self._read(lambda db: attempts_of(db, self._seal, ids))

    async def events_of(self, keys: Sequence[bytes]) -> Sequence[EventRow]:
        """Return the newest 500 events of the persons with these matching keys, newest first."""
        return await self._read(lambda db: events.events_of(db, keys))

    async def story(self, number: int) -> EventStory | None:
        """Return all that is kept of one event. None if there is none with this id."""
        return await self._read(lambda db: events.story(db, self._seal, number))

    async def rescue(self, now_ms: int, *, owner: str | None = None, resend_uncertain: bool = True) -> Rescued:
        """Take back lapsed leases, or all leases of `owner`, whose process is known to be gone.

        - A lease that ends later than `LONGEST_LEASE_MS` from now has lapsed: the clock was set back since it began.
        - What had not begun is due again, in its former place.
        - What had begun is due again with `tries` and `uncertain` one higher, or parked if not `resend_uncertain`.
        """
        return await self._write(rescue, self._seal, now_ms, owner, resend_uncertain)

    async def expire(self, now_ms: int, limit: int = 1000, *, heard_ms: int | None = None) -> int:
        """End holds whose window is over at `now_ms` (`expires_ms <= now_ms`). Returns how many ended.

        - Those stay whose window was not over at `heard_ms`, up to when all that was received is filed: a sighting may
          have been received in time. Without it that is now.
        - One with a `fallback_user_id` becomes pending with that user; the others are expired, and their bodies erased.
        - Returns 0 also while another process does the same, or if only rows of released holds were cleared away.
        """
        return await self._write(expire, now_ms, limit, heard_ms)

    async def expire_now(self, ids: Sequence[int], now_ms: int) -> Sequence[int]:
        """Expire these holds without sending them. Returns the ids that did wait."""
        return await self._write(expire_now, ids, now_ms)

    async def release(
        self, ids: Sequence[int], now_ms: int, *, user_id: str | None = None, device_id: str | None = None
    ) -> Released:
        """Make these holds pending, as of this user or device.

        Without either, only those are released whose item needs no user (the Attribution API's) or has one.
        """
        return await self._write(release_by_hand, self._seal, ids, now_ms, user_id=user_id, device_id=device_id)

    async def hold_counts(self) -> Sequence[HeldCount]:
        """Return how many events wait, from counters: the cost does not grow with the number of holds."""
        return await self._list(reports.held_count, Read.HOLD_COUNTS)

    async def sighted_kinds(self) -> Sequence[SightedKind]:
        """Return the kinds of identifier by which Amplitude has shown people."""
        return await self._list(SightedKind, Read.SIGHTED)

    async def covered(self, *, since_day: str) -> Sequence[CoverageRow]:
        """Return the coverage counters summed by app, platform and kinds; day, version and media source are empty."""
        return await self._list(reports.coverage_row, Read.COVERED, since_day)

    async def coverage(self, *, since_day: str = "", app: str | None = None) -> Sequence[CoverageRow]:
        """Return the counters of matching keys on events since this day (`YYYY-MM-DD`). They are kept for 90 days."""
        return await self._list(reports.coverage_row, Read.COVERAGE, since_day, app)

    async def holds(
        self, *, app: str | None = None, media_source: str | None = None, after: int = 0, limit: int = 100
    ) -> Sequence[Held]:
        """Return waiting events above the id `after`, in the order of filing."""
        return await self._list(reports.held, Read.HOLDS, app, media_source, after, limit)

    async def dead(
        self,
        *,
        app: str | None = None,
        reason: str | None = None,
        ids: Sequence[int] | None = None,
        limit: int = 100,
    ) -> Sequence[DeadLetter]:
        """Return dead letters, newest first; with `ids` just these, whatever the limit. See `DeadLetter.is_sealed`."""
        if ids is not None:
            return await self._read(lambda db: named(db, self._seal, app, reason, ids))
        return await self._read(lambda db: listed(db, self._seal, app, reason, limit))

    async def dead_ids(
        self,
        *,
        ids: Sequence[int] | None = None,
        app: str | None = None,
        reason: str | None = None,
        after: int = 0,
        limit: int = 100,
    ) -> Sequence[int]:
        """Return the ids of dead letters above `after`, ascending: in the order of reception. Opens none of them.

        With `ids` just those of them that are dead letters, whatever `after` and `limit`.
        """
        if ids is not None:
            return await self._read(lambda db: named_ids(db, app, reason, ids))
        return await self._read(lambda db: listed_ids(db, app, reason, after, limit))

    async def arrived_after_all(self, ids: Sequence[int], now_ms: int) -> int:
        """Record that the vendor has what dead letters of stage `deliver` hold. Returns how many there were.

        They are delivered, their content is erased, and the ledger has one doubt less.
        """
        return await self._write(arrived_after_all, ids, now_ms)

    async def redeliver(self, ids: Sequence[int], now_ms: int) -> int:
        """Make dead letters of stage `deliver` due again with no tries spent, in the order of reception."""
        return await self._write(redeliver, ids, now_ms)

    async def take_dead(self, ids: Sequence[int]) -> Sequence[DeadLetter]:
        """Return dead letters of stage `decode` or `map`, in the order of reception, to be processed again.

        They stay dead until they are filed with `replayed`. Those that can't be opened are left out.
        """
        return await self._read(lambda db: taken(db, self._seal, ids))

    async def forget(self, keys: Sequence[bytes], now_ms: int, *, receipt: str, also: Sequence[int] = ()) -> Receipt:
        """Remove the person with these matching keys, and the ledger rows `also`; write the receipt.

        - What is held, pending or dead ends as forgotten and its content is erased. A later settlement of it is stale.
        - What is settled stays counted, and loses its digest, insert_id and content key.
        - Sightings and memberships are deleted.
        - A tombstone per key stays: what is filed later about this person and happened at or before `now_ms`, or does
          not say when, ends as forgotten (`before_request`). Later events are those of a new person.
        - With a known `receipt` the counts are added to it.

        Raises `FlybridgeError` when a key belongs to more installations than one person has; nothing is removed then.
        """
        return await self._write_exclusively(forget, self._seal, keys, now_ms, receipt=receipt, also=also)

    async def note(self, receipt: str, steps: Sequence[VendorStep]) -> None:
        """Write the state of the vendor requests of a receipt."""
        await self._write(note, receipt, steps)

    async def receipts(self, *, keys: Sequence[bytes] = (), limit: int = 100) -> Sequence[Receipt]:
        """Return receipts, newest first: all, or those for exactly these keys."""
        return await self._read(lambda db: receipts(db, keys, limit))

    async def prune(self, now_ms: int, kept: Retention) -> int:
        """Delete what is past its retention, in many short transactions. Returns how many rows that was.

        Settled ledger rows, dead letters, kept messages, content keys, coverage counters, keys of people without rows,
        and installations are deleted. Performance counters stay.
        """
        rows = await self._steps(prune_ledger, now_ms - kept.ledger_days * DAY_MS, 0)
        letters = await self._steps(prune_dead, now_ms - kept.dead_days * DAY_MS, 0)
        messages = await self._steps(prune_messages, now_ms - round(kept.message_hours * HOUR_MS), 0)
        carried = await self._steps(prune_coverage, day_of(now_ms - COVERAGE_DAYS * DAY_MS), 0)
        people = await self._prune_people()
        installations = await self._steps(prune_installations, now_ms // DAY_MS - kept.installation_days, b"")
        seen = await self._steps(prune_seen, now_ms, b"")
        await self._compact(now_ms)
        return rows + letters + messages + carried + people + installations + seen

    async def _steps(
        self, prune: Callable[[LedgerWriter, Any, Any], PruneStep], until: int | str, after: int | bytes
    ) -> int:
        deleted, start = 0, after
        while True:
            step = await self._write(prune_step, prune, until, start)
            deleted += step.deleted
            if step.after is None:
                return deleted
            start = step.after

    async def _prune_people(self) -> int:
        deleted, after = 0, 0
        while True:
            found = await self._write(orphans, after)
            if found.persons:
                deleted += await self._write_exclusively(prune_people, found.persons)
            if found.after is None:
                return deleted
            after = found.after

    async def counts(self) -> Sequence[Count]:
        """Return all ledger counters that are not zero."""
        return await self._list(Count, Read.COUNTS)

    async def depths(self, now_ms: int) -> Sequence[LaneDepth]:
        """Return the depth of every lane that has deliveries."""
        return await self._list(reports.depth, Read.DEPTHS, now_ms)

    async def time_ms(self) -> int | None:
        """Return the time of the server that keeps the store, in milliseconds; None where that is this machine."""
        return None

    async def confirmed_ms(self) -> int:
        """Return the last time that was known to be right; 0 if none was noted."""
        return readable(await self.states(CONFIRMED), int).get(CONFIRMED, 0)

    async def confirm(self, now_ms: int) -> None:
        """Note a time that is known to be right, for processes that begin later."""
        await self.put_state(CONFIRMED, str(now_ms).encode())

    async def audit(self) -> Sequence[Discrepancy]:
        """Compare every counter with the rows it counts, at one moment; empty when all agree."""
        return await self._read(reports.audit)

    async def ledger(self, *, app: str | None = None) -> AsyncIterator[LedgerEntry]:
        """Yield the ledger in the order of filing. A row that changes meanwhile is yielded once."""
        after = 0
        while page := await self._read(lambda db: reports.ledger_page(db, app, after)):  # noqa: B023 - awaited here
            for _, entry in page:
                yield entry
            after = page[-1][0]

    async def restricted(self) -> Sequence[RestrictedCount]:
        """Return what policies changed, by app, day and source in that order."""
        return await self._list(RestrictedCount, Read.RESTRICTED)

    async def performance(self, question: Slice) -> Sequence[Sums]:
        """Return what happened in a slice, by the day on which it happened.

        The cost grows with the cells of its days, not with the events counted in them. The same is true of all that
        follows.
        """
        return await self._read(lambda db: performance_reports.sums(db, question))

    async def cohort_sizes(self, question: Slice, horizons: Sequence[int]) -> Sequence[Size]:
        """Return how many installations began on days of a slice that have so many complete days."""
        return await self._read(lambda db: performance_reports.sizes(db, question, horizons))

    async def cohort_sums(self, question: Slice, horizons: Sequence[int]) -> Sequence[CohortSums]:
        """Return what the installations of these days did up to each horizon. Horizons are -1 to 90."""
        return await self._read(lambda db: performance_reports.cohort_sums(db, question, horizons))

    async def curves(self, question: Slice) -> Sequence[CurvePoint]:
        """Return what the installations of a slice did on each day after, also on days that are not over."""
        return await self._read(lambda db: performance_reports.curves(db, question))

    async def costs(self, question: Slice, horizons: Sequence[int] = (WHOLE,)) -> Sequence[CostSums]:
        """Return spend, clicks and impressions of a slice. Labels that costs do not have are empty."""
        return await self._read(lambda db: performance_reports.costs(db, question, horizons))

    async def replace_costs(
        self,
        app: str,
        origin: str,
        rows: Sequence[CostRow],
        *,
        days: tuple[int, int],
        every_source: bool = True,
    ) -> None:
        """Replace all that `origin` has reported about an app, from the first to the last of these days.

        Without `every_source` only the sources of the rows are replaced. Rows without a figure are not kept. Origins
        are `performance.ORIGINS`.
        """
        await self._write(performance_reports.replace_costs, app, origin, rows, days=days, every_source=every_source)

    async def outcomes(self, app: str, first: int, last: int) -> Outcomes:
        """Return what is counted on these days, and what became of it by outcome and reason.

        It reads the whole ledger: meant for a job that runs once a day, not for a page.
        """
        return await self._read(lambda db: reports.outcomes(db, app, first, last))

    async def sent_events(self, app: str, first: int, last: int) -> Sequence[SentEvent]:
        """Return the delivered events of these days one by one, as far as the ledger has their insert_ids."""
        return await self._list(SentEvent, Read.SENT, app, first, last)

    async def event_outcomes(self, app: str, first: int, last: int) -> Sequence[EventOutcome]:
        """Return what became of the events of these days one by one, of those names of events that have revenue.

        As far as the ledger has their insert_ids: not of what was refused, filtered or forgotten. It reads the whole
        ledger.
        """
        return await self._list(EventOutcome, Read.EVENT_OUTCOMES, app, first, last)

    async def put_day_reports(self, found: Sequence[DayReport]) -> None:
        """Keep reports of days, each in place of the one of the same app, kind and day."""
        rows = [structs.astuple(one) for one in found]
        await self._write(lambda ledger: ledger.tables.write(Write.DAY_REPORTS, rows))

    async def day_reports(self, kind: str, first: int, last: int, *, app: str | None = None) -> Sequence[DayReport]:
        """Return the reports of one kind from the first to the last of these days, in the order of days and apps."""
        return await self._list(DayReport, Read.DAY_REPORTS, kind, first, last, app)
