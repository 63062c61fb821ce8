"""What ends a wait other than a sighting: the clock, or an operator. And how many wait.

`hold_counts` has a row per hour of reception, so that asking how much waits, and for how long, costs the same with
ten holds and with ten million. Whoever adds or removes holds moves it in the same transaction.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

from flybridge.privacy import Seal
from flybridge.records import HOUR_MS, OutcomeKind
from flybridge.store.protocol import CoverageRow, HeldCount, Released, SightedKind
from flybridge.store.sqlite_book import Book
from flybridge.store.sqlite_connection import among
from flybridge.store.sqlite_item import open_item, seal_who, unpack_keys

AS_CUSTOMER: Final = "as_customer_user_id"
BY_HAND: Final = "by_hand"
RELEASED: Final = "released"
NAMELESS: Final = "attribution"
"""The endpoint whose items name nobody: Amplitude finds the user itself."""

COUNT_SQL: Final = """INSERT INTO hold_counts (lane, media_source, key_kinds, hour, n) VALUES (?, ?, ?, ?, ?)
                      ON CONFLICT DO UPDATE SET n = n + excluded.n"""
DELIVERY_SQL: Final = "INSERT INTO deliveries (id, line, lane, received_ms, due_ms) VALUES (?, ?, ?, ?, ?)"
WAITING_SQL: Final = """SELECT holds.id, keys, cell, lane, event_ms, holds.received_ms, fallback
                        FROM holds JOIN ledger ON ledger.id = holds.id"""


class Matched(NamedTuple):
    """An event that goes out after a wait, in the order in which one person's events are sent."""

    event_ms: int
    line: int
    lane: int
    received_ms: int


class Waiting(NamedTuple):
    """One hold, with what is needed to end it. `fallback` is the sealed identity for the end of its window."""

    line: int
    keys: bytes
    cell: int
    lane: int
    event_ms: int
    received_ms: int
    fallback: bytes | None

    @property
    def matched(self) -> Matched:
        """Give its place in the order of sending."""
        return Matched(self.event_ms, self.line, self.lane, self.received_ms)


def enqueue(book: Book, freed: Iterable[Matched], now_ms: int) -> None:
    """Make deliveries of what was freed, a person's events in their order."""
    freed = sorted(freed)
    if freed:
        first = book.ids(len(freed))
        rows = [(delivery, e.line, e.lane, e.received_ms, now_ms) for delivery, e in enumerate(freed, first)]
        book.db.executemany(DELIVERY_SQL, rows)


def remove_holds(book: Book, holds: Iterable[tuple[int, Sequence[bytes]]]) -> None:
    """Delete holds with their keys, and count them out; not their items."""
    holds = list(holds)
    if not holds:
        return
    # In the order of the trees they are deleted from: neighbours share pages.
    book.db.executemany(
        "DELETE FROM hold_keys WHERE key = ? AND hold = ?", sorted((key, i) for i, keys in holds for key in set(keys))
    )
    lines = sorted(i for i, _ in holds)
    sql = """SELECT lane, media_source, key_kinds, received_ms / 3600000, -count(*) FROM holds
             WHERE id IN (??) GROUP BY 1, 2, 3, 4"""
    counted = list(among(book.db, sql, lines))
    book.db.executemany(COUNT_SQL, counted)
    book.db.executemany(
        "DELETE FROM hold_counts WHERE lane = ? AND media_source = ? AND key_kinds = ? AND hour = ? AND n = 0",
        [cell[:4] for cell in counted],
    )
    book.db.executemany("DELETE FROM holds WHERE id = ?", [(i,) for i in lines])


def expire(book: Book, now_ms: int, limit: int) -> int:
    """End holds whose window is over: those with a fallback are sent under it, the items of the others are erased."""
    rows = book.db.execute(f"{WAITING_SQL} WHERE expires_ms <= ? ORDER BY expires_ms LIMIT ?", (now_ms, limit))
    over = [Waiting(*row) for row in rows]
    sent = [hold for hold in over if hold.fallback is not None]
    for hold in sent:
        book.move(hold.line, hold.cell, OutcomeKind.PENDING, AS_CUSTOMER, now_ms)
    book.db.executemany("UPDATE items SET who = ? WHERE id = ?", [(hold.fallback, hold.line) for hold in sent])
    enqueue(book, (hold.matched for hold in sent), now_ms)
    remove_holds(book, [(hold.line, unpack_keys(hold.keys)) for hold in sent])
    _end(book, [hold for hold in over if hold.fallback is None], None, now_ms)
    return len(over)


def expire_now(book: Book, ids: Iterable[int], now_ms: int) -> list[int]:
    """End these holds without sending them."""
    waiting = _waiting(book, ids)
    _end(book, waiting, BY_HAND, now_ms)
    return [hold.line for hold in waiting]


def _end(book: Book, holds: Sequence[Waiting], reason: str | None, now_ms: int) -> None:
    for hold in holds:
        book.move(hold.line, hold.cell, OutcomeKind.EXPIRED, reason, now_ms)
    remove_holds(book, [(hold.line, unpack_keys(hold.keys)) for hold in holds])
    book.db.executemany("DELETE FROM items WHERE id = ?", [(hold.line,) for hold in holds])


def release_by_hand(
    book: Book, seal: Seal, ids: Iterable[int], now_ms: int, *, user_id: str | None, device_id: str | None
) -> Released:
    """Send these holds now, as of this person; without one, those that need none."""
    ids = list(dict.fromkeys(ids))
    waiting = _waiting(book, ids)
    named = bool(user_id or device_id)
    free: list[Waiting] = []
    identities: list[tuple[bytes, int]] = []
    for hold in waiting:
        needs_nobody = _endpoint(book, hold.lane) == NAMELESS
        if needs_nobody or named or _has_identity(book, seal, hold.line):
            free.append(hold)
            book.move(hold.line, hold.cell, OutcomeKind.PENDING, RELEASED, now_ms)
        if named and not needs_nobody:
            identities.append((seal_who(seal, user_id, device_id), hold.line))
    book.db.executemany("UPDATE items SET who = ? WHERE id = ?", identities)
    enqueue(book, (hold.matched for hold in free), now_ms)
    remove_holds(book, [(hold.line, unpack_keys(hold.keys)) for hold in free])
    released, there = {hold.line for hold in free}, {hold.line for hold in waiting}
    return Released(
        [i for i in ids if i in released],
        [i for i in ids if i in there - released],
        [i for i in ids if i not in there],
    )


def _waiting(book: Book, ids: Iterable[int]) -> list[Waiting]:
    return sorted(Waiting(*row) for row in among(book.db, f"{WAITING_SQL} WHERE holds.id IN (??)", set(ids)))


def _endpoint(book: Book, lane: int) -> str:
    row: tuple[str] = book.db.execute("SELECT endpoint FROM lanes WHERE id = ?", (lane,)).fetchone()
    return row[0]


def _has_identity(book: Book, seal: Seal, line: int) -> bool:
    sealed, who = book.db.execute("SELECT sealed, who FROM items WHERE id = ?", (line,)).fetchone()
    item = open_item(seal, sealed, who)
    return bool(item.user_id or item.device_id)


def hold_counts(db: sqlite3.Connection) -> list[HeldCount]:
    """Count what waits, oldest first."""
    rows: Iterable[tuple[Any, ...]] = db.execute(
        """SELECT app, media_source, key_kinds, hour, sum(n) FROM hold_counts JOIN lanes ON lanes.id = lane
           GROUP BY 1, 2, 3, 4 HAVING sum(n) <> 0 ORDER BY hour, app, media_source, key_kinds"""
    )
    return [HeldCount(app, source, tuple(kinds.split()), hour * HOUR_MS, n) for app, source, kinds, hour, n in rows]


def sighted_kinds(db: sqlite3.Connection) -> list[SightedKind]:
    """Give by which kinds of identifier Amplitude has shown people."""
    return [SightedKind(*row) for row in db.execute("SELECT app, kind, n, last_ms FROM sighted ORDER BY app, kind")]


def coverage(db: sqlite3.Connection, since_day: str, app: str | None) -> list[CoverageRow]:
    """Give the coverage counters from a day on."""
    rows: Iterable[tuple[Any, ...]] = db.execute(
        """SELECT app, day, platform, app_version, media_source, kinds, n FROM coverage
           WHERE day >= ?1 AND (?2 IS NULL OR app = ?2) ORDER BY day, app""",
        (since_day, app),
    )
    return [
        CoverageRow(of_app, day, platform, version, source, tuple(kinds.split()), n)
        for of_app, day, platform, version, source, kinds, n in rows
    ]


def prune_coverage(book: Book, before_day: str) -> int:
    """Delete the coverage counters of days before this one."""
    return book.db.execute("DELETE FROM coverage WHERE day < ?", (before_day,)).rowcount
