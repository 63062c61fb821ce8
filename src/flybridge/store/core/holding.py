"""What ends a wait other than a sighting: the clock, or an operator. And how many wait.

`hold_counts` has a row per hour of reception, so that asking how much waits, and for how long, costs the same with
ten holds and with ten million. Whoever adds or removes holds moves it in the same transaction.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from flybridge.records import HOUR_MS, OutcomeKind
from flybridge.sealing import Seal
from flybridge.store.core.ledger import Book, HourCell
from flybridge.store.core.sealed import open_item, seal_who, unpack_keys
from flybridge.store.core.tables import Read, Rows, Write
from flybridge.store.figures import CoverageRow, HeldCount, SightedKind
from flybridge.store.protocol import Released

AS_CUSTOMER: Final = "as_customer_user_id"
BY_HAND: Final = "by_hand"
RELEASED: Final = "released"
NAMELESS: Final = "attribution"
"""The endpoint whose items name nobody: Amplitude finds the user itself."""

SPENT_AT_ONCE: Final = 2_000
"""With more than a fifth of a second of clearing away, everybody who files would have to wait."""


class Matched(NamedTuple):
    """An event that goes out after a wait, in the order in which one person's events are sent.

    `who` is the sealed identity that it was given, None where its item names somebody or nobody has to be named.
    """

    event_ms: int
    line: int
    lane: int
    received_ms: int
    who: bytes | None = None


class Waiting(NamedTuple):
    """One hold, with what is needed to end it. `fallback` is the sealed identity for the end of its window."""

    line: int
    packed: bytes
    cell: int  # 0 where there is no line any more, which only a spent hold outlives
    lane: int
    event_ms: int
    received_ms: int
    fallback: bytes | None
    media_source: str
    key_kinds: str

    @property
    def keys(self) -> list[bytes]:
        """Return its matching keys."""
        return unpack_keys(self.packed)

    def sent_as(self, who: bytes | None) -> Matched:
        """Return its place in the order of sending, with the identity it is sent under."""
        return Matched(self.event_ms, self.line, self.lane, self.received_ms, who)

    @property
    def counted(self) -> HourCell:
        """Return where it is counted."""
        return self.lane, self.media_source, self.key_kinds, self.received_ms // HOUR_MS


def enqueue(book: Book, freed: Iterable[Matched], now_ms: int) -> None:
    """Make deliveries of what was freed, a person's events in their order."""
    freed = sorted(freed)
    ids = book.tables.ids(len(freed))
    book.tables.write(
        Write.DELIVERIES,
        [(delivery, e.line, e.lane, e.received_ms, now_ms, e.who) for delivery, e in zip(ids, freed, strict=True)],
    )


def remove_holds(book: Book, holds: Sequence[Waiting]) -> None:
    """Delete holds with their keys, and count them out; not their items."""
    _drop(book, [(hold.line, hold.packed) for hold in holds])
    book.waits_no_more(hold.counted for hold in holds)


def drop_spent(book: Book, lines: Iterable[int]) -> None:
    """Delete what is left of those of these lines' holds that have found their person."""
    if book.tables.keeps_spent:
        _drop(book, book.tables.among(Read.SPENT_OF_LINES, lines))


def _drop(book: Book, holds: Sequence[tuple[int, bytes]]) -> None:
    # In the order of the trees they are deleted from: neighbours share pages.
    keys = sorted((key, line) for line, packed in holds for key in set(unpack_keys(packed)))
    book.tables.write(Write.DROP_HOLD_KEYS, keys)
    book.tables.write(Write.DROP_HOLDS, sorted((line,) for line, _ in holds))


def expire(book: Book, now_ms: int, limit: int) -> int:
    """End holds whose window is over: those with a fallback are sent under it, the items of the others are erased.

    Spent ones are met in the same order and cleared away, about `SPENT_AT_ONCE` of them. Whatever is read is deleted:
    nothing is read twice, however much is behind.
    """
    if not book.tables.only("expire"):
        return 0
    held: list[Waiting] = []
    cleared = 0
    while len(held) < limit and cleared < SPENT_AT_ONCE:
        over = [Waiting(*row) for row in book.tables.read(Read.OVER, now_ms, limit - len(held))]
        waits = [hold for hold in over if _waits(book, hold)]
        _drop(book, [(hold.line, hold.packed) for hold in over])
        held += waits
        cleared += len(over) - len(waits)
        if len(waits) == len(over):
            break
    book.waits_no_more(hold.counted for hold in held)
    sent = [hold for hold in held if hold.fallback is not None]
    for hold in sent:
        book.move(hold.line, hold.cell, OutcomeKind.PENDING, AS_CUSTOMER, now_ms)
    enqueue(book, (hold.sent_as(hold.fallback) for hold in sent), now_ms)
    _end(book, [hold for hold in held if hold.fallback is None], None, now_ms)
    return len(held)


def _waits(book: Book, hold: Waiting) -> bool:
    return hold.cell != 0 and book.tables.place(hold.cell).outcome == OutcomeKind.HELD


def expire_now(book: Book, ids: Iterable[int], now_ms: int) -> list[int]:
    """End these holds without sending them."""
    holds = waiting(book, ids)
    remove_holds(book, holds)
    _end(book, holds, BY_HAND, now_ms)
    return [hold.line for hold in holds]


def _end(book: Book, holds: Sequence[Waiting], reason: str | None, now_ms: int) -> None:
    for hold in holds:
        book.move(hold.line, hold.cell, OutcomeKind.EXPIRED, reason, now_ms)
    book.tables.write(Write.DROP_ITEMS, [(hold.line,) for hold in holds])


def release_by_hand(
    book: Book, seal: Seal, ids: Iterable[int], now_ms: int, *, user_id: str | None, device_id: str | None
) -> Released:
    """Send these holds now, as of this person; without one, those that need none."""
    ids = list(dict.fromkeys(ids))
    holds = waiting(book, ids)
    named = bool(user_id or device_id)
    nameless = {hold.line for hold in holds if book.tables.lane_of(hold.lane).endpoint == NAMELESS}
    known = set() if named else _identified(book, seal, {hold.line for hold in holds} - nameless)
    free = [hold for hold in holds if named or hold.line in nameless | known]
    for hold in free:
        book.move(hold.line, hold.cell, OutcomeKind.PENDING, RELEASED, now_ms)
    who = seal_who(seal, user_id, device_id) if named else None
    enqueue(book, (hold.sent_as(None if hold.line in nameless else who) for hold in free), now_ms)
    remove_holds(book, free)
    released, there = {hold.line for hold in free}, {hold.line for hold in holds}
    return Released(
        [i for i in ids if i in released],
        [i for i in ids if i in there - released],
        [i for i in ids if i not in there],
    )


def waiting(book: Book, ids: Iterable[int]) -> list[Waiting]:
    """Return those of these holds that wait, oldest first."""
    return sorted(Waiting(*row) for row in book.tables.among(Read.WAITING, sorted(set(ids))))


def _identified(book: Book, seal: Seal, lines: set[int]) -> set[int]:
    """Return the lines whose item names somebody."""
    found = set()
    for line, sealed, who in book.tables.among(Read.ITEMS, sorted(lines)):
        item = open_item(seal, sealed, who)
        if item.user_id or item.device_id:
            found.add(line)
    return found


def hold_counts(db: Rows) -> list[HeldCount]:
    """Count what waits, oldest first."""
    return [
        HeldCount(app, source, tuple(kinds.split()), hour * HOUR_MS, n)
        for app, source, kinds, hour, n in db.read(Read.HOLD_COUNTS)
    ]


def sighted_kinds(db: Rows) -> list[SightedKind]:
    """Return by which kinds of identifier Amplitude has shown people."""
    return [SightedKind(*row) for row in db.read(Read.SIGHTED)]


def covered(db: Rows, since_day: str) -> list[CoverageRow]:
    """Sum the coverage counters up by app, platform and kinds, from a day on."""
    return [
        CoverageRow(app, "", platform, "", "", tuple(kinds.split()), n)
        for app, platform, kinds, n in db.read(Read.COVERED, since_day)
    ]


def coverage(db: Rows, since_day: str, app: str | None) -> list[CoverageRow]:
    """Return the coverage counters from a day on."""
    return [
        CoverageRow(of_app, day, platform, version, source, tuple(kinds.split()), n)
        for of_app, day, platform, version, source, kinds, n in db.read(Read.COVERAGE, since_day, app)
    ]
