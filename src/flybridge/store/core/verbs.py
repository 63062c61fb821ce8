"""The verbs of the store, shared by all backends.

Each verb runs one function of the modules beside this one, in a transaction that the backend provides. What a verb
guarantees is described at `store.protocol.Store`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

from flybridge.records import DAY_MS, HOUR_MS, DeadLetter, Delivery, Filing, day_of
from flybridge.sealing import Seal
from flybridge.store.core import events, performance_reports, reports, trail
from flybridge.store.core.attempts import attempts_of
from flybridge.store.core.confirmed_time import confirm, confirmed_ms
from flybridge.store.core.content_keys import are_known
from flybridge.store.core.dead_letters import arrived_after_all, listed, listed_ids, named, named_ids, redeliver, taken
from flybridge.store.core.delivering import arrived, begin, hasten, in_doubt, lease, queued, rescue, settle, take_out
from flybridge.store.core.filing import file
from flybridge.store.core.forgetting import forget, note, receipts
from flybridge.store.core.holding import expire, expire_now, release_by_hand
from flybridge.store.core.ledger import LedgerWriter
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
)
from flybridge.store.core.seal_check import is_checked, put_check
from flybridge.store.core.tables import Rows, Write
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
from flybridge.store.protocol import (
    Filed,
    Lane,
    LaneDepth,
    Queued,
    Released,
    Rescued,
    Settled,
    Settlement,
    UncertainCount,
)
from flybridge.store.receipt import Receipt, VendorStep
from flybridge.store.trail import Deed, TrailRow

COVERAGE_DAYS: Final = 90

P = ParamSpec("P")
T = TypeVar("T")


class Verbs(ABC):
    """Base class of the stores: the verbs of `store.protocol.Store`."""

    def __init__(
        self, seal: Seal, max_cells: int = MAX_CELLS, *, checks_seal: bool = True, keeps_messages: bool = False
    ) -> None:
        self._seal = seal
        self._keeps_messages = keeps_messages
        self._checks_seal = checks_seal
        self._max_cells = max_cells

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

    async def _compact(self, now_ms: int) -> None:
        """Compact what only this backend keeps."""
        return

    async def _check_seal(self) -> None:
        """Raise `SealBroken` if the configured secrets are not those of the store."""
        if self._checks_seal and not await self._read(lambda db: is_checked(db, self._seal)):
            await self._write(put_check, self._seal)

    async def file(self, filings: Sequence[Filing], now_ms: int) -> Filed:
        return await self._write(file, self._seal, filings, now_ms, keeps_messages=self._keeps_messages)

    async def lease(self, lane: Lane, limit: int, now_ms: int, lease_ms: int, owner: str) -> Sequence[Delivery]:
        return await self._write(lease, self._seal, lane, limit=limit, now_ms=now_ms, lease_ms=lease_ms, owner=owner)

    async def begin(self, ids: Sequence[int], owner: str) -> Sequence[int]:
        return await self._write(begin, ids, owner)

    async def settle(self, settlements: Sequence[Settlement], owner: str, now_ms: int) -> Settled:
        return await self._write(settle, self._seal, settlements, owner, now_ms)

    async def queued(self, lane: Lane, limit: int = 100) -> Sequence[Queued]:
        return await self._read(lambda db: queued(db, self._seal, lane, limit))

    async def hasten(self, lane: Lane, now_ms: int) -> None:
        await self._write(hasten, lane, now_ms)

    async def take_out(self, ids: Sequence[int], now_ms: int) -> Sequence[int]:
        return await self._write(take_out, self._seal, ids, now_ms)

    async def in_doubt(self, lane: Lane, now_ms: int, limit: int = 1000) -> Sequence[Delivery]:
        return await self._read(lambda db: in_doubt(db, self._seal, lane, now_ms, limit))

    async def arrived(self, ids: Sequence[int], now_ms: int) -> int:
        return await self._write(arrived, ids, now_ms)

    async def uncertain_counts(self) -> Sequence[UncertainCount]:
        return await self._read(reports.uncertain_counts)

    async def uncertain(self, *, app: str | None = None, limit: int = 100) -> Sequence[LedgerEntry]:
        return await self._read(lambda db: reports.uncertain(db, app, limit))

    async def put_state(self, name: str, value: bytes) -> None:
        await self._write(lambda ledger: ledger.tables.write(Write.STATE, [(name, value)]))

    async def states(self, beginning: str) -> Sequence[tuple[str, bytes]]:
        return await self._read(lambda db: reports.states(db, beginning))

    async def drop_states(self, names: Sequence[str]) -> None:
        await self._write(lambda ledger: ledger.tables.write(Write.DROP_STATE, [(name,) for name in names]))

    async def take_turn(self, name: str, holder: str, now_ms: int, lease_ms: int) -> bool:
        return await self._write(take_turn, name, holder, now_ms, lease_ms)

    async def record(self, deed: Deed, now_ms: int) -> TrailRow:
        return await self._write(trail.record, self._seal, deed, now_ms)

    async def trail(self, *, before: int | None = None, limit: int = 100) -> Sequence[TrailRow]:
        return await self._read(lambda db: trail.trail(db, before, limit))

    async def trail_fault(self) -> str:
        return await self._read(lambda db: trail.fault(db, self._seal))

    async def find_events(self, wanted: EventFilter, *, before: int | None = None, limit: int = 50) -> EventPage:
        return await self._read(lambda db: events.find_events(db, wanted, before, limit))

    async def events_of(self, keys: Sequence[bytes]) -> Sequence[EventRow]:
        return await self._read(lambda db: events.events_of(db, keys))

    async def story(self, number: int) -> EventStory | None:
        return await self._read(lambda db: events.story(db, self._seal, number))

    async def attempts(self, ids: Sequence[int]) -> Mapping[int, Sequence[EventAttempt]]:
        return await self._read(lambda db: attempts_of(db, self._seal, ids))

    async def rescue(self, now_ms: int, *, owner: str | None = None, resend_uncertain: bool = True) -> Rescued:
        return await self._write(rescue, self._seal, now_ms, owner, resend_uncertain)

    async def expire(self, now_ms: int, limit: int = 1000) -> int:
        return await self._write(expire, now_ms, limit)

    async def expire_now(self, ids: Sequence[int], now_ms: int) -> Sequence[int]:
        return await self._write(expire_now, ids, now_ms)

    async def release(
        self, ids: Sequence[int], now_ms: int, *, user_id: str | None = None, device_id: str | None = None
    ) -> Released:
        return await self._write(release_by_hand, self._seal, ids, now_ms, user_id=user_id, device_id=device_id)

    async def arrived_after_all(self, ids: Sequence[int], now_ms: int) -> int:
        return await self._write(arrived_after_all, ids, now_ms)

    async def redeliver(self, ids: Sequence[int], now_ms: int) -> int:
        return await self._write(redeliver, ids, now_ms)

    async def forget(self, keys: Sequence[bytes], now_ms: int, *, receipt: str, also: Sequence[int] = ()) -> Receipt:
        return await self._write_exclusively(forget, self._seal, keys, now_ms, receipt=receipt, also=also)

    async def note(self, receipt: str, steps: Sequence[VendorStep]) -> None:
        await self._write(note, receipt, steps)

    async def receipts(self, *, keys: Sequence[bytes] = (), limit: int = 100) -> Sequence[Receipt]:
        return await self._read(lambda db: receipts(db, keys, limit))

    async def prune(
        self,
        now_ms: int,
        *,
        ledger_days: int,
        dead_days: int,
        installation_days: int = 400,
        message_hours: float = 0.0,
    ) -> int:
        rows = await self._steps(prune_ledger, now_ms - ledger_days * DAY_MS, 0)
        letters = await self._steps(prune_dead, now_ms - dead_days * DAY_MS, 0)
        messages = await self._steps(prune_messages, now_ms - round(message_hours * HOUR_MS), 0)
        carried = await self._write(prune_coverage, day_of(now_ms - COVERAGE_DAYS * DAY_MS))
        people = await self._prune_people()
        installations = await self._steps(prune_installations, now_ms // DAY_MS - installation_days, b"")
        seen = await self._steps(prune_seen, now_ms, b"")
        await self._compact(now_ms)
        return rows + letters + messages + carried + people + installations + seen

    async def _steps(
        self, prune: Callable[[LedgerWriter, int, Any], PruneStep], until_ms: int, after: int | bytes
    ) -> int:
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
            found = await self._write(orphans, after)
            if found.persons:
                deleted += await self._write_exclusively(prune_people, found.persons)
            if found.after is None:
                return deleted
            after = found.after

    async def are_known(self, filings: Sequence[Filing], now_ms: int) -> Sequence[bool]:
        return await self._read(lambda db: are_known(db, filings, now_ms))

    async def lanes(self, now_ms: int) -> Sequence[Lane]:
        return await self._read(lambda db: reports.lanes(db, now_ms))

    async def holds(
        self, *, app: str | None = None, media_source: str | None = None, after: int = 0, limit: int = 100
    ) -> Sequence[Held]:
        return await self._read(lambda db: reports.holds(db, app, media_source, after, limit))

    async def hold_counts(self) -> Sequence[HeldCount]:
        return await self._read(reports.hold_counts)

    async def sighted_kinds(self) -> Sequence[SightedKind]:
        return await self._read(reports.sighted_kinds)

    async def covered(self, *, since_day: str) -> Sequence[CoverageRow]:
        return await self._read(lambda db: reports.covered(db, since_day))

    async def coverage(self, *, since_day: str = "", app: str | None = None) -> Sequence[CoverageRow]:
        return await self._read(lambda db: reports.coverage(db, since_day, app))

    async def dead(
        self,
        *,
        app: str | None = None,
        reason: str | None = None,
        ids: Sequence[int] | None = None,
        limit: int = 100,
    ) -> Sequence[DeadLetter]:
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
        """List the ids of dead letters, ascending."""
        if ids is not None:
            return await self._read(lambda db: named_ids(db, app, reason, ids))
        return await self._read(lambda db: listed_ids(db, app, reason, after, limit))

    async def take_dead(self, ids: Sequence[int]) -> Sequence[DeadLetter]:
        return await self._read(lambda db: taken(db, self._seal, ids))

    async def counts(self) -> Sequence[Count]:
        return await self._read(reports.counts)

    async def depths(self, now_ms: int) -> Sequence[LaneDepth]:
        return await self._read(lambda db: reports.depths(db, now_ms))

    async def confirmed_ms(self) -> int:
        return await self._read(confirmed_ms)

    async def confirm(self, now_ms: int) -> None:
        await self._write(confirm, now_ms)

    async def audit(self) -> Sequence[Discrepancy]:
        return await self._read(reports.audit)

    async def ledger(self, *, app: str | None = None) -> AsyncIterator[LedgerEntry]:
        after = 0
        while page := await self._read(lambda db: reports.ledger_page(db, app, after)):  # noqa: B023 - awaited here
            for _, entry in page:
                yield entry
            after = page[-1][0]

    async def restricted(self) -> Sequence[RestrictedCount]:
        return await self._read(reports.restricted)

    async def performance(self, question: Slice) -> Sequence[Sums]:
        return await self._read(lambda db: performance_reports.sums(db, question))

    async def cohort_sizes(self, question: Slice, horizons: Sequence[int]) -> Sequence[Size]:
        return await self._read(lambda db: performance_reports.sizes(db, question, horizons))

    async def cohort_sums(self, question: Slice, horizons: Sequence[int]) -> Sequence[CohortSums]:
        return await self._read(lambda db: performance_reports.cohort_sums(db, question, horizons))

    async def curves(self, question: Slice) -> Sequence[CurvePoint]:
        return await self._read(lambda db: performance_reports.curves(db, question))

    async def costs(self, question: Slice, horizons: Sequence[int] = (WHOLE,)) -> Sequence[CostSums]:
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
        await self._write(performance_reports.replace_costs, app, origin, rows, days=days, every_source=every_source)

    async def outcomes(self, app: str, first: int, last: int) -> Outcomes:
        return await self._read(lambda db: reports.outcomes(db, app, first, last))

    async def sent_events(self, app: str, first: int, last: int) -> Sequence[SentEvent]:
        return await self._read(lambda db: reports.sent_events(db, app, first, last))

    async def event_outcomes(self, app: str, first: int, last: int) -> Sequence[EventOutcome]:
        return await self._read(lambda db: reports.event_outcomes(db, app, first, last))

    async def put_day_reports(self, found: Sequence[DayReport]) -> None:
        await self._write(reports.put_day_reports, found)

    async def day_reports(self, kind: str, first: int, last: int, *, app: str | None = None) -> Sequence[DayReport]:
        return await self._read(lambda db: reports.day_reports(db, kind, first, last, app))

    async def drop_day_reports(self, kind: str, before: int) -> None:
        await self._write(lambda ledger: ledger.tables.write(Write.DROP_DAY_REPORTS, [(kind, before)]))
