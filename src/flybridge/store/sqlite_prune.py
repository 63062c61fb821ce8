"""Retention: what is settled and old is deleted, in steps so small that nobody waits for them."""

from __future__ import annotations

from typing import Final, NamedTuple

from flybridge.records import OutcomeKind
from flybridge.store.sqlite_book import Book

STEP: Final = 1000
UNSETTLED: Final = frozenset({OutcomeKind.HELD, OutcomeKind.PENDING, OutcomeKind.DEAD})


class Step(NamedTuple):
    """What one step deleted, and where the next one starts; None after the last."""

    deleted: int
    after: int | bytes | None


def prune_lines(book: Book, until_ms: int, after: int) -> Step:
    """Delete ledger lines that were settled at or before `until_ms`; the counters keep them.

    Lines are in the order of filing: a step that meets only younger ones is the last.
    """
    rows = book.db.execute(
        "SELECT id, cell, changed_ms, received_ms FROM ledger WHERE id > ? ORDER BY id LIMIT ?", (after, STEP)
    ).fetchall()
    old = [
        (i, cell) for i, cell, changed, _ in rows if changed <= until_ms and book.place(cell).outcome not in UNSETTLED
    ]
    _delete_lines(book, old)
    last = len(rows) < STEP or all(received > until_ms for *_, received in rows)
    return Step(len(old), None if last else rows[-1][0])


def prune_dead(book: Book, until_ms: int, _: int) -> Step:
    """Delete dead letters of `until_ms` and before, with their lines; they stay counted as dead."""
    rows = book.db.execute(
        "SELECT dead.id, cell FROM dead JOIN ledger USING (id) WHERE died_ms <= ? ORDER BY died_ms LIMIT ?",
        (until_ms, STEP),
    ).fetchall()
    book.db.executemany("DELETE FROM items WHERE id = ?", [(i,) for i, _ in rows])
    book.db.executemany("DELETE FROM dead WHERE id = ?", [(i,) for i, _ in rows])
    _delete_lines(book, rows)
    return Step(len(rows), None if len(rows) < STEP else 0)


def prune_seen(book: Book, now_ms: int, after: bytes) -> Step:
    """Forget dedup keys that no longer stop anything.

    Walks through all keys by key: an index by time would cost every filing more than this costs a day.
    """
    rows = book.db.execute(
        "SELECT key, until_ms FROM seen WHERE key > ? ORDER BY key LIMIT ?", (after, STEP * 5)
    ).fetchall()
    old = [(key,) for key, until_ms in rows if until_ms <= now_ms]
    book.db.executemany("DELETE FROM seen WHERE key = ?", old)
    return Step(len(old), rows[-1][0] if len(rows) == STEP * 5 else None)


def prune_people(book: Book, _: int, after: int) -> Step:
    """Delete the keys of people of whom no line and no sighting is left."""
    page = [
        person
        for (person,) in book.db.execute(
            "SELECT DISTINCT person FROM people WHERE person > ? ORDER BY person LIMIT ?", (after, STEP)
        )
    ]
    deleted = 0
    for person in page:
        deleted += book.db.execute(
            """DELETE FROM people WHERE person = ?1
                 AND NOT EXISTS (SELECT 1 FROM ledger WHERE ledger.person = ?1)
                 AND NOT EXISTS (SELECT 1 FROM sightings WHERE sightings.key = people.key)""",
            (person,),
        ).rowcount
    return Step(deleted, page[-1] if len(page) == STEP else None)


def _delete_lines(book: Book, lines: list[tuple[int, int]]) -> None:
    book.db.executemany("UPDATE cells SET pruned = pruned + 1 WHERE id = ?", [(cell,) for _, cell in lines])
    book.db.executemany("DELETE FROM ledger WHERE id = ?", [(i,) for i, _ in lines])
