"""Holds: what ends a wait other than a sighting.

`hold_counts` has a row per hour of reception, so that counting what waits costs the same with ten holds and with ten
million. Whatever adds or removes holds moves it in the same transaction.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Final, NamedTuple

from flybridge.errors import SealBroken
from flybridge.identity import appsflyer_id
from flybridge.records import HOUR_MS, OutcomeKind
from flybridge.sealing import Seal
from flybridge.store.core.ledger import HoldCounter, LedgerWriter
from flybridge.store.core.sealed import open_item, seal_who, unpack_keys
from flybridge.store.core.tables import Read, Write
from flybridge.store.records import Released

AS_CUSTOMER: Final = "as_customer_user_id"
BY_HAND: Final = "by_hand"
RELEASED: Final = "released"
NAMELESS: Final = "attribution"
"""The endpoint whose items need no identity: Amplitude finds the user itself."""
INSTALLED: Final = "inapp_event"
"""The endpoint whose items need an AppsFlyer id, which stands in the place of a device id."""

RELEASED_AT_ONCE: Final = 2_000
"""More than this takes longer than a fifth of a second, in which no filing can commit."""


class Matched(NamedTuple):
    """An event that is sent after a wait. The order of its fields is the order in which one person's events are sent.

    `who` is the sealed identity it was given; None where its item has one or needs none.
    """

    event_ms: int
    row_id: int
    lane: int
    received_ms: int
    who: bytes | None = None


class WaitingHold(NamedTuple):
    """One hold, with what is needed to end it. `fallback` is the sealed identity for the end of its window."""

    row_id: int
    packed: bytes
    counter: int  # 0 where the ledger row is pruned, which only a released hold outlives
    lane: int
    event_ms: int
    received_ms: int
    fallback: bytes | None
    media_source: str
    key_kinds: str

    @property
    def keys(self) -> list[bytes]:
        return unpack_keys(self.packed)

    def sent_as(self, who: bytes | None) -> Matched:
        """Return it as an event to send, under the identity `who`."""
        return Matched(self.event_ms, self.row_id, self.lane, self.received_ms, who)

    @property
    def counted(self) -> HoldCounter:
        """The counter of `hold_counts` that counts it."""
        return self.lane, self.media_source, self.key_kinds, self.received_ms // HOUR_MS


def enqueue(ledger: LedgerWriter, freed: Iterable[Matched], now_ms: int) -> None:
    """Make deliveries of these events, a person's events in their order."""
    freed = sorted(freed)
    ids = ledger.tables.ids(len(freed))
    ledger.tables.write(
        Write.DELIVERIES,
        [
            (delivery, e.row_id, e.lane, e.received_ms, now_ms, e.who, None, 0)
            for delivery, e in zip(ids, freed, strict=True)
        ],
    )


def remove_holds(ledger: LedgerWriter, holds: Sequence[WaitingHold]) -> None:
    """Delete holds with their keys, and count them out. Their items stay."""
    _drop(ledger, [(hold.row_id, hold.packed) for hold in holds])
    ledger.waits_no_more(hold.counted for hold in holds)


def drop_released(ledger: LedgerWriter, row_ids: Iterable[int]) -> None:
    """Delete the rows of those of these holds that were released and whose rows were kept."""
    if ledger.tables.keeps_released:
        _drop(ledger, ledger.tables.among(Read.RELEASED_OF_ROWS, row_ids))


def _drop(ledger: LedgerWriter, holds: Sequence[tuple[int, bytes]]) -> None:
    # In the order of the trees they are deleted from: neighbours share pages.
    keys = sorted((key, row_id) for row_id, packed in holds for key in set(unpack_keys(packed)))
    ledger.tables.write(Write.DROP_HOLD_KEYS, keys)
    ledger.tables.write(Write.DROP_HOLDS, sorted((row_id,) for row_id, _ in holds))


def expire(ledger: LedgerWriter, now_ms: int, limit: int, heard_ms: int | None) -> int:
    """Implement `Store.expire`.

    Rows of released holds are met in the same order and cleared away, about `RELEASED_AT_ONCE` of them per call. Every
    row that is read is deleted, so nothing is read twice however much is overdue.
    """
    if not ledger.tables.only("expire"):
        return 0
    held: list[WaitingHold] = []
    cleared, over_ms = 0, now_ms if heard_ms is None else min(heard_ms, now_ms)
    while len(held) < limit and cleared < RELEASED_AT_ONCE:
        over = [WaitingHold(*row) for row in ledger.tables.read(Read.OVER, over_ms, limit - len(held))]
        waits = [hold for hold in over if _waits(ledger, hold)]
        _drop(ledger, [(hold.row_id, hold.packed) for hold in over])
        held += waits
        cleared += len(over) - len(waits)
        if len(waits) == len(over):
            break
    ledger.waits_no_more(hold.counted for hold in held)
    sent = [hold for hold in held if hold.fallback is not None]
    for hold in sent:
        ledger.move(hold.row_id, hold.counter, OutcomeKind.PENDING, AS_CUSTOMER, now_ms)
    enqueue(ledger, (hold.sent_as(hold.fallback) for hold in sent), now_ms)
    _end(ledger, [hold for hold in held if hold.fallback is None], None, now_ms)
    return len(held)


def _waits(ledger: LedgerWriter, hold: WaitingHold) -> bool:
    return hold.counter != 0 and ledger.tables.counter_key(hold.counter).outcome == OutcomeKind.HELD


def expire_now(ledger: LedgerWriter, ids: Iterable[int], now_ms: int) -> list[int]:
    holds = waiting(ledger, ids)
    remove_holds(ledger, holds)
    _end(ledger, holds, BY_HAND, now_ms)
    return [hold.row_id for hold in holds]


def _end(ledger: LedgerWriter, holds: Sequence[WaitingHold], reason: str | None, now_ms: int) -> None:
    for hold in holds:
        ledger.move(hold.row_id, hold.counter, OutcomeKind.EXPIRED, reason, now_ms)
    if reason is None:
        ledger.tables.write(Write.EXPIRED_KINDS, [(hold.row_id, hold.key_kinds) for hold in holds])
    ledger.tables.write(Write.DROP_ITEMS, [(hold.row_id,) for hold in holds])


def release_by_hand(
    ledger: LedgerWriter, seal: Seal, ids: Iterable[int], now_ms: int, *, user_id: str | None, device_id: str | None
) -> Released:
    ids = list(dict.fromkeys(ids))
    holds = waiting(ledger, ids)
    endpoints = {hold.row_id: ledger.tables.lane_of(hold.lane).endpoint for hold in holds}
    named, installed = bool(user_id or device_id), appsflyer_id(device_id)
    users = {row_id for row_id, endpoint in endpoints.items() if endpoint not in {NAMELESS, INSTALLED}}
    known = users if named else _identified(ledger, seal, users)
    sendable = {NAMELESS, INSTALLED} if installed else {NAMELESS}
    free = [hold for hold in holds if hold.row_id in known or endpoints[hold.row_id] in sendable]
    whom = {NAMELESS: None, INSTALLED: seal_who(seal, None, installed)}
    user = seal_who(seal, user_id, device_id) if named else None
    for hold in free:
        ledger.move(hold.row_id, hold.counter, OutcomeKind.PENDING, RELEASED, now_ms)
    enqueue(ledger, (hold.sent_as(whom.get(endpoints[hold.row_id], user)) for hold in free), now_ms)
    remove_holds(ledger, free)
    released, there = {hold.row_id for hold in free}, {hold.row_id for hold in holds}
    return Released(
        [i for i in ids if i in released],
        [i for i in ids if i in there - released],
        [i for i in ids if i not in there],
    )


def waiting(ledger: LedgerWriter, ids: Iterable[int]) -> list[WaitingHold]:
    """Return those of these holds that wait, oldest first."""
    return sorted(WaitingHold(*row) for row in ledger.tables.among(Read.WAITING, sorted(set(ids))))


def _identified(ledger: LedgerWriter, seal: Seal, row_ids: set[int]) -> set[int]:
    """Return the rows whose item has an identity."""
    found = set()
    for row_id, sealed, who in ledger.tables.among(Read.ITEMS, sorted(row_ids)):
        with suppress(SealBroken):  # such a one has no identity to be sent under
            item = open_item(seal, sealed, who)
            if item.user_id or item.device_id:
                found.add(row_id)
    return found
