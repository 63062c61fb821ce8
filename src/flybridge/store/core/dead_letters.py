"""Dead letters: writing them, listing them, and making deliveries of them again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from importlib.metadata import version
from typing import Any, Final, NamedTuple

from flybridge.errors import SealBroken
from flybridge.records import Dead, DeadLetter, Envelope, Media, OutcomeKind
from flybridge.sealing import Seal
from flybridge.store.core.ledger import LedgerWriter
from flybridge.store.core.sealed import open_item
from flybridge.store.core.tables import Read, Rows, Write
from flybridge.store.records import Settlement

LARGEST_ID: Final = 2**63 - 1
VERSION: Final = version("flybridge")
SEALED: Final = "sealed"
SEALED_DETAIL: Final = "The content can't be opened: it was sealed with another secret, or it is damaged."
SEALED_REMEDY: Final = "If `secret` was changed, put the former one into `former_secrets`, restart, and replay."
UNCERTAIN: Final = "uncertain"
TAKEN_OUT: Final = "taken_out"
TAKEN_OUT_DETAIL: Final = "An operator took it out of the queue."
TAKEN_OUT_REMEDY: Final = "Replay the dead letter if it is to be sent after all."
UNCERTAIN_DETAIL: Final = "The process ended while this was on its way: the vendor may have it already."
UNCERTAIN_REMEDY: Final = "Look for the event at the vendor; redeliver it if it is not there."


class LeasedRow(NamedTuple):
    """A leased delivery with its ledger row, lane and counter. `begun`: it was about to be sent, if that is noted."""

    delivery: int
    row_id: int
    lane: int
    counter: int
    begun: int = 0


def dead_row(
    seal: Seal, row_id: int, end: Settlement | Dead, now_ms: int, *, lane: int | None, envelope: Envelope | None
) -> tuple[object, ...]:
    """Return a row of dead letters: of an envelope, or of a delivery, which has a lane and whose item is JSON."""
    detail = seal.seal(end.detail.encode("utf-8", "surrogatepass"))
    stage = end.stage if isinstance(end, Dead) else "deliver"
    media, ordinal, newest = (Media.JSON, 0, False) if envelope is None else (
        envelope.media, envelope.ordinal, envelope.newest
    )  # fmt: skip
    return (row_id, lane, stage, media.word, end.reason, detail, end.remedy, VERSION, now_ms, ordinal, int(newest))


def bury(ledger: LedgerWriter, seal: Seal, ends: Sequence[tuple[LeasedRow, Settlement]], now_ms: int) -> None:
    """Make dead letters of deliveries. Their items stay, so that they can be delivered after all."""
    for leased, end in ends:
        ledger.move(leased.row_id, leased.counter, OutcomeKind.DEAD, end.reason, now_ms)
    rows = [dead_row(seal, leased.row_id, end, now_ms, lane=leased.lane, envelope=None) for leased, end in ends]
    ledger.tables.write(Write.DEAD, rows)


def drop_dead_letters(ledger: LedgerWriter, row_ids: Sequence[int]) -> None:
    """Delete dead letters with their bodies, because their ledger rows are filed again."""
    rows = [(row_id,) for row_id in row_ids]
    ledger.tables.write(Write.DROP_DEAD, rows)
    ledger.tables.write(Write.DROP_ITEMS, rows)


def listed(db: Rows, seal: Seal, app: str | None, reason: str | None, limit: int) -> list[DeadLetter]:
    return [_dead_letter(seal, row) for row in db.read(Read.DEAD_LETTERS, app, reason, limit)]


def named(db: Rows, seal: Seal, app: str | None, reason: str | None, ids: Iterable[int]) -> list[DeadLetter]:
    """List the dead letters with these ids, newest first. An id that no database can hold is that of no letter."""
    possible = {number for number in ids if 0 < number <= LARGEST_ID}
    letters = [_dead_letter(seal, row) for row in db.among(Read.DEAD_BY_ID, possible, app, reason)]
    return sorted(letters, key=lambda letter: (letter.died_ms, letter.id), reverse=True)


def named_ids(db: Rows, app: str | None, reason: str | None, ids: Iterable[int]) -> list[int]:
    """List those of these ids that are dead letters, ascending."""
    possible = {number for number in ids if 0 < number <= LARGEST_ID}
    return sorted(number for (number,) in db.among(Read.DEAD_IDS_AMONG, possible, app, reason))


def listed_ids(db: Rows, app: str | None, reason: str | None, after: int, limit: int) -> list[int]:
    """List the ids of dead letters above `after`, ascending."""
    return [number for (number,) in db.read(Read.DEAD_IDS, app, reason, after, limit)]


def taken(db: Rows, seal: Seal, ids: Iterable[int]) -> list[DeadLetter]:
    letters = [_dead_letter(seal, row) for row in db.among(Read.DEAD_UNMAPPED, ids)]
    return sorted((letter for letter in letters if not letter.is_sealed), key=lambda letter: letter.id)


def redeliver(ledger: LedgerWriter, ids: Iterable[int], now_ms: int) -> int:
    rows = sorted(ledger.tables.among(Read.DEAD_UNDELIVERED, sorted(set(ids))))
    deliveries = ledger.tables.ids(len(rows))
    ledger.tables.write(
        Write.REDELIVER,
        [
            (delivery, row_id, lane, received_ms, now_ms, uncertain)
            for delivery, (row_id, lane, _, received_ms, uncertain) in zip(deliveries, rows, strict=True)
        ],
    )
    ledger.tables.write(Write.DROP_DEAD, [(row[0],) for row in rows])
    for row_id, _, counter, _, _ in rows:
        ledger.move(row_id, counter, OutcomeKind.PENDING, "redelivered", now_ms)
    return len(rows)


def arrived_after_all(ledger: LedgerWriter, ids: Iterable[int], now_ms: int) -> int:
    rows = sorted(ledger.tables.among(Read.DEAD_UNDELIVERED, sorted(set(ids))))
    for row_id, _, counter, _, _ in rows:
        ledger.move(row_id, counter, OutcomeKind.DELIVERED, None, now_ms)
    ledger.tables.write(Write.UNCERTAIN, [(-1, row_id) for row_id, *_, uncertain in rows if uncertain])
    drop_dead_letters(ledger, [row[0] for row in rows])
    return len(rows)


def _dead_letter(seal: Seal, row: tuple[Any, ...]) -> DeadLetter:
    *head, detail, remedy, sealed, who, made_by, received, died, lane, ordinal, newest = row
    body, sentence, is_sealed = b"", SEALED_DETAIL, False
    with suppress(SealBroken):
        sentence = seal.open(detail).decode("utf-8", "surrogatepass")
    try:
        body = seal.open(sealed) if lane is None else open_item(seal, sealed, who).body
    except SealBroken:
        is_sealed, remedy = True, SEALED_REMEDY
    return DeadLetter(*[*head, sentence, remedy, body, made_by, received, died, ordinal, bool(newest), is_sealed])
