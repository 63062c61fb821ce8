"""Deliveries: leased, begun, settled, rescued. `docs/states.md` draws the states."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flybridge.privacy import Seal
from flybridge.records import Delivery, OutcomeKind
from flybridge.store.protocol import Lane, Rescued, Settled, Settlement
from flybridge.store.sqlite_book import Book
from flybridge.store.sqlite_connection import among
from flybridge.store.sqlite_dead import UNCERTAIN, UNCERTAIN_DETAIL, UNCERTAIN_REMEDY, Leased, bury
from flybridge.store.sqlite_item import open_item

Row = tuple[Any, ...]


def lease(book: Book, seal: Seal, lane: Lane, *, limit: int, now_ms: int, lease_ms: int, owner: str) -> list[Delivery]:
    """Lease due deliveries of a lane, those that have been due longest first."""
    rows = book.db.execute(
        """SELECT deliveries.id, tries, uncertain, split, received_ms, sealed, who
           FROM deliveries JOIN items ON items.id = line
           WHERE lane = (SELECT id FROM lanes WHERE app = ? AND endpoint = ?) AND owner IS NULL AND due_ms <= ?
           ORDER BY due_ms, deliveries.id LIMIT ?""",
        (lane.app, lane.endpoint, now_ms, limit),
    ).fetchall()
    book.db.executemany(
        "UPDATE deliveries SET owner = ?, leased_until_ms = ? WHERE id = ?",
        [(owner, now_ms + lease_ms, row[0]) for row in rows],
    )
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
    owned = {row[0] for row in among(book.db, "SELECT id FROM deliveries WHERE owner = ? AND id IN (??)", ids, owner)}
    book.db.executemany("UPDATE deliveries SET begun = 1 WHERE id = ?", [(delivery,) for delivery in owned])
    return [delivery for delivery in ids if delivery in owned]


def settle(book: Book, seal: Seal, settlements: Sequence[Settlement], owner: str, now_ms: int) -> Settled:
    """Record what became of deliveries that `owner` still has; the others are stale and stay as they are."""
    owned = {
        row[0]: Leased(*row[1:])
        for row in among(
            book.db,
            """SELECT deliveries.id, line, lane, cell FROM deliveries JOIN ledger ON ledger.id = line
               WHERE owner = ? AND deliveries.id IN (??)""",
            [settlement.id for settlement in settlements],
            owner,
        )
    }
    gone: list[tuple[int]] = []
    erased: list[tuple[int]] = []
    again: list[tuple[int, int, bool, int, int]] = []
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
                again.append((settlement.due_ms, settlement.tries, settlement.split, doubt, settlement.id))
                continue
            case "delivered":
                book.move(leased.line, leased.cell, OutcomeKind.DELIVERED, None, now_ms)
                erased.append((leased.line,))
            case "dead":
                bury(book, seal, leased, settlement, now_ms)
            case "parked":
                bury(book, seal, leased, _parked(settlement), now_ms)
            case _:
                raise ValueError(f"delivery {settlement.id} can't become {settlement.state!r}")
        gone.append((settlement.id,))
    book.db.executemany(
        """UPDATE deliveries SET owner = NULL, begun = 0, due_ms = ?, tries = ?, split = ?, uncertain = uncertain + ?
           WHERE id = ?""",
        again,
    )
    book.db.executemany("UPDATE ledger SET uncertain = uncertain + ? WHERE id = ?", doubted)
    book.db.executemany("DELETE FROM deliveries WHERE id = ?", gone)
    book.db.executemany("DELETE FROM items WHERE id = ?", erased)
    return Settled(len(gone) + len(again), stale)


def _parked(settlement: Settlement) -> Settlement:
    detail, remedy = settlement.detail or UNCERTAIN_DETAIL, settlement.remedy or UNCERTAIN_REMEDY
    return Settlement(settlement.id, "parked", reason=UNCERTAIN, detail=detail, remedy=remedy)


def rescue(book: Book, seal: Seal, now_ms: int, owner: str | None, resend_uncertain: bool) -> Rescued:
    """Take back lapsed leases, or all of one owner. A returned delivery keeps its place in the order."""
    sql = "SELECT deliveries.id, line, lane, cell, begun FROM deliveries JOIN ledger ON ledger.id = line WHERE "
    if owner is None:
        rows = book.db.execute(sql + "owner IS NOT NULL AND leased_until_ms <= ?", (now_ms,)).fetchall()
    else:
        rows = book.db.execute(sql + "owner IS NOT NULL AND owner = ?", (owner,)).fetchall()
    begun = [row for row in rows if row[4]]
    # What had begun may have been applied: that was a try, and the account shows it.
    book.db.executemany("UPDATE ledger SET uncertain = uncertain + 1 WHERE id = ?", [(row[1],) for row in begun])
    if resend_uncertain:
        back, parked = rows, []
    else:
        back, parked = [row for row in rows if not row[4]], begun
    book.db.executemany(
        """UPDATE deliveries SET owner = NULL, tries = tries + begun, uncertain = uncertain + begun, begun = 0
           WHERE id = ?""",
        [(row[0],) for row in back],
    )
    for delivery, line, lane, cell, _ in parked:
        bury(book, seal, Leased(line, lane, cell), _parked(Settlement(delivery, "parked")), now_ms)
    book.db.executemany("DELETE FROM deliveries WHERE id = ?", [(row[0],) for row in parked])
    return Rescued(len(rows) - len(begun), len(begun) - len(parked), len(parked))
