"""Retention: what is settled and old is deleted, in steps so small that nobody waits for them.

Any number of processes may prune at once: one does a step, the others find it taken and leave it to that one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final, NamedTuple

from flybridge.records import OutcomeKind
from flybridge.store.core.ledger import Book
from flybridge.store.core.tables import Read, Write

STEP: Final = 1000
UNSETTLED: Final = frozenset({OutcomeKind.HELD, OutcomeKind.PENDING, OutcomeKind.DEAD})
TASK: Final = "prune"


class Step(NamedTuple):
    """What one step deleted, and where the next one starts; None after the last."""

    deleted: int
    after: int | bytes | None


NOTHING: Final = Step(0, None)


def prune_lines(book: Book, until_ms: int, after: int) -> Step:
    """Delete ledger lines that were settled at or before `until_ms`; the counters keep them.

    Lines are in the order of filing: a step that meets only younger ones is the last.
    """
    if not book.tables.only(TASK):
        return NOTHING
    rows = book.tables.read(Read.LINES_AFTER, after, STEP)
    old = [
        (i, cell)
        for i, cell, changed, _ in rows
        if changed <= until_ms and book.tables.place(cell).outcome not in UNSETTLED
    ]
    _delete_lines(book, old)
    last = len(rows) < STEP or all(received > until_ms for *_, received in rows)
    return Step(len(old), None if last else rows[-1][0])


def prune_dead(book: Book, until_ms: int, _: int) -> Step:
    """Delete dead letters of `until_ms` and before, with their lines; they stay counted as dead."""
    if not book.tables.only(TASK):
        return NOTHING
    rows = book.tables.read(Read.OLD_LETTERS, until_ms, STEP)
    book.tables.write(Write.DROP_ITEMS, [(i,) for i, _ in rows])
    book.tables.write(Write.DROP_DEAD, [(i,) for i, _ in rows])
    _delete_lines(book, rows)
    return Step(len(rows), None if len(rows) < STEP else 0)


def prune_seen(book: Book, now_ms: int, after: bytes) -> Step:
    """Forget dedup keys that no longer stop anything. Which keys a page holds is the backend's."""
    if not book.tables.only(TASK):
        return NOTHING
    rows = book.tables.read(Read.OLD_SEEN, after, now_ms, STEP * 5)
    old = [(key, until_ms) for key, until_ms in rows if until_ms <= now_ms]
    book.tables.write(Write.DROP_SEEN, old)
    return Step(len(old), rows[-1][0] if len(rows) == STEP * 5 else None)


def prune_coverage(book: Book, before_day: str) -> int:
    """Delete the coverage counters of days before this one."""
    return book.tables.count(Write.DROP_COVERAGE, [(before_day,)]) if book.tables.only(TASK) else 0


class Lonely(NamedTuple):
    """People of whom nothing but keys is left, and after whom to look on; None after the last."""

    persons: Sequence[int]
    after: int | None


def lonely(book: Book, after: int) -> Lonely:
    """Find people of whom no line is left, and keys of theirs without a sighting."""
    if not book.tables.only(TASK):
        return Lonely((), None)
    page = book.tables.read(Read.PERSONS_AFTER, after, STEP)
    return Lonely([person for person, gone in page if gone], page[-1][0] if len(page) == STEP else None)


def prune_people(book: Book, persons: Sequence[int]) -> int:
    """Delete the keys of these people, if still no line and no sighting needs them. Only while nobody files."""
    return book.tables.count(Write.DROP_LONELY, [(person,) for person in persons])


def _delete_lines(book: Book, lines: Sequence[tuple[int, int]]) -> None:
    pruned = Counter(cell for _, cell in lines)
    book.tables.write(Write.TALLY_PRUNED, [(n, cell) for cell, n in sorted(pruned.items())])
    book.tables.write(Write.DROP_LINES, [(i,) for i, _ in lines])
