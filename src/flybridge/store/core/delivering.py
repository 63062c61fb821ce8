"""Deliveries: leased, begun, settled, rescued. `docs/states.md` draws the states."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flybridge.records import Delivery, OutcomeKind
from flybridge.sealing import Seal
from flybridge.store.core.dead_letters import UNCERTAIN, UNCERTAIN_DETAIL, UNCERTAIN_REMEDY, Leased, bury
from flybridge.store.core.ledger import Book
from flybridge.store.core.sealed import open_item
from flybridge.store.core.tables import Read, Write
from flybridge.store.protocol import Lane, Rescued, Settled, Settlement

Row = tuple[Any, ...]


def lease(book: Book, seal: Seal, lane: Lane, *, limit: int, now_ms: int, lease_ms: int, owner: str) -> list[Delivery]:
    """Lease due deliveries of a lane, those that have been due longest first."""
    rows = book.tables.read(Read.DUE, lane.app, lane.endpoint, now_ms, limit)
    book.tables.write(Write.LEASE, [(owner, now_ms + lease_ms, row[0]) for row in rows])
    return [_delivery(seal, lane, row) for row in rows]


def _delivery(seal: Seal, lane: Lane, row: Row) -> Delivery:
    delivery, tries, uncertain, split, received_ms, sealed, who = row
    item = open_item(seal, sealed, who)
    return Delivery(
        id=delivery,
        app=lane.app,
        endpoint=lane.endpoint,
        insert_id=item.insert_id,
        event_type=item.event_type,
        body=item.body,
        user_id=item.user_id,
        device_id=item.device_id,
        tries=tries,
        uncertain=uncertain,
        split=bool(split),
        received_ms=received_ms,
    )


def begin(book: Book, ids: Sequence[int], owner: str) -> list[int]:
    """Note that these are about to be sent; give those that `owner` still has, in the order asked."""
    owned = {row[0] for row in book.tables.among(Read.OWNED, ids, owner)}
    book.tables.write(Write.BEGIN, [(delivery,) for delivery in sorted(owned)])
    return [delivery for delivery in ids if delivery in owned]


def settle(book: Book, seal: Seal, settlements: Sequence[Settlement], owner: str, now_ms: int) -> Settled:
    """Record what became of deliveries that `owner` still has; the others are stale and stay as they are."""
    owned = {
        row[0]: Leased(*row[1:])
        for row in book.tables.among(Read.OWNED, [settlement.id for settlement in settlements], owner)
    }
    ends: list[tuple[Leased, Settlement]] = []
    buried: list[tuple[int]] = []
    gone: list[tuple[int]] = []
    erased: list[tuple[int]] = []
    again: list[tuple[int, int, int, int, int]] = []
    doubted: list[tuple[int, int]] = []
    stale = 0
    for settlement in settlements:
        leased = owned.pop(settlement.id, None)
        if leased is None:
            stale += 1
            continue
        if settlement.uncertain:
            doubted.append((settlement.uncertain, leased.line))
        match settlement.state:
            case "due":
                doubt = settlement.uncertain
                again.append((settlement.due_ms, settlement.tries, int(settlement.split), doubt, settlement.id))
                continue
            case "delivered":
                book.move(leased.line, leased.cell, OutcomeKind.DELIVERED, None, now_ms)
                erased.append((leased.line,))
            case "dead":
                ends.append((leased, settlement))
                buried.append((settlement.id,))
            case "parked":
                ends.append((leased, _parked(settlement)))
                buried.append((settlement.id,))
            case _:
                raise ValueError(f"delivery {settlement.id} can't become {settlement.state!r}")
        gone.append((settlement.id,))
    write = book.tables.write
    write(Write.AGAIN, again)
    write(Write.DOUBT, doubted)
    write(Write.KEEP_WHO, buried)
    write(Write.DROP_DELIVERIES, gone)
    write(Write.DROP_ITEMS, erased)
    bury(book, seal, ends, now_ms)
    return Settled(len(gone) + len(again), stale)


def _parked(settlement: Settlement) -> Settlement:
    detail, remedy = settlement.detail or UNCERTAIN_DETAIL, settlement.remedy or UNCERTAIN_REMEDY
    return Settlement(settlement.id, "parked", reason=UNCERTAIN, detail=detail, remedy=remedy)


def rescue(book: Book, seal: Seal, now_ms: int, owner: str | None, resend_uncertain: bool) -> Rescued:
    """Take back lapsed leases, or all of one owner. A returned delivery keeps its place in the order."""
    tables = book.tables
    rows = tables.read(Read.LAPSED, now_ms) if owner is None else tables.read(Read.LEASED_BY, owner)
    begun = [row for row in rows if row[4]]
    # What had begun may have been applied: that was a try, and the account shows it.
    tables.write(Write.DOUBT, [(1, row[1]) for row in begun])
    if resend_uncertain:
        back, parked = rows, []
    else:
        back, parked = [row for row in rows if not row[4]], begun
    tables.write(Write.RETURN, [(row[0],) for row in back])
    ends = [(Leased(*place), _parked(Settlement(delivery, "parked"))) for delivery, *place, _ in parked]
    tables.write(Write.KEEP_WHO, [(row[0],) for row in parked])
    tables.write(Write.DROP_DELIVERIES, [(row[0],) for row in parked])
    bury(book, seal, ends, now_ms)
    return Rescued(len(rows) - len(begun), len(begun) - len(parked), len(parked))
