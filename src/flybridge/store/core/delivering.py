"""Deliveries: leased, begun, settled, rescued. `docs/states.md` draws the states."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Final, NamedTuple, assert_never

from flybridge.errors import SealBroken
from flybridge.records import Delivery, OutcomeKind
from flybridge.sealing import Seal
from flybridge.store.core.attempts import record_attempts
from flybridge.store.core.bundles import (
    bundled,
    settle_delivered,
    unpack_lapsed,
    unpack_leased_by,
    unpack_owned,
)
from flybridge.store.core.dead_letters import (
    SEALED,
    SEALED_DETAIL,
    SEALED_REMEDY,
    TAKEN_OUT,
    TAKEN_OUT_DETAIL,
    TAKEN_OUT_REMEDY,
    UNCERTAIN,
    UNCERTAIN_DETAIL,
    UNCERTAIN_REMEDY,
    LeasedRow,
    bury,
)
from flybridge.store.core.ledger import LedgerWriter
from flybridge.store.core.seal_check import check_unchanged
from flybridge.store.core.sealed import open_item
from flybridge.store.core.tables import Read, Rows, Write
from flybridge.store.records import (
    LONGEST_LEASE_MS,
    AttemptRecord,
    DeliveryState,
    Lane,
    Queued,
    Rescued,
    Settled,
    Settlement,
)

NO_ANSWER: Final = "no_answer"


class DueRow(NamedTuple):
    """A delivery with its sealed content. `who` is the sealed identity that a match gave it."""

    id: int
    tries: int
    uncertain: int
    split: int
    received_ms: int
    sealed: bytes
    who: bytes | None


def lease(
    ledger: LedgerWriter, seal: Seal, lane: Lane, *, limit: int, now_ms: int, lease_ms: int, owner: str
) -> list[Delivery]:
    while True:
        rows = [DueRow(*row) for row in ledger.tables.read(Read.DUE, lane.app, lane.endpoint, now_ms, limit)]
        ledger.tables.write(Write.LEASE, [(owner, now_ms + lease_ms, row.id) for row in rows])
        leased, sealed = [], []
        for row in rows:
            try:
                leased.append(_delivery(seal, lane, row, now_ms))
            except SealBroken:
                sealed.append(row.id)
        if sealed:
            check_unchanged(ledger.tables, seal)
            _bury_sealed(ledger, seal, sealed, owner, now_ms)
        if leased or not rows:
            return leased


def _bury_sealed(ledger: LedgerWriter, seal: Seal, ids: Sequence[int], owner: str, now_ms: int) -> None:
    """Make dead letters of deliveries whose content can't be opened. It stays as it is, and may be opened one day."""
    end = Settlement(0, DeliveryState.DEAD, reason=SEALED, detail=SEALED_DETAIL, remedy=SEALED_REMEDY)
    ends = [(LeasedRow(*row), end) for row in ledger.tables.among(Read.OWNED, ids, owner)]
    _end(ledger, seal, ends, now_ms)


def _delivery(seal: Seal, lane: Lane, row: DueRow, now_ms: int) -> Delivery:
    item = open_item(seal, row.sealed, row.who)
    return Delivery(
        id=row.id,
        app=lane.app,
        endpoint=lane.endpoint,
        insert_id=item.insert_id,
        event_type=item.event_type,
        body=item.body,
        user_id=item.user_id,
        device_id=item.device_id,
        tries=row.tries,
        uncertain=row.uncertain,
        split=bool(row.split),
        received_ms=row.received_ms,
        age_ms=max(0, now_ms - row.received_ms),
    )


def queued(db: Rows, seal: Seal, lane: Lane, limit: int) -> list[Queued]:
    rows = db.read(Read.QUEUED, lane.app, lane.endpoint, limit)
    found = [
        Queued(row_id, _event_type(seal, sealed, who), due_ms, bool(leased), tries, uncertain, received_ms)
        for row_id, due_ms, leased, tries, uncertain, received_ms, sealed, who in rows
    ]
    for one in bundled(db, lane):
        event_type = _event_type(seal, one.sealed, None)
        found.append(Queued(one.row_id, event_type, one.due_ms, True, 0, 0, one.received_ms))
    return sorted(found, key=lambda one: one.due_ms)[:limit]


def _event_type(seal: Seal, sealed: bytes, who: bytes | None) -> str:
    try:
        return open_item(seal, sealed, who).event_type
    except SealBroken:
        return ""


def hasten(ledger: LedgerWriter, lane: Lane, now_ms: int) -> None:
    ledger.tables.write(Write.HASTEN, [(now_ms, lane.app, lane.endpoint)])


def take_out(ledger: LedgerWriter, seal: Seal, ids: Sequence[int], now_ms: int) -> list[int]:
    rows = [LeasedRow(*row) for row in sorted(ledger.tables.among(Read.UNLEASED, sorted(set(ids))))]
    end = Settlement(0, DeliveryState.DEAD, reason=TAKEN_OUT, detail=TAKEN_OUT_DETAIL, remedy=TAKEN_OUT_REMEDY)
    _end(ledger, seal, [(row, end) for row in rows], now_ms)
    return [row.row_id for row in rows]


def _end(ledger: LedgerWriter, seal: Seal, ends: Sequence[tuple[LeasedRow, Settlement]], now_ms: int) -> None:
    """Make dead letters of deliveries in place of their rows."""
    deliveries = [(row.delivery,) for row, _ in ends]
    ledger.tables.write(Write.KEEP_WHO, deliveries)
    ledger.tables.write(Write.DROP_DELIVERIES, deliveries)
    bury(ledger, seal, ends, now_ms)


def in_doubt(db: Rows, seal: Seal, lane: Lane, now_ms: int, limit: int) -> list[Delivery]:
    found = []
    for row in db.read(Read.IN_DOUBT, lane.app, lane.endpoint, limit):
        with suppress(SealBroken):
            found.append(_delivery(seal, lane, DueRow(*row), now_ms))
    return found


def arrived(ledger: LedgerWriter, ids: Sequence[int], now_ms: int) -> int:
    rows = ledger.tables.among(Read.DOUBTED, sorted(set(ids)))
    for _, row_id, counter, _ in rows:
        ledger.move(row_id, counter, OutcomeKind.DELIVERED, None, now_ms)
    write = ledger.tables.write
    write(Write.UNCERTAIN, [(-1, row_id) for _, row_id, _, uncertain in rows if uncertain])
    write(Write.DROP_DELIVERIES, [(delivery,) for delivery, *_ in rows])
    write(Write.DROP_ITEMS, [(row_id,) for _, row_id, *_ in rows])
    return len(rows)


def begin(ledger: LedgerWriter, ids: Sequence[int], owner: str) -> list[int]:
    unpack_owned(ledger, ids, owner)
    owned = {LeasedRow(*row).delivery for row in ledger.tables.among(Read.OWNED, ids, owner)}
    ledger.tables.write(Write.BEGIN, [(delivery,) for delivery in sorted(owned)])
    return [delivery for delivery in ids if delivery in owned]


def settle(ledger: LedgerWriter, seal: Seal, settlements: Sequence[Settlement], owner: str, now_ms: int) -> Settled:
    left = settle_delivered(ledger, settlements, owner, now_ms)
    done = len(settlements) - len(left)
    if not left:
        return Settled(done)
    rows = ledger.tables.among(Read.OWNED, [settlement.id for settlement in left], owner)
    owned = {row.delivery: row for row in [LeasedRow(*row) for row in rows]}
    delivered: list[LeasedRow] = []
    ends: list[tuple[LeasedRow, Settlement]] = []
    again: list[tuple[int, int, int, int, int]] = []
    uncertain: list[tuple[int, int]] = []
    tried: list[tuple[LeasedRow, AttemptRecord]] = []
    stale = 0
    for settlement in left:
        leased = owned.pop(settlement.id, None)
        if leased is None:
            stale += 1
            continue
        tried += [(leased, one) for one in settlement.attempts]
        if settlement.uncertain:
            uncertain.append((settlement.uncertain, leased.row_id))
        match settlement.state:
            case DeliveryState.DUE:
                more = settlement.uncertain
                again.append((settlement.due_ms, settlement.tries, int(settlement.split), more, settlement.id))
            case DeliveryState.DELIVERED:
                ledger.move(leased.row_id, leased.counter, OutcomeKind.DELIVERED, None, now_ms)
                delivered.append(leased)
            case DeliveryState.DEAD:
                ends.append((leased, settlement))
            case DeliveryState.PARKED:
                ends.append((leased, _parked(settlement)))
            case _:
                assert_never(settlement.state)
    write = ledger.tables.write
    write(Write.AGAIN, again)
    write(Write.UNCERTAIN, uncertain)
    write(Write.DROP_DELIVERIES, [(row.delivery,) for row in delivered])
    write(Write.DROP_ITEMS, [(row.row_id,) for row in delivered])
    record_attempts(ledger, seal, tried)
    _end(ledger, seal, ends, now_ms)
    return Settled(done + len(delivered) + len(ends) + len(again), stale)


def _parked(settlement: Settlement) -> Settlement:
    detail, remedy = settlement.detail or UNCERTAIN_DETAIL, settlement.remedy or UNCERTAIN_REMEDY
    return Settlement(settlement.id, DeliveryState.PARKED, reason=UNCERTAIN, detail=detail, remedy=remedy)


def rescue(ledger: LedgerWriter, seal: Seal, now_ms: int, owner: str | None, resend_uncertain: bool) -> Rescued:
    tables = ledger.tables
    if owner is None:
        unpack_lapsed(ledger, now_ms, now_ms + LONGEST_LEASE_MS)
        rows = tables.read(Read.LAPSED, now_ms, now_ms + LONGEST_LEASE_MS)
    else:
        unpack_leased_by(ledger, owner)
        rows = tables.read(Read.LEASED_BY, owner)
    leased = [LeasedRow(*row) for row in rows]
    begun = [row for row in leased if row.begun]
    # What had begun may have been applied: that was a try, and the account shows it.
    tables.write(Write.UNCERTAIN, [(1, row.row_id) for row in begun])
    cut = AttemptRecord(now_ms, 0, NO_ANSWER, UNCERTAIN_DETAIL)
    record_attempts(ledger, seal, [(row, cut) for row in begun])
    parked = [] if resend_uncertain else begun
    tables.write(Write.RETURN, [(row.delivery,) for row in leased if resend_uncertain or not row.begun])
    end = _parked(Settlement(0, DeliveryState.PARKED))
    _end(ledger, seal, [(row, end) for row in parked], now_ms)
    return Rescued(len(leased) - len(begun), len(begun) - len(parked), len(parked))
