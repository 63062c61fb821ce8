"""Dead letters: what they keep, listing them, and bringing them back."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from typing import Any, Final, NamedTuple

from flybridge.privacy import Seal
from flybridge.records import DeadLetter, Media, OutcomeKind
from flybridge.store.protocol import Settlement
from flybridge.store.sqlite_book import Book
from flybridge.store.sqlite_connection import among
from flybridge.store.sqlite_item import open_item

VERSION: Final = version("flybridge")
DEAD_SQL: Final = """INSERT INTO dead (id, lane, stage, media, reason, detail, remedy, version, died_ms)
                     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"""
LETTER_SQL: Final = """SELECT dead.id, receipt, app, source, media, stage, dead.reason, detail, remedy, sealed, who,
                              version, received_ms, died_ms, lane
                       FROM dead JOIN ledger USING (id) JOIN cells ON cells.id = cell
                       JOIN items ON items.id = dead.id"""
UNCERTAIN: Final = "uncertain"
UNCERTAIN_DETAIL: Final = "The process ended while this was on its way: the vendor may have it already."
UNCERTAIN_REMEDY: Final = "Look for the event at the vendor; redeliver it if it is not there."


class Leased(NamedTuple):
    """Where a leased delivery belongs."""

    line: int
    lane: int
    cell: int


def bury(book: Book, seal: Seal, leased: Leased, end: Settlement, now_ms: int) -> None:
    """Make a dead letter of a delivery. Its item stays, so that it can be delivered after all."""
    detail = seal.seal(end.detail.encode("utf-8", "surrogatepass"))
    row = (leased.line, leased.lane, "deliver", Media.JSON.value, end.reason, detail, end.remedy, VERSION, now_ms)
    book.db.execute(DEAD_SQL, row)
    book.move(leased.line, leased.cell, OutcomeKind.DEAD, end.reason, now_ms)


def without_letters(book: Book, lines: Sequence[int]) -> None:
    """Delete dead letters with their bytes; their lines are about to be filed anew."""
    rows = [(line,) for line in lines]
    book.db.executemany("DELETE FROM dead WHERE id = ?", rows)
    book.db.executemany("DELETE FROM items WHERE id = ?", rows)


def listed(db: sqlite3.Connection, seal: Seal, app: str | None, reason: str | None, limit: int) -> list[DeadLetter]:
    """List dead letters, newest first."""
    sql = f"""{LETTER_SQL} WHERE (?1 IS NULL OR app = ?1) AND (?2 IS NULL OR dead.reason = ?2)
              ORDER BY died_ms DESC, dead.id DESC LIMIT ?3"""
    return [_letter(seal, row) for row in db.execute(sql, (app, reason, limit))]


def taken(db: sqlite3.Connection, seal: Seal, ids: Iterable[int]) -> list[DeadLetter]:
    """Give the letters that died before there was a delivery, in the order in which they were received."""
    sql = f"{LETTER_SQL} WHERE lane IS NULL AND dead.id IN (??)"
    return sorted((_letter(seal, row) for row in among(db, sql, ids)), key=lambda letter: letter.id)


def redeliver(book: Book, ids: Iterable[int], now_ms: int) -> int:
    """Make deliveries of dead letters again, in the order in which they were received."""
    rows = sorted(
        among(
            book.db,
            """SELECT dead.id, lane, cell, received_ms, uncertain FROM dead JOIN ledger USING (id)
               WHERE lane IS NOT NULL AND dead.id IN (??)""",
            set(ids),
        )
    )
    first = book.ids(len(rows))
    book.db.executemany(
        "INSERT INTO deliveries (id, line, lane, received_ms, due_ms, uncertain) VALUES (?, ?, ?, ?, ?, ?)",
        [
            (delivery, line, lane, received_ms, now_ms, uncertain)
            for delivery, (line, lane, _, received_ms, uncertain) in enumerate(rows, first)
        ],
    )
    book.db.executemany("DELETE FROM dead WHERE id = ?", [(row[0],) for row in rows])
    for line, _, cell, _, _ in rows:
        book.move(line, cell, OutcomeKind.PENDING, "redelivered", now_ms)
    return len(rows)


def _letter(seal: Seal, row: tuple[Any, ...]) -> DeadLetter:
    line, receipt, app, source, media, stage, reason, detail, remedy, sealed, who, made_by, received, died, lane = row
    body = seal.open(sealed) if lane is None else open_item(seal, sealed, who).body
    sentence = seal.open(detail).decode("utf-8", "surrogatepass")
    return DeadLetter(line, receipt, app, source, media, stage, reason, sentence, remedy, body, made_by, received, died)
