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

`figures` describes what is read, `receipt` the receipt of a request to be forgotten.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Final, Protocol

from msgspec import Struct

from flybridge.records import HOUR_MS, DeadLetter, Delivery, Filing
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
from flybridge.store.trail import Deed, TrailRow

LONGEST_LEASE_MS: Final = HOUR_MS
"""No worker leases for longer."""


class Lane(Struct, frozen=True, order=True):
    """The deliveries of one app through one endpoint: they share credentials, limits and a circuit."""

    app: str
    endpoint: str


class Filed(Struct, frozen=True):
    """The result of `file`: envelopes by outcome (`records.OutcomeKind`), and holds that found their person."""

    outcomes: Mapping[str, int]
    matched: int = 0
    repeated: int = 0  # receipts that were known already: filed before a crash, not filed again


class AttemptRecord(Struct, frozen=True, gc=False):
    """An attempt to deliver that was not accepted. `status` 0: there was no answer. `words` is what the vendor said."""

    at_ms: int
    status: int
    reason: str
    words: str = ""


class Settlement(Struct, frozen=True, gc=False):
    """The result of one leased delivery.

    `state` is `delivered`, `due` (again at `due_ms`), `dead` (with stage `deliver`) or `parked` (waits for an
    operator's decision; counted as dead with reason `uncertain`). `attempts` are those that were not accepted.
    """

    id: int
    state: str
    due_ms: int = 0
    tries: int = 0
    split: bool = False
    reason: str = ""
    detail: str = ""
    remedy: str = ""
    uncertain: int = 0  # added to the delivery's own count
    attempts: tuple[AttemptRecord, ...] = ()


class Settled(Struct, frozen=True):
    """How many settlements took effect, and how many were of a former owner and did not."""

    settled: int
    stale: int = 0


class Rescued(Struct, frozen=True):
    """The result of `rescue`: leases that lapsed before sending (returned) and in flight (uncertain or parked)."""

    returned: int = 0
    uncertain: int = 0
    parked: int = 0


class Released(Struct, frozen=True):
    """The result of `release`, as ids of holds.

    `nameless` still wait, because they have no user or device to be delivered to; `gone` do not wait (any more).
    """

    released: Sequence[int] = ()
    nameless: Sequence[int] = ()
    gone: Sequence[int] = ()


class Queued(Struct, frozen=True):
    """A delivery that waits in a lane. `id` is that of its ledger row, and of the dead letter it may become."""

    id: int
    event_type: str
    due_ms: int
    leased: bool
    tries: int
    uncertain: int
    received_ms: int


class UncertainCount(Struct, frozen=True):
    """Messages of one outcome that a vendor may have got more than once: `n` of them, by `times` sends."""

    app: str
    outcome: str
    n: int
    times: int


class LaneDepth(Struct, frozen=True):
    """The deliveries of a lane: `due` now, `later` (waiting for a retry), `leased`; `oldest_ms` is of what is due."""

    lane: Lane
    due: int
    later: int
    leased: int
    oldest_ms: int


class Store(Protocol):
    """State behind lifecycle verbs. `now_ms` is always the caller's clock.

    All methods are called from the event loop that called `open`. Every one raises `StoreUnavailable` when the
    database refuses; then nothing was changed, or the verb can be repeated without a second effect.
    """

    async def open(self) -> None:
        """Open the store and apply pending migrations.

        Raises `SealBroken` if the configured secrets are not those of the store.
        """
        ...

    async def close(self) -> None:
        """Finish running transactions and close."""
        ...

    async def file(self, filings: Sequence[Filing], now_ms: int) -> Filed:
        """File a batch, all or nothing: ledger, content keys, deliveries, holds, sightings, counters, dead letters.

        - A receipt that is known has no effect, and is counted in `Filed.repeated`.
        - A content key that is remembered makes a duplicate, which has no effect but to be counted.
        - `Filed.matched` counts every hold that found its person, at once or after waiting.
        - What is about a forgotten person and from before the request ends as forgotten and has no other effect.
        """
        ...

    async def are_known(self, filings: Sequence[Filing], now_ms: int) -> Sequence[bool]:
        """Return for each filing whether it would be a duplicate: of what was filed, or of one before it."""
        ...

    async def lanes(self, now_ms: int) -> Sequence[Lane]:
        """Return the lanes that have something due."""
        ...

    async def lease(self, lane: Lane, limit: int, now_ms: int, lease_ms: int, owner: str) -> Sequence[Delivery]:
        """Lease due deliveries to `owner`, those due longest first.

        A delivery whose content can't be opened becomes a dead letter (`sealed`) and holds up no other.
        """
        ...

    async def begin(self, ids: Sequence[int], owner: str) -> Sequence[int]:
        """Record, durably and before sending, that these are about to be sent. Returns the ids that `owner` still has.

        Needed only where the vendor does not deduplicate: what has begun and is not settled when its lease lapses is
        uncertain.
        """
        ...

    async def settle(self, settlements: Sequence[Settlement], owner: str, now_ms: int) -> Settled:
        """Record the results of leased deliveries.

        - A delivery that `owner` no longer has stays as it is and is counted in `Settled.stale`.
        - The body of what is delivered is erased; that of a dead letter stays, so that it can be delivered after all.
        """
        ...

    async def queued(self, lane: Lane, limit: int = 100) -> Sequence[Queued]:
        """Return the deliveries that wait in a lane, those due longest first."""
        ...

    async def hasten(self, lane: Lane, now_ms: int) -> None:
        """Make due what waits for another try."""
        ...

    async def take_out(self, ids: Sequence[int], now_ms: int) -> Sequence[int]:
        """Make dead letters (`taken_out`) of deliveries that are not being sent. Returns the ids of those that became.

        The ids are those of `Queued`.
        """
        ...

    async def in_doubt(self, lane: Lane, now_ms: int, limit: int = 1000) -> Sequence[Delivery]:
        """Return the deliveries that the vendor may have: those that have begun, and those that are uncertain.

        What can't be opened is left out.
        """
        ...

    async def arrived(self, ids: Sequence[int], now_ms: int) -> int:
        """Record that the vendor has deliveries that were in doubt. Returns how many there were.

        They are delivered, and the ledger has one doubt less. What a worker that has leased one settles later is stale.
        A delivery that was not in doubt stays.
        """
        ...

    async def uncertain_counts(self) -> Sequence[UncertainCount]:
        """Count the messages that a vendor may have got more than once."""
        ...

    async def uncertain(self, *, app: str | None = None, limit: int = 100) -> Sequence[LedgerEntry]:
        """Return the messages that a vendor may have got more than once, newest first."""
        ...

    async def put_state(self, name: str, value: bytes) -> None:
        """Keep a value under a name, in place of what there was."""
        ...

    async def states(self, beginning: str) -> Sequence[tuple[str, bytes]]:
        """Return the values whose names begin like this, in the order of the names."""
        ...

    async def drop_states(self, names: Sequence[str]) -> None:
        """Delete the values with these names."""
        ...

    async def take_turn(self, name: str, holder: str, now_ms: int, lease_ms: int) -> bool:
        """Take or renew the turn of this name, for so long. Returns False while another holder has it.

        With 0 milliseconds it is given back.
        """
        ...

    async def record(self, deed: Deed, now_ms: int) -> TrailRow:
        """Add a row to the audit trail, bound to the row before. No row is ever changed or deleted."""
        ...

    async def trail(self, *, before: int | None = None, limit: int = 100) -> Sequence[TrailRow]:
        """Return rows of the audit trail, newest first: those with numbers below `before`, or all."""
        ...

    async def trail_fault(self) -> str:
        """Check the whole audit trail. Returns a sentence about the first row that was changed or is missing."""
        ...

    async def find_events(self, wanted: EventFilter, *, before: int | None = None, limit: int = 50) -> EventPage:
        """Return events, newest first: those with ids below `before`, or from the newest on.

        A bounded number of rows is looked through, whatever is found among them; `EventPage.following` is where to go
        on. The cost does not grow with the ledger.
        """
        ...

    async def attempts(self, ids: Sequence[int]) -> Mapping[int, Sequence[EventAttempt]]:
        """Return the attempts to deliver these events that were not accepted, oldest first, by ledger row.

        The newest hundred of each event are kept, as long as its ledger row is.
        """
        ...

    async def events_of(self, keys: Sequence[bytes]) -> Sequence[EventRow]:
        """Return the newest 500 events of the persons with these matching keys, newest first."""
        ...

    async def story(self, number: int) -> EventStory | None:
        """Return all that is kept of one event. None if there is none with this id."""
        ...

    async def rescue(self, now_ms: int, *, owner: str | None = None, resend_uncertain: bool = True) -> Rescued:
        """Take back lapsed leases, or all leases of `owner`, whose process is known to be gone.

        - A lease that ends later than `LONGEST_LEASE_MS` from now has lapsed: the clock was set back since it began.
        - What had not begun is due again, in its former place.
        - What had begun is due again with `tries` and `uncertain` one higher, or parked if not `resend_uncertain`.
        """
        ...

    async def expire(self, now_ms: int, limit: int = 1000) -> int:
        """End holds whose window is over at `now_ms` (`expires_ms <= now_ms`). Returns how many ended.

        - One with a `fallback_user_id` becomes pending with that user; the others are expired, and their bodies erased.
        - Returns 0 also while another process does the same, or if only rows of released holds were cleared away.
        """
        ...

    async def expire_now(self, ids: Sequence[int], now_ms: int) -> Sequence[int]:
        """Expire these holds without sending them. Returns the ids that did wait."""
        ...

    async def release(
        self, ids: Sequence[int], now_ms: int, *, user_id: str | None = None, device_id: str | None = None
    ) -> Released:
        """Make these holds pending, as of this user or device.

        Without either, only those are released whose item needs no user (the Attribution API's) or has one.
        """
        ...

    async def hold_counts(self) -> Sequence[HeldCount]:
        """Return how many events wait, from counters: the cost does not grow with the number of holds."""
        ...

    async def sighted_kinds(self) -> Sequence[SightedKind]:
        """Return the kinds of identifier by which Amplitude has shown people."""
        ...

    async def covered(self, *, since_day: str) -> Sequence[CoverageRow]:
        """Return the coverage counters summed by app, platform and kinds; day, version and media source are empty."""
        ...

    async def coverage(self, *, since_day: str = "", app: str | None = None) -> Sequence[CoverageRow]:
        """Return the counters of matching keys on events since this day (`YYYY-MM-DD`). They are kept for 90 days."""
        ...

    async def holds(
        self, *, app: str | None = None, media_source: str | None = None, after: int = 0, limit: int = 100
    ) -> Sequence[Held]:
        """Return waiting events above the id `after`, in the order of filing."""
        ...

    async def dead(
        self,
        *,
        app: str | None = None,
        reason: str | None = None,
        ids: Sequence[int] | None = None,
        limit: int = 100,
    ) -> Sequence[DeadLetter]:
        """Return dead letters, newest first; with `ids` just these, whatever the limit. See `DeadLetter.is_sealed`."""
        ...

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
        ...

    async def arrived_after_all(self, ids: Sequence[int], now_ms: int) -> int:
        """Record that the vendor has what dead letters of stage `deliver` hold. Returns how many there were.

        They are delivered, their content is erased, and the ledger has one doubt less.
        """
        ...

    async def redeliver(self, ids: Sequence[int], now_ms: int) -> int:
        """Make dead letters of stage `deliver` due again with no tries spent, in the order of reception."""
        ...

    async def take_dead(self, ids: Sequence[int]) -> Sequence[DeadLetter]:
        """Return dead letters of stage `decode` or `map`, in the order of reception, to be processed again.

        They stay dead until they are filed with `replayed`. Those that can't be opened are left out.
        """
        ...

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
        ...

    async def note(self, receipt: str, steps: Sequence[VendorStep]) -> None:
        """Write the state of the vendor requests of a receipt."""
        ...

    async def receipts(self, *, keys: Sequence[bytes] = (), limit: int = 100) -> Sequence[Receipt]:
        """Return receipts, newest first: all, or those for exactly these keys."""
        ...

    async def prune(
        self,
        now_ms: int,
        *,
        ledger_days: int,
        dead_days: int,
        installation_days: int = 400,
        message_hours: float = 0.0,
    ) -> int:
        """Delete what is past its retention, in many short transactions. Returns how many rows that was.

        Settled ledger rows, dead letters, kept messages, content keys, coverage counters, keys of people without rows,
        and installations are deleted. Performance counters stay.
        """
        ...

    async def counts(self) -> Sequence[Count]:
        """Return all ledger counters that are not zero."""
        ...

    async def depths(self, now_ms: int) -> Sequence[LaneDepth]:
        """Return the depth of every lane that has deliveries."""
        ...

    async def confirmed_ms(self) -> int:
        """Return the last time that was known to be right; 0 if none was noted."""
        ...

    async def confirm(self, now_ms: int) -> None:
        """Note a time that is known to be right, for processes that begin later."""
        ...

    async def audit(self) -> Sequence[Discrepancy]:
        """Compare every counter with the rows it counts, at one moment; empty when all agree."""
        ...

    def ledger(self, *, app: str | None = None) -> AsyncIterator[LedgerEntry]:
        """Yield the ledger in the order of filing. A row that changes meanwhile is yielded once."""
        ...

    async def restricted(self) -> Sequence[RestrictedCount]:
        """Return what policies changed, by app, day and source in that order."""
        ...

    async def performance(self, question: Slice) -> Sequence[Sums]:
        """Return what happened in a slice, by the day on which it happened.

        The cost grows with the cells of its days, not with the events counted in them. The same is true of all that
        follows.
        """
        ...

    async def cohort_sizes(self, question: Slice, horizons: Sequence[int]) -> Sequence[Size]:
        """Return how many installations began on days of a slice that have so many complete days."""
        ...

    async def cohort_sums(self, question: Slice, horizons: Sequence[int]) -> Sequence[CohortSums]:
        """Return what the installations of these days did up to each horizon. Horizons are -1 to 90."""
        ...

    async def curves(self, question: Slice) -> Sequence[CurvePoint]:
        """Return what the installations of a slice did on each day after, also on days that are not over."""
        ...

    async def costs(self, question: Slice, horizons: Sequence[int] = (WHOLE,)) -> Sequence[CostSums]:
        """Return spend, clicks and impressions of a slice. Labels that costs do not have are empty."""
        ...

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

        Without `every_source` only the sources of the rows are replaced. Origins are `performance.ORIGINS`.
        """
        ...

    async def outcomes(self, app: str, first: int, last: int) -> Outcomes:
        """Return what is counted on these days, and what became of it by outcome and reason.

        It reads the whole ledger: meant for a job that runs once a day, not for a page.
        """
        ...

    async def sent_events(self, app: str, first: int, last: int) -> Sequence[SentEvent]:
        """Return the delivered events of these days one by one, as far as the ledger has their insert_ids."""
        ...

    async def event_outcomes(self, app: str, first: int, last: int) -> Sequence[EventOutcome]:
        """Return what became of the events of these days one by one, of those names of events that have revenue.

        As far as the ledger has their insert_ids: not of what was refused, filtered or forgotten. It reads the whole
        ledger.
        """
        ...

    async def put_day_reports(self, found: Sequence[DayReport]) -> None:
        """Keep reports of days, each in place of the one of the same app, kind and day."""
        ...

    async def day_reports(self, kind: str, first: int, last: int, *, app: str | None = None) -> Sequence[DayReport]:
        """Return the reports of one kind from the first to the last of these days, in the order of days and apps."""
        ...

    async def drop_day_reports(self, kind: str, before: int) -> None:
        """Delete the reports of one kind about earlier days."""
        ...
