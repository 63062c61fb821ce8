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
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Protocol

from msgspec import Struct

from flybridge.records import DeadLetter, Delivery, Filing


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


class Count(Struct, frozen=True):
    """A counter: envelopes of one app and day that stand at `outcome` for `reason`, from `source`."""

    app: str
    day: str
    source: str
    outcome: str
    reason: str
    n: int


class LedgerEntry(Struct, frozen=True):
    """One envelope's line in the ledger. `digest` is `records.digest_of` its bytes."""

    receipt: str
    app: str
    source: str
    outcome: str
    reason: str
    insert_id: str
    received_ms: int
    changed_ms: int
    uncertain: int
    digest: bytes = b""


class Held(Struct, frozen=True):
    """One waiting event, without anything that identifies a person."""

    id: int
    receipt: str
    app: str
    event_type: str
    media_source: str
    key_kinds: tuple[str, ...]
    received_ms: int
    event_ms: int
    expires_ms: int


class HeldCount(Struct, frozen=True):
    """How many events wait, of one app, media source and set of key kinds, received in the hour from `hour_ms`."""

    app: str
    media_source: str
    key_kinds: tuple[str, ...]
    hour_ms: int
    n: int


class Released(Struct, frozen=True):
    """What a release by hand did, as ids of holds. `nameless`: have nobody to be delivered to, and still wait.

    `gone`: do not wait, because they never did or do no more.
    """

    released: Sequence[int] = ()
    nameless: Sequence[int] = ()
    gone: Sequence[int] = ()


class CoverageRow(Struct, frozen=True):
    """How many events of one cell carried exactly these kinds of key. `day` is the UTC date of reception."""

    app: str
    day: str
    platform: str
    app_version: str
    media_source: str
    kinds: tuple[str, ...]
    n: int


class SightedKind(Struct, frozen=True):
    """How many sightings Amplitude has sent of one app with one kind of identifier, and when the last was filed."""

    app: str
    kind: str
    n: int
    last_ms: int


class LaneDepth(Struct, frozen=True):
    """How a lane stands: `due` now, `later` (waiting for a retry), `leased`; `oldest_ms` of what is due."""

    lane: Lane
    due: int
    later: int
    leased: int
    oldest_ms: int


class RollupRow(Struct, frozen=True):
    """Insight counters of one day and cell. Revenue and cost are US dollars."""

    app: str
    event_day: str
    kind: str
    event: str
    media_source: str
    campaign: str
    country: str
    platform: str
    n: int
    revenue: float
    cost: float


class Discrepancy(Struct, frozen=True):
    """Two figures that must be equal and are not. `what` is a sentence that names both."""

    app: str
    day: str
    what: str
    expected: int
    found: int


class Removed(Struct, frozen=True):
    """What was removed of a person. All are counts, so that a receipt names nobody.

    `held`, `pending` and `dead` are envelopes that end as forgotten; `anonymised` are ledger lines that stay counted
    and lost what pointed at their content. `shared` counts keys so widely shared that they were not followed.
    """

    installations: int = 0
    held: int = 0
    pending: int = 0
    dead: int = 0
    anonymised: int = 0
    sightings: int = 0
    tombstones: int = 0
    shared: int = 0
    audiences: int = 0

    def plus(self, other: Removed) -> Removed:
        """Add what a later run removed. Tombstones and shared keys are those of the later run."""
        return Removed(
            self.installations + other.installations,
            self.held + other.held,
            self.pending + other.pending,
            self.dead + other.dead,
            self.anonymised + other.anonymised,
            self.sightings + other.sightings,
            other.tombstones,
            other.shared,
            self.audiences + other.audiences,
        )


class VendorStep(Struct, frozen=True):
    """One deletion request to a vendor. `request_id` is a random name that stays the same when it is sent again.

    `state` is `open`, `done`, `failed` (run the command again) or `skipped`; `detail` is a sentence of ours, never
    the vendor's, because those quote ids.
    """

    vendor: str
    app: str
    kind: str
    request_id: str
    state: str = "open"
    status: int = 0
    detail: str = ""
    changed_ms: int = 0


class Receipt(Struct, frozen=True):
    """What was done about one request to be forgotten. `keys` are the hashes of the ids that were named."""

    id: str
    made_ms: int
    keys: tuple[bytes, ...]
    removed: Removed
    steps: tuple[VendorStep, ...] = ()

    @property
    def settled(self) -> bool:
        """Say whether no vendor request is left to be sent."""
        return all(step.state in {"done", "skipped"} for step in self.steps)


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
        """Give by which kinds of identifier Amplitude has shown people."""
        ...

    async def covered(self, *, since_day: str) -> Sequence[CoverageRow]:
        """Sum these counters up by app, platform and kinds; day, version and media source are empty."""
        ...

    async def coverage(self, *, since_day: str = "", app: str | None = None) -> Sequence[CoverageRow]:
        """Give the counters of which keys events carried, from this day on (`YYYY-MM-DD`)."""
        ...

    async def holds(self, *, app: str | None = None, limit: int = 100) -> Sequence[Held]:
        """List what waits, oldest first."""
        ...

    async def dead(
        self, *, app: str | None = None, reason: str | None = None, limit: int = 100
    ) -> Sequence[DeadLetter]:
        """List dead letters, newest first."""
        ...

    async def redeliver(self, ids: Sequence[int], now_ms: int) -> int:
        """Make dead letters of stage `deliver` due again, with no tries spent."""
        ...

    async def take_dead(self, ids: Sequence[int]) -> Sequence[DeadLetter]:
        """Give dead letters of stage `decode` or `map` for processing again; `file` with `replayed` ends them."""
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
        """Give all counters that are not zero."""
        ...

    async def depths(self, now_ms: int) -> Sequence[LaneDepth]:
        """Give how every lane stands."""
        ...

    async def audit(self) -> Sequence[Discrepancy]:
        """Compare every counter with the rows it counts; empty when all is well."""
        ...

    def ledger(self, *, app: str | None = None) -> AsyncIterator[LedgerEntry]:
        """Stream the ledger."""
        ...

    async def rollups(self) -> Sequence[RollupRow]:
        """Give the insight counters."""
        ...
