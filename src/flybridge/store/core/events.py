"""Finding events in the ledger, newest first, and reading all that is kept of one.

Rows are numbered in the order of filing, so that a search reads the ledger backwards, a bounded number of rows at a
time, and goes on where it ended. Those of a person are found by an index.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec import structs

from flybridge.errors import SealBroken
from flybridge.records import HOUR_MS, OutcomeKind
from flybridge.sealing import Seal
from flybridge.store.core.attempts import attempts_of
from flybridge.store.core.bundles import bundled_row
from flybridge.store.core.dead_letters import named
from flybridge.store.core.sealed import open_item, open_message
from flybridge.store.core.tables import Read, Rows
from flybridge.store.events import (
    EventAttempt,
    EventDelivery,
    EventFilter,
    EventItem,
    EventMessage,
    EventPage,
    EventRow,
    EventStory,
)
from flybridge.store.figures import Held

PAGE: Final = 5_000
MOST_READ: Final = 50_000
"""Rows of the ledger that one search looks through."""

PERSONS_OF_KEY: Final = 100
TOP: Final = 2**62

# Held events and dead letters are few and have tables of their own: those are read instead of the whole ledger.
NARROW: Final = {
    OutcomeKind.HELD.value: (Read.EVENTS_HELD, Read.EVENTS_HELD_END),
    OutcomeKind.DEAD.value: (Read.EVENTS_DEAD, Read.EVENTS_DEAD_END),
}


def find_events(db: Rows, wanted: EventFilter, before: int | None, limit: int) -> EventPage:
    rows, end = NARROW.get(wanted.outcome, (Read.EVENTS, Read.EVENTS_END))
    start = before if before is not None else _filed_until(db, wanted.until_ms) if wanted.until_ms else TOP
    found: list[EventRow] = []
    read = 0
    *chosen, until_ms = structs.astuple(wanted)
    while read < MOST_READ:
        ((lowest, n, newest_ms),) = db.read(end, start, PAGE)
        if not n:
            return EventPage(found, read, 0)
        page = [EventRow(*row) for row in db.read(rows, start, PAGE, *chosen, until_ms or TOP, limit - len(found) + 1)]
        if len(found) + len(page) > limit:
            page = page[: limit - len(found)]
            return EventPage([*found, *page], read + n, page[-1].id if page else start)
        found += page
        read, start = read + n, lowest
        if newest_ms < wanted.since_ms - HOUR_MS:  # rows are filed in about the order in which they are received
            return EventPage(found, read, 0)
    return EventPage(found, read, start)


def _filed_until(db: Rows, until_ms: int) -> int:
    """Return an id above all rows received until then, give or take what was filed an hour late. By bisection."""
    ((highest,),) = db.read(Read.HIGHEST_ROW)
    low, high = 0, (highest or 0) + 1
    while low < high:
        middle = (low + high) // 2
        found = db.read(Read.ROW_FROM, middle)
        if not found or found[0][1] > until_ms + HOUR_MS:
            high = middle
        else:
            low = found[0][0] + 1
    return high


def events_of(db: Rows, keys: Sequence[bytes]) -> list[EventRow]:
    """Return the newest events of the persons with these keys."""
    persons = {person for key in keys for (person,) in db.read(Read.PERSONS_OF_KEY, key, PERSONS_OF_KEY)}
    rows = [EventRow(*row) for row in db.among(Read.EVENTS_OF_PERSONS, sorted(persons))]
    return sorted(rows, key=lambda row: -row.id)


def story(db: Rows, seal: Seal, number: int) -> EventStory | None:
    """Return all that is kept of one event; None if there is none with this number."""
    rows = [EventRow(*row) for row in db.read(Read.EVENT, number)]
    if not rows:
        return None
    (row,) = rows
    held = next(
        (
            Held(row.id, "", row.app, event_type, source, tuple(kinds.split()), row.received_ms, event_ms, expires_ms)
            for event_type, source, kinds, event_ms, expires_ms in db.read(Read.HOLD_OF, number)
            if row.outcome == OutcomeKind.HELD
        ),
        None,
    )
    attempts = attempts_of(db, seal, [number]).get(number, [])
    delivery = _delivery_of(db, number, attempts) if row.outcome == OutcomeKind.PENDING else None
    dead = next(iter(named(db, seal, None, None, [number])), None)
    item = None
    if dead is None:
        item = next((_item(seal, sealed, who) for _, sealed, who in db.among(Read.ITEMS, [number])), None)
    if row.outcome == OutcomeKind.PENDING and delivery is None and (one := bundled_row(db, number)) is not None:
        delivery, item = EventDelivery(one.endpoint, one.due_ms, True, 0, 0), _item(seal, one.sealed, None)
    message = next((_message(seal, sealed) for (sealed,) in db.read(Read.MESSAGE, number)), None)
    return EventStory(row, held, delivery, dead, item, message, attempts)


def _delivery_of(db: Rows, number: int, attempts: Sequence[EventAttempt]) -> EventDelivery | None:
    """Find the delivery of a row, which has its number unless the event has waited or was replayed.

    There is no index by ledger row, as it would cost every event: that of the last attempt is tried before all that
    are in flight are looked through.
    """
    for delivery in (number, *(one.delivery for one in attempts[-1:])):
        if found := db.read(Read.DELIVERY_OF, delivery, number):
            break
    else:
        known = db.among(Read.DELIVERIES_OF_ROWS, [number])
        found = db.read(Read.DELIVERY_OF, known[0][0], number) if known else []
    return next((EventDelivery(endpoint, due, bool(leased), *counts) for endpoint, due, leased, *counts in found), None)


def _message(seal: Seal, sealed: bytes) -> EventMessage:
    try:
        message = open_message(seal, sealed)
    except SealBroken:
        return EventMessage(is_sealed=True)
    return EventMessage(message.media, message.body)


def _item(seal: Seal, sealed: bytes, who: bytes | None) -> EventItem:
    try:
        item = open_item(seal, sealed, who)
    except SealBroken:
        return EventItem(is_sealed=True)
    return EventItem(item.body, item.event_type, item.user_id, item.device_id)
