"""Dead letters: what they keep, listing them, and bringing them back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib.metadata import version
from typing import Any, Final, NamedTuple

from flybridge.records import DeadLetter, Media, OutcomeKind
from flybridge.sealing import Seal
from flybridge.store.core.ledger import Book
from flybridge.store.core.sealed import open_item
from flybridge.store.core.tables import Read, Rows, Write
from flybridge.store.protocol import Settlement

LARGEST_ID: Final = 2**63 - 1
VERSION: Final = version("flybridge")
UNCERTAIN: Final = "uncertain"
UNCERTAIN_DETAIL: Final = "The process ended while this was on its way: the vendor may have it already."
UNCERTAIN_REMEDY: Final = "Look for the event at the vendor; redeliver it if it is not there."


class Leased(NamedTuple):
    """Where a leased delivery belongs."""

    line: int
    lane: int
    cell: int


def _buried(seal: Seal, leased: Leased, end: Settlement, now_ms: int) -> tuple[object, ...]:
    """Return the dead letter of a delivery, as a row. Its item stays, so that it can be delivered after all."""
    detail = seal.seal(end.detail.encode("utf-8", "surrogatepass"))
    return leased.line, leased.lane, "deliver", Media.JSON.value, end.reason, detail, end.remedy, VERSION, now_ms


def bury(book: Book, seal: Seal, ends: Sequence[tuple[Leased, Settlement]], now_ms: int) -> None:
    """Make dead letters of deliveries."""
    for leased, end in ends:
        book.move(leased.line, leased.cell, OutcomeKind.DEAD, end.reason, now_ms)
    book.tables.write(Write.DEAD, [_buried(seal, leased, end, now_ms) for leased, end in ends])


def without_letters(book: Book, lines: Sequence[int]) -> None:
    """Delete dead letters with their bytes; their lines are about to be filed anew."""
    rows = [(line,) for line in lines]
    book.tables.write(Write.DROP_DEAD, rows)
    book.tables.write(Write.DROP_ITEMS, rows)


def listed(db: Rows, seal: Seal, app: str | None, reason: str | None, limit: int) -> list[DeadLetter]:
    """List dead letters, newest first."""
    return [_letter(seal, row) for row in db.read(Read.LETTERS, app, reason, limit)]


def named(db: Rows, seal: Seal, app: str | None, reason: str | None, ids: Iterable[int]) -> list[DeadLetter]:
    """List the dead letters with these ids, newest first. An id that no database can hold is that of no letter."""
    possible = {number for number in ids if 0 < number <= LARGEST_ID}
    letters = [_letter(seal, row) for row in db.among(Read.LETTERS_NAMED, possible, app, reason)]
    return sorted(letters, key=lambda letter: (letter.died_ms, letter.id), reverse=True)


def listed_ids(db: Rows, app: str | None, reason: str | None, after: int, limit: int) -> list[int]:
    """List the ids of dead letters above `after`, ascending."""
    return [number for (number,) in db.read(Read.LETTER_IDS, app, reason, after, limit)]


def taken(db: Rows, seal: Seal, ids: Iterable[int]) -> list[DeadLetter]:
    """Return the letters that died before there was a delivery, in the order in which they were received."""
    return sorted((_letter(seal, row) for row in db.among(Read.LETTERS_TAKEN, ids)), key=lambda letter: letter.id)


def redeliver(book: Book, ids: Iterable[int], now_ms: int) -> int:
    """Make deliveries of dead letters again, in the order in which they were received."""
    rows = sorted(book.tables.among(Read.LETTERS_SENT, sorted(set(ids))))
    deliveries = book.tables.ids(len(rows))
    book.tables.write(
        Write.REDELIVER,
        [
            (delivery, line, lane, received_ms, now_ms, uncertain)
            for delivery, (line, lane, _, received_ms, uncertain) in zip(deliveries, rows, strict=True)
        ],
    )
    book.tables.write(Write.DROP_DEAD, [(row[0],) for row in rows])
    for line, _, cell, _, _ in rows:
        book.move(line, cell, OutcomeKind.PENDING, "redelivered", now_ms)
    return len(rows)


def _letter(seal: Seal, row: tuple[Any, ...]) -> DeadLetter:
    line, receipt, app, source, media, stage, reason, detail, remedy, sealed, who, made_by, received, died, lane = row
    body = seal.open(sealed) if lane is None else open_item(seal, sealed, who).body
    sentence = seal.open(detail).decode("utf-8", "surrogatepass")
    return DeadLetter(line, receipt, app, source, media, stage, reason, sentence, remedy, body, made_by, received, died)
