"""The store: state in lifecycle verbs. Each verb is one transaction.

Guarantees every backend keeps, and `tests/contract/test_store.py` checks:

1. `file` is all or nothing for its batch, and idempotent by receipt: an envelope whose receipt is known has no
   second effect, so an inbox may hand it out again after a crash.
2. A filing whose content key is remembered changes nothing but the count of duplicates. The key is
   remembered in the same transaction as the effect it guards.
3. Hold-then-sight equals sight-then-hold, whatever the order and however many processes file at once.
4. A delivery is leased by one owner until it is settled or its lease lapses. A settle by a former owner
   changes nothing and is reported in `Settled.stale`.
5. Counters move in the same transaction as the rows they count. `audit` compares them with the rows.
6. What holds personal data (bodies, ids) is sealed before it is written and erased when it is not needed.

What is read is described in `figures`, the receipt of a request to be forgotten in `receipt`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Protocol

from msgspec import Struct

from flybridge.records import DeadLetter, Delivery, Filing
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
from flybridge.store.receipt import Receipt, VendorStep


class Lane(Struct, frozen=True, order=True):
    """All deliveries of one app through one endpoint: they share credentials, limits and a circuit."""

    app: str
    endpoint: str


class Filed(Struct, frozen=True):
    """What `file` did, in envelopes, by outcome kind (`records.OutcomeKind` values), plus holds released."""

    outcomes: Mapping[str, int]
    matched: int = 0
    repeated: int = 0  # receipts that were known already: filed before a crash, not filed again


class Settlement(Struct, frozen=True, gc=False):
    """What becomes of one leased delivery.

    `state` is `delivered`, `due` (again at `due_ms`), `dead` (with stage `deliver`) or `parked` (waits for an
    operator's decision; counted as dead with reason `uncertain`).
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


class Settled(Struct, frozen=True):
    """How many settlements took effect, and how many came too late from a former owner."""

    settled: int
    stale: int = 0


class Rescued(Struct, frozen=True):
    """What `rescue` found: leases that lapsed before sending (given back), and in flight (uncertain)."""

    returned: int = 0
    uncertain: int = 0
    parked: int = 0


class Released(Struct, frozen=True):
    """What a release by hand did, as ids of holds. `nameless`: have nobody to be delivered to, and still wait.

    `gone`: do not wait, because they never did or do no more.
    """

    released: Sequence[int] = ()
    nameless: Sequence[int] = ()
    gone: Sequence[int] = ()


class LaneDepth(Struct, frozen=True):
    """How a lane stands: `due` now, `later` (waiting for a retry), `leased`; `oldest_ms` of what is due."""

    lane: Lane
    due: int
    later: int
    leased: int
    oldest_ms: int


class Store(Protocol):
    """State behind lifecycle verbs. `now_ms` is always the caller's clock."""

    async def open(self) -> None:
        """Open, and apply pending migrations."""
        ...

    async def close(self) -> None:
        """Finish the running transaction and close."""
        ...

    async def file(self, filings: Sequence[Filing], now_ms: int) -> Filed:
        """File a batch: ledger, dedup keys, deliveries, holds, sightings and matches, rollups, dead letters."""
        ...

    async def lanes(self, now_ms: int) -> Sequence[Lane]:
        """Name the lanes that have something due."""
        ...

    async def lease(self, lane: Lane, limit: int, now_ms: int, lease_ms: int, owner: str) -> Sequence[Delivery]:
        """Lease due deliveries, oldest first."""
        ...

    async def begin(self, ids: Sequence[int], owner: str) -> Sequence[int]:
        """Record the intent to send, durably, before sending. Gives the ids still owned.

        Asked for only where the vendor does not deduplicate: what has begun and is not settled when its
        lease lapses is uncertain.
        """
        ...

    async def settle(self, settlements: Sequence[Settlement], owner: str, now_ms: int) -> Settled:
        """Record what became of leased deliveries; erase the bodies of what is delivered."""
        ...

    async def rescue(self, now_ms: int, *, owner: str | None = None, resend_uncertain: bool = True) -> Rescued:
        """Take back lapsed leases (or all leases of `owner`, which is known to be gone).

        What had begun becomes uncertain: due again with `uncertain` one higher, or parked as a dead letter.
        """
        ...

    async def expire(self, now_ms: int, limit: int = 1000) -> int:
        """End holds whose window is over at `now_ms` (`expires_ms <= now_ms`): outcome expired, ids erased.

        One with a `fallback_user_id` becomes pending instead, with that user. Gives how many ended either way.
        """
        ...

    async def expire_now(self, ids: Sequence[int], now_ms: int) -> Sequence[int]:
        """End these holds by hand, without sending: outcome expired. Gives the ids that did wait."""
        ...

    async def release(
        self, ids: Sequence[int], now_ms: int, *, user_id: str | None = None, device_id: str | None = None
    ) -> Released:
        """Make these holds pending by hand, as of this user or device.

        Without either, only what can be delivered nameless (the Attribution API's items) is released.
        """
        ...

    async def hold_counts(self) -> Sequence[HeldCount]:
        """Count what waits, from counters: the cost does not grow with the number of holds."""
        ...

    async def sighted_kinds(self) -> Sequence[SightedKind]:
        """Return by which kinds of identifier Amplitude has shown people."""
        ...

    async def covered(self, *, since_day: str) -> Sequence[CoverageRow]:
        """Sum these counters up by app, platform and kinds; day, version and media source are empty."""
        ...

    async def coverage(self, *, since_day: str = "", app: str | None = None) -> Sequence[CoverageRow]:
        """Return the counters of which keys events carried, from this day on (`YYYY-MM-DD`)."""
        ...

    async def holds(self, *, app: str | None = None, limit: int = 100) -> Sequence[Held]:
        """List what waits, oldest first."""
        ...

    async def dead(
        self,
        *,
        app: str | None = None,
        reason: str | None = None,
        ids: Sequence[int] | None = None,
        limit: int = 100,
    ) -> Sequence[DeadLetter]:
        """List dead letters, newest first; with `ids` just these, whatever the limit."""
        ...

    async def dead_ids(
        self, *, app: str | None = None, reason: str | None = None, after: int = 0, limit: int = 100
    ) -> Sequence[int]:
        """List the ids of dead letters above `after`, ascending: in the order in which they were received."""
        ...

    async def redeliver(self, ids: Sequence[int], now_ms: int) -> int:
        """Make dead letters of stage `deliver` due again, with no tries spent."""
        ...

    async def take_dead(self, ids: Sequence[int]) -> Sequence[DeadLetter]:
        """Return dead letters of stage `decode` or `map` for processing again; `file` with `replayed` ends them."""
        ...

    async def forget(self, keys: Sequence[bytes], now_ms: int, *, receipt: str, also: Sequence[int] = ()) -> Receipt:
        """Remove the person with these matching keys everywhere, and the lines `also`; write the receipt.

        What waits (held, pending, dead) ends as forgotten and its content is erased; what is settled stays counted and
        loses digest and insert_id; sightings are deleted. A tombstone per key stays: what is filed later about this
        person and happened before `now_ms`, or does not say when, ends as forgotten (`before_request`) and has no other
        effect; what the person does after it is a new person's. A settlement of what was in flight is stale.
        Raises `FlybridgeError` when a key is that of more installations than one human being has.
        """
        ...

    async def note(self, receipt: str, steps: Sequence[VendorStep]) -> None:
        """Write down how the vendor requests of a receipt stand."""
        ...

    async def receipts(self, *, keys: Sequence[bytes] = (), limit: int = 100) -> Sequence[Receipt]:
        """List receipts, newest first: all, or those for exactly these keys."""
        ...

    async def prune(self, now_ms: int, *, ledger_days: int, dead_days: int) -> int:
        """Delete settled ledger lines, dead letters and dedup keys that are past their retention."""
        ...

    async def counts(self) -> Sequence[Count]:
        """Return all counters that are not zero."""
        ...

    async def depths(self, now_ms: int) -> Sequence[LaneDepth]:
        """Return how every lane stands."""
        ...

    async def audit(self) -> Sequence[Discrepancy]:
        """Compare every counter with the rows it counts; empty when all is well."""
        ...

    def ledger(self, *, app: str | None = None) -> AsyncIterator[LedgerEntry]:
        """Stream the ledger."""
        ...

    async def rollups(self) -> Sequence[RollupRow]:
        """Return the insight counters."""
        ...
